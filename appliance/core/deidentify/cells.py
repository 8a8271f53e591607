"""Where in the bytes of Pixel Data a pixel is: the part of the header that the cleaner reads for it.

It refuses an object in which such a number is missing or odd; it looks at no pixel.
"""

import struct
from dataclasses import dataclass

from appliance.core.elements import Element
from appliance.errors import Quarantined

FRAMES_MAX = 100_000
PIXELS_MAX = 2**28  # of one frame


@dataclass(frozen=True, slots=True)
class Cells:
    """The Image Pixel Module as far as it says where in the bytes a pixel is, PS3.3 C.7.6.3."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool


def cells_of(elements: list[Element], order: str) -> Cells:
    """Raises Quarantined("deid-unsupported", keyword): a number that decides where pixels are is missing or odd."""
    here = {element.tag: element.value for element in elements}

    def number(tag: int, keyword: str, otherwise: int | None = None) -> int:
        value = here.get(tag, b"")
        if len(value) < 2 and otherwise is not None:
            return otherwise
        if len(value) != 2:
            raise Quarantined("deid-unsupported", keyword)
        return int(struct.unpack(f"{order}H", value)[0])

    frames = here.get(0x00280008, b"").strip(b"\0 ") or b"1"
    if not frames.isdigit() or len(frames) > 12 or not 0 < int(frames) <= FRAMES_MAX:
        raise Quarantined("deid-unsupported", "NumberOfFrames")
    allocated = number(0x00280100, "BitsAllocated")
    if allocated != 1 and allocated % 8:  # PS3.5 8.1.1
        raise Quarantined("deid-unsupported", "BitsAllocated")
    stored = number(0x00280101, "BitsStored", allocated) or allocated
    rows, columns = number(0x00280010, "Rows"), number(0x00280011, "Columns")
    if rows * columns > PIXELS_MAX:
        raise Quarantined("deid-unsupported", "Rows")
    return Cells(
        rows=rows,
        columns=columns,
        samples=number(0x00280002, "SamplesPerPixel", 1) or 1,
        frames=int(frames),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=number(0x00280102, "HighBit", stored - 1),
        signed=bool(number(0x00280103, "PixelRepresentation", 0)),
    )
