"""Objects that are larger than the memory that triage may have: taken in, kept, vouched for, and a person's."""

import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core.admit import admit
from appliance.core.structure import ends_where_it_says
from appliance.errors import Quarantined
from appliance.triage import intake
from appliance.world import archive, ledger
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

MIB = 2**20
LARGE, HELD_MAX = 64 * MIB, 12 * MIB


def large(folder: Path, syntax: str, *, behind: bytes = b"") -> Path:
    """A multi-frame object of many zeros, a hole in the disk, under its digest as receive names it."""
    dataset = pydicom.dcmread(BytesIO(tiny(UID, 1, "PAT-1", "MR", 3)))
    dataset.NumberOfFrames = LARGE // 64
    out, small = BytesIO(), dataset.PixelData
    explicit = syntax == ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(out, dataset, implicit_vr=not explicit, little_endian=True, enforce_file_format=True)
    made = out.getvalue()
    head = made[: -len(small) - 4]
    assert head.endswith(b"\xe0\x7f\x10\x00OB\0\0" if explicit else b"\xe0\x7f\x10\x00")
    path = folder / "large"
    with path.open("wb") as file:
        file.write(head + LARGE.to_bytes(4, "little"))
        file.seek(LARGE, 1)
        file.write(behind)
        file.truncate(file.tell())
    return path.rename(folder / f"{archive.digest_of(path)}.dcm")


def held(work: Callable[[], object]) -> int:
    """The most that Python held while it was done, bytes."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_an_object_is_admitted_without_being_held(tmp_path: Path, syntax: str) -> None:
    behind = b"\xfc\xff\xfc\xff" + (b"OB\0\0" if syntax == ExplicitVRLittleEndian else b"") + (4).to_bytes(4, "little")
    path = large(tmp_path, syntax, behind=behind + bytes(4))
    found = []
    assert held(lambda: found.append(intake._read_file(path))) < HELD_MAX
    (instance,) = found
    assert (instance.sop_instance_uid, instance.sha256) == (f"{UID}.7.1", path.stem)
    assert instance.has_pixels
    assert (instance.number_of_frames, instance.bytes_count) == (LARGE // 64, path.stat().st_size)
    assert held(lambda: admit(path.read_bytes())) > LARGE  # the measure would have seen it


def test_a_large_object_that_was_cut_is_named_without_being_held(tmp_path: Path) -> None:
    path = large(tmp_path, ExplicitVRLittleEndian)
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size - 1)

    def read() -> None:
        with pytest.raises(Quarantined, match="header-truncated"):
            intake._read_file(path)
        assert intake._whose(path) == (UID, f"{UID}.7.1")

    assert held(read) < LARGE - MIB  # its head, twice
    assert not archive.is_whole(tmp_path, path.stem)


def test_whether_a_large_file_is_whole_is_asked_without_holding_it(tmp_path: Path) -> None:
    path = large(tmp_path, ExplicitVRLittleEndian)
    kept = archive.instance_path(tmp_path, path.stem)
    archive.rename(path, kept)
    assert held(lambda: archive.is_whole(tmp_path, path.stem)) < HELD_MAX
    assert archive.is_whole(tmp_path, path.stem)
    with kept.open("rb+") as file:
        file.seek(LARGE // 2)
        file.write(b"x")
    assert not archive.is_whole(tmp_path, path.stem)


def test_a_padded_tail_is_none_of_the_data_set_and_any_other_is_a_cut(tmp_path: Path) -> None:
    dataset = Dataset()
    dataset.PatientID = "P-1"
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=False)
    data = out.getvalue()
    assert ends_where_it_says(data + bytes(3 * MIB), big_endian=False)
    assert not ends_where_it_says(data + bytes(3 * MIB) + b"x", big_endian=False)


@pytest.mark.parametrize("knobs", [{"object_bytes_max": MIB}, {"pixels_max": MIB}])
def test_one_beyond_the_limit_is_a_person_s_and_none_of_it_is_read(
    tmp_path: Path, knobs: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path, **knobs)
    try:
        digest = large(tmp_path, ExplicitVRLittleEndian).stem
        archive.rename(tmp_path / f"{digest}.dcm", bench.places.incoming / f"{digest}.dcm")
        read: list[int] = []
        whole = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.stat().st_size) or whole(path))
        bench.step()
        bench.step(passed=4.0)
        bench.step()
        with bench.triage.engine.connect() as c:
            last = ledger.moves_of(c, bench.study().number)[-1]
        assert (last.to_state, last.code) == ("quarantined", "pixel-too-large")
        assert max(read, default=0) < LARGE
        assert archive.is_whole(bench.places.instances, digest)
    finally:
        bench.triage.close()
