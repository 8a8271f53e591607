"""Take back any single rule of the cleaner, and the inspector refuses; take back none, and it does not."""

import struct

import pytest
from undone_rules import Row, claiming, pair, rows, undone, value_of

from appliance.core.inspect import findings
from appliance.core.inspect_read import LONG_VRS
from appliance.core.inspect_tags import keyword
from appliance.core.options import OPTIONS, Option, Options

NONE: Options = frozenset()
BY_REPRESENTATION = sorted({row.vr for row in rows()})


def test_the_table_is_whole() -> None:
    assert len(rows()) == 657 - 3
    assert len({row.tag for row in rows()}) == 657 - 3


@pytest.mark.parametrize("plain", [False, True])
def test_the_untampered_object_goes(plain: bool) -> None:
    assert findings(pair(plain).cleaned, pair(plain).who) == ()


def refused(row: Row, depth: int, kept: Options = NONE, plain: bool = False) -> bool:
    """Whether the object is refused at the very place where the row's rule did not run."""
    of = pair(plain)
    element = ELEMENTS[plain][depth, row.tag]
    output = undone(claiming(of.cleaned, kept) if kept else of.cleaned, row.tag, element, depth)
    place = "ViewCodeSequence[0]." * depth + keyword(row.tag)
    return any(one.place.startswith(place) for one in findings(output, of.who, kept=kept))


ELEMENTS = {plain: pair(plain).elements for plain in (False, True)}


@pytest.mark.parametrize("vr", BY_REPRESENTATION)
@pytest.mark.parametrize(("depth", "plain"), [(0, False), (2, False), (0, True)])
def test_any_row_of_the_table_taken_back_is_refused(vr: str, depth: int, plain: bool) -> None:
    assert [row.name for row in rows() if row.vr == vr and not refused(row, depth, plain=plain)] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_what_an_option_keeps_is_no_leak(option: Option) -> None:
    kept = frozenset({option})
    of = pair()
    assert findings(claiming(of.cleaned, kept), of.who, kept=kept) == ()
    wrong = [row.name for row in rows() if row.options.get(option) == "K" and refused(row, 0, kept)]
    # Sequences stay for the UIDs in them, never for words; group 0004 stands in media directories only.
    spared = [row.name for row in rows() if row.vr == "SQ" or row.tag >> 16 == 4] if option == "retain-uids" else []
    assert sorted(set(wrong) - set(spared)) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_what_an_option_does_not_keep_is_a_leak_as_ever(option: Option) -> None:
    kept = frozenset({option})
    untouched = [row for row in rows() if option not in row.options]
    assert len(untouched) > 400
    assert [row.name for row in untouched if not refused(row, 0, kept)] == []


def header(row: Row, value: bytes) -> bytes:
    """An element in explicit little endian."""
    value += b" " * (len(value) % 2)
    long = row.vr.encode() in LONG_VRS
    return (
        struct.pack("<HH2s", row.tag >> 16, row.tag & 0xFFFF, row.vr.encode())
        + struct.pack("<HL" if long else "<H", *((0, len(value)) if long else (len(value),)))
        + value
    )


def says(row: Row, value: bytes, kept: Options, *, depth: int = 0) -> bool:
    """Whether an object with this value at the row is refused there."""
    of = pair()
    output = undone(claiming(of.cleaned, kept), row.tag, header(row, value), depth)
    place = "ViewCodeSequence[0]." * depth + keyword(row.tag)
    return any(one.place.startswith(place) for one in findings(output, of.who, kept=kept))


TEXTS = [row for row in rows() if row.vr in ("LO", "SH", "LT", "ST", "UT", "UC")]


def test_clean_descriptors_may_say_what_was_done_and_not_to_whom() -> None:
    kept: Options = frozenset({"clean-descriptors"})
    clean = [row for row in TEXTS if row.options.get("clean-descriptors") == "C"]
    assert len(clean) > 120
    assert [row.name for row in clean if says(row, b"chest, left", kept)] == []
    names = {row.name: value_of(row, number) for number, row in enumerate(rows())}
    date, house = str(names["StudyDate"]), str(names["InstitutionName"])
    day = f"on {date[6:]}.{date[4:6]}.{date[:4]}".encode()
    for telling in (b"seen by Zwetschgenkern", b"MRN 7731904", day, f"at {house}".encode()):
        assert [row.name for row in clean if not says(row, telling, kept)] == []


@pytest.mark.parametrize("option", ["retain-patient-characteristics", "clean-structured-content", "clean-graphics"])
def test_what_an_option_cleans_names_nobody(option: Option) -> None:
    texts = [row for row in rows() if row.options.get(option) == "C" and row.vr in ("LO", "UT", "LT")]
    assert [row.name for row in texts if not says(row, b"Zwetschgenkern", frozenset({option}))] == []


def test_shifted_dates_stay_and_dates_that_stand_where_they_stood_do_not() -> None:
    kept: Options = frozenset({"retain-longitudinal-modified-dates"})
    dated = [row for row in rows() if kept <= row.options.keys() and row.vr in ("DA", "DT")]
    assert len(dated) > 110
    for depth in (0, 2):
        assert [row.name for row in dated if not refused(row, depth, kept)] == []
        assert [row.name for row in dated if says(row, b"20240108", kept, depth=depth)] == []


@pytest.mark.parametrize("option", [None, "retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"])
def test_no_option_keeps_a_birth_date_or_shifts_it(option: Option | None) -> None:
    births = [row for row in rows() if "Birth" in row.name and row.vr in ("DA", "TM")]
    assert len(births) >= 2
    kept: Options = frozenset({option}) if option else NONE
    for row in births:
        assert says(row, b"19470220" if row.vr == "DA" else b"060504", kept)


@pytest.mark.parametrize("age", [b"091Y", b"100Y", b"Zwet", b"91Y ", b"085Y\\091Y"])
def test_an_age_that_few_reach_is_told_by_no_option(age: bytes) -> None:
    ages = [row for row in rows() if row.vr == "AS"]
    kept: Options = frozenset({"retain-patient-characteristics"})
    assert len(ages) == 2
    for row in ages:
        assert says(row, age, kept)
        assert not says(row, b"089Y", kept)
        assert not says(row, b"090Y", kept)  # all of them, as one
        assert not says(row, b"011M", kept)
        assert says(row, b"089Y", NONE)
