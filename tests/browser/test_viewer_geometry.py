"""The viewer's geometry module in Chromium against the standard and against numpy: letters, turns, lengths, scale."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

AXIAL = [1, 0, 0, 0, 1, 0]  # rows to the left hand, columns to the back
SAGITTAL = [0, 1, 0, 0, 0, -1]  # rows to the back, columns to the feet
CORONAL = [1, 0, 0, 0, 0, -1]  # rows to the left hand, columns to the feet
ASK = """async ([name, given]) => {
  const geometry = await import("/static/viewer/geometry.js");
  return geometry[name](...given);
}"""


@pytest.fixture(scope="module")
def blank(browser: Browser, address: str) -> Iterator[Page]:
    """A page of the service that needs no sign-in, under its policy."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}sign-in")
    yield page
    context.close()


def ask(page: Page, name: str, *given: Any) -> Any:
    return page.evaluate(ASK, [name, list(given)])


def sides(page: Page, image: dict[str, Any], turns: int = 0, flip: bool = False) -> str:
    """The letters at top, right, bottom and left."""
    found = ask(page, "edges", image, {"turns": turns, "flip": flip})
    return " ".join(found[each] for each in ("top", "right", "bottom", "left"))


@pytest.mark.parametrize(
    ("image", "turns", "flip", "letters"),
    [
        ({"orientation": AXIAL}, 0, False, "A L P R"),
        ({"orientation": AXIAL}, 0, True, "A R P L"),
        ({"orientation": AXIAL}, 1, False, "R A L P"),  # a quarter clockwise: what was on the left is on top
        ({"orientation": AXIAL}, 2, False, "P R A L"),
        ({"orientation": AXIAL}, 3, False, "L P R A"),
        ({"orientation": SAGITTAL}, 0, False, "H P F A"),
        ({"orientation": SAGITTAL}, 0, True, "H A F P"),
        ({"orientation": CORONAL}, 0, False, "H L F R"),
        ({"orientation": CORONAL}, 1, True, "R F L H"),
        ({"orientation": [-1, 0, 0, 0, -1, 0]}, 0, False, "P R A L"),  # prone
        ({"orientation": [math.cos(0.5), math.sin(0.5), 0, -math.sin(0.5), math.cos(0.5), 0]}, 0, False, "AL LP PR RA"),
        ({"orientation": [1, 0, 0, 0, 0.999, 0.05]}, 0, False, "A L P R"),
        ({"patient_orientation": ["L", "F"]}, 0, False, "H L F R"),
        ({"patient_orientation": ["R", "F"]}, 0, True, "H L F R"),
        ({"patient_orientation": ["PL", "FH"]}, 1, False, "AR HF PL FH"),
        ({"orientation": AXIAL, "patient_orientation": ["R", "F"]}, 0, False, "A L P R"),
        ({}, 0, False, "   "),
    ],
)
def test_letters_stand_where_the_standard_puts_them(
    blank: Page, image: dict[str, Any], turns: int, flip: bool, letters: str
) -> None:
    assert sides(blank, image, turns, flip) == letters


NAMES = (("R", "L"), ("A", "P"), ("F", "H"))  # towards lower and higher x, y, z


def named(vector: np.ndarray[Any, Any]) -> str:
    leading = sorted(range(3), key=lambda at: -abs(vector[at]))
    return "".join(NAMES[at][int(vector[at] > 0)] for at in leading if abs(vector[at]) >= 0.1)


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.floats(-1, 1)] * 4),
    st.lists(st.sampled_from(["rotate", "mirror"]), max_size=6),
)
def test_letters_follow_every_turn_and_flip(blank: Page, quaternion: tuple[float, ...], acts: list[str]) -> None:
    """A marked point of the image is carried by the view's own transform; the letters must say the same."""
    q = np.array(quaternion)
    assume(np.linalg.norm(q) > 0.1)
    w, x, y, z = q / np.linalg.norm(q)
    row = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
    column = np.array([2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)])
    for vector in (row, column):
        sizes = np.abs(vector)
        assume(np.abs(sizes - 0.1).min() > 1e-6)
        assume(min(abs(a - b) for a, b in ((sizes[0], sizes[1]), (sizes[1], sizes[2]), (sizes[0], sizes[2]))) > 1e-6)
    across, down = np.array([1, 0]), np.array([0, 1])  # where the image's row and column point on the screen
    script = """async ([acts, image]) => {
      const geometry = await import("/static/viewer/geometry.js");
      const view = { turns: 0, flip: false, zoom: 1, x: 0, y: 0 };
      for (const act of acts) act === "rotate" ? geometry.rotate(view) : (view.flip = !view.flip);
      return geometry.edges(image, view);
    }"""
    found = blank.evaluate(script, [acts, {"orientation": [*row, *column]}])
    for act in acts:
        if act == "rotate":  # clockwise, y downwards: (x, y) -> (-y, x)
            across, down = np.array([-across[1], across[0]]), np.array([-down[1], down[0]])
        else:
            across, down = across * [-1, 1], down * [-1, 1]
    to_right = across[0] * row + down[0] * column
    to_bottom = across[1] * row + down[1] * column
    assert (found["right"], found["left"]) == (named(to_right), named(-to_right))
    assert (found["bottom"], found["top"]) == (named(to_bottom), named(-to_bottom))


