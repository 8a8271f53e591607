"""In which order a reader scrolls: by place along the normal where it is told, by number where it is not."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.reading_order import reading_order
from appliance.core.study import Instance
from tests.core.test_certificate import an_instance

AXIAL, SAGITTAL = r"1\0\0\0\1\0", r"0\1\0\0\0\-1"


def slice_at(height: float, number: int | None, orientation: str = AXIAL, series: str = "1.1") -> Instance:
    where = rf"{height}\-100\50" if orientation == SAGITTAL else rf"-100\-100\{height}"
    return replace(
        an_instance(),
        series_instance_uid=series,
        instance_number=number,
        image_orientation_patient=orientation,
        image_position_patient=where,
        number_of_frames=1,
    )


@given(st.permutations(range(12)), st.booleans(), st.sampled_from([AXIAL, SAGITTAL]))
def test_slices_lie_in_order_however_they_came(order: list[int], falling: bool, orientation: str) -> None:
    made = [slice_at(5.0 * at, -at if falling else at, orientation) for at in order]
    (found,) = reading_order(made)
    heights = [order[at] for at in found]
    assert heights == sorted(heights, reverse=falling)  # the stack begins where its numbers begin


def test_place_outweighs_a_number_that_is_wrong() -> None:
    heights, numbers = [0.0, 5.0, 10.0, 15.0, 20.0], [1, 2, 9, 4, 5]  # one slice is numbered out of its place
    (found,) = reading_order([slice_at(*each) for each in zip(heights, numbers, strict=True)])
    assert found == [0, 1, 2, 3, 4]


def test_slices_without_numbers_go_along_the_normal() -> None:
    (found,) = reading_order([slice_at(at, None) for at in (20, 0, 10)])
    assert found == [1, 2, 0]


def test_without_a_place_the_number_counts_and_then_the_order_of_arrival() -> None:
    plain = replace(an_instance(), image_orientation_patient="", image_position_patient="")
    made = [replace(plain, instance_number=number, series_instance_uid="1.1") for number in (3, None, 1, 2, 1)]
    assert reading_order(made) == [[2, 4, 3, 0, 1]]


def test_planes_that_differ_and_places_that_repeat_go_by_number() -> None:
    localizers = [slice_at(0, 2), slice_at(5, 1, SAGITTAL), slice_at(10, 3)]
    assert reading_order(localizers) == [[1, 0, 2]]
    dynamic = [slice_at(height, number) for number, height in enumerate([0, 5, 0, 5])]
    assert reading_order(dynamic) == [[0, 1, 2, 3]]


def test_series_stand_in_the_order_in_which_they_came() -> None:
    made = [slice_at(0, 1, series="9"), slice_at(0, 1, series="1"), slice_at(5, 2, series="9")]
    assert reading_order(made) == [[0, 2], [1]]
    assert reading_order([]) == []


def test_every_image_is_in_the_order_once() -> None:
    draw = np.random.default_rng(5)
    made = [slice_at(float(draw.integers(0, 9)), int(draw.integers(0, 5)), series=str(at % 3)) for at in range(30)]
    assert sorted(at for members in reading_order(made) for at in members) == list(range(30))
