"""How often readers agreed with the machine, with the interval that the count allows, and never without it.

Wilson's score interval (E. B. Wilson, JASA 22, 1927): it stays within 0 and 1 and says something of small counts too.
What a reader could not tell is counted beside, and neither for nor against.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Agreement:
    """Signatures of one model and lane. low, high: ends of the interval of the share that agreed; None without any."""

    model: str
    lane: str
    agreed: int
    disagreed: int
    cannot_tell: int
    low: float | None
    high: float | None

    @property
    def told(self) -> int:
        return self.agreed + self.disagreed

    @property
    def share(self) -> float | None:
        return self.agreed / self.told if self.told else None


def wilson(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of a share of which `count` of `of` were seen; None where nothing was."""
    assert 0 <= count <= of
    assert 0 < confidence < 1
    if of == 0:
        return None
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, room = count / of, z * z / of
    middle = (share + room / 2) / (1 + room)
    half = z / (1 + room) * math.sqrt(share * (1 - share) / of + room / (4 * of))
    low = 0.0 if count == 0 else max(0.0, middle - half)
    return low, 1.0 if count == of else min(1.0, middle + half)


def agreements(counted: Iterable[tuple[str, str, str, int]]) -> list[Agreement]:
    """One line a model and lane, in their order, out of (model, lane, decision, how many)."""
    sums: dict[tuple[str, str], dict[str, int]] = {}
    for model, lane, decision, count in counted:
        own = sums.setdefault((model, lane), {})
        own[decision] = own.get(decision, 0) + count
    return [_line(model, lane, own) for (model, lane), own in sorted(sums.items())]


def _line(model: str, lane: str, own: dict[str, int]) -> Agreement:
    agreed, disagreed = own.get("agree", 0), own.get("correct", 0)
    ends = wilson(agreed, agreed + disagreed) or (None, None)
    return Agreement(model, lane, agreed, disagreed, own.get("cannot_tell", 0), *ends)
