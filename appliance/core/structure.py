"""Whether a data set ends where it says: lengths only, no values.

pydicom reads what is left of a cut file and says nothing, so a cut file would look like a small whole one. This walk
follows the lengths of PS3.5 7.1 and 7.5 through every nesting level and checks that each element, item and fragment
ends inside the file, and that none stands twice: readers differ in which of two they believe. It refuses to interpret
anything.
"""

import mmap
import struct

from appliance.errors import Quarantined

Data = bytes | mmap.mmap  # a mapped file is read in slices: nothing of an object is held whole

LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
UNDEFINED = 0xFFFFFFFF
TAIL_STEP_BYTES = 2**20
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
DEPTH_MAX = 64


class _Cut(Exception):
    """The data ended inside an element."""


def ends_where_it_says(data: Data, *, big_endian: bool) -> bool:
    """Whether the elements of a data set fill the bytes exactly; `places_of` says more."""
    return places_of(data, big_endian=big_endian) is not None


def places_of(data: Data, *, big_endian: bool, start: int = 0) -> dict[int, tuple[int, int]] | None:
    """Where each element of the outermost data set lies, by tag: (first byte, behind its last); None: it was cut.

    data   the data set begins at start and is not deflated. Whether it is implicit is told from its first element, as
           readers do: files that declare one and hold the other exist.
    raises  Quarantined("header-unreadable"): an element stands twice in one data set (PS3.5 7.1 allows it once)
    """
    walk = _Walk(data, ">" if big_endian else "<")
    try:
        end = walk.elements(start, implicit=not data[start + 4 : start + 6].isalpha(), closed_by=None, depth=0)
    except (_Cut, struct.error):
        return None
    while end < len(data):
        if data[end : end + TAIL_STEP_BYTES].strip(b"\0"):
            return None
        end += TAIL_STEP_BYTES
    return walk.places


class _Walk:
    """The bytes and their order; every method returns the offset behind what it walked over."""

    def __init__(self, data: Data, order: str) -> None:
        self.data = data
        self.places: dict[int, tuple[int, int]] = {}
        self.tag = struct.Struct(f"{order}HH")
        self.long = struct.Struct(f"{order}L")
        self.short = struct.Struct(f"{order}H")

    def elements(self, at: int, *, implicit: bool, closed_by: int | None, depth: int) -> int:
        """Elements up to the end of the data, or up to and over the delimiter that closes them."""
        if depth > DEPTH_MAX:
            raise _Cut
        seen: set[int] = set()
        while at < len(self.data):
            if closed_by is None and not any(self.data[at : at + 8]):
                return at  # padding of zeros: no element has the tag (0000,0000)
            tag = self._tag(at)
            if tag == closed_by:
                return at + 8
            if tag in seen:
                raise Quarantined("header-unreadable", "element twice")
            seen.add(tag)
            end = self._value(at, implicit=implicit, depth=depth)
            if closed_by is None:
                self.places[tag] = at, end
            at = end
        if closed_by is not None:
            raise _Cut
        return at

    def _value(self, at: int, *, implicit: bool, depth: int) -> int:
        """Over one element, whatever its value is."""
        vr = b"" if implicit else self.data[at + 4 : at + 6]
        if vr and vr not in LONG_VRS and vr.isalpha():
            return self._over(at + 8, self.short.unpack_from(self.data, at + 6)[0])
        body = at + (12 if vr in LONG_VRS else 8)
        length = self.long.unpack_from(self.data, body - 4)[0]
        if length != UNDEFINED:
            return self._over(body, length)
        if vr in (b"OB", b"OW"):
            return self._fragments(body)
        # a UN of undefined length is a sequence in implicit VR (PS3.5 6.2.2)
        return self._items(body, implicit=implicit or vr == b"UN", depth=depth)

    def _items(self, at: int, *, implicit: bool, depth: int) -> int:
        while True:
            tag, length = self._tag(at), self.long.unpack_from(self.data, at + 4)[0]
            at += 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise _Cut
            if length != UNDEFINED:
                at = self._over(at, length)
            else:
                at = self.elements(at, implicit=implicit, closed_by=ITEM_END, depth=depth + 1)

    def _fragments(self, at: int) -> int:
        """Encapsulated pixel data: items of bytes, then the delimiter (PS3.5 A.4)."""
        while True:
            tag, length = self._tag(at), self.long.unpack_from(self.data, at + 4)[0]
            at += 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM or length == UNDEFINED:
                raise _Cut
            at = self._over(at, length)

    def _tag(self, at: int) -> int:
        group, element = self.tag.unpack_from(self.data, at)
        return int(group) << 16 | int(element)

    def _over(self, at: int, length: int) -> int:
        if at + length > len(self.data):
            raise _Cut
        return at + length
