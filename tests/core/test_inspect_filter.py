"""The filter never says no where the exact search says yes, and the exact search finds what a naive one finds."""

import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from planted_objects import deidentify, planted
from undone_rules import undone

from appliance.core import inspect_filter, inspect_read
from appliance.core.identity import Identity, Item
from appliance.core.inspect import findings
from appliance.core.inspect_dates import date_forms
from appliance.core.inspect_filter import filters_for, perhaps_in_numbers, perhaps_in_texts
from appliance.core.inspect_hits import CELLS_MIN, hits_in
from appliance.core.inspect_scan import in_number, in_text
from appliance.core.inspect_search import search_for

LETTERS = "abkn AZ059éßøЖ山田吉'-.^/_\\"
WORDS = st.text(LETTERS, min_size=1, max_size=12)
DATES = st.dates().map(lambda day: f"{day:%Y%m%d}".rjust(8, "0"))
ITEMS = st.one_of(
    st.builds(Item, st.just("name"), st.lists(WORDS, min_size=1, max_size=3).map("^".join), st.just("PatientName")),
    st.builds(
        Item, st.just("id"), st.from_regex(r"[A-C]{0,2}-?0{0,2}[1-9]\d{2,7}", fullmatch=True), st.just("PatientID")
    ),
    st.builds(
        Item, st.just("phone"), st.from_regex(r"\+?\d{2}[ /-]?\d{3}[ -]?\d{4}", fullmatch=True), st.just("Phone")
    ),
    st.builds(Item, st.just("date"), DATES, st.just("StudyDate")),
    st.builds(Item, st.just("time"), st.from_regex(r"[0-2]\d[0-5]\d[0-5]\d", fullmatch=True), st.just("StudyTime")),
    st.builds(
        Item, st.just("uid"), st.from_regex(r"1\.2(\.\d{1,6}){2,6}", fullmatch=True), st.just("StudyInstanceUID")
    ),
    st.builds(Item, st.sampled_from(["text", "private", "institution", "address"]), WORDS, st.just("StudyDescription")),
)
IDENTITIES = st.builds(
    Identity, st.lists(ITEMS, min_size=1, max_size=6).map(tuple), st.lists(WORDS, max_size=2).map(tuple)
)
JOINTS = st.sampled_from(["", " ", "-", ".", "/", "^", ", ", "x", "0", " of "])


@st.composite
def texts(draw: st.DrawFn, who: Identity) -> str:
    """A text that may quote an identity in some spelling, whole or in part."""
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        item = draw(st.sampled_from(who.items))
        forms = [item.text, item.text.upper(), item.text.replace("^", " "), item.text[::-1], item.text[1:]]
        if item.kind == "date":
            forms += [*date_forms(item.text), item.text[2:], f"{item.text[6:]}.{item.text[4:6]}.{item.text[2:4]}"]
        pieces += [draw(st.sampled_from(forms) | WORDS), draw(JOINTS)]
    return "".join(pieces)


