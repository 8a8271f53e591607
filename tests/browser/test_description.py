"""The frames cache's description as the page reads it: whatever stands there, the browser gets finite facts."""

import json
import math
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from seeding import digest

from appliance.core.pixels import decode
from appliance.core.viewing import frame_description
from appliance.review.description import description
from tests.core.test_pixels import lut, made, phantom

SHAPE = {"version": 2, "rows": 4, "columns": 6, "frames": 1, "dtype": "int16"}
KEYS = (
    *("version", "rows", "columns", "frames", "dtype", "slope", "intercept", "unit", "windows", "voi_function"),
    *("voi_luts", "padding", "padding_limit", "extent", "spacing", "spacing_at", "spacing_source", "aspect"),
    *("orientation", "position", "patient_orientation", "frame_rate", "photometric", "values", "rate_source"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["first", "bits", "entries"]), inner),
    max_leaves=12,
)


def read(folder: Path, said: object) -> dict[str, Any] | None:
    where = folder / digest(1)
    where.mkdir(exist_ok=True)
    (where / "frames.json").write_text(said if isinstance(said, str) else json.dumps(said))
    return description(folder, digest(1))


def test_what_triage_writes_is_read_whole(tmp_path: Path) -> None:
    image = decode(
        made(
            phantom("i2", 16),
            Modality="CT",
            RescaleSlope="2",
            RescaleIntercept="-1024",
            RescaleType="HU",
            WindowCenter=["40", "600"],
            WindowWidth=["0.5", "400"],
            VOILUTFunction="SIGMOID",
            VOILUTSequence=[lut([2, -7, 12], [0, 4095])],
            PixelPaddingValue=-2000,
            PixelPaddingRangeLimit=-1990,
            PixelSpacing=[0.5, 0.25],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[-1, -2, 3],
            PatientOrientation=["L", "P"],
            CineRate="12",
        ),
        pixels_max=2**20,
    )
    said = frame_description(image)
    found = read(tmp_path, said)
    assert found is not None
    same = ("rows", "columns", "frames", "dtype", "slope", "intercept", "unit", "photometric", "voi_function", "extent")
    geometry = ("spacing", "spacing_source", "spacing_at", "orientation", "position", "patient_orientation", "aspect")
    for key in (*same, *geometry, "windows", "voi_luts", "values", "frame_rate", "rate_source"):
        assert found[key] == said[key], key
    assert found["padding"] == [-2000, -1990]


def test_version_one_is_read_and_a_later_one_is_not(tmp_path: Path) -> None:
    first = {"rows": 4, "columns": 6, "frames": 1, "dtype": "int16", "slope": 1.0, "intercept": 0.0, "padding": -5}
    found = read(tmp_path, first)
    assert found is not None
    assert (found["padding"], found["orientation"], found["voi_luts"]) == ([-5, -5], None, [])
    for version in (3, 0, "2", None, True, [2]):
        assert read(tmp_path, {**first, "version": version}) is None


def test_a_linear_window_narrower_than_one_is_none(tmp_path: Path) -> None:
    windows = [[0, 0.5], [0, 1], [5, -1], [1], "no", [True, 3], [1, 2, 3]]
    linear, exact = ({**SHAPE, "windows": windows, "voi_function": fn} for fn in ("LINEAR", "LINEAR_EXACT"))
    assert (read(tmp_path, linear) or {})["windows"] == [[0, 1]]
    assert (read(tmp_path, exact) or {})["windows"] == [[0, 0.5], [0, 1]]


def test_no_word_of_the_cache_reaches_the_page_that_it_does_not_know(tmp_path: Path) -> None:
    keys = ("unit", "photometric", "voi_function", "spacing_source", "rate_source", "values", "patient_name", "decoder")
    found = read(tmp_path, {**SHAPE, **dict.fromkeys(keys, "Doe^Jane"), "patient_orientation": ["Doe^Jane", "F"]})
    assert found is not None
    assert "Doe" not in json.dumps(found)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_whatever_stands_there_is_an_image_or_none(tmp_path: Path, said: dict[str, Any]) -> None:
    for told in (said, {**SHAPE, **said}):
        found = read(tmp_path, told)
        if found is None:
            continue
        text = json.dumps(found, allow_nan=False)
        assert len(text) < 4_000
        assert found["rows"] >= 1
        assert all(math.isfinite(width) and width > 0 for _, width in found["windows"])
        assert found["slope"] != 0


def test_no_json_at_all_is_no_image(tmp_path: Path) -> None:
    for text in ("", "[]", "null", "{", "[" * 5000, '"x"', "{}" + " " * 70_000):
        assert read(tmp_path, text) is None
    assert description(tmp_path, digest(2)) is None
