"""Pixels: every transfer syntax as the reference decodes it, and no header or codestream that lies comes through."""

import json
import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.pixels.encoders import RLELosslessEncoder

from appliance.core import codecs
from appliance.core.pixel_header import HTJ2K, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, NATIVE, RLE
from appliance.core.pixels import Image, decode, modality_values
from appliance.core.viewing import frame_bytes, frame_description
from appliance.errors import Quarantined

pytestmark = pytest.mark.filterwarnings("ignore")  # odd files make pydicom warn; what counts is what decode answers

PIXELS_MAX = 2**27
TEST_FILES = Path(pydicom.__file__).parent / "data" / "test_files"
MORE_FILES = Path(pydicom.__file__).parents[1] / "data_store"  # of the distribution pydicom-data
EXPLICIT = "1.2.840.10008.1.2.1"
BASELINE, LOSSLESS, LS, J2K, J2K_LOSSY = (f"1.2.840.10008.1.2.4.{n}" for n in (50, 70, 80, 90, 91))
SAMPLE_BYTES = {"uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "rgb8": 3}

# The files that are wrong by intention, and what is said of them.
WRONG = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "pixel-layout",
    "MR_truncated.dcm": "pixel-length",
    "badVR.dcm": "pixel-layout",
    "meta_missing_tsyntax.dcm": "pixel-syntax-unknown",
    "nested_priv_SQ.dcm": "pixel-layout",
}
# 12-bit lossy JPEG, which none of the reference decoders reads: held against its uncompressed original below.
BEYOND_REFERENCE = {"JPEG-lossy.dcm", "JPGExtended.dcm"}


def has_pixels(path: Path) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):
            dataset = pydicom.dcmread(path, specific_tags=["PixelData"])
    except (OSError, AttributeError, pydicom.errors.InvalidDicomError):
        return False
    return "PixelData" in dataset


def real_files() -> list[Path]:
    files = [path for root in (TEST_FILES, MORE_FILES) for path in sorted(root.rglob("*")) if path.is_file()]
    return [path for path in files if has_pixels(path)]


REAL = real_files()
SMALL = {path.name: path.read_bytes() for path in REAL if path.stat().st_size < 12_000 and path.name not in WRONG}


def refused(data: bytes, pixels_max: int = PIXELS_MAX) -> str:
    """The code that decode quarantines the bytes with, or a failure: it took them."""
    with pytest.raises(Quarantined) as caught:
        decode(data, pixels_max=pixels_max)
    return caught.value.code


def made(stored: np.ndarray[Any, Any], syntax: str = EXPLICIT, frames: list[bytes] | None = None, **said: Any) -> bytes:
    """An object around these pixels: uncompressed, or as the encoded frames given. None takes a keyword away."""
    several = stored.ndim == 4 or (stored.ndim == 3 and stored.shape[-1] != 3)
    grey = stored.ndim - several == 2
    header: dict[str, Any] = {
        "Rows": stored.shape[int(several)],
        "Columns": stored.shape[int(several) + 1],
        "SamplesPerPixel": 1 if grey else 3,
        "PhotometricInterpretation": "MONOCHROME2" if grey else "RGB",
        "PlanarConfiguration": None if grey else 0,
        "BitsAllocated": stored.dtype.itemsize * 8,
        "PixelRepresentation": int(stored.dtype.kind == "i"),
        "SOPInstanceUID": "1.2.3.4",
    } | said
    header.setdefault("BitsStored", header["BitsAllocated"])
    header.setdefault("HighBit", header["BitsStored"] - 1 if header["BitsStored"] else None)
    dataset = Dataset()
    for keyword, value in header.items():
        if value is not None:
            setattr(dataset, keyword, value)
    raw = stored.tobytes()
    dataset.PixelData = encapsulate(frames) if frames is not None else raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if frames is not None or stored.dtype.itemsize == 1 else "OW"
    dataset["PixelData"].is_undefined_length = frames is not None
    return written(dataset, syntax)


