"""Parts that come one by one, doubled, damaged or never: what the centre holds, what it says it has, and its limits."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Centre, Edge, Fate, Pipe
from centre_samples import (
    CENTRE,
    DEVICE,
    OTHER,
    Parcel,
    an_answer,
    case_number,
    enclosing,
    heard,
    large_parcel,
    letter_up,
    parcel,
    series_parcel,
    triage_keys,
)
from sqlalchemy import select

from appliance.core.drafting.question import Answered
from appliance.core.letter import sealed
from appliance.core.messages import Have, Receipt, Refusal, Request, Roll, topic_up
from appliance.core.transfer import all_parts, part_message
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.loop import Moment
from central import intake, store
from central.answers import have
from central.cli import main
from central.exchange import HAVE_EVERY_PARTS, HAVE_EVERY_S
from central.intake import RESETS_MAX
from central.series import write_series
from central.store import freight, lives

WALL = 1_700_000_000.0


class Bench:
    """A centre, its wire and its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.engine = folder, store.open_store(folder)
        self.pipe = Pipe(Fate())
        self.pipe.connect()
        self.centre = Centre(self.engine, folder, self.pipe, lambda _: Answered(an_answer(), "m", "s"))
        self.now = 0.0

    def hear(self, *messages: tuple[str, bytes], after_s: float = 0.0) -> list[Any]:
        """Takes messages in, and returns what is said to the device."""
        self.now += after_s
        for message in messages:
            self.pipe.from_edge(*message)
        for step in (self.centre.listen, self.centre.speak) * (1 + len(messages) // 16):
            step(Moment(WALL + self.now, self.now))
        return [heard(topic, data, topic.split("/")[3]) for topic, data in self.pipe.to_edge()]

    def rows(self, table: Any) -> list[Any]:
        with store.transaction(self.engine) as c:
            return list(c.execute(select(table)).all())

    def path(self, made: Parcel) -> Path:
        return self.centre.intake.spool.path(made.device_id, made.transfer_id)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.dispose()


def a_have(made: Parcel, parts: int | None) -> Any:
    return have(made.device_id, made.transfer_id, parts).document


# What is held, and what is said of it.


def test_what_is_held_is_said_after_a_while_and_once(bench: Bench) -> None:
    made = large_parcel()
    assert bench.hear(made.announcement, made.part(1)) == []
    assert bench.hear(after_s=HAVE_EVERY_S) == [a_have(made, 0b10)]
    assert bench.hear(after_s=HAVE_EVERY_S) == []
    assert bench.path(made).read_bytes()[len(made.data) // 3 :] != b""
    bench.hear(made.part(0))
    rest = [made.part(index) for index in range(2, made.told.parts)]
    assert bench.hear(*rest) == [made.receipt]
    assert not bench.path(made).exists()
    assert [row.body for row in bench.rows(store.cases)] == [made.document]


def test_what_is_held_is_said_at_once_after_many_parts(bench: Bench) -> None:
    made = series_parcel({"000001.dcm": dicom(48 * 1024 * (HAVE_EVERY_PARTS + 8))})
    requested(bench)
    bench.hear(made.announcement)
    said = bench.hear(*(made.part(index) for index in range(HAVE_EVERY_PARTS)))
    assert a_have(made, all_parts(HAVE_EVERY_PARTS)) in said


def test_a_copy_of_what_is_held_is_answered_with_what_is_held(bench: Bench) -> None:
    made = large_parcel()
    bench.hear(made.announcement, made.part(0))
    bench.hear(after_s=HAVE_EVERY_S)
    for copy in (made.announcement, made.part(0)):
        assert bench.hear(copy) == []
        assert bench.hear(after_s=HAVE_EVERY_S) == [a_have(made, 1)]


def test_parts_of_an_unknown_transfer_ask_for_its_manifest_without_a_storm(bench: Bench) -> None:
    made = large_parcel()
    unknown = a_have(made, None)
    assert bench.hear(made.part(0), made.part(1)) == [unknown]
    assert bench.hear(made.part(2)) == []
    assert bench.hear(made.part(0), after_s=HAVE_EVERY_S) == [unknown]
    assert bench.rows(store.transfers) == []
    assert not bench.path(made).exists()


def test_a_roll_is_told_of_half_sent_transfers(bench: Bench) -> None:
    half, whole, never = large_parcel(1), large_parcel(2), large_parcel(3)
    bench.hear(half.announcement, half.part(0), *whole.messages)
    ids = tuple(each.transfer_id for each in (half, whole, never))
    said = bench.hear(letter_up("roll", Roll(nonce="b" * 32, case_ids=(), transfer_ids=ids)))
    assert [each for each in said if isinstance(each, Have | Receipt)] == [
        a_have(half, 1),
        whole.receipt,
        a_have(never, None),
    ]


def test_a_part_that_is_not_what_was_sealed_is_not_held(bench: Bench) -> None:
    made, other = large_parcel(1), large_parcel(2)
    bench.hear(made.announcement)
    topic, good = made.part(0)
    bad = [
        good[:-1] + bytes([good[-1] ^ 1]),
        part_message(made.transfer_id, 1, good[24:]),  # another place
        part_message(made.transfer_id, 0, other.part(0)[1][24:]),  # another transfer
        part_message(made.transfer_id, made.told.parts, good[24:]),  # beyond the end
        part_message(made.transfer_id, made.told.parts - 1, made.part(made.told.parts - 1)[1][24:-1]),  # cut off
    ]
    bench.hear(*((topic, each) for each in bad))
    assert {row.code for row in bench.rows(store.quarantine)} == {"part-invalid"}
    assert sum(row.copies for row in bench.rows(store.quarantine)) == len(bad)
    assert [row.have for row in bench.rows(store.transfers)] == ["0"]
    assert made.receipt in bench.hear(*made.messages)


def test_two_devices_may_draw_one_transfer_id(bench: Bench) -> None:
    """A device that names another one's transfer reaches its own file only."""
    mine, theirs = large_parcel(), large_parcel(device_id=OTHER)
    bench.hear(mine.announcement, mine.part(0))
    before = bench.path(mine).read_bytes()
    stolen = part_message(mine.transfer_id, 0, theirs.part(0)[1][24:])
    assert bench.hear((topic_up(OTHER, "part"), stolen))[0].known is False
    assert bench.path(mine).read_bytes() == before


def test_a_spool_that_lost_what_it_held_asks_for_all_of_it_again(bench: Bench) -> None:
    made = large_parcel()
    bench.hear(*made.messages[:-1])
    with bench.path(made).open("r+b") as file:
        file.write(bytes(100))
    assert a_have(made, None) in bench.hear(made.messages[-1])
    assert [row.have for row in bench.rows(store.transfers)] == ["0"]
    assert made.receipt in bench.hear(*made.messages, after_s=HAVE_EVERY_S)


def test_a_spool_that_always_loses_refuses_the_transfer_and_takes_the_case_in_another(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = large_parcel()
    with monkeypatch.context() as patch:
        patch.setattr(type(bench.centre.intake.spool), "read", lambda *_: b"")
        for _ in range(RESETS_MAX + 1):
            bench.hear(*made.messages[:-1])
            said = bench.hear(made.messages[-1], after_s=HAVE_EVERY_S)
    refused = Refusal(case_id=made.case_id, transfer_id=made.transfer_id, code="part-invalid")
    assert refused in said
    assert bench.rows(store.cases) == [], "nothing is known of the case, so nothing is said against it"
    assert bench.rows(store.quarantine) == []
    assert not bench.path(made).exists()
    assert refused in bench.hear(*made.messages, after_s=HAVE_EVERY_S), "it stays refused"
    anew = enclosing(made.document, urgency=made.manifest.urgency, case_id=made.case_id, name="sealed anew")
    assert anew.receipt in bench.hear(*anew.messages, after_s=HAVE_EVERY_S)
    assert [row.state for row in bench.rows(store.cases)] == ["received"]
    with store.transaction(bench.engine) as c:
        assert lives.tally(c, "spool-damaged")[0] == 1


def test_a_series_that_the_spool_always_loses_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    requested(bench)
    made = series_parcel({"000001.dcm": dicom(90_000)})
    monkeypatch.setattr(type(bench.centre.intake.spool), "digest", lambda *_: "")
    for _ in range(RESETS_MAX + 1):
        said = bench.hear(*made.messages, after_s=HAVE_EVERY_S)
    assert Refusal(case_id=made.case_id, transfer_id=made.transfer_id, code="part-invalid") in said
    assert [row.state for row in bench.rows(store.requests)] == ["refused"]


def test_a_full_disk_under_the_spool_acknowledges_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made = large_parcel()
    bench.hear(made.announcement)
    plain = os.fsync

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    bench.pipe.from_edge(*made.part(0))
    for _ in range(3):
        with pytest.raises(Unavailable, match="store-away"):
            bench.centre.listen(Moment(WALL, bench.now))
    assert len(bench.pipe.delivered) == 1
    assert [row.have for row in bench.rows(store.transfers)] == ["0"]
    monkeypatch.setattr(os, "fsync", plain)
    bench.hear()
    assert bench.pipe.delivered == {}
    assert [row.have for row in bench.rows(store.transfers)] == ["1"]


def test_a_part_is_on_the_disk_before_its_bit_and_the_bit_before_the_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    made, plain_sync, plain_record, plain_ack = large_parcel(), os.fsync, freight.record_parts, bench.pipe.ack
    bench.hear(made.announcement)
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), plain_sync(fd))[1])
    monkeypatch.setattr(freight, "record_parts", lambda *a: (order.append("row"), plain_record(*a))[1])
    monkeypatch.setattr(bench.pipe, "ack", lambda m: (order.append("ack"), plain_ack(m))[1])
    bench.hear(made.part(0), made.part(1))
    assert order == ["fsync", "fsync", "fsync", "row", "ack", "ack"]  # the file, its folder, the folder's name


