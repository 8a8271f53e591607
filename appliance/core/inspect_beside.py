"""What stands beside the picture in Pixel Data: bits that no pixel uses, bytes behind the last frame, comments and
application segments in codestreams, offsets that no run uses.

It looks at structure only; what is drawn in the picture is read by another module. It refuses codestreams that it
cannot walk to the end, and encodings, such as video, in which text has more places than it knows.
"""

import itertools
import struct
from collections.abc import Iterator

import numpy as np

from appliance.core.inspect_findings import Finding
from appliance.core.inspect_read import NATIVE, PIXEL_DATA, UNDEFINED, Element, Read, Unreadable

_JPEG = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
_JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))
_RLE = "1.2.840.10008.1.2.5"
_FLOATS = {0x7FE00008: 4, 0x7FE00009: 8}  # Float and Double Float Pixel Data, bytes a sample
# Application segments that a decoder needs, and their whole length: colour transforms and aspect.
_NEEDED = {0xE0: (b"JFIF\0", 16), 0xEE: (b"Adobe", 14), 0xE8: (b"mrfx", 6)}
_HEADER = {
    0x00280002: "samples",
    0x00280008: "frames",
    0x00280010: "rows",
    0x00280011: "columns",
    0x00280100: "allocated",
    0x00280101: "stored",
    0x00280102: "high",
    0x00280103: "signed",
}


def beside_the_picture(whole: Read) -> Iterator[Finding]:
    """Places beside the picture that hold something.

    raises  Unreadable("PixelData"): nobody can say
    source  PS3.5 8.1.1 (bits), A.4 and G (encapsulation, RLE); ITU-T T.81 B, T.87 C, T.800 A
    """
    pixels = [element for element in whole.elements if element.tag in (PIXEL_DATA, *_FLOATS) and not element.item]
    if not pixels:
        if whole.syntax not in NATIVE | _JPEG | _JPEG_LS | _JPEG_2000 | {_RLE}:
            raise Unreadable("TransferSyntaxUID")
        return
    header = _header(whole)
    for element in pixels:
        if element.tag in _FLOATS:
            yield from _length(whole, element, _samples(header) * _FLOATS[element.tag] * 8)
        elif whole.syntax in NATIVE:
            yield from _length(whole, element, _samples(header) * header.get("allocated", 0))
            if not _only_stored_bits(whole.body[element.start : element.end], header, whole.little):
                yield Finding("PixelData bits", "structure")
        else:
            yield from _encapsulated(whole, element, header)


def _header(whole: Read) -> dict[str, int]:
    """Numbers of the Image Pixel Module, by short names."""
    found = {}
    for element in whole.elements:
        name = _HEADER.get(element.tag)
        if name and not element.item:
            value = whole.body[element.start : element.end]
            if element.vr == b"IS":
                text = value.strip(b"\0 ")
                if text and not (text.isdigit() and len(text) <= 12):  # IS, PS3.5 6.2
                    raise Unreadable("NumberOfFrames")
                found[name] = int(text or b"1")
            elif len(value) == 2:
                found[name] = int.from_bytes(value, "little" if whole.little else "big")
    return found


def _samples(header: dict[str, int]) -> int:
    return header.get("rows", 0) * header.get("columns", 0) * header.get("samples", 1) * max(header.get("frames", 1), 1)


def _length(whole: Read, element: Element, bits: int) -> Iterator[Finding]:
    """No more bytes than pixels, and one to make them even."""
    expected = (bits + 7) // 8
    value_bytes = element.end - element.start
    # In words of big endian the byte that makes them even stands before the last sample.
    swapped = not whole.little and element.vr == b"OW"
    if value_bytes > expected + expected % 2 or (
        not swapped and any(whole.body[element.start + expected : element.end])
    ):
        yield Finding("PixelData beyond the last frame", "structure")


