"""Private attributes under Retain Safe Private, PS3.15 E.3.10: what is known to be safe stays, if its value agrees.

Known by creator and element, each value looked at by its VR: texts that name somebody go, opaque bytes that read as
words go, UIDs are replaced, dates follow the option for dates. Sequences are gone through element by element. A
creator stays where something of its block does. It refuses what no table knows.
"""

import re
from collections.abc import Callable

from appliance.core.deidentify import values
from appliance.core.deidentify.safe_private import Safe, known_creator, safe
from appliance.core.deidentify.walk import Walk, dates_of, uids
from appliance.core.elements import Element, Odd, items_in

Cleaned = Callable[[Walk, list[Element], str], list[Element]]
_WRITING = re.compile(rb"[A-Za-z0-9\x80-\xff][\x20-\x7e\x80-\xff]{4,}")
_PLAIN_WRITING = re.compile(rb"[\x20-\x7e]{6,}|(?:[\xd0\xd1\xce\xcf][\x80-\xbf]){3,}")  # in numbers; Cyrillic, Greek
_OPAQUE = frozenset(("OB", "OW", "UN", "OF", "OD", "OL", "OV"))
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
RULE = "retain-safe-private"


def kept_private(work: Walk, here: dict[int, Element], cleaned: Cleaned) -> dict[int, Element]:
    """What stays of the private elements of one data set, by tag, creators included."""
    creators = {
        (tag >> 16, tag & 0xFF): element.value.strip(b"\0 ").decode("latin-1")
        for tag, element in here.items()
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
    }
    kept: dict[int, Element] = {}
    for tag, element in here.items():
        block = (tag >> 16, tag >> 8 & 0xFF)
        known = safe(creators.get(block, ""), tag) if tag >> 16 & 1 and tag & 0xFFFF > 0xFF else None
        if known is None or not known_creator(creators[block]):
            continue
        work.path.append(f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        if (found := _value(work, element, known, cleaned)) is not None:
            kept[tag] = found
            creator = tag >> 16 << 16 | block[1]
            kept[creator] = Element(creator, "LO", here[creator].value)
            work.note("K", RULE)
        work.path.pop()
    return kept


def _value(work: Walk, element: Element, known: Safe, cleaned: Cleaned) -> Element | None:
    tag, vr, declared = element.tag, known.vr, element.vr
    if declared == "SQ" or vr == "SQ" or element.value[:4] in _ITEM_TAGS:
        return _sequence(work, element, cleaned)
    if declared not in ("UN", vr) and not values.agrees(declared, vr):
        if vr != "UN":
            return None
        vr = declared
    value = element.value
    if known.action == "U" or vr == "UI":
        return _replaced(work, tag, vr, value)
    if known.action == "C" or vr in ("DA", "DT", "TM"):
        moved = _dates(work, vr, value)
        return None if moved is None else Element(tag, vr, moved)
    if vr in _OPAQUE:
        return None if _reads_as_text(value, _WRITING) else Element(tag, declared, value)
    if vr in values.BINARY_NUMBERS:
        return None if _reads_as_text(value, _PLAIN_WRITING) else Element(tag, vr, value)
    texts = values.texts(value)
    if (
        texts is None
        or vr == "PN"
        or not values.well_formed(vr, value)
        or any(work.owned.bears(text) for text in texts)
    ):
        return None
    if vr in ("DS", "IS") and not all(not text or values.NUMBER.fullmatch(text) for text in texts):
        return None
    return Element(tag, vr, value)


def _reads_as_text(value: bytes, writing: re.Pattern[bytes]) -> bool:
    """Characters stand in it, in two-byte characters too: with the zeros taken out those read as text."""
    return bool(writing.search(value) or writing.search(value.replace(b"\0", b"")))


def _sequence(work: Walk, element: Element, cleaned: Cleaned) -> Element | None:
    try:
        items = element.items if element.items is not None else items_in(element.value)
    except Odd:
        return None
    return Element(element.tag, "SQ", b"", [cleaned(work, item, "") for item in items])


def _replaced(work: Walk, tag: int, vr: str, value: bytes) -> Element | None:
    if vr not in ("UI", "LO", "SH"):
        return None
    if "retain-uids" in work.rules.options:
        return Element(tag, vr, value)
    found = uids(work, Element(tag, "UI", value), RULE)
    return None if found is None else Element(tag, vr, found.value)


def _dates(work: Walk, vr: str, value: bytes) -> bytes | None:
    if not work.keeps_dates() or not value.strip(b"\0 "):
        return None
    return dates_of(vr if vr in ("DA", "DT", "TM") else "DA", value, work.offset_days)
