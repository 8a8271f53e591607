"""What an encoded picture may consist of: coded samples, and no place in which a word could hide."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.picture import SIDE_PX_MAX, MediaType, shape_of

NOISE = np.random.default_rng(3)


def noise(*shape: int) -> np.ndarray:
    return NOISE.integers(0, 256, shape, dtype=np.uint8)


def png(picture: np.ndarray) -> bytes:
    return cv2.imencode(".png", picture)[1].tobytes()


def jpeg(picture: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", picture)[1].tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def a_png(rows: int = 3, columns: int = 2, *, bits: int = 8, colour: int = 0, interlaced: int = 0, body=None) -> bytes:
    header = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, interlaced)
    unpacked = bytes(rows * (columns + 1)) if body is None else body
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(unpacked)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def segment(kind: int, body: bytes) -> bytes:
    return bytes((0xFF, kind)) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 48, 3), (896, 896), (896, 3, 3)])
def test_what_our_encoder_makes_is_nothing_but_a_picture(shape: tuple[int, ...]) -> None:
    samples = shape[2] if len(shape) == 3 else 1
    assert shape_of(png(noise(*shape)), "image/png") == (*shape[:2], samples)
    assert shape_of(jpeg(noise(*shape)), "image/jpeg") == (*shape[:2], samples)


def test_the_bare_png_of_these_tests_is_one() -> None:
    assert shape_of(a_png(), "image/png") == (3, 2, 1)


def with_chunk(kind: bytes) -> bytes:
    whole = a_png()
    return whole[:33] + chunk(kind, b"Comment\0DOE^JANE") + whole[33:]


JPEG = jpeg(noise(16, 24))


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        *((with_chunk(kind), "image/png") for kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"tIME", b"prVt")),
        (a_png() + b"DOE^JANE", "image/png"),
        (a_png() + a_png(), "image/png"),
        (a_png()[:-12], "image/png"),
        (a_png()[:-13], "image/png"),
        (a_png().replace(b"IDAT", b"IDAt"), "image/png"),
        (a_png(body=bytes(9) + b"DOE^JANE"), "image/png"),
        (a_png(body=bytes(8)), "image/png"),
        (a_png(body=bytes(10**6)), "image/png"),
        (a_png(bits=16, body=bytes(15)), "image/png"),
        (a_png(colour=3), "image/png"),
        (a_png(interlaced=1), "image/png"),
        (a_png(SIDE_PX_MAX + 1, 1), "image/png"),
        (a_png(0, 1), "image/png"),
        (a_png(), "image/jpeg"),
        (JPEG, "image/png"),
        (JPEG[:2] + segment(0xFE, b"DOE^JANE") + JPEG[2:], "image/jpeg"),
        (JPEG[:20] + segment(0xFE, b"DOE^JANE") + JPEG[20:], "image/jpeg"),
        (JPEG[:20] + segment(0xE1, b"Exif\0\0DOE^JANE") + JPEG[20:], "image/jpeg"),
        (JPEG[:20] + JPEG[2:20] + JPEG[20:], "image/jpeg"),
        (JPEG[:2] + segment(0xE0, b"JFIF\0" + bytes(12)) + JPEG[20:], "image/jpeg"),
        (JPEG[:-2] + b"\xff\xd0DOE^JANE" + JPEG[-2:], "image/jpeg"),
        (JPEG + b"DOE^JANE", "image/jpeg"),
        (JPEG + JPEG, "image/jpeg"),
        (JPEG[:-2], "image/jpeg"),
        (JPEG[:-2] + b"\xff", "image/jpeg"),
        (jpeg(noise(SIDE_PX_MAX + 8, 8)), "image/jpeg"),
        (cv2.imencode(".jpg", noise(16, 16), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes(), "image/jpeg"),
        (b"", "image/png"),
        (b"", "image/jpeg"),
    ],
)
def test_anything_more_is_refused(data: bytes, media_type: MediaType) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  its words are nobody's business
        shape_of(data, media_type)


@given(st.binary(max_size=400), st.sampled_from(["image/png", "image/jpeg"]), st.integers(0, 300), st.booleans())
def test_no_bytes_end_in_anything_but_a_shape_or_a_refusal(
    junk: bytes, media_type: MediaType, cut: int, whole: bool
) -> None:
    start = (a_png() if media_type == "image/png" else JPEG) if whole else b""
    try:
        rows, columns, samples = shape_of(start[:cut] + junk, media_type)
    except ValueError:
        return
    assert 1 <= rows <= SIDE_PX_MAX
    assert 1 <= columns <= SIDE_PX_MAX
    assert samples in (1, 3)
