"""What DICOMweb tells of one object: header, bulk data, frames as stored or unpacked, a picture with its mark.

The bytes are a stranger's: whatever is wrong with them ends in Quarantined with a code. It runs in a confined process.
"""

import json
import math
import re
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.encaps import get_frame

from appliance.core import key_images, pixel_header, pixels
from appliance.core.admit import DAMAGE, PIXELS
from appliance.core.codecs import CODEC_DAMAGE, decode_frame
from appliance.core.pixel_header import BIG_ENDIAN, NATIVE, Layout
from appliance.core.pixels import Image
from appliance.errors import Quarantined

PIXELS_MAX = 128 * 2**20
JSON_BYTES_MAX = 32 * 2**20
INLINE_BYTES_MAX = 1024  # a binary value beyond this is told by an address (PS3.18 F.2.6)
ITEM_PATHS_MAX = 100_000
MARK = "NOT FOR PRIMARY DIAGNOSIS"
SIDE_MIN, SIDE_MAX = 320, 4096  # of a picture: a mark on fewer pixels could not be read
UTF_8 = "ISO_IR 192"


def read(data: bytes) -> pydicom.FileDataset:
    return pixels.read(data, PIXELS_MAX)


def metadata(dataset: pydicom.FileDataset, address: str) -> bytes:
    """The data set in DICOM's JSON model, without pixels; a value that JSON cannot tell is left out.

    address  of the object: bulk data lie below it
    """
    try:
        places = dict(_places(dataset, ""))
    except DAMAGE:
        raise Quarantined("object-unreadable") from None

    def elsewhere(element: DataElement) -> str:
        return f"{address}/bulkdata/{places[id(element)]}"

    told: dict[str, Any] = {}
    for tag in sorted(dataset.keys()):
        name = f"{int(tag):08X}"
        try:
            element = dataset[tag]
            if element.keyword in PIXELS:
                told[name] = {"vr": element.VR, "BulkDataURI": f"{address}/bulkdata/{name}"}
            elif element.keyword == "SpecificCharacterSet":
                told[name] = {"vr": "CS", "Value": [UTF_8]}  # of this JSON (PS3.18 F.1), not of the file
            else:
                told[name] = element.to_json_dict(elsewhere, INLINE_BYTES_MAX)
        except DAMAGE:
            continue
    made = json.dumps(_finite(told), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    encoded = made.encode("utf-8", "replace")
    if len(encoded) > JSON_BYTES_MAX:
        raise Quarantined("object-unreadable")
    return encoded


def _places(dataset: pydicom.Dataset, above: str) -> list[tuple[int, str]]:
    """Where each element stands, by its identity: pydicom does not say where it is when it asks for an address."""
    found: list[tuple[int, str]] = []
    for tag in list(dataset.keys()):
        try:
            element = dataset[tag]
        except DAMAGE:
            continue
        path = f"{above}{int(tag):08X}"
        found.append((id(element), path))
        if element.VR == "SQ":
            for number, item in enumerate(element.value, 1):
                found += _places(item, f"{path}-{number}-")
        if len(found) > ITEM_PATHS_MAX:
            raise Quarantined("object-unreadable")
    return found


def _finite(told: Any) -> Any:
    """Numbers that JSON does not know, by their names."""
    if isinstance(told, dict):
        return {key: _finite(each) for key, each in told.items()}
    if isinstance(told, list):
        return [_finite(each) for each in told]
    if isinstance(told, float) and not math.isfinite(told):
        return "NaN" if math.isnan(told) else "Infinity" if told > 0 else "-Infinity"
    return told


def bulk(dataset: pydicom.FileDataset, path: str) -> bytes:
    """The value that a bulk data address names, little endian. Raises Quarantined("object-unreadable")."""
    here: pydicom.Dataset = dataset
    *items, last = re.findall(r"([0-9A-F]{8})(?:-([0-9]+))?", path)
    try:
        for tag, number in items:
            here = here[int(tag, 16)].value[int(number) - 1]
        value = here[int(last[0], 16)].value
    except DAMAGE:
        raise Quarantined("object-unreadable") from None
    if not isinstance(value, bytes):
        raise Quarantined("object-unreadable")
    return value


def frame(dataset: pydicom.FileDataset, layout: Layout, number: int, *, stored: bool) -> bytes:
    """One frame, from 1: its codestream, or its values little endian in the layout that the header says.

    layout  pixel_header.layout_of the data set, taken before anything else was read of it: pydicom then still knows
            whether the pixel data were encapsulated
    raises  Quarantined("object-colour"): unpacked, its colours would not be those that the header names
    """
    value = pixel_header.value_of(dataset, layout.keyword)
    if not isinstance(value, bytes) or not 1 <= number <= layout.frames:
        raise Quarantined("pixel-missing")
    if layout.syntax in NATIVE:
        return _native(value, layout, number - 1)
    encoded = _encoded(dataset, value, layout, number - 1)
    if stored:
        return encoded
    if layout.photometric in ("YBR_FULL", "YBR_FULL_422"):
        raise Quarantined("object-colour")
    found, _ = decode_frame(encoded, layout)
    values = found.astype(f"<{'i' if layout.signed else 'u'}{layout.bits_allocated // 8}")
    return (np.moveaxis(values, -1, 0) if layout.planar and layout.samples == 3 else values).tobytes()


def _encoded(dataset: pydicom.FileDataset, value: bytes, layout: Layout, at: int) -> bytes:
    table = [pixel_header.value_of(dataset, each) for each in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    offsets = (table[0], table[1]) if all(isinstance(each, bytes) for each in table) else None
    try:
        return bytes(get_frame(value, at, number_of_frames=layout.frames, extended_offsets=offsets))
    except CODEC_DAMAGE:
        raise Quarantined("pixel-undecodable", f"frame {at + 1}") from None


def _native(value: bytes, layout: Layout, at: int) -> bytes:
    """Uncompressed values of one frame; frames of single bits begin in the middle of a byte (PS3.5 8.1.1)."""
    samples = layout.rows * layout.columns * (2 if layout.photometric == "YBR_FULL_422" else layout.samples)
    if layout.syntax == BIG_ENDIAN and layout.swapped_words and layout.bits_allocated <= 8:
        even = len(value) & ~1
        value = np.frombuffer(value[:even], "<u2").byteswap().tobytes()
    if layout.bits_allocated == 1:
        first, last = at * samples // 8, -(-(at + 1) * samples // 8)
        if last > len(value):
            raise Quarantined("pixel-length")
        bits = np.unpackbits(np.frombuffer(value[first:last], np.uint8), bitorder="little")
        start = at * samples - first * 8
        return np.packbits(bits[start : start + samples], bitorder="little").tobytes()
    size = layout.bits_allocated // 8
    found = value[at * samples * size : (at + 1) * samples * size]
    if len(found) != samples * size:
        raise Quarantined("pixel-length")
    if layout.syntax == BIG_ENDIAN and size > 1:
        return np.frombuffer(found, f"u{size}").byteswap().tobytes()
    return found


def picture(
    image: Image,
    number: int,
    *,
    kind: str,
    window: tuple[float, float, str] | None = None,
    within: tuple[int, int] | None = None,
    quality: int = 90,
) -> bytes:
    """One frame as people look at it, JPEG or PNG, marked as what it is not for.

    window  centre, width, function; the file's own without
    within  columns and rows that it must fit into
    """
    if not 1 <= number <= image.frames:
        raise Quarantined("pixel-missing")
    if window is None or image.photometric == "RGB":
        shown, _ = key_images.rendered(image, number - 1, "header")
    else:
        shown = key_images.windowed(pixels.modality_values(image, number - 1), *window)
        shown = 255 - shown if image.photometric == "MONOCHROME1" else shown
    marked = _marked(_sized(shown, within or (SIDE_MAX, SIDE_MAX)))
    channels = marked[..., ::-1] if marked.ndim == 3 else marked  # OpenCV counts blue, green, red
    how = [cv2.IMWRITE_JPEG_QUALITY, quality] if kind == "image/jpeg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, data = cv2.imencode(".jpg" if kind == "image/jpeg" else ".png", np.ascontiguousarray(channels), how)
    assert done, "a picture of ours can be encoded"
    return bytes(data.tobytes())


def _sized(shown: NDArray[np.uint8], within: tuple[int, int]) -> NDArray[np.uint8]:
    rows, columns = shown.shape[:2]
    scale = min(within[0] / columns, within[1] / rows, 1.0)
    scale = max(scale, SIDE_MIN / columns)
    size = max(1, round(columns * scale)), max(1, min(round(rows * scale), SIDE_MAX))
    if size == (columns, rows):
        return shown
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return cv2.resize(shown, size, interpolation=how).astype(np.uint8)


def _marked(shown: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The words in white on black across the foot: part of the pixels, so that they go wherever the picture goes."""
    face = cv2.FONT_HERSHEY_SIMPLEX
    (wide, high), base = cv2.getTextSize(MARK, face, 1.0, 2)
    columns = shown.shape[1]
    scale = min(columns * 0.9 / wide, 1.0)
    band = math.ceil((high + base) * scale) + 6
    marked = np.ascontiguousarray(shown)
    if marked.shape[0] < 2 * band:  # a strip of a few rows: the words stand beneath it
        below = ((0, 2 * band - marked.shape[0]), (0, 0), (0, 0))[: marked.ndim]
        marked = np.pad(marked, below)
    marked[-band:] = 0
    place = (round((columns - wide * scale) / 2), marked.shape[0] - round(base * scale) - 3)
    cv2.putText(marked, MARK, place, face, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return marked
