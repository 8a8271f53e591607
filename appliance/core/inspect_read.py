"""DICOM bytes as a flat list of elements: the eyes of identity and inspector, of their own so that no fault of the
cleaner's reader hides what it wrote.

Two ways to read: strictly, where anything odd is a refusal, for what is to leave; and leniently, for what came, where
what cannot be read is handed on as bytes, so that nothing in it goes unseen. It interprets no value.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import NamedTuple

from appliance.core.inspect_tags import keyword, vr_of

DEPTH_MAX = 32
ELEMENTS_MAX = 500_000
# A deflated data set of a few bytes unfolds a thousandfold; nothing that is to leave is nearly as large.
BODY_BYTES_MAX = 256 << 20
PREAMBLE_BYTES = 128
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SET, PIXEL_DATA, TRANSFER_SYNTAX = 0x00080005, 0x7FE00010, 0x00020010
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()  # PS3.5 7.1.2
)
IMPLICIT, DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT, "1.2.840.10008.1.2.1", DEFLATED, BIG_ENDIAN})


class Unreadable(Exception):
    """Not to be read to the end; where, never what."""

    def __init__(self, place: str, at: int = 0) -> None:
        super().__init__(place)
        self.place = place
        self.at = at


class Element(NamedTuple):
    """One element: its value is body[start:end].

    vr    two letters, UN where nobody says
    item  the item in which it stands, as an index of Read.items; 0 for the data set itself
    """

    tag: int
    vr: bytes
    start: int
    end: int
    item: int


class Place(NamedTuple):
    """One item of a sequence: the tag of the sequence, the number of the item, the item around it (-1: none)."""

    tag: int
    number: int
    around: int


@dataclass(frozen=True, slots=True)
class Read:
    """A whole file, in the order of its bytes; a sequence stands before what is in it.

    body      the file, its data set unfolded where the transfer syntax deflates it
    unread    spans of body that nothing explains; always empty when read strictly
    """

    body: bytes = field(repr=False)
    syntax: str
    little: bool
    meta: list[Element] = field(repr=False)
    elements: list[Element] = field(repr=False)
    items: list[Place] = field(repr=False)
    unread: list[tuple[int, int]] = field(repr=False)

    def path(self, element: Element) -> str:
        """Keywords, tags and item numbers down to an element; never a value."""
        steps, item = [keyword(element.tag)], element.item
        while item > 0:
            place = self.items[item]
            steps.append(f"{keyword(place.tag)}[{place.number}]")
            item = place.around
        return ".".join(reversed(steps))

    def standing(self, element: Element) -> tuple[int, ...]:
        """The same as numbers, to compare places of two files."""
        steps, item = [element.tag], element.item
        while item > 0:
            place = self.items[item]
            steps += (place.number, place.tag)
            item = place.around
        return tuple(steps)


def read(data: bytes, *, strict: bool) -> Read:
    """The elements of a Part 10 file.

    data    with preamble and DICM
    raises  Unreadable: strictly, whatever is not as PS3.5 and PS3.10 say: order, lengths, representations, bytes left
            over, undeclared encoding; leniently, only what is larger than a limit
    source  PS3.10 7.1, PS3.5 7.1 and 7.5, A.4, A.5
    """
    walk = _Walk(data, strict)
    start = walk.file_meta()
    meta, walk.elements = walk.elements, []
    syntax = next((data[one.start : one.end] for one in meta if one.tag == TRANSFER_SYNTAX), b"")
    named = syntax.decode("latin-1").strip("\0 ")
    if named == DEFLATED:
        walk.data = _unfolded(data, start, strict)
    # A file without meta information says by its first group, which is a small number, how it is written.
    told_by_group = (
        not named and not strict and walk.data[start : start + 1] == b"\0" != walk.data[start + 1 : start + 2]
    )
    walk.order(">" if named == BIG_ENDIAN or told_by_group else "<")
    first = walk.data[start + 4 : start + 6]
    implicit = named == IMPLICIT or not (strict or first in SHORT_VRS or first in LONG_VRS)
    try:
        end = walk.dataset(start, len(walk.data), implicit, 0, delimited=False)
    except (Unreadable, struct.error) as fault:
        if strict:
            raise Unreadable(fault.place if isinstance(fault, Unreadable) else "data set") from None
        walk.unread.append((walk.at, len(walk.data)))
        end = len(walk.data)
    if end != len(walk.data) and strict:
        raise Unreadable("data set")
    return Read(walk.data, named, walk.little, meta, walk.elements, walk.items, walk.unread)


def _unfolded(data: bytes, start: int, strict: bool) -> bytes:
    """PS3.5 A.5: the data set is one deflate stream without a header, measured before it is held."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        text = unpacker.decompress(data[start:], BODY_BYTES_MAX)
    except zlib.error:
        raise Unreadable("deflated data set") from None
    if unpacker.unconsumed_tail or (strict and (not unpacker.eof or len(unpacker.unused_data) > 1)):
        raise Unreadable("deflated data set")
    return data[:start] + text


