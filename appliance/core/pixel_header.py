"""What a header says of its pixel data, and of what the values mean; read before anything is decoded.

Every statement is a claim: those that contradict each other are quarantined with the keyword named, never mended.
An optional statement that makes no sense (a window, a spacing) is as good as absent; a rescale is not optional.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from appliance.core.admit import DAMAGE
from appliance.core.transfer_syntax import BIG_ENDIAN as BIG_ENDIAN
from appliance.core.transfer_syntax import DEFLATED as DEFLATED
from appliance.core.transfer_syntax import ENCAPSULATED as ENCAPSULATED
from appliance.core.transfer_syntax import HTJ2K as HTJ2K
from appliance.core.transfer_syntax import JPEG_2000 as JPEG_2000
from appliance.core.transfer_syntax import JPEG_LOSSLESS as JPEG_LOSSLESS
from appliance.core.transfer_syntax import JPEG_LOSSY as JPEG_LOSSY
from appliance.core.transfer_syntax import JPEG_LS as JPEG_LS
from appliance.core.transfer_syntax import NATIVE as NATIVE
from appliance.core.transfer_syntax import RLE as RLE
from appliance.errors import Quarantined

SAMPLES_OF = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1} | dict.fromkeys(
    ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3
)
PIXEL_BITS = {"PixelData": (1, 8, 16, 32), "FloatPixelData": (32,), "DoubleFloatPixelData": (64,)}
WINDOWS_MAX = 16
UNIT_LENGTH_MAX = 16
UNDEFINED_LENGTH = 0xFFFFFFFF  # PS3.5 7.1.1: the mark of encapsulated pixel data


@dataclass(frozen=True, slots=True)
class Layout:
    """What the header says of the pixel data (PS3.3 C.7.6.3), already found free of contradictions.

    keyword        PixelData, FloatPixelData or DoubleFloatPixelData
    bits_stored    of bits_allocated, the lowest ones
    signed         PixelRepresentation 1: two's complement of bits_stored bits
    planar         PlanarConfiguration 1: uncompressed samples plane by plane
    real           FloatPixelData or DoubleFloatPixelData: IEEE 754, no bits_stored
    swapped_words  big endian OW: even bytes are kept in 16-bit words (PS3.5 A.3)
    """

    keyword: str
    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    signed: bool
    planar: bool
    real: bool
    swapped_words: bool

    @property
    def grey(self) -> bool:
        return self.photometric in ("MONOCHROME1", "MONOCHROME2")


@dataclass(frozen=True, slots=True)
class Rescale:
    """Modality value = slope * stored + intercept, in unit ("HU", "US" unspecified, "" unsaid); PS3.3 C.11.1."""

    slope: float = 1.0
    intercept: float = 0.0
    unit: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ModalityLut:
    """The table from stored to modality values: entries[clip(stored - first)]; PS3.3 C.11.1.1."""

    first: int
    entries: NDArray[np.uint16]
    unit: str


def layout_of(dataset: pydicom.FileDataset) -> Layout:
    """The pixel data as announced.

    raises  Quarantined("pixel-missing"): no pixel data element; ("pixel-syntax-unknown"); ("pixel-layout"): what the
            header says cannot be, the keyword is the fault's place
    """
    meta = getattr(dataset, "file_meta", None)
    syntax = text_of(meta, "TransferSyntaxUID").strip("\0 ") if meta is not None else ""
    found = [each for each in PIXEL_BITS if each in dataset]
    if not found:
        raise Quarantined("pixel-missing")
    if len(found) > 1:  # PS3.3 C.7.6.24, C.7.6.25 allow one of them: nobody can tell which one is the picture
        raise Quarantined("pixel-layout", found[1])
    keyword = found[0]
    try:
        element = dataset.get_item(keyword)
        vr, length = element.VR, getattr(element, "length", 0)
    except DAMAGE:
        raise Quarantined("pixel-layout", keyword) from None
    if syntax not in NATIVE | ENCAPSULATED:
        raise Quarantined("pixel-syntax-unknown", "TransferSyntaxUID")
    real = keyword != "PixelData"
    bits_allocated = _number(dataset, "BitsAllocated")
    layout = Layout(
        keyword=keyword,
        syntax=syntax,
        rows=_number(dataset, "Rows"),
        columns=_number(dataset, "Columns"),
        frames=1 if value_of(dataset, "NumberOfFrames") in (None, "") else _number(dataset, "NumberOfFrames"),
        samples=_number(dataset, "SamplesPerPixel"),
        photometric=text_of(dataset, "PhotometricInterpretation"),
        bits_allocated=bits_allocated,
        bits_stored=bits_allocated if real else _number(dataset, "BitsStored"),
        signed=not real and _number(dataset, "PixelRepresentation") != 0,
        planar=value_of(dataset, "PlanarConfiguration") == 1,
        real=real,
        swapped_words=syntax == BIG_ENDIAN and vr == "OW",
    )
    if (length == UNDEFINED_LENGTH) != (syntax in ENCAPSULATED):
        raise Quarantined("pixel-layout", keyword)
    for place, wrong in _contradictions(dataset, layout).items():
        if wrong:
            raise Quarantined("pixel-layout", place)
    return layout


def _contradictions(dataset: pydicom.FileDataset, layout: Layout) -> dict[str, bool]:
    """Each keyword and whether what it says cannot be (PS3.3 C.7.6.3, PS3.5 8)."""
    bits, stored = layout.bits_allocated, layout.bits_stored
    compressed = layout.syntax in ENCAPSULATED
    return {
        "Rows": layout.rows < 1,
        "Columns": layout.columns < 1 or (not compressed and layout.photometric == "YBR_FULL_422" and _odd(layout)),
        "NumberOfFrames": layout.frames < 1,
        "SamplesPerPixel": SAMPLES_OF.get(layout.photometric, layout.samples) != layout.samples,
        "PhotometricInterpretation": layout.photometric not in SAMPLES_OF or (layout.real and not layout.grey),
        "BitsAllocated": bits not in PIXEL_BITS[layout.keyword] or (bits == 1 and layout.samples != 1),
        "BitsStored": not 1 <= stored <= bits,
        # Retired layouts kept their bits elsewhere in the word; nobody can tell them from a lie.
        "HighBit": not layout.real and value_of(dataset, "HighBit") not in (None, stored - 1),
        "PixelRepresentation": not layout.real
        and (_number(dataset, "PixelRepresentation") not in (0, 1) or (layout.signed and not layout.grey)),
        "TransferSyntaxUID": compressed and (layout.real or bits == 1),
    }


def _odd(layout: Layout) -> bool:
    return layout.columns % 2 == 1


def rescales_of(dataset: pydicom.Dataset, layout: Layout, largest: float) -> tuple[Rescale, ...]:
    """One rescale for all frames, or one a frame where they differ (PS3.3 C.11.1, C.7.6.16.2.9).

    largest  the largest magnitude a stored value can have
    raises   Quarantined("pixel-rescale"): zero, not finite, or so far apart that single precision makes pixels alike
    """
    if not layout.grey:
        return (Rescale(),)
    of_frames = value_of(dataset, "PerFrameFunctionalGroupsSequence")
    count = len(of_frames) if isinstance(of_frames, pydicom.Sequence) else 0
    found = tuple(
        _rescale(functional_group(dataset, "PixelValueTransformationSequence", frame), largest)
        for frame in range(max(count, 1))
    )
    if len(set(found)) == 1:
        return found[:1]
    if count != layout.frames:
        raise Quarantined("pixel-layout", "PerFrameFunctionalGroupsSequence")
    return found


def _rescale(source: pydicom.Dataset, largest: float) -> Rescale:
    try:
        slope, intercept = (
            default if value_of(source, keyword) in (None, "") else float(value_of(source, keyword))
            for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
        )
    except (TypeError, ValueError, Quarantined):
        raise Quarantined("pixel-rescale", "RescaleSlope") from None
    reach = abs(slope) * max(largest, 1.0) + abs(intercept)
    if not math.isfinite(reach) or reach > float(np.finfo(np.float32).max):
        raise Quarantined("pixel-rescale", "RescaleSlope")
    # One step of the stored value must survive single precision beside the intercept, or all pixels look alike.
    if np.float32(intercept + slope) == np.float32(intercept):
        raise Quarantined("pixel-rescale", "RescaleSlope")
    return Rescale(slope, intercept, text_of(source, "RescaleType")[:UNIT_LENGTH_MAX])


def modality_lut_of(dataset: pydicom.Dataset, layout: Layout) -> ModalityLut | None:
    """The Modality LUT Sequence's table (PS3.3 C.11.1.1). Raises Quarantined("pixel-layout")."""
    items = value_of(dataset, "ModalityLUTSequence")
    if not layout.grey or not isinstance(items, pydicom.Sequence) or not len(items):
        return None
    first, _, entries = table_of(items[0], layout)
    return ModalityLut(first, entries, text_of(items[0], "ModalityLUTType")[:UNIT_LENGTH_MAX])


