"""In which order studies are read: one function, of which the page's SQL is a copy that a test holds against it.

Request priority goes first, then what was flagged or raised by the centre, then what was escalated, then what was
cleared; within one lane the one whose time runs out first. Whatever has waited longer than the site allows its lane
goes before everything that has not, so that no lane starves; only what is critical, or was asked for at once, is never
overtaken. The order hides nothing and shortens no list: every lane is read by a person.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from appliance.core.document import URGENCIES, Urgency

Standing = Literal["flagged", "escalated", "cleared"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)  # in reading order
# Requested Procedure Priority (0040,1003) and Study Priority ID (0032,000C); what is not named is as any other.
REQUESTED: Mapping[str, int] = {"STAT": 0, "HIGH": 1}
REQUEST_USUAL = 2
ASKED_AS: Mapping[int, Urgency] = {0: "critical", 1: "urgent"}  # how fast a case travels that was asked for so

GROUP_CRITICAL, GROUP_OVERDUE, GROUP_USUAL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Waits:
    """The longest that a site lets each lane wait for a reader, in seconds since the first image."""

    flagged: float
    escalated: float
    cleared: float

    def of(self, standing: Standing) -> float:
        return {"flagged": self.flagged, "escalated": self.escalated, "cleared": self.cleared}[standing]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One study that waits for a reader.

    request    rank of its request: a value of REQUESTED, else REQUEST_USUAL
    urgency    the highest that edge or centre said
    lane       as decided here; None where nothing was, or it was set aside
    raised     the centre said more than routine
    doubted    it was decided under a certificate that was taken away since
    """

    number: int
    received_at: float
    request: int = REQUEST_USUAL
    urgency: str = "routine"
    lane: str | None = None
    raised: bool = False
    doubted: bool = False


def request_rank(told: str) -> int:
    return REQUESTED.get(told.strip().upper(), REQUEST_USUAL)


def case_urgency(found: str | None, request: int) -> Urgency:
    """How fast a case travels and is answered: the higher of what was found and what was asked for.

    The case document bears what was found alone: that somebody is in a hurry is no finding.

    found    urgency of the result; request  rank of the study's request
    """
    said = (found, ASKED_AS.get(request))
    return next((each for each in reversed(URGENCIES) if each in said), URGENCIES[0])


def standing(study: Waiting) -> Standing:
    """Whatever is in doubt stands as escalated: read before anything that was cleared."""
    if study.lane == "flagged" or study.raised or study.urgency in URGENCIES[1:]:
        return "flagged"
    return "cleared" if study.lane == "cleared" and not study.doubted else "escalated"


def due_at(study: Waiting, waits: Waits) -> float:
    """When its lane's longest wait is over."""
    return study.received_at + waits.of(standing(study))


def order_key(study: Waiting, now: float, waits: Waits) -> tuple[int, int, int, float, int]:
    """Studies are read by rising key; no two keys are equal.

    Within the overdue the lane counts no more: the one that has been due longest goes first.
    """
    due, lane = due_at(study, waits), STANDINGS.index(standing(study))
    if study.urgency == "critical" or study.request == 0:
        return GROUP_CRITICAL, study.request, lane, due, study.number
    if due <= now:
        return GROUP_OVERDUE, 0, 0, due, study.number
    return GROUP_USUAL, study.request, lane, due, study.number
