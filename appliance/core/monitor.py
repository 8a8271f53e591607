"""Watches for harm while a certificate stands: audited answers one by one, and scores without any label.

Two bets against "all is well", each a number that may be looked at after every study. Bet on audits: if at most
`rate_max` of the cleared have the finding, the wealth is a supermartingale, so it ever reaches 1 / delta with
probability delta at most (Ville's inequality; Waudby-Smith and Ramdas, arXiv:2010.09686). Bet on drift: conformal
p-values of today's films among the calibration films are uniform while both are drawn alike; a simple jumper bets that
they are not (Vovk et al., arXiv:2102.10439). Only clinicians' signed answers to blinded random audits may enter the
first one, never a language model's. A state that is no longer a number means that nothing is known: it revokes.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Stage = Literal["quiet", "warn", "revoke"]

AUDIT_FIRST = 300  # every one of the first cleared studies is read again
DELTA = 0.01  # of ever taking a certificate away that keeps its promise
WARN_AT = 10.0
DRIFT_REVOKE_AT = 1000.0  # times the number of measures watched, because each of them may cry wolf
# What the miss rate might have become, as multiples of what the certificate allows, and how much is bet on each.
# The first bets on nothing: what is kept there pays for a harm that begins late.
RATIOS = (1.0, 2.0, 4.0, 10.0)
SHARES = (0.2, 0.4, 0.2, 0.2)
RISK_JUMP = 2e-4  # share of the wealth dealt out anew at each audit
SLOPES = (-1.0, 0.0, 1.0)
JUMP = 0.01  # share of the capital that changes sides at each film: a drift may begin late
DEVIATIONS = 4.5  # of a fixed reference from the truth that must not look like a drift
LOG_MAX = 230.0
CAPITAL_MAX = 1e100  # a bet that is won stays won and does not overflow


@dataclass(frozen=True, slots=True)
class RiskState:
    """The bet on audits. log_wealth: what lies on each ratio; n audits, of which `misses` had the finding."""

    log_wealth: tuple[float, ...]
    n: int
    misses: int


@dataclass(frozen=True, slots=True)
class DriftState:
    """The bet on one measure: capital on each slope, and the films seen."""

    capital: tuple[float, ...]
    n: int


def risk_start() -> RiskState:
    return RiskState(tuple(math.log(share) for share in SHARES), 0, 0)


def _alternative(ratio: float, rate_max: float) -> float:
    """The rate that is bet on; at most half of the way from the promise to certainty."""
    return min(ratio * rate_max, (1 + rate_max) / 2)


def risk_next(state: RiskState, missed: bool, *, rate_max: float) -> RiskState:
    """The bet after one more audited study of the cleared lane; missed: the reader signed that the finding is there.

    rate_max  what the certificate promises of P(finding | cleared); the same in all of a state's life
    """
    assert 0 < rate_max < 1
    highest = max(state.log_wealth)
    total = math.fsum(math.exp(log - highest) for log in state.log_wealth)  # in units of the highest
    wealth = []
    for ratio, share, log in zip(RATIOS, SHARES, state.log_wealth, strict=True):
        q = _alternative(ratio, rate_max)
        won = math.log(q / rate_max) if missed else math.log((1 - q) / (1 - rate_max))
        held = (1 - RISK_JUMP) * math.exp(log - highest) + RISK_JUMP * share * total
        wealth.append(highest + math.log(held) + won)
    return RiskState(tuple(wealth), state.n + 1, state.misses + missed)


def e_value(state: RiskState) -> float:
    """The wealth: 1 at the start; 1 / delta or more happens with probability delta at most while the promise holds."""
    return math.fsum(math.exp(min(log, LOG_MAX)) for log in state.log_wealth)


def drift_start() -> DriftState:
    return DriftState((1 / len(SLOPES),) * len(SLOPES), 0)


def conformal_p(reference: Sequence[float], x: float, u: float) -> float:
    """Where x lies among the sorted reference, 0 lowest to 1 highest, ties and ends broken by u, uniform in [0, 1).

    Uniform while x and the reference are drawn alike. What is no number is the strangest value there is.
    """
    if math.isnan(x) or not 0 <= u < 1:
        return 0.0
    below, upto = bisect_left(reference, x), bisect_right(reference, x)
    return (below + u * (upto - below + 1)) / (len(reference) + 1)


def drift_slack(count: int) -> float:
    """What a bet must give away at each film because its reference is `count` fixed values and not the truth.

    The mean of p-values among them is off 1/2 by chance, with standard deviation 1 / sqrt(12 count). A bet of slope 1
    loses 1/24 a film to the spread of p anyway, so that much of an error can never look like a drift.
    """
    return max(0.0, DEVIATIONS / math.sqrt(12 * count) - 1 / 24) if count > 0 else 0.5


def drift_next(state: DriftState, p: float, *, slack: float = 0.0) -> DriftState:
    """The bet after one more film.

    p      conformal_p of the film's value
    slack  drift_slack of a reference that does not grow: a certificate's few hundred values are off by their own
           sampling error, and a patient bettor would find that out and call it drift
    """
    if not 0 <= p <= 1:  # false for NaN
        return DriftState((math.nan,) * len(SLOPES), state.n + 1)
    total = math.fsum(state.capital)
    capital = [
        ((1 - JUMP) * each + JUMP * total / len(SLOPES)) * (1 + slope * (p - 0.5) - abs(slope) * slack)
        for slope, each in zip(SLOPES, state.capital, strict=True)
    ]
    return DriftState(tuple(min(each, CAPITAL_MAX) for each in capital), state.n + 1)


def drift_value(state: DriftState) -> float:
    """The martingale: 1 at the start, 1000 or more with probability 1 / 1000 at most while nothing drifts."""
    return math.fsum(state.capital)


def stage(e: float, drift: float, measures: int) -> Stage:
    """What the ladder says: quiet; warn, and the half thresholds count; revoke, until a new signed certificate.

    e         e_value of the audits
    drift     the largest drift_value of the measures watched
    measures  how many are watched
    """
    watched = max(1, measures)
    if not (e < 1 / DELTA and drift < DRIFT_REVOKE_AT * watched):  # true for NaN
        return "revoke"
    return "quiet" if e <= WARN_AT and drift <= WARN_AT * watched else "warn"


def audits_to_detect(rate_max: float, ratio: float = 2.0) -> int:
    """Expected audits until the bet takes a certificate away whose miss rate among cleared became ratio * rate_max.

    The wealth on an alternative grows by a Kullback-Leibler divergence an audit and must make good its share.
    """
    assert ratio > 1
    true = _alternative(ratio, rate_max)
    needed = []
    for each, share in zip(RATIOS, SHARES, strict=True):
        q = _alternative(each, rate_max)
        growth = true * math.log(q / rate_max) + (1 - true) * math.log((1 - q) / (1 - rate_max))
        if each > 1 and growth > 0:
            needed.append((math.log(1 / DELTA) - math.log(share)) / growth)
    return math.ceil(min(needed))


def audit_rate(rate_max: float, *, cleared_a_day: float, days: float) -> float:
    """The share of cleared studies to audit after the first 300, so that a doubled miss rate is found within `days`.

    1: even all of them are too few, and it takes longer.
    """
    assert cleared_a_day > 0
    assert days > 0
    return min(1.0, audits_to_detect(rate_max) / (cleared_a_day * days))


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What auditing a share of the cleared costs, and how long a rate `ratio` times the promised one stays unseen."""

    rate_max: float
    ratio: float
    share: float
    audits_a_day: float
    audits: int
    years: float


def audit_table(
    rate_max: float,
    *,
    cleared_a_day: float,
    shares: Sequence[float] = (0.05, 0.10, 0.25, 0.50, 1.0),
    ratios: Sequence[float] = (2.0, 5.0, 10.0),
) -> list[AuditRow]:
    """Expected audits and years to find a miss rate that rose, by the share of cleared studies that is audited."""
    rows = []
    for ratio in ratios:
        audits = audits_to_detect(rate_max, ratio)
        for share in shares:
            a_day = share * cleared_a_day
            rows.append(AuditRow(rate_max, ratio, share, a_day, audits, audits / a_day / 365.25))
    return rows
