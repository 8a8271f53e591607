"""Figures of a measurement with their uncertainty: quantiles by order statistics, a mean by Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from appliance.core.learn_then_test import binomial_tail

ERROR = 0.05
# Student's t, two-sided 95 %, by degrees of freedom 1 to 30 (a table, because the standard library has no inverse)
T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A value of n measurements. low, high: ends of its 95 % interval; None where n is too small to say."""

    value: float
    low: float | None
    high: float | None
    n: int


def quantile(values: Sequence[float], share: float) -> Figure:
    """The share-quantile (nearest rank) with a distribution-free interval.

    values  one or more
    share   0 < share < 1
    source  order statistics: x[l] <= q <= x[u] holds with P(l <= Bin(n, share) < u), Conover, Practical Nonparametric
            Statistics, 3.2
    """
    ordered, n = sorted(values), len(values)
    value = ordered[max(0, math.ceil(share * n) - 1)]
    under = [rank for rank in range(1, n + 1) if binomial_tail(rank - 1, n, share) <= ERROR / 2]
    over = [rank for rank in range(1, n + 1) if binomial_tail(rank - 1, n, share) >= 1 - ERROR / 2]
    return Figure(value, ordered[under[-1] - 1] if under else None, ordered[over[0] - 1] if over else None, n)


def mean(values: Sequence[float]) -> Figure:
    """The mean of independent blocks, with Student's interval; one or more."""
    n, value = len(values), fmean(values)
    if n < 2:
        return Figure(value, None, None, n)
    half = T95[min(n - 1, len(T95)) - 1] * stdev(values) / math.sqrt(n)
    return Figure(value, value - half, value + half, n)
