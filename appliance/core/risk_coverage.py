"""What a certificate is worth, in figures: the risk-coverage curve, other prevalences, cases still missing, cross-fits.

All of it describes; none of it certifies. Rates come with exact intervals (Clopper-Pearson), and each function says
what it assumes. It draws nothing and reads nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from appliance.core.certificate import Ends, Plan
from appliance.core.certify import Bools, ExitLanes, Floats, LanePath, open_lanes, paths
from appliance.core.learn_then_test import FILMS_MAX, errors_allowed, films_needed, upper_bound

PREVALENCES = (0.02, 0.05, 0.10, 0.20, 0.30, 0.45, 0.60)
POINTS_MAX = 200
REPEATS = 20
GROWTH_STEP = 1.02  # of the number of patients, in search of one that would do
LaneName = Literal["cleared", "flagged"]


@dataclass(frozen=True, slots=True)
class Point:
    """One end that a lane might have. films decided, of which `errors` wrong; miss: errors among all films so wrong.

    *_upper  exact one-sided bound at the delta of one sequence, for this point alone
    """

    coverage: float
    films: int
    errors: int
    error: float
    error_upper: float
    miss: float
    miss_upper: float


@dataclass(frozen=True, slots=True)
class Need:
    """What a closed lane lacks.

    films_least     films in the lane, all of them right, below which no scores can open it
    findings_least  films with the finding below which no miss rate can be shown; None for the flagged lane
    findings_more, others_more  further patients with and without the finding, if they score as these did; None where
                    no number of such patients would do: the safest films are already too often wrong
    """

    lane: LaneName
    films_least: int
    findings_least: int | None
    findings_more: int | None
    others_more: int | None


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


def curve(scores: Floats, finding: Bools, passed: Bools, plan: Plan, lane: LaneName) -> list[Point]:
    """The risk-coverage curve of one lane along its path, through all exits, at most 200 points."""
    way, wrong = _way(scores, finding, passed, plan, lane)
    order = np.argsort(way.place, kind="stable")
    order = order[np.isfinite(way.place[order])]
    errors_upto, place = np.cumsum(wrong[order]), way.place[order]
    ends = np.flatnonzero(np.append(place[1:] != place[:-1], True)) if len(order) else np.array([], int)
    if len(ends) > POINTS_MAX:
        ends = ends[np.linspace(0, len(ends) - 1, POINTS_MAX).round().astype(int)]
    points, all_wrong = [], int(wrong.sum())
    for end in ends:
        films, errors = int(end) + 1, int(errors_upto[end])
        points.append(
            Point(
                coverage=films / len(finding),
                films=films,
                errors=errors,
                error=errors / films,
                error_upper=upper_bound(errors, films, plan.delta_sequence),
                miss=errors / all_wrong if all_wrong else 0.0,
                miss_upper=upper_bound(errors, all_wrong, plan.delta_sequence),
            )
        )
    return points


def _way(scores: Floats, finding: Bools, passed: Bools, plan: Plan, lane: LaneName) -> tuple[LanePath, Bools]:
    clears, flags = paths(np.atleast_2d(scores), np.atleast_2d(passed), plan)
    return (clears, finding) if lane == "cleared" else (flags, ~finding)


def need(scores: Floats, finding: Bools, passed: Bools, plan: Plan, lane: LaneName) -> Need:
    """How many more cases would open a lane that stayed closed, if all things stay in proportion."""
    delta, contract = plan.delta_sequence, plan.contract
    rate = contract.false_omission_max if lane == "cleared" else contract.false_discovery_max
    miss = contract.miss_max if lane == "cleared" else None
    way, wrong = _way(scores, finding, passed, plan, lane)
    # Where a first exit has an end of its own here, its part of the path must open before anything behind it.
    place = way.place if way.end is None else np.where(way.block == 0, way.place, np.inf)
    errors_upto = np.concatenate([[0], np.cumsum(wrong[np.argsort(place, kind="stable")])])
    decidable, findings = int(np.isfinite(place).sum()), int(finding.sum())
    growth, found = 1.0, None
    while growth * len(finding) <= FILMS_MAX and found is None and decidable:
        for start in plan.starts:
            here = films_needed(start, rate, delta) / growth
            errors = math.inf if here > decidable else round(growth * float(errors_upto[math.ceil(here)]))
            if errors <= start and (miss is None or errors <= errors_allowed(round(growth * findings), miss, delta)):
                found = growth
        growth *= GROWTH_STEP
    others = len(finding) - findings
    return Need(
        lane=lane,
        films_least=films_needed(0, rate, delta),
        findings_least=None if miss is None else films_needed(0, miss, delta),
        findings_more=None if found is None else math.ceil(found * findings) - findings,
        others_more=None if found is None else math.ceil(found * others) - others,
    )


def ends_of(lanes: ExitLanes) -> Ends:
    """The thresholds of an exit's lanes."""
    clear, flag = (None if lane is None else lane.threshold for lane in lanes)
    return Ends(clear_at_or_below=clear, flag_at_or_above=flag)


