"""Clean Recognizable Visual Features: a head in CT or MR without its face, slice by slice.

Everything outside the head is blanked, and with it what stands out of the head's rounded outline (nose, ears, lips) and
a shell below that outline: deep in front, thin elsewhere. In CT the shell ends at bone. What is kept keeps its stored
values to the bit. Only axial and sagittal slices are cleaned, because a coronal one shows no front; the outline is
taken all round, so that a patient who lay otherwise than the header says still loses nose, ears and skin.

It refuses what it cannot do: other classes that may show a face, an object that does not plainly say which body part it
shows, localizers, projections and renderings, a front that lies outside the picture. docs/decisions/0009-defacing.md
says what remains to be seen in a cleaned head.
"""

import math
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from appliance.core.admit import DAMAGE
from appliance.core.deface_subject import CT, another_kind, subject
from appliance.core.pixel_header import (
    BIG_ENDIAN,
    ENCAPSULATED,
    Layout,
    functional_group,
    layout_of,
    text_of,
    value_of,
)
from appliance.core.pixels import Image, decode, modality_values
from appliance.errors import Quarantined

PLACE = "RecognizableVisualFeatures"
PIXELS_MAX = 2**28
SIDE_MM_MIN, SIDE_MM_MAX = 60.0, 600.0
TILT_DEGREES_MAX = 35.0  # of the slice against the front: a tilted gantry still sees the face in profile
ROUNDING_MM = 30.0  # a disc of this radius rolls inside the head's outline; what it cannot reach stands out
CT_FRONT_MM, MR_FRONT_MM, REST_MM = 20.0, 12.0, 6.0  # depth of the shell
FRONT_PART = 1 / 3  # of the head's length, from the front
TISSUE_HU, BONE_HU, AIR_HU = -300.0, 250.0, -1000.0
BONE_GAP_MM = 12.0  # a disc of this radius does not pass sutures, burr holes and gaps of up to 15 mm in bone
BLUR_MM = 1.5
NOISE_SIGMAS, TISSUE_OF_BRIGHT = 5.0, 0.05
CORNER_PART = 1 / 16
EDGE_MM_MAX = 10.0  # that a head in MR may touch the edge in front of it
BORDER_PART_MAX = 0.5  # of the picture's border that a head may touch

Mask = NDArray[np.bool_]


def deface(data: bytes) -> bytes:
    """One object in which nobody's face is recognised.

    data     a finished, header-cleaned Part 10 file
    returns  a Part 10 file that says NO in Recognizable Visual Features. The picture of a head is rewritten, in the
             same transfer syntax if that was native, else in Explicit VR Little Endian; a picture that plainly shows
             no head keeps its bytes. An object without a picture is returned as it is.
    raises   Quarantined("deid-unsupported", "RecognizableVisualFeatures"): it may show a face and cannot be cleaned
    source   PS3.15 E.3.2; PS3.3 C.7.6.1 for the attribute
    """
    try:
        # Dirty values are read as they are: pydicom's own complaints would quote them.
        with pydicom.config.disable_value_validation():
            return _defaced(data)
    except (Quarantined, MemoryError, cv2.error, *DAMAGE):
        raise Quarantined("deid-unsupported", PLACE) from None


def _defaced(data: bytes) -> bytes:
    dataset = pydicom.dcmread(BytesIO(data))
    shown = subject(dataset)
    if shown == "no picture":
        return data
    if shown == "unknown" or (shown == "head" and another_kind(dataset)):
        raise Quarantined("deid-unsupported", PLACE)
    if shown == "head":
        layout, image = layout_of(dataset), decode(data, pixels_max=PIXELS_MAX)
        _put(dataset, layout, _without_face(dataset, layout, image))
    dataset.RecognizableVisualFeatures = "NO"
    buffer = BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _without_face(dataset: pydicom.Dataset, layout: Layout, image: Image) -> NDArray[Any]:
    """Stored values [frame, row, column] of all frames, what must go replaced by air."""
    of_ct = text_of(dataset, "SOPClassUID") in CT
    in_hu = {each.unit for each in image.rescales} <= {"", "HU"}
    if image.modality_lut is not None or not layout.grey or layout.real or layout.bits_allocated == 1:
        raise Quarantined("deid-unsupported", PLACE)
    if of_ct and not in_hu:  # a map of something else in a CT's class
        raise Quarantined("deid-unsupported", PLACE)
    stored = image.stored.copy()
    for number, frame in enumerate(stored):
        values = modality_values(image, number)
        if image.padding is not None:
            low, high = image.padding
            values[(frame >= low) & (frame <= high)] = AIR_HU if of_ct else values.min()
        spacing = _numbers(functional_group(dataset, "PixelMeasuresSequence", number), "PixelSpacing", 2)
        orientation = _numbers(
            functional_group(dataset, "PlaneOrientationSequence", number), "ImageOrientationPatient", 6
        )
        keep = kept(values, (spacing[0], spacing[1]), front_of(orientation), of_ct)
        rescale = image.rescales[number] if len(image.rescales) > 1 else image.rescales[0]
        air = round((AIR_HU - rescale.intercept) / rescale.slope) if of_ct else int(frame.min())
        frame[~keep] = np.clip(air, int(frame.min()), int(frame.max()))
    return stored


