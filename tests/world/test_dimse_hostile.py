"""The scanners' door under what nobody honest does: idle associations by the hundred, a port scan, names that are
paths, transfer syntaxes that lie. Nothing that was acknowledged is lost, nothing lies outside, others are served.
"""

import re
import socket
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from appliance.core.admit import admit
from appliance.errors import Quarantined
from appliance.loop import FAULTS
from tests.world.test_dimse import Door, Talk, body, film, open_door, until  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, of what lies
MIB = 2**20
IDLE, HELD_MAX = 200, 192 * MIB
SUCCESS = b"\x00\x00\x00\x09\x02\x00\x00\x00\x00\x00"  # (0000,0900) Status, of two bytes, 0x0000: PS3.7 C


def resident() -> int:
    """What this process holds in memory, bytes (proc_pid_statm(5))."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_two_hundred_idle_associations_are_held_bounded_and_let_go(
    open_door: Callable[..., Door],  # noqa: F811
    tmp_path: Path,
) -> None:
    door = open_door(associations_max=IDLE, idle_timeout_s=10.0)  # longer than a slow machine needs for all
    before, talks = resident(), [Talk(door.port) for _ in range(IDLE)]
    try:
        for each in talks:
            each.associate()
        assert resident() - before < HELD_MAX
        refused = door.echo()
        assert "Local Limit Exceeded" in refused.stdout + refused.stderr
        until(lambda: door.echo().returncode == 0)  # nobody has hung up: their silence ended them
    finally:
        for each in talks:
            each.line.close()
    assert door.send(film(tmp_path, 1)).returncode == 0
    assert len(door.taken()) == 1


KNOCKS = (
    b"",
    b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # the beginning of a TLS hand-shake
    b"SSH-2.0-probe\r\n",
    b"\x01\x00\x00\x00\x00\x44",  # a request for an association that stops after its head
    bytes(64),
    b"\xff" * 64,
)


def test_a_port_scan_costs_nobody_anything(open_door: Callable[..., Door], tmp_path: Path) -> None:  # noqa: F811
    door, unforeseen = open_door(request_timeout_s=1.0, associations_max=50), FAULTS["unexpected"]
    for knock in KNOCKS * 5:
        with socket.create_connection(("127.0.0.1", door.port)) as line:
            line.sendall(knock)
    with socket.create_connection(("127.0.0.1", door.port)) as line:  # and one that hangs up by a reset
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: door.send(film(tmp_path, 1)).returncode == 0)
    assert len(door.taken()) == 1
    assert FAULTS["unexpected"] == unforeseen
    assert not door.landing()


def stored(door: Door, data: bytes, uid: bytes = b"1.2.3\0") -> None:
    """One object by hand, until its answer says success."""
    with Talk(door.port) as talk:
        talk.associate()
        talk.command(CommandField=1, dataset=True, uid=uid)
        talk.pdv(data, last=True)
        got = b""
        while SUCCESS not in got:
            more = talk.line.recv(4096)
            assert more, "the line ended"
            got += more


@pytest.mark.parametrize("uid", [b"../../../../escaped\0", b"/tmp/escaped", b"..\\escaped\0", b"1.2\x00/../3\0"])
def test_a_uid_that_is_a_path_names_no_file(open_door: Callable[..., Door], tmp_path: Path, uid: bytes) -> None:  # noqa: F811
    door, data = open_door(), film(tmp_path, 1)
    before = {name for name in names(tmp_path) if not name.startswith("house-")}
    with Talk(door.port) as talk:
        talk.associate()
        if talk.is_ended_by(lambda: talk.command(CommandField=1, dataset=True, uid=uid), wait=False):
            return
        talk.is_ended_by(lambda: talk.pdv(body(data.read_bytes()), last=True), wait=False)
        talk.is_ended_by(lambda: talk.line.recv(4096), wait=False)
    until(lambda: not door.landing())
    here = set(names(tmp_path)) - before
    assert all(re.fullmatch(r"house-0/incoming/[0-9a-f]{64}\.(dcm|released)", name) for name in here), here
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("lie", ["implicit", "big endian", "cut", "noise"])
def test_a_transfer_syntax_that_lies_is_kept_as_it_came_and_believed_by_nobody(
    open_door: Callable[..., Door],  # noqa: F811
    tmp_path: Path,
    lie: str,
) -> None:
    door, honest = open_door(), film(tmp_path, 1).read_bytes()
    dataset, out = pydicom.dcmread(BytesIO(honest)), BytesIO()
    syntax = ExplicitVRBigEndian if lie == "big endian" else ImplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        out, dataset, implicit_vr=lie != "big endian", little_endian=lie != "big endian", enforce_file_format=True
    )
    told = {"cut": body(honest)[:-9], "noise": bytes(range(256)) * 4}.get(lie, body(out.getvalue()))
    stored(door, told)
    (kept,) = door.places.incoming.glob("*.dcm")
    data = kept.read_bytes()
    assert body(data) == told, "success was said of these bytes"
    try:
        found = admit(data)
    except Quarantined:
        assert lie != "implicit"
        return
    assert lie == "implicit", "only this one can be told from the bytes, as readers do"
    assert found.sop_instance_uid == str(dataset.SOPInstanceUID)
