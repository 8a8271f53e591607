"""A data set as plain elements over raw bytes: read from and written to the encodings of PS3.5, values not interpreted.

This is the quick way in and out for the little endian syntaxes. It follows lengths strictly and refuses, as Odd,
whatever two readers might take in two ways; such files, and big endian ones, go through pydicom instead
(elements_pydicom), which gives the same tree. Everything is written with explicit lengths.
"""

import struct
import zlib
from dataclasses import dataclass, field
from functools import lru_cache

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary
from pydicom.datadict import mask_match
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from appliance.core import annex_e
from appliance.core.admit import INFLATED_BYTES_MAX, PREAMBLE_BYTES, file_meta
from appliance.core.structure import ITEM, ITEM_END, LONG_VRS, SEQUENCE_END, UNDEFINED

MAGIC = b"DICM"
MAGIC_OFFSET = PREAMBLE_BYTES - len(MAGIC)
DEPTH_MAX = 32
ELEMENTS_MAX = 500_000
PIXEL_DATA = 0x7FE00010
_SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
)  # of PS3.5 7.1.2: two bytes of length
_NAMES = {vr: vr.decode() for vr in _SHORT_VRS | LONG_VRS}
_CODES = {name: vr for vr, name in _NAMES.items()}
_SPACE_PADDED = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())


class Odd(Exception):
    """Not to be read in one way only; nothing of it is believed."""


@dataclass(slots=True)
class Element:
    """One element. value holds its bytes as they stood; items holds the items of a sequence, and then value is empty.

    vr  as declared; in implicit VR, and in a UN of a known attribute, as the dictionary says; "UN" where nobody knows
    """

    tag: int
    vr: str
    value: bytes = field(repr=False)
    items: "list[list[Element]] | None" = field(default=None, repr=False)

    @property
    def is_empty(self) -> bool:
        return not (self.items if self.items is not None else self.value.strip(b"\0 "))


@dataclass(slots=True)
class Object:
    """A whole file: the elements of its data set in order, and how they are encoded."""

    syntax: str
    elements: list[Element] = field(repr=False)

    @property
    def order(self) -> str:
        """Byte order of numbers, as struct writes it."""
        return ">" if self.syntax == ExplicitVRBigEndian else "<"


def vr_of(tag: int) -> str | None:
    """The VR of a standard attribute, with the rows of Table E.1-1 that pydicom does not know; None if unknown.

    Where PS3.6 leaves a choice ("US or SS") that whole text.
    """
    found = _VRS.get(tag, "")
    if found == "":
        found = _VRS[tag] = _looked_up(tag)
    return found


def _looked_up(tag: int) -> str | None:
    if tag >> 16 & 1 or len(_VRS) > 100_000:
        return None
    mask = mask_match(tag)
    return annex_e.vr_for(tag) or (str(RepeatersDictionary[mask][0]) if mask else None)


_VRS: dict[int, str | None] = {tag: str(entry[0]) for tag, entry in DicomDictionary.items() if not tag >> 16 & 1}
_VRS.update({int(rule.tag, 16): rule.vr for rule in annex_e.RULES if rule.vr and "x" not in rule.tag})


@lru_cache(64)
def is_encapsulated(syntax: str) -> bool:
    """Pixel data stands in fragments (PS3.5 A.4). Raises ValueError: no transfer syntax."""
    return UID(syntax).is_encapsulated


def is_part_10(data: bytes) -> bool:
    """The file bears the magic of PS3.10 7.1."""
    return data[MAGIC_OFFSET:PREAMBLE_BYTES] == MAGIC


