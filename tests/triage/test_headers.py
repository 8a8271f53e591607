"""One element of a valid film after another is taken out, emptied or filled with junk: none of it ends in routine.

The network of this test is the worst there could be: whatever it sees, it clears. So what holds a film back here is
the header alone, and what is decided on must be the very picture that the valid film gave.
"""

import struct
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag

from appliance.core import applies
from appliance.core.admit import admit
from appliance.core.standing import Standing
from appliance.core.structure import LONG_VRS
from appliance.errors import Fault
from appliance.loop import guarded
from appliance.triage.looking import Court, judge
from tests.core.test_decide import FEATURES, MODEL

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on every odd value
FILM = Path(__file__).parents[2] / "sample_dicom" / "drawn" / "chest_child_ap.dcm"
TODAY = date(2027, 1, 1)
# Must be there and right, or nothing is decided.
NEEDED = {
    *("Modality", "SOPClassUID", "BodyPartExamined", "ViewPosition", "PatientAge", "Manufacturer"),
    *("ManufacturerModelName", "PhotometricInterpretation", "BitsStored", "BitsAllocated", "PixelRepresentation"),
    *("SamplesPerPixel", "Rows", "Columns", "PixelData", "TransferSyntaxUID"),
}
NAMES = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"}  # another UID is another film, as good as this one
# May be absent, but may not say anything else than they should.
HEEDED = {"ImageType", "PatientOrientation", "LossyImageCompression"}
JUNK = (b"", b" ", b"JUNK", b"0", b"-1", b"99", b"\xff" * 6, b"A\\B\\C", b"\0\0", b"1.2.3", b"9" * 64)


class Clearing:
    """A bench whose one network clears everything, and remembers what it saw."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def run(self, title: str, exit: int, tensor: np.ndarray) -> dict[str, np.ndarray]:
        self.seen.append(tensor)
        return {"logit": np.array([-9.0], np.float32), "features": np.zeros((1, FEATURES), np.float32)}

    def check(self, title: str, picture: np.ndarray) -> dict[str, np.ndarray]:
        raise AssertionError("the model of this test has no check network")

    def close(self) -> None:
        pass


class Element(NamedTuple):
    """One element of an explicit VR little endian file, as bytes."""

    tag: tuple[int, int]
    vr: bytes
    value: bytes

    @property
    def name(self) -> str:
        return keyword_for_tag(self.tag) or f"{self.tag[0]:04x},{self.tag[1]:04x}"

    @property
    def coded(self) -> bytes:
        value = self.value + b"\0" * (len(self.value) % 2)
        head = struct.pack("<HH", *self.tag) + self.vr
        if self.vr in LONG_VRS:
            return head + bytes(2) + struct.pack("<L", len(value)) + value
        return head + struct.pack("<H", len(value)) + value


def elements_of(data: bytes) -> list[Element]:
    """The elements behind the preamble, those of group 2 among them; none here is a sequence."""
    found, at = [], 132
    while at < len(data):
        tag, vr = struct.unpack_from("<HH", data, at), data[at + 4 : at + 6]
        start = at + (12 if vr in LONG_VRS else 8)
        length = int.from_bytes(data[start - 4 : start] if vr in LONG_VRS else data[start - 2 : start], "little")
        assert vr != b"SQ"
        found.append(Element(tag, vr, data[start : start + length]))
        at = start + length
    return found


def file_of(elements: Iterable[Element]) -> bytes:
    return bytes(128) + b"DICM" + b"".join(each.coded for each in elements)


def valid() -> list[Element]:
    """The drawn film as one of the certificate's group; the length of group 2 is left out, as some writers do."""
    told = {"Manufacturer": b"Harbour Imaging", "ManufacturerModelName": b"PX-224", "PatientAge": b"004Y"}
    found = elements_of(FILM.read_bytes())
    found = [each for each in found if each.name not in ("PatientBirthDate", "FileMetaInformationGroupLength")]
    return [each._replace(value=told.get(each.name, each.value)) for each in found]


def lane_of(data: bytes) -> tuple[str, np.ndarray | None]:
    """Where a file ends, and what the network saw of it."""
    instance = guarded("test", lambda: admit(data))
    if isinstance(instance, Fault):
        return "quarantined", None
    bench = Clearing()
    court = Court((MODEL,), bench, "harbour")

    def work() -> Any:
        return judge(court, [instance], lambda _: data, pixels_max=10**7, today=TODAY, standing=Standing())

    found = guarded("test", work)
    if isinstance(found, Fault):
        return "quarantined", None
    return found.decision.lane, bench.seen[0] if bench.seen else None


