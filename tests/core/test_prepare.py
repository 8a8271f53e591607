"""The one preparation: orientation of the grey scale, size, range, and what must never pass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from appliance.core.prepare import PreparationSpec, preparation_digest, prepare, prepared, why_not_prepared
from appliance.errors import Quarantined

PINNED = [0.391531, 0.358126, 0.0, 0.501198]
SPEC = PreparationSpec(side_px=128, low_percentile=0.5, high_percentile=99.5)


def film(rows: int = 224, columns: int = 224, bits: int = 8) -> np.ndarray:
    """A smooth field with a bright disc high up on the left: whoever mirrors or turns it is found out."""
    y, x = np.mgrid[0:rows, 0:columns] / np.array([rows, columns])[:, None, None]
    field = 0.3 + 0.3 * y + 0.4 * (((x - 0.25) ** 2 + (y - 0.2) ** 2) < 0.02)
    return np.round(field * (2**bits - 1)).astype(np.float32)


def test_shape_type_and_range():
    tensor = prepare(film(), False, SPEC)
    assert tensor.shape == (1, 1, 128, 128)
    assert tensor.dtype == np.float32
    assert tensor.min() == 0.0
    assert tensor.max() == 1.0


def test_the_disc_stays_where_it_was():
    row, column = np.argwhere(prepare(film(), False, SPEC)[0, 0] > 0.75).mean(axis=0)
    assert row == pytest.approx(0.2 * 128, abs=2)
    assert column == pytest.approx(0.25 * 128, abs=2)


def test_monochrome1_of_the_negative_is_monochrome2_of_the_film():
    plain = prepare(film(), False, SPEC)
    assert prepare(255 - film(), True, SPEC) == pytest.approx(plain, abs=1e-5)
    assert np.abs(prepare(film(), True, SPEC) - plain).max() > 0.5  # a forgotten inversion is no small thing


@pytest.mark.parametrize(("rows", "columns", "bits"), [(2140, 1760, 10), (1955, 1841, 15), (448, 448, 12)])
def test_large_deep_film_gives_what_the_small_one_gives(rows: int, columns: int, bits: int):
    difference = np.abs(prepare(film(rows, columns, bits), False, SPEC) - prepare(film(), False, SPEC))
    assert difference.mean() < 0.01


def test_small_film_is_enlarged():
    assert np.abs(prepare(film(64, 64), False, SPEC) - prepare(film(), False, SPEC)).mean() < 0.02


def test_no_aliasing_when_shrinking():
    """A one-pixel chequerboard of 1024 px averages to a flat grey over a slow ramp; nearest neighbour would not."""
    board = np.indices((1024, 1024)).sum(axis=0) % 2 * 100.0
    ramp = np.linspace(0, 100, 1024)[:, None]
    tensor = prepare((board + ramp).astype(np.float32), False, SPEC)[0, 0]
    assert np.abs(np.diff(tensor, axis=1)).max() < 1e-4


def test_a_film_of_one_grey_is_all_zeros():
    assert not prepare(np.full((200, 200), 7, np.float32), False, SPEC).any()
    assert not prepare(np.full((200, 200), 7, np.float32), True, SPEC).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_is_quarantined(bad: float):
    values = film()
    values[100, 100] = bad
    with pytest.raises(Quarantined, match="pixel-not-finite"):
        prepare(values, False, SPEC)


def test_sums_beyond_float32_are_quarantined():
    values = np.full((512, 512), np.finfo(np.float32).max, np.float32)
    values[::2] *= -1
    values[:256] = np.finfo(np.float32).max
    with pytest.raises(Quarantined, match="pixel-not-finite"):
        prepare(values, False, SPEC)


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0)])
def test_no_rows_or_columns_is_quarantined(shape: tuple[int, int]):
    with pytest.raises(Quarantined, match="pixel-layout"):
        prepare(np.zeros(shape, np.float32), False, SPEC)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.floats(width=32)), st.booleans()
)
def test_whatever_comes_is_finite_in_range_or_quarantined(values: np.ndarray, monochrome1: bool):
    found: np.ndarray | str
    with np.errstate(all="ignore"):
        try:
            found = prepare(values, monochrome1, SPEC)
        except Quarantined as fault:
            found = fault.code
    if isinstance(found, str):
        # Only what holds no number, or numbers too large to be averaged, may be kept aside.
        assert found == "pixel-not-finite"
        assert not np.isfinite(values).all() or np.abs(values).max() > 1e30
    else:
        assert found.shape == (1, 1, 128, 128)
        assert np.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1


def test_the_input_is_left_alone():
    values = film()
    before = values.copy()
    prepare(values, True, SPEC)
    assert (values == before).all()


HEAD_CT = (
    {"step": "resize_area", "side_px": 16},
    {"step": "hounsfield_window", "center": 40.0, "width": 80.0},
)


def test_the_steps_of_a_film_are_the_film_preparation():
    assert (prepared([film()], True, SPEC.steps) == prepare(film(), True, SPEC)).all()


def test_hounsfield_window_takes_values_as_they_are():
    slices = [np.full((20, 20), value, np.float32) for value in (-1000, 0, 20, 40, 80, 3000)]
    tensor = prepared(slices, False, HEAD_CT)
    assert tensor.shape == (1, 6, 16, 16)
    assert tensor[0, :, 0, 0] == pytest.approx([0, 0, 0.25, 0.5, 1, 1])


def test_frames_of_different_size_share_one_window():
    """Percentiles are of all frames together: a dark slice stays darker than a bright one."""
    dark, bright = film(100, 80), film(64, 64) + 1000
    tensor = prepared([dark, bright], False, SPEC.steps)
    assert tensor.shape == (1, 2, 128, 128)
    assert tensor[0, 0].max() < tensor[0, 1].min()


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ((), "resize_area"),
        (({"step": "sharpen"},), "unknown"),
        (({"step": "orient_grey"}, *HEAD_CT), "resize_area"),
        ((*HEAD_CT, HEAD_CT[0]), "twice"),
        ((HEAD_CT[0],), "window"),
        ((*HEAD_CT, {"step": "percentile_window", "low": 1.0, "high": 99.0}), "window"),
    ],
)
def test_steps_that_do_not_end_in_a_tensor_of_one_size_and_range_are_named(
    steps: tuple[dict[str, object], ...], says: str
):
    assert says in (why_not_prepared(steps) or "")
    with pytest.raises(AssertionError):
        prepared([film()], False, steps)


def test_sound_steps_are_sound():
    assert why_not_prepared(HEAD_CT) is None
    assert why_not_prepared(SPEC.steps) is None


def test_no_frame_is_quarantined():
    with pytest.raises(Quarantined, match="pixel-layout"):
        prepared([], False, SPEC.steps)


def test_digest_moves_with_every_number():
    digests = {
        *(
            preparation_digest(spec.steps)
            for spec in (
                SPEC,
                PreparationSpec(129, 0.5, 99.5),
                PreparationSpec(128, 0.6, 99.5),
                PreparationSpec(128, 0.5, 99),
            )
        ),
        preparation_digest(SPEC.steps, frames=2),
        preparation_digest(SPEC.steps[:2]),
        preparation_digest(HEAD_CT),
    }
    assert len(digests) == 7


def test_revision_is_pinned_to_what_the_preparation_does():
    """If this fails, `prepare` changed: raise PREPARATION_REVISION, so that no certificate outlives it."""
    drawn = np.random.default_rng(5).integers(0, 4096, (300, 260)).astype(np.float32)
    tensor = prepare(drawn, True, SPEC)[0, 0]
    told = [float(tensor[0, 0]), float(tensor[64, 32]), float(tensor[127, 127]), float(tensor.mean())]
    assert told == pytest.approx(PINNED, abs=1e-4)
    assert preparation_digest(SPEC.steps) == "87c7d20106317184f42c0e4c6bc3487fbdaaa431183777808595b4dc9add03a7"