# Limits.


def test_the_transfers_of_one_device_are_bounded_and_the_oldest_is_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freight, "OPEN_MAX", 3)
    made = [large_parcel(number) for number in range(1, 6)]
    for each in made:
        bench.hear(each.announcement, each.part(0), after_s=1.0)
    bench.hear(large_parcel(9, device_id=OTHER).announcement)
    mine = {row.transfer_id for row in bench.rows(store.transfers) if row.device_id == DEVICE}
    assert mine == {each.transfer_id for each in made[2:]}
    assert [bench.path(each).exists() for each in made] == [False, False, True, True, True]
    assert bench.hear(made[0].part(1), after_s=10.0)[0] == a_have(made[0], None)
    edge = Edge(bench.pipe, made)
    for _ in range(20):
        edge.send()
        for _ in range(8):
            bench.now += 1.0
            bench.centre.listen(Moment(WALL + bench.now, bench.now))
            bench.centre.speak(Moment(WALL + bench.now, bench.now))
            edge.hear()
    assert edge.received == set(edge.parcels)


def test_a_case_larger_than_a_case_may_be_is_refused_before_its_parts_come(bench: Bench) -> None:
    made = large_parcel(name="bomb")
    limit = intake.CASE_SEALED_BYTES_MAX
    try:
        intake.CASE_SEALED_BYTES_MAX = len(made.data) - 1
        said = bench.hear(*made.messages)
    finally:
        intake.CASE_SEALED_BYTES_MAX = limit
    assert said == [Refusal(case_id=made.case_id, transfer_id=made.transfer_id, code="case-invalid")]
    assert bench.rows(store.transfers) == []


