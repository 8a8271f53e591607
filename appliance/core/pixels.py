"""From a whole object to images: stored values and what they mean.

Every header is taken for a claim that its pixel data must bear out: a size, a depth or a count that does not fit is
quarantined, never mended. What is announced larger than the limit is not decoded at all. No byte string makes
`decode` raise anything but Quarantined.
"""

import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut

from appliance.core import pixel_header
from appliance.core.admit import DAMAGE, file_meta
from appliance.core.codecs import Pixels, encapsulated_frames, in_rgb, stored_values
from appliance.core.display import Display, display_of
from appliance.core.pixel_header import BIG_ENDIAN, DEFLATED, NATIVE, Layout, ModalityLut, Rescale
from appliance.errors import Quarantined

INFLATED_HEADROOM_BYTES = 64 * 2**20
INFLATE_STEP_BYTES = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A decoded object.

    stored          [frame, row, column], or [frame, row, column, 3] for colours; uint8, int16, uint16, int32, uint32
                    (only where int32 does not hold it), float32 or float64 (Float and Double Float Pixel Data)
    photometric     MONOCHROME1, MONOCHROME2 or RGB: palettes and YBR are already converted
    rescales        one for all frames, or one a frame
    modality_lut    instead of rescales where the header bears one
    span            lowest and highest stored value where the viewer cannot take them as they are, else None
    windows         (center, width) in modality values, as offered by the header
    voi_function    LINEAR, LINEAR_EXACT or SIGMOID (PS3.3 C.11.2.1.3)
    padding         (low, high) stored values that stand for no measurement (PS3.3 C.7.5.1.1.2)
    spacing_mm      between rows, between columns; spacing_source is the keyword it came from, "" where there is none
    decoder         imagecodecs, or none where the pixel data are uncompressed
    display         what only the viewer asks of the header
    """

    stored: Pixels
    photometric: str
    bits_stored: int
    rescales: tuple[Rescale, ...]
    modality_lut: ModalityLut | None
    span: tuple[float, float] | None
    windows: tuple[tuple[float, float], ...]
    voi_function: str
    padding: tuple[int, int] | None
    spacing_mm: tuple[float, float] | None
    spacing_source: str
    decoder: str
    display: Display

    @property
    def frames(self) -> int:
        return int(self.stored.shape[0])


def decode(data: bytes, *, pixels_max: int) -> Image:
    """Every frame of an object.

    data        a whole file as received, Part 10 with preamble (PS3.10 7.1)
    pixels_max  the largest image taken, in samples over all frames
    raises      Quarantined, with a code of "header-unreadable", "header-truncated", "pixel-missing",
                "pixel-syntax-unknown", "pixel-layout", "pixel-length", "pixel-too-large", "pixel-undecodable",
                "pixel-not-finite" or "pixel-rescale"
    """
    try:
        return _decoded(read(data, pixels_max), pixels_max)
    except MemoryError:
        raise Quarantined("pixel-too-large", "PixelData") from None


def read(data: bytes, pixels_max: int) -> pydicom.FileDataset:
    """A whole object, a deflated one only within what its pixels may take. Raises Quarantined."""
    _bounded_inflation(data, 4 * pixels_max + INFLATED_HEADROOM_BYTES)
    try:
        return pydicom.dcmread(BytesIO(data))
    except DAMAGE:
        raise Quarantined("header-unreadable") from None


def _bounded_inflation(data: bytes, bytes_max: int) -> None:
    """A deflated data set (PS3.5 A.5) unfolds a thousandfold before pydicom shows its header: measured first."""
    syntax, start = file_meta(data)
    if syntax != DEFLATED:
        return
    inflater, rest, inflated = zlib.decompressobj(-zlib.MAX_WBITS), data[start:], 0
    try:
        while rest and not inflater.eof:
            inflated += len(inflater.decompress(rest, INFLATE_STEP_BYTES))
            rest = inflater.unconsumed_tail
            if inflated > bytes_max:
                raise Quarantined("pixel-too-large", "deflated data set")
    except zlib.error:
        raise Quarantined("header-unreadable") from None


def _decoded(dataset: pydicom.FileDataset, pixels_max: int) -> Image:
    layout = pixel_header.layout_of(dataset)
    palette = layout.photometric == "PALETTE COLOR"
    if layout.frames * layout.rows * layout.columns * (3 if palette else layout.samples) > pixels_max:
        raise Quarantined("pixel-too-large", "Rows")
    value = pixel_header.value_of(dataset, layout.keyword)
    if not isinstance(value, bytes) or not value:
        raise Quarantined("pixel-missing", layout.keyword)
    if layout.syntax in NATIVE:
        stored, photometric = _native(value, layout), layout.photometric
        if layout.samples == 3:
            stored, photometric = _all_in_rgb(stored, photometric)
    else:
        stored, photometric = _decompressed(value, layout, dataset)
    bits_stored = layout.bits_stored
    if palette:
        stored, photometric = _through_palette(stored, dataset), "RGB"
        bits_stored = stored.dtype.itemsize * 8
    span = _span(stored, layout)
    if span is not None and layout.grey and stored.dtype == np.uint32 and span[1] < 2**31:
        stored, span = stored.astype(np.int32), None
    largest = max(map(abs, span)) if span else 2.0**bits_stored
    rescales = pixel_header.rescales_of(dataset, layout, largest)
    lut = pixel_header.modality_lut_of(dataset, layout)
    if lut is not None and any((each.slope, each.intercept) != (1.0, 0.0) for each in rescales):
        raise Quarantined("pixel-rescale", "ModalityLUTSequence")
    spacing_mm, spacing_source = pixel_header.spacing_of(dataset)
    stored.flags.writeable = False
    return Image(
        stored=stored,
        photometric=photometric,
        bits_stored=bits_stored,
        rescales=rescales,
        modality_lut=lut,
        span=span,
        windows=pixel_header.windows_of(dataset),
        voi_function=pixel_header.voi_function_of(dataset),
        padding=pixel_header.padding_of(dataset, layout),
        spacing_mm=spacing_mm,
        spacing_source=spacing_source,
        decoder="none" if layout.syntax in NATIVE else "imagecodecs",
        display=display_of(dataset, layout),
    )


def _native(value: bytes, layout: Layout) -> Pixels:
    """Uncompressed pixel data (PS3.5 8.1.1, 8.2) as [frame, row, column] or [frame, row, column, 3].

    raises  Quarantined("pixel-length"): fewer bytes than announced; ("pixel-layout"): a frame too many, or a row
             that is no padding: part of the film would be looked at for the whole of it
    """
    shape = (layout.frames, layout.rows, layout.columns)
    halved = layout.photometric == "YBR_FULL_422"
    samples = layout.frames * layout.rows * layout.columns * (2 if halved else layout.samples)
    length = -(-samples * layout.bits_allocated // 8)
    if layout.swapped_words and layout.bits_allocated <= 8:
        even = len(value) & ~1
        value = np.frombuffer(value[:even], "<u2").byteswap().tobytes() if even else b""
    if len(value) < length:
        raise Quarantined("pixel-length", layout.keyword)
    spare = value[length:]
    row, frame = (max(-(-length // parts), 2) for parts in (layout.frames * layout.rows, layout.frames))
    if len(spare) >= frame or (len(spare) >= row and any(spare)):  # zeros are some writers' padding
        raise Quarantined("pixel-layout", layout.keyword)
    if layout.bits_allocated == 1:
        bits = np.frombuffer(value, np.uint8, length)
        return np.unpackbits(bits, count=samples, bitorder="little").reshape(shape)
    order, kind = ">" if layout.syntax == BIG_ENDIAN else "<", "f" if layout.real else "u"
    flat = np.frombuffer(value, f"{order}{kind}{layout.bits_allocated // 8}", samples)
    flat = flat.astype(flat.dtype.newbyteorder("="), copy=False)
    if layout.real:
        return flat.reshape(shape)
    flat = stored_values(flat, layout.bits_stored, layout.signed)
    if layout.samples == 1:
        return flat.reshape(shape)
    if halved:
        return _full_chroma(flat, shape)
    if layout.planar:
        planes = flat.reshape(layout.frames, 3, layout.rows, layout.columns)
        return np.ascontiguousarray(np.moveaxis(planes, 1, -1))
    return flat.reshape(*shape, 3)


def _full_chroma(flat: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """YBR_FULL_422 uncompressed: Y1 Y2 Cb Cr for two pixels of a row (PS3.3 C.7.6.3.1.2)."""
    frames, rows, columns = shape
    pairs = flat.reshape(frames, rows, columns // 2, 4)
    whole = np.empty((frames, rows, columns, 3), flat.dtype)
    whole[..., 0] = pairs[..., :2].reshape(frames, rows, columns)
    whole[..., 1] = np.repeat(pairs[..., 2], 2, axis=-1)
    whole[..., 2] = np.repeat(pairs[..., 3], 2, axis=-1)
    return whole


def _all_in_rgb(stored: Pixels, photometric: str) -> tuple[Pixels, str]:
    if photometric == "RGB":
        return stored, photometric
    converted = np.empty(stored.shape, np.uint8)
    for number, frame in enumerate(stored):
        converted[number], photometric_now = in_rgb(frame, photometric)
    return converted, photometric_now


def _decompressed(value: bytes, layout: Layout, dataset: pydicom.Dataset) -> tuple[Pixels, str]:
    """All compressed frames in one array, filled frame by frame: one frame is held twice, never all of them."""
    table = [pixel_header.value_of(dataset, each) for each in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    offsets = (table[0], table[1]) if all(isinstance(each, bytes) for each in table) else None
    stored: Pixels | None = None
    photometrics = set()
    for number, (frame, photometric) in enumerate(encapsulated_frames(value, layout, offsets)):
        if stored is None:
            stored = frame[None] if layout.frames == 1 else np.empty((layout.frames, *frame.shape), frame.dtype)
        if layout.frames > 1:
            stored[number] = frame
        photometrics.add(photometric)
    assert stored is not None, "a layout has one frame or more"
    if len(photometrics) > 1:
        raise Quarantined("pixel-layout", "PhotometricInterpretation")
    return stored, photometrics.pop()


def _through_palette(stored: Pixels, dataset: pydicom.Dataset) -> Pixels:
    """Palette indices as RGB (PS3.3 C.7.6.3.1.5, segmented C.7.9.2)."""
    try:
        coloured = [apply_color_lut(frame, dataset)[..., :3] for frame in stored]
    except DAMAGE:
        raise Quarantined("pixel-layout", "PaletteColorLookupTable") from None
    return np.stack(coloured)


def _span(stored: Pixels, layout: Layout) -> tuple[float, float] | None:
    """Lowest and highest value of real and 32-bit unsigned pixels. Raises Quarantined("pixel-not-finite")."""
    if not layout.real and stored.dtype != np.uint32:
        return None
    low, high = float(stored.min()), float(stored.max())
    if not np.isfinite([low, high]).all():  # a NaN anywhere is the minimum
        raise Quarantined("pixel-not-finite", layout.keyword)
    return low, high


def modality_values(image: Image, frame: int = 0) -> NDArray[np.float32]:
    """Stored values in the modality's own unit.

    returns  float32 [row, column] in the rescale's unit (HU for CT); MONOCHROME1 is not inverted
    raises   Quarantined("pixel-layout"): colours have no modality values
    source   PS3.3 C.11.1, Modality LUT Module: output = slope * stored + intercept, or the table's entry
    """
    if image.photometric == "RGB":
        raise Quarantined("pixel-layout", "PhotometricInterpretation")
    stored = image.stored[frame]
    if image.modality_lut is not None:
        return looked_up(stored, image.modality_lut).astype(np.float32)
    rescale = image.rescales[frame] if len(image.rescales) > 1 else image.rescales[0]
    values: NDArray[np.float32] = stored.astype(np.float32)
    if (rescale.slope, rescale.intercept) != (1.0, 0.0):
        values *= np.float32(rescale.slope)
        values += np.float32(rescale.intercept)
    return values


def looked_up(stored: Pixels, lut: ModalityLut) -> NDArray[np.uint16]:
    """The table's entries; what lies beyond its ends takes the end's entry (PS3.3 C.11.1.1)."""
    return lut.entries[np.clip(stored.astype(np.int64) - lut.first, 0, len(lut.entries) - 1)]
