"""A series leaves when it is asked for, whole, clean and sealed; or it stays and nothing of it leaves."""

import io
import tarfile
from typing import Any

import pydicom
import pytest

from appliance.cli.reconcile import reconcile
from appliance.core.redact import Frames
from appliance.core.transfer import PART_BYTES, opened_part, span
from appliance.errors import Quarantined
from appliance.loop import FAULTS
from appliance.world import wire
from tests.correspondents import manifest
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

SLICES = 7


@pytest.fixture
def study(bench: Bench) -> Bench:
    """A study of several slices whose case waits to be sent."""
    for number in range(1, SLICES + 1):
        bench.put(tiny(UID, number, "PAT-1", "MR", number))
    bench.step(passed=1)
    bench.step(passed=5)
    assert bench.study().state == "escalated"
    return bench


def ask(bench: Bench, case_id: str | None = None) -> None:
    engine = bench.link()
    with engine.begin() as c:
        wire.record_request(c, case_id or bench.result().case_id, 2, bench.now)
    engine.dispose()
    bench.step("series", passed=10)


def made(bench: Bench) -> list[Any]:
    with bench.triage.cases.connect() as c:
        return list(c.execute(wire.transfers.select().where(wire.transfers.c.tier == 2)))


def unsealed(bench: Bench) -> bytes:
    """What the centre reads."""
    (row,) = made(bench)
    told, data = manifest(row.letter), (bench.places.parts / row.sha256).read_bytes()
    assert (told.codec, told.sealed_bytes, told.parts) == ("tar+gzip", len(data), row.parts)
    found = b""
    for index in range(told.parts):
        offset, length = span(index, told.sealed_bytes)
        found += opened_part(told, index, data[offset : offset + length])
    return found


def objects(bench: Bench) -> list[pydicom.Dataset]:
    with tarfile.open(fileobj=io.BytesIO(unsealed(bench)), mode="r:gz") as tar:
        return [pydicom.dcmread(io.BytesIO(tar.extractfile(member).read())) for member in tar]  # type: ignore[union-attr]


def test_unasked_nothing_but_the_case_leaves(study: Bench) -> None:
    study.step("series", passed=10)
    assert made(study) == []


def test_all_of_it_leaves_clean_and_losslessly(study: Bench) -> None:
    ask(study)
    found = objects(study)
    assert len(found) == SLICES
    sources = [pydicom.dcmread(io.BytesIO(tiny(UID, number, "PAT-1", "MR", number))) for number in range(1, SLICES + 1)]
    pictures = sorted(each.pixel_array.tobytes() for each in found)
    assert pictures == sorted(each.pixel_array.tobytes() for each in sources)
    assert {each.StudyInstanceUID for each in found}.isdisjoint({UID})
    assert len({each.StudyInstanceUID for each in found}) == 1
    whole = unsealed(study)
    assert all(word not in gunzipped(whole) for word in (b"PAT-1", b"Simulated", UID.encode()))
    assert list(study.places.phi.glob("*.partial")) == []
    checks, _ = reconcile(study.places)
    assert [check.name for check in checks if not check.holds] == []


def gunzipped(data: bytes) -> bytes:
    import gzip

    return gzip.decompress(data)


def test_the_frame_tells_neither_name_nor_time(study: Bench) -> None:
    ask(study)
    assert unsealed(study)[3:8] == bytes(5), "no file name flag, and a time of zero (RFC 1952, 2.3)"
    with tarfile.open(fileobj=io.BytesIO(unsealed(study)), mode="r:gz") as tar:
        assert {(member.mtime, member.uname, member.gname, member.uid) for member in tar} == {(0, "", "", 0)}


def test_asked_again_it_is_not_made_again(study: Bench) -> None:
    ask(study)
    (before,) = made(study)
    ask(study)
    study.start()
    study.step("series", passed=10)
    assert made(study) == [before]


def test_a_series_of_many_parts_is_whole(study: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = study.stand_in.clean

    def large(data: bytes, shown: Frames) -> Any:
        import random
        from dataclasses import replace

        found = clean(data, shown)
        return replace(found, bytes=found.bytes + random.Random(found.sha256).randbytes(40_000))

    monkeypatch.setattr(study.stand_in, "clean", large)
    study.start()
    ask(study)
    (row,) = made(study)
    assert row.parts == -(-len(unsealed(study)) // PART_BYTES) > 5


def test_if_one_object_may_not_leave_none_does(study: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    clean, cleaned = study.stand_in.clean, []

    def refuses(data: bytes, shown: Frames) -> Any:
        cleaned.append(data)
        if len(cleaned) == SLICES - 1:
            raise Quarantined("inspect-identity-found", "PatientComments")
        return clean(data, shown)

    monkeypatch.setattr(study.stand_in, "clean", refuses)
    study.start()
    before, lying = FAULTS["series-stays"], set(study.places.parts.iterdir())
    ask(study)
    study.step("series", passed=10)
    assert made(study) == []
    assert set(study.places.parts.iterdir()) == lying
    assert len(cleaned) == SLICES - 1, "it is not tried again and again"
    assert FAULTS["series-stays"] == before + 1
    assert list(study.places.phi.glob("*.partial")) == []
    assert study.study().state == "escalated", "its case goes its way"


def test_a_site_may_say_never(study: Bench) -> None:
    network = study.config.network.model_copy(update={"full_series": "never"})
    study.config = study.config.model_copy(update={"network": network})
    study.start()
    ask(study)
    assert made(study) == []


def test_a_case_nobody_knows_is_passed_over(study: Bench) -> None:
    ask(study, "e" * 32)
    assert made(study) == []
    ask(study)
    assert len(made(study)) == 1


def test_a_crash_on_the_way_begins_it_again(study: Bench) -> None:
    study.start()
    engine = study.link()
    with engine.begin() as c:
        wire.record_request(c, study.result().case_id, 2, study.now)
    engine.dispose()
    step = study.steps["series"]
    from appliance.loop import Moment

    for _ in range(4):
        step(Moment(study.now + 100, study.now + 100))
    assert made(study) == []
    study.start()
    study.step("series", passed=200)
    assert len(objects(study)) == SLICES


def test_its_own_receipt_frees_it(study: Bench) -> None:
    ask(study)
    (row,) = made(study)
    engine = study.link()
    with engine.begin() as c:
        wire.record_receipt(c, study.result().case_id, study.now)
    study.step("free")
    assert [path.name for path in study.places.parts.iterdir()] == [row.sha256]
    with engine.begin() as c:
        wire.freight.record_transfer_received(c, row, study.now)
    engine.dispose()
    study.step("free")
    assert list(study.places.parts.iterdir()) == []
