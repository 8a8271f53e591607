"""The centre's side of keys: `init`, `enrol-accept`, `revoke`, `rotate` and `broker-config`, all on plain files.

In the keys folder lie the centre's keys, one file for each appliance, and the workers' certificate: all a worker reads.
In the authority folder lie the keys that sign certificates; no worker and no broker needs it, so it may lie elsewhere.
It talks to nobody: requests come and answers go as files.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from appliance.core import enrolment
from appliance.core.document import decode, encode
from appliance.core.enrolment import EnrolmentRequest, Grant
from appliance.core.keys import CENTRE_KEYS_MAX, CentreKeys, DeviceKeys, PrivateKeys, key_file, read_key_file
from appliance.core.link import TlsFiles
from appliance.errors import Fault, Misconfigured, Quarantined
from appliance.world.keyfile import put, remove
from central import authority, brokers
from central.authority import Authority
from central.registry import DEVICE_ID, Registry

VERBS = ("init", "enrol-accept", "revoke", "rotate", "broker-config")
DEVICE_DAYS, OWN_DAYS = 90, 365
DAY_S = 86_400.0
LOOPBACK = ("127.0.0.1", "::1", "localhost")
KEY_BYTES = 32  # RFC 8032, RFC 7748
DEVICES, CENTRE = "devices", "centre"  # the two authorities
FILE_BYTES_MAX = 64 * 1024
ROOT_FILE, NO_ROOT = "updates-root.json", "none"
NEXT = "next-"  # a key that is told to the appliances and not used yet


def arguments(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The verbs' places on the command line."""
    made = {
        "init": commands.add_parser(
            "init", help="make the centre's keys, its authorities and the workers' certificate"
        ),
        "enrol-accept": commands.add_parser("enrol-accept", help="answer an appliance's request"),
        "revoke": commands.add_parser("revoke", help="stop believing an appliance, at once"),
        "rotate": commands.add_parser("rotate", help="make the centre's next key; with --promote use it"),
        "broker-config": commands.add_parser(
            "broker-config", help="write a mosquitto's configuration and certificates"
        ),
    }
    for each in made.values():
        each.add_argument("--keys", type=Path, required=True, help="the centre's keys folder")
        each.add_argument("--authority", type=Path, help="where its authorities lie (default: authority/ in --keys)")
    accept, broker = made["enrol-accept"], made["broker-config"]
    accept.add_argument("request", type=Path, help="the file that `appliance enrol` wrote")
    accept.add_argument("--fingerprint", default="", help="as the appliance's operator reads it to you")
    accept.add_argument("-o", "--output", type=Path, required=True, help="the answer, a file")
    accept.add_argument("--days", type=_days, default=DEVICE_DAYS, help="the certificate's life (default %(default)s)")
    accept.add_argument(
        "--updates-root",
        metavar="FILE",
        help=f"root of updates for the appliance to believe, or none (default: {ROOT_FILE} in --keys, if it is there)",
    )
    made["revoke"].add_argument("device", help="the appliance's device id")
    made["rotate"].add_argument("--promote", action="store_true", help="use the next key, once every appliance has it")
    broker.add_argument("-o", "--output", type=Path, required=True, help="folder for mosquitto's files")
    broker.add_argument("--host", action="append", required=True, help="name or address it is dialled at; repeatable")
    broker.add_argument("--bind", default="0.0.0.0", help="address to listen on (default %(default)s)")  # noqa: S104
    broker.add_argument("--device-port", type=int, default=8883, help="for appliances (default %(default)s)")
    broker.add_argument("--centre-port", type=int, default=8884, help="for workers (default %(default)s)")
    broker.add_argument("--installed-at", type=Path, help="where the folder will lie on the broker (default: -o)")
    broker.add_argument("--broker-state", type=Path, default=Path("/var/lib/mosquitto"), help="where sessions are kept")


def run(told: argparse.Namespace, *, now_s: float | None = None) -> int:
    """Runs one verb: 0, or 1 when a file or a fingerprint is not what it should be. Misconfigured is the caller's."""
    now_s = time.time() if now_s is None else now_s
    signing = told.authority or told.keys / "authority"
    try:
        match told.command:
            case "init":
                init(told.keys, signing, now_s=now_s)
            case "enrol-accept":
                root = updates_root(told.keys, told.updates_root)
                accept(
                    told.keys,
                    signing,
                    told.request,
                    told.fingerprint,
                    told.output,
                    days=told.days,
                    now_s=now_s,
                    root=root,
                )
            case "revoke":
                revoke(told.keys, signing, told.device, now_s=now_s)
            case "rotate":
                rotate(told.keys, promote=told.promote)
            case _:
                broker_config(signing, told, now_s=now_s)
    except OSError:
        raise Misconfigured("keys-folder", "--keys") from None
    except Misconfigured:
        raise
    except Fault as fault:
        print(f"central: {fault}: {fault.text}. {fault.hint}", file=sys.stderr)
        return 1
    return 0