def _numbers(source: pydicom.Dataset, keyword: str, count: int) -> list[float]:
    found = [float(each) for each in value_of(source, keyword) or ()]
    if len(found) != count or not all(map(math.isfinite, found)):
        raise Quarantined("deid-unsupported", PLACE)
    return found


def front_of(orientation: list[float]) -> tuple[float, float]:
    """The way to the patient's front in the slice, as (rows, columns) of a unit vector.

    orientation  Image Orientation (Patient): direction cosines along a row, then along a column
    raises       Quarantined: no orthogonal unit vectors, or a slice that does not contain the front
    source       PS3.3 C.7.6.2.1.1: x to the left, y to the back, z to the head, whatever way the patient lay
    """
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.array([along_row @ along_row, along_column @ along_column])
    if np.abs(lengths - 1).max() > 0.01 or abs(along_row @ along_column) > 0.01:
        raise Quarantined("deid-unsupported", PLACE)
    rows, columns = -along_column[1], -along_row[1]
    length = math.hypot(rows, columns)
    if length < math.cos(math.radians(TILT_DEGREES_MAX)):
        raise Quarantined("deid-unsupported", PLACE)
    return rows / length, columns / length


def kept(values: NDArray[np.float32], spacing_mm: tuple[float, float], front: tuple[float, float], of_ct: bool) -> Mask:
    """Which pixels of one slice stay.

    values      [row, column], HU where of_ct
    spacing_mm  between rows, between columns; the work is done on a grid of 1 mm
    raises      Quarantined: the head's outline cannot be found
    """
    rows, columns = values.shape
    height, width = rows * spacing_mm[0], columns * spacing_mm[1]
    if not all(SIDE_MM_MIN <= side <= SIDE_MM_MAX for side in (height, width)):
        raise Quarantined("deid-unsupported", PLACE)
    shrinking = min(spacing_mm) <= 1.0
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    grid = np.asarray(cv2.resize(values, (round(width), round(height)), interpolation=how), np.float32)
    tissue = grid > TISSUE_HU if of_ct else _tissue_of_mr(grid)
    head = _largest(_filled(tissue))
    _whole(head, front, of_ct)
    outline = _rounded(head)
    if not outline.any() and head.sum() > 2 * math.pi * ROUNDING_MM**2:
        raise Quarantined("deid-unsupported", PLACE)  # as large as a head and no head's shape
    depth = _distance(outline)
    shell = outline & (depth <= _limits(outline, front, CT_FRONT_MM if of_ct else MR_FRONT_MM))
    free = ~outline | shell
    if of_ct:
        free &= ~_closed((grid > BONE_HU) & outline)
    keep = ~_from_border(free) if of_ct else ~free
    return cv2.resize(keep.astype(np.uint8), (columns, rows), interpolation=cv2.INTER_NEAREST).astype(bool)


