"""A head that never lived, for the tests of defacing: brain, skull, scalp, and a face with nose, lips, chin and ears.

Points are in the patient's millimetres (PS3.3 C.7.6.2.1.1): x to the left, y to the back, z to the head; the origin
lies between the ears. Any slice, row and column direction can be cut out of it.
"""

import io

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
AIR, SOFT, BONE, BRAIN, EYE = range(5)
CT_VALUES = np.array([-1000.0, 30, 900, 35, 10])  # HU of the five
MR_VALUES = np.array([6.0, 420, 25, 330, 150])
AXIAL, SAGITTAL, CORONAL = (1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (1, 0, 0, 0, 0, -1)
PIXELS, SPACING_MM, STEP_MM = 136, 2.0, 4.0
# Where a face is known by, on its surface.
LANDMARKS = {
    "tip of the nose": (0, -119, -46),
    "bridge of the nose": (0, -103, -15),
    "upper lip": (0, -91, -62),
    "lower lip": (0, -90, -70),
    "chin": (0, -83, -92),
    "left eyelid": (32, -85, -8),
    "right eyelid": (-32, -85, -8),
    "left brow": (30, -87, 12),
    "left cheek": (48, -66, -40),
    "right cheek": (-48, -66, -40),
    "left ear": (91, 8, -15),
    "right ear": (-91, 8, -15),
}


def tissue(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """What lies at [..., 3] points."""
    x, y, z = points[..., 0], points[..., 1], points[..., 2]

    def ball(middle: tuple[float, ...], radii: tuple[float, ...]) -> NDArray[np.bool_]:
        terms = [((axis - m) / r) ** 2 for axis, m, r in zip((x, y, z), middle, radii, strict=True)]
        return np.asarray(terms[0] + terms[1] + terms[2] <= 1)

    found = np.full(points.shape[:-1], AIR)
    down = np.clip((-5 - z) / 45, 0, 1)  # along the nose, from its root to its tip
    nose = (z < -5) & (z > -54) & (np.abs(x) < 6 + 10 * down) & (y < -60)
    nose &= y > -95 + 4 * down - 28 * down * (1 - np.abs(x) / 17)
    skin = ball((0, 0, 0), (75, 95, 115)) | nose
    skin |= ball((0, -80, -66), (22, 12, 9)) | ball((0, -68, -92), (23, 16, 14))
    skin |= ball((81, 8, -15), (10, 16, 30)) | ball((-81, 8, -15), (10, 16, 30))
    skin |= (np.hypot(x, y - 20) < 55) & (z < -60)
    found[skin] = SOFT
    skull = ball((0, 0, 0), (69, 88, 108)) & ((z > -45) | (y > 25))
    jaws = ball((0, 0, 0), (52, 76, 104)) & (z <= -30) & (y < -10)
    found[skull | jaws] = BONE
    found[ball((0, 0, 4), (61, 79, 98)) & (z > -40)] = BRAIN
    for side in (32, -32):  # orbits, with walls and a roof
        found[ball((side, -70, -10), (24, 28, 22)) & (skull | jaws)] = BONE
        found[ball((side, -72, -10), (19, 22, 17)) & skin] = SOFT
        found[ball((side, -74, -8), (12, 12, 12))] = EYE
    found[ball((0, -66, -36), (9, 16, 16))] = AIR  # the nose's cavity
    return found


def grid(orientation: tuple[float, ...], at_mm: float) -> NDArray[np.float64]:
    """Points [row, column, 3] of the slice at_mm along its normal, centred on the head's axis."""
    along_row, along_column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    steps = (np.arange(PIXELS) - PIXELS / 2 + 0.5) * SPACING_MM
    plane = steps[None, :, None] * along_row + steps[:, None, None] * along_column
    return plane + np.cross(along_row, along_column) * at_mm


def stored(found: NDArray[np.int64], sop_class: str, seed: int) -> NDArray[np.int16]:
    """Noisy stored values: HU + 1024 for CT, arbitrary for MR (noise is Rician: no value below 0)."""
    chance = np.random.default_rng(seed)
    values = (CT_VALUES if sop_class == CT else MR_VALUES)[found]
    values += chance.normal(0, 8 if sop_class == CT else 6, found.shape)
    return np.round(values + 1024 if sop_class == CT else np.abs(values)).astype(np.int16)


def slice_of(sop_class: str, orientation: tuple[float, ...], at_mm: float, **elements: object) -> FileDataset:
    """One single-frame object; elements replace or (None) remove what it says."""
    points = grid(orientation, at_mm)
    dataset = _described(sop_class)
    dataset.ImageOrientationPatient = list(orientation)
    dataset.ImagePositionPatient = [float(each) for each in points[0, 0]]
    dataset.PixelSpacing = [SPACING_MM, SPACING_MM]
    if sop_class == CT:
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, -1024, "HU"
    dataset.PixelData = stored(tissue(points), sop_class, round(at_mm * 10) + 5000).tobytes()
    for keyword, value in elements.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    return dataset


def _described(sop_class: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), UID("1.2.826.0.1.3680043.10.1.1")
    dataset = FileDataset(io.BytesIO(), Dataset(), file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality = "CT" if sop_class == CT else "MR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL" if sop_class == CT else "M"]
    dataset.BodyPartExamined = "HEAD"
    dataset.PatientPosition = "HFS"
    dataset.Rows = dataset.Columns = PIXELS
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    return dataset


def bytes_of(dataset: FileDataset) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
