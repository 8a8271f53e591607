"""The page under TLS: its own authority, a leaf that browsers take, cookies that keep close, renewal, old protocols."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from playwright.sync_api import Browser, expect
from seeding import PASSWORD, USER, seed, served, sign_in
from speaking import Hands

from appliance import review
from appliance.config import Config, Places
from appliance.core import page_certificate
from appliance.errors import Misconfigured
from appliance.review import entrance, line, walls

DAY_S = 86_400.0
NOW = time.time()


def own(folder: Path, now: float = NOW, **knobs: object) -> line.Line:
    made = line.line_of(Config.model_validate({"review": knobs}), Places(folder), now)
    assert made is not None
    return made


def leaf_of(found: line.Line) -> x509.Certificate:
    read = line.certificate(found.certificate)
    assert read is not None
    return read


def authority_of(found: line.Line) -> x509.Certificate:
    assert found.authority is not None
    read = line.certificate(found.authority)
    assert read is not None
    return read


def test_the_leaf_is_no_authority_and_names_the_page(tmp_path: Path) -> None:
    made = own(tmp_path, names=["reading-room.example", "192.0.2.7"], host="0.0.0.0")
    leaf, authority = leaf_of(made), authority_of(made)
    leaf.verify_directly_issued_by(authority)
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert named.get_values_for_type(x509.DNSName) == ["localhost", "reading-room.example"]
    assert {str(each) for each in named.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1", "192.0.2.7"}
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= 397
    for key in (made.key, made.authority.with_suffix(".key") if made.authority else made.key):
        assert key.stat().st_mode & 0o777 == 0o600
    assert made.key.parent.stat().st_mode & 0o777 == 0o700


def test_a_leaf_is_renewed_a_month_before_its_end_and_the_authority_stays(tmp_path: Path) -> None:
    config = Config()
    made = own(tmp_path)
    first, authority = leaf_of(made), authority_of(made)
    assert not line.renew(made, config, NOW + 334 * DAY_S)
    assert leaf_of(made) == first
    assert line.renew(made, config, NOW + 336 * DAY_S)
    assert leaf_of(made) != first
    leaf_of(made).verify_directly_issued_by(authority)
    assert line.renew(made, config, 1000.0), "a clock that fell back: the leaf is not valid yet"
    assert authority_of(made) == authority, "the readers' trust is kept"
    assert line.renew(made, config, NOW)
    assert not line.renew(made, config, NOW)


def test_another_name_or_an_old_authority_needs_a_new_one(tmp_path: Path) -> None:
    made = own(tmp_path)
    first = authority_of(made)
    assert authority_of(own(tmp_path, names=["reading-room.example"])) != first
    assert page_certificate.fingerprint(first) != page_certificate.fingerprint(authority_of(made))
    second = authority_of(made)
    assert authority_of(own(tmp_path, now=NOW + 9 * 365 * DAY_S, names=["reading-room.example"])) != second


def test_what_a_power_cut_left_is_made_again(tmp_path: Path) -> None:
    made = own(tmp_path)
    made.certificate.unlink()
    made.key.write_bytes(b"half")
    own(tmp_path).context()
    (tmp_path / "review/keys/authority.key").unlink()
    own(tmp_path).context()


def test_files_that_do_not_fit_are_the_operators(tmp_path: Path) -> None:
    made = own(tmp_path)
    given = {"tls": "files", "tls_certificate_file": str(made.certificate), "tls_key_file": str(made.key)}
    assert own(tmp_path / "other", **given).context()
    assert not (tmp_path / "other").exists()
    other = own(tmp_path / "third")
    for wrong in ({"tls_key_file": str(other.key)}, {"tls_certificate_file": str(tmp_path / "none.pem")}):
        with pytest.raises(Misconfigured, match="tls-files"):
            own(tmp_path, **{**given, **wrong}).context()
    with pytest.raises(Misconfigured, match="tls-files"):
        own(tmp_path, **{**given, "tls_key_file": str(tmp_path / "none.key")})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Places, str]]:
    """A page as it is by default: under TLS, by an authority of its own."""
    made = seed(tmp_path_factory.mktemp("line"))
    review.add_user(made.places, USER, PASSWORD)
    for address in served(made.places, tls="own", names=["reading-room.example"]):
        yield made.places, address
    made.engine.dispose()


def port_of(address: str) -> int:
    return int(address.rstrip("/").rpartition(":")[2])


def shaken(context: ssl.SSLContext, port: int, name: str = "localhost") -> str | None:
    """The protocol of one handshake."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        return secured.version()


