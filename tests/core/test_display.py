"""What the viewer is told of a header: VOI tables, orientation, spacing, rate; and that no free text comes along."""

import json
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from appliance.core.pixels import Image, decode
from appliance.core.viewing import VERSION, frame_description, voi_bytes
from tests.core.test_pixels import lut, made, phantom, written

AXIAL = [1, 0, 0, 0, 1, 0]
PIXELS_MAX = 2**24


def image_of(stored: np.ndarray[Any, Any] | None = None, **said: Any) -> Image:
    return decode(made(phantom("u2", 12) if stored is None else stored, **said), pixels_max=PIXELS_MAX)


def test_a_plain_object_says_nothing_more_than_its_shape() -> None:
    said = frame_description(image_of())
    assert said["version"] == VERSION == 2
    for key in ("orientation", "position", "patient_orientation", "aspect", "spacing", "frame_rate", "padding"):
        assert said[key] is None, key
    assert (said["voi_luts"], said["spacing_at"], said["rate_source"], said["values"]) == ([], "", "", "modality")


def test_voi_tables_are_told_and_kept_apart() -> None:
    tables = [lut([4, 10, 12], [0, 100, 200, 4095]), lut([3, 5, 8], [1, 2, 255])]
    image = image_of(VOILUTSequence=tables)
    assert frame_description(image)["voi_luts"] == [
        {"first": 10, "bits": 12, "entries": 4},
        {"first": 5, "bits": 8, "entries": 3},
    ]
    assert voi_bytes(image.display.voi_luts[0]) == np.array([0, 100, 200, 4095], "<u2").tobytes()


def test_a_table_that_does_not_hold_what_it_says_is_no_table() -> None:
    wrong = [lut([5, 10, 12], [0, 100]), lut([2, 0, 17], [0, 1]), lut([2, 7, 16], [3, 9])]
    assert [each.first for each in image_of(VOILUTSequence=wrong).display.voi_luts] == [7]
    many = [lut([2, at, 16], [0, 1]) for at in range(9)]
    assert len(image_of(VOILUTSequence=many).display.voi_luts) == 4


def test_colours_have_no_table() -> None:
    coloured = np.zeros((4, 4, 3), np.uint8)
    assert image_of(coloured, VOILUTSequence=[lut([2, 0, 16], [0, 1])]).display.voi_luts == ()


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (AXIAL, True),
        ([0.8, 0.6, 0, -0.6, 0.8, 0], True),
        ([1, 0, 0, 1, 0, 0], False),  # a row along the column
        ([2, 0, 0, 0, 1, 0], False),
        ([0, 0, 0, 0, 0, 0], False),
        ([1, 0, 0], False),
    ],
)
def test_orientation_is_two_directions_or_nothing(told: list[float], kept: bool) -> None:
    said = frame_description(image_of(ImageOrientationPatient=told, ImagePositionPatient=[1, 2, 3]))
    assert (said["orientation"] == told) is kept
    assert said["position"] == [1, 2, 3]


def group(orientation: list[float], position: list[float]) -> Dataset:
    outer, plane, place = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient, place.ImagePositionPatient = orientation, position
    outer.PlaneOrientationSequence, outer.PlanePositionSequence = [plane], [place]
    return outer


def test_frames_share_an_orientation_or_none_is_told() -> None:
    stored = np.stack([phantom("u2", 12), phantom("u2", 12)])
    same = [group(AXIAL, [0, 0, 0]), group(AXIAL, [0, 0, 5])]
    shown = image_of(stored, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=same).display
    assert shown.orientation == tuple(AXIAL)
    assert shown.position is None
    other = [group(AXIAL, [0, 0, 0]), group([0, 1, 0, 0, 0, -1], [0, 0, 5])]
    assert image_of(stored, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=other).display.orientation is None


@pytest.mark.parametrize(
    ("told", "kept"),
    [(["L", "F"], ["L", "F"]), (["PL", "FH"], ["PL", "FH"]), (["L"], None), (["X", "F"], None), (["LAPR", "F"], None)],
)
def test_letters_are_the_standards_or_none(told: list[str], kept: list[str] | None) -> None:
    assert frame_description(image_of(PatientOrientation=told))["patient_orientation"] == kept


