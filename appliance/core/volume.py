"""Whether a source that sends images has gone silent, told from its own habits by hour of the week.

From the arrivals of the last weeks: how many are to be expected in the time since the last one, and how likely none is.
Arrivals come in bursts, so the count is taken as negative binomial, not Poisson: silence must be that much longer.
Nights and weekends on which little is usual expect little. A holiday looks like silence: this is a notice to look, no
verdict. It says nothing before a week of history and a minimum of arrivals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

HOUR_S, HOURS_A_WEEK = 3600.0, 168
WEEK_S = HOURS_A_WEEK * HOUR_S
WEEKS_MAX = 4
ARRIVALS_MIN = 50
DISPERSION = 8.0  # k of the negative binomial: variance = mean + mean**2 / k
CHANCE_MAX = 1e-3  # of no arrival for so long, below which silence is told
SHRINKAGE_WEEKS = 1.0  # weight of the same hour on the other days of its kind
FIRST_MONDAY_S = 4 * 86_400.0  # 1970-01-05, 00:00 UTC


@dataclass(frozen=True, slots=True)
class Silence:
    """A source that says nothing although it usually would.

    since_s   seconds since its last arrival; expected: arrivals that were usual in that time
    per_hour  what is usual now
    """

    source: str
    since_s: float
    expected: float
    per_hour: float


def history_s() -> float:
    """How far back arrivals are looked at."""
    return WEEKS_MAX * WEEK_S


def silence(source: str, arrivals: Sequence[float], now: float) -> Silence | None:
    """None where the source sends as usual, or where too little is known of it.

    arrivals  wall clock (s since 1970) of the studies of this source within history_s, in any order
    """
    known = sorted(each for each in arrivals if now - history_s() <= each <= now)
    if len(known) < ARRIVALS_MIN or now - known[0] < WEEK_S:
        return None
    last = known[-1]
    rates = _rates(known, now)
    expected = _expected(rates, last, now)
    if (1.0 + expected / DISPERSION) ** -DISPERSION > CHANCE_MAX:
        return None
    return Silence(source, now - last, expected, rates[_hour(now)])


def _hour(at: float) -> int:
    """Hour of the week, Monday 00:00 UTC = 0."""
    return int((at - FIRST_MONDAY_S) // HOUR_S) % HOURS_A_WEEK


def _rates(known: Sequence[float], now: float) -> list[float]:
    """Arrivals an hour to be expected in each hour of the week, each drawn towards that hour on days of its kind."""
    weeks = min(WEEKS_MAX, max(1, int((now - known[0]) // WEEK_S)))
    begin = now - weeks * WEEK_S
    counts = [0.0] * HOURS_A_WEEK
    for each in known:
        if each >= begin:
            counts[_hour(each)] += 1
    kinds = [range(5), range(5, 7)]  # workdays, weekend
    rates = [0.0] * HOURS_A_WEEK
    for days in kinds:
        for hour in range(24):
            places = [day * 24 + hour for day in days]
            usual = sum(counts[place] for place in places) / (weeks * len(places))
            for place in places:
                rates[place] = (counts[place] + SHRINKAGE_WEEKS * usual) / (weeks + SHRINKAGE_WEEKS)
    return rates


def _expected(rates: Sequence[float], begin: float, end: float) -> float:
    """Arrivals to be expected between two moments; at most the history's length is looked through."""
    total, at = 0.0, max(begin, end - history_s())
    while at < end:
        step = min(end, (at // HOUR_S + 1) * HOUR_S)
        total += rates[_hour(at)] * (step - at) / HOUR_S
        at = step
    return total
