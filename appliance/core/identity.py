"""Everything in a source object that says whose it is, so that the finished bytes can be searched for it.

It goes by value representation and keyword, never by the rules of the cleaner: what a rule forgets must still be on
this list. It refuses to judge: whether a word is too common to be searched for is the inspector's business.
The list is the most private thing in the house: it is made and used within one step, never stored or logged. What is
worked out of a value once is remembered for the next file of the same patient, in the memory of the process only.
"""

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from pydicom import config, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core.inspect_charsets import readings
from appliance.core.inspect_kinds import (
    CODES,
    DEVICE,
    MANY_VALUED,
    NOT_TEXT,
    OPAQUE_VRS,
    PRODUCTS,
    STANDING_CODES,
    TEXT_VRS,
    Kind,
    attribute_kind,
)
from appliance.core.inspect_read import CHARACTER_SET, Element, Read, Unreadable, read, sequence_in
from appliance.core.inspect_tags import keyword, vr_of
from appliance.core.inspect_words import standard_codes
from appliance.errors import Quarantined

ITEMS_MAX, NAMES_MAX = 200_000, 300
NESTED_MAX = 8  # sequences inside values of unknown representation
REMEMBERED, REMEMBERED_BYTES_MAX = 1 << 13, 1 << 10  # values whose items are remembered, and how long they may be
TEXT_CHARACTERS_MAX = 100_000  # of one value
OPAQUE_BYTES_MAX = 1 << 20  # of one value of unknown representation
_TEXTUAL = re.compile(rb"[\t\r\n\x20-\x7e\x80-\xff]+")
_TEXTUAL_BYTES_MAX = 4096
# Runs of characters among other bytes: as noise has many short ones, those of large values are to be longer.
_RUNS, _LONG_RUNS = re.compile(rb"[\x20-\x7e]{5,}"), re.compile(rb"[\x20-\x7e]{8,}")
_UTF_8_RUNS = re.compile(rb"(?:[\x20-\x7e]|[\xc3-\xf4][\x80-\xbf]{1,3}){5,}")
_LATIN_RUNS = re.compile(rb"[A-Za-z\xc0-\xff]{5,}")
_TWO_LETTERS = re.compile(rb"[A-Za-z]{2}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){5,}|(?:\0[\x20-\x7e]){5,}")
_DATE = re.compile(r"\d{4}[-.]?\d{2}[-.]?\d{2}")
_STANDARD_UID = "1.2.840.10008."
# Dummies of an earlier de-identification: nobody's, and they stand again where they stood.
NOBODYS = frozenset(b" REMOVED urn:removed 18991230 18991230000000 000000 CORRECT 000Y 0 99REMOVED +0000".split(b" "))
# What pydicom raises on values that are not what they say: named once, for this module and for the inspector.
DAMAGE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    EOFError,
    OSError,
    struct.error,
    BytesLengthException,
)


class Item(NamedTuple):
    """One thing that identifies. text is as in the source; place is its keyword or tag."""

    kind: Kind
    text: str
    place: str

    def __repr__(self) -> str:
        return f"Item({self.kind}, {self.place})"


@dataclass(frozen=True, slots=True)
class Identity:
    """All that identifies in one source object; different items only.

    products  its texts about equipment and codes: an honest output keeps them, so a word of theirs that also stands in
              free text, such as the maker's name in a private block, is no leak. Names and identifiers are not excused.
    stood     (tag, value) as they stood, for words too short or too common to be searched for anywhere
    dated     (tag and items around it, value) of dates, for outputs in which dates are shifted
    """

    items: tuple[Item, ...] = field(repr=False)
    products: tuple[str, ...] = field(default=(), repr=False)
    stood: frozenset[tuple[int, bytes]] = field(default=frozenset(), repr=False)
    dated: frozenset[tuple[tuple[int, ...], bytes]] = field(default=frozenset(), repr=False)