def read(data: bytes) -> Object:
    """The elements of a Part 10 file in a little endian syntax.

    raises  Odd: anything that is not exactly as PS3.5 7 and PS3.10 7 write it, or deeper or longer than the limits;
            Quarantined("header-unreadable"), ("header-truncated"): a file meta information that cannot be walked
    """
    if not is_part_10(data):
        raise Odd
    syntax, start = file_meta(data)
    if not syntax or syntax == ExplicitVRBigEndian:
        raise Odd
    if syntax == DeflatedExplicitVRLittleEndian:
        data, start = inflated(data[start:]), 0
    implicit = syntax == ImplicitVRLittleEndian
    # Files that declare one encoding and hold the other exist.
    if (data[start + 4 : start + 6] in _NAMES) == implicit:
        raise Odd
    walk = _Reader(data)
    try:
        elements = walk.elements(start, len(data), implicit=implicit, delimited=False, depth=0)
    except (struct.error, IndexError):
        raise Odd from None
    return Object(syntax, elements)


def inflated(body: bytes) -> bytes:
    """A deflated data set (PS3.5 A.5), within the limit. Raises Odd where it does not end within it."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = inflater.decompress(body, INFLATED_BYTES_MAX)
    except zlib.error:
        raise Odd from None
    if not inflater.eof:
        raise Odd
    return found


def items_in(value: bytes) -> list[list[Element]]:
    """The items of a sequence that stood in a UN: Implicit VR Little Endian whatever surrounds it (PS3.5 6.2.2).

    raises  Odd: it is none
    """
    try:
        return _Reader(value).items(0, len(value), implicit=True, delimited=False, depth=1)
    except (struct.error, IndexError):
        raise Odd from None


class _Reader:
    """The bytes; `at` is where the last call stopped."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.count = 0

    def elements(self, at: int, end: int, *, implicit: bool, delimited: bool, depth: int) -> list[Element]:
        """Elements up to `end`, or up to and over the item delimiter."""
        if depth > DEPTH_MAX:
            raise Odd
        data, last = self.data, -1
        found: list[Element] = []
        header, long = struct.Struct("<HH2sH").unpack_from, struct.Struct("<I").unpack_from
        limit = min(end, len(data))
        while at < end:
            group, number, code, length = header(data, at)
            tag = group << 16 | number
            if tag == ITEM_END and delimited:
                self.at = at + 8
                return found
            if tag <= last or group == 0xFFFE:  # in order, each once: PS3.5 7.1
                raise Odd
            last = tag
            vr = _NAMES.get(code, "") if not implicit else (vr_of(tag) or "UN")
            if implicit:
                length, at = long(data, at + 4)[0], at + 8
            elif code in LONG_VRS:
                length, at = long(data, at + 8)[0], at + 12
            elif vr:  # nine of ten elements: neither a sequence nor of undefined length
                begin, at = at + 8, at + 8 + length
                if at > limit:
                    raise Odd
                found.append(Element(tag, vr, data[begin:at]))
                continue
            else:
                raise Odd
            found.append(self._element(tag, vr, at, limit, length, implicit, depth))
            at = self.at
        if delimited or at != end:
            raise Odd
        self.count += len(found)
        if self.count > ELEMENTS_MAX:
            raise Odd
        self.at = at
        return found

    def _element(self, tag: int, vr: str, at: int, end: int, length: int, implicit: bool, depth: int) -> Element:
        undefined = length == UNDEFINED
        if not undefined and at + length > end:
            raise Odd
        known = vr_of(tag) if vr == "UN" else vr
        if vr == "SQ" or (undefined and not (tag == PIXEL_DATA and vr in ("OB", "OW", "OB or OW"))):
            # A sequence, or a UN or unknown element of undefined length, which is one in implicit VR (PS3.5 6.2.2).
            inside = implicit or vr == "UN"
            items = self.items(at, end if undefined else at + length, implicit=inside, delimited=undefined, depth=depth)
            return Element(tag, "SQ" if known in ("SQ", "UN", None) else vr, b"", items)
        if undefined:
            return Element(tag, "OB", self._fragments(at, end))
        self.at = at + length
        value = self.data[at : self.at]
        if vr == "UN" and known == "SQ":
            return Element(tag, "SQ", b"", items_in(value))
        return Element(tag, known or "UN", value)

    def items(self, at: int, end: int, *, implicit: bool, delimited: bool, depth: int) -> list[list[Element]]:
        found: list[list[Element]] = []
        while at < end:
            group, number, length = struct.unpack_from("<HHI", self.data, at)
            tag, at = group << 16 | number, at + 8
            if tag == SEQUENCE_END and delimited:
                self.at = at
                return found
            if tag != ITEM or (length != UNDEFINED and at + length > end):
                raise Odd
            stop = end if length == UNDEFINED else at + length
            found.append(self.elements(at, stop, implicit=implicit, delimited=length == UNDEFINED, depth=depth + 1))
            at = self.at
        if delimited or at != end:
            raise Odd
        self.at = at
        return found

    def _fragments(self, at: int, end: int) -> bytes:
        """Encapsulated pixel data without its delimiter (PS3.5 A.4)."""
        start = at
        while at < end:
            group, number, length = struct.unpack_from("<HHI", self.data, at)
            tag = group << 16 | number
            if tag == SEQUENCE_END:
                self.at = at + 8
                return self.data[start:at]
            if tag != ITEM or length == UNDEFINED or at + 8 + length > end:
                raise Odd
            at += 8 + length
        raise Odd