def init(keys: Path, signing: Path, *, now_s: float) -> None:
    """Makes whatever is not there yet; the workers' certificate also when two thirds of its life are over."""
    if not any(keys.glob("centre*.key")):
        put(keys / "centre-1.key", key_file(_new_keys()), private=True)
    (keys / "devices").mkdir(exist_ok=True)
    for name in (DEVICES, CENTRE):
        if not (signing / f"{name}-ca.pem").exists():
            made = authority.found(f"{name} of this centre", now_s)
            put(signing / f"{name}-ca.key", authority.key_pem(made.key), private=True)
            put(signing / f"{name}-ca.pem", made.pem)
        _write_revocations(signing, name, now_s)
    centre = _authority(signing, CENTRE)
    put(keys / "centre-ca.pem", centre.pem)
    worker = keys / "worker.pem"
    ends = enrolment.ends_at(worker.read_bytes()) if worker.exists() else None
    if ends is None or ends - now_s < OWN_DAYS * DAY_S / 3:
        key = authority.new_key()
        made_for = authority.issue(centre, key.public_key(), brokers.CENTRE_NAME, now_s=now_s, days=OWN_DAYS)
        put(worker, made_for.public_bytes(Encoding.PEM) + authority.key_pem(key), private=True)
    print(f"centre {enrolment.centre_fingerprint(_public(keys))}")


def updates_root(keys: Path, told: str | None) -> str | None:
    """The root that an answer carries. Raises Misconfigured("updates-root-invalid"): what was named is none."""
    if told == NO_ROOT or (told is None and not (keys / ROOT_FILE).exists()):
        return None
    path = keys / ROOT_FILE if told is None else Path(told)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise Misconfigured("updates-root-invalid", path.name) from None
    if len(text) > enrolment.ROOT_LENGTH_MAX or not enrolment.is_updates_root(text):
        raise Misconfigured("updates-root-invalid", path.name)
    return text


def accept(
    keys: Path,
    signing: Path,
    request: Path,
    fingerprint: str,
    output: Path,
    *,
    days: int,
    now_s: float,
    root: str | None = None,
) -> None:
    """Checks a request, makes the appliance known, and writes the answer.

    The request of an appliance that is known under these very keys is a renewal and needs no person: it is signed by
    what was compared when it first came.
    """
    told = decode(EnrolmentRequest, _read(request))
    public, wish = enrolment.wished(told), told.wish
    device = wish.keys.device_id
    if _revoked_before(keys, wish.keys):
        raise Misconfigured("enrolment-revoked", device)
    known = Registry(keys).device(device)
    if known is not None and known != wish.keys:
        raise Misconfigured("enrolment-known", device)
    found = enrolment.request_fingerprint(wish)
    print(f"appliance {device} {found}")
    if known is None and not enrolment.same(found, fingerprint):
        raise Quarantined("fingerprint-differs")
    certificate = authority.issue(_authority(signing, DEVICES), public, device, now_s=now_s, days=days)
    # The serial number first: a certificate that nobody wrote down could never be revoked.
    issued = signing / "issued" / f"{device}.json"
    serials = [*_listed(issued), (f"{certificate.serial_number:x}", certificate.not_valid_after_utc.timestamp())]
    put(issued, json.dumps([each for each in serials if each[1] > now_s]).encode())
    put(keys / "devices" / f"{device}.json", encode(wish.keys))
    grant = Grant(
        keys=wish.keys,
        centre=_public(keys),
        certificate=certificate.public_bytes(Encoding.PEM).decode(),
        authority=_authority(signing, CENTRE).pem.decode(),
        updates_root=root,
    )
    put(output, encode(enrolment.answer(grant, Registry(keys).own[0])))
    print(f"centre {enrolment.centre_fingerprint(grant.centre)}")


def revoke(keys: Path, signing: Path, device: str, *, now_s: float) -> None:
    """Forgets an appliance (its next message is a stranger's) and writes the list that shuts brokers to it."""
    if DEVICE_ID.fullmatch(device) is None:
        raise Quarantined("enrolment-invalid", "device")
    file = keys / "devices" / f"{device}.json"
    if file.exists():
        put(keys / "revoked" / f"{device}-{int(now_s)}.json", file.read_bytes())
        remove(file)
    issued, gone = signing / "issued" / f"{device}.json", signing / f"{DEVICES}-revoked.json"
    put(gone, json.dumps([*_listed(gone), *((serial, now_s) for serial, _ in _listed(issued))]).encode())
    if issued.exists():
        remove(issued)
    _write_revocations(signing, DEVICES, now_s)
    print(f"revoked; put {signing / f'{DEVICES}-crl.pem'} beside each broker's acl and restart the broker")


