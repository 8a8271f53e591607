"""The gates as arithmetic: which code a measure gives, and that nothing that is missing or odd ever passes."""

import math
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.core.gates import (
    GATE_REASONS,
    NOT_OURS,
    REPEAT_CODES,
    WITHOUT_NETWORK,
    Bound,
    GateCode,
    GateReference,
    Gates,
    Measure,
    Wanted,
    distance,
    failed_gates,
    film_measures,
    gate,
    gates_digest,
    mendable,
)
from appliance.core.outputs import Answer

WANTED = Wanted(kind="child", codes={"adult": "gate-adult", "turned": "gate-turned", "page": "gate-not-as-described"})
MEASURES: tuple[Measure, ...] = get_args(Measure)
EDGE = math.inf


def bound(low: float | None, high: float | None, code: GateCode, code_low: GateCode | None = None) -> Bound:
    return Bound(low=low, high=high, code=code, code_low=code_low)


BOUNDS: dict[Measure, Bound] = {
    "distance": bound(None, 100.0, "gate-out-of-distribution"),
    "as_described": bound(0.8, None, "gate-not-as-described"),
    "gap": bound(None, 0.5, "gate-flip"),
    "energy": bound(None, 2.0, "gate-energy"),
    "grey_levels": bound(32.0, None, "gate-image-quality"),
    "aspect": bound(0.5, 2.0, "gate-cropped"),
    "entropy_bits": bound(3.0, 5.0, "gate-exposure"),
    "sharpness": bound(0.01, 0.05, "gate-image-quality", "gate-blur"),
    "clipped_dark": bound(None, 0.2, "gate-exposure"),
    "clipped_bright": bound(None, 0.01, "gate-exposure"),
}
GOOD: dict[Measure, float] = {
    "distance": 50.0,
    "as_described": 0.9,
    "gap": 0.1,
    "energy": 0.0,
    "grey_levels": 200.0,
    "aspect": 1.0,
    "entropy_bits": 4.0,
    "sharpness": 0.02,
    "clipped_dark": 0.0,
    "clipped_bright": 0.0,
}
KINDS = {"child": 0.9, "adult": 0.06, "turned": 0.04}


def gates(bounds: dict[Measure, Bound] | None = None, wanted: Wanted | None = WANTED) -> Gates:
    return Gates(schema_version=2, source="drawn", films=1, bounds=bounds or BOUNDS, wanted=wanted)


def failed(change: dict[Measure, float] | None = None, kinds: dict[str, float] | None = None) -> tuple[str, ...]:
    return failed_gates({**GOOD, **(change or {})}, gates(), KINDS if kinds is None else kinds)


def test_a_film_within_every_bound_fails_nothing():
    assert failed() == ()


@pytest.mark.parametrize("measure", MEASURES)
def test_ends_are_within_and_just_beyond_is_not(measure: Measure):
    told = BOUNDS[measure]
    if told.high is not None:
        assert failed({measure: told.high}) == ()
        assert failed({measure: math.nextafter(told.high, EDGE)}) == (told.code,)
    if told.low is not None:
        assert failed({measure: told.low}) == ()
        code = "gate-adult" if measure == "as_described" else told.code_low or told.code
        assert failed({measure: math.nextafter(told.low, -EDGE)}) == (code,)


def test_too_low_may_have_a_code_of_its_own():
    assert failed({"sharpness": 0.001}) == ("gate-blur",)
    assert failed({"sharpness": 0.1}) == ("gate-image-quality",)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("measure", MEASURES)
def test_what_is_no_number_fails(measure: Measure, odd: float):
    code = "gate-adult" if measure == "as_described" else BOUNDS[measure].code
    assert failed({measure: odd}) == (code,)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_bound_without_its_measure_fails(measure: Measure):
    rest = {name: value for name, value in GOOD.items() if name != measure}
    code = "gate-adult" if measure == "as_described" else BOUNDS[measure].code
    assert failed_gates(rest, gates(), KINDS) == (code,)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_without_its_bound_fails(measure: Measure):
    rest = {name: each for name, each in BOUNDS.items() if name != measure}
    wanted = None if measure == "as_described" else WANTED
    assert failed_gates(GOOD, gates(rest, wanted), KINDS) == ("gate-out-of-distribution",)


def test_a_bound_without_ends_still_wants_a_number():
    opened = {**BOUNDS, "gap": bound(None, None, "gate-flip")}
    assert failed_gates({**GOOD, "gap": 1e9}, gates(opened), KINDS) == ()
    assert failed_gates({**GOOD, "gap": math.nan}, gates(opened), KINDS) == ("gate-flip",)