def test_whoever_trusts_the_authority_reaches_the_page_and_nobody_else_s(page: tuple[Places, str]) -> None:
    places, address = page
    assert address.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(places.review_keys / "authority.pem"))
    for name in ("localhost", "127.0.0.1", "reading-room.example"):
        assert shaken(trusting, port_of(address), name) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(trusting, port_of(address), "elsewhere.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(ssl.create_default_context(), port_of(address))


def test_the_authority_can_be_nobody_else(tmp_path: Path) -> None:
    """A leaf for another name, signed by a stolen authority: a client that trusts it refuses all the same."""
    made = own(tmp_path)
    assert made.authority is not None
    signing = line.serialization.load_pem_private_key(made.authority.with_suffix(".key").read_bytes(), None)
    key = line.ec.generate_private_key(page_certificate.CURVE)
    forged = page_certificate.leaf(key.public_key(), authority_of(made), signing, ["bank.example"], NOW)  # type: ignore[arg-type]
    (tmp_path / "forged.pem").write_bytes(forged.public_bytes(line.serialization.Encoding.PEM))
    (tmp_path / "forged.key").write_bytes(line._pem(key))
    context = line.Line(tmp_path / "forged.pem", tmp_path / "forged.key", None).context()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=_answer, args=(context, listener))
        answering.start()
        trusting = ssl.create_default_context(cafile=str(made.authority))
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            shaken(trusting, listener.getsockname()[1], "bank.example")
        answering.join(20)


def _answer(context: ssl.SSLContext, listener: socket.socket) -> None:
    plain, _ = listener.accept()
    with plain:
        try:
            context.wrap_socket(plain, server_side=True).close()
        except OSError:
            plain.close()


def old_client(version: ssl.TLSVersion) -> ssl.SSLContext:
    """One that would speak an old protocol, and whose library lets it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_protocols_are_refused(page: tuple[Places, str]) -> None:
    places, address = page
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.set_ciphers("ALL:@SECLEVEL=0")
    lax.minimum_version = ssl.TLSVersion.TLSv1
    lax.load_cert_chain(places.review_keys / "page.pem", places.review_keys / "page.key")
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            answering = threading.Thread(target=_answer, args=(lax, listener))
            answering.start()
            assert shaken(old_client(version), listener.getsockname()[1]), "the client itself can speak it"
            answering.join(20)
        with pytest.raises(ssl.SSLError):
            shaken(old_client(version), port_of(address))
    assert shaken(old_client(ssl.TLSVersion.TLSv1_2), port_of(address)) == "TLSv1.2"


def test_headers_and_cookies_under_tls(page: tuple[Places, str], browser: Browser) -> None:
    places, address = page
    trusting = ssl.create_default_context(cafile=str(places.review_keys / "authority.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", port_of(address), timeout=20, context=trusting)
    connection.request("GET", "/sign-in")
    headers = connection.getresponse().headers
    connection.close()
    for name, value in walls.SECURITY_HEADERS.items():
        assert headers[name] == value
    assert "Strict-Transport-Security" not in headers, "it would lock out whoever does not trust the authority yet"
    (visit,) = headers.get_all("set-cookie") or []
    assert visit.startswith(f"__Host-{entrance.VISIT_COOKIE}=")
    for part in ("HttpOnly", "Path=/", "SameSite=strict", "Secure"):
        assert part in visit
    context = browser.new_context(ignore_https_errors=True)
    shown = context.new_page()
    sign_in(shown, address)
    shown.wait_for_url(address)
    (cookie,) = [each for each in context.cookies() if entrance.SESSION_COOKIE in each["name"]]
    assert cookie["name"] == f"__Host-{entrance.SESSION_COOKIE}"
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Strict", "/")
    shown.get_by_role("button", name="Sign out").click()
    expect(shown.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not [each for each in context.cookies() if entrance.SESSION_COOKIE in each["name"]]
    context.add_cookies([cookie])  # type: ignore[list-item]
    shown.goto(address)
    expect(shown.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


def test_a_trusted_certificate_is_insisted_on(tmp_path: Path) -> None:
    made = Hands(Places(tmp_path), tls="files")
    try:
        headers = made.get("/sign-in").headers
        assert headers["strict-transport-security"] == walls.STRICT_TRANSPORT
    finally:
        made.close()
