"""What only a viewer asks of a header: VOI tables, where the plane lies in the patient, how fast frames run.

All of it is optional: a statement that makes no sense is as good as absent, and nothing here quarantines. Numbers and
code letters are taken, never free text, so that what is kept of it names nobody.
"""

import re
from dataclasses import dataclass

import numpy as np
import pydicom
from numpy.typing import NDArray

from appliance.core.pixel_header import Layout, functional_group, numbers_of, table_of, text_of, value_of
from appliance.errors import Quarantined

VOI_LUTS_MAX = 4
FRAMES_COMPARED_MAX = 4_096
FRAME_RATE_MIN, FRAME_RATE_MAX = 0.1, 240.0
UNIT_SLACK = 1e-2  # of the length of a direction, and of the right angle between two: headers round
SAME_SPACING = 1e-6  # two spacings that differ by less are one number written twice
LETTERS = re.compile(r"[APLRHF]{1,3}")  # of bipeds, PS3.3 C.7.6.1.1.1
ASPECT_MAX = 100.0
PROJECTIONS = frozenset({"CR", "DX", "IO", "MG", "PX", "RF", "RG", "XA", "XC"})


@dataclass(frozen=True, slots=True, eq=False)
class VoiLut:
    """A table from modality values to what is shown: entries[clip(value - first)], of `bits` bits (C.11.2.1.1)."""

    first: int
    bits: int
    entries: NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class Display:
    """What a header says on how its frames are shown.

    orientation          direction cosines of a row and of a column, the same for all frames (PS3.3 C.7.6.2.1.1)
    position             of the first pixel's centre, in mm; None where frames lie in different places
    patient_orientation  letters of the row's and of the column's direction, for projections (PS3.3 C.7.6.1.1.1)
    aspect               height of a pixel over its width where no spacing tells it (PS3.3 C.7.6.3.1.7)
    spacing_at           "patient", "detector", "untold" for a projection that does not say, "" where there is none
    frame_rate           frames a second; rate_source is the keyword it came from
    """

    voi_luts: tuple[VoiLut, ...] = ()
    orientation: tuple[float, ...] | None = None
    position: tuple[float, ...] | None = None
    patient_orientation: tuple[str, str] | None = None
    aspect: float | None = None
    spacing_at: str = ""
    frame_rate: float | None = None
    rate_source: str = ""


def display_of(dataset: pydicom.Dataset, layout: Layout) -> Display:
    """All of it, absent where the header is silent or makes no sense."""
    rate, source = _frame_rate(dataset)
    return Display(
        voi_luts=_voi_luts(dataset, layout),
        orientation=_orientation(dataset, layout.frames),
        position=_common(dataset, layout.frames, "PlanePositionSequence", "ImagePositionPatient", 3),
        patient_orientation=_patient_orientation(dataset),
        aspect=_aspect(dataset),
        spacing_at=_spacing_at(dataset),
        frame_rate=rate,
        rate_source=source,
    )


def _voi_luts(dataset: pydicom.Dataset, layout: Layout) -> tuple[VoiLut, ...]:
    try:
        items = value_of(functional_group(dataset, "FrameVOILUTSequence", 0), "VOILUTSequence")
    except Quarantined:
        return ()
    if not layout.grey or not isinstance(items, pydicom.Sequence):
        return ()
    found = []
    for at in range(min(len(items), VOI_LUTS_MAX)):
        try:
            found.append(VoiLut(*table_of(items[at], layout)))
        except Quarantined:
            continue
    return tuple(found)


def _orientation(dataset: pydicom.Dataset, frames: int) -> tuple[float, ...] | None:
    """Two directions of length one at a right angle, or nothing: letters on a skewed plane would be a guess."""
    found = _common(dataset, frames, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
    if found is None:
        return None
    pair = np.array(found).reshape(2, 3)
    return found if np.abs(pair @ pair.T - np.eye(2)).max() <= UNIT_SLACK else None


def _common(dataset: pydicom.Dataset, frames: int, macro: str, keyword: str, count: int) -> tuple[float, ...] | None:
    """Numbers that are the same for every frame, of which there must be `count`."""
    if frames > FRAMES_COMPARED_MAX:
        return None
    try:
        found = {tuple(numbers_of(functional_group(dataset, macro, at), keyword)) for at in range(frames)}
    except Quarantined:
        return None
    common = found.pop() if len(found) == 1 else ()
    return common if len(common) == count else None


def _patient_orientation(dataset: pydicom.Dataset) -> tuple[str, str] | None:
    try:
        value = value_of(dataset, "PatientOrientation")
    except Quarantined:
        return None
    pair = [str(each).strip() for each in value] if isinstance(value, pydicom.multival.MultiValue) else []
    return (pair[0], pair[1]) if len(pair) == 2 and all(map(LETTERS.fullmatch, pair)) else None


def _aspect(dataset: pydicom.Dataset) -> float | None:
    pair = numbers_of(dataset, "PixelAspectRatio")
    if len(pair) != 2 or min(pair) <= 0 or not 1 / ASPECT_MAX <= pair[0] / pair[1] <= ASPECT_MAX:
        return None
    return pair[0] / pair[1]


def _spacing_at(dataset: pydicom.Dataset) -> str:
    """Where a millimetre of the spacing lies: in the patient, or at the detector, where a film shows all things larger.

    PS3.3 10.7.1.3: PixelSpacing that equals ImagerPixelSpacing was not corrected for magnification; where a projection
    bears PixelSpacing alone, nobody can tell whether it was.
    """
    try:
        measures = functional_group(dataset, "PixelMeasuresSequence", 0)
        calibrated = text_of(dataset, "PixelSpacingCalibrationType") in ("GEOMETRY", "FIDUCIAL")
        projection = text_of(dataset, "Modality") in PROJECTIONS
    except Quarantined:
        return ""
    imager = _pair(dataset, "ImagerPixelSpacing")
    pixel = _pair(measures, "PixelSpacing") or _pair(dataset, "PixelSpacing")
    if pixel is None:
        return "" if imager is None else "detector"
    if calibrated:
        return "patient"
    if imager is None:
        return "untold" if projection else "patient"
    same = max(abs(a - b) for a, b in zip(pixel, imager, strict=True)) < SAME_SPACING
    return "detector" if same else "patient"


def _pair(dataset: pydicom.Dataset, keyword: str) -> tuple[float, float] | None:
    found = numbers_of(dataset, keyword)
    return (found[0], found[1]) if len(found) == 2 and min(found) > 0 else None


def _frame_rate(dataset: pydicom.Dataset) -> tuple[float | None, str]:
    """Frames a second: the recommended rate first, then how fast they were taken (PS3.3 C.7.6.5)."""
    for keyword in ("RecommendedDisplayFrameRate", "CineRate", "FrameTime", "FrameTimeVector"):
        found = numbers_of(dataset, keyword)[:FRAMES_COMPARED_MAX]
        if keyword == "FrameTimeVector":
            found = [sum(found[1:]) / (len(found) - 1)] if len(found) > 1 else []  # the first increment is zero
        if not found or found[0] <= 0:
            continue
        rate = 1000 / found[0] if keyword.startswith("FrameTime") else found[0]
        if FRAME_RATE_MIN <= rate <= FRAME_RATE_MAX:
            return rate, keyword
    return None, ""