def written(dataset: Dataset, syntax: str = EXPLICIT) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def phantom(dtype: str, bits: int, rows: int = 33, columns: int = 47) -> np.ndarray[Any, Any]:
    """A ramp with noise over the whole range of `bits`, odd in every dimension."""
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if dtype.startswith("i") else (0, 2**bits)
    ramp = np.linspace(low, high - 1, rows * columns)
    noise = np.random.default_rng(7).integers(-3, 4, rows * columns)
    return np.clip(ramp + noise, low, high - 1).astype(dtype).reshape(rows, columns)


def encoded(stored: np.ndarray[Any, Any], syntax: str) -> bytes:
    """One frame, lossless, in a transfer syntax; signed values as their two's complement where a codec has no sign."""
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    if syntax == RLE:
        return RLELosslessEncoder.encode(
            unsigned, rows=stored.shape[0], columns=stored.shape[1], samples_per_pixel=1, number_of_frames=1,
            bits_allocated=stored.dtype.itemsize * 8, bits_stored=stored.dtype.itemsize * 8, pixel_representation=0,
            photometric_interpretation="MONOCHROME2", encoding_plugin="pydicom",
        )  # fmt: skip
    if syntax in JPEG_LS:
        return bytes(imagecodecs.jpegls_encode(unsigned))
    if syntax in JPEG_2000:
        return bytes(imagecodecs.jpeg2k_encode(stored, codecformat="J2K", reversible=True))
    if syntax in HTJ2K:
        return bytes(imagecodecs.htj2k_encode(stored, reversible=True))
    predictor = 1 if syntax == LOSSLESS else 4
    width = stored.dtype.itemsize * 8
    return bytes(imagecodecs.jpeg8_encode(unsigned, lossless=True, predictor=predictor, bitspersample=width))


LOSSLESS_SYNTAXES = sorted({RLE, LS, J2K, *JPEG_LOSSLESS, *HTJ2K})


# Against the reference