def table_of(item: pydicom.Dataset, layout: Layout) -> tuple[int, int, NDArray[np.uint16]]:
    """(first value mapped, bits of an entry, entries) of a look-up table (PS3.3 C.11.1.1, C.11.2.1.1).

    raises  Quarantined("pixel-layout"): the table does not hold what its descriptor says
    """
    descriptor, told = value_of(item, "LUTDescriptor"), value_of(item, "LUTData")
    try:
        count, first, bits = (int(each) for each in descriptor)
        words = ">u2" if layout.syntax == BIG_ENDIAN else "<u2"
        found = np.frombuffer(told, words) if isinstance(told, bytes) else np.array(told, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise Quarantined("pixel-layout", "LUTDescriptor") from None
    entries = found.reshape(-1)[: count or 2**16]  # 0 stands for 65536: C.11.1.1
    if layout.real or not 1 <= bits <= 16 or len(entries) != (count or 2**16):
        raise Quarantined("pixel-layout", "LUTDescriptor")
    if entries.min() < 0 or entries.max() >= 2**16:
        raise Quarantined("pixel-layout", "LUTData")
    return _as_signed(first, layout), bits, entries.astype(np.uint16)


def windows_of(dataset: pydicom.Dataset) -> tuple[tuple[float, float], ...]:
    """(center, width) in modality values, of the header or of its first frame; an unusable pair is no pair."""
    source = functional_group(dataset, "FrameVOILUTSequence", 0)
    pairs = zip(numbers_of(source, "WindowCenter"), numbers_of(source, "WindowWidth"), strict=False)
    return tuple(pair for pair in pairs if pair[1] > 0)[:WINDOWS_MAX]


def voi_function_of(dataset: pydicom.Dataset) -> str:
    """LINEAR, LINEAR_EXACT or SIGMOID; PS3.3 C.11.2.1.3 makes LINEAR the default."""
    said = text_of(functional_group(dataset, "FrameVOILUTSequence", 0), "VOILUTFunction")
    return said if said in ("LINEAR_EXACT", "SIGMOID") else "LINEAR"


def padding_of(dataset: pydicom.Dataset, layout: Layout) -> tuple[int, int] | None:
    """(low, high) stored values that stand for no measurement (PS3.3 C.7.5.1.1.2)."""
    value, limit = value_of(dataset, "PixelPaddingValue"), value_of(dataset, "PixelPaddingRangeLimit")
    if layout.real or not isinstance(value, int):
        return None
    both = [_as_signed(each, layout) for each in (value, limit if isinstance(limit, int) else value)]
    return min(both), max(both)


def _as_signed(value: int, layout: Layout) -> int:
    """A 16-bit element beside signed pixels that was written with the unsigned representation (US for SS)."""
    return value - 2**16 if layout.signed and value >= 2**15 else value


def spacing_of(dataset: pydicom.Dataset) -> tuple[tuple[float, float] | None, str]:
    """Millimetres between rows and between columns, and the keyword that says so: PixelSpacing is calibrated to the
    patient, ImagerPixelSpacing lies at the detector's front (PS3.3 10.7.1.3)."""
    measures = functional_group(dataset, "PixelMeasuresSequence", 0)
    for source, keyword in ((measures, "PixelSpacing"), (dataset, "PixelSpacing"), (dataset, "ImagerPixelSpacing")):
        found = numbers_of(source, keyword)
        if len(found) == 2 and min(found) > 0:
            return (found[0], found[1]), keyword
    return None, ""


def functional_group(dataset: pydicom.Dataset, macro: str, frame: int) -> pydicom.Dataset:
    """Where a macro's attributes stand: of the frame, of all frames (PS3.3 C.7.6.16), or in the data set itself."""
    for groups, at in (("PerFrameFunctionalGroupsSequence", frame), ("SharedFunctionalGroupsSequence", 0)):
        items = value_of(dataset, groups)
        if isinstance(items, pydicom.Sequence) and at < len(items):
            inner = value_of(items[at], macro)
            if isinstance(inner, pydicom.Sequence) and len(inner):
                return inner[0]
    return dataset


def value_of(dataset: pydicom.Dataset, keyword: str) -> Any:
    """An element's value, None where it is absent; what cannot be read is a layout fault, named."""
    try:
        return dataset.get(keyword)
    except DAMAGE:
        raise Quarantined("pixel-layout", keyword) from None


def text_of(dataset: pydicom.Dataset, keyword: str) -> str:
    value = value_of(dataset, keyword)
    return str(value).strip() if value is not None else ""


def _number(dataset: pydicom.Dataset, keyword: str) -> int:
    try:
        return int(str(value_of(dataset, keyword)))
    except ValueError:
        raise Quarantined("pixel-layout", keyword) from None


def numbers_of(dataset: pydicom.Dataset, keyword: str) -> list[float]:
    """The finite numbers of an element; empty when it holds anything else."""
    try:
        value = value_of(dataset, keyword)
        found = [float(each) for each in (value if isinstance(value, pydicom.multival.MultiValue) else [value])]
    except (TypeError, ValueError, Quarantined):
        return []
    return found if all(map(math.isfinite, found)) else []