def test_every_failing_gate_is_named_once_the_kind_of_picture_first():
    found = failed({"clipped_dark": 0.9, "clipped_bright": 0.9, "entropy_bits": 0.0, "as_described": 0.1, "gap": 9.0})
    assert found[0] == "gate-adult"
    assert sorted(found) == ["gate-adult", "gate-exposure", "gate-flip"]


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ({"child": 0.1, "adult": 0.8, "turned": 0.1}, "gate-adult"),
        ({"child": 0.1, "adult": 0.1, "turned": 0.8}, "gate-turned"),
        ({"child": 0.1, "page": 0.9}, "gate-not-as-described"),
        ({"child": 0.7, "adult": 0.1, "turned": 0.2}, "gate-turned"),
        ({"child": 0.1, "unheard": 0.9}, "gate-not-as-described"),
        ({"child": 0.1}, "gate-not-as-described"),
        ({}, "gate-not-as-described"),
    ],
    ids=["adult", "turned", "page", "likeliest of the others", "kind without a code", "no other kind", "no kinds"],
)
def test_what_a_picture_is_taken_for_names_the_reason(kinds: dict[str, float], code: str):
    assert failed({"as_described": 0.1}, kinds) == (code,)
    assert failed({"as_described": math.nan}, kinds) == (code,)
    assert failed({}, kinds) == (), "the kinds only name what the bound has stopped"


@given(st.dictionaries(st.sampled_from(MEASURES), st.floats()), st.sets(st.sampled_from(MEASURES)))
def test_nothing_passes_but_whole_numbers_within_every_bound(change: dict[Measure, float], lost: set[Measure]):
    measured = {name: value for name, value in {**GOOD, **change}.items() if name not in lost}
    passes = not lost and all(
        math.isfinite(value)
        and (BOUNDS[name].low is None or value >= (BOUNDS[name].low or 0.0))
        and (BOUNDS[name].high is None or value <= (BOUNDS[name].high or 0.0))
        for name, value in measured.items()
    )
    assert (failed_gates(measured, gates(), KINDS) == ()) == passes


# What the papers may say


def test_a_bound_on_the_kind_and_the_wanted_kind_go_together():
    rest = {name: each for name, each in BOUNDS.items() if name != "as_described"}
    for bounds, wanted in ((BOUNDS, None), (rest, WANTED)):
        with pytest.raises(ValidationError, match="wanted kind"):
            gates(bounds, wanted)


@pytest.mark.parametrize(
    "change",
    [
        {"bounds": {"charm": {"low": 0, "high": 1, "code": "gate-flip"}}},
        {"bounds": {"gap": {"low": 0, "high": 1, "code": "gate-charm"}}},
        {"bounds": {"gap": {"low": 0, "high": math.nan, "code": "gate-flip"}}},
        {"bounds": {"gap": {"low": 0, "high": math.inf, "code": "gate-flip"}}},
        {"bounds": {"gap": {"high": 1, "code": "gate-flip"}}},
        {"films": 0},
        {"schema_version": 1},
        {"also": 1},
    ],
)
def test_gates_that_are_not_understood_are_refused(change: dict[str, Any]):
    told = {"schema_version": 2, "source": "drawn", "films": 1, "bounds": {}, "wanted": None}
    Gates.model_validate(told)
    with pytest.raises(ValidationError):
        Gates.model_validate({**told, **change})


def test_every_code_has_words_and_those_to_repeat_are_codes():
    assert set(GATE_REASONS) == set(get_args(GateCode))
    assert set(GATE_REASONS) > REPEAT_CODES
    assert len(set(GATE_REASONS.values())) == len(GATE_REASONS)


def test_only_a_film_that_is_ours_is_worth_repeating():
    assert mendable(["gate-turned", "score-between", "gate-blur", "gate-turned"]) == ("gate-turned", "gate-blur")
    assert mendable(["gate-flip", "gate-out-of-distribution"]) == ()
    for code in NOT_OURS:
        assert mendable(["gate-blur", code]) == ()
    assert not NOT_OURS & REPEAT_CODES


def test_one_digest_for_each_pair_of_papers():
    assert len({gates_digest(a, b) for a in ("1", "2") for b in ("1", "2")}) == 4
    assert gates_digest("1", "2") == gates_digest("1", "2")


# A film and what an exit gave for it