@settings(deadline=None, max_examples=400, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_filter_of_texts_lets_nothing_through(data: st.DataObject) -> None:
    who = data.draw(IDENTITIES)
    text = data.draw(texts(who))
    # UIDs in texts are found in the pass over all bytes.
    who = Identity(tuple(item for item in who.items if item.kind != "uid"), who.products)
    if in_text(search_for(who), text):
        assert perhaps_in_texts(filters_for(who), b"chest\n" + text.encode("utf-8", "replace") + b"\nleft")


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_filter_of_numbers_lets_nothing_through(data: st.DataObject) -> None:
    who = data.draw(IDENTITIES)
    item = data.draw(st.sampled_from(who.items))
    digits = "".join(char for char in item.text if char.isdecimal() and char.isascii()) or "1"
    text = data.draw(st.sampled_from([digits, f"{digits}.0", f"+{digits}", f"{int(digits):E}", digits.lstrip("0")]))
    if in_number(search_for(who), text):
        assert perhaps_in_numbers(filters_for(who), b"1.5\n" + text.encode() + b"\n-2")


def naive(body: bytes, who: Identity) -> set[tuple[int, int]]:
    """Where any needle stands, one find() at a time."""
    lowered, found = body.lower(), set()
    for needle in search_for(who).raw:
        at = lowered.find(needle)
        while at >= 0:
            found.add((at, at + len(needle)))
            at = lowered.find(needle, at + 1)
    return found


CLEANED = deidentify(planted(), b"a site key of thirty-two bytes: \x9c\x01").bytes


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_the_pass_over_all_bytes_finds_what_a_naive_one_finds(data: st.DataObject) -> None:
    who = data.draw(IDENTITIES)
    strong = Identity(tuple(item for item in who.items if item.kind in ("name", "id", "phone", "uid")))
    text = data.draw(texts(who)).encode(data.draw(st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"])), "replace")
    rows = CELLS_MIN // 16 * 2
    noise = np.random.default_rng(data.draw(st.integers(0, 99))).integers(
        0, data.draw(st.sampled_from([300, 60000])), rows * 16
    )
    pixels = bytearray(noise.astype("<u2").tobytes())
    at = data.draw(st.integers(0, len(pixels) - len(text)))
    pixels[at : at + len(text)] = text
    header = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, len(pixels))
    body = undone(CLEANED, 0x7FE00010, header + bytes(pixels), 0)
    comment = text.ljust(len(text) + len(text) % 2)
    body = undone(body, 0x00204000, struct.pack("<HH2sH", 0x0020, 0x4000, b"LT", len(comment)) + comment, 0)
    whole = inspect_read.read(body, strict=True)
    picture = next(one for one in whole.elements if one.tag == 0x7FE00010)
    found = {(hit.start, hit.end) for hit in hits_in(whole, filters_for(who))}
    starts = {start for start, _ in found}
    for start, end in naive(body[: picture.start], who):
        # A UID is looked for by how it begins: whoever finds the beginning compares the rest.
        assert (start, end) in found or start in starts
    for start, end in naive(body[picture.start : picture.end], strong):
        inside = (picture.start + start, picture.start + end)
        assert inside in found or inside[0] in starts


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_date_in_wide_letters_is_found_in_every_spelling(encoding: str) -> None:
    """Words of a date are short: what looks for letters of two bytes must take the spaces between them for some."""
    who = Identity((Item("date", "20000101", "StudyDate"),))
    for spelled in date_forms("20000101"):
        for around in ("", "x", " "):
            text = f"{around}{spelled}{around}".encode(encoding)
            comment = text.ljust(len(text) + len(text) % 2)
            body = undone(CLEANED, 0x00204000, struct.pack("<HH2sH", 0x0020, 0x4000, b"LT", len(comment)) + comment, 0)
            starts = {hit.start for hit in hits_in(inspect_read.read(body, strict=True), filters_for(who))}
            missed = [body[start:end] for start, end in naive(body, who) if start not in starts]
            assert not missed, (spelled, around)


def test_what_was_kept_of_one_patient_is_no_finding_for_another() -> None:
    one = Identity((Item("name", "Zwetschgenkern^Balthasar", "PatientName"),))
    other = Identity((Item("name", "Ohrwurmstein^Kunigunde", "PatientName"),))
    assert perhaps_in_texts(filters_for(one), b"Zwetschgenkern")
    assert not perhaps_in_texts(filters_for(other)[-1:], b"Zwetschgenkern")
    assert perhaps_in_texts(filters_for(other), b"Ohrwurmstein")
    assert not in_text(search_for(other), "Zwetschgenkern")


@pytest.fixture
def hasty() -> Iterator[None]:
    """The interpreter changes threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_what_one_thread_looks_for_is_what_it_finds() -> None:
    """`appliance deidentify` inspects in several threads: each object is one patient's, every third bears its name."""
    asked = []
    for number in range(60):
        who = Identity((Item("name", f"Zwetschgenkern{number:02}^Balthasar", "PatientName"),))
        comment = b"seen: Zwetschgenkern%02d " % (number if not number % 3 else 99 - number)
        header = struct.pack("<HH2sH", 0x0020, 0x4000, b"LT", len(comment))
        asked.append((undone(CLEANED, 0x00204000, header + comment, 0), who))
    places = {}
    for threads in (1, 8):
        inspect_filter._kept.clear()
        with ThreadPoolExecutor(threads) as pool:
            places[threads] = list(pool.map(lambda each: findings(*each), asked))
    assert places[8] == places[1]
    leaks = [number for number, found in enumerate(places[8]) if any(one.kind == "identity" for one in found)]
    assert leaks == list(range(0, 60, 3))
