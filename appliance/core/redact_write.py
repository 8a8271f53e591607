"""Blackening in stored values, and the file around them.

Native pixel data keep their syntax, layout and every byte outside the regions. Compressed pixel data become native,
as they were decoded: compressing once more would change the picture everywhere.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filewriter import dcmwrite
from pydicom.pixels.processing import apply_color_lut
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from appliance.core import pixel_header
from appliance.core.codecs import Pixels, encapsulated_frames
from appliance.core.pixel_header import BIG_ENDIAN, DEFLATED, NATIVE, Layout
from appliance.errors import Quarantined

Masks = Mapping[int, NDArray[np.uint8]]  # of frame numbers from 0: [row, column], 1 where it is blackened
PIXEL_DATA = Tag("PixelData")
YBR_BLACK = (0, 128, 128)  # PS3.3 C.7.6.3.1.2
OFFSET_TABLES = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def blackened(data: bytes, dataset: pydicom.FileDataset, masks: Masks) -> bytes:
    """The file with the masks' pixels overwritten by the darkest value of the object.

    data     the whole file, and what pydicom reads in it; the data set is changed
    raises   Quarantined("deid-unsupported", "PixelData"): the pixel data do not stand where they were read
    """
    layout = pixel_header.layout_of(dataset)
    raw = dataset.get_item(PIXEL_DATA)
    value = raw.value if raw is not None else None
    if not isinstance(value, bytes):
        raise Quarantined("deid-unsupported", "PixelData")
    if layout.syntax not in NATIVE:
        _made_native(dataset, layout, value, masks)
        return _written(dataset)
    changed = _native(value, layout, dataset, masks)
    if layout.syntax == DEFLATED or not isinstance(raw, RawDataElement):
        dataset[PIXEL_DATA] = DataElement(PIXEL_DATA, "OW" if layout.bits_allocated > 8 else "OB", changed)
        return _written(dataset)
    at = raw.value_tell
    if data[at : at + len(value)] != value:
        raise Quarantined("deid-unsupported", "PixelData")
    return data[:at] + changed + data[at + len(value) :]


def _written(dataset: pydicom.FileDataset) -> bytes:
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _native(value: bytes, layout: Layout, dataset: pydicom.Dataset, masks: Masks) -> bytes:
    """Uncompressed pixel data (PS3.5 8.1.1, 8.2) of the same length, blackened."""
    if layout.swapped_words and layout.bits_allocated <= 8:
        even = len(value) & ~1
        cells = np.frombuffer(value[:even], "<u2").byteswap().view(np.uint8)
        return np.frombuffer(_in_cells(cells, layout, dataset, masks), "<u2").byteswap().tobytes() + value[even:]
    return _in_cells(np.frombuffer(value, np.uint8).copy(), layout, dataset, masks)


def _in_cells(cells: NDArray[np.uint8], layout: Layout, dataset: pydicom.Dataset, masks: Masks) -> bytes:
    shape = (layout.frames, layout.rows, layout.columns)
    count = layout.frames * layout.rows * layout.columns
    if layout.bits_allocated == 1:
        bits = np.unpackbits(cells, bitorder="little")
        _overwrite(bits[:count].reshape(shape), (0,), masks)
        return np.packbits(bits, bitorder="little").tobytes()
    word = np.dtype(f"{'>' if layout.syntax == BIG_ENDIAN else '<'}u{layout.bits_allocated // 8}")
    halved = layout.photometric == "YBR_FULL_422"
    samples = count * (2 if halved else layout.samples)
    words = cells[: samples * word.itemsize].view(word)
    if halved:
        # Y1 Y2 Cb Cr for two pixels of a row (PS3.3 C.7.6.3.1.2): half a pair has no colour of its own.
        pairs = {number: mask[:, 0::2] | mask[:, 1::2] for number, mask in masks.items()}
        _overwrite(words.reshape(layout.frames, layout.rows, layout.columns // 2, 4), (0, 0, 128, 128), pairs)
    elif layout.samples == 3:
        black = YBR_BLACK if layout.photometric == "YBR_FULL" else (0, 0, 0)
        planes = words.reshape(layout.frames, 3, layout.rows, layout.columns)
        _overwrite(np.moveaxis(planes, 1, -1) if layout.planar else words.reshape(*shape, 3), black, masks)
    else:
        pixels = words.reshape(shape)
        _overwrite(pixels, (_darkest_word(pixels, layout, dataset),), masks)
    return cells.tobytes()


def _overwrite(pixels: NDArray[Any], black: tuple[int, ...], masks: Masks) -> None:
    """In place. pixels [frame, row, column] or [frame, row, column, sample]"""
    for number, mask in masks.items():
        pixels[number][mask > 0] = black if len(black) > 1 else black[0]


def _darkest_word(words: NDArray[Any], layout: Layout, dataset: pydicom.Dataset) -> int:
    """The cell that holds the darkest value of an object with one sample a pixel."""
    if layout.photometric == "PALETTE COLOR":
        return _darkest_entry(words, dataset)
    bits = words.dtype.itemsize * 8
    spare = bits - layout.bits_stored
    flat = words.astype(words.dtype.newbyteorder("="), copy=False)
    if layout.signed:
        flat = (flat.view(f"i{words.dtype.itemsize}") << spare) >> spare
    else:
        flat = flat & flat.dtype.type((1 << layout.bits_stored) - 1)
    dark = flat.max() if layout.photometric == "MONOCHROME1" else flat.min()
    return int(dark) & ((1 << bits) - 1)


def _darkest_entry(indices: NDArray[Any], dataset: pydicom.Dataset) -> int:
    """The index in use whose colour has the least light (PS3.3 C.7.6.3.1.5)."""
    used = np.unique(indices.astype(indices.dtype.newbyteorder("=")))
    colours = apply_color_lut(used.reshape(1, -1), dataset)[0, :, :3]
    return int(used[colours.astype(np.int64).sum(axis=1).argmin()])


def _made_native(dataset: pydicom.FileDataset, layout: Layout, value: bytes, masks: Masks) -> None:
    """The data set with its compressed frames decoded and blackened, as Explicit VR Little Endian."""
    table = [pixel_header.value_of(dataset, each) for each in OFFSET_TABLES]
    offsets = (table[0], table[1]) if all(isinstance(each, bytes) for each in table) else None
    stored: Pixels | None = None
    photometrics = set()
    for number, (frame, photometric) in enumerate(encapsulated_frames(value, layout, offsets)):
        photometrics.add(photometric)
        if stored is None:
            stored = np.empty((layout.frames, *frame.shape), frame.dtype.newbyteorder("<"))
        stored[number] = frame
    assert stored is not None, "a layout has one frame or more"
    assert len(photometrics) == 1, "frames of two kinds were refused when the picture was looked at"
    (photometric,) = photometrics
    words = stored.view(f"<u{stored.dtype.itemsize}")
    black = (0, 0, 0) if layout.samples == 3 else (_darkest(stored, photometric, dataset),)
    _overwrite(words, black, masks)
    bits = stored.dtype.itemsize * 8
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.PhotometricInterpretation = photometric
    if layout.samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = bits
    for keyword in OFFSET_TABLES:
        if keyword in dataset:
            del dataset[keyword]
    pixels = stored.tobytes()
    dataset[PIXEL_DATA] = DataElement(PIXEL_DATA, "OW" if bits > 8 else "OB", pixels + b"\0" * (len(pixels) % 2))


def _darkest(stored: Pixels, photometric: str, dataset: pydicom.Dataset) -> int:
    if photometric == "PALETTE COLOR":
        return _darkest_entry(stored, dataset)
    dark = int(stored.max() if photometric == "MONOCHROME1" else stored.min())
    return dark & ((1 << stored.dtype.itemsize * 8) - 1)