def reference(told: Gates) -> GateReference:
    return GateReference(told, np.eye(2), np.array([[0.0, 0.0], [3.0, 4.0]]), "0" * 64)


def film() -> tuple[np.ndarray, np.ndarray]:
    """A ramp with grain: values [row, column] and tensor [1, 1, side, side]."""
    rows = np.linspace(0.05, 0.95, 64)[:, None] + np.zeros((1, 64))
    grain = np.random.default_rng(1).normal(0, 0.005, rows.shape)
    values = ((rows + grain) * 255).astype(np.float32)
    return values, (values / 255)[None, None].astype(np.float32)


def looked(told: Gates, kinds: dict[str, float], *, gap: float | None = 0.1, energy: float | None = 0.0) -> Any:
    values, tensor = film()
    return gate(values, tensor, Answer(0.0, np.array([3.0, 5.0]), gap, energy), kinds, reference(told))


def test_all_measures_of_a_film_are_told():
    measured, found = looked(gates(), KINDS)
    assert found == ()
    assert set(measured) == set(MEASURES)
    assert measured["distance"] == pytest.approx(1.0), "to the nearest class"
    assert (measured["gap"], measured["energy"], measured["as_described"]) == (0.1, 0.0, 0.9)


@pytest.mark.parametrize(("measure", "code"), [("gap", "gate-flip"), ("energy", "gate-energy")])
def test_an_answer_without_gap_or_energy_fails_where_a_bound_speaks_of_it(measure: Any, code: str):
    measured, found = looked(gates(), KINDS, **{measure: None})
    assert measure not in measured
    assert found == (code,)
    rest = {name: each for name, each in BOUNDS.items() if name != measure}
    assert looked(gates(rest), KINDS, **{measure: None})[1] == ()
    assert looked(gates(rest), KINDS)[1] == ("gate-out-of-distribution",), "given, but nobody said what it may be"


def test_a_check_that_no_bound_speaks_of_fails():
    rest = {name: each for name, each in BOUNDS.items() if name != "as_described"}
    measured, found = looked(gates(rest, None), KINDS)
    assert math.isnan(measured["as_described"])
    assert found == ("gate-out-of-distribution",)
    assert looked(gates(rest, None), {})[1] == (), "a package without a check"


@pytest.mark.parametrize("kinds", [{}, {"adult": 1.0}])
def test_a_check_that_does_not_tell_the_wanted_kind_fails(kinds: dict[str, float]):
    assert len(looked(gates(), kinds)[1]) == 1


def test_the_wanted_kind_is_asked_by_its_probability():
    assert looked(gates(), {"child": 0.79, "turned": 0.21})[1] == ("gate-turned",)
    assert looked(gates(), {"child": 0.8, "turned": 0.2})[1] == ()


def test_a_film_of_one_grey_fails():
    values, tensor = np.full((64, 64), 7, np.float32), np.zeros((1, 1, 64, 64), np.float32)
    told = gate(values, tensor, Answer(0.0, np.zeros(2), 0.0, 0.0), KINDS, reference(gates()))[1]
    assert {"gate-image-quality", "gate-exposure", "gate-blur"} <= set(told)


def test_measures_without_a_network_see_what_they_are_named_for():
    values, tensor = film()
    plain = film_measures(values, tensor)
    assert tuple(plain) == WITHOUT_NETWORK
    assert plain["aspect"] == 1.0
    assert film_measures(values[:32], tensor)["aspect"] == 2.0
    noise = np.random.default_rng(2).normal(0, 0.2, tensor.shape).astype(np.float32)
    noisy = film_measures(values, (tensor + noise).clip(0, 1))
    assert noisy["sharpness"] > 5 * plain["sharpness"]
    assert film_measures(values, tensor * 0)["clipped_dark"] == 1.0
    assert film_measures(values, tensor * 0 + 1)["clipped_bright"] == 1.0
    assert film_measures(np.rint(values / 16), tensor)["grey_levels"] <= 17
    assert plain["entropy_bits"] <= math.log2(32)


def test_distance_is_to_the_nearest_class_after_whitening():
    centres = np.array([[0.0, 0.0], [10.0, 0.0]])
    assert distance(np.array([9.0, 0.0]), np.eye(2), centres) == pytest.approx(1.0)
    assert distance(np.array([4.5, 0.0]), 2 * np.eye(2), centres) == pytest.approx(1.0)
    assert math.isnan(distance(np.array([math.nan, 0.0]), np.eye(2), centres))