def rotate(keys: Path, *, promote: bool) -> None:
    """Two steps, so that no appliance ever meets a key it was not told of: the next key goes out with every answer, and
    is used only after `--promote`; the former one still opens what was sealed to it."""
    waiting = sorted(keys.glob(f"{NEXT}centre-*.key"))
    if promote:
        if not waiting:
            raise Misconfigured("keys-missing", f"{NEXT}centre")
        waiting[0].rename(keys / waiting[0].name.removeprefix(NEXT))
    elif not waiting:
        numbers = [int(found[1]) for path in keys.glob("centre-*.key") if (found := re.search(r"(\d+)", path.name))]
        put(keys / f"{NEXT}centre-{max(numbers, default=0) + 1}.key", key_file(_new_keys()), private=True)
    print(f"centre {enrolment.centre_fingerprint(_public(keys))}")


def broker_config(signing: Path, told: argparse.Namespace, *, now_s: float) -> None:
    """Writes mosquitto's folder; again it renews the certificate and the lists of what is revoked."""
    folder: Path = told.output.absolute()
    installed = folder if told.installed_at is None else told.installed_at
    for name in (DEVICES, CENTRE):
        _write_revocations(signing, name, now_s)
        put(folder / f"{name}-ca.pem", _authority(signing, name).pem)
        put(folder / f"{name}-crl.pem", (signing / f"{name}-crl.pem").read_bytes())
    key, centre = authority.new_key(), _authority(signing, CENTRE)
    certificate = authority.issue(
        centre, key.public_key(), told.host[0], now_s=now_s, days=OWN_DAYS, hosts=tuple(told.host)
    )
    put(folder / "broker.key", authority.key_pem(key), private=True)
    put(folder / "broker.pem", certificate.public_bytes(Encoding.PEM))
    put(folder / "acl", brokers.access_list().encode())
    text = brokers.configuration(
        installed,
        device_port=told.device_port,
        centre_port=told.centre_port,
        bind=told.bind,
        state=told.broker_state,
    )
    put(folder / "mosquitto.conf", text.encode())
    print(f"mosquitto -c {installed / 'mosquitto.conf'}")


def line(keys: Path, host: str, *, tls: bool) -> TlsFiles | None:
    """With what a worker dials a broker; None in clear, which is for a broker on this machine only.

    raises  Misconfigured: "broker-in-clear", "keys-missing"
    """
    if tls:
        return worker_tls(keys)
    if host not in LOOPBACK:
        raise Misconfigured("broker-in-clear", "--broker")
    return None


def worker_tls(keys: Path) -> TlsFiles:
    """The workers' certificate. Raises Misconfigured("keys-missing")."""
    own = keys / "worker.pem"
    if not own.exists():
        raise Misconfigured("keys-missing", "worker.pem")
    return TlsFiles(authority=str(keys / "centre-ca.pem"), certificate=str(own), key=str(own))


def _public(keys: Path) -> CentreKeys:
    """What an appliance is told: the key in use, the next one if there is one, then older ones."""
    first, *older = (own.public for own in Registry(keys).own)
    waiting = [read_key_file(path.read_bytes(), path.name).public for path in sorted(keys.glob(f"{NEXT}centre-*.key"))]
    return CentreKeys(keys=(first, *waiting, *older)[:CENTRE_KEYS_MAX])


def _new_keys() -> PrivateKeys:
    return PrivateKeys(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))


def _authority(signing: Path, name: str) -> Authority:
    try:
        certificate, key = ((signing / f"{name}-ca.{kind}").read_bytes() for kind in ("pem", "key"))
    except OSError:
        raise Misconfigured("keys-missing", "--authority") from None
    return authority.read(certificate, key, f"{name}-ca")


def _write_revocations(signing: Path, name: str, now_s: float) -> None:
    revoked = [(int(serial, 16), when) for serial, when in _listed(signing / f"{name}-revoked.json")]
    data = authority.revocations(_authority(signing, name), revoked, now_s=now_s)
    put(signing / f"{name}-crl.pem", data)


def _revoked_before(keys: Path, wished: DeviceKeys) -> bool:
    """Whether any of the keys once belonged to a revoked appliance, under whatever name."""
    gone: set[str] = set()
    for path in (keys / "revoked").glob("*.json"):
        was = decode(DeviceKeys, path.read_bytes())
        gone |= {was.triage.signing, was.triage.sealing, was.uplink.signing, was.uplink.sealing}
    return bool(gone & {wished.triage.signing, wished.triage.sealing, wished.uplink.signing, wished.uplink.sealing})


def _listed(path: Path) -> list[tuple[str, float]]:
    """Serial numbers in hex, each with a time in seconds since 1970: its end, or when it was revoked."""
    return [(str(serial), float(when)) for serial, when in json.loads(path.read_bytes())] if path.exists() else []


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except OSError:
        raise Quarantined("enrolment-invalid", "file") from None


def _days(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 825:
        raise argparse.ArgumentTypeError("a certificate lives from 1 to 825 days")
    return int(text)
