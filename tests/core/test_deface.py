"""Defacing: the face of a phantom vanishes, its brain stays to the bit, and what cannot be cleaned is refused.

The measure is the distance from each facial landmark to the nearest tissue that is left, over all slices of a head; the
tests at the end show that it sees a defacing that does nothing, or too little.
"""

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from head_phantom import (
    AIR,
    AXIAL,
    BRAIN,
    CORONAL,
    CT,
    LANDMARKS,
    MR,
    SAGITTAL,
    STEP_MM,
    bytes_of,
    grid,
    slice_of,
    tissue,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from planted_objects import REAL_FILES
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from test_deidentify_validity import errors

from appliance.core import deface as module
from appliance.core.deface import deface
from appliance.core.pixels import decode
from appliance.errors import Quarantined

REFUSAL = ("deid-unsupported", "RecognizableVisualFeatures")
TISSUE = {CT: 724, MR: 100}  # stored value between air and skin
# Bone, which a CT keeps, begins 7 mm below the brow and the cheeks; nothing is behind the ears within 12.
GONE_MM, EAR_GONE_MM = 6.0, 12.0
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def turned(orientation: tuple[float, ...], degrees: float, about: int) -> tuple[float, ...]:
    """An orientation turned about the patient's x, y or z."""
    angle = np.radians(degrees)
    matrix = np.eye(3)
    one, other = (axis for axis in range(3) if axis != about)
    matrix[one, one] = matrix[other, other] = np.cos(angle)
    matrix[one, other], matrix[other, one] = -np.sin(angle), np.sin(angle)
    both = np.array(orientation, float).reshape(2, 3) @ matrix.T
    return tuple(float(each) for each in both.reshape(-1))


ORIENTATIONS = {
    "axial": AXIAL,
    "axial, prone": (-1, 0, 0, 0, -1, 0),
    "axial, seen from above": (-1, 0, 0, 0, 1, 0),
    "axial, lying on the side": (0, 1, 0, -1, 0, 0),
    "axial, turned in its plane": turned(AXIAL, 25, 2),
    "axial, gantry tilted": turned(AXIAL, -22, 0),
    "sagittal": SAGITTAL,
    "sagittal, upside down": (0, -1, 0, 0, 0, 1),
}
Volume = NDArray[np.int64]


def values(data: bytes) -> Volume:
    return decode(data, pixels_max=10**8).stored.astype(np.int64)


@cache
def head(sop_class: str, name: str) -> tuple[NDArray[np.float64], list[bytes]]:
    """Points [slice, row, column, 3] and the objects of a whole head."""
    orientation = ORIENTATIONS[name]
    reach = 92 if name.startswith("sagittal") else 120
    places = np.arange(-reach, reach + 1, STEP_MM)
    points = np.stack([grid(orientation, at) for at in places])
    return points, [bytes_of(slice_of(sop_class, orientation, at)) for at in places]


def nearest(points: NDArray[np.float64], stored: Volume, sop_class: str) -> dict[str, float]:
    """Millimetres from each landmark to the nearest tissue."""
    left = points[stored > TISSUE[sop_class]]
    return {name: float(np.linalg.norm(left - np.array(at), axis=1).min()) for name, at in LANDMARKS.items()}


def gone(left: dict[str, float]) -> bool:
    return all(away > (EAR_GONE_MM if name.endswith("ear") else GONE_MM) for name, away in left.items())


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("sop_class", [CT, MR])
def test_the_face_vanishes_and_the_brain_stays(sop_class: str, name: str) -> None:
    points, objects = head(sop_class, name)
    before = np.concatenate([values(each) for each in objects])
    cleaned = [deface(each) for each in objects]
    after = np.concatenate([values(each) for each in cleaned])
    left = nearest(points, after, sop_class)
    assert gone(left), left
    changed = before != after
    assert not (changed & (tissue(points) == BRAIN)).any()
    # What changed is air now; all else is as it was.
    assert (after[changed] <= (24 if sop_class == CT else 6)).all()
    assert {str(pydicom.dcmread(io.BytesIO(each)).RecognizableVisualFeatures) for each in cleaned} == {"NO"}


@pytest.mark.parametrize("name", ["axial", "sagittal"])
@pytest.mark.parametrize("sop_class", [CT, MR])
def test_nothing_of_the_skin_is_left_in_front(sop_class: str, name: str) -> None:
    """Seen from the front, as a rendering does it: the first tissue on each line lies below where the skin was."""
    points, objects = head(sop_class, name)
    before, after = (np.concatenate([values(way(each)) for each in objects]) for way in (bytes, deface))
    seen = [_from_the_front(points, stored > TISSUE[sop_class]) for stored in (before, after)]
    deeper = (seen[1] - seen[0])[seen[0] < 0]
    assert len(deeper) > 350
    assert np.median(deeper) >= 12
    assert np.percentile(deeper, 5) >= 6


def _from_the_front(points: NDArray[np.float64], on: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The least y of tissue on each line of the face's window, 4 mm apart."""
    x, y, z = (points[..., axis][on] for axis in range(3))
    inside = (np.abs(x) < 50) & (z > -96) & (z < 20)
    first = np.full((32, 27), 60.0)  # what no tissue stops is as good as the middle of the head
    at = (np.round((z[inside] + 96) / 4).astype(int), np.round((x[inside] + 50) / 4).astype(int))
    np.minimum.at(first, at, y[inside])
    return first


def test_a_ct_keeps_bone() -> None:
    points, objects = head(CT, "axial")
    before, after = (np.concatenate([values(way(each)) for each in objects]) for way in (bytes, deface))
    vault = (before > 1600) & (points[..., 2] > 20)
    assert (before != after)[vault].mean() < 0.02  # its edge, where the grid of 1 mm rounds


@pytest.mark.parametrize("gap_mm", [8, 14])
def test_a_gap_in_the_skull_does_not_cost_the_brain(gap_mm: int) -> None:
    dataset, points = slice_of(CT, AXIAL, 30.0), grid(AXIAL, 30.0)
    stored = values(bytes_of(dataset))[0]
    gap = (stored > 1600) & (np.abs(points[..., 0]) < gap_mm / 2) & (points[..., 1] < 0)
    assert gap.any()
    stored[gap] = 1060
    dataset.PixelData = stored.astype("<i2").tobytes()
    assert (values(deface(bytes_of(dataset)))[0] == stored)[tissue(points) == BRAIN].all()


@pytest.mark.parametrize("sop_class", [CT, MR])
def test_a_wrong_patient_position_still_costs_nose_and_ears(sop_class: str) -> None:
    """The header says prone, the patient lay on the back: the front is looked for behind."""
    points, objects = head(sop_class, "axial")
    after = []
    for each in objects:
        dataset = pydicom.dcmread(io.BytesIO(each))
        dataset.ImageOrientationPatient = list(ORIENTATIONS["axial, prone"])
        after.append(values(deface(bytes_of(dataset))))
    left = nearest(points, np.concatenate(after), sop_class)
    assert min(left["left ear"], left["right ear"], left["tip of the nose"]) > EAR_GONE_MM
    assert min(left.values()) > 3


@pytest.mark.parametrize("name", ["J2K_pixelrep_mismatch.dcm", "693_UNCR.dcm"])
def test_a_real_head(name: str) -> None:
    (path,) = [path for path in REAL_FILES if path.name == name]
    dataset = pydicom.dcmread(path)
    dataset.BodyPartExamined = "HEAD"
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    cleaned = deface(buffer.getvalue())
    assert pydicom.dcmread(io.BytesIO(cleaned)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    before, after = (decode(each, pixels_max=10**7) for each in (buffer.getvalue(), cleaned))
    rescale = before.rescales[0]
    units = before.stored[0] * rescale.slope + rescale.intercept
    changed = before.stored[0] != after.stored[0]
    skull = cv2.morphologyEx((units > 300).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    _, labels = cv2.connectedComponents(1 - skull, connectivity=4)
    brain = (labels == labels[256, 256]) & (skull == 0)
    assert brain.sum() > 10_000
    assert not changed[brain].any()
    body = cv2.morphologyEx((units > -300).astype(np.uint8), cv2.MORPH_OPEN, np.ones((15, 15), np.uint8))
    skin = body.astype(bool) & (cv2.erode(body, np.ones((7, 7), np.uint8)) == 0) & (skull == 0)
    _, labels = cv2.connectedComponents(1 - body)
    skin &= cv2.dilate((labels == labels[0, 0]).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert skin.sum() > 1_000
    assert changed[skin].mean() > 0.99


def described(place: str = "AXIAL", sop_class: str = CT, **elements: object) -> bytes:
    orientation = {"AXIAL": AXIAL, "CORONAL": CORONAL, "STEEP": turned(AXIAL, 50, 0)}[place]
    return bytes_of(slice_of(sop_class, orientation, 20.0, **elements))


def region(code: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "as coded"
    return Sequence([item])


PHOTOGRAPH = "1.2.840.10008.5.1.4.1.1.77.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
REFUSED: dict[str, Callable[[], bytes]] = {
    "coronal": lambda: described("CORONAL"),
    "too steep a slice": lambda: described("STEEP"),
    "no orientation": lambda: described(ImageOrientationPatient=None),
    "an orientation that is none": lambda: described(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]),
    "no body part": lambda: described(BodyPartExamined=None),
    "neck": lambda: described(BodyPartExamined="NECK"),
    "whole body": lambda: described(BodyPartExamined="WHOLEBODY"),
    "head and neck in one word": lambda: described(BodyPartExamined="HEADNECK"),
    "a word of nobody's list": lambda: described(BodyPartExamined="SCHAEDEL"),
    "word and code disagree": lambda: described(BodyPartExamined="CHEST", AnatomicRegionSequence=region("69536005")),
    "an unknown code beside a chest": lambda: described(BodyPartExamined="CHEST", AnatomicRegionSequence=region("1")),
    "localizer": lambda: described(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "a chest's localizer": lambda: described(BodyPartExamined="CHEST", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "projection": lambda: described(ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"]),
    "phase": lambda: described(sop_class=MR, ImageType=["ORIGINAL", "PRIMARY", "P"]),
    "mosaic": lambda: described(sop_class=MR, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]),
    "no spacing": lambda: described(PixelSpacing=None),
    "a spacing of no head": lambda: described(PixelSpacing=[40, 40]),
    "not in HU": lambda: described(RescaleType="US"),
    "colour": lambda: described(PhotometricInterpretation="PALETTE COLOR"),
    "too few pixels": lambda: described(PixelData=b"\0\0"),
    "no pixels": lambda: described(PixelData=None),
    "full of tissue": lambda: described(PixelData=(1060).to_bytes(2, "little") * 136 * 136),
    "photograph": lambda: described(SOPClassUID=PHOTOGRAPH, BodyPartExamined="CHEST"),
    "secondary capture": lambda: described(SOPClassUID=SECONDARY_CAPTURE, BodyPartExamined="CHEST"),
    "a skull's film": lambda: described(SOPClassUID="1.2.840.10008.5.1.4.1.1.1", BodyPartExamined="SKULL"),
    "a film of nothing said": lambda: described(SOPClassUID="1.2.840.10008.5.1.4.1.1.1", BodyPartExamined=None),
    "a structure set": lambda: described(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3"),
    "no DICOM": lambda: b"nothing of the kind",
    "cut short": lambda: described()[:900],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_cleaned_is_refused(name: str) -> None:
    with pytest.raises(Quarantined) as refused:
        deface(REFUSED[name]())
    assert (refused.value.code, refused.value.place) == REFUSAL


@pytest.mark.parametrize("sop_class", [CT, MR])
def test_a_front_beyond_the_picture_is_refused_in_mr_and_taken_for_skin_in_ct(sop_class: str) -> None:
    dataset = slice_of(sop_class, AXIAL, -20.0)
    rows = values(bytes_of(dataset))[0].astype(np.int16)[24:]  # 88 mm before the middle: within the skull's front
    dataset.Rows, dataset.PixelData = rows.shape[0], rows.tobytes()
    if sop_class == MR:
        with pytest.raises(Quarantined):
            deface(bytes_of(dataset))
        return
    after = values(deface(bytes_of(dataset)))[0]
    brain = tissue(grid(AXIAL, -20.0))[24:] == BRAIN
    assert (after == rows)[brain].all()
    assert (rows[0] > TISSUE[CT]).sum() > 20
    assert (after[0] < TISSUE[CT]).all()


PLAINLY: dict[str, Callable[[], bytes]] = {
    "CT of the chest": lambda: described(BodyPartExamined="CHEST"),
    "MR of the knee, coded": lambda: described(
        sop_class=MR, BodyPartExamined=None, AnatomicRegionSequence=region("72696002")
    ),
    "a word with a separator": lambda: described(BodyPartExamined="CHEST_ABDOMEN"),
    "a coronal pelvis": lambda: described("CORONAL", BodyPartExamined="PELVIS"),
    "film of the hand": lambda: described(SOPClassUID="1.2.840.10008.5.1.4.1.1.1", BodyPartExamined="HAND"),
    "mammogram": lambda: described(SOPClassUID="1.2.840.10008.5.1.4.1.1.1.2", BodyPartExamined=None),
}


@pytest.mark.parametrize("name", PLAINLY)
def test_what_plainly_shows_no_head_keeps_its_pixels(name: str) -> None:
    data = PLAINLY[name]()
    before, after = (pydicom.dcmread(io.BytesIO(each)) for each in (data, deface(data)))
    assert after.RecognizableVisualFeatures == "NO"
    del after.RecognizableVisualFeatures
    assert before == after
    assert before.file_meta.TransferSyntaxUID == after.file_meta.TransferSyntaxUID


def test_what_has_no_picture_is_returned_as_it_is() -> None:
    data = described(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.33", BodyPartExamined=None, PixelData=None)
    assert deface(data) is data


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_every_syntax_gives_the_same_picture(syntax: str) -> None:
    data = described(sop_class=MR)
    dataset = pydicom.dcmread(io.BytesIO(data))
    buffer = io.BytesIO()
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
        dataset.save_as(buffer)
    else:
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            buffer, dataset, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=syntax != ExplicitVRBigEndian
        )
    cleaned = deface(buffer.getvalue())
    assert (values(cleaned) == values(deface(data))).all()
    written = pydicom.dcmread(io.BytesIO(cleaned)).file_meta.TransferSyntaxUID
    assert written == (ExplicitVRLittleEndian if syntax == RLELossless else syntax)


def test_twelve_unsigned_bits_and_an_eight_bit_picture() -> None:
    twelve = slice_of(CT, AXIAL, 20.0)
    stored = np.clip(values(bytes_of(twelve)), 0, 4095)
    twelve.BitsStored, twelve.HighBit, twelve.PixelRepresentation = 12, 11, 0
    twelve.PixelData = stored.astype("<u2").tobytes()
    assert (values(deface(bytes_of(twelve))) == np.clip(values(deface(described())), 0, 4095)).mean() > 0.999
    eight = slice_of(MR, AXIAL, 20.0)
    stored = values(bytes_of(eight))[0, 1:, 1:] // 4  # 135 x 135 bytes: an odd number
    eight.Rows = eight.Columns = 135
    eight.BitsAllocated, eight.BitsStored, eight.HighBit, eight.PixelRepresentation = 8, 8, 7, 0
    eight.PixelData = stored.astype(np.uint8).tobytes() + b"\0"
    after = values(deface(bytes_of(eight)))[0]
    assert 0 < (after != stored).mean() < 0.8
    assert (after[after != stored] == stored.min()).all()


def enhanced(frames: list[tuple[tuple[float, ...], float]]) -> FileDataset:
    """An Enhanced MR object whose frames have orientations of their own."""
    dataset = slice_of(MR, AXIAL, 0.0, ImageOrientationPatient=None, ImagePositionPatient=None, PixelSpacing=None)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    dataset.NumberOfFrames = len(frames)
    dataset.BodyPartExamined = None
    measures, shared, anatomy = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [2.0, 2.0]
    anatomy.AnatomicRegionSequence = region("12738006")
    shared.PixelMeasuresSequence, shared.FrameAnatomySequence = Sequence([measures]), Sequence([anatomy])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for orientation, _ in frames:
        plane, group = Dataset(), Dataset()
        plane.ImageOrientationPatient = list(orientation)
        group.PlaneOrientationSequence = Sequence([plane])
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Sequence(groups)
    dataset.PixelData = b"".join(slice_of(MR, *frame).PixelData for frame in frames)
    return dataset


def test_each_frame_goes_by_its_own_orientation() -> None:
    frames = [(AXIAL, -40.0), (ORIENTATIONS["axial, prone"], -40.0), (SAGITTAL, 0.0), (AXIAL, 140.0)]
    after = values(deface(bytes_of(enhanced(frames))))
    for number, frame in enumerate(frames):
        alone = values(deface(bytes_of(slice_of(MR, *frame))))[0]
        assert (after[number] == alone).all()
    assert (after[0] != after[1]).any()
    with pytest.raises(Quarantined):
        deface(bytes_of(enhanced([*frames, (CORONAL, 0.0)])))


@pytest.mark.parametrize("name", ["J2K_pixelrep_mismatch.dcm", "examples_overlay.dcm", "explicit_VR-UN.dcm"])
def test_a_validator_finds_nothing_new(name: str, tmp_path: Path) -> None:
    (path,) = [path for path in REAL_FILES if path.name == name]
    (tmp_path / "defaced.dcm").write_bytes(deface(path.read_bytes()))
    assert errors(tmp_path / "defaced.dcm") - errors(path) == set()


STARTS = [described(), described(sop_class=MR), bytes_of(enhanced([(AXIAL, 0.0), (SAGITTAL, 0.0)]))]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(STARTS), st.lists(st.tuples(st.integers(132, 1100), st.binary(max_size=6)), min_size=1, max_size=5)
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on damaged headers
def test_damage_is_refused_or_harmless(data: bytes, damage: list[tuple[int, bytes]]) -> None:
    for at, put in damage:
        data = data[:at] + put + data[at + max(len(put), 1) :]
    try:
        cleaned = deface(data)
    except Quarantined as fault:
        told = (fault.code, fault.place)
    else:
        dataset = pydicom.dcmread(io.BytesIO(cleaned))
        told = REFUSAL if cleaned == data or dataset.RecognizableVisualFeatures == "NO" else ("", "")
    assert told == REFUSAL


@pytest.mark.parametrize("sop_class", [CT, MR])
def test_the_measure_sees_a_face(sop_class: str) -> None:
    points, objects = head(sop_class, "axial")
    stored = np.concatenate([values(each) for each in objects])
    assert max(nearest(points, stored, sop_class).values()) < 5
    assert (stored[tissue(points) == AIR] < TISSUE[sop_class]).all()


FAULTS: dict[str, dict[str, object]] = {
    "nothing is taken": {"kept": lambda values, *_: np.ones(values.shape, np.bool_)},
    "no shell": {"CT_FRONT_MM": 0.0, "MR_FRONT_MM": 0.0, "REST_MM": 0.0},
    "what stands out stays": {"_rounded": lambda head: head},
}


@pytest.mark.parametrize("sop_class", [CT, MR])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_measure_sees_a_planted_fault(fault: str, sop_class: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, planted in FAULTS[fault].items():
        monkeypatch.setattr(module, name, planted)
    points, objects = head(sop_class, "axial")
    after = np.concatenate([values(deface(each)) for each in objects])
    assert not gone(nearest(points, after, sop_class))
