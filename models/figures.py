"""Figures of the evaluation, from scores alone: nothing here opens an image. numpy only, every draw seeded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from films import auroc
from numpy.typing import NDArray

from appliance.core.risk_coverage import proportion

BOOTSTRAPS = 2000
ROC_POINTS_MAX = 200
BINS = 10
CALIBRATION_FOLDS = 5
NEWTON_STEPS = 50
SENSITIVITIES = (0.90, 0.95, 0.99)
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auroc_with_interval(scores: Floats, positive: Bools, patients: Sequence[str], seed: int = 1) -> dict[str, Any]:
    """AUROC of films with a 95 % interval: bootstrap of patients, not of films, percentiles of 2000 draws."""
    names, owner = np.unique(np.array(patients), return_inverse=True)
    films_of = [np.flatnonzero(owner == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = []
    while len(drawn) < BOOTSTRAPS:
        films = np.concatenate([films_of[i] for i in rng.integers(0, len(names), len(names))])
        if 0 < positive[films].sum() < len(films):
            drawn.append(auroc(scores[films], positive[films]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "auroc": round(auroc(scores, positive), 4),
        "ci95": [round(float(low), 4), round(float(high), 4)],
        "films": len(scores),
        "positive": int(positive.sum()),
        "patients": len(names),
    }


def roc(scores: Floats, positive: Bools) -> list[tuple[float, float]]:
    """(false positive rate, sensitivity) from (0, 0) to (1, 1), at most 200 points."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.diff(scores[order]) != 0, True)
    hit = np.cumsum(positive[order])[ends] / positive.sum()
    false = np.cumsum(~positive[order])[ends] / (~positive).sum()
    points = [(0.0, 0.0), *zip(false.tolist(), hit.tolist(), strict=True)]
    step = max(1, len(points) // ROC_POINTS_MAX)
    return [*points[::step], (1.0, 1.0)]


def specificity_at(scores: Floats, positive: Bools) -> list[dict[str, Any]]:
    """Specificity where so many of the positive films score higher: optimistic, as the films set the threshold."""
    told = []
    for wanted in SENSITIVITIES:
        end = np.quantile(scores[positive], 1 - wanted, method="lower")
        below = int((scores[~positive] < end).sum())
        told.append({"sensitivity": wanted, "specificity": proportion(below, int((~positive).sum()))})
    return told


def platt(logits: Floats, positive: Bools) -> tuple[float, float]:
    """(slope, offset) of the sigmoid that fits best (Platt 1999), by Newton steps with a little ridge."""
    x = np.stack([logits, np.ones_like(logits)], 1)
    weights = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (p - positive) + 1e-3 * weights
        curve = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(2)
        weights = weights - np.linalg.solve(curve, slope)
    return float(weights[0]), float(weights[1])


def calibration(logits: Floats, positive: Bools, patients: Sequence[str], seed: int = 3) -> dict[str, Any]:
    """How far probabilities could be believed: Platt's sigmoid fitted on four fifths of the patients, read on the rest.

    returns  ece: expected calibration error over ten bins of equal width; brier; and the bins
    """
    names = np.unique(np.array(patients))
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % CALIBRATION_FOLDS, strict=True))
    fold = np.array([fold_of[name] for name in patients])
    told = np.empty_like(logits)
    for k in range(CALIBRATION_FOLDS):
        slope, offset = platt(logits[fold != k], positive[fold != k])
        told[fold == k] = 1 / (1 + np.exp(-(slope * logits[fold == k] + offset)))
    bins, error = [], 0.0
    place = np.minimum((told * BINS).astype(int), BINS - 1)
    for k in range(BINS):
        own = place == k
        if own.any():
            said, true = float(told[own].mean()), int(positive[own].sum())
            error += own.mean() * abs(said - true / own.sum())
            bins.append({"said": round(said, 4), "found": proportion(true, int(own.sum()))})
    brier = float(((told - positive) ** 2).mean())
    return {"ece": round(float(error), 4), "brier": round(brier, 4), "films": len(logits), "bins": bins}
