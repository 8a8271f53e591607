"""One compressed frame to stored values, by every codec in use.

imagecodecs decodes: fastest, and it releases the GIL. Before it runs, the codestream's own size is read and held
against the header: a codestream that would unfold to more than the header announces is refused undecoded. A JPEG frame
without its end is refused too: libjpeg would fill what is missing with grey and say nothing.

There is no second decoder to fall back on. What imagecodecs refuses is a damaged frame, and on damaged frames pydicom's
plug-ins end the process (GDCM), never end (pyjpegls) or hand out part of an image (OpenJPEG, not strict there). They
are the reference of the tests.
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import generate_frames
from pydicom.pixels.processing import convert_color_space

from appliance.core.pixel_header import HTJ2K, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, RLE, Layout
from appliance.errors import Quarantined

# What imagecodecs, and pydicom where it cuts pixel data into frames, raise on damaged bytes.
CODEC_DAMAGE = (
    RuntimeError,  # of which imagecodecs' errors are made
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    EOFError,
    OSError,
    OverflowError,
    MemoryError,
    struct.error,
)
# SOFn (ITU T.81 B.1.1.3) of the processes that DICOM names: baseline, extended, lossless; progressive is retired,
# and a progressive codestream can ask for thousands of passes over one image.
JPEG_FRAMES = (0xC0, 0xC1, 0xC3)
JPEG_LS_FRAME = 0xF7
END_OF_IMAGE = b"\xff\xd9"
PADDING_AFTER_END_BYTES = 64

Pixels = NDArray[Any]


class Codestream(NamedTuple):
    """What a codestream says of itself. signed is None where the codec knows no sign."""

    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool | None


def encapsulated_frames(
    value: bytes, layout: Layout, offsets: tuple[bytes, bytes] | None
) -> Iterator[tuple[Pixels, str]]:
    """Compressed pixel data (PS3.5 A.4), decoded frame by frame.

    offsets  Extended Offset Table and its lengths (PS3.3 C.7.6.3.1.8), where the header has them
    yields   [row, column] or [row, column, 3] as stored_values makes it, and its photometric
    raises   Quarantined("pixel-length"): fewer frames than announced, or one without its end; ("pixel-layout"): more
             frames, or a codestream of another size than the header's; ("pixel-undecodable"): the codec could not
    """
    if layout.frames * 8 > len(value):  # an item's tag and length take 8 bytes
        raise Quarantined("pixel-length", "NumberOfFrames")
    encoded = generate_frames(value, number_of_frames=layout.frames, extended_offsets=offsets)
    for number in range(layout.frames):
        frame = _next(encoded, number)
        if frame is None:
            raise Quarantined("pixel-length", f"frame {number + 1}")
        yield decode_frame(frame, layout)
    if _next(encoded, layout.frames) is not None:
        raise Quarantined("pixel-layout", "NumberOfFrames")


def _next(encoded: Iterator[bytes], number: int) -> bytes | None:
    try:
        return next(encoded, None)
    except CODEC_DAMAGE:
        raise Quarantined("pixel-undecodable", f"frame {number + 1}") from None


def decode_frame(encoded: bytes, layout: Layout) -> tuple[Pixels, str]:
    """One compressed frame; see encapsulated_frames."""
    pixels, photometric, said = raw_frame(encoded, layout)
    # Where header and codestream disagree about the sign, the codestream's width is the one its bits were coded in.
    differ = said.signed is not None and said.signed != layout.signed
    bits = min(layout.bits_stored, said.precision) if differ else layout.bits_stored
    pixels = stored_values(pixels, bits, layout.signed)
    if layout.samples == 3:
        pixels, photometric = in_rgb(pixels, photometric)
    return pixels, photometric


def raw_frame(encoded: bytes, layout: Layout) -> tuple[Pixels, str, Codestream]:
    """One compressed frame as its codestream holds it, bits outside Bits Stored and all, and what it says of itself."""
    encoded, said = codestream(encoded, layout)
    if (said.rows, said.columns, said.samples) != (layout.rows, layout.columns, layout.samples):
        raise Quarantined("pixel-layout", "codestream")
    if said.precision > layout.bits_allocated:
        raise Quarantined("pixel-layout", "BitsAllocated")
    try:
        pixels, photometric = _decompressed(encoded, layout)
    except CODEC_DAMAGE:
        raise Quarantined("pixel-undecodable", "codestream") from None
    shape = (layout.rows, layout.columns) if layout.samples == 1 else (layout.rows, layout.columns, 3)
    if pixels.shape != shape or pixels.dtype.kind not in "iu":
        raise Quarantined("pixel-undecodable", "codestream")
    return pixels, photometric, said


def codestream(encoded: bytes, layout: Layout) -> tuple[bytes, Codestream]:
    """Exactly the bytes a decoder is to see, and the size they announce, read without decoding.

    raises  Quarantined("pixel-undecodable"): no codestream of the transfer syntax; ("pixel-length"): no end
    """
    if layout.syntax == RLE:
        _sound_rle_header(encoded, layout.samples * layout.bits_allocated // 8)
        return encoded, Codestream(layout.rows, layout.columns, layout.samples, layout.bits_allocated, None)
    if layout.syntax in JPEG_2000 | HTJ2K:
        return _jpeg_2000(encoded)
    if END_OF_IMAGE not in encoded[-PADDING_AFTER_END_BYTES:]:
        raise Quarantined("pixel-length", "codestream")
    return encoded, _jpeg(encoded, (JPEG_LS_FRAME,) if layout.syntax in JPEG_LS else JPEG_FRAMES)


def _sound_rle_header(encoded: bytes, segments: int) -> None:
    """One segment a byte of the pixel, in rising order behind the header (PS3.5 G.5): imagecodecs ends the process on
    offsets that point elsewhere."""
    if len(encoded) < 64:
        raise Quarantined("pixel-length", "codestream")
    count, *offsets = struct.unpack_from("<16I", encoded)
    borders = [*offsets[:segments], len(encoded)]
    if count != segments or borders[0] < 64 or any(b <= a for a, b in pairwise(borders)):
        raise Quarantined("pixel-undecodable", "RLE header")


def _jpeg_2000(encoded: bytes) -> tuple[bytes, Codestream]:
    """The SIZ marker segment (ISO/IEC 15444-1 A.5.1). Some writers wrap the codestream in a JP2 file, against
    PS3.5 8.2.4: the wrapper is taken off, so that no decoder reads a size which was not checked."""
    start = 0 if encoded[:2] == b"\xff\x4f" else encoded.find(b"\xff\x4f\xff\x51", 0, 4096)
    if start < 0 or len(encoded) < start + 45 or encoded[start + 2 : start + 4] != b"\xff\x51":
        raise Quarantined("pixel-undecodable", "SIZ")
    width, height, left, top = struct.unpack_from(">4I", encoded, start + 8)
    (samples,) = struct.unpack_from(">H", encoded, start + 40)
    depth = encoded[start + 42]
    said = Codestream(height - top, width - left, samples, (depth & 0x7F) + 1, bool(depth & 0x80))
    return encoded[start:], said


def _jpeg(encoded: bytes, frames: tuple[int, ...]) -> Codestream:
    """The frame header SOFn of JPEG (ITU T.81 B.2.2) or JPEG-LS (ITU T.87 C.2.2)."""
    for marker, segment in _segments(encoded):
        if marker in frames and len(segment) >= 6:
            precision, rows, columns, samples = struct.unpack_from(">BHHB", segment)
            return Codestream(rows, columns, samples, precision, None)
    raise Quarantined("pixel-undecodable", "SOF")


def _segments(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker segments of a JPEG or JPEG-LS codestream up to the first scan (ITU T.81 B.1.1); stops at whatever a
    lenient decoder would step over."""
    at = 2
    while encoded[:2] == b"\xff\xd8" and at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker, length = encoded[at + 1], int.from_bytes(encoded[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker <= 0x01 or 0xD0 <= marker <= 0xDA or length < 2:
            return
        yield marker, encoded[at + 4 : at + 2 + length]
        at += 2 + length


def _decompressed(encoded: bytes, layout: Layout) -> tuple[Pixels, str]:
    """The frame as its codestream holds it, and the photometric that it has now."""
    photometric = layout.photometric
    if layout.syntax == RLE:
        word = np.dtype(f"<u{layout.bits_allocated // 8}")
        planes = np.frombuffer(imagecodecs.dicomrle_decode(encoded, word), word)
        planes = planes.reshape(layout.samples, layout.rows, layout.columns)
        return (planes[0] if layout.samples == 1 else np.moveaxis(planes, 0, -1)), photometric
    if layout.syntax in JPEG_LS:
        return np.asarray(imagecodecs.jpegls_decode(encoded)), photometric
    if layout.syntax in JPEG_2000 | HTJ2K:
        # OpenJPEG for HTJ2K too: OpenJPH is twice as fast, but its binding swallows the error of a damaged
        # codestream and hands out memory that nobody wrote. Component transforms are undone here (PS3.5 8.2.4).
        pixels = np.asarray(imagecodecs.jpeg2k_decode(encoded, planar=False))
        return pixels, "RGB" if photometric in ("YBR_RCT", "YBR_ICT") else photometric
    if layout.samples == 1:
        return np.asarray(imagecodecs.jpeg8_decode(encoded)), photometric
    if layout.syntax in JPEG_LOSSLESS:  # libjpeg converts no colours here
        return np.asarray(imagecodecs.jpeg8_decode(encoded, colorspace="rgb", outcolorspace="rgb")), photometric
    if _names_its_colours(encoded):
        return np.asarray(imagecodecs.jpeg8_decode(encoded, outcolorspace="rgb")), "RGB"
    inside = "rgb" if photometric == "RGB" else "ycbcr"
    return np.asarray(imagecodecs.jpeg8_decode(encoded, colorspace=inside, outcolorspace="rgb")), "RGB"


def _names_its_colours(encoded: bytes) -> bool:
    """An APP14 of Adobe or an APP0 of JFIF says what the components are; it was there before the DICOM header."""
    return any(
        (marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12)
        or (marker == 0xE0 and segment[:5] == b"JFIF\0")
        for marker, segment in _segments(encoded)
    )


def stored_values(pixels: Pixels, bits: int, signed: bool) -> Pixels:
    """Integers of any width as the stored values of PS3.5 8.1.1: bits above `bits` dropped, the sign extended.

    returns  uint8, uint16 or uint32 when unsigned, int16 or int32 when signed: the narrowest that holds `bits`
             (8 signed bits become int16)
    """
    width = pixels.dtype.itemsize * 8
    least = -(1 << bits - 1) if signed else 0
    if signed:
        whole = pixels.view(f"i{pixels.dtype.itemsize}")
        if bits < width and not _all_within(whole, least, bits):
            whole = (whole << (width - bits)) >> (width - bits)
        return whole.astype(np.int16 if bits <= 16 else np.int32, copy=False)
    whole = pixels.view(f"u{pixels.dtype.itemsize}")
    if bits < width and not _all_within(whole, least, bits):
        whole = whole & whole.dtype.type((1 << bits) - 1)
    return whole.astype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32, copy=False)


def _all_within(pixels: Pixels, least: int, bits: int) -> bool:
    """Whether nothing has to be cut off: the extremes tell it without a copy of the frame."""
    return bool(pixels.size and (not least or least <= pixels.min()) and pixels.max() < least + (1 << bits))


def in_rgb(pixels: Pixels, photometric: str) -> tuple[Pixels, str]:
    """One frame's colours [row, column, 3] as RGB.

    raises  Quarantined("pixel-layout") where no rule of PS3.3 C.7.6.3.1.2 leads there
    """
    if photometric == "RGB":
        return pixels, photometric
    if photometric not in ("YBR_FULL", "YBR_FULL_422") or pixels.dtype != np.uint8:
        raise Quarantined("pixel-layout", "PhotometricInterpretation")
    return np.asarray(convert_color_space(pixels, "YBR_FULL", "RGB")), "RGB"