def identity_of(data: bytes) -> Identity:
    """What identifies in a Part 10 file, at every nesting level, in the file meta information and in the preamble.

    Lenient: a file may lack preamble and file meta information, and what cannot be read is searched for characters.
    raises  Quarantined("deid-unsupported", place): more in it than a limit allows
    """
    if data[128:132] != b"DICM":
        data = bytes(128) + b"DICM" + data
    try:
        whole = read(data, strict=False)
    except Unreadable as fault:
        raise Quarantined("deid-unsupported", fault.place) from None
    found = _Gathered()
    found.opaque("preamble", data[:128])
    _of_elements(found, whole, whole.meta, 0)
    _of_elements(found, whole, whole.elements, 0)
    for start, end in whole.unread:
        found.opaque("unread", whole.body[start:end])
    return found.identity()


def identity(dataset: FileDataset) -> Identity:
    """identity_of() of a data set as pydicom.dcmread gives it.

    raises  Quarantined("deid-unsupported", path): more items than the limit, or a value that nobody can write
    """
    buffer = io.BytesIO()
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    try:
        implicit, little = dataset.original_encoding
        if "TransferSyntaxUID" not in meta:
            meta = FileMetaDataset(meta)
            meta.TransferSyntaxUID = (
                ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
            )
        preamble = (getattr(dataset, "preamble", None) or b"").ljust(128, b"\0")
        with config.disable_value_validation():
            whole = FileDataset(buffer, dataset, file_meta=meta, preamble=preamble)
            dcmwrite(buffer, whole, enforce_file_format=False)
    except DAMAGE:
        # The cause quotes values, so it is not kept.
        raise Quarantined("deid-unsupported", "header") from None
    return identity_of(buffer.getvalue())


def joined(*identities: Identity) -> Identity:
    """The identity of a study: that of all its objects."""
    items = dict.fromkeys(item for one in identities for item in one.items)
    return Identity(
        tuple(items),
        tuple(sorted({text for one in identities for text in one.products})),
        frozenset().union(*(one.stood for one in identities)),
        frozenset().union(*(one.dated for one in identities)),
    )


@dataclass(slots=True)
class _Gathered:
    items: dict[Item, None] = field(default_factory=dict)
    products: set[str] = field(default_factory=set)
    stood: set[tuple[int, bytes]] = field(default_factory=set)
    dated: set[tuple[tuple[int, ...], bytes]] = field(default_factory=set)

    def opaque(self, place: str, value: bytes, charset: str = "") -> None:
        self.items.update(dict.fromkeys(_of_opaque(place, value, charset)))
        self.counted(place)

    def counted(self, place: str) -> None:
        if len(self.items) > ITEMS_MAX:
            raise Quarantined("deid-unsupported", place)

    def identity(self) -> Identity:
        return Identity(tuple(self.items), tuple(sorted(self.products)), frozenset(self.stood), frozenset(self.dated))


def _of_elements(found: _Gathered, whole: Read, elements: list[Element], depth: int) -> None:
    body, charsets = whole.body, {-1: "", 0: ""}
    for element in elements:
        tag, vr, start, end, item = element
        if start == end or vr in _OTHERWISE:
            continue  # a number, or a sequence, whose items are elements of their own
        if vr == b"UN":
            vr = vr_of(tag)
            if vr in _NUMBERS:
                continue
        if tag == CHARACTER_SET:
            charsets[item] = body[start:end].decode("latin-1")
        if vr in OPAQUE_VRS or vr == b"SQ":
            if not NOT_TEXT.search(keyword(tag)) and not (tag >> 24 == 0x60 and tag & 0xFFFF == 0x3000):
                value = body[start : min(end, start + OPAQUE_BYTES_MAX)]
                _of_value(found, keyword(tag), value, _charset(whole, charsets, item), depth)
            continue
        value = body[start:end]
        plain = value.isascii() and b"\x1b" not in value
        charset = "" if plain else _charset(whole, charsets, item)
        once = _of_value_once if len(value) <= REMEMBERED_BYTES_MAX else _of_value_once.__wrapped__
        items, products, stands = once(tag, vr, value, charset)
        if items:
            found.items.update(items)
        if products:
            found.products.update(products)
        if stands:
            stripped = value.strip(b"\0 ")
            if stripped not in NOBODYS:
                found.stood.add((tag, stripped))
                if vr in (b"DA", b"DT"):
                    found.dated.add((whole.standing(element), stripped))
    found.counted("header")
    # Each name costs the search thousands of spellings: no honest object names so many people.
    if sum(item.kind == "name" for item in found.items) > NAMES_MAX:
        raise Quarantined("deid-unsupported", "names")


