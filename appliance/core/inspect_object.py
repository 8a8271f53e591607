"""The inspector on a DICOM object: every element by its kind of value, then all bytes, then what is folded in them.

Honest objects are waved through by inspect_filter in one pass; whatever it is not sure of is searched exactly. It
refuses to trust a representation: text is also read as other character sets, and everything also as bytes.
"""

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from pydicom._uid_dict import UID_dictionary

from appliance.core.identity import NOBODYS, Identity
from appliance.core.inspect_beside import beside_the_picture
from appliance.core.inspect_charsets import EVERY, readings
from appliance.core.inspect_filter import Filter, filters_for, perhaps_in_bytes, perhaps_in_numbers, perhaps_in_texts
from appliance.core.inspect_findings import Finding
from appliance.core.inspect_hits import Hit, hits_in
from appliance.core.inspect_kept import KEPT_WHOLE, MODIFIED_DATES, excused_at
from appliance.core.inspect_kinds import CODES, MANY_VALUED, PRODUCTS, kind_of
from appliance.core.inspect_read import CHARACTER_SET, Element, Read, read
from appliance.core.inspect_scan import counts, in_bytes, in_number, in_text, in_uid
from appliance.core.inspect_search import BITS, STRONG, Search, search_for, wide_forms
from appliance.core.inspect_streams import Budget, streams_in
from appliance.core.inspect_structure import DATE_FORM, UID_FORM, How, demanded, malformed, misfit, role_of
from appliance.core.inspect_tags import keyword
from appliance.core.inspect_words import METHOD_PLACES, standard_codes, without_method
from appliance.core.options import Options

_FORMATS = {b"UL": "L", b"SL": "l", b"UV": "Q", b"SV": "q", b"FL": "f", b"FD": "d"}
PICTURE_BYTES_MIN = 6
_NUMBER_MIN = 100_000  # six digits: shorter identifiers are not looked for among numbers


def in_object(data: bytes, identity: Identity, kept: Options) -> Iterator[Finding]:
    """Reasons not to let go of a Part 10 file. Raises Unreadable."""
    whole = read(data, strict=True)
    for place in demanded(whole, kept):
        yield Finding(place, "structure")
    look = _Look(whole, identity, kept)
    yield from look.misplaced()
    yield from look.dates()
    yield from look.texts()
    yield from look.numbers()
    yield from look.uids()
    yield from look.all_bytes()
    yield from look.streams()
    yield from beside_the_picture(whole)


