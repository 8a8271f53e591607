"""Every needle in all bytes of a file, pictures included, in as few passes as may be.

Pictures are nearly all of a file. One whose cells of two bytes hold small numbers has no letter in any upper byte, so
text can stand there only as one letter a cell, and the lower bytes alone are searched: half as many. It refuses to
leave any byte out for any other reason.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from appliance.core.inspect_filter import WIDE, Filter
from appliance.core.inspect_read import NATIVE, PIXEL_DATA, Element, Read
from appliance.core.inspect_search import wide_forms

CELL_MAX = 0x1FFF  # its upper byte is no printable character
CELLS_MIN = 1 << 12  # fewer are not worth a second look


class Hit(NamedTuple):
    """A needle at body[start:end]."""

    needle: bytes
    start: int
    end: int


def hits_in(whole: Read, filters: tuple[Filter, ...]) -> Iterator[Hit]:
    """All hits of all filters, in no particular order; in pictures, of those needles that are looked for there."""
    body = whole.body
    picture = next((one for one in whole.elements if one.tag == PIXEL_DATA and not one.item), None)
    if picture is None:
        picture = Element(PIXEL_DATA, b"OB", len(body), len(body), 0)
    for offset, lowered in ((0, body[: picture.start].lower()), (picture.end, body[picture.end :].lower())):
        for one in filters:
            for number, start, end in one.everything.hits(lowered, often=one.often):
                yield Hit(one.everything.needles[number], offset + start, offset + end)
        if WIDE.search(lowered):
            yield from _wide(lowered, offset, filters)
    cells = body[picture.start : picture.end]
    low = _lower_bytes(cells, whole, filters)
    if low is not None:
        yield from _in_cells(whole, low, picture.start, filters)
        return
    lowered = cells.lower()
    for one in filters:
        for number, start, end in one.pictures.hits(lowered, often=one.often):
            yield Hit(one.pictures.needles[number], picture.start + start, picture.start + end)


def _wide(lowered: bytes, offset: int, filters: tuple[Filter, ...]) -> Iterator[Hit]:
    """Needles in letters of two or four bytes: looked for without the zeros, then compared with them."""
    letters = np.flatnonzero(np.frombuffer(lowered, "u1"))
    dense = lowered.translate(None, b"\0")
    for one in filters:
        for number, start, end in one.everything.hits(dense, often=one.often):
            first, last = int(letters[start]), int(letters[end - 1])
            if lowered[first : last + 1] in wide_forms(one.everything.needles[number]):
                yield Hit(lowered[first : last + 1], offset + first, offset + last + 1)


def _lower_bytes(cells: bytes, whole: Read, filters: tuple[Filter, ...]) -> bytes | None:
    """The lower byte of every cell, where the upper ones can spell nothing; None where they may."""
    native = whole.syntax in NATIVE and len(cells) >= 2 * CELLS_MIN and not len(cells) % 2
    if not native or not all(one.ascii_only for one in filters):
        return None
    numbers = np.frombuffer(cells, "<u2" if whole.little else ">u2")
    return None if int(numbers.max()) > CELL_MAX else numbers.astype("u1").tobytes()


def _in_cells(whole: Read, low: bytes, begin: int, filters: tuple[Filter, ...]) -> Iterator[Hit]:
    lowered, upper = low.lower(), begin + whole.little
    for one in filters:
        narrow = one.one_letter_a_cell
        for number, start, end in narrow.hits(lowered, often=one.often):
            if not any(whole.body[upper + 2 * start : upper + 2 * end : 2]):
                wide = wide_forms(narrow.needles[number])[0]
                first = begin + (not whole.little) + 2 * start
                yield Hit(wide, first, first + len(wide))
