"""Each kind of file in the watched folder has a defined fate, and none stops the others."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from appliance import receive
from appliance.config import Config, Places
from appliance.errors import Refused, Unavailable
from appliance.loop import Moment
from appliance.receive import Receive
from appliance.world import archive, folder

DICOM = bytes(128) + b"DICM" + b"a data set of sorts" * 40


class Room:
    """A receive service on a folder, with a clock that the test turns."""

    def __init__(self, root: Path, **knobs: object) -> None:
        told = {"watched_folder": str(root / "scanner"), "settle_s": 1.0, "disk_reserve_bytes": 0, **knobs}
        self.config = Config.model_validate({"receive": told})
        self.places = Places(root / "state")
        self.folder = root / "scanner"
        self.now = 1000.0
        self.start()

    def start(self) -> None:
        self.service = Receive(self.config, self.places)

    def rounds(self, count: int = 4, each_s: float = 1.1) -> None:
        for _ in range(count):
            self.now += each_s
            self.service.hinted()
            for step in self.service.steps().values():
                while step(Moment(self.now, self.now)):
                    pass

    def write(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def safe(self) -> set[str]:
        return {path.stem for path in self.places.incoming.glob("*.dcm")}

    def notes(self) -> list[str]:
        return sorted(json.loads(path.read_text())["code"] for path in self.places.incoming.glob("*.note"))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_whole_file_is_safe_before_it_is_moved_aside(room: Room) -> None:
    path = room.write("study/one.dcm", DICOM)
    room.rounds()
    assert room.safe() == {digest(DICOM)}
    assert (room.places.incoming / f"{digest(DICOM)}.dcm").read_bytes() == DICOM
    assert not path.exists()
    assert [file.read_bytes() for file in (room.folder / "taken").iterdir()] == [DICOM]


def test_nothing_is_taken_at_the_first_look(room: Room) -> None:
    room.write("one.dcm", DICOM)
    room.rounds(1)
    assert room.safe() == set()


def test_a_file_still_being_written_waits(room: Room) -> None:
    path = room.write("slow.dcm", DICOM[:300])
    for cut in (400, 500, 600):
        room.rounds(1)
        path.write_bytes(DICOM[:cut])
    assert room.safe() == set()
    path.write_bytes(DICOM)
    room.rounds()
    assert room.safe() == {digest(DICOM)}


def test_an_empty_file_waits_then_is_refused_and_kept(room: Room) -> None:
    room.write("empty.dcm", b"")
    room.rounds(4)
    assert room.notes() == []
    room.rounds(40)
    assert room.notes() == ["file-empty"]
    assert len(list((room.folder / "refused").iterdir())) == 1
    assert not (room.folder / "empty.dcm").exists()


def test_an_empty_file_that_fills_up_is_taken(room: Room) -> None:
    path = room.write("late.dcm", b"")
    room.rounds(4)
    path.write_bytes(DICOM)
    room.rounds()
    assert room.safe() == {digest(DICOM)}
    assert room.notes() == []


def test_what_is_not_dicom_is_refused_and_kept_unread(room: Room) -> None:
    room.write("holiday.jpg", b"\xff\xd8" + bytes(500))
    room.write("one.dcm", DICOM)
    room.rounds(40)
    assert room.notes() == ["file-not-dicom"]
    assert room.safe() == {digest(DICOM)}
    (kept,) = (room.folder / "refused").iterdir()
    assert kept.name.endswith("holiday.jpg")


def test_a_link_is_never_followed(room: Room, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere.dcm"
    secret.write_bytes(DICOM)
    (room.folder / "link.dcm").symlink_to(secret)
    (room.folder / "folder").symlink_to(tmp_path)
    room.rounds(6)
    assert room.safe() == set()
    assert room.notes() == ["file-link", "file-link"]
    assert secret.read_bytes() == DICOM


def test_a_pipe_does_not_stop_the_service(room: Room) -> None:
    os.mkfifo(room.folder / "pipe.dcm")
    room.write("one.dcm", DICOM)
    room.rounds(6)
    assert room.safe() == {digest(DICOM)}
    assert room.notes() == ["file-link"]


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    room = Room(tmp_path, file_bytes_max=2**20)
    room.write("large.dcm", DICOM + bytes(2**20))
    room.rounds()
    assert room.notes() == ["file-too-large"]


def test_a_vanishing_and_a_renamed_file(room: Room) -> None:
    gone = room.write("gone.dcm", DICOM)
    moved = room.write("part.tmp", DICOM + b"2")
    room.rounds(1)
    gone.unlink()
    moved.rename(room.folder / "whole.dcm")
    room.rounds()
    assert room.safe() == {digest(DICOM + b"2")}


def test_a_file_that_vanishes_under_our_hands_costs_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write("a.dcm", DICOM)
    room.write("b.dcm", DICOM + b"b")
    original = folder.bears_magic

    def vanish(path: Path, magic: folder.Magic) -> bool:
        if path.name == "a.dcm":
            path.unlink()
        return original(path, magic)

    monkeypatch.setattr(folder, "bears_magic", vanish)
    room.rounds()
    assert room.safe() == {digest(DICOM + b"b")}


def test_a_file_that_grows_while_it_is_copied_is_not_taken(room: Room) -> None:
    path = room.write("one.dcm", DICOM)
    look = folder.look_at(path)
    assert look is not None
    path.write_bytes(DICOM + b"more")
    with pytest.raises(Unavailable, match="file-changing"):
        list(folder.read_whole(look))


def test_the_same_name_written_again_is_taken_again(room: Room) -> None:
    room.write("one.dcm", DICOM)
    room.rounds()
    room.write("one.dcm", DICOM + b"second")
    room.rounds()
    assert room.safe() == {digest(DICOM), digest(DICOM + b"second")}


@pytest.mark.parametrize("policy", ["move", "delete"])
def test_a_writer_that_goes_on_after_the_move_loses_nothing(tmp_path: Path, policy: str) -> None:
    room = Room(tmp_path, after_taking=policy, keep_taken_s=60)
    path = room.write("one.dcm", DICOM)
    with path.open("ab") as writer:
        room.rounds()
        assert room.safe() == {digest(DICOM)}
        writer.write(b"and the rest")
    room.rounds()
    assert digest(DICOM + b"and the rest") in room.safe()


def test_a_change_during_a_stop_is_seen_at_the_next_start(tmp_path: Path) -> None:
    room = Room(tmp_path)
    path = room.write("one.dcm", DICOM)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    with path.open("ab") as writer:
        room.rounds()
        writer.write(b"while nobody looked")
    room.start()
    room.rounds()
    assert digest(DICOM + b"while nobody looked") in room.safe()


def test_delete_waits_and_never_deletes_what_is_not_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(tmp_path, after_taking="delete", keep_taken_s=20)
    room.write("one.dcm", DICOM)
    room.rounds()
    assert len(list((room.folder / "taken").iterdir())) == 1
    room.rounds(30)
    assert list((room.folder / "taken").iterdir()) == []
    assert room.safe() == {digest(DICOM)}
    room.write("two.dcm", DICOM + b"2")

    def full(*_: object) -> tuple[str, int]:
        raise Unavailable("disk-low")

    monkeypatch.setattr(archive, "put_stream", full)
    room.rounds(30)
    assert (room.folder / "two.dcm").exists()


def test_low_disk_takes_nothing_and_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(tmp_path, disk_reserve_bytes=2**20)
    room.write("one.dcm", DICOM)
    monkeypatch.setattr(archive, "free_bytes", lambda _: 2**20 - 1)
    room.rounds()
    assert room.safe() == set()
    assert (room.folder / "one.dcm").exists()
    monkeypatch.setattr(archive, "free_bytes", lambda _: 2**20 + len(DICOM))
    room.rounds()
    assert room.safe() == {digest(DICOM)}


def test_a_large_file_waits_where_it_would_eat_the_reserve_and_smaller_ones_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, large = Room(tmp_path, disk_reserve_bytes=2**20), DICOM + bytes(2**16)
    room.write("large.dcm", large)
    room.write("small.dcm", DICOM)
    monkeypatch.setattr(archive, "free_bytes", lambda _: 2**20 + 2**15)
    room.rounds(8)
    assert room.safe() == {digest(DICOM)}
    assert (room.folder / "large.dcm").exists()
    monkeypatch.setattr(archive, "free_bytes", lambda _: 2**20 + 2**17)
    room.rounds(8)
    assert room.safe() == {digest(DICOM), digest(large)}


def test_a_file_nobody_may_read_waits_and_stops_nobody(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write("a-locked.dcm", DICOM)
    room.write("b.dcm", DICOM + b"b")
    original = os.open

    def deny(path: object, flags: int, *rest: int) -> int:
        if str(path).endswith("a-locked.dcm"):
            raise PermissionError
        return original(path, flags, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", deny)
    room.rounds()
    assert room.safe() == {digest(DICOM + b"b")}
    assert (room.folder / "a-locked.dcm").exists()


def test_a_burst_is_taken_whole(room: Room) -> None:
    files = {
        digest(data): room.write(f"s{n % 7}/{n}.dcm", data)
        for n in range(700)
        for data in [DICOM + bytes([n % 256, n // 256])]
    }
    room.rounds()
    assert room.safe() == set(files)


def test_no_patient_name_from_a_file_name_reaches_incoming(room: Room) -> None:
    room.write("HARBOUR^ANNA.txt", b"not DICOM at all" * 20)
    room.write("HARBOUR^BERT.dcm", DICOM)
    room.rounds(40)
    everything = "".join(path.name + path.read_bytes().decode("latin-1") for path in room.places.incoming.iterdir())
    assert "ANNA" not in everything
    assert "BERT" not in everything


def test_refusal_is_told_once_even_if_the_move_fails_first(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write("not.dcm", b"x" * 500)
    original = archive.rename
    failed: list[int] = []

    def dies_once(source: Path, target: Path) -> None:
        if "refused" in target.parts and not failed:
            failed.append(1)
            raise KeyboardInterrupt
        original(source, target)

    monkeypatch.setattr(archive, "rename", dies_once)
    with pytest.raises(KeyboardInterrupt):
        room.rounds(40)
    room.start()
    room.rounds(40)
    assert room.notes() == ["file-not-dicom"]
    assert failed


def test_magic_is_read_without_following(room: Room, tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_bytes(DICOM)
    link = room.folder / "l"
    link.symlink_to(target)
    with pytest.raises(Refused, match="file-link"):
        folder.bears_magic(link)


def refuse_to_move(monkeypatch: pytest.MonkeyPatch, closed: Path) -> list[int]:
    """Makes a folder the scanner's own: its files can be read and not moved out. The list counts the copies made."""
    rename, put_stream, copies = archive.rename, archive.put_stream, [0]

    def deny(source: Path, target: Path) -> None:
        if source.parent == closed:
            raise PermissionError
        rename(source, target)

    def count(*told: Any) -> tuple[str, int]:
        copies[0] += 1
        return put_stream(*told)

    monkeypatch.setattr(archive, "rename", deny)
    monkeypatch.setattr(archive, "put_stream", count)
    return copies


