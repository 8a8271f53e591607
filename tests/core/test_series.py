"""Which frames a network sees: a slice that is missing, doubled, off the plane or out of order is seen by nobody."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from appliance.core.admit import admit
from appliance.core.series import SERIES_REASONS, FrameOf, frames_to_see
from appliance.core.study import Instance, Patient

SLICE = Instance(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.4",
    sop_instance_uid="1.2.3.4.0",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    sha256="0" * 64,
    bytes_count=1000,
    patient=Patient("", "", "", "", "", "", ""),
    modality="CT",
    body_part_examined="HEAD",
    view_position="",
    patient_age="040Y",
    manufacturer="",
    manufacturer_model_name="",
    instance_number=1,
    images_in_acquisition=None,
    number_of_frames=1,
    rows=64,
    columns=64,
    has_pixels=True,
    frame_of_reference_uid="1.2.9",
    image_orientation_patient="1\\0\\0\\0\\1\\0",
    image_position_patient="-10\\-20\\0",
    pixel_spacing="0.5\\0.5",
)


def series(count: int, gap: float = 2.5) -> list[Instance]:
    """Slices from the feet up, numbered from 1."""
    return [
        dataclasses.replace(
            SLICE,
            sop_instance_uid=f"1.2.3.4.{at}",
            instance_number=at + 1,
            image_position_patient=f"-10\\-20\\{at * gap}",
        )
        for at in range(count)
    ]


def changed(slices: list[Instance], at: int, **facts: object) -> list[Instance]:
    return [dataclasses.replace(each, **facts) if n == at else each for n, each in enumerate(slices)]  # type: ignore[arg-type]


def numbers(found: tuple[FrameOf, ...] | str) -> list[int | None] | str:
    return found if isinstance(found, str) else [each.instance.instance_number for each in found]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.randoms(use_true_random=False))
def test_whatever_the_order_of_files_slices_stand_as_they_lie(count: int, wanted: int, drawn: object):
    slices = series(count)
    drawn.shuffle(slices)  # type: ignore[attr-defined]
    found = numbers(frames_to_see(slices, "volume", wanted))
    if count < wanted:
        assert found == "frames-too-few"
    else:
        assert len(found) == wanted
        assert list(found) == sorted(set(found))  # type: ignore[type-var]


def test_many_slices_are_thinned_evenly():
    assert numbers(frames_to_see(series(9), "volume", 3)) == [2, 5, 8]
    assert numbers(frames_to_see(series(5), "volume", 5)) == [1, 2, 3, 4, 5]


def test_a_series_numbered_from_the_head_down_is_in_order_too():
    slices = [dataclasses.replace(each, instance_number=9 - n) for n, each in enumerate(series(5))]
    assert numbers(frames_to_see(slices, "volume", 5)) == [9, 8, 7, 6, 5]


def test_oblique_slices_are_ordered_along_their_own_normal():
    """Tilted 20 degrees about x; the normal is (0, -sin, cos), and the slices follow it."""
    sine, cosine = np.sin(np.radians(20)), np.cos(np.radians(20))
    tilted = [
        dataclasses.replace(
            each,
            image_orientation_patient=f"1\\0\\0\\0\\{cosine:.6f}\\{sine:.6f}",
            image_position_patient=f"0\\{-sine * 3 * at:.4f}\\{cosine * 3 * at:.4f}",
        )
        for at, each in enumerate(series(6))
    ]
    assert numbers(frames_to_see(tilted[::-1], "volume", 6)) == [1, 2, 3, 4, 5, 6]
    gantry = [dataclasses.replace(each, image_position_patient=f"0\\0\\{3 * at}") for at, each in enumerate(tilted)]
    assert frames_to_see(gantry, "volume", 6) == "slices-off-axis"


WRONG: list[tuple[str, list[Instance]]] = [
    ("slices-missing", series(3) + series(6)[4:]),
    ("slices-missing", changed(series(6), 3, image_position_patient="-10\\-20\\8.0")),
    ("slices-missing", [dataclasses.replace(each, images_in_acquisition=7) for each in series(6)]),
    ("slices-missing", changed(series(6), 5, instance_number=9)),
    ("slices-doubled", [*series(6), series(6)[2]]),
    ("slices-doubled", changed(series(6), 3, image_position_patient="-10\\-20\\5.0")),
    ("slices-off-plane", changed(series(6), 3, image_orientation_patient="1\\0\\0\\0\\0\\-1")),
    ("slices-off-plane", changed(series(6), 0, image_orientation_patient="1\\0\\0\\0\\0.9986\\0.0523")),
    ("slices-off-axis", changed(series(6), 3, image_position_patient="30\\-20\\7.5")),
    ("slices-shuffled", changed(changed(series(6), 2, instance_number=4), 3, instance_number=3)),
    ("slices-shuffled", changed(series(6), 2, instance_number=2)),
    ("slices-differ", changed(series(6), 3, rows=128)),
    ("slices-differ", changed(series(6), 3, pixel_spacing="0.7\\0.7")),
    ("slices-differ", changed(series(6), 3, frame_of_reference_uid="1.2.10")),
    ("slices-without-geometry", changed(series(6), 3, image_position_patient="")),
    ("slices-without-geometry", changed(series(6), 3, image_position_patient="1\\2")),
    ("slices-without-geometry", changed(series(6), 3, image_position_patient="a\\b\\c")),
    ("slices-without-geometry", changed(series(6), 3, image_position_patient="0\\0\\nan")),
    ("slices-without-geometry", changed(series(6), 3, image_orientation_patient="")),
    ("slices-without-geometry", changed(series(6), 3, image_orientation_patient="1\\0\\0\\1\\0\\0")),
    ("slices-without-geometry", changed(series(6), 3, image_orientation_patient="9\\0\\0\\0\\9\\0")),
    ("slices-without-geometry", changed(series(6), 3, number_of_frames=2)),
    ("frames-unordered", changed(series(6), 3, instance_number=None)),
    ("several-series", changed(series(6), 3, series_instance_uid="1.2.3.5")),
    ("no-image", changed(series(6), 3, has_pixels=False)),
    ("no-image", []),
    ("frames-too-few", series(4)),
]


@pytest.mark.parametrize(("code", "slices"), WRONG)
def test_a_series_with_a_flaw_is_named_and_not_stacked(code: str, slices: list[Instance]):
    assert frames_to_see(slices, "volume", 5) == code
    assert frames_to_see(slices[::-1], "volume", 5) == code


def test_key_frames_follow_their_numbers():
    assert numbers(frames_to_see(series(9)[::-1], "key_frames", 3)) == [2, 5, 8]
    cine = [dataclasses.replace(SLICE, number_of_frames=30)]
    assert [each.frame for each in frames_to_see(cine, "key_frames", 3) if isinstance(each, FrameOf)] == [5, 15, 25]
    assert frames_to_see(changed(series(9), 3, instance_number=None), "key_frames", 3) == "frames-unordered"
    assert frames_to_see([*series(3), *series(3)], "key_frames", 3) == "frames-unordered"
    assert frames_to_see(series(2), "key_frames", 3) == "frames-too-few"


def test_a_frame_is_one_image_of_one_frame():
    assert frames_to_see(series(1), "frame", 1) == (FrameOf(series(1)[0], 0),)
    assert frames_to_see(series(2), "frame", 1) == "several-images"
    assert frames_to_see([], "frame", 1) == "several-images"
    assert frames_to_see([dataclasses.replace(SLICE, number_of_frames=2)], "frame", 1) == "several-images"


def test_every_code_has_words():
    assert all(code in SERIES_REASONS or code in ("several-images", "no-image") for code, _ in WRONG)


def test_five_real_slices_in_a_row():
    """A CT in pydicom's own DICOMDIR example, numbered 6 to 10 from the head down."""
    slices = []
    for name in ("2062", "2392", "2693", "3023", "3353"):
        path = get_testdata_file(f"dicomdirtests/98892001/CT5N/{name}")
        assert path is not None
        slices.append(admit(Path(path).read_bytes()))
    assert {each.modality for each in slices} == {"CT"}
    assert numbers(frames_to_see(slices, "volume", 5)) == [10, 9, 8, 7, 6]
    assert frames_to_see(slices[:2] + slices[3:], "volume", 4) == "slices-missing"