@pytest.mark.parametrize(
    ("image", "unit", "value"),
    [
        ({"spacing": [0.5, 0.25], "spacing_at": "patient", "spacing_source": "PixelSpacing"}, "mm", 25.0),
        ({"spacing": [0.5, 0.25], "spacing_at": "detector"}, "mm at detector", 25.0),
        ({"spacing": [0.5, 0.25], "spacing_at": "", "spacing_source": "ImagerPixelSpacing"}, "mm at detector", 25.0),
        ({"spacing": [0.5, 0.25], "spacing_at": "untold"}, "mm (calibration not told)", 25.0),
        ({"spacing": None}, "px", math.hypot(60, 40)),
        ({}, "px", math.hypot(60, 40)),
    ],
)
def test_a_length_has_the_unit_that_the_file_can_bear(
    blank: Page, image: dict[str, Any], unit: str, value: float
) -> None:
    """60 columns of 0.25 mm and 40 rows of 0.5 mm are 15 mm and 20 mm: 25 mm."""
    found = ask(blank, "distance", image, [10, 20], [70, 60])
    assert found["unit"] == unit
    assert found["value"] == pytest.approx(value)


VIEW = st.fixed_dictionaries(
    {
        "turns": st.integers(0, 3),
        "flip": st.booleans(),
        "zoom": st.floats(0.05, 30),
        "x": st.floats(-2000, 2000),
        "y": st.floats(-2000, 2000),
    }
)


@settings(max_examples=100, deadline=None)
@given(VIEW, st.floats(0.2, 5), st.tuples(st.floats(0, 400), st.floats(0, 300)))
def test_a_point_finds_its_way_back_from_the_screen(
    blank: Page, view: dict[str, Any], aspect: float, point: tuple[float, float]
) -> None:
    image = {"rows": 300, "columns": 400, "spacing": [aspect, 1]}
    matrix = ask(blank, "transform", image, view, 900, 700)
    there = ask(blank, "toScreen", matrix, list(point))
    back = ask(blank, "toImage", matrix, there)
    assert back == pytest.approx(list(point), abs=1e-6)
    middle = ask(blank, "toScreen", matrix, [200, 150])
    assert middle == pytest.approx([450 + view["x"], 350 + view["y"]], abs=0.51)  # origins lie on whole pixels


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 5), st.floats(0.02, 30), st.floats(50, 500))
def test_the_scale_bar_is_as_long_as_it_says(blank: Page, column: float, zoom: float, room: float) -> None:
    bar = ask(blank, "scaleBar", {"spacing": [1, column], "spacing_at": "patient"}, zoom, room)
    assert room / 2.5 * 0.999 <= bar["pixels"] <= room * 1.001
    assert bar["pixels"] * column / zoom == pytest.approx(bar["length"])
    number, unit = bar["words"].split()
    assert float(number) * {"mm": 1, "cm": 10}[unit] == pytest.approx(bar["length"])
    assert str(bar["length"] / 10 ** math.floor(math.log10(bar["length"]) + 1e-9))[0] in "125"


def test_no_scale_bar_without_a_size(blank: Page) -> None:
    assert ask(blank, "scaleBar", {"spacing": None}, 1, 100) is None


def test_a_slice_lies_where_its_normal_says(blank: Page) -> None:
    assert ask(blank, "place", {"orientation": AXIAL, "position": [-120, -80, 37.5]}) == 37.5
    assert ask(blank, "place", {"orientation": SAGITTAL, "position": [12, -80, 37.5]}) == -12
    assert ask(blank, "place", {"orientation": None, "position": [12, -80, 37.5]}) is None
