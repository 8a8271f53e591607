"""Readable gauges of drift: how far a window of recent studies has moved from the films a certificate was made with.

A gauge is for eyes and takes no certificate away; the martingales do that, because nobody can say how often a PSI
raises a false alarm. It knows no model and no label.

source: population stability index, sum over bins of (p - q) ln(p / q), by deciles of the reference.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

WINDOW = 500
BINS = 10
STABLE_BELOW, SHIFTED_ABOVE = 0.1, 0.25
WINDOW_MIN = 100  # with fewer studies, or fewer films to compare with, chance alone looks like a shift

Gauge = Literal["too few", "stable", "look", "shifted"]
GAUGE_WORDS: dict[Gauge, str] = {
    "too few": "too few to say",
    "stable": "stable",
    "look": "somewhat moved",
    "shifted": "moved",
}


def psi(reference: Sequence[float], window: Sequence[float]) -> float | None:
    """Population stability index of a window against the sorted reference; None where there is too little of either.

    Bins end at the deciles of the reference; equal deciles are one bin. Half a study is added to every bin, so that
    an empty one is no infinity.
    """
    if len(reference) < BINS or not window:
        return None
    edges = sorted({reference[len(reference) * at // BINS] for at in range(1, BINS)})
    was, now = _shares(reference, edges), _shares(window, edges)
    return math.fsum((p - q) * math.log(p / q) for p, q in zip(now, was, strict=True))


def _shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0.5] * (len(edges) + 1)
    for value in values:
        counts[bisect_right(edges, value)] += 1
    total = len(values) + len(counts) / 2
    return [count / total for count in counts]


def noise(reference_count: int, window_count: int) -> float:
    """The PSI that chance alone gives on average: (bins - 1) (1 / reference + 1 / window)."""
    return (BINS - 1) * (1 / max(1, reference_count) + 1 / max(1, window_count))


def gauge(index: float | None, reference_count: int, window_count: int) -> Gauge:
    """What a PSI says in a word; chance's own share is taken off before it is held against the customary 0.1, 0.25."""
    if index is None or min(reference_count, window_count) < WINDOW_MIN:
        return "too few"
    above = index - noise(reference_count, window_count)
    return "stable" if above < STABLE_BELOW else "look" if above < SHIFTED_ABOVE else "shifted"