def _only_stored_bits(pixels: bytes, header: dict[str, int], little: bool) -> bool:
    """Bits outside Bits Stored are zero, or repeat the sign."""
    allocated = header.get("allocated", 0)
    stored = header.get("stored", allocated)
    high = header.get("high", stored - 1)
    if allocated not in (8, 16, 32, 64) or stored >= allocated:
        return True
    if not 0 < stored <= high + 1 <= allocated:
        raise Unreadable("HighBit")
    cells = np.frombuffer(
        pixels[: len(pixels) - len(pixels) % (allocated // 8)], f"{'<' if little else '>'}u{allocated // 8}"
    )
    above = ((1 << allocated) - 1) ^ ((1 << (high + 1)) - 1)
    below = (1 << (high + 1 - stored)) - 1
    said = int(np.bitwise_or.reduce(cells)) if cells.size else 0
    if not said & (above | below):
        return True
    if said & below or not header.get("signed"):
        return False
    top = cells >> cells.dtype.type(high)  # sign and all above it: all alike
    return bool(((top == 0) | (top == (1 << (allocated - high)) - 1)).all())


def _encapsulated(whole: Read, element: Element, header: dict[str, int]) -> Iterator[Finding]:
    fragments = _fragments(whole.body, element)
    frames = max(header.get("frames", 1), 1)
    table, images = fragments[0], fragments[1:]
    if len(table) not in (0, 4 * frames):
        yield Finding("PixelData offset table", "structure")
    if whole.syntax == _RLE:
        if len(images) != frames:
            yield Finding("PixelData fragments", "structure")
        if not all(_rle_is_tight(image, header) for image in images):
            yield Finding("PixelData run-length header", "structure")
        return
    if frames == 1:
        images = [b"".join(images)]
    elif len(images) != frames:
        images = _by_offsets(table, images, frames)
    if whole.syntax in _JPEG | _JPEG_LS:
        marker_min = 0x80 if whole.syntax in _JPEG_LS else 0x01
        bare = all(_jpeg_is_bare(image, marker_min) for image in images)
    elif whole.syntax in _JPEG_2000:
        bare = all(_jpeg_2000_is_bare(image) for image in images)
    else:
        raise Unreadable("TransferSyntaxUID")
    if not bare:
        yield Finding("PixelData codestream", "structure")


def _fragments(body: bytes, element: Element) -> list[bytes]:
    """The offset table and what follows it; their lengths were checked when the file was read."""
    found, at = [], element.start
    while body[at : at + 4] == b"\xfe\xff\x00\xe0":
        length = int.from_bytes(body[at + 4 : at + 8], "little")
        if length == UNDEFINED:
            break
        found.append(body[at + 8 : at + 8 + length])
        at += 8 + length
    if at != element.end - 8 or not found:
        raise Unreadable("PixelData")
    return found


def _by_offsets(table: bytes, fragments: list[bytes], frames: int) -> list[bytes]:
    """Frames of several fragments each, told apart by the Basic Offset Table (PS3.5 A.4)."""
    offsets = list(struct.unpack(f"<{len(table) // 4}L", table)) if len(table) == 4 * frames else []
    begins, at = {}, 0
    for number, fragment in enumerate(fragments):
        begins[at] = number
        at += 8 + len(fragment)
    if not offsets or offsets != sorted(set(offsets)) or offsets[0] or not all(offset in begins for offset in offsets):
        raise Unreadable("PixelData")
    numbers = [begins[offset] for offset in offsets] + [len(fragments)]
    return [b"".join(fragments[start:end]) for start, end in itertools.pairwise(numbers)]


def _rle_is_tight(image: bytes, header: dict[str, int]) -> bool:
    """Every offset used, every segment just as long as its samples ask for, PS3.5 G.3 to G.5."""
    if len(image) < 64:
        raise Unreadable("PixelData")
    count, *offsets = struct.unpack_from("<16L", image)
    samples = header.get("rows", 0) * header.get("columns", 0)
    planes = header.get("samples", 1) * header.get("allocated", 0) // 8
    if count != planes or not 0 < count <= 15 or any(offsets[count:]) or offsets[0] != 64:
        return False
    ends = [*offsets[1:count], len(image)]
    return all(_runs_fill(image[start:end], samples) for start, end in zip(offsets[:count], ends, strict=True))


def _runs_fill(segment: bytes, samples: int) -> bool:
    """The runs give `samples` bytes and then nothing but one byte of padding."""
    at, made = 0, 0
    while made < samples and at < len(segment):
        control = segment[at]
        if control < 128:
            made += control + 1
            at += control + 2
        elif control > 128:
            made += 257 - control
            at += 2
        else:
            at += 1
    return made == samples and len(segment) - at <= 1 and not any(segment[at:])


def _jpeg_is_bare(image: bytes, marker_min: int) -> bool:
    """No comment, no application segment that no decoder needs, nothing behind the end.

    marker_min  the least byte after 0xFF inside a scan that is a marker: 0x01 in JPEG, 0x80 in JPEG-LS
    """
    at, size = 2, len(image)
    if image[:2] != b"\xff\xd8":
        raise Unreadable("PixelData")
    while at + 2 <= size:
        if image[at] != 0xFF:
            raise Unreadable("PixelData")
        marker = image[at + 1]
        if marker == 0xD9:
            return size - at - 2 <= 1 and not any(image[at + 2 :])
        if at + 4 > size or marker == 0xFF:
            break
        length = 2 + int.from_bytes(image[at + 2 : at + 4], "big")
        if marker not in _DECODING and not _needed(marker, image[at : at + length], length):
            return False
        at += length
        if marker == 0xDA:
            at = _scan_end(image, at, marker_min)
    raise Unreadable("PixelData")


# What tells a decoder how: frame, tables, lines, restarts, scan (ITU-T T.81 Table B.1, T.87 C.1.1).
_DECODING = frozenset(range(0xC0, 0xDE)) - {0xC8, 0xCC, *range(0xD0, 0xDA)} | {0xF7, 0xF8}


def _needed(marker: int, segment: bytes, length: int) -> bool:
    begin, whole = _NEEDED.get(marker, (b"", 0))
    return bool(whole) and segment[4:].startswith(begin) and length <= whole + 2


def _scan_end(image: bytes, at: int, marker_min: int) -> int:
    """Where the entropy-coded bytes end: at a marker that is no restart marker."""
    while True:
        at = image.find(b"\xff", at)
        if at < 0 or at + 1 >= len(image):
            raise Unreadable("PixelData")
        follower = image[at + 1]
        if follower >= marker_min and follower != 0xFF and not 0xD0 <= follower <= 0xD7:
            return at
        at += 1 if follower == 0xFF else 2


# ITU-T T.800 Table A.2: comments, registration and packet lengths decode nothing; nor does what it does not name.
_IDLE_2000 = frozenset(range(256)) - {0x50, 0x51, 0x52, 0x53, 0x55, 0x59, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x90, 0xD9}
_TILE_2000 = frozenset((0x52, 0x53, 0x58, 0x5C, 0x5D, 0x5E, 0x5F, 0x61))


def _jpeg_2000_is_bare(image: bytes) -> bool:
    """No comment in any header, nothing behind the end."""
    if image[:2] != b"\xff\x4f":
        raise Unreadable("PixelData")
    at, size = 2, len(image)
    while True:
        if at + 2 > size:
            raise Unreadable("PixelData")
        marker = image[at : at + 2]
        if marker == b"\xff\xd9":
            return size - at - 2 <= 1 and not any(image[at + 2 :])
        if at + 12 > size or marker[:1] != b"\xff" or marker[1] in _IDLE_2000:
            return False
        if marker != b"\xff\x90":
            at += 2 + int.from_bytes(image[at + 2 : at + 4], "big")
            continue
        tile_bytes, header = int.from_bytes(image[at + 6 : at + 10], "big"), at + 12
        while image[header : header + 2] != b"\xff\x93":
            if header + 4 > size or image[header] != 0xFF or image[header + 1] not in _TILE_2000:
                return False
            header += 2 + int.from_bytes(image[header + 2 : header + 4], "big")
        # A length of zero means: to the end of the codestream, ITU-T T.800 A.4.2.
        end = at + tile_bytes if tile_bytes else image.rfind(b"\xff\xd9")
        if end <= header:
            raise Unreadable("PixelData")
        at = end
