"""The page's line as a scanner from outside finds it: sslscan, which speaks the old protocols by itself."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from seeding import seed, served

from appliance.config import Places
from appliance.world import sqlite, wire

MODERN = {("tls", "1.2"), ("tls", "1.3")}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Places, int]]:
    made = seed(tmp_path_factory.mktemp("state"))
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    for address in served(made.places, tls="own"):
        yield made.places, int(address.rstrip("/").rpartition(":")[2])
    made.engine.dispose()


def complaints(port: int) -> list[str]:
    """What a security officer would not pass, by RFC 9325 (BCP 195)."""
    told = ["sslscan", "--xml=-", "--no-colour", "--connect-timeout=5", f"127.0.0.1:{port}"]
    done = subprocess.run(told, capture_output=True, text=True, check=True, timeout=120)
    test = ElementTree.fromstring(done.stdout).find("ssltest")
    assert test is not None
    spoken = {
        (each.attrib["type"], each.attrib["version"]) for each in test.iter("protocol") if each.attrib["enabled"] == "1"
    }
    assert spoken, "nothing was found there"
    found = [f"speaks {kind} {version}" for kind, version in sorted(spoken - MODERN)]
    for each in test.iter("cipher"):
        name = each.attrib["cipher"]
        if not name.endswith(("_SHA256", "_SHA384", "-SHA256", "-SHA384", "POLY1305")) or not _sound(name):
            found.append(f"takes {name}")
    found += ["bleeds" for each in test.iter("heartbleed") if each.attrib["vulnerable"] != "0"]
    found += ["renegotiates" for each in test.iter("renegotiation") if each.attrib["supported"] != "0"]
    found += ["compresses" for each in test.iter("compression") if each.attrib["supported"] != "0"]
    signed = test.findtext("certificates/certificate/signature-algorithm", "")
    return [*found, *([] if "SHA256" in signed.upper() else [f"is signed with {signed}"])]


def _sound(cipher: str) -> bool:
    """Authenticated encryption, and keys that are gone afterwards."""
    return cipher.startswith(("TLS_", "ECDHE-")) and ("GCM" in cipher or "POLY1305" in cipher)


def test_a_scanner_finds_nothing_to_complain_of(page: tuple[Places, int]) -> None:
    assert complaints(page[1]) == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_lax_line_is_complained_of(page: tuple[Places, int]) -> None:
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.set_ciphers("ALL:@SECLEVEL=0")
    lax.minimum_version = ssl.TLSVersion.TLSv1
    lax.load_cert_chain(page[0].review_keys / "page.pem", page[0].review_keys / "page.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        stop = threading.Event()
        answering = threading.Thread(target=_answer, args=(lax, listener, stop))
        answering.start()
        try:
            found = complaints(listener.getsockname()[1])
        finally:
            stop.set()
            answering.join(20)
    assert {"speaks tls 1.0", "speaks tls 1.1"} <= set(found)
    assert [each for each in found if each.startswith("takes ECDHE-ECDSA-AES256-SHA")]


def _answer(context: ssl.SSLContext, listener: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            plain, _ = listener.accept()
        except TimeoutError:
            continue
        plain.settimeout(5)
        try:
            with plain, context.wrap_socket(plain, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            continue
