"""Figures of the evaluation, from scores alone: nothing here opens an image. numpy only, every draw seeded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from films import auroc
from numpy.typing import NDArray

from appliance.core.certificate import Certificate, Plan
from appliance.core.certify import open_lanes
from appliance.core.learn_then_test import upper_bound

PREVALENCES = (0.02, 0.05, 0.10, 0.20, 0.30, 0.45, 0.60)
BOOTSTRAPS = 2000
REPEATS = 20


def proportion(count: int, total: int) -> dict[str, Any]:
    """count / total with its exact two-sided 95 % interval (Clopper-Pearson)."""
    if total == 0:
        return {"count": 0, "n": 0, "rate": None, "ci95": None}
    low = 1.0 - upper_bound(total - count, total, 0.025)
    return {
        "count": count,
        "n": total,
        "rate": round(count / total, 4),
        "ci95": [round(low, 4), round(upper_bound(count, total, 0.025), 4)],
    }


def auroc_with_interval(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], patients: Sequence[str], seed: int = 1
) -> dict[str, Any]:
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


def lanes(logits: NDArray[np.float64], passed: NDArray[np.bool_], certificate: Certificate) -> NDArray[np.str_]:
    """The lane of every film if the header were in order, by the certificate's thresholds."""
    clear = -np.inf if certificate.clear_at_or_below is None else certificate.clear_at_or_below
    flag = np.inf if certificate.flag_at_or_above is None else certificate.flag_at_or_above
    said = np.where(logits <= clear, "cleared", np.where(logits >= flag, "flagged", "escalated"))
    return np.where(passed, said, "escalated")


def lane_counts(said: NDArray[np.str_]) -> dict[str, int]:
    return {lane: int((said == lane).sum()) for lane in ("cleared", "flagged", "escalated")}


def by_prevalence(said: NDArray[np.str_], finding: NDArray[np.bool_]) -> list[dict[str, float]]:
    """FOR and FDR at other prevalences, if only the prevalence changed and films of each class stayed as they are."""
    cleared_sick, cleared_well = (said[finding] == "cleared").mean(), (said[~finding] == "cleared").mean()
    flagged_sick, flagged_well = (said[finding] == "flagged").mean(), (said[~finding] == "flagged").mean()
    table = []
    for p in PREVALENCES:
        cleared = p * cleared_sick + (1 - p) * cleared_well
        flagged = p * flagged_sick + (1 - p) * flagged_well
        table.append(
            {
                "prevalence": p,
                "false_omission": round(float(p * cleared_sick / cleared), 4),
                "false_discovery": round(float((1 - p) * flagged_well / flagged), 4),
                "decided": round(float(cleared + flagged), 4),
            }
        )
    return table


def cross_fitted(
    logits: NDArray[np.float64], finding: NDArray[np.bool_], passed: NDArray[np.bool_], plan: Plan, folds: int
) -> dict[str, Any]:
    """What the procedure does on patients its thresholds never saw: folds of patients, 20 times over.

    Each fold is decided by thresholds tested on the others; so it judges the procedure with fewer patients than the
    certificate had, and with fewer patients a lane opens later or not at all.
    """
    rng = np.random.default_rng(2)
    rounds = []
    for _ in range(REPEATS):
        fold = rng.permutation(np.arange(len(logits)) % folds)
        said = np.full(len(logits), "escalated")
        for k in range(folds):
            fit, out = fold != k, fold == k
            [(clear, flag)] = open_lanes(logits[fit], finding[fit], passed[fit], plan)
            if clear is not None:
                said[out & passed & (logits <= clear.threshold)] = "cleared"
            if flag is not None:
                said[out & passed & (logits >= flag.threshold)] = "flagged"
        rounds.append(contract_figures(said, finding))
    rates = {key: [r[key]["rate"] or 0.0 for r in rounds] for key in rounds[0]}
    return {
        "patients": len(logits),
        "folds": folds,
        "repeats": REPEATS,
        "mean": {key: round(float(np.mean(values)), 4) for key, values in rates.items()},
        "range": {key: [round(min(values), 4), round(max(values), 4)] for key, values in rates.items()},
        "first_repeat": rounds[0],
    }


def contract_figures(said: NDArray[np.str_], finding: NDArray[np.bool_]) -> dict[str, Any]:
    """Share decided and the three rates of the contract, each with n and its exact interval."""
    cleared, flagged = said == "cleared", said == "flagged"
    return {
        "decided": proportion(int((cleared | flagged).sum()), len(said)),
        "false_omission": proportion(int((cleared & finding).sum()), int(cleared.sum())),
        "miss": proportion(int((cleared & finding).sum()), int(finding.sum())),
        "false_discovery": proportion(int((flagged & ~finding).sum()), int(flagged.sum())),
    }
