"""The places beside the picture in which pixel data carry text: unused bits, surplus bytes, codestream comments.

Pixel values are never changed here and nothing is decoded. It refuses codestreams that it cannot walk to the end and
those, such as video, in which text has more places than it knows.
"""

import itertools
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_fragments, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000MCLossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from appliance.core.elements import Element
from appliance.errors import Quarantined

JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})
JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
JPEG_2000 = frozenset(
    {JPEG2000Lossless, JPEG2000, JPEG2000MCLossless, JPEG2000MC, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K}
)
NATIVE = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
)  # implicit, explicit, deflated, big endian
FRAMES_MAX = 100_000
# Application segments that a decoder needs: colour transform (APP14 of Adobe, APP8 of HP) and aspect (plain JFIF).
_NEEDED_SEGMENTS = {0xE0: (b"JFIF\0", 16), 0xEE: (b"Adobe", 14), 0xE8: (b"mrfx", 6)}


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
    if not frames.isdigit() or not 0 < int(frames) <= FRAMES_MAX:
        raise Quarantined("deid-unsupported", "NumberOfFrames")
    allocated = number(0x00280100, "BitsAllocated")
    stored = number(0x00280101, "BitsStored", allocated) or allocated
    return Cells(
        rows=number(0x00280010, "Rows"),
        columns=number(0x00280011, "Columns"),
        samples=number(0x00280002, "SamplesPerPixel", 1) or 1,
        frames=int(frames),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=number(0x00280102, "HighBit", stored - 1),
        signed=bool(number(0x00280103, "PixelRepresentation", 0)),
    )


def cleaned_pixels(pixels: bytes, cells: Cells, syntax: str) -> bytes | None:
    """Pixel Data without text beside the picture, or None if they stay as they are.

    pixels  the value of Pixel Data, encapsulated or not
    raises  Quarantined("deid-unsupported", "PixelData"): a codestream that cannot be walked
    source  PS3.5 8.1 (bits), 8.2 and A.4 (encapsulation)
    """
    if syntax in NATIVE:
        cleaned = stored_bits_only(_trimmed(cells, pixels), cells, syntax != "1.2.840.10008.1.2.2")
        return cleaned if cleaned != pixels else None
    walk = _walker(syntax)
    frames = _frames(pixels, cells.frames, one_fragment=syntax == RLELossless)
    cleaned_frames = [walk(frame) for frame in frames]
    unchanged = all(
        after.rstrip(b"\0") == before.rstrip(b"\0") for after, before in zip(cleaned_frames, frames, strict=True)
    )
    # What the frames do not explain, such as an offset table without offsets, is made anew.
    if unchanged and any(pixels == encapsulate(frames, has_bot=table) for table in (True, False)):
        return None
    return encapsulate(frames if unchanged else cleaned_frames, has_bot=True)


def _frames(pixels: bytes, count: int, *, one_fragment: bool) -> list[bytes]:
    """The encapsulated frames, no more than the header counts; in RLE each is one fragment (PS3.5 A.4.2)."""
    if not one_fragment:
        return list(generate_frames(pixels, number_of_frames=count))
    frames = list(itertools.islice(generate_fragments(pixels[_table_end(pixels) :]), count))
    if len(frames) < count:
        raise Quarantined("deid-unsupported", "PixelData")
    return frames


def _table_end(pixels: bytes) -> int:
    """Where the Basic Offset Table ends, which PS3.5 A.4 puts before the first fragment."""
    return 8 + int(struct.unpack_from("<I", pixels, 4)[0])


def _walker(syntax: str) -> Callable[[bytes], bytes]:
    if syntax in JPEG:
        return lambda frame: _jpeg(frame, 0x01)
    if syntax in JPEG_LS:
        return lambda frame: _jpeg(frame, 0x80)
    if syntax in JPEG_2000:
        return _jpeg_2000
    if syntax == RLELossless:
        return _rle
    raise Quarantined("deid-unsupported", "TransferSyntaxUID")


def _trimmed(cells: Cells, pixels: bytes) -> bytes:
    """No bytes beyond the last frame: nobody would look at them."""
    bits = cells.rows * cells.columns * cells.samples * cells.frames * cells.bits_allocated
    expected = (bits + 7) // 8
    return pixels[: expected + expected % 2]


