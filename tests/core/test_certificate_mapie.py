"""MAPIE as an independent word on the lanes: other people's code, the same films, the same promise."""

import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController, negative_predictive_value, precision
from scipy.stats import binom

from appliance.core.learn_then_test import films_needed, open_lane

RATE, DELTA = 0.05, 0.02
# MAPIE warns of every fixed sequence whose observed risk is not monotone, and of a lane that stays closed: both happen.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Fixed sequence testing requires a monotonic risk"),
    pytest.mark.filterwarnings("ignore:No predict parameters were found"),
]


def by_mapie(scores: np.ndarray, finding: np.ndarray, *, flagged: bool) -> int:
    """Films in the lane by MAPIE: one fixed sequence over the ranks, from the first one that no error can pass."""
    shares = 1 / (1 + np.exp(-scores))
    ranked = np.sort(shares)[:: -1 if flagged else 1]
    first = films_needed(0, RATE, DELTA)
    controller = BinaryClassificationController(
        predict_function=lambda x: np.column_stack([1 - x[:, 0], x[:, 0]]),
        risk=precision if flagged else negative_predictive_value,
        target_level=1 - RATE,
        confidence_level=1 - DELTA,
        list_predict_params=(ranked[first - 1 : -1] + ranked[first:]) / 2,
        fwer_method="fixed_sequence",
        best_predict_param_choice="predicted_positive_fraction",
    )
    controller.calibrate(shares[:, None], finding.astype(int))
    valid = np.array(controller.valid_predict_params)
    if not len(valid):
        return 0
    return int((shares > valid.min()).sum() if flagged else (shares < valid.max()).sum())


@pytest.mark.parametrize("flagged", [False, True], ids=["cleared", "flagged"])
def test_mapie_opens_the_same_lane(flagged: bool):
    """Equal, but where MAPIE rounds a whole number of errors up to the next one and so stops earlier."""
    rng = np.random.default_rng(50 + flagged)
    same, opened = 0, 0
    for _ in range(40):
        finding = rng.random(600) < (0.5 if flagged else 0.1)
        scores = rng.standard_normal(600) + 2.5 * finding
        safety, wrong = (-scores, ~finding) if flagged else (scores, finding)
        mine = open_lane(safety, wrong, rate_max=RATE, miss_max=None, starts=(0,), delta=DELTA, short_of=np.inf)
        films, theirs = (0 if mine is None else mine.films), by_mapie(scores, finding, flagged=flagged)
        assert theirs <= films
        same += theirs == films
        opened += films > 0
        if theirs < films:
            errors = int(np.cumsum(wrong[np.argsort(safety)])[theirs])
            assert binom.cdf(errors, theirs + 1, RATE) <= DELTA < binom.cdf(errors + 1, theirs + 1, RATE)
    assert opened >= 20
    assert same >= 10


def test_mapie_breaks_the_promise_as_rarely():
    """Both at a delta of 2 % on scores of known truth; the plug-in rule beside them."""
    rng = np.random.default_rng(52)
    truth = rng.random(200_000) < 0.1
    population = rng.standard_normal(200_000) + 2.5 * truth
    order = np.argsort(population)
    rate_upto = np.cumsum(truth[order]) / np.arange(1, 200_001)
    draws = 60
    broken = {"ours": 0, "mapie": 0, "plug-in": 0}
    for _ in range(draws):
        chosen = rng.integers(0, 200_000, 600)
        scores, finding = population[chosen] + rng.normal(0, 1e-9, 600), truth[chosen]
        ranked = np.sort(scores)
        mine = open_lane(scores, finding, rate_max=RATE, miss_max=None, starts=(0,), delta=DELTA, short_of=np.inf)
        observed = np.cumsum(finding[np.argsort(scores)]) / np.arange(1, 601)
        films = {
            "ours": 0 if mine is None else mine.films,
            "mapie": by_mapie(scores, finding, flagged=False),
            "plug-in": int(np.flatnonzero(observed <= RATE)[-1]) + 1,
        }
        for name, count in films.items():
            if count:
                rank = int(np.searchsorted(population[order], ranked[count - 1], "right"))
                broken[name] += rate_upto[rank - 1] > RATE
    assert broken["ours"] <= binom.ppf(0.999, draws, DELTA)
    assert broken["mapie"] <= binom.ppf(0.999, draws, DELTA)
    assert broken["plug-in"] > 0.2 * draws
