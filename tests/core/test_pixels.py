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
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array
from pydicom.pixels.encoders import RLELosslessEncoder

from appliance.core import codecs
from appliance.core.pixel_header import ENCAPSULATED, HTJ2K, JPEG_2000, JPEG_LOSSLESS, JPEG_LS, NATIVE, RLE
from appliance.core.pixels import Image, decode, frame_bytes, frame_description, modality_values
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
    count = said.get("NumberOfFrames") or 1
    grey = stored.ndim - (count > 1) == 2
    header: dict[str, Any] = {
        "Rows": stored.shape[1 if count > 1 else 0],
        "Columns": stored.shape[2 if count > 1 else 1],
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
    data = made(stored, syntax, [frame, frame], BitsStored=bits, Rows=33, Columns=47, NumberOfFrames=None)
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
        assert (
            refused(made(frames, J2K, pieces, **{**said, "NumberOfFrames": count, "Rows": 33, "Columns": 47})) == code
        )