@pytest.mark.parametrize(
    ("said", "spacing", "at"),
    [
        ({"PixelSpacing": [0.5, 0.25], "Modality": "CT"}, [0.5, 0.25], "patient"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "Modality": "DX"}, [0.2, 0.2], "detector"),
        ({"PixelSpacing": [0.2, 0.2], "ImagerPixelSpacing": [0.2, 0.2], "Modality": "DX"}, [0.2, 0.2], "detector"),
        ({"PixelSpacing": [0.15, 0.15], "ImagerPixelSpacing": [0.2, 0.2], "Modality": "DX"}, [0.15, 0.15], "patient"),
        ({"PixelSpacing": [0.2, 0.2], "Modality": "CR"}, [0.2, 0.2], "untold"),
        (
            {"PixelSpacing": [0.2, 0.2], "Modality": "CR", "PixelSpacingCalibrationType": "FIDUCIAL"},
            [0.2, 0.2],
            "patient",
        ),
        ({"PixelSpacing": [0, 0.2], "Modality": "CT"}, None, ""),
        ({"Modality": "US"}, None, ""),
    ],
)
def test_a_millimetre_is_told_with_its_place(said: dict[str, Any], spacing: list[float] | None, at: str) -> None:
    shown = frame_description(image_of(**said))
    assert (shown["spacing"], shown["spacing_at"]) == (spacing, at)


@pytest.mark.parametrize(
    ("said", "rate", "source"),
    [
        ({"RecommendedDisplayFrameRate": "24", "CineRate": "15"}, 24, "RecommendedDisplayFrameRate"),
        ({"CineRate": "15", "FrameTime": "10"}, 15, "CineRate"),
        ({"FrameTime": "40"}, 25, "FrameTime"),
        ({"FrameTimeVector": ["0", "40", "60"]}, 20, "FrameTimeVector"),
        ({"FrameTime": "0"}, None, ""),
        ({"CineRate": "-5", "FrameTime": "50"}, 20, "FrameTime"),
        ({"FrameTime": "0.001"}, None, ""),
    ],
)
def test_the_rate_is_the_recommended_or_the_acquired(said: dict[str, Any], rate: float | None, source: str) -> None:
    shown = frame_description(image_of(**said))
    assert (shown["frame_rate"], shown["rate_source"]) == (rate, source)


def test_padding_and_extent_are_in_the_viewers_values() -> None:
    stored = np.array([[-2000, -1990, 5, 70]], "i2")
    dataset = pydicom.dcmread(BytesIO(made(stored)))
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1990)
    said = frame_description(decode(written(dataset), pixels_max=PIXELS_MAX))
    assert (said["padding"], said["padding_limit"], said["extent"]) == (-2000, -1990, [5, 70])
    nothing = np.full((2, 2), -2000, "i2")
    dataset.PixelData, dataset.Rows, dataset.Columns = nothing.tobytes(), 2, 2
    assert frame_description(decode(written(dataset), pixels_max=PIXELS_MAX))["extent"] is None


@pytest.mark.filterwarnings("ignore")  # pydicom's, on names where code words should be
@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=16, alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ^ "))
def test_no_free_text_of_a_header_comes_along(text: str) -> None:
    name = f"QZ{text}".strip()
    table = lut([2, 0, 16], [0, 1])
    table.LUTExplanation = name
    named = dict.fromkeys(
        ("PatientName", "SeriesDescription", "WindowCenterWidthExplanation", "VOILUTFunction", "RescaleType"), name
    )
    window = {
        "RescaleSlope": "1",
        "RescaleIntercept": "0",
        "WindowCenter": "1",
        "WindowWidth": "2",
        "VOILUTSequence": [table],
        "PatientOrientation": [name, "F"],
    }
    said = frame_description(image_of(**named, **window))
    assert "QZ" not in json.dumps(said)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_header_makes_the_description_fail(draw: st.DataObject) -> None:
    """Optional statements of any kind: the picture is shown, and what is said of it is JSON with finite numbers."""
    words = st.sampled_from(["1", "0", "-1", "1e308", "nan", "inf", "", "L", "F", "1e-300", "7"])
    said: dict[str, Any] = {}
    for keyword in ("PatientOrientation", "PixelSpacing", "ImageOrientationPatient", "FrameTimeVector", "CineRate"):
        said[keyword] = draw.draw(st.lists(words, max_size=7))
    dataset = pydicom.dcmread(BytesIO(made(phantom("u2", 12))))
    for keyword, values in said.items():
        dataset.add(pydicom.DataElement(keyword, "LO", values))  # text where numbers should be
    image = decode(written(dataset), pixels_max=PIXELS_MAX)
    json.dumps(frame_description(image), allow_nan=False)