def sequence_in(value: bytes) -> Read | None:
    """The elements of a value that reads as a sequence to its last byte, in whichever encoding (PS3.5 6.2.2)."""
    if value[:4] not in (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"):
        return None
    value = value.removesuffix(b"\xfe\xff\xdd\xe0\0\0\0\0")
    for implicit in (True, False):
        walk = _Walk(value, strict=True)
        walk.order("<" if value[:2] == b"\xfe\xff" else ">")
        try:
            if walk.sequence(0, len(value), implicit, 0, 0, delimited=False) == len(value):
                return Read(value, "", value[:2] == b"\xfe\xff", [], walk.elements, walk.items, [])
        except (Unreadable, struct.error):
            continue
    return None


class _Walk:
    """Over the bytes; every method returns the offset behind what it walked over."""

    def __init__(self, data: bytes, strict: bool) -> None:
        self.data = data
        self.strict = strict
        self.at = 0
        self.elements: list[Element] = []
        self.items: list[Place] = [Place(0, 0, -1)]
        self.unread: list[tuple[int, int]] = []
        self.order("<")

    def order(self, order: str) -> None:
        self.little = order == "<"
        self.short = struct.Struct(f"{order}HH2sH").unpack_from
        self.long = struct.Struct(f"{order}L").unpack_from
        self.plain = struct.Struct(f"{order}HHL").unpack_from

    def file_meta(self) -> int:
        """PS3.10 7.1: group 0002 in explicit little endian, its length first."""
        data, at = self.data, PREAMBLE_BYTES + 4
        if data[PREAMBLE_BYTES:at] != b"DICM":
            raise Unreadable("preamble")
        last = -1
        while data[at : at + 2] == b"\x02\x00":
            vr = data[at + 4 : at + 6]
            start = at + (12 if vr in LONG_VRS else 8)
            if vr in LONG_VRS:
                end = start + int.from_bytes(data[at + 8 : at + 12], "little")
            elif vr in SHORT_VRS:
                end = start + int.from_bytes(data[at + 6 : at + 8], "little")
            else:
                raise Unreadable("file meta information")
            tag = 0x00020000 | int.from_bytes(data[at + 2 : at + 4], "little")
            if end > len(data) or (self.strict and tag <= last):
                raise Unreadable("file meta information")
            self.elements.append(Element(tag, vr, start, end, 0))
            last, at = tag, end
        if self.strict:
            first = self.elements[0] if self.elements else Element(0, b"", 0, 0, 0)
            if first.tag != 0x00020000 or at - first.end != int.from_bytes(data[first.start : first.end], "little"):
                raise Unreadable("file meta information")
        return at

    def dataset(self, at: int, end: int, implicit: bool, item: int, *, delimited: bool, depth: int = 0) -> int:
        """Elements up to `end`, or over the delimiter of the item."""
        data, strict, elements = self.data, self.strict, self.elements
        if depth > DEPTH_MAX or len(elements) > ELEMENTS_MAX:
            raise Unreadable("nesting" if depth > DEPTH_MAX else "number of elements")
        last = -1
        while at < end:
            self.at = at
            group, number, vr, length = self.short(data, at)
            tag = group << 16 | number
            if group == 0xFFFE:
                if delimited and tag == ITEM_END and self.long(data, at + 4)[0] == 0:
                    return at + 8
                raise Unreadable("item")
            start = at + 8
            if implicit:
                length = self.long(data, at + 4)[0]
                vr = vr_of(tag)
            elif vr in LONG_VRS:
                start = at + 12
                if length and strict:
                    raise Unreadable(keyword(tag))  # two reserved bytes, which nobody reads
                length = self.long(data, at + 8)[0]
            elif vr not in SHORT_VRS:
                if strict:
                    raise Unreadable(keyword(tag))
                vr = b"UN"
            if tag <= last and strict:
                raise Unreadable(keyword(tag))  # out of order, or twice: readers differ in which of two they believe
            last, stop = tag, start + length
            elements.append(Element(tag, vr, start, min(stop, end), item))
            if length == UNDEFINED:
                at = self._undefined(len(elements) - 1, end, implicit, depth)
                continue
            if stop > end:
                if strict:
                    raise Unreadable(keyword(tag))
                stop = end  # a file that was cut: what there is of it is read
            if vr == b"SQ":
                self._inside(len(elements) - 1, implicit, depth)
            at = stop
            if len(elements) > ELEMENTS_MAX:
                raise Unreadable("number of elements")
        if delimited and strict:
            raise Unreadable("item")
        return at

    def _inside(self, index: int, implicit: bool, depth: int) -> None:
        """A sequence of stated length."""
        element = self.elements[index]
        try:
            self.sequence(element.start, element.end, implicit, index, depth, delimited=False)
        except (Unreadable, struct.error):
            if self.strict:
                raise
            self.unread.append((self.at, element.end))

    def _undefined(self, index: int, end: int, implicit: bool, depth: int) -> int:
        """A value that ends with a delimiter: a sequence, or pixel data in fragments (PS3.5 7.5, A.4)."""
        element = self.elements[index]
        if element.vr in (b"OB", b"OW") and (not self.strict or (element.tag == PIXEL_DATA and not element.item)):
            at = self._fragments(element.start, end)
        elif element.vr in (b"SQ", b"UN"):
            # UN of undefined length is implicit little endian whatever surrounds it, PS3.5 6.2.2.
            at = self.sequence(element.start, end, implicit or element.vr == b"UN", index, depth, delimited=True)
        else:
            raise Unreadable(keyword(element.tag))
        self.elements[index] = element._replace(end=at)
        return at

    def sequence(self, at: int, end: int, implicit: bool, index: int, depth: int, *, delimited: bool) -> int:
        tag, around = self.elements[index][0::4] if self.elements else (0, 0)
        number = 0
        while at < end:
            group, low, length = self.plain(self.data, at)
            mark = group << 16 | low
            if mark == SEQUENCE_END and delimited and not length:
                return at + 8
            if mark != ITEM:
                raise Unreadable(keyword(tag))
            if len(self.items) > ELEMENTS_MAX:
                raise Unreadable("number of items")
            self.items.append(Place(tag, number, around))
            here, number, open_ended = len(self.items) - 1, number + 1, length == UNDEFINED
            stop = end if open_ended else at + 8 + length
            if stop > end and self.strict:
                raise Unreadable(keyword(tag))
            stop = min(stop, end)
            at = self.dataset(at + 8, stop, implicit, here, delimited=open_ended, depth=depth + 1)
        if delimited and self.strict:
            raise Unreadable(keyword(tag))
        return at

    def _fragments(self, at: int, end: int) -> int:
        while at < end:
            group, low, length = self.plain(self.data, at)
            at += 8
            if group << 16 | low == SEQUENCE_END and not length:
                return at
            if group << 16 | low != ITEM or length == UNDEFINED or at + length > end:
                raise Unreadable("PixelData")
            at += length
        raise Unreadable("PixelData")