@dataclass
class _Look:
    """One object, the identity that must not be in it, and its elements sorted by how they are searched."""

    whole: Read
    identity: Identity
    kept: Options
    by_kind: dict[How, list[Element]] = field(default_factory=dict)
    checked: list[Element] = field(default_factory=list)
    lost: list[Element] = field(default_factory=list)
    by_excuse: dict[int, tuple[Filter, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_kind: dict[How, list[Element]] = {
            how: [] for how in ("text", "number", "binary", "uid", "date", "time", "opaque", "bulk", "items")
        }
        kept = self.kept
        for element in (*self.whole.meta[1:], *self.whole.elements):
            tag, vr, start, end, item = element
            how, reason, checked = role_of(tag, vr, item > 0, kept)
            if start != end:
                by_kind[how].append(element)
            if checked and tag >> 16 != 2:
                self.checked.append(element)
            if reason and tag >> 16 != 2:
                self.lost.append(element)
        self.by_kind = by_kind
        self.filters: tuple[Filter, ...] = filters_for(self.identity)

    @cached_property
    def search(self) -> Search:
        """Made only where a filter is not sure."""
        return search_for(self.identity)

    @cached_property
    def charsets(self) -> dict[int, str]:
        body = self.whole.body
        return {
            one.item: body[one.start : one.end].decode("latin-1")
            for one in self.whole.elements
            if one.tag == CHARACTER_SET
        }

    def found(self, element: Element, kind: str = "identity") -> Finding:
        return Finding(self.whole.path(element), "identity" if kind == "identity" else "structure")

    def excused(self, element: Element) -> int:
        """What may stay in an element; more of it where it stands as it stood because an option keeps it whole."""
        bits = excused_at(self.whole, element, self.kept)
        its_own = self.kept and BITS[kind_of(element.tag, element.vr)] & bits
        if its_own and (element.tag, self.value(element).strip(b"\0 ")) in self.identity.stood:
            bits |= KEPT_WHOLE
        return bits

    def value(self, element: Element) -> bytes:
        return self.whole.body[element.start : element.end]

    def misplaced(self) -> Iterator[Finding]:
        for element in (*self.lost, *malformed(self.whole, self.by_kind)):
            yield self.found(element, "structure")
        for element in self.checked:
            if misfit(self.whole, element, self.kept):
                yield self.found(element, "structure")

    def dates(self) -> Iterator[Finding]:
        """Dates and times as such; where they are shifted, none may stand where it stood."""
        body, shifted = self.whole.body, MODIFIED_DATES in self.kept
        known_dates = {item.text for item in self.identity.items if item.kind == "date"}
        known_times = {item.text[:6] for item in self.identity.items if item.kind == "time" and len(item.text) >= 6}
        for element in (*self.by_kind["date"], *self.by_kind["time"]):
            value = body[element.start : element.end].strip(b"\0 ")
            if value in NOBODYS:
                continue
            texts = [text.strip() for text in value.decode("latin-1").split("\\")]
            asked = ~self.excused(element)
            if not DATE_FORM.fullmatch(value):
                yield from self._text(element)
            if element.vr == b"TM":
                same = (element.tag, value) in self.identity.stood
                if asked & BITS["time"] and (same or not known_times.isdisjoint(text[:6] for text in texts)):
                    yield self.found(element)
            elif shifted and "Birth" not in keyword(element.tag):
                if asked & BITS["date"] and (self.whole.standing(element), value) in self.identity.dated:
                    yield self.found(element)
            elif asked & BITS["date"]:
                same = (element.tag, value) in self.identity.stood
                if same or not known_dates.isdisjoint(re.sub(r"[.-]", "", text[:10])[:8] for text in texts):
                    yield self.found(element)

    def texts(self) -> Iterator[Finding]:
        body, stood = self.whole.body, self.identity.stood
        lines = []
        for element in self.by_kind["text"]:
            value = body[element.start : element.end]
            # A name may be spread over the values.
            lines.append(value if b"\\" not in value else value + b"\n" + value.replace(b"\\", b" "))
            if (element.tag, value.strip(b"\0 ")) in stood:
                excused = self.excused(element)
                if BITS[kind_of(element.tag, element.vr)] & ~excused:
                    yield self.found(element)
        if perhaps_in_texts(self.filters, b"\n".join(lines)):
            for element, line in zip(self.by_kind["text"], lines, strict=True):
                # Where an option lets words stay, a filter that does not know them spares the exact search.
                if perhaps_in_texts(self.filters, line) and perhaps_in_texts(self.filters_at(element), line):
                    yield from self._text(element)

    def filters_at(self, element: Element) -> tuple[Filter, ...]:
        excused = self.excused(element)
        if excused not in self.by_excuse:
            self.by_excuse[excused] = filters_for(self.identity, excused) if excused else self.filters
        return self.by_excuse[excused]

    def _text(self, element: Element) -> Iterator[Finding]:
        value, word = self.value(element), keyword(element.tag)
        excused = self.excused(element)
        loose = word not in PRODUCTS and element.vr != b"CS"
        for text in readings(value, self._charset(element.item), EVERY):
            if word in METHOD_PLACES:
                text = without_method(text)
            parts = text.split("\\") if element.vr in MANY_VALUED or element.vr == b"CS" else [text]
            if word in CODES and text.strip("\0 ") in standard_codes():
                continue  # what the standard itself says names nobody, whoever is called so
            if len(parts) > 1:
                parts.append(" ".join(parts))
            if any(in_text(self.search, part, excused, loose=loose) for part in parts):
                yield self.found(element)
                return

    def _charset(self, item: int) -> str:
        while item not in self.charsets and item > 0:
            item = self.whole.items[item].around
        return self.charsets.get(item, "")

    def numbers(self) -> Iterator[Finding]:
        body, search = self.whole.body, self.search_number
        values = [body[element.start : element.end] for element in self.by_kind["number"]]
        if perhaps_in_numbers(self.filters, b"\n".join(values)):
            for element in self.by_kind["number"]:
                for text in self.value(element).decode("latin-1").split("\\"):
                    if search(text.strip("\0 "), element):
                        yield self.found(element)
                        break
        for element in self.by_kind["binary"]:
            if element.vr in _FORMATS and any(search(text, element) for text in self._unpacked(element)):
                yield self.found(element)

    def _unpacked(self, element: Element) -> Iterator[str]:
        """Whole numbers of six digits or more, as far as a filter thinks that they may identify."""
        letter = _FORMATS[element.vr]
        form = struct.Struct(("<" if self.whole.little else ">") + letter)
        value = self.value(element)
        for (number,) in form.iter_unpack(value[: len(value) - len(value) % form.size]):
            if abs(number) >= _NUMBER_MIN and number == number // 1:
                number = abs(int(number))
                if any(one.perhaps_number(number) for one in self.filters):
                    yield str(number)

    def search_number(self, text: str, element: Element) -> bool:
        if not text.isascii():
            return in_text(self.search, text)
        return in_number(self.search, text, self.excused(element))

    def uids(self) -> Iterator[Finding]:
        """UIDs of the source; those that are built around an identifier are found among all bytes."""
        known = {item.text for item in self.identity.items if item.kind == "uid"}
        for element in self.by_kind["uid"]:
            texts = self.value(element).decode("latin-1").split("\\")
            if any(text.strip("\0 ") in known for text in texts):
                if not self.excused(element) & BITS["uid"]:
                    yield self.found(element)
            elif not UID_FORM.fullmatch(self.value(element)):
                yield from self._text(element)

    def all_bytes(self) -> Iterator[Finding]:
        """The whole file as bytes, pictures and what stands between elements included."""
        places = (*self.whole.meta, *self.whole.elements)
        starts = [element.start for element in places]
        seen: set[Element | None] = set()
        for hit in hits_in(self.whole, self.filters):
            at = bisect_right(starts, hit.start) - 1
            element = places[at] if at >= 0 and hit.start < places[at].end else None
            if element not in seen and self._counts(hit, element):
                seen.add(element)
                yield Finding("file bytes", "identity") if element is None else self.found(element)

    def _counts(self, hit: Hit, element: Element | None) -> bool:
        """What the exact search says of one hit of a filter."""
        if element is None:
            return bool(self._bits(hit, pictures=False))
        excused = self.excused(element)
        how = role_of(element.tag, element.vr, element.item > 0, self.kept).how
        if how == "uid":
            texts = [text.strip("\0 ") for text in self.value(element).decode("latin-1").split("\\")]
            return any(text not in UID_dictionary and self._in_uid(text, excused) for text in texts)
        if how in ("number", "items") or (how == "binary" and not hit.needle.isalpha()):
            return False  # searched as what they are; but letters are a word wherever they stand
        if how == "text" and not perhaps_in_bytes(self.filters_at(element), self.value(element)):
            return False
        if how in ("date", "time"):
            excused |= BITS["date"]
        if keyword(element.tag) in CODES and self.value(element).decode("latin-1").strip("\0 ") in standard_codes():
            return False
        if keyword(element.tag) in METHOD_PLACES:
            said = without_method(self.value(element).decode("latin-1")).encode("latin-1")
            if hit.needle not in said.lower():
                return False
        pictures = how == "bulk"
        return bool(self._bits(hit, pictures=pictures) & ~excused & (STRONG if pictures else -1))

    def _in_uid(self, text: str, excused: int) -> bool:
        if excused & BITS["uid"] and text in self.search.uids:
            return False  # kept as a whole, with whatever it was built around
        return in_uid(self.search, text, excused)

    def _bits(self, hit: Hit, *, pictures: bool) -> int:
        """What kinds of thing a needle is, if it is more than chance where it stands."""
        bits = self.search.raw.get(hit.needle, 0)
        if pictures and hit.end - hit.start < PICTURE_BYTES_MIN:
            return 0  # two characters of Han in four bytes: noise has them in every hundred megabytes
        if bits and not counts(self.whole.body, hit.start, hit.end, pictures=pictures):
            bits = 0
        for uid in self.search.uids:
            plain = uid.encode("ascii", "ignore")
            for spelled in (plain, *wide_forms(plain)):
                if spelled.startswith(hit.needle) and self.whole.body.startswith(spelled, hit.start):
                    end = hit.start + len(spelled)
                    bits |= BITS["uid"] * counts(self.whole.body, hit.start, end, pictures=pictures)
        return bits

    def streams(self) -> Iterator[Finding]:
        """What is compressed or encoded in values that may hold it."""
        body, budget = self.whole.body, Budget()
        seen = set()
        for how in ("text", "opaque"):
            for element in self.by_kind[how]:
                value = body[element.start : element.end]
                if len(value) < 12 or value in seen:
                    continue
                seen.add(value)
                for stream in streams_in(value, budget):
                    if perhaps_in_bytes(self.filters, stream) and in_bytes(self.search, stream, self.excused(element)):
                        yield self.found(element)
                        break
