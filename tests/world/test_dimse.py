"""Scanners on the network: dcmtk and pynetdicom as real senders, strangers, liars, a full disk, a broken line."""

import hashlib
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import data_store
import pydicom
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless
from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import CTImageStorage, Verification  # type: ignore[attr-defined]

from appliance.config import Config, Places
from appliance.core.admit import admit, file_meta
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.loop import FAULTS, Moment
from appliance.receive.listening import LANDING, Listening
from appliance.world import archive
from tests.tiny import tiny

PATIENCE_S = 20.0
OURS, SCANNER = "EDGE", "CT_1"
PDU = struct.Struct(">BBL")


class Door:
    """A listening receive service on a folder."""

    def __init__(self, root: Path, **knobs: object) -> None:
        receive = {"disk_reserve_bytes": 0, "file_bytes_max": 2**20}
        receive |= {key: knobs.pop(key) for key in list(knobs) if key in receive}  # type: ignore[misc]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        told = {"port": port, "ae_title": OURS, "peers": [f"{SCANNER}@127.0.0.1"], **knobs}
        config = Config.model_validate({"receive": receive, "dimse": told})
        self.places = Places(root)
        self.places.incoming.mkdir(parents=True)
        self.service = Listening(config, self.places)
        assert self.service.steps()["listen"](Moment(0.0, 0.0))
        assert self.service.listener is not None
        self.port = self.service.listener.port

    def taken(self) -> dict[str, bytes]:
        """Data sets by SOP Instance UID, as they lie in incoming/, each under its digest."""
        found = {}
        for path in self.places.incoming.glob("*.dcm"):
            data = path.read_bytes()
            assert path.stem == hashlib.sha256(data).hexdigest()
            found[str(pydicom.dcmread(BytesIO(data), stop_before_pixels=True).SOPInstanceUID)] = data
        return found

    def landing(self) -> list[Path]:
        """What lies half here once the service has tidied up, an hour later by the clock it is given."""
        assert self.service.listener is not None
        self.service.listener.tidy(time.time() + 3600.0)
        return list((self.places.incoming / LANDING).iterdir())

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def echo(self, *more: str, caller: str = SCANNER, called: str = OURS) -> subprocess.CompletedProcess[str]:
        return self.run("echoscu", "-v", "-aet", caller, "-aec", called, *more, "127.0.0.1", str(self.port))

    def send(self, *files: Path, more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        names = [str(each) for each in files]
        return self.run(
            "dcmsend", "-v", "-nh", "-aet", SCANNER, "-aec", OURS, *more, "127.0.0.1", str(self.port), *names
        )


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def open_door(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(**knobs: object) -> Door:
        doors.append(Door(tmp_path / f"house-{len(doors)}", **knobs))
        return doors[-1]

    yield make
    for door in doors:
        door.service.close()
    assert tempfile.tempdir is None


def film(folder: Path, number: int) -> Path:
    path = folder / f"{number}.dcm"
    path.write_bytes(tiny(f"1.2.826.0.1.88.{number}", 1, "P-1", "MR", number))
    return path


def body(data: bytes) -> bytes:
    return data[file_meta(data)[1] :]


@pytest.mark.filterwarnings("ignore")  # pydicom's, of odd headers
def test_every_real_object_is_kept_bit_by_bit_in_the_syntax_it_was_sent_in(
    open_door: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every object that pydicom ships: any class, any syntax, whatever is wrong inside."""
    door = open_door(file_bytes_max=64 * 2**20)
    shipped = (Path(pydicom.__file__).parent / "data" / "test_files", Path(data_store.__file__).parent / "data")
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    sent = set()
    for path in sorted(path for folder in shipped for path in folder.rglob("*.dcm")):
        data = path.read_bytes()
        try:
            header = admit(data)
        except Quarantined:
            continue  # broken files, shipped to try readers with: no sender could name their class
        sender = AE(ae_title=SCANNER)
        sender.add_requested_context(header.sop_class_uid, header.transfer_syntax_uid)
        line = sender.associate("127.0.0.1", door.port, ae_title=OURS)
        assert line.send_c_store(path).Status == 0, path.name
        line.release()
        sent.add((header.transfer_syntax_uid, body(data)))
    taken = [path.read_bytes() for path in door.places.incoming.glob("*.dcm")]
    assert {(admit(data).transfer_syntax_uid, body(data)) for data in taken} == sent
    assert len(sent) >= 100
    assert not door.landing()


@pytest.mark.parametrize("more", [{}, {"originator_aet": "PACS", "originator_id": 3}], ids=["plain", "moved"])
def test_a_peer_that_reads_in_small_pieces_is_answered_in_them(
    open_door: Callable[..., Door], tmp_path: Path, more: dict[str, Any]
) -> None:
    door = open_door()
    sender = AE(ae_title=SCANNER)
    sender.add_requested_context("1.2.840.10008.5.1.4.1.1.4", ExplicitVRLittleEndian)
    line = sender.associate("127.0.0.1", door.port, ae_title=OURS, max_pdu=64)
    pieces: list[int] = []
    line.bind(evt.EVT_DATA_RECV, lambda event: pieces.append(len(event.data)))
    assert line.send_c_store(pydicom.dcmread(film(tmp_path, 1)), **more).Status == 0
    line.release()
    assert len(door.taken()) == 1
    assert len(pieces) > 2
    assert max(pieces) <= 64 + 6


def test_an_echo_is_answered_to_who_is_listed_and_to_nobody_else(open_door: Callable[..., Door]) -> None:
    door = open_door(peers=[f"{SCANNER}@127.0.0.1", "MR_1@127.0.0.2"])
    assert door.echo().returncode == 0
    before = FAULTS["dimse-stranger"]
    for told in ({"caller": "NOBODY"}, {"caller": "MR_1"}, {"called": "OTHER"}):
        refused = door.echo(**told)
        assert refused.returncode != 0
        assert "Not Recognized" in refused.stdout + refused.stderr
    assert FAULTS["dimse-stranger"] == before + 2


def test_a_stranger_s_address_is_not_even_read(open_door: Callable[..., Door]) -> None:
    door = open_door(peers=[f"{SCANNER}@10.99.99.99"])
    with socket.create_connection(("127.0.0.1", door.port), timeout=PATIENCE_S) as line:
        assert line.recv(1) == b""


def test_a_low_disk_is_said_politely_and_sending_again_works(
    open_door: Callable[..., Door], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, one = open_door(disk_reserve_bytes=2**20), film(tmp_path, 1)
    sender = AE(ae_title=SCANNER)
    sender.add_requested_context("1.2.840.10008.5.1.4.1.1.4", ExplicitVRLittleEndian)
    line = sender.associate("127.0.0.1", door.port, ae_title=OURS)
    assert line.is_established
    # The disk fills between the last byte and the answer.
    monkeypatch.setattr(archive, "adopt", lambda *_: (_ for _ in ()).throw(Unavailable("disk-low")))
    assert line.send_c_store(pydicom.dcmread(one)).Status == 0xA700
    monkeypatch.undo()
    assert not door.taken()
    assert line.send_c_store(pydicom.dcmread(one)).Status == 0x0000
    line.release()
    assert len(door.taken()) == 1
    monkeypatch.setattr(archive, "free_bytes", lambda _: 0)
    refused = door.echo()
    assert refused.returncode != 0
    assert "Temporary Congestion" in refused.stdout + refused.stderr


def test_a_line_that_breaks_leaves_nothing_and_the_object_comes_whole_again(
    open_door: Callable[..., Door], tmp_path: Path
) -> None:
    door, one = open_door(), film(tmp_path, 1)
    with Talk(door.port) as talk:
        talk.associate()
        talk.command(CommandField=1, dataset=True)
        talk.pdv(body(one.read_bytes())[:100], last=False)
        until(lambda: len(list((door.places.incoming / LANDING).iterdir())) == 1)
    until(lambda: not door.landing())
    assert not door.taken()
    assert door.send(one).returncode == 0
    assert len(door.taken()) == 1


def test_what_an_honest_scanner_never_does_ends_its_association_and_no_other(
    open_door: Callable[..., Door], tmp_path: Path
) -> None:
    door = open_door(pdu_bytes_max=16_384)
    other = AE(ae_title=SCANNER)
    other.add_requested_context(Verification)
    beside = other.associate("127.0.0.1", door.port, ae_title=OURS)
    limited = FAULTS["dimse-limit"]

    def larger_than_allowed(talk: "Talk") -> None:
        talk.command(CommandField=1, dataset=True)
        for _ in range(2 * 2**20 // 16_000):
            talk.pdv(bytes(16_000), last=False)

    def endless_command(talk: "Talk") -> None:
        for _ in range(10):
            talk.pdv(bytes(16_000), last=False, command=True)

    def identifier_without_end(talk: "Talk") -> None:
        talk.command(CommandField=0x20, dataset=True)
        for _ in range(2 * 2**20 // 16_000):
            talk.pdv(bytes(16_000), last=False)

    def ever_more_requests(talk: "Talk") -> None:
        for _ in range(500):
            talk.command(CommandField=1, dataset=True)
            talk.pdv(body(film(tmp_path, 1).read_bytes()), last=True)

    for told in (larger_than_allowed, endless_command, identifier_without_end, ever_more_requests):
        with Talk(door.port) as talk:
            talk.associate()
            assert talk.is_ended_by(lambda: told(talk)), told.__name__  # noqa: B023
    assert FAULTS["dimse-limit"] >= limited + 4
    with Talk(door.port) as talk:
        talk.associate()
        assert talk.is_ended_by(lambda: talk.raw(PDU.pack(4, 0, 2**31)))
    assert beside.send_c_echo().Status == 0
    beside.release()
    until(lambda: not door.landing())


def test_whatever_a_listed_peer_says_others_are_served(open_door: Callable[..., Door], tmp_path: Path) -> None:
    door = open_door(request_timeout_s=1.0, associations_max=200)  # noise holds its place for a second

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        noise=st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=4),
        messages=st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=200)), max_size=4),
    )
    def babble(noise: list[tuple[int, bytes]], messages: list[tuple[int, bytes]]) -> None:
        with Talk(door.port) as talk:
            if messages:
                talk.associate()
            for control, data in messages:
                talk.is_ended_by(lambda: talk.pdv_of(control, data), wait=False)  # noqa: B023
            for kind, data in noise:
                talk.is_ended_by(lambda: talk.raw(PDU.pack(kind, 0, len(data)) + data), wait=False)  # noqa: B023

    babble()
    one = film(tmp_path, 1)
    assert door.send(one).returncode == 0
    assert len(door.taken()) == 1
    until(lambda: not door.landing())


def test_several_scanners_at_once_and_one_more_than_may(open_door: Callable[..., Door], tmp_path: Path) -> None:
    door = open_door(associations_max=4)
    films = [film(tmp_path, number) for number in range(80)]
    lots = [films[at::4] for at in range(4)]
    results: list[int] = []
    threads = [threading.Thread(target=lambda lot=lot: results.append(door.send(*lot).returncode)) for lot in lots]  # type: ignore[misc]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert results == [0] * 4
    assert len(door.taken()) == 80
    holders = []
    for _ in range(4):
        sender = AE(ae_title=SCANNER)
        sender.add_requested_context(Verification)
        holders.append(sender.associate("127.0.0.1", door.port, ae_title=OURS))
    assert all(each.is_established for each in holders)
    refused = door.echo()
    assert "Local Limit Exceeded" in refused.stdout + refused.stderr
    for each in holders:
        each.release()


def test_the_syntax_that_the_scanner_names_first_is_taken(open_door: Callable[..., Door]) -> None:
    door = open_door()
    sender = AE(ae_title=SCANNER)
    sender.add_requested_context(CTImageStorage, [JPEGLSLossless, ExplicitVRLittleEndian])
    sender.add_requested_context("1.3.12.2.1107.5.9.1", ExplicitVRLittleEndian)  # a vendor's own class
    line = sender.associate("127.0.0.1", door.port, ae_title=OURS)
    assert {(each.abstract_syntax, each.transfer_syntax[0]) for each in line.accepted_contexts} == {
        (CTImageStorage, JPEGLSLossless),
        ("1.3.12.2.1107.5.9.1", ExplicitVRLittleEndian),
    }
    line.release()


def certificates(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Key and certificate by owner: an authority, ours, the scanner's, and a stranger's of another authority."""
    made: dict[str, tuple[Path, Path]] = {}
    now = datetime.now(UTC)
    signers: dict[str, tuple[x509.Name, ec.EllipticCurvePrivateKey]] = {}
    for owner, by in (
        ("authority", "authority"),
        ("ours", "authority"),
        ("scanner", "authority"),
        ("localhost", "authority"),
        ("stranger", "stranger"),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, owner)])
        signers.setdefault(owner, (name, key))
        issuer, signer = signers[by]
        built = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(key.public_key())
        built = built.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(hours=1))
        built = built.not_valid_after(now + timedelta(days=1))
        built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(owner)]), critical=False)
        built = built.add_extension(x509.BasicConstraints(ca=owner == by, path_length=None), critical=True)
        paths = folder / f"{owner}.key", folder / f"{owner}.pem"
        shape = serialization.PrivateFormat.TraditionalOpenSSL
        plain = serialization.NoEncryption()
        paths[0].write_bytes(key.private_bytes(serialization.Encoding.PEM, shape, plain))
        paths[1].write_bytes(built.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        made[owner] = paths
    return made


def test_under_tls_both_sides_show_who_they_are(open_door: Callable[..., Door], tmp_path: Path) -> None:
    keys = certificates(tmp_path)
    files = {"tls_certificate_file": keys["ours"][1], "tls_key_file": keys["ours"][0]}
    told = {name: str(path) for name, path in {**files, "tls_authority_file": keys["authority"][1]}.items()}
    door = open_door(tls="mutual", request_timeout_s=2.0, **told)

    def line(owner: str) -> tuple[str, ...]:
        key, certificate = keys[owner]
        return ("+tls", str(key), str(certificate), "+cf", str(keys["authority"][1]))

    hanging = socket.create_connection(("127.0.0.1", door.port))  # shakes no hand, and keeps nobody from it
    assert door.echo(*line("scanner")).returncode == 0
    assert door.echo(*line("stranger")).returncode != 0
    assert door.echo().returncode != 0  # in clear
    assert door.echo(*line("scanner"), caller="NOBODY").returncode != 0
    hanging.close()
    with pytest.raises(Misconfigured, match="dimse-tls"):
        open_door(tls="mutual", **{**told, "tls_key_file": str(keys["scanner"][0])})


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"port": 104}, "name who may send"),
        ({"port": 104, "peers": ["CT_1@scanner"]}, "dimse.peers"),
        ({"port": 104, "peers": ["CT_1@10.0.0.300"]}, "IP address"),
        ({"port": 104, "peers": ["@10.0.0.3"]}, "peers"),
        ({"port": 104, "peers": ["A_TITLE_TOO_LONG_X@10.0.0.3"]}, "peers"),
        ({"port": 104, "peers": ["CT_1@10.0.0.3"], "host": "0.0.0.0"}, "without TLS"),
    ],
)
def test_a_wrong_list_of_peers_is_refused_at_the_start(told: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate({"dimse": told})


def test_peers_are_a_title_at_an_address() -> None:
    knobs = Config.model_validate({"dimse": {"port": 104, "peers": ["CT 1@10.0.0.3", "MR@fd00::5"]}}).dimse
    assert knobs.may_send("CT 1", "10.0.0.3")
    assert knobs.may_send("CT 1", "::ffff:10.0.0.3")
    assert knobs.may_send("MR", "fd00:0::5")
    assert not knobs.may_send("MR", "10.0.0.3")
    assert not knobs.may_send("ct 1", "10.0.0.3")
    assert not knobs.known_address("10.0.0.4")


def test_an_address_that_is_not_there_yet_is_tried_again(tmp_path: Path) -> None:
    told = {"port": 11_112, "host": "192.0.2.7", "peers": ["CT_1@10.0.0.3"]}  # RFC 5737: nobody's
    service = Listening(Config.model_validate({"dimse": told}), Places(tmp_path))
    with pytest.raises(Unavailable, match="dimse-address"):
        service.listen(Moment(0.0, 0.0))
    assert tempfile.tempdir is None


KILLED = """
import sys
from pathlib import Path
from appliance.config import Config, Places
from appliance.loop import Moment
from appliance.receive.listening import Listening
import time
config = Config.model_validate({"receive": {"disk_reserve_bytes": 0}, "dimse": {"port": int(sys.argv[2]),
    "ae_title": "EDGE", "peers": ["CT_1@127.0.0.1"]}})
places = Places(Path(sys.argv[1]))
places.incoming.mkdir(parents=True, exist_ok=True)
service = Listening(config, places)
service.listen(Moment(0.0, 0.0))
print("ready", flush=True)
time.sleep(600)
"""


def test_whoever_heard_success_finds_it_here_after_a_kill(tmp_path: Path) -> None:
    """Killed six times at its work; what was answered with success lies whole in incoming/, nothing else does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    films = [pydicom.dcmread(film(tmp_path, number)) for number in range(200)]
    heard: set[str] = set()
    for turn in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "house"), str(port)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        sender = AE(ae_title=SCANNER)
        sender.add_requested_context("1.2.840.10008.5.1.4.1.1.4", ExplicitVRLittleEndian)
        sender.dimse_timeout = 1.0  # it does not notice that its peer is gone
        line = sender.associate("127.0.0.1", port, ae_title=OURS)
        end = line.dul.socket
        raw = None if end is None else end.socket
        timer = threading.Timer(0.02 + 0.05 * turn, child.kill)
        timer.start()
        for dataset in films:
            if dataset.SOPInstanceUID in heard or not line.is_established:
                continue
            try:
                if line.send_c_store(dataset).get("Status") == 0:
                    heard.add(dataset.SOPInstanceUID)
            except (RuntimeError, ValueError):
                break  # the line went with the process
        timer.join()
        child.wait()
        child.stdout.close()
        line.abort()
        if raw is not None:
            raw.close()
    kept = {}
    for path in (tmp_path / "house" / "incoming").glob("*.dcm"):
        kept[admit(path.read_bytes()).sop_instance_uid] = path
    assert len(heard) >= 20
    assert heard <= set(kept)


class Talk:
    """A peer that speaks the protocol by hand, so that it can speak it badly."""

    def __init__(self, port: int) -> None:
        self.line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()

    def raw(self, data: bytes) -> None:
        self.line.sendall(data)

    def associate(self) -> None:
        def item(kind: int, data: bytes) -> bytes:
            return struct.pack(">BBH", kind, 0, len(data)) + data

        contexts = b""
        for number, syntax in ((1, "1.2.840.10008.5.1.4.1.1.4"), (3, "1.2.840.10008.1.1")):
            inside = item(0x30, syntax.encode()) + item(0x40, ExplicitVRLittleEndian.encode())
            contexts += item(0x20, bytes([number, 0, 0, 0]) + inside)
        user = item(0x50, item(0x51, struct.pack(">L", 16_384)) + item(0x52, b"1.2.3.4"))
        request = struct.pack(">HH16s16s32x", 1, 0, OURS.ljust(16).encode(), SCANNER.ljust(16).encode())
        request += item(0x10, b"1.2.840.10008.3.1.1.1") + contexts + user
        self.raw(PDU.pack(1, 0, len(request)) + request)
        kind, _, length = PDU.unpack(self._read(6))
        self._read(length)
        assert kind == 2, "not accepted"

    def _read(self, count: int) -> bytes:
        got = b""
        while len(got) < count:
            more = self.line.recv(count - len(got))
            assert more, "the line ended"
            got += more
        return got

    def command(self, *, CommandField: int, dataset: bool, uid: bytes = b"1.2.3\0") -> None:
        def element(tag: int, data: bytes) -> bytes:
            return struct.pack("<HHL", 0, tag, len(data)) + data

        def number(value: int) -> bytes:
            return struct.pack("<H", value)

        inside = element(0x0002, b"1.2.840.10008.5.1.4.1.1.4\0")
        inside += element(0x0100, number(CommandField)) + element(0x0110, number(1))
        inside += element(0x0700, number(0)) + element(0x0800, number(0 if dataset else 0x0101))
        inside += element(0x1000, uid)
        self.pdv(element(0, struct.pack("<L", len(inside))) + inside, last=True, command=True)

    def pdv(self, data: bytes, *, last: bool, command: bool = False) -> None:
        self.pdv_of(2 * last + command, data)

    def pdv_of(self, control: int, data: bytes) -> None:
        self.raw(PDU.pack(4, 0, len(data) + 6) + struct.pack(">LBB", len(data) + 2, 1, control) + data)

    def is_ended_by(self, work: Callable[[], None], *, wait: bool = True) -> bool:
        """Whether the other side aborts or closes over what is said."""
        try:
            work()
            while wait:
                head = self.line.recv(6)
                if not head or head[0] == 7:
                    return True
        except (ConnectionError, TimeoutError):
            return True
        return False
