"""What stands beside the picture: writing in unused bits, behind runs and frames, in comments. The picture stays."""

import io
import struct

import imagecodecs
import numpy as np
import pydicom
import pytest
from planted_objects import SITE_KEY, as_file, deidentify, planted
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from appliance.errors import Quarantined

WORD = b"ZWETSCHGENKERN"


def compressed(frames: list[bytes], syntax: str, pixels: np.ndarray, bits_stored: int) -> FileDataset:
    source = planted()
    source.Rows, source.Columns = pixels.shape[-2:]
    source.NumberOfFrames = len(frames)
    source.BitsAllocated, source.BitsStored, source.HighBit = 16, bits_stored, bits_stored - 1
    source.PixelData = encapsulate(frames)
    source["PixelData"].VR = "OB"
    source["PixelData"].is_undefined_length = True
    source.file_meta.TransferSyntaxUID = UID(syntax)
    return source


def rle_frame(pixels: np.ndarray, behind: bytes = b"") -> bytes:
    """High bytes, then low bytes, each row a run of its own (PS3.5 G), and a word behind the first segment."""
    segments = [
        b"".join(imagecodecs.packbits_encode(row.tobytes()) for row in plane)
        for plane in ((pixels >> 8).astype(np.uint8), (pixels & 255).astype(np.uint8))
    ]
    segments = [segment + bytes(len(segment) % 2) for segment in segments]
    first = segments[0] + behind + bytes(len(behind) % 2)
    return struct.pack("<16I", 2, 64, 64 + len(first), *[0] * 13) + first + segments[1] + behind


PIXELS = (np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 7) & 0x0FFF


def test_a_word_behind_the_runs_of_a_frame_goes_and_the_picture_stays() -> None:
    source = compressed([rle_frame(PIXELS, WORD), rle_frame(PIXELS)], RLELossless, PIXELS, 12)
    result = deidentify(source, SITE_KEY).bytes
    assert WORD in as_file(source)
    assert WORD not in result
    back = pydicom.dcmread(io.BytesIO(result))
    assert back.file_meta.TransferSyntaxUID == RLELossless
    assert np.array_equal(back.pixel_array, np.stack([PIXELS, PIXELS]))
    honest = compressed([rle_frame(PIXELS)], RLELossless, PIXELS, 12)
    kept = pydicom.dcmread(io.BytesIO(deidentify(honest, SITE_KEY).bytes))
    assert next(generate_frames(kept.PixelData, number_of_frames=1)).rstrip(b"\0") == rle_frame(PIXELS).rstrip(b"\0")


@pytest.mark.parametrize("syntax", [JPEGLSLossless, RLELossless])
def test_writing_above_bits_stored_inside_a_codestream_is_cleared(syntax: str) -> None:
    hidden = PIXELS.copy()
    hidden[10:20, 5:40] |= 0x8000
    coded = rle_frame(hidden) if syntax == RLELossless else imagecodecs.jpegls_encode(hidden)
    source = compressed([coded], syntax, PIXELS, 12)
    back = pydicom.dcmread(io.BytesIO(deidentify(source, SITE_KEY).bytes))
    assert back.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(np.frombuffer(back.PixelData, "<u2").reshape(48, 64), PIXELS)


def test_a_codestream_of_more_bits_in_which_nothing_is_hidden_stays_as_it_is() -> None:
    coded = imagecodecs.jpegls_encode(PIXELS | 0x0800)
    source = compressed([coded], JPEGLSLossless, PIXELS, 12)
    back = pydicom.dcmread(io.BytesIO(deidentify(source, SITE_KEY).bytes))
    assert back.file_meta.TransferSyntaxUID == JPEGLSLossless
    kept = imagecodecs.jpegls_decode(next(generate_frames(back.PixelData, number_of_frames=1)))
    assert np.array_equal(kept, PIXELS | 0x0800)


def test_signed_values_may_extend_their_sign() -> None:
    signed = (PIXELS.astype(np.int16) - 2048).astype(np.int16)
    source = compressed([rle_frame(signed.view(np.uint16))], RLELossless, PIXELS, 12)
    source.PixelRepresentation = 1
    back = pydicom.dcmread(io.BytesIO(deidentify(source, SITE_KEY).bytes))
    assert back.file_meta.TransferSyntaxUID == RLELossless


def test_what_could_hide_something_and_cannot_be_decoded_is_refused() -> None:
    coded = bytearray(imagecodecs.jpegls_encode(PIXELS | 0x8000))
    coded[40:60] = bytes(20)
    source = compressed([bytes(coded)], JPEGLSLossless, PIXELS, 12)
    with pytest.raises(Quarantined, match="deid-unsupported at PixelData"):
        deidentify(source, SITE_KEY)


@pytest.mark.parametrize(
    ("coded", "kept"),
    [
        (b"jh-EIWK Aq,VU", True),  # of a real slice in HTJ2K
        (b"Zwetschgenkern seen for Ohrwurmstein", False),
        (b"he is Mr. Li of Ui", False),
    ],
)
def test_writing_among_coded_bytes_is_refused_and_chance_is_not(coded: bytes, kept: bool) -> None:
    """Nobody reads entropy-coded bytes as a text, but whoever wants to hide one there can."""
    pixels = np.random.default_rng(7).integers(0, 4096, (64, 64)).astype(np.uint16)
    frame = bytes(imagecodecs.jpegls_encode(pixels))
    middle = len(frame) // 2
    source = compressed([frame[:middle] + coded + frame[middle + len(coded) :]], JPEGLSLossless, pixels, 16)
    if kept:
        assert coded in deidentify(source, SITE_KEY).bytes
        return
    with pytest.raises(Quarantined, match="deid-unsupported"):
        deidentify(source, SITE_KEY)
