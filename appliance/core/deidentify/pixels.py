"""The places beside the picture in which pixel data carry text: unused bits, surplus bytes, codestream comments.

Pixel values are never changed here and nothing is decoded. It refuses codestreams that it cannot walk to the end and
those, such as video, in which text has more places than it knows.
"""

import itertools
import re
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_fragments, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    JPEG2000MC,
    ExplicitVRLittleEndian,
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

from appliance.core.codecs import CODEC_DAMAGE
from appliance.core.deidentify.cells import Cells
from appliance.core.deidentify.hidden_bits import without_hidden_bits
from appliance.errors import Quarantined

JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1})
JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
JPEG_2000 = frozenset(
    {JPEG2000Lossless, JPEG2000, JPEG2000MCLossless, JPEG2000MC, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K}
)
NATIVE = frozenset(
    {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
)  # implicit, explicit, deflated, big endian
# Application segments that a decoder needs: colour transform (APP14 of Adobe, APP8 of HP) and aspect (plain JFIF).
# Frame headers, tables, restart interval, scans, number of lines; those of JPEG-LS too (T.81 B.1.1.3, T.87 C.1).
_CODING_SEGMENTS = frozenset((*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD, 0xF7, 0xF8)) - {0xC8, 0xCC}
# T.800 A.2: what a main header and a tile-part's header need; lengths of packets and registration are not needed.
_MAIN_SEGMENTS = frozenset((0xFF50, 0xFF51, 0xFF52, 0xFF53, 0xFF55, 0xFF59, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF60))
_TILE_SEGMENTS = frozenset((0xFF52, 0xFF53, 0xFF58, 0xFF5C, 0xFF5D, 0xFF5E, 0xFF5F, 0xFF61))
# Five words in a row, or four of three letters, are no entropy-coded picture; letters alone are, in the Huffman tables
# that everybody uses. Four words of two letters stood in one of 120 slices in HTJ2K, by chance.
_WRITING = re.compile(rb"[A-Za-z]{2,}(?:[ ,.^'-]{1,2}[A-Za-z]{2,}){4,}|[A-Za-z]{3,}(?:[ ,.^'-]{1,2}[A-Za-z]{3,}){3,}")
_NEEDED_SEGMENTS = {0xE0: (b"JFIF\0", 16), 0xEE: (b"Adobe", 14), 0xE8: (b"mrfx", 6)}


def cleaned_pixels(pixels: bytes, cells: Cells, syntax: str) -> tuple[bytes, str] | None:
    """Pixel Data without text beside the picture and their transfer syntax, or None if they stay as they are.

    pixels  the value of Pixel Data, encapsulated or not
    returns with the syntax they came in, or as Explicit VR Little Endian where bits were hidden in the codestreams
    raises  Quarantined("deid-unsupported", "PixelData"): a codestream that cannot be walked
    source  PS3.5 8.1 (bits), 8.2 and A.4 (encapsulation)
    """
    if syntax in NATIVE:
        cleaned = stored_bits_only(_trimmed(cells, pixels), cells, syntax != "1.2.840.10008.1.2.2")
        return (cleaned, syntax) if cleaned != pixels else None
    walk = _walker(syntax, cells)
    frames = _frames(pixels, cells.frames, one_fragment=syntax == RLELossless)
    cleaned_frames = [walk(frame) for frame in frames]
    if any(_WRITING.search(frame) for frame in cleaned_frames):
        raise Quarantined("deid-unsupported", "PixelData")
    native = without_hidden_bits(cleaned_frames, cells, syntax)
    if native is not None:
        return native, ExplicitVRLittleEndian
    unchanged = all(
        after.rstrip(b"\0") == before.rstrip(b"\0") for after, before in zip(cleaned_frames, frames, strict=True)
    )
    # What the frames do not explain, such as an offset table without offsets, is made anew.
    if unchanged and any(pixels == encapsulate(frames, has_bot=table) for table in (True, False)):
        return None
    return encapsulate(frames if unchanged else cleaned_frames, has_bot=True), syntax


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


def _walker(syntax: str, cells: Cells) -> Callable[[bytes], bytes]:
    if syntax in JPEG:
        return lambda frame: _jpeg(frame, 0x01)
    if syntax in JPEG_LS:
        return lambda frame: _jpeg(frame, 0x80)
    if syntax in JPEG_2000:
        return _jpeg_2000
    if syntax == RLELossless:
        return lambda frame: _rle(frame, cells)
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
    least = -(1 << stored - 1) if cells.signed else 0
    if not low and found.size and least <= found.min() and found.max() < least + (1 << stored):
        return pixels  # as nearly always; the way below makes four copies to find that out
    above = allocated - 1 - cells.high_bit
    mask = found.dtype.type(-1 << low) if cells.signed else found.dtype.type(((1 << stored) - 1) << low)
    kept = ((found << above) >> above) & mask if cells.signed else found & mask
    if np.array_equal(kept, found):
        return pixels
    return kept.astype(found.dtype).tobytes() + bytes(len(pixels) - whole)


def _rle(frame: bytes, cells: Cells) -> bytes:
    """An RLE frame of nothing but its runs: no word among the unused offsets, none behind a segment, no segment more.

    source  PS3.5 G.2 (a segment a byte of the pixel), G.3 (PackBits), G.5 (header)
    """
    pixels_count, planes = cells.rows * cells.columns, cells.samples * cells.bits_allocated // 8
    if len(frame) < 64:
        raise Quarantined("deid-unsupported", "PixelData")
    count, *offsets = struct.unpack_from("<16I", frame)
    rising = all(before <= after for before, after in itertools.pairwise(offsets[:count]))
    if count != planes or not 0 < count <= 15 or offsets[0] < 64 or not rising:
        raise Quarantined("deid-unsupported", "PixelData")
    borders = [*offsets[:count], len(frame)]
    segments = [_runs(frame[start:end], pixels_count) for start, end in itertools.pairwise(borders)]
    starts = list(itertools.accumulate((len(segment) for segment in segments[:-1]), initial=64))
    return struct.pack("<16I", count, *starts, *[0] * (15 - count)) + b"".join(segments)


def _runs(segment: bytes, bytes_count: int) -> bytes:
    """A segment up to the run that completes it, padded to even length."""
    try:
        unpacked = len(imagecodecs.packbits_decode(segment))
    except CODEC_DAMAGE:  # what stands behind the runs need not be one
        unpacked = bytes_count + 2
    if unpacked <= bytes_count + 1 and len(segment) % 2 == 0:
        return segment  # one surplus byte at most: the padding
    at = made = 0
    while at < len(segment) and made < bytes_count:
        run = segment[at]
        made += run + 1 if run < 128 else 257 - run if run > 128 else 0
        at += run + 2 if run < 128 else 2 if run > 128 else 1
    return segment[:at] + bytes(at % 2)


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
    """Not one of the segments that say how to decode: those are listed, not the others."""
    if marker in _CODING_SEGMENTS:
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
        if marker in _MAIN_SEGMENTS:
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
        if marker not in _TILE_SEGMENTS:
            raise Quarantined("deid-unsupported", "PixelData")
        at += 2 + length