def mutations(element: Element) -> Iterator[tuple[bytes | None, Element | None]]:
    """(junk, what takes its place): None for nothing."""
    yield None, None
    for junk in JUNK:
        filled = (junk or b"\0") * len(element.value) if len(element.value) > 1000 else junk
        yield junk, element._replace(value=filled[: max(len(junk), len(element.value))])
        yield junk, element._replace(value=junk, vr=b"UN")


ELEMENTS = valid()
DATA = file_of(ELEMENTS)
LANE, TENSOR = lane_of(DATA)


def test_the_valid_film_is_cleared():
    assert LANE == "cleared"
    assert TENSOR is not None


@pytest.mark.parametrize("element", ELEMENTS, ids=[each.name for each in ELEMENTS])
def test_one_element_wrong_is_never_routine_or_is_of_no_matter(element: Element):
    for junk, other in mutations(element):
        if other is not None and other.value.strip(b" \0") == element.value.strip(b" \0"):
            continue
        lane, tensor = lane_of(
            file_of(each if each is not element else other for each in ELEMENTS if each is not element or other)
        )
        if lane == "cleared":
            assert element.name not in NEEDED, junk
            assert element.name not in NAMES or junk == b"1.2.3"
            assert element.name not in HEEDED or not (junk or b"").strip(b" \0"), junk
            assert tensor is not None
            assert np.allclose(tensor, TENSOR, atol=1e-5), f"{junk!r}: another picture was decided on"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(range(len(ELEMENTS))), st.one_of(st.none(), st.binary(max_size=12)), min_size=1, max_size=4
    )
)
def test_several_elements_wrong_at_once(wrong: dict[int, bytes | None]):
    kept = [
        each._replace(value=wrong.get(at) or b"") if at in wrong else each
        for at, each in enumerate(ELEMENTS)
        if at not in wrong or wrong[at] is not None
    ]
    lane, tensor = lane_of(file_of(kept))
    if lane == "cleared":
        changed = {ELEMENTS[at].name for at, value in wrong.items() if value != ELEMENTS[at].value}
        assert not changed & NEEDED
        assert tensor is not None
        assert np.allclose(tensor, TENSOR, atol=1e-5)


ADDED: list[tuple[str, bytes, bytes]] = [
    ("PresentationLUTShape", b"CS", b"INVERSE"),
    ("PixelIntensityRelationshipSign", b"SS", b"\1\0"),
    ("RescaleSlope", b"DS", b"-1"),
    ("PixelPaddingValue", b"US", b"\0\0"),
    ("BurnedInAnnotation", b"CS", b"YES"),
    ("NumberOfFrames", b"IS", b"2"),
    ("ImagesInAcquisition", b"IS", b"2"),
    ("LossyImageCompressionRatio", b"DS", b"30"),
    ("PatientBirthDate", b"DA", b"19500101"),
]


@pytest.mark.parametrize(("keyword", "vr", "value"), ADDED)
def test_one_element_more_that_speaks_against_it_is_never_routine(keyword: str, vr: bytes, value: bytes):
    assert lane_of(with_one_more(keyword, vr, value))[0] != "cleared"


def with_one_more(keyword: str, vr: bytes, value: bytes) -> bytes:
    tag = Tag(keyword)
    more = Element((tag.group, tag.element), vr, value)
    return file_of(sorted([*ELEMENTS, more], key=lambda each: each.tag))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(DATA) - 1), st.integers(0, 7))
def test_a_flipped_bit_of_the_file_decides_on_nothing_else(at: int, bit: int):
    """A flip within the pixels changes the picture and is for the gates; one anywhere else may not change it."""
    data = bytearray(DATA)
    data[at] ^= 1 << bit
    lane, tensor = lane_of(bytes(data))
    if lane == "cleared":
        assert tensor is not None
        differs = np.abs(tensor - TENSOR)
        within_pixels = at >= len(DATA) - len(ELEMENTS[-1].value)
        assert within_pixels or differs.max() < 1e-5


def test_every_element_that_matters_is_in_the_film():
    """So that none of the lists above is tested by its absence."""
    assert {each.name for each in ELEMENTS} >= NEEDED | HEEDED | NAMES
    assert ELEMENTS[-1].name == "PixelData"


def test_without_the_check_of_the_header_these_tests_would_fail(monkeypatch: pytest.MonkeyPatch):
    """What is held back above is held back by that check, not by chance."""
    monkeypatch.setattr(applies, "_why_not_covered", lambda *_, **__: None)
    unseen = [keyword for keyword, vr, value in ADDED if lane_of(with_one_more(keyword, vr, value))[0] == "cleared"]
    assert {"BurnedInAnnotation", "PresentationLUTShape", "PatientBirthDate", "ImagesInAcquisition"} <= set(unseen)
