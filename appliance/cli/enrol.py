"""`appliance enrol`: makes this appliance's keys and its request to the centre; with --answer installs what came back.

Keys are made here and never leave; the request bears public ones. It is run by whoever may read the keys folder (root
on an installed appliance), not by a service. Run again it makes nothing anew that is still good, so a lost request or
an interrupted installation is mended by repeating the command.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from appliance.config import Config
from appliance.core import enrolment
from appliance.core.document import decode, encode
from appliance.core.keys import CentreKeys, DeviceKeys, PrivateKeys, key_file
from appliance.core.signature import KEY_BYTES
from appliance.errors import Misconfigured, Quarantined
from appliance.world import keyring
from appliance.world.keyfile import put, remove

NEXT_LINE_FILE = "tls-next.key"  # of a request that is not answered yet
FILE_BYTES_MAX = 64 * 1024
DAY_S = 86_400.0
CENTRE_TIMEOUT_S = 60.0


def run(config: Config, told: argparse.Namespace, *, clock: Callable[[], float] = time.time) -> int:
    """Runs the verb. Raises Misconfigured or Quarantined with what stands against it; then nothing is installed."""
    try:
        if told.answer is None:
            ask(config, told.output, renew=told.renew)
        else:
            install(config, told.answer, told.fingerprint, now_s=clock())
    except OSError:
        raise Misconfigured("keys-folder", "keys.folder") from None
    return 0


def here(config: Config, centre_keys: Path) -> None:
    """Enrols with a centre on this machine, by its command: both sides are one person, who has nothing to compare.

    centre_keys  its keys folder; made when it is not there
    raises       Misconfigured("centre-command"): it did not answer
    """
    if _known_centre(config) is not None:
        return
    _centre("init", "--keys", str(centre_keys))
    with tempfile.TemporaryDirectory() as folder:
        request, answer = Path(folder, "request"), Path(folder, "answer")
        told = ask(config, request, renew=False)
        words = ("--keys", str(centre_keys), str(request), "-o", str(answer), "--fingerprint", told)
        install(config, answer, _centre("enrol-accept", *words), now_s=time.time())


def _centre(*words: str) -> str:
    """Runs a command of the centre; returns the fingerprint that it prints in its last line."""
    command = [sys.executable, "-m", "central.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CENTRE_TIMEOUT_S)  # noqa: S603
    if done.returncode:
        raise Misconfigured("centre-command", words[0])
    return done.stdout.strip().splitlines()[-1].removeprefix("centre ")


def ask(config: Config, output: Path, *, renew: bool) -> str:
    """Writes a request, prints and returns what the two people compare."""
    folder = config.keys.folder
    if renew:
        keyring.centre(config.keys)  # raises where there is nothing to renew
    triage, uplink = (_own(config, party, make=not renew) for party in ("triage", "uplink"))
    made = enrolment.request(config.site.device_id, triage, uplink, _next_line_key(folder))
    put(output, encode(made))
    found = enrolment.request_fingerprint(made.wish)
    print(f"appliance {config.site.device_id} {found}")
    return found


def install(config: Config, answer: Path, fingerprint: str, *, now_s: float) -> None:
    """Checks that the answer is the centre's and for our keys, then installs it.

    The first time a person compares the centre's fingerprint; later the centre that is known must have signed it.
    """
    folder = config.keys.folder
    told = decode(enrolment.EnrolmentAnswer, _read(answer))
    known, keys = _known_centre(config), _public(config)
    line_key = _asked_for(folder)
    grant = enrolment.granted(told, keys, line_key.public_key(), known, now_s=now_s)
    found = enrolment.centre_fingerprint(grant.centre)
    print(f"centre {found}")
    if known is None and not enrolment.same(found, fingerprint):
        raise Quarantined("fingerprint-differs")
    # The certificate and its key in one file, so that there is no moment in which they do not fit each other.
    put(folder / keyring.AUTHORITY_FILE, grant.authority.encode())
    put(folder / keyring.LINE_FILE, grant.certificate.encode() + _pem(line_key), private=True)
    put(folder / keyring.CENTRE_FILE, encode(grant.centre))
    if grant.updates_root is not None:
        _believe(config.updates.root, grant.updates_root.encode())
    remove(folder / NEXT_LINE_FILE)
    ends = enrolment.ends_at(grant.certificate.encode())
    assert ends is not None, "checked when it was granted"
    print(f"installed; the certificate lasts {round((ends - now_s) / DAY_S)} days. Restart the services to use it.")


def _believe(path: Path, root: bytes) -> None:
    """The root of updates is laid where it is looked for. One that is there stays: it was given in person, or follows
    the repository's own rotations, and no answer takes its place."""
    if path.exists():
        if path.read_bytes() != root:
            print(f"another root of updates lies at {path.name} and stays: to replace it take it away first")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    put(path, root)
    print(f"root of updates {hashlib.sha256(root).hexdigest()}")


def _own(config: Config, party: keyring.Party, *, make: bool) -> PrivateKeys:
    try:
        return keyring.own(config.keys, party)
    except Misconfigured as fault:
        if fault.code != "not-enrolled" or not make:
            raise
    keys = PrivateKeys(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))
    put(config.keys.folder / f"{party}.key", key_file(keys), private=True)
    return keys


def _public(config: Config) -> DeviceKeys:
    triage, uplink = (keyring.own(config.keys, party).public for party in ("triage", "uplink"))
    return DeviceKeys(device_id=config.site.device_id, triage=triage, uplink=uplink)


def _known_centre(config: Config) -> CentreKeys | None:
    try:
        return keyring.centre(config.keys)
    except Misconfigured as fault:
        if fault.code != "not-enrolled":
            raise
        return None


def _next_line_key(folder: Path) -> EllipticCurvePrivateKey:
    """The key of the request that waits for its answer, or a new one: every certificate gets a key of its own."""
    path = folder / NEXT_LINE_FILE
    if path.exists():
        return _loaded(path)
    key = generate_ec(SECP256R1())
    put(path, _pem(key), private=True)
    return key


def _asked_for(folder: Path) -> EllipticCurvePrivateKey:
    """The key an answer is awaited for; after an installation that was interrupted, the one installed."""
    waiting, installed = folder / NEXT_LINE_FILE, folder / keyring.LINE_FILE
    path = waiting if waiting.exists() else installed
    if not path.exists() or not path.stat().st_size:
        raise Misconfigured("not-enrolled", "keys.folder")
    return _loaded(path)


def _loaded(path: Path) -> EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise Misconfigured("keys-invalid", f"keys.folder/{path.name}") from None
    if not isinstance(key, EllipticCurvePrivateKey):
        raise Misconfigured("keys-invalid", f"keys.folder/{path.name}")
    return key


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except OSError:
        raise Quarantined("enrolment-invalid", "file") from None