# Series.


def dicom(size: int = 2000) -> bytes:
    return bytes(128) + b"DICM" + os.urandom(size)


def requested(bench: Bench, number: int = 1) -> None:
    bench.hear(*parcel(number).messages)
    with store.transaction(bench.engine) as c:
        freight.request_series(c, DEVICE, case_number(number), WALL)


def test_a_series_is_asked_for_until_it_is_here_and_then_written(bench: Bench, tmp_path: Path) -> None:
    bench.hear(*parcel().messages)
    state = ["--state", str(bench.folder)]
    assert main(["series", case_number(1), *state, "-o", str(tmp_path / "out")]) == 78
    assert main(["request-series", case_number(1), *state]) == 0
    bench.now = WALL  # the request bears the wall clock
    asked = [Request(case_id=case_number(1), tier=2)]
    with store.transaction(bench.engine) as c:
        c.execute(store.requests.update().values(asked_at=WALL))
    bench.now = 0.0
    assert bench.hear() == asked
    assert bench.hear(after_s=29.0) == []
    assert bench.hear(after_s=1.0) == asked
    files = {f"{number:06d}.dcm": dicom(70_000) for number in (1, 2, 3)}
    made = series_parcel(files)
    assert made.told.parts > 3
    assert bench.hear(*made.messages)[-1] == made.receipt
    assert bench.hear(after_s=10_000.0) == []
    assert bench.hear(made.announcement) == [made.receipt]
    assert main(["series", case_number(1), *state, "-o", str(tmp_path / "out")]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files
    assert main(["series", case_number(1), *state, "-o", str(tmp_path / "out")]) == 78
    assert bench.path(made).stat().st_size == len(made.data)


def test_a_series_that_nobody_asked_for_is_refused(bench: Bench) -> None:
    made = series_parcel({"000001.dcm": dicom()})
    said = bench.hear(*made.messages)
    assert said == [Refusal(case_id=made.case_id, transfer_id=made.transfer_id, code="message-unasked")]
    assert bench.rows(store.transfers) == []


def test_a_crowded_disk_holds_back_series_and_no_case(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    requested(bench)
    series, case = series_parcel({"000001.dcm": dicom(90_000)}), large_parcel(2)
    bench.hear(series.announcement)
    monkeypatch.setattr(type(bench.centre.intake.spool), "free_bytes", lambda _: 10**6)
    said = bench.hear(*series.messages[1:], *case.messages)
    assert case.receipt in said
    assert bench.pipe.delivered == {}, "what is held back must not block the line"
    dropped = series.told.parts

    def told() -> list[int]:
        return [record.args[1] for record in caplog.records if "parts of series dropped" in record.msg]  # type: ignore

    assert told() == [dropped]
    bench.hear(*series.messages[1:], after_s=intake.SAY_AGAIN_S - 1.0)
    bench.hear(*series.messages[1:], after_s=0.5)
    assert told() == [dropped], "once a minute is enough"
    bench.hear(after_s=1.0)
    bench.hear(*series.messages[1:])
    assert told() == [dropped, 3 * dropped], "and then of all"
    with store.transaction(bench.engine) as c:
        assert lives.tally(c, "series-parts-dropped") == (4 * dropped, WALL + bench.now)
    monkeypatch.undo()
    assert series.receipt in bench.hear(*series.messages)


def members(*told: tuple[str, bytes, bytes]) -> bytes:
    whole = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, whole, mtime=0) as packed:
        for name, kind, content in told:
            member = tarfile.TarInfo(name)
            member.type, member.size = kind, len(content)
            packed.write(member.tobuf(tarfile.USTAR_FORMAT, "utf-8") + content + bytes(-len(content) % 512))
        packed.write(bytes(1024))
    return whole.getvalue()


HOSTILE = {
    "path": members(("../000001.dcm", tarfile.REGTYPE, dicom())),
    "absolute": members(("/tmp/000001.dcm", tarfile.REGTYPE, dicom())),
    "name": members(("DOE-JANE.dcm", tarfile.REGTYPE, dicom())),
    "link": members(("000001.dcm", tarfile.SYMTYPE, b"")),
    "device": members(("000001.dcm", tarfile.CHRTYPE, b"")),
    "twice": members(("000001.dcm", tarfile.REGTYPE, dicom()), ("000001.dcm", tarfile.REGTYPE, dicom())),
    "extended header": members(("000001.dcm", tarfile.XHDTYPE, b"20 path=/tmp/x.dcm\n")),
    "no DICOM": members(("000001.dcm", tarfile.REGTYPE, b"MZ" + bytes(300))),
    "cut": members(("000001.dcm", tarfile.REGTYPE, dicom()))[:-40],
    "no gzip": b"PK\x03\x04" + bytes(200),
    "no tar": gzip.compress(b"x" * 5000),
    "empty": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_writes_nothing(kind: str, tmp_path: Path) -> None:
    made = series_parcel({}, data=HOSTILE[kind] or gzip.compress(b""))
    with pytest.raises(Quarantined):
        write_series(made.manifest, io.BytesIO(made.data), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_sound_archive_made_by_hand_is_written(tmp_path: Path) -> None:
    data = dicom()
    made = series_parcel({}, data=members(("000001.dcm", tarfile.REGTYPE, data)))
    assert write_series(made.manifest, io.BytesIO(made.data), tmp_path / "out") == 1
    assert (tmp_path / "out" / "000001.dcm").read_bytes() == data
    with pytest.raises(Misconfigured, match="series-folder"):
        write_series(made.manifest, io.BytesIO(made.data), tmp_path / "out")


def test_a_damaged_part_in_the_spool_writes_nothing(tmp_path: Path) -> None:
    made = series_parcel({"000001.dcm": dicom()})
    damaged = made.data[:-1] + bytes([made.data[-1] ^ 1])
    with pytest.raises(Quarantined, match="part-invalid"):
        write_series(made.manifest, io.BytesIO(damaged), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_of_a_later_edition_is_refused_by_its_names(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    later = {"schema_version": "manifest/9", "case_id": "a" * 32, "transfer_id": "b" * 32, "new": True}
    topic = topic_up(DEVICE, "manifest")
    letter = sealed(json.dumps(later).encode(), place=topic, sender=triage_keys(DEVICE), recipient=CENTRE.public)
    (said,) = bench.hear((topic, letter))
    assert said == Refusal(case_id="a" * 32, transfer_id="b" * 32, code="message-newer")
    bench.engine.dispose()