def test_the_real_files_are_there() -> None:
    syntaxes = {str(pydicom.dcmread(path).file_meta.get("TransferSyntaxUID")) for path in REAL}
    assert len(REAL) >= 160
    assert {*NATIVE, RLE, BASELINE, LOSSLESS, LS, J2K, J2K_LOSSY} <= syntaxes


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_a_real_file_decodes_as_the_reference_does(path: Path) -> None:
    """imagecodecs' values are pydicom's to the last bit, lossy syntaxes included; what is shown is what is stored."""
    data = path.read_bytes()
    if path.name in WRONG:
        assert refused(data) == WRONG[path.name]
        return
    image = decode(data, pixels_max=PIXELS_MAX)
    assert image.decoder == (
        "none" if str(pydicom.dcmread(path).file_meta.TransferSyntaxUID) in NATIVE else "imagecodecs"
    )
    faithful(image)
    if path.name in BEYOND_REFERENCE:
        return
    for frame in {0, image.frames // 2, image.frames - 1}:
        dataset = pydicom.dcmread(path)
        reference = pixel_array(dataset, index=frame)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            reference = apply_color_lut(reference, dataset)
        assert np.array_equal(image.stored[frame], reference)


def faithful(image: Image) -> None:
    """The viewer's bytes and line give the modality values back, within half a level where there are levels."""
    said = frame_description(image)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    rows, columns, dtype = said["rows"], said["columns"], str(said["dtype"])
    told = frame_bytes(image, image.frames - 1)
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    assert len(told) == rows * columns * SAMPLE_BYTES[dtype]
    if dtype == "rgb8":
        assert image.photometric == "RGB"
        return
    slope, intercept = said["slope"], said["intercept"]
    assert isinstance(slope, float)
    assert isinstance(intercept, float)
    values = np.frombuffer(told, np.dtype(dtype).newbyteorder("<")).reshape(rows, columns) * slope + intercept
    if len(image.rescales) == 1:
        expected = modality_values(image, image.frames - 1)
        half_a_level = abs(slope) / 2 if image.span else 0.0
        assert np.allclose(values, expected, rtol=1e-5, atol=half_a_level + 1e-4)


def test_twelve_bit_lossy_jpeg_is_near_its_original() -> None:
    """No reference decodes it; the uncompressed original of the same picture does as well."""
    original = pixel_array(MORE_FILES / "data" / "JPEG2000_UNC.dcm").astype(float)
    lossy = decode((TEST_FILES / "JPEG-lossy.dcm").read_bytes(), pixels_max=PIXELS_MAX).stored[0].astype(float)
    assert lossy.shape == original.shape
    assert np.corrcoef(lossy.ravel(), original.ravel())[0, 1] > 0.95
    assert np.corrcoef(lossy[:, ::-1].ravel(), original.ravel())[0, 1] < 0.9  # the check can tell


@pytest.mark.parametrize("syntax", LOSSLESS_SYNTAXES)
@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u2", 12), ("u2", 16), ("i2", 12), ("i2", 16)])
def test_lossless_syntaxes_give_back_every_value(syntax: str, dtype: str, bits: int) -> None:
    stored = phantom(dtype, bits)
    frame = encoded(stored, syntax)
    data = made(stored, syntax, [frame, frame], BitsStored=bits)
    assert refused(data) == "pixel-layout" or syntax == RLE  # one frame announced, two there
    image = decode(made(stored, syntax, [frame], BitsStored=bits), pixels_max=PIXELS_MAX)
    assert np.array_equal(image.stored[0], stored)
    assert image.stored.dtype == stored.dtype
    assert image.decoder == "imagecodecs"


def test_several_frames_by_every_offset_table() -> None:
    frames = np.stack([phantom("u2", 12), phantom("u2", 12)[::-1], phantom("u2", 12)[:, ::-1]])
    pieces = [encoded(np.ascontiguousarray(frame), J2K) for frame in frames]
    said = {"BitsStored": 12, "NumberOfFrames": 3}
    with_table = made(frames, J2K, pieces, **said)
    assert np.array_equal(decode(with_table, pixels_max=PIXELS_MAX).stored, frames)
    dataset = pydicom.dcmread(BytesIO(with_table))
    dataset.PixelData = encapsulate(pieces, fragments_per_frame=3, has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    assert np.array_equal(decode(written(dataset, J2K), pixels_max=PIXELS_MAX).stored, frames)
    value, offsets, lengths = encapsulate_extended(pieces)
    dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = value, offsets, lengths
    dataset["PixelData"].is_undefined_length = True
    assert np.array_equal(decode(written(dataset, J2K), pixels_max=PIXELS_MAX).stored, frames)
    for count, code in ((2, "pixel-layout"), (4, "pixel-length")):
        assert refused(made(frames, J2K, pieces, **{**said, "NumberOfFrames": count})) == code


# Uncompressed layouts


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 6), ("u2", 12), ("i2", 12), ("i2", 16), ("u4", 31), ("i4", 20)])
def test_bits_above_bits_stored_are_dropped_and_the_sign_extended(dtype: str, bits: int) -> None:
    stored = phantom(dtype, bits)
    spoilt = stored.view(f"u{dtype[1]}") & (2**bits - 1)
    if bits < stored.dtype.itemsize * 8:
        spoilt = spoilt | np.array(1 << bits, spoilt.dtype)  # an overlay in an unused bit
    spoilt = spoilt.view(dtype)
    image = decode(made(spoilt, BitsStored=bits), pixels_max=PIXELS_MAX)
    assert np.array_equal(image.stored[0], stored)
    assert image.decoder == "none"
    faithful(image)


def test_eight_signed_bits_become_sixteen() -> None:
    stored = phantom("i1", 8)
    image = decode(made(stored), pixels_max=PIXELS_MAX)
    assert image.stored.dtype == np.int16
    assert np.array_equal(image.stored[0], stored)


