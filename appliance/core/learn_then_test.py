"""Learn then Test: which of many rules may be trusted, by exact binomial p-values and fixed sequences.

Angelopoulos, Bates, Candes, Jordan, Lei: arXiv:2110.01052. The sequence here is one of ranks, not of scores: decide
the n safest films, then n + 1, and so on. Ranks are known before any film is scored, so neither scores nor labels can
bend the order. Given the (n + 1)th score the n films before it are independent draws from all films that are safer, so
their errors are binomial; if a worse score never means fewer errors, the first rank at which the promise would be
broken is rejected with probability at most the delta it is given. A sequence stops at its first failure. Several
sequences, started where 0, 1 and 2 errors still pass, share delta, so that one mislabelled film cannot close a lane.

It knows nothing of sites, models or dates, and it certifies nothing from too few patients.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FILMS_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Lane:
    """The outcome of one lane's test: how far the sequences went. threshold is in the scale of `safety`."""

    threshold: float
    films: int
    errors: int
    start: int


def chosen_films(patients: Sequence[str], films: Sequence[str]) -> list[int]:
    """One film a patient, by the lowest hash of its id: indexes in ascending order. Labels and scores play no part."""
    best: dict[str, tuple[str, int]] = {}
    for index, (patient, film) in enumerate(zip(patients, films, strict=True)):
        key = (hashlib.sha256(film.encode()).hexdigest(), index)
        best[patient] = min(best.get(patient, key), key)
    return sorted(index for _, index in best.values())


def binomial_tail(errors: int, films: int, rate: float) -> float:
    """P(Bin(films, rate) <= errors), exact up to rounding; 1 where nothing was drawn."""
    assert 0 < rate < 1
    assert 0 <= films <= FILMS_MAX
    if errors >= films:
        return 1.0
    k = np.arange(1, errors + 1)
    steps = np.log((films - k + 1) / k) + (math.log(rate) - math.log1p(-rate))
    logs = films * math.log1p(-rate) + np.concatenate([[0.0], np.cumsum(steps)])  # of P(Bin = 0), P(Bin = 1), ...
    highest = float(logs.max())
    return min(1.0, math.exp(highest + math.log(float(np.exp(logs - highest).sum()))))


def upper_bound(errors: int, films: int, delta: float) -> float:
    """Exact one-sided upper confidence bound of a proportion (Clopper-Pearson), by 60 bisections."""
    if errors >= films:
        return 1.0
    low, high = errors / films, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if middle < 1.0 and binomial_tail(errors, films, middle) > delta:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=65_536)
def films_needed(errors: int, rate_max: float, delta: float) -> int:
    """The smallest number of films of which `errors` may be wrong and the test still passes; FILMS_MAX + 1: none."""
    low, high = errors, FILMS_MAX + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if binomial_tail(errors, middle, rate_max) <= delta else (middle, high)
    return high


def errors_allowed(films: int, rate_max: float, delta: float) -> int:
    """The most errors among `films` with which the test still passes; -1: not even none."""
    low, high = -1, min(films, math.ceil(films * rate_max) + 1)  # at the mean the tail is no small number
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if binomial_tail(middle, films, rate_max) <= delta else (low, middle)
    return low


def open_lane(
    safety: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    *,
    rate_max: float,
    miss_max: float | None,
    starts: Sequence[int],
    delta: float,
    short_of: float,
) -> Lane | None:
    """How many films one lane may decide; None: the lane stays closed.

    safety    float [patient]: the lower, the safer to decide; infinite where a gate refused the film
    wrong     bool [patient]: deciding the film in this lane would be an error
    rate_max  most errors allowed among decided films
    miss_max  most errors allowed among all films that are `wrong`; None where the contract has no such bound
    delta     what each sequence may spend; the lane spends delta times the number of starts
    short_of  the lane ends before this safety, however far the test goes: every rank that was passed on the way is
              certified together with the last one, so a shorter lane may be chosen afterwards
    """
    assert not np.isnan(safety).any()
    order = np.argsort(safety, kind="stable")
    sorted_safety, errors_upto = safety[order], np.cumsum(wrong[order])
    decidable, all_wrong = int(np.isfinite(safety).sum()), int(wrong.sum())
    misses_allowed = all_wrong if miss_max is None else errors_allowed(all_wrong, miss_max, delta)
    best: Lane | None = None
    for start in starts:
        for films in range(films_needed(start, rate_max, delta), decidable + 1):
            if films < decidable and sorted_safety[films - 1] == sorted_safety[films]:
                continue  # equal scores are decided alike
            errors = int(errors_upto[films - 1])
            if errors > misses_allowed or films < films_needed(errors, rate_max, delta):
                break
            if sorted_safety[films - 1] < short_of and (best is None or films > best.films):
                best = Lane(float(sorted_safety[films - 1]), films, errors, start)
    return best
