"""Whatever bytes come: a refusal that names a place, or a clean object that any reader reads to its end."""

import io
import struct
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from functools import cache

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_objects import REAL_FILES, SITE_KEY, TOKENS, deidentify, planted, spelled_in
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from undone_rules import undone

from appliance.core import inspect_read
from appliance.core.identity import Identity, Item, identity_of
from appliance.core.inspect import findings, inspect
from appliance.core.inspect_read import DEPTH_MAX, Unreadable
from appliance.core.inspect_streams import Budget, streams_in
from appliance.errors import Quarantined

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
ENCAPSULATED = [
    "MR_small_RLE.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "MR_small_jp2klossless.dcm",
    "emri_small_jpeg_ls_lossless.dcm",
]


@cache
def pair(which: int) -> tuple[bytes, bytes, Identity]:
    """Source, cleaned object and identity: one of each transfer syntax, then one of each encoding of pixels."""
    if which < len(SYNTAXES):
        buffer = io.BytesIO()
        planted(SYNTAXES[which]).save_as(buffer)
        data = buffer.getvalue()
    else:
        data = next(path for path in REAL_FILES if path.name == ENCAPSULATED[which - len(SYNTAXES)]).read_bytes()
    return data, deidentify(data, SITE_KEY).bytes, identity_of(data)


@st.composite
def damaged(draw: st.DrawFn, data: bytes, other: bytes) -> bytes:
    """A file after bits flipped, bytes lost or put in, lengths changed, and pieces of another file pasted over it."""
    body = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(body) - 1)) if body else 0
        match draw(st.sampled_from(["flip", "lose", "put", "length", "paste", "cut"])):
            case "flip" if body:
                body[at] ^= 1 << draw(st.integers(0, 7))
            case "lose":
                del body[at : at + draw(st.integers(1, 40))]
            case "put":
                body[at:at] = draw(st.binary(max_size=12))
            case "length":
                body[at : at + 4] = struct.pack("<L", draw(st.sampled_from([0, 1, 8, 0xFFFF, 0xFFFFFFFF, 1 << 31])))
            case "paste":
                start = draw(st.integers(0, len(other)))
                piece = other[start : start + draw(st.integers(1, 64))]
                body[at : at + len(piece)] = piece
            case "cut":
                del body[max(at, 132) :]
    return bytes(body)


def fault_of(work: Callable[[], object]) -> Quarantined | None:
    """The one thing that may be raised."""
    try:
        work()
    except Quarantined as fault:
        return fault
    return None


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(st.data(), st.integers(0, len(SYNTAXES) + len(ENCAPSULATED) - 1))
def test_damage_is_refused_or_harmless(data: st.DataObject, which: int) -> None:
    source, cleaned, who = pair(which)
    body = data.draw(damaged(cleaned, source))
    fault = fault_of(lambda: inspect(body, who))
    if fault:
        assert fault.code.startswith("inspect-")
        assert not any(token in str(fault) for token in TOKENS)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        back = pydicom.dcmread(io.BytesIO(body), force=False)
        assert back.PatientIdentityRemoved == "YES"
        for element in back.iterall():
            assert not element.tag.is_private
    searched = inspect_read.read(body, strict=True).body
    assert not [token for token in TOKENS if spelled_in(searched, token)]


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.data(), st.integers(0, len(SYNTAXES) + len(ENCAPSULATED) - 1))
def test_identity_is_gathered_from_damaged_sources_or_they_are_refused(data: st.DataObject, which: int) -> None:
    source, cleaned, _ = pair(which)
    body = data.draw(damaged(source, cleaned))
    fault = fault_of(lambda: identity_of(body))
    assert fault is None or fault.code == "deid-unsupported"


@settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=400), st.sampled_from([b"", bytes(128) + b"DICM", b"{", b"[", b'{"a":']))
def test_any_bytes_are_refused_by_name(tail: bytes, head: bytes) -> None:
    who = Identity((Item("name", "Zwetschgenkern^B", "PatientName"),))
    for found in findings(head + tail, who):
        assert found.kind in ("identity", "structure", "unreadable")


def deflated(body: bytes) -> bytes:
    _, cleaned, _ = pair(SYNTAXES.index(DeflatedExplicitVRLittleEndian))
    start = 144 + int.from_bytes(cleaned[140:144], "little")
    packer = zlib.compressobj(9, wbits=-15)
    return cleaned[:start] + packer.compress(body) + packer.flush()


def test_a_deflate_bomb_is_refused_before_it_is_unfolded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect_read.BODY_BYTES_MAX <= 1 << 28
    monkeypatch.setattr(inspect_read, "BODY_BYTES_MAX", 1 << 23)
    bomb = deflated(bytes(1 << 26))
    assert len(bomb) < 1 << 18
    who = Identity((Item("name", "Zwetschgenkern^B", "PatientName"),))
    tracemalloc.start()
    with pytest.raises(Quarantined, match="inspect-unreadable at deflated data set"):
        inspect(bomb, who)
    with pytest.raises(Quarantined, match="deid-unsupported at deflated data set"):
        identity_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * inspect_read.BODY_BYTES_MAX


def test_nesting_and_numbers_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    _, cleaned, who = pair(1)
    element = struct.pack("<HH2sH", 0x0020, 0x4000, b"LT", 2) + b"x "
    assert findings(undone(cleaned, 0x00204000, element, DEPTH_MAX - 1), who) == ()
    deep = findings(undone(cleaned, 0x00204000, element, DEPTH_MAX + 1), who)
    assert [(one.place, one.kind) for one in deep] == [("nesting", "unreadable")]
    monkeypatch.setattr(inspect_read, "ELEMENTS_MAX", 5)
    assert [one.place for one in findings(cleaned, who)] == ["number of elements"]


def test_streams_have_limits() -> None:
    nested = b"Zwetschgenkern of Quellbrunnthal, " * 3
    for _ in range(5):
        nested = zlib.compress(nested)
    with pytest.raises(Unreadable):
        list(streams_in(nested, Budget()))
    with pytest.raises(Unreadable):
        list(streams_in(zlib.compress(bytes(1 << 27)), Budget()))
    many = zlib.compress(b"a stream") * 30_000
    with pytest.raises(Unreadable):
        list(streams_in(many, Budget()))


@pytest.mark.parametrize(
    "text",
    [
        b"1.2." + b"3" * 200_000,
        b"&" * 200_000,
        b"A" * 200_000 + b"!",
        b"a-" * 100_000,
        b"12/" * 66_000,
        b"%41" * 66_000,
    ],
)
def test_long_texts_take_no_longer_than_they_are_long(text: bytes) -> None:
    """The runner's own time limit is the bound: a search that goes back over and over would take hours."""
    _, cleaned, who = pair(1)
    header = struct.pack("<HH2sHL", 0x0040, 0xA160, b"UT", 0, len(text) + len(text) % 2)
    findings(undone(cleaned, 0x0040A160, header + text + b" " * (len(text) % 2), 0), who)
    identity_of(undone(cleaned, 0x0040A160, header + text + b" " * (len(text) % 2), 0))