def written(found: Object, meta: bytes) -> bytes:
    """A Part 10 file: zero preamble, `meta` (group 2 whole, explicit little endian), the data set."""
    implicit, encapsulated = found.syntax == ImplicitVRLittleEndian, is_encapsulated(found.syntax)
    parts = _encoded(found.elements, found.order, implicit, encapsulated=encapsulated)
    if found.syntax == DeflatedExplicitVRLittleEndian:
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = packer.compress(b"".join(parts)) + packer.flush()
        parts = [body, bytes(len(body) % 2)]
    return b"".join((bytes(128), MAGIC, meta, *parts))


def meta_information(elements: list[Element]) -> bytes:
    """Group 2 with its length in front, PS3.10 7.1."""
    body = b"".join(_encoded(elements, "<", False))
    return struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _encoded(elements: list[Element], order: str, implicit: bool, *, encapsulated: bool = False) -> list[bytes]:
    """The parts of a data set, to be joined once: pixel data is copied only then."""
    parts: list[bytes] = []
    add, (short, long, plain) = parts.append, _PACKED[order]
    for element in elements:
        tag, vr = element.tag, element.vr
        group, number = tag >> 16, tag & 0xFFFF
        code = _CODES.get(vr) or vr[:2].encode()  # "US or SS": only where an implicit object leaves it open
        if element.items is not None:
            value = b"".join(_item(item, order, implicit) for item in element.items)
        else:
            value = element.value
            if len(value) % 2:
                value += b" " if code in _SPACE_PADDED else b"\0"
        length = len(value)
        if tag == PIXEL_DATA and encapsulated:
            parts += (long(group, number, b"OB", 0, UNDEFINED), value, b"\xfe\xff\xdd\xe0\0\0\0\0")
            continue
        if implicit:
            add(plain(group, number, length))
        elif code in LONG_VRS:
            add(long(group, number, code, 0, length))
        elif length < 0x10000:
            add(short(group, number, code, length))
        else:  # PS3.5 6.2.2: a value too long for its VR is a UN
            add(long(group, number, b"UN", 0, length))
        add(value)
    return parts


_PACKED = {
    order: tuple(struct.Struct(f"{order}{form}").pack for form in ("HH2sH", "HH2sHI", "HHI")) for order in ("<", ">")
}


def _item(elements: list[Element], order: str, implicit: bool) -> bytes:
    body = b"".join(_encoded(elements, order, implicit))
    return struct.pack(f"{order}HHI", 0xFFFE, 0xE000, len(body)) + body
