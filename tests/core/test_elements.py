"""The quick reader and pydicom give the same tree, the writer's bytes are pydicom's, and nothing breaks either."""

import io
import warnings
from contextlib import suppress

import pydicom
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from planted_objects import REAL_FILES, SITE_KEY, as_file, planted
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from appliance.core import elements, elements_pydicom
from appliance.core.deidentify import deidentified, deidentify
from appliance.core.elements import Object, Odd
from appliance.core.options import OPTIONS, PROFILES, Options, chosen
from appliance.errors import Fault, Quarantined

FILES = {path.name: path.read_bytes() for path in REAL_FILES}
ALL = chosen("centre", [option for option in OPTIONS if option != "retain-longitudinal-full-dates"])


def quick(data: bytes) -> Object | None:
    try:
        return elements.read(data)
    except (Odd, Quarantined):
        return None


def slow(data: bytes) -> Object | None:
    try:
        return elements_pydicom.read(data)
    except Quarantined:
        return None


def again(data: bytes) -> bytes:
    """The bytes that pydicom writes for what it reads."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are odd in the real files
        pydicom.dcmwrite(buffer, pydicom.dcmread(io.BytesIO(data)), enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("name", FILES)
def test_both_readers_give_the_same_tree(name: str) -> None:
    found = quick(FILES[name])
    assert found is None or found == slow(FILES[name])


def test_the_quick_reader_takes_most_of_the_little_endian_files() -> None:
    taken = [name for name, data in FILES.items() if quick(data) is not None]
    assert len(taken) >= 0.8 * len(FILES)


@pytest.mark.parametrize("options", [PROFILES["basic"], ALL], ids=["basic", "all options"])
@pytest.mark.parametrize("name", FILES)
def test_the_quick_way_writes_what_the_slow_way_writes(name: str, options: Options) -> None:
    data = FILES[name]
    if quick(data) is None:
        return
    try:
        result = deidentify(data, SITE_KEY, options)
    except Quarantined as fault:
        with pytest.raises(Quarantined, match=fault.code):
            deidentified(elements_pydicom.read(data), SITE_KEY, options)
        return
    assert deidentified(elements_pydicom.read(data), SITE_KEY, options).bytes == result.bytes
    assert again(result.bytes) == result.bytes


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_what_is_written_is_what_pydicom_writes(syntax: str) -> None:
    result = deidentify(as_file(planted(syntax)), SITE_KEY).bytes
    assert again(result) == result


TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=20)


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """A planted object with values of its own, in a syntax of its own."""
    source = planted(
        draw(st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian])), depth=draw(st.integers(0, 4))
    )
    with pydicom.config.disable_value_validation():
        for keyword in draw(st.sets(st.sampled_from(KEYWORDS), max_size=8)):
            setattr(source, keyword, draw(TEXTS))
        for tag in draw(st.sets(st.sampled_from([0x00091001, 0x00191012, 0x00100999, 0x00181030]), max_size=2)):
            if tag not in source:
                source.add_new(tag, "UN", draw(st.binary(max_size=40)))
        return as_file(source)


KEYWORDS = (
    *("StudyDescription", "SeriesDescription", "PatientName", "PatientID", "StudyDate", "ContentTime", "ScanOptions"),
    *("AcquisitionDateTime", "PatientAge", "PatientSex", "InstitutionName", "Manufacturer", "StationName"),
    *("ImageComments", "DeviceSerialNumber", "OperatorsName", "SequenceName", "AccessionNumber"),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=objects(), options=st.sampled_from([PROFILES["basic"], PROFILES["centre"], ALL]))
def test_quick_and_slow_are_equal_whatever_the_values(data: bytes, options: Options) -> None:
    found = quick(data)
    if found is None:
        return
    assert found == slow(data)
    assert deidentified(found, SITE_KEY, options) == deidentified(elements_pydicom.read(data), SITE_KEY, options)


SMALL = sorted((data for data in FILES.values() if 200 < len(data) < 12_000), key=len)[:40]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@example(data=None)
def test_no_bytes_raise_anything_but_a_fault(data: st.DataObject | None) -> None:
    mutated = bytearray(SMALL[0] if data is None else data.draw(st.sampled_from(SMALL)))
    if data is not None:
        for _ in range(data.draw(st.integers(1, 6))):
            at = data.draw(st.integers(132, len(mutated) - 1))
            mutated[at] = data.draw(st.integers(0, 255))
        del mutated[data.draw(st.integers(132, len(mutated))) :]
    with suppress(Fault):
        deidentify(bytes(mutated), SITE_KEY, ALL)
