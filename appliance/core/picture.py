"""What an encoded picture that leaves may consist of: the coded samples of a PNG or a baseline JPEG, no other part.

Both ends ask it of every key image before a decoder sees it. A text, comment, profile, thumbnail, second picture or
trailing byte is refused, because nobody looks there. It unpacks a PNG no further than its own size says, and decodes
nothing else: the samples are somebody else's to look at.
"""

import struct
import zlib
from typing import Literal

MediaType = Literal["image/png", "image/jpeg"]

SIDE_PX_MAX = 896
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_SAMPLES = {0: 1, 2: 3}  # colour types grey and RGB of ISO/IEC 15948 11.2.2
# JPEG markers of ISO/IEC 10918-1 Table B.1.
SOI, EOI, APP0, DQT, SOF0, DHT, SOS = 0xD8, 0xD9, 0xE0, 0xDB, 0xC0, 0xC4, 0xDA
JFIF_WITHOUT_THUMBNAIL = 16  # the length of that APP0 segment (ISO/IEC 10918-5)
SEGMENTS_MAX = 32


def shape_of(data: bytes, media_type: MediaType) -> tuple[int, int, int]:
    """Rows, columns and samples of a picture that is nothing but a picture.

    raises  ValueError: any other part, a size beyond SIDE_PX_MAX, a damaged or missing part
    """
    try:
        rows, columns, samples = _png(data) if media_type == "image/png" else _jpeg(data)
    except (IndexError, struct.error, zlib.error):
        raise ValueError("no whole picture") from None
    if not (1 <= rows <= SIDE_PX_MAX and 1 <= columns <= SIDE_PX_MAX):
        raise ValueError("a picture of another size")
    return rows, columns, samples


def _png(data: bytes) -> tuple[int, int, int]:
    """IHDR, IDAT and IEND with their checks, 8 bits a sample, not interlaced (ISO/IEC 15948 5.3, 11.2)."""
    if data[:8] != PNG_MAGIC:
        raise ValueError("no PNG")
    at, kinds, packed, header = 8, list[bytes](), bytearray(), b""
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", data, at + 8 + length)
        if len(body) != length or zlib.crc32(kind + body) != check:
            raise ValueError("a damaged chunk")
        kinds.append(kind)
        header = body if kind == b"IHDR" else header
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    middle = kinds[1:-1]
    if len(kinds) < 3 or kinds[0] != b"IHDR" or kinds[-1] != b"IEND" or set(middle) != {b"IDAT"} or len(header) != 13:
        raise ValueError("another chunk")
    columns, rows, bits, colour, *rest = struct.unpack(">IIBBBBB", header)
    if bits != 8 or colour not in PNG_SAMPLES or any(rest) or max(rows, columns) > SIDE_PX_MAX:
        raise ValueError("a PNG of another kind")
    length = rows * (1 + columns * PNG_SAMPLES[colour])
    unpacker = zlib.decompressobj()
    # One byte more than announced is one too many: a small file must not unfold into a huge one.
    unpacked = unpacker.decompress(bytes(packed), length + 1)
    if len(unpacked) != length or not unpacker.eof or unpacker.unused_data:
        raise ValueError("a PNG of another length")
    return rows, columns, PNG_SAMPLES[colour]


def _jpeg(data: bytes) -> tuple[int, int, int]:
    """SOI, JFIF without thumbnail, tables, one baseline frame, one scan, EOI (ISO/IEC 10918-1 B.2)."""
    if data[:2] != bytes((0xFF, SOI)):
        raise ValueError("no JPEG")
    at, shape = 2, None
    for number in range(SEGMENTS_MAX):
        mark, kind, length = struct.unpack_from(">BBH", data, at)
        allowed = (APP0,) if number == 0 else (DQT, SOF0, DHT, SOS)
        if mark != 0xFF or kind not in allowed or (kind == SOF0 and shape) or at + 2 + length > len(data):
            raise ValueError("another segment")
        if kind == APP0 and (length != JFIF_WITHOUT_THUMBNAIL or data[at + 4 : at + 9] != b"JFIF\0"):
            raise ValueError("another segment")
        if kind == SOF0:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", data, at + 4)
            if bits != 8 or samples not in (1, 3):
                raise ValueError("a JPEG of another kind")
            shape = rows, columns, samples
        at += 2 + length
        if kind == SOS:
            break
    if shape is None or _end_of_scan(data, at) != len(data):
        raise ValueError("a JPEG of another kind")
    return shape


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the picture ends: after the first marker in the coded samples, which must be EOI.

    A 0xFF among the samples is followed by a zero (B.1.1.5); this product writes no restart markers.
    """
    while True:
        at = data.index(b"\xff", at)
        if data[at + 1] != 0:
            if data[at + 1] != EOI:
                raise ValueError("another segment")
            return at + 2
        at += 2
