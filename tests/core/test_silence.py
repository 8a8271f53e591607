"""A scanner that has gone silent is noticed within about an hour; nights, weekends and young boxes raise nothing.

`python -m tests.core.test_silence` prints the figures of docs/operating.md.
"""

import random

import pytest

from appliance.core.volume import ARRIVALS_MIN, HOUR_S, WEEK_S, silence

MONDAY = 1_700_438_400.0  # 2023-11-20, 00:00 UTC


def arrivals(seed: int, per_hour: float, weeks: int = 4, *, bursts: bool = True) -> list[float]:
    """A scanner that works from 7 to 19 o'clock on workdays, its rate another each day, patients in little crowds."""
    dice, found = random.Random(seed), []
    for day in range(7 * weeks):
        if day % 7 >= 5:
            continue
        today = per_hour * (dice.gammavariate(8, 1 / 8) if bursts else 1.0)
        at = MONDAY + day * 86_400 + 7 * HOUR_S
        end = MONDAY + day * 86_400 + 19 * HOUR_S
        while (at := at + dice.expovariate(today / HOUR_S)) < end:
            found.append(at)
    return found


def test_twelve_an_hour_and_then_none_is_noticed_within_about_an_hour() -> None:
    waited = []
    for seed in range(20):
        known = arrivals(seed, 12.0)
        now = MONDAY + 28 * 86_400 + 10 * HOUR_S  # the fifth Monday, ten o'clock
        known += [now - 1.0]
        waited.append(next(minutes for minutes in range(0, 600, 5) if silence("CT", known, now + minutes * 60)))
    assert 45 <= sorted(waited)[10] <= 90
    assert 30 <= min(waited) <= max(waited) <= 120


@pytest.mark.parametrize("per_hour", [0.3, 2.0, 12.0])
def test_nights_and_weekends_raise_nothing(per_hour: float) -> None:
    for seed in range(5):
        known = arrivals(seed, per_hour)
        friday = MONDAY + 25 * 86_400 + 19 * HOUR_S
        for hours in range(60):
            now = friday + hours * HOUR_S
            assert silence("CT", [each for each in known if each <= friday], now) is None, f"{hours} h"


def test_a_young_or_quiet_box_says_nothing() -> None:
    assert silence("CT", [], MONDAY) is None
    known = arrivals(1, 12.0)
    week = [each for each in known if each < MONDAY + 5 * 86_400]
    assert silence("CT", week, MONDAY + 5 * 86_400) is None, "less than a week of history"
    few = known[:: len(known) // (ARRIVALS_MIN - 10)]
    assert silence("CT", few[: ARRIVALS_MIN - 1], MONDAY + 4 * WEEK_S) is None


def test_a_clock_that_jumped_back_raises_nothing() -> None:
    known = arrivals(3, 12.0)
    assert silence("CT", known, MONDAY + 3 * 86_400 + 9 * HOUR_S) is None


def test_it_says_what_was_usual() -> None:
    known = arrivals(5, 12.0, bursts=False)
    now = MONDAY + 28 * 86_400 + 13 * HOUR_S
    found = silence("CT", [*known, now - 3 * HOUR_S], now)
    assert found is not None
    assert found.source == "CT"
    assert 25 <= found.expected <= 45
    assert 9 <= found.per_hour <= 15


def false_alarms(per_hour: float, months: int) -> tuple[int, int]:
    """(false alarms, months looked at): looked every ten minutes of a fifth week that goes on as the four before."""
    raised = 0
    for seed in range(months * 4):
        known = arrivals(1000 + seed, per_hour, weeks=5)
        now, standing = MONDAY + 4 * WEEK_S, False
        while now < MONDAY + 5 * WEEK_S:
            seen = [each for each in known if each <= now]
            silent = silence("CT", seen, now) is not None
            raised += silent and not standing
            standing, now = silent, now + 600
    return raised, months


def test_false_alarms_are_rare() -> None:
    raised, months = false_alarms(12.0, 1)
    assert raised <= 1 * months


def main() -> None:
    for per_hour in (2.0, 6.0, 12.0, 30.0):
        raised, months = false_alarms(per_hour, 3)
        times = []
        for seed in range(21):
            now = MONDAY + 28 * 86_400 + 10 * HOUR_S
            known = [*arrivals(seed, per_hour), now - 1.0]
            times.append(next(m for m in range(0, 6000, 5) if silence("CT", known, now + m * 60)))
        times.sort()
        print(f"| {per_hour:g} | {raised} in {months} months | {times[10]} min ({times[0]} to {times[20]}) |")


if __name__ == "__main__":
    main()