_NUMBERS = frozenset(b"AT FD FL OD OF OL OV SL SS SV UL US UV DS IS AS".split())
_OTHERWISE = _NUMBERS | {b"SQ"}


def _charset(whole: Read, charsets: dict[int, str], item: int) -> str:
    """The item's own character set, else that of the data set around it (PS3.5 6.1.2.5.3, PS3.3 C.12.1.1.2)."""
    while item not in charsets:
        item = whole.items[item].around
    return charsets[item]


def _of_value(found: _Gathered, place: str, value: bytes, charset: str, depth: int) -> None:
    """A value of unknown representation: a sequence if it reads as one, else words."""
    inner = sequence_in(value) if depth < NESTED_MAX else None
    if inner is not None:
        _of_elements(found, inner, inner.elements, depth + 1)
    else:
        found.opaque(place, value, charset)


@lru_cache(REMEMBERED)
def _of_value_once(tag: int, vr: bytes, value: bytes, charset: str) -> tuple[dict[Item, None], tuple[str, ...], bool]:
    """Items, texts of products, and whether the value is remembered as standing at its tag."""
    place = keyword(tag)
    texts = [part for text in readings(value, charset) for part in _parts(text, vr)]
    if vr == b"CS" and place not in DEVICE:
        return {}, (*texts, " ".join(texts)), place in STANDING_CODES
    if place in PRODUCTS or (place in CODES and all(text in standard_codes() for text in texts)):
        return {}, tuple(texts), False
    items = dict.fromkeys(item for text in texts for item in _of_text(place, vr, text))
    return items, (), vr != b"UI"


def _parts(text: str, vr: bytes) -> list[str]:
    parts = text[:TEXT_CHARACTERS_MAX].split("\\") if vr in MANY_VALUED else [text[:TEXT_CHARACTERS_MAX]]
    return [part for part in (part.strip("\0 \r\n") for part in parts) if part]


def _of_text(place: str, vr: bytes, text: str) -> Iterator[Item]:
    if vr == b"PN":
        yield Item("name", text, place)
    elif vr == b"UI":
        if not text.startswith(_STANDARD_UID):
            yield Item("uid", text, place)
    elif vr in (b"DA", b"DT"):
        if _DATE.match(text):
            yield Item("date", re.sub(r"[-.]", "", text[:10])[:8], place)
    elif vr == b"TM":
        yield Item("time", text.replace(":", ""), place)
    elif vr in TEXT_VRS or place in DEVICE:
        yield Item(attribute_kind(place, vr), text, place)


def _of_opaque(place: str, value: bytes, charset: str = "") -> Iterator[Item]:
    """A value that nothing explains: a text if all of it may be one, else runs of characters in the encodings that are
    always possible."""
    text = value.strip(b"\0 ")
    if len(text) <= _TEXTUAL_BYTES_MAX and _TEXTUAL.fullmatch(text):
        for reading in readings(text, charset):
            yield Item("private", reading.strip(), place)
        return
    runs = (_LONG_RUNS if len(text) > _TEXTUAL_BYTES_MAX else _RUNS).findall(text)
    wide = [run.replace(b"\0", b"") for run in _WIDE.findall(text)]
    for run in (*runs, *wide):
        yield Item("private", run.decode("ascii").strip(), place)
    if len(text) > _TEXTUAL_BYTES_MAX:
        return
    for run in _UTF_8_RUNS.findall(text):
        yield Item("private", run.decode("utf-8", "ignore").strip(), place)
    for run in _LATIN_RUNS.findall(text):
        if not run.isascii() and _TWO_LETTERS.search(run):
            yield Item("private", run.decode("latin-1"), place)
