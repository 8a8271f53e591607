"""Shares with their intervals: Wilson's, held against its own equation and against published values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.agreement import agreements, wilson

COUNTS = st.integers(1, 5000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_published_intervals(count: int, of: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    assert wilson(count, of) == pytest.approx((low, high), abs=5e-5)


@given(COUNTS)
def test_the_ends_solve_the_equation_they_come_from(counts: tuple[int, int]) -> None:
    count, of = counts
    found = wilson(count, of)
    assert found is not None
    low, high = found
    assert 0 <= low <= count / of <= high <= 1
    for end in found:
        if 0 < end < 1:
            z = abs(count / of - end) / math.sqrt(end * (1 - end) / of)
            assert z == pytest.approx(1.959964, abs=1e-4)


@given(COUNTS)
def test_both_sides_mirror_each_other(counts: tuple[int, int]) -> None:
    count, of = counts
    low, high = wilson(count, of) or (0, 0)
    assert wilson(of - count, of) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_what_cannot_be_told_counts_for_neither() -> None:
    told = [("m/1", "cleared", "agree", 8), ("m/1", "cleared", "correct", 2), ("m/1", "cleared", "cannot_tell", 5)]
    first, second = agreements([*told, ("m/1", "escalated", "cannot_tell", 3)])
    assert (first.agreed, first.disagreed, first.cannot_tell, first.share) == (8, 2, 5, 0.8)
    assert (first.low, first.high) == wilson(8, 10)
    assert (second.share, second.low, second.high) == (None, None, None)