@pytest.mark.parametrize(("keyword", "bits"), [("FloatPixelData", 32), ("DoubleFloatPixelData", 64)])
def test_real_pixels(keyword: str, bits: int) -> None:
    values = np.linspace(-1.5, 7.25, 20).astype(f"f{bits // 8}").reshape(4, 5)

    def parametric(values: np.ndarray[Any, Any]) -> bytes:
        dataset = pydicom.dcmread(BytesIO(made(np.zeros((4, 5), "u2"), BitsStored=None, PixelRepresentation=None)))
        del dataset.PixelData
        setattr(dataset, keyword, values.tobytes())
        dataset.BitsAllocated = bits
        return written(dataset)

    image = decode(parametric(values), pixels_max=PIXELS_MAX)
    assert np.array_equal(image.stored[0], values)
    faithful(image)
    values[2, 2] = np.nan
    assert refused(parametric(values)) == "pixel-not-finite"
    values[2, 2] = np.inf
    assert refused(parametric(values)) == "pixel-not-finite"


def test_two_pixel_data_elements_are_no_picture() -> None:
    """PS3.3 allows one of them: whichever was decoded, a viewer might draw the other."""
    dataset = pydicom.dcmread(BytesIO(made(phantom("u2", 16))))
    dataset.FloatPixelData = np.zeros((33, 47), "<f4").tobytes()
    assert refused(written(dataset)) == "pixel-layout"


def test_thirty_two_unsigned_bits_reach_the_viewer_in_levels() -> None:
    stored = np.array([[0, 2**32 - 1], [2**31, 7]], "u4")
    image = decode(made(stored), pixels_max=PIXELS_MAX)
    assert image.stored.dtype == np.uint32
    assert frame_description(image)["dtype"] == "uint16"
    faithful(image)


def test_sixteen_bit_colours_reach_the_viewer_in_eight() -> None:
    stored = np.array([[[0, 256, 65535], [1, 2, 513]]], "u2")
    image = decode(made(stored), pixels_max=PIXELS_MAX)
    assert list(frame_bytes(image, 0)) == [0, 1, 255, 0, 0, 2]


# Headers that lie


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"Rows": 34}, "pixel-length"),
        ({"Columns": 65535}, "pixel-length"),
        ({"NumberOfFrames": 2}, "pixel-length"),
        ({"Rows": 65535, "Columns": 65535}, "pixel-too-large"),
        ({"NumberOfFrames": 2**31 - 1}, "pixel-too-large"),
        ({"Rows": 16}, "pixel-layout"),
        ({"Rows": 24}, "pixel-layout"),
        ({"Columns": 30}, "pixel-layout"),
        ({"Rows": 0}, "pixel-layout"),
        ({"Rows": None}, "pixel-layout"),
        ({"NumberOfFrames": 0}, "pixel-layout"),
        ({"NumberOfFrames": -1}, "pixel-layout"),
        ({"BitsAllocated": 12}, "pixel-layout"),
        ({"BitsAllocated": 8}, "pixel-layout"),
        ({"BitsStored": 17}, "pixel-layout"),
        ({"BitsStored": 0}, "pixel-layout"),
        ({"BitsStored": 12, "HighBit": 15}, "pixel-layout"),
        ({"SamplesPerPixel": 3}, "pixel-layout"),
        ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "pixel-length"),
        ({"PhotometricInterpretation": "HSV"}, "pixel-layout"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "pixel-layout"),
        ({"PhotometricInterpretation": None}, "pixel-layout"),
        ({"PixelRepresentation": 2}, "pixel-layout"),
        ({"PixelRepresentation": None}, "pixel-layout"),
        ({"RescaleSlope": "0"}, "pixel-rescale"),
        ({"RescaleSlope": "1e-30", "RescaleIntercept": "-1024"}, "pixel-rescale"),
        ({"RescaleSlope": "1e37"}, "pixel-rescale"),
        ({"RescaleIntercept": "1e39"}, "pixel-rescale"),
        ({"RescaleSlope": ["1", "2"]}, "pixel-rescale"),
    ],
)
def test_a_header_that_lies_is_quarantined(said: dict[str, Any], code: str) -> None:
    stored = phantom("u2", 16)
    assert decode(made(stored), pixels_max=PIXELS_MAX).frames == 1
    assert refused(made(stored, **said)) == code


