"""The pictures that texts are burned into: real ones, cropped where a camera already wrote, in every syntax."""

from dataclasses import dataclass

import imagecodecs
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import pixel_array
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.deid import sources

ULTRASOUND_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"


@dataclass(frozen=True, slots=True)
class Picture:
    """A real file, the part of it that bears no text (top, left, rows, columns), frames to make of it."""

    name: str
    crop: tuple[int, int, int, int] | None = None
    frames: int = 1


GREY = (
    Picture("693_UNCR.dcm"),
    Picture("explicit_VR-UN.dcm"),
    Picture("J2K_pixelrep_mismatch.dcm"),
    Picture("bad_sequence.dcm"),
    Picture("MR-SIEMENS-DICOM-WithOverlays.dcm"),
    Picture("examples_overlay.dcm"),
    Picture("MR2_UNCR.dcm", (100, 100, 760, 760)),
    Picture("RG1_UNCR.dcm", (200, 100, 900, 900)),
    Picture("RG3_UNCR.dcm", (100, 300, 800, 800)),
    Picture("JPEG2000_UNC.dcm"),
    Picture("JPGLosslessP14SV1_1s_1f_8b.dcm", (150, 100, 360, 700)),
    Picture("eCT_Supplemental.dcm", None, 2),
    Picture("CT_small.dcm"),
)
COLOUR = (
    Picture("US1_UNCR.dcm", (100, 90, 260, 460)),
    Picture("color-px.dcm", (0, 0, 120, 230)),
    Picture("SC_rgb.dcm"),
    Picture("US1_UNCR.dcm", (110, 90, 250, 460), 3),
    Picture("SC_ybr_full_uncompressed.dcm"),
)
PALETTE = (Picture("OBXXXX1A.dcm", (180, 170, 240, 420)), Picture("OBXXXX1A.dcm", (250, 240, 300, 480)))
GREY_SYNTAXES = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian),
    *(RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLosslessSV1, JPEGExtended12Bit, JPEGBaseline8Bit),
)
COLOUR_SYNTAXES = (
    *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless),
    *(JPEGBaseline8Bit, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian),
)
PALETTE_SYNTAXES = (ExplicitVRLittleEndian, RLELossless, ImplicitVRLittleEndian, ExplicitVRBigEndian)
# What else would describe the former size, frames or values.
STALE = (
    *("PerFrameFunctionalGroupsSequence", "SmallestImagePixelValue", "LargestImagePixelValue", "IconImageSequence"),
    *("SequenceOfUltrasoundRegions", "FrameTimeVector", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
    *("PixelAspectRatio", "LossyImageCompressionRatio", "LossyImageCompressionMethod", "DataSetTrailingPadding"),
)


def stored(dataset: FileDataset) -> np.ndarray:
    """[frame, row, column(, sample)] as stored: no colour conversion, no rescaling."""
    frames = int(dataset.get("NumberOfFrames") or 1)
    if dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit:  # no plugin of pydicom here reads twelve bits
        packed = generate_frames(dataset.PixelData, number_of_frames=frames)
        return np.stack([imagecodecs.jpeg_decode(frame) for frame in packed])
    array = pixel_array(dataset, raw=True)
    return array.reshape(
        frames, dataset.Rows, dataset.Columns, *array.shape[array.ndim - (dataset.SamplesPerPixel > 1) :]
    )


def taken(picture: Picture) -> tuple[FileDataset, np.ndarray]:
    """The object with its pixel values cropped, still to be stored."""
    dataset = sources.opened(picture.name)
    pixels = stored(dataset)
    if picture.crop:
        top, left, rows, columns = picture.crop
        pixels = pixels[:, top : top + rows, left : left + columns]
    if picture.frames > len(pixels):
        pixels = np.concatenate([pixels] * picture.frames)
        dataset.NumberOfFrames = picture.frames
        dataset.SOPClassUID = ULTRASOUND_MULTI_FRAME
        dataset.FrameTime, dataset.FrameIncrementPointer = 40, 0x00181063
    dataset.Rows, dataset.Columns = pixels.shape[1:3]
    for keyword in STALE:
        if keyword in dataset and not (keyword.startswith("PerFrame") and len(pixels) == 2):
            del dataset[keyword]
    for group in range(0x6000, 0x6020, 2):  # overlays of the former size
        for tag in [element.tag for element in dataset if element.tag.group == group]:
            del dataset[tag]
    if "PlanarConfiguration" in dataset:
        dataset.PlanarConfiguration = 0
    if dataset.PhotometricInterpretation in ("YBR_RCT", "YBR_ICT"):
        dataset.PhotometricInterpretation = "RGB"
    return dataset, pixels.copy()


def put(dataset: FileDataset, pixels: np.ndarray, syntax: str) -> str:
    """Stores the values in the syntax, as near to it as the picture's kind allows; returns the syntax used."""
    syntax = _possible(dataset, UID(syntax))
    words = np.ascontiguousarray(pixels)
    if words.dtype.itemsize * 8 != dataset.BitsAllocated:
        words = words.astype(f"{words.dtype.kind}{dataset.BitsAllocated // 8}")
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLosslessSV1, JPEG2000Lossless):
        _jpeg(dataset, words, syntax)
        return syntax
    if syntax in sources.PACKED:
        _native(dataset, words, "<")
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        sources.packed(dataset, syntax)
        return syntax
    _native(dataset, words, ">" if syntax == ExplicitVRBigEndian else "<")
    return syntax


def _possible(dataset: FileDataset, syntax: UID) -> UID:
    interpretation = dataset.PhotometricInterpretation
    if syntax == JPEGBaseline8Bit and dataset.BitsAllocated != 8:
        syntax = JPEGExtended12Bit
    deep = dataset.BitsStored > 12 or dataset.BitsAllocated != 16 or dataset.PixelRepresentation
    if syntax == JPEGExtended12Bit and deep:
        return JPEGLosslessSV1
    if interpretation.startswith("YBR") and syntax in (JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit):
        return RLELossless
    return syntax


def _native(dataset: FileDataset, words: np.ndarray, order: str) -> None:
    raw = words.astype(words.dtype.newbyteorder(order)).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    dataset["PixelData"].is_undefined_length = False


def _jpeg(dataset: FileDataset, words: np.ndarray, syntax: str) -> None:
    frames = []
    for frame in words:
        if syntax == JPEGBaseline8Bit and frame.ndim == 3:
            frames.append(imagecodecs.jpeg8_encode(frame, level=93, colorspace="RGB", outcolorspace="YCBCR"))
            dataset.PhotometricInterpretation = "YBR_FULL_422"
        elif syntax == JPEGBaseline8Bit:
            frames.append(imagecodecs.jpeg8_encode(frame, level=93))
        elif syntax == JPEG2000Lossless:
            mixed = frame.ndim == 3
            frames.append(imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k", mct=mixed))
            dataset.PhotometricInterpretation = "YBR_RCT" if mixed else dataset.PhotometricInterpretation
        elif syntax == JPEGExtended12Bit:
            frames.append(imagecodecs.jpeg_encode(frame, level=93, bitspersample=12))
        else:
            bits = 16 if frame.dtype.itemsize == 2 else 8
            frames.append(imagecodecs.jpeg_encode(frame.view(f"u{bits // 8}"), lossless=True, bitspersample=bits))
    dataset.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2) for frame in frames])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit):
        dataset.LossyImageCompression = "01"
