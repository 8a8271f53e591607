"""What lands is digested as it was written, what waits for that is bounded, and its name comes after its bytes."""

import hashlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.world import archive
from appliance.world.dimse import landed
from appliance.world.dimse.landed import LAG_BYTES_MAX, PIECE_BYTES, Landed

PDU_BYTES = 2**17


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "landing"))
    (tmp_path / "landing").mkdir()
    return tmp_path / "landing"


@given(st.lists(st.binary(max_size=70), max_size=30), st.integers(0, 2000))
def test_the_digest_is_of_all_that_was_written(pieces: list[bytes], lag_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(tempfile, "tempdir", folder)
        patch.setattr(landed, "LAG_BYTES_MAX", lag_bytes)
        file = Landed(suffix=".dcm")
        for number, piece in enumerate(pieces):
            file.write(memoryview(bytearray(b"head" + piece))[4:] if number % 2 else piece)
        file.close()
        assert file.path.read_bytes() == b"".join(pieces)
        assert file.sha256() == hashlib.sha256(b"".join(pieces)).hexdigest() == file.sha256()


@pytest.mark.usefixtures("landing")
def test_two_threads_that_ask_at_once_hear_the_same() -> None:
    file = Landed(suffix=".dcm")
    data = os.urandom(LAG_BYTES_MAX // 2)
    for at in range(0, len(data), PDU_BYTES):
        file.write(data[at : at + PDU_BYTES])
    file.close()
    with ThreadPoolExecutor(4) as threads:
        said = {each.result() for each in [threads.submit(file.sha256) for _ in range(8)]}
    assert said == {hashlib.sha256(data).hexdigest()}


@pytest.mark.parametrize("taken_bytes", [1, PDU_BYTES], ids=["byte by byte", "whole PDUs"])
@pytest.mark.usefixtures("landing")
def test_what_waits_to_be_digested_is_bounded(taken_bytes: int) -> None:
    """Of a PDU with one byte of an object in it the whole PDU would wait."""
    file = Landed(suffix=".dcm")
    for _ in range(40):
        file.write(memoryview(bytearray(PDU_BYTES))[:taken_bytes])
    assert len(file._waiting) <= LAG_BYTES_MAX // (PDU_BYTES + PIECE_BYTES)
    file.close()


def test_a_file_gets_its_name_once_its_bytes_are_on_the_disk(
    landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync = os.fsync

    def told(number: int) -> None:
        done.append(Path(f"/proc/self/fd/{number}").readlink().name)
        sync(number)

    def name() -> str:
        done.append("named")
        return "one.dcm"

    monkeypatch.setattr(os, "fsync", told)
    path = landing / "coming"
    path.write_bytes(b"bytes")
    archive.adopt(path, tmp_path, name)
    assert done == ["coming", "named", tmp_path.name]
    assert (tmp_path / "one.dcm").read_bytes() == b"bytes"
    assert not path.exists()


def test_no_name_appears_where_the_disk_failed(landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(_number: int) -> None:
        raise OSError(5, "the planted fault")

    monkeypatch.setattr(os, "fsync", failed)
    path = landing / "coming"
    path.write_bytes(b"bytes")
    with pytest.raises(OSError, match="planted"):
        archive.adopt(path, tmp_path, lambda: "one.dcm")
    assert not (tmp_path / "one.dcm").exists()