@pytest.mark.parametrize("text", [b"nan ", b"inf ", b"-inf", b"1,0 ", b"abcd"])
def test_a_slope_that_is_no_number_is_quarantined(text: bytes) -> None:
    data = made(phantom("u2", 16), RescaleSlope="1.00", RescaleIntercept="0")
    assert data.count(b"1.00") == 1
    assert refused(data.replace(b"1.00", text)) == "pixel-rescale"


def test_objects_without_pixels_and_syntaxes_nobody_knows() -> None:
    stored = phantom("u2", 16)
    dataset = pydicom.dcmread(BytesIO(made(stored)))
    dataset.PixelData = b""
    assert refused(written(dataset)) == "pixel-missing"
    del dataset.PixelData
    assert refused(written(dataset)) == "pixel-missing"
    assert refused(made(stored, "1.2.840.10008.1.2.4.100", [b"\0\0"])) == "pixel-syntax-unknown"
    assert refused(b"") == "header-unreadable"
    assert refused(bytes(200)) == "header-unreadable"
    # Compressed by name only, and the other way round.
    assert refused(made(stored).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")) == "pixel-layout"
    compressed = made(stored, RLE, [encoded(stored, RLE)])
    assert refused(compressed.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0")) == "pixel-layout"


# Codestreams that lie, end early or unfold


@pytest.mark.parametrize("syntax", [each for each in LOSSLESS_SYNTAXES if each != RLE] + [BASELINE])
def test_a_codestream_of_another_size_is_never_decoded(syntax: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header announces 33 x 47; the codestream 200 x 300, or three samples. No decoder sees it."""
    monkeypatch.setattr(codecs, "imagecodecs", None)
    for wrong in (phantom("u1", 8, 200, 300), phantom("u1", 8, 47, 33)):
        frame = bytes(imagecodecs.jpeg8_encode(wrong)) if syntax == BASELINE else encoded(wrong, syntax)
        assert refused(made(phantom("u1", 8), syntax, [frame])) == "pixel-layout"
    colours = np.zeros((33, 47, 3), np.uint8)
    if syntax == BASELINE:
        assert refused(made(phantom("u1", 8), syntax, [bytes(imagecodecs.jpeg8_encode(colours))])) == "pixel-layout"
    deep = encoded(phantom("u2", 16), LS if syntax == BASELINE else syntax)
    assert refused(made(phantom("u1", 8), LS if syntax == BASELINE else syntax, [deep])) == "pixel-layout"


@pytest.mark.parametrize("syntax", [*LOSSLESS_SYNTAXES, BASELINE])
def test_a_frame_that_ends_early_is_never_an_image(syntax: str) -> None:
    stored = phantom("u1", 8, 64, 64)
    frame = bytes(imagecodecs.jpeg8_encode(stored)) if syntax == BASELINE else encoded(stored, syntax)
    assert decode(made(stored, syntax, [frame]), pixels_max=PIXELS_MAX).stored.shape == (1, 64, 64)
    for left in (1, 3, 40, len(frame) // 2, len(frame) * 3 // 4, len(frame) - 12):
        assert refused(made(stored, syntax, [frame[:left]])) in ("pixel-length", "pixel-undecodable")


def test_libjpeg_would_have_shown_a_cut_frame() -> None:
    """Why a JPEG frame must bear its end: without the check half a film would be grey and nobody would know."""
    stored = phantom("u1", 8, 64, 64)
    for frame in (bytes(imagecodecs.jpeg8_encode(stored)), encoded(stored, LOSSLESS)):
        shown = imagecodecs.jpeg8_decode(frame[: len(frame) // 2])
        assert shown.shape == stored.shape
        assert not np.array_equal(shown, stored)


def test_a_progressive_jpeg_is_not_what_the_syntax_allows() -> None:
    frame = bytearray(imagecodecs.jpeg8_encode(phantom("u1", 8)))
    at = frame.index(b"\xff\xc0")
    frame[at + 1] = 0xC2
    assert refused(made(phantom("u1", 8), BASELINE, [bytes(frame)])) == "pixel-undecodable"


def test_rle_segments_that_point_elsewhere_never_reach_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """imagecodecs ends the process on such offsets."""
    monkeypatch.setattr(codecs, "imagecodecs", None)
    stored = phantom("u2", 16)
    frame = encoded(stored, RLE)
    for offsets in ((64, 64), (64, len(frame)), (64, 2**32 - 2), (400, 64), (0, 64), (63, 200)):
        spoilt = struct.pack("<3I", 2, *offsets) + frame[12:]
        assert refused(made(stored, RLE, [spoilt])) == "pixel-undecodable"
    assert refused(made(stored, RLE, [struct.pack("<I", 3) + frame[4:]])) == "pixel-undecodable"


def test_a_deflated_bomb_is_measured_before_it_unfolds() -> None:
    """100 MB of zeros in 100 kB; the limit of 2**20 samples lets 68 MB through."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    stored = phantom("u2", 16)
    honest = made(stored, "1.2.840.10008.1.2.1.99")
    assert np.array_equal(decode(honest, pixels_max=2**20).stored[0], stored)
    meta_end = 144 + int.from_bytes(honest[140:144], "little")
    small = bomb.compress(bytes(100 * 2**20)) + bomb.flush()
    assert len(small) < 2**18
    assert refused(honest[:meta_end] + small, pixels_max=2**20) == "pixel-too-large"
    # Behind a long element, and behind a group length that lies, it is measured all the same.
    filler = struct.pack("<HH2sHL", 2, 1, b"OB", 0, 6000) + bytes(6000)
    meta = honest[132:140] + bytes(4) + filler + honest[144:meta_end]
    assert refused(honest[:132] + meta + small, pixels_max=2**20) == "pixel-too-large"


def test_the_limit_counts_samples_over_all_frames() -> None:
    stored = np.zeros((2, 10, 10, 3), np.uint8)
    data = made(stored, NumberOfFrames=2)
    assert decode(data, pixels_max=600).frames == 2
    assert refused(data, pixels_max=599) == "pixel-too-large"


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_byte_string_makes_decode_raise_anything_else(draw: st.DataObject) -> None:
    """Real files of every syntax with bytes changed, cut or doubled: an image, or Quarantined."""
    data = bytearray(SMALL[draw.draw(st.sampled_from(sorted(SMALL)))])
    pixels = max(data.rfind(b"\xe0\x7f\x10\x00"), 132)
    start = draw.draw(st.sampled_from([132, pixels]))
    for at, value in draw.draw(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), max_size=6)):
        data[min(start + at, len(data) - 1)] = value
    data = data[: draw.draw(st.integers(len(data) // 2, len(data)))]
    try:
        image = decode(bytes(data), pixels_max=2**22)
    except Quarantined:
        return
    frame_description(image)
    assert len(frame_bytes(image, image.frames - 1)) >= image.stored.shape[1] * image.stored.shape[2]


# What the values mean


@pytest.mark.parametrize("name", ["CT_small.dcm", "mlut_18.dcm", "RG1_UNCR.dcm", "rtdose_1frame.dcm"])
def test_modality_values_are_the_references(name: str) -> None:
    path = next(each for each in REAL if each.name == name)
    dataset = pydicom.dcmread(path)
    expected = apply_modality_lut(pixel_array(dataset, index=0), dataset)
    values = modality_values(decode(path.read_bytes(), pixels_max=PIXELS_MAX))
    assert values.dtype == np.float32
    assert np.allclose(values, expected, rtol=1e-6)


def test_monochrome1_is_said_and_not_inverted() -> None:
    stored = phantom("u2", 12)
    image = decode(made(stored, BitsStored=12, PhotometricInterpretation="MONOCHROME1"), pixels_max=PIXELS_MAX)
    assert frame_description(image)["photometric"] == "MONOCHROME1"
    assert np.array_equal(modality_values(image), stored)


def test_colours_have_no_modality_values() -> None:
    image = decode(made(np.zeros((4, 4, 3), np.uint8)), pixels_max=PIXELS_MAX)
    with pytest.raises(Quarantined, match="pixel-layout"):
        modality_values(image)


def groups(**said: Any) -> Dataset:
    """A functional group item whose only macro holds `said`."""
    inner, outer = Dataset(), Dataset()
    for keyword, value in said.items():
        setattr(inner, keyword, value)
    macro = "PixelValueTransformationSequence" if "RescaleSlope" in said else "PixelMeasuresSequence"
    setattr(outer, macro, [inner])
    return outer


def test_rescale_of_each_frame() -> None:
    stored = np.stack([phantom("u2", 12), phantom("u2", 12)])
    per_frame = [groups(RescaleSlope=slope, RescaleIntercept=0, RescaleType="US") for slope in ("1", "2")]
    said = {"BitsStored": 12, "NumberOfFrames": 2, "PerFrameFunctionalGroupsSequence": per_frame}
    image = decode(made(stored, WindowCenter=100, WindowWidth=50, **said), pixels_max=PIXELS_MAX)
    assert np.array_equal(modality_values(image, 1), stored[1] * 2.0)
    shown = frame_description(image)
    assert (shown["slope"], shown["windows"]) == (1.0, [])  # no common line: stored values, no window offered
    assert (
        refused(made(stored, **{**said, "PerFrameFunctionalGroupsSequence": [*per_frame, per_frame[0]]}))
        == "pixel-layout"
    )


def test_shared_groups_speak_for_all_frames() -> None:
    shared = groups(RescaleSlope="2", RescaleIntercept="-1024", RescaleType="HU")
    measures = Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    shared.PixelMeasuresSequence = [measures]
    stored = np.stack([phantom("u2", 12), phantom("u2", 12)])
    data = made(stored, BitsStored=12, NumberOfFrames=2, SharedFunctionalGroupsSequence=[shared])
    said = frame_description(decode(data, pixels_max=PIXELS_MAX))
    assert (said["slope"], said["intercept"], said["unit"]) == (2.0, -1024.0, "HU")
    assert (said["spacing"], said["spacing_source"]) == ([0.5, 0.25], "PixelSpacing")


def lut(descriptor: list[int], data: list[int]) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData, item.ModalityLUTType = descriptor, np.array(data, "<u2").tobytes(), "OD"
    return item


def test_a_modality_table_clips_at_its_ends_and_contradicts_nothing() -> None:
    stored = np.array([[0, 9, 10, 11, 12, 60000]], "u2")
    table = lut([3, 10, 16], [500, 700, 65000])
    image = decode(made(stored, ModalityLUTSequence=[table]), pixels_max=PIXELS_MAX)
    assert modality_values(image).tolist() == [[500, 500, 500, 700, 65000, 65000]]
    faithful(image)
    both = {"ModalityLUTSequence": [table], "RescaleSlope": "2", "RescaleIntercept": "0"}
    assert refused(made(stored, **both)) == "pixel-rescale"
    for descriptor in ([4, 10, 16], [3, 10, 17], [0, 10, 16]):
        assert refused(made(stored, ModalityLUTSequence=[lut(descriptor, [1, 2, 3])])) == "pixel-layout"


def test_windows_padding_and_spacing_as_offered() -> None:
    said = {
        "WindowCenter": ["40", "600"],
        "WindowWidth": ["400", "-5"],
        "ImagerPixelSpacing": [0.2, 0.2],
        "PixelSpacing": [0.0, 0.0],
        "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
    }
    dataset = pydicom.dcmread(BytesIO(made(phantom("i2", 16), **said)))
    dataset.add_new("PixelPaddingValue", "US", 63536)  # -2000 in the wrong representation
    image = decode(written(dataset), pixels_max=PIXELS_MAX)
    shown = frame_description(image)
    assert (shown["windows"], shown["padding"], image.padding) == ([[40.0, 400.0]], -2000, (-2000, -2000))
    assert (shown["spacing"], shown["spacing_source"]) == ([0.2, 0.2], "ImagerPixelSpacing")
