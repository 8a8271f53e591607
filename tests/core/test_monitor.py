"""The bets on harm: rarely wrong while all is well, quick when it is not, and never quiet on what is no number."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from appliance.core.monitor import (
    AUDIT_FIRST,
    DELTA,
    DRIFT_REVOKE_AT,
    DriftState,
    RiskState,
    audit_rate,
    audit_table,
    audits_to_detect,
    conformal_p,
    drift_next,
    drift_slack,
    drift_start,
    drift_value,
    e_value,
    risk_next,
    risk_start,
    stage,
)

PROMISED = 0.01


def audits_until_alarm(rng: np.random.Generator, rate: float, audits: int, *, quiet: int = 0) -> int | None:
    """Audits after the first `quiet` ones (at half the promised rate) until the alarm; None: there was none."""
    state = risk_start()
    for number in range(quiet + audits):
        state = risk_next(state, bool(rng.random() < (rate if number >= quiet else PROMISED / 2)), rate_max=PROMISED)
        if e_value(state) >= 1 / DELTA:
            return number + 1 - quiet
    return None


def test_audits_raise_a_false_alarm_in_at_most_delta_of_streams():
    """The hardest case: the true rate is the promised one exactly. 300 streams; 8 would be 3 deviations above 1 %."""
    rng = np.random.default_rng(20)
    alarms = sum(audits_until_alarm(rng, PROMISED, 1500) is not None for _ in range(300))
    assert alarms <= 8


@pytest.mark.parametrize(("ratio", "expected"), [(2.0, 1353), (3.0, 446), (5.0, 134), (10.0, 34)])
def test_audits_find_a_risen_rate(ratio: float, expected: int):
    rng = np.random.default_rng(21)
    found = [audits_until_alarm(rng, ratio * PROMISED, 6000) for _ in range(60)]
    assert None not in found
    assert 0.6 * expected < np.mean([each or 0 for each in found]) < 1.7 * expected


def test_harm_that_begins_late_is_found_too():
    rng = np.random.default_rng(22)
    found = [audits_until_alarm(rng, 5 * PROMISED, 2000, quiet=1500) for _ in range(20)]
    assert None not in found
    assert 0 < np.median([each or 0 for each in found]) < 600


def test_a_tenth_of_the_promise_or_none_at_all_stays_quiet():
    state = risk_start()
    for _ in range(5000):
        state = risk_next(state, False, rate_max=PROMISED)
    assert e_value(state) < 1
    assert stage(e_value(state), 1.0, 4) == "quiet"
    assert (state.n, state.misses) == (5000, 0)


@pytest.mark.parametrize("rate_max", [0.001, 0.1, 0.5])
def test_a_fair_audit_leaves_the_expected_wealth_as_it_was(rate_max: float):
    state = risk_next(risk_start(), True, rate_max=rate_max)
    before = e_value(state)
    missed, found = (e_value(risk_next(state, answer, rate_max=rate_max)) for answer in (True, False))
    assert rate_max * missed + (1 - rate_max) * found == pytest.approx(before)
    assert missed > before > found


def films_until_alarm(
    rng: np.random.Generator, shift: float, *, count: int = 512, films: int = 2000, slack: bool = True
) -> int | None:
    reference = sorted(rng.standard_normal(count).tolist())
    state, given = drift_start(), drift_slack(count) if slack else 0.0
    for number in range(films):
        p = conformal_p(reference, float(rng.standard_normal() + shift), float(rng.random()))
        state = drift_next(state, p, slack=given)
        if drift_value(state) >= DRIFT_REVOKE_AT:
            return number + 1
    return None


def test_drift_is_not_seen_where_there_is_none():
    rng = np.random.default_rng(23)
    assert [films_until_alarm(rng, 0.0) for _ in range(100)] == [None] * 100


def test_a_small_fixed_reference_needs_its_slack():
    rng = np.random.default_rng(24)
    with_slack = [films_until_alarm(rng, 0.0, count=60, films=3000) for _ in range(40)]
    without = [films_until_alarm(rng, 0.0, count=60, films=3000, slack=False) for _ in range(40)]
    assert with_slack == [None] * 40
    assert sum(each is not None for each in without) > 4


@pytest.mark.parametrize(("shift", "expected"), [(0.5, 86), (1.0, 38), (2.0, 23), (-1.0, 38)])
def test_drift_is_found(shift: float, expected: int):
    """Shifts in standard deviations of the measure, either way, against 512 calibration values."""
    rng = np.random.default_rng(25)
    found = [films_until_alarm(rng, shift) for _ in range(40)]
    assert None not in found
    assert 0.6 * expected < np.mean([each or 0 for each in found]) < 1.7 * expected


def test_p_values_lie_where_the_film_lies():
    reference = [1.0, 2.0, 2.0, 3.0]
    assert conformal_p(reference, 0.0, 0.5) == pytest.approx(0.1)
    assert conformal_p(reference, 2.0, 0.0) == pytest.approx(0.2)
    assert conformal_p(reference, 9.0, 0.5) == pytest.approx(0.9)
    assert conformal_p([], 5.0, 0.25) == 0.25
    assert conformal_p(reference, math.nan, 0.5) == 0.0
    assert conformal_p(reference, math.inf, 0.5) == pytest.approx(0.9)


def test_p_values_of_the_same_draw_are_uniform():
    rng = np.random.default_rng(26)
    values = rng.standard_normal(600).round(1)  # with ties
    p = [conformal_p(sorted(np.delete(values, i).tolist()), float(values[i]), float(rng.random())) for i in range(600)]
    assert abs(np.mean(p) - 0.5) < 0.05
    assert np.abs(np.sort(p) - np.linspace(0, 1, 600)).max() < 0.07


@pytest.mark.parametrize(
    ("e", "drift", "measures", "expected"),
    [
        (1.0, 1.0, 3, "quiet"),
        (10.0, 30.0, 3, "quiet"),
        (10.1, 1.0, 3, "warn"),
        (1.0, 30.1, 3, "warn"),
        (100.0, 1.0, 3, "revoke"),
        (99.9, 2999.0, 3, "warn"),
        (1.0, 3000.0, 3, "revoke"),
        (math.nan, 1.0, 3, "revoke"),
        (1.0, math.nan, 3, "revoke"),
        (math.inf, 1.0, 3, "revoke"),
        (1.0, 1000.0, 0, "revoke"),
    ],
)
def test_the_ladder(e: float, drift: float, measures: int, expected: str):
    assert stage(e, drift, measures) == expected


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1, math.inf])
def test_a_p_value_that_is_none_revokes(p: float):
    assert stage(1.0, drift_value(drift_next(drift_start(), p)), 5) == "revoke"
    assert stage(1.0, drift_value(drift_next(drift_next(drift_start(), p), 0.5)), 5) == "revoke"


def test_a_damaged_state_revokes():
    damaged = RiskState((math.nan,) * 4, 3, 0)
    assert stage(e_value(risk_next(damaged, False, rate_max=0.01)), 1.0, 1) == "revoke"


def test_states_survive_json():
    risk, drift = risk_start(), drift_start()
    for number in range(50):
        risk, drift = risk_next(risk, number % 9 == 0, rate_max=0.1), drift_next(drift, number / 50)
    told = json.loads(json.dumps([asdict(risk), asdict(drift)]))
    assert RiskState(tuple(told[0]["log_wealth"]), told[0]["n"], told[0]["misses"]) == risk
    assert DriftState(tuple(told[1]["capital"]), told[1]["n"]) == drift


def test_no_bet_ever_overflows():
    risk, drift = risk_start(), drift_start()
    for _ in range(4000):
        risk, drift = risk_next(risk, True, rate_max=0.01), drift_next(drift, 1.0)
    assert math.isfinite(e_value(risk))
    assert math.isfinite(drift_value(drift))
    assert stage(e_value(risk), drift_value(drift), 10) == "revoke"


def test_the_arithmetic_of_audits():
    """5 % of 20 cleared a day takes years to find a doubled miss rate: why the first 300 are all audited."""
    five_per_cent = next(row for row in audit_table(PROMISED, cleared_a_day=20) if row.share == 0.05)
    assert 1300 < five_per_cent.audits < 1500
    assert 3.5 < five_per_cent.years < 4.5
    assert audits_to_detect(PROMISED, 5) < AUDIT_FIRST < audits_to_detect(PROMISED, 2)
    assert audit_rate(PROMISED, cleared_a_day=20, days=90) == pytest.approx(0.78, abs=0.05)
    assert audit_rate(PROMISED, cleared_a_day=2, days=90) == 1.0