def _tissue_of_mr(grid: NDArray[np.float32]) -> Mask:
    """What is brighter than the noise of the darkest corner. Too low a threshold runs into the border and is refused;
    too high a one makes the head smaller, so that more of it goes."""
    smooth = cv2.GaussianBlur(grid, (0, 0), BLUR_MM)
    high, wide = (max(int(side * CORNER_PART), 2) for side in smooth.shape)
    corners = [
        smooth[rows, columns]
        for rows in (slice(high), slice(-high, None))
        for columns in (slice(wide), slice(-wide, None))
    ]
    darkest = min(corners, key=lambda corner: float(corner.mean()))
    dark, noise = float(darkest.mean()), float(darkest.std())
    bright = float(np.percentile(smooth, 99.9))
    threshold = dark + max(NOISE_SIGMAS * noise, TISSUE_OF_BRIGHT * (bright - dark))
    if threshold > dark + (bright - dark) / 2:
        if float(smooth.mean()) - dark > noise:  # more than the noise above or below a head
            raise Quarantined("deid-unsupported", PLACE)
        return np.zeros(grid.shape, np.bool_)
    return np.asarray(smooth > threshold)


def _filled(mask: Mask) -> Mask:
    """The mask with its holes."""
    return ~_from_border(~mask)


def _from_border(free: Mask) -> Mask:
    """The part of `free` that is reached from outside the picture."""
    around = np.pad(free, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(around, connectivity=4)
    return np.asarray((labels == labels[0, 0])[1:-1, 1:-1])


def _largest(mask: Mask) -> Mask:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros_like(mask)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _whole(head: Mask, front: tuple[float, float], of_ct: bool) -> None:
    """Refuses a picture that is full of tissue, and an MR slice whose front lies outside it."""
    edges = {(-1, 0): head[0], (1, 0): head[-1], (0, -1): head[:, 0], (0, 1): head[:, -1]}
    touched = {way: int(edge.sum()) for way, edge in edges.items()}
    if sum(touched.values()) > BORDER_PART_MAX * sum(len(edge) for edge in edges.values()):
        raise Quarantined("deid-unsupported", PLACE)
    # In CT bone says where to stop, so that the edge can be taken for the skin.
    for (rows, columns), count in touched.items():
        if not of_ct and rows * front[0] + columns * front[1] > 0.5 and count > EDGE_MM_MAX:
            raise Quarantined("deid-unsupported", PLACE)


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Millimetres to the nearest point outside the mask; beyond the picture is outside."""
    around = np.pad(mask, 1).astype(np.uint8)
    away = cv2.distanceTransform(around, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away[1:-1, 1:-1], np.float32)


def _grown(mask: Mask, by_mm: float) -> Mask:
    if not mask.any():
        return mask
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(away <= by_mm)


def _rounded(head: Mask) -> Mask:
    """Opening by a disc: what is narrower than the disc is off."""
    return _grown(_distance(head) > ROUNDING_MM, ROUNDING_MM) & head


def _closed(bone: Mask) -> Mask:
    """Closing by a disc: gaps narrower than the disc are shut."""
    wide = math.ceil(BONE_GAP_MM) + 1
    grown = _grown(np.pad(bone, wide), BONE_GAP_MM)
    return np.asarray((_distance(grown) > BONE_GAP_MM)[wide:-wide, wide:-wide]) | bone


def _limits(outline: Mask, front: tuple[float, float], front_mm: float) -> NDArray[np.float32]:
    """The shell's depth at every point: front_mm in the front part of the head, REST_MM behind it."""
    rows, columns = np.ogrid[: outline.shape[0], : outline.shape[1]]
    forward: NDArray[np.float64] = rows * front[0] + columns * front[1]
    inside = forward[outline]
    if not inside.size:
        return np.zeros(outline.shape, np.float32)
    border = inside.max() - FRONT_PART * (inside.max() - inside.min())
    return np.where(forward >= border, np.float32(front_mm), np.float32(REST_MM))


def _put(dataset: pydicom.Dataset, layout: Layout, stored: NDArray[Any]) -> None:
    """Stored values into Pixel Data (PS3.5 8.1.1), native whatever they were."""
    if layout.swapped_words and layout.bits_allocated == 8:
        raise Quarantined("deid-unsupported", PLACE)  # bytes kept in words of the other order
    order, kind = ">" if layout.syntax == BIG_ENDIAN else "<", "i" if layout.signed else "u"
    value = stored.astype(f"{order}{kind}{layout.bits_allocated // 8}").tobytes()
    if layout.syntax in ENCAPSULATED:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in dataset:
                del dataset[keyword]
    dataset.PixelData = value + bytes(len(value) % 2)
    dataset["PixelData"].VR = "OB" if layout.bits_allocated == 8 else "OW"
    dataset["PixelData"].is_undefined_length = False
