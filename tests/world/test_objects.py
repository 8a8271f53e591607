"""The process that reads objects: what it cannot do any more, and what one bad file costs the others."""

import hashlib
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_charset_files, get_testdata_file

from appliance.core.dicomweb.asking import BULK, FRAME, METADATA, PICTURE, STORED_FRAME
from appliance.errors import Quarantined, Unavailable
from appliance.world import objects
from appliance.world.objects import Objects


def file(name: str) -> bytes:
    path = get_charset_files(name)[0] if name.startswith("chr") else get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path).read_bytes()


CT, MR = file("CT_small.dcm"), file("MR_small.dcm")


@pytest.fixture
def reader() -> Iterator[Objects]:
    made = Objects()
    yield made
    made.close()


def ask(reader: Objects, data: bytes, act: int = METADATA, **told: object) -> bytes:
    told = {"address": "http://x"} if act == METADATA else told
    return reader.ask(hashlib.sha256(data).hexdigest(), lambda: data, act, **told)


def process_of(reader: Objects) -> int:
    assert reader._process is not None
    return reader._process.pid


def test_it_can_make_no_descriptor_and_no_process(reader: Objects) -> None:
    ask(reader, CT)
    limits = Path(f"/proc/{process_of(reader)}/limits").read_text()
    for name in ("Max open files", "Max processes", "Max core file size", "Max file size"):
        found = re.search(rf"{name} +(\d+) +(\d+)", limits)
        assert found is not None
        assert found.groups() == ("0", "0"), name
    space = re.search(r"Max address space +(\d+)", limits)
    assert space is not None
    status = Path(f"/proc/{process_of(reader)}/status").read_text()
    assert "NoNewPrivs:\t1" in status


def test_all_it_answers_it_answers_confined(reader: Objects) -> None:
    """What was not loaded before the walls went up could not be loaded after: each act once, on four syntaxes."""
    for name in ("CT_small.dcm", "JPEG2000.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "chrH31.dcm"):
        data = file(name)
        assert ask(reader, data).startswith(b"{")
        if name != "chrH31.dcm":
            assert ask(reader, data, STORED_FRAME, number=1)
            assert ask(reader, data, PICTURE, number=1, kind="image/jpeg").startswith(b"\xff\xd8")
    assert "\u3084\u307e\u3060".encode() in ask(reader, file("chrH31.dcm"))


def test_one_that_does_not_end_is_left_and_the_next_is_read(reader: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(reader, MR)
    first = process_of(reader)
    os.kill(first, signal.SIGSTOP)
    monkeypatch.setattr(objects, "CALL_S", 0.3)
    with pytest.raises(Quarantined, match="object-unreadable"):
        ask(reader, CT)
    monkeypatch.undo()
    assert ask(reader, MR)
    assert process_of(reader) != first
    second = process_of(reader)
    with pytest.raises(Quarantined, match="object-unreadable"):
        ask(reader, CT)
    assert process_of(reader) == second, "it was not tried again"


def test_a_process_that_ended_while_nobody_asked_is_no_object_s_fault(reader: Objects) -> None:
    ask(reader, MR)
    os.kill(process_of(reader), signal.SIGKILL)
    os.waitid(os.P_PID, process_of(reader), os.WEXITED | os.WNOWAIT)
    assert ask(reader, CT)
    assert ask(reader, MR)


def test_it_outlives_the_thread_that_asked_first(reader: Objects) -> None:
    """The kernel would end it with the thread that started it, and the next object would be blamed."""
    first = threading.Thread(target=ask, args=(reader, MR))
    first.start()
    first.join()
    before = process_of(reader)
    for _ in range(3):
        assert ask(reader, CT)
        assert ask(reader, MR)
    assert process_of(reader) == before


def test_it_is_not_started_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "STARTS_MAX", 1)
    reader = Objects(clock=lambda: 0.0)
    ask(reader, MR)
    os.kill(process_of(reader), signal.SIGKILL)
    os.waitid(os.P_PID, process_of(reader), os.WEXITED | os.WNOWAIT)
    with pytest.raises(Unavailable, match="objects-busy"):
        ask(reader, MR)
    reader.close()


def test_nothing_but_a_code_comes_of_bytes_that_are_none(reader: Objects) -> None:
    for data in (b"", b"\0" * 200, CT[:300], CT[:132] + b"\xff" * 500):
        with pytest.raises(Quarantined):
            ask(reader, data, FRAME, number=1)
    with pytest.raises(Quarantined, match="object-unreadable"):
        ask(reader, CT, BULK, path="7FE10010")
    with pytest.raises(Quarantined, match="pixel-missing"):
        ask(reader, CT, FRAME, number=99)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Objects]:
    made = Objects()
    ask(made, CT)
    yield made
    made.close()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(132, len(MR) - 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_a_damaged_object_ends_in_bytes_or_a_code(lasting: Objects, changes: list[tuple[int, int]]) -> None:
    data = bytearray(MR)
    for place, value in changes:
        data[place % 2000 if place % 3 else place] = value
    before = process_of(lasting)
    for act, told in ((METADATA, {}), (FRAME, {"number": 1}), (PICTURE, {"number": 1, "kind": "image/png"})):
        try:
            ask(lasting, bytes(data), act, **told)
        except Quarantined:
            continue
    assert process_of(lasting) == before, "it lived through it"