def said(scores: Floats, passed: Bools, ends: Sequence[Ends]) -> NDArray[np.str_]:
    """The lane of every film if its header were in order: each exit decides what the one before it left over.

    scores, passed  [exit, film], or [film] of one exit
    """
    scores, passed = np.atleast_2d(scores), np.atleast_2d(passed)
    found, numbers = np.full(scores.shape[1], "escalated"), np.ones(scores.shape[1], bool)
    for logits, usable, end in zip(scores, passed, ends, strict=True):
        clear = -np.inf if end.clear_at_or_below is None else end.clear_at_or_below
        flag = np.inf if end.flag_at_or_above is None else end.flag_at_or_above
        numbers &= np.isfinite(logits)  # a first exit that gave no number ends the matter
        usable = usable & numbers & (found == "escalated")
        found[usable & (logits <= clear)] = "cleared"
        found[usable & (logits >= flag)] = "flagged"
    return found


def lane_counts(lanes: NDArray[np.str_]) -> dict[str, int]:
    return {lane: int((lanes == lane).sum()) for lane in ("cleared", "flagged", "escalated")}


def contract_figures(lanes: NDArray[np.str_], finding: Bools) -> dict[str, Any]:
    """Share decided and the three rates of the contract, each with n and its exact interval."""
    cleared, flagged = lanes == "cleared", lanes == "flagged"
    return {
        "decided": proportion(int((cleared | flagged).sum()), len(lanes)),
        "false_omission": proportion(int((cleared & finding).sum()), int(cleared.sum())),
        "miss": proportion(int((cleared & finding).sum()), int(finding.sum())),
        "false_discovery": proportion(int((flagged & ~finding).sum()), int(flagged.sum())),
    }


def by_prevalence(lanes: NDArray[np.str_], finding: Bools) -> list[dict[str, float | None]]:
    """FOR and FDR at other prevalences, if only the prevalence changed (label shift): films of each class stay alike.

    Point estimates that no certificate covers; null where a lane is empty or one class was never seen.
    """
    if finding.all() or not finding.any():
        return []
    cleared_sick, cleared_well = (lanes[finding] == "cleared").mean(), (lanes[~finding] == "cleared").mean()
    flagged_sick, flagged_well = (lanes[finding] == "flagged").mean(), (lanes[~finding] == "flagged").mean()
    table: list[dict[str, float | None]] = []
    for p in PREVALENCES:
        cleared = p * cleared_sick + (1 - p) * cleared_well
        flagged = p * flagged_sick + (1 - p) * flagged_well
        table.append(
            {
                "prevalence": p,
                "false_omission": round(float(p * cleared_sick / cleared), 4) if cleared else None,
                "false_discovery": round(float((1 - p) * flagged_well / flagged), 4) if flagged else None,
                "decided": round(float(cleared + flagged), 4),
            }
        )
    return table


def cross_fitted(
    scores: Floats, finding: Bools, passed: Bools, plan: Plan, folds: int, *, seed: int = 2, repeats: int = REPEATS
) -> dict[str, Any]:
    """What the procedure does on patients its thresholds never saw: folds of patients, many times over.

    Each fold is decided by thresholds tested on the others; so it judges the procedure with fewer patients than the
    certificate had, and with fewer patients a lane opens later or not at all. It never judges the certificate.
    """
    scores, passed = np.atleast_2d(scores), np.atleast_2d(passed)
    rng = np.random.default_rng(seed)
    rounds = []
    for _ in range(repeats):
        fold = rng.permutation(np.arange(len(finding)) % folds)
        lanes = np.full(len(finding), "escalated")
        for k in range(folds):
            fit, out = fold != k, fold == k
            opened = open_lanes(scores[:, fit], finding[fit], passed[:, fit], plan)
            lanes[out] = said(scores[:, out], passed[:, out], [ends_of(each) for each in opened])
        rounds.append(contract_figures(lanes, finding))
    rates = {key: [r[key]["rate"] or 0.0 for r in rounds] for key in rounds[0]}
    return {
        "patients": len(finding),
        "folds": folds,
        "repeats": repeats,
        "mean": {key: round(float(np.mean(values)), 4) for key, values in rates.items()},
        "range": {key: [round(min(values), 4), round(max(values), 4)] for key, values in rates.items()},
        "first_repeat": rounds[0],
    }