def stored_bits_only(pixels: bytes, cells: Cells, little_endian: bool) -> bytes:
    """Pixel cells whose bits outside Bits Stored say nothing: zero, or the sign where values are signed.

    source  PS3.5 8.1.1: Bits Allocated, Bits Stored, High Bit
    """
    allocated, stored = cells.bits_allocated, cells.bits_stored
    if allocated not in (8, 16, 32) or stored >= allocated:
        return pixels
    low = cells.high_bit - stored + 1
    if low < 0 or cells.high_bit >= allocated:
        raise Quarantined("deid-unsupported", "HighBit")
    size = allocated // 8
    whole = len(pixels) - len(pixels) % size
    kind = f"{'<' if little_endian else '>'}{'i' if cells.signed else 'u'}{size}"
    found: NDArray[np.int64 | np.uint32] = np.frombuffer(pixels[:whole], kind)
    above = allocated - 1 - cells.high_bit
    mask = found.dtype.type(-1 << low) if cells.signed else found.dtype.type(((1 << stored) - 1) << low)
    kept = ((found << above) >> above) & mask if cells.signed else found & mask
    if np.array_equal(kept, found):
        return pixels
    return kept.astype(found.dtype).tobytes() + bytes(len(pixels) - whole)


def _rle(frame: bytes) -> bytes:
    """An RLE frame without a word among the unused offsets of its header, PS3.5 G.5; the runs hold no comments."""
    used = 4 + 4 * int(struct.unpack_from("<I", frame)[0])
    if not 4 < used <= 64 <= len(frame):
        raise Quarantined("deid-unsupported", "PixelData")
    return frame[:used] + bytes(64 - used) + frame[64:]


def _jpeg(frame: bytes, marker_min: int) -> bytes:
    """A JPEG or JPEG-LS image without comments, foreign application segments or bytes after its end.

    marker_min  the least byte after 0xFF inside a scan that is a marker: 0x01 in JPEG, 0x80 in JPEG-LS
    source      ITU-T T.81 B.1.1, T.87 C.1
    """
    if frame[:2] != b"\xff\xd8":
        raise Quarantined("deid-unsupported", "PixelData")
    kept, at = bytearray(frame[:2]), 2
    while at + 4 <= len(frame):
        if frame[at] != 0xFF:
            raise Quarantined("deid-unsupported", "PixelData")
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0xD9:
            break
        end = at + 2 + struct.unpack_from(">H", frame, at + 2)[0]
        segment = frame[at:end]
        if marker == 0xDA:
            end = _scan_end(frame, end, marker_min)
            segment = frame[at:end]
        if not _foreign(marker, segment):
            kept += segment
        at = end
    return bytes(kept) + b"\xff\xd9"


def _foreign(marker: int, segment: bytes) -> bool:
    if marker == 0xFE:
        return True
    if not 0xE0 <= marker <= 0xEF:
        return False
    start, length = _NEEDED_SEGMENTS.get(marker, (b"", 0))
    return not length or not segment[4:].startswith(start) or len(segment) > length + 2


def _scan_end(frame: bytes, at: int, marker_min: int) -> int:
    """Where the entropy-coded bytes end: at a marker that is no restart marker, or at the end of the frame."""
    while True:
        at = frame.find(b"\xff", at)
        if at < 0 or at + 1 >= len(frame):
            return len(frame)
        follower = frame[at + 1]
        if follower >= marker_min and follower != 0xFF and not 0xD0 <= follower <= 0xD7:
            return at
        at += 1 if follower == 0xFF else 2


def _jpeg_2000(frame: bytes) -> bytes:
    """A JPEG 2000 codestream without comments in its main header and without bytes after its end.

    source  ITU-T T.800 A.3 (markers), A.4.2 (tile-parts), A.9.2 (comment)
    """
    if frame[:2] != b"\xff\x4f":
        raise Quarantined("deid-unsupported", "PixelData")
    kept, at = bytearray(frame[:2]), 2
    while frame[at : at + 2] != b"\xff\x90":
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker < 0xFF00:
            raise Quarantined("deid-unsupported", "PixelData")
        if marker != 0xFF64:
            kept += frame[at : at + 2 + length]
        at += 2 + length
    start = at
    while frame[at : at + 2] == b"\xff\x90":
        tile_bytes = struct.unpack_from(">I", frame, at + 6)[0]
        _plain_tile_header(frame, at)
        at = at + tile_bytes if tile_bytes else max(frame.rfind(b"\xff\xd9"), at + 12)
    # What follows the last tile-part is the end of codestream, or padding: a truncated stream simply ends.
    return bytes(kept) + frame[start:at] + b"\xff\xd9"


def _plain_tile_header(frame: bytes, at: int) -> None:
    """Refuses a comment inside a tile-part: taking it out would change lengths that other markers repeat."""
    at += 12
    while frame[at : at + 2] != b"\xff\x93":
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker == 0xFF64 or marker < 0xFF00:
            raise Quarantined("deid-unsupported", "PixelData")
        at += 2 + length