def test_a_file_that_may_not_be_moved_is_copied_once_and_moved_when_it_may(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = room.write("theirs/one.dcm", DICOM)
    with monkeypatch.context() as patch:
        copies = refuse_to_move(patch, path.parent)
        room.rounds(20)
        assert (room.safe(), copies) == ({digest(DICOM)}, [1])
        path.write_bytes(DICOM + b"written again")
        room.rounds(20)
        assert (len(room.safe()), copies) == (2, [2])
    room.rounds()
    assert not path.exists()
    assert len(list((room.folder / "taken").iterdir())) == 1


def test_a_refused_file_that_may_not_be_moved_stops_nobody(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    path = room.write("theirs/note.txt", b"no film" * 50)
    refuse_to_move(monkeypatch, path.parent)
    room.rounds(40)
    room.write("one.dcm", DICOM)
    room.rounds()
    assert room.notes() == ["file-not-dicom"]
    assert room.safe() == {digest(DICOM)}
    assert path.exists()


@pytest.mark.parametrize(
    ("name", "data"), [("щ" * 127, b"no film" * 50), ("щ" * 125 + ".dcm", DICOM), ("影" * 85, DICOM)]
)
def test_the_longest_name_is_moved_aside(room: Room, name: str, data: bytes) -> None:
    room.write(name, data)
    room.write("Ѩ.dcm", DICOM + b"2")
    room.rounds(40)
    assert [path.name for path in room.folder.iterdir() if path.is_file()] == []
    assert digest(DICOM + b"2") in room.safe()


def test_a_folder_named_taken_below_the_top_is_the_scanners(room: Room) -> None:
    room.write("2026/taken/one.dcm", DICOM)
    room.write("2026/refused", DICOM + b"2")
    room.rounds()
    assert room.safe() == {digest(DICOM), digest(DICOM + b"2")}


@pytest.mark.parametrize("right", ["list", "enter"])
def test_a_closed_folder_hides_no_other_and_is_named(room: Room, monkeypatch: pytest.MonkeyPatch, right: str) -> None:
    for name in "abc":
        room.write(f"{name}/{name}.dcm", DICOM + name.encode())
    room.write("top.dcm", DICOM)
    closed, scandir, lstat = room.folder / "b", os.scandir, Path.lstat

    def list_it(path: Path) -> Any:
        if path == closed:
            raise PermissionError
        return scandir(path)

    def enter_it(path: Path) -> os.stat_result:
        if path.parent == closed:
            raise PermissionError
        return lstat(path)

    if right == "list":
        monkeypatch.setattr(os, "scandir", list_it)
    else:
        monkeypatch.setattr(Path, "lstat", enter_it)
    told = set()
    for _ in range(4):
        try:
            room.rounds(1)
        except Unavailable as fault:
            told.add(fault.code)
            room.service.take(Moment(room.now, room.now))  # as the loop goes on with the next step
    assert told == {"folder-away"}
    assert room.safe() == {digest(DICOM + more) for more in (b"", b"a", b"c")}


def test_a_backlog_is_not_looked_through_again_before_every_handful(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking costs as much as the backlog is long: 200 000 files would take a day."""
    for n in range(receive.FILES_A_STEP * 5):
        room.write(f"{n}.dcm", DICOM + str(n).encode())
    looks, through = [0], folder.look_through

    def count(*told: Any) -> Any:
        looks[0] += 1
        return through(*told)

    monkeypatch.setattr(folder, "look_through", count)
    while len(room.safe()) < receive.FILES_A_STEP * 5:
        room.now += 1.1
        for step in room.service.steps().values():
            step(Moment(room.now, room.now))
    assert looks[0] <= 3


def test_what_is_held_in_memory_is_bounded(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "HELD_MAX", 5)
    monkeypatch.setattr(receive, "LOOKS_MAX", 4)
    for n in range(30):
        room.write(f"{n}.dcm", DICOM + str(n).encode())
    room.rounds(1)
    assert len(room.service.watched) == 4
    room.rounds(40)
    assert len(room.service.taken) == 5
    assert len(room.safe()) == len(list((room.folder / "taken").iterdir())) == 30


def test_a_folder_that_is_not_mounted_yet_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "scanner").write_bytes(b"what stands there before the mount")
    room = Room(tmp_path)
    with pytest.raises(Unavailable, match="folder-away"):
        room.rounds(1)
    (tmp_path / "scanner").unlink()
    (tmp_path / "scanner").mkdir()
    room.write("one.dcm", DICOM)
    room.rounds()
    assert room.safe() == {digest(DICOM)}


def test_final_reports_have_a_folder_of_their_own(tmp_path: Path) -> None:
    made = Room(tmp_path, unlike_dicom_s=1.0)
    told = {"folder": str(tmp_path / "ris"), "senders": ["RIS@H"]}
    finding = {"label": "pneumonia", "observation": "1^LN", "present": ["J18^I10"]}
    config = Config.model_validate(
        {"receive": made.config.receive.model_dump(mode="json"), "reports": {**told, "findings": [finding]}}
    )
    kind = receive.reports(config)
    assert kind is not None
    made.folder, made.service = tmp_path / "ris", Receive(config, made.places, kind)
    assert not set(made.service.steps()) & set(Receive(made.config, made.places).steps())
    message = b"MSH|^~\\&|RIS|H\rPID|1\r"
    for name, data in (
        ("a.hl7", message),
        ("b", b"\x0b" + message),
        ("film.dcm", DICOM),
        ("no", b"words"),
        ("big", message * 60_000),
    ):
        made.write(name, data)
    made.rounds()
    assert {path.name for path in made.places.incoming.glob("*.hl7")} == {
        f"{digest(each)}.hl7" for each in (message, b"\x0b" + message)
    }
    assert {path.name for path in made.places.incoming.glob("*.sr")} == {f"{digest(DICOM)}.sr"}
    assert made.safe() == set(), "no image by that door"
    assert made.notes() == ["file-not-hl7", "file-too-large"]
    assert receive.reports(made.config) is None


def test_it_is_awake_when_what_settles_has_settled_and_not_before(room: Room) -> None:
    assert room.service.due(room.now) == math.inf
    room.write("a.dcm", DICOM)
    room.service.look(Moment(room.now, room.now))
    assert room.service.due(room.now) == room.now + 1.0
    room.rounds()
    assert room.service.due(room.now) == math.inf
