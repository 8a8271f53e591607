"""How the page says things: lanes by word, shape and colour, names, dates, the centre's state. No HTML here.

Cleared never reads "normal". Every text that came out of a data set or off the wire goes through Jinja's escaping;
here it is only arranged.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from appliance.core.lifecycle import State
from appliance.core.say import Figure, again
from appliance.core.study import LANE_WORDS
from appliance.review.language import LANGUAGE, _, in_order, moment, n_, tr


@dataclass(frozen=True, slots=True)
class Badge:
    """A lane as a reader sees it: the shape carries it without colour, the word without either."""

    key: str
    shape: str
    word: str
    meaning: str


BADGES: dict[str, Badge] = {
    "flagged": Badge("flagged", "▲", "FLAGGED", LANE_WORDS["flagged"]),
    "cleared": Badge("cleared", "●", "CLEARED", LANE_WORDS["cleared"]),
    "escalated": Badge("escalated", "◆", "ESCALATED", LANE_WORDS["escalated"]),
    "quarantined": Badge("quarantined", "■", "QUARANTINED", LANE_WORDS["quarantined"]),
    "undecided": Badge("undecided", "○", "NOT DECIDED", "images are still being taken in or looked at"),
}

STATE_WORDS: dict[State, str] = {
    "received": "taking images in",
    "complete": "being looked at",
    "routine": "to be read",
    "hard": "to be read; being made ready for the centre",
    "escalated": "to be read; the centre is asked",
    "answered": "to be read; the centre has answered",
    "reviewed": "signed",
    "quarantined": "needs a person",
    "forgotten": "forgotten",
}

WIRE_WORDS: dict[str, str] = {
    "queued": "waiting to be sent",
    "sending": "being sent",
    "received": "with the centre",
    "answered": "answered",
    "closed": "answered",
    "refused": "refused by the centre: read it here",
    "cancelled": "withdrawn: the study changed",
}

# What a radiographer could mend while the patient is still there, by the reason's code.
REPEAT_WORDS = {
    "gate-turned": "the film looks turned",
    "gate-inverted": "black and white look exchanged",
    "gate-cropped": "a part of the anatomy looks cut off",
    "gate-exposure": "the exposure looks wrong",
    "gate-blur": "the film looks blurred",
    "gate-image-quality": "the film looks badly exposed, noisy or blurred",
}

URGENCY_WORDS = {"critical": "CRITICAL", "urgent": "URGENT", "routine": "routine"}
REQUEST_WORDS = {0: "STAT", 1: "HIGH"}  # as the request was marked; nothing for the usual
DECISION_WORDS = {"agree": "agrees", "correct": "disagrees", "cannot_tell": "cannot tell"}


def badge(state: str, lane: str | None) -> Badge:
    """The badge of a study: its state goes before an older result, and no result is never a good result."""
    if state == "quarantined":
        return BADGES["quarantined"]
    if state in ("received", "complete") or lane is None:
        return BADGES["undecided"] if state != "reviewed" else BADGES["quarantined"]
    if state in ("hard", "escalated", "answered"):
        return BADGES["escalated"]
    return BADGES[lane]


def suggestion(shown: Badge, would_be: str | None) -> str:
    """What the machine says, in words; what it would have said without the bar to deciding is named as such."""
    if shown.key in ("cleared", "flagged"):
        return shown.meaning
    said = BADGES[would_be].meaning if would_be in BADGES else ""
    if said and would_be != "escalated":
        return _("not decided here; would have said: %(said)s", said=tr(said))
    return _("not decided here")


def calibrated(scores: Any) -> str:
    """The probability of the first score, only where the site has calibrated the model; else nothing at all."""
    first = scores[0] if isinstance(scores, list) and scores else {}
    value = first.get("calibrated") if isinstance(first, dict) else None
    return f"{100 * value:.0f} %" if isinstance(value, int | float) and 0 <= value <= 1 else ""


def person_name(value: str) -> str:
    """A PN of PS3.5 6.2 for reading, in the reader's order; further component groups follow in brackets.

    English: FAMILY, Given Middle, then prefix and suffix as they stand; German: FAMILY, Title Given Middle.
    """
    groups = [_one_name(group) for group in value.split("=")]
    said = [group for group in groups if group]
    return said[0] + "".join(f" [{group}]" for group in said[1:]) if said else ""


def _one_name(group: str) -> str:
    family, *others = [part.strip() for part in group.split("^")]
    if LANGUAGE.get() == "de" and len(others) > 2:
        given, middle, prefix, *suffix = others
        others = [prefix, given, middle, *suffix]
    rest = " ".join(part for part in others if part)
    return f"{family}, {rest}" if family and rest else family or rest


def calendar_date(value: str) -> str:
    """A DA of PS3.5 6.2 in the reader's order; anything else as it stands."""
    try:
        return in_order(date(int(value[:4]), int(value[4:6]), int(value[6:]))) if len(value) == 8 else value
    except ValueError:
        return value


def age(value: str) -> str:
    """An AS of PS3.5 6.2 in words; anything else as it stands."""
    if value[3:] not in ("D", "W", "M", "Y") or not value[:3].isdecimal() or not value.isascii():
        return value
    count = int(value[:3])
    return {
        "D": n_("%(count)s day", "%(count)s days", count),
        "W": n_("%(count)s week", "%(count)s weeks", count),
        "M": n_("%(count)s month", "%(count)s months", count),
        "Y": n_("%(count)s year", "%(count)s years", count),
    }[value[3:]]


def clock_time(at: float | None) -> str:
    """A wall time in this machine's zone, to the second."""
    return "" if at is None else moment(datetime.fromtimestamp(at, UTC).astimezone())


def figure(digits: str) -> str:
    """A number as the reader writes it: a comma in German."""
    return tr(Figure(digits))


def iso_date(said: str) -> str:
    """YYYY-MM-DD, as certificates and weeks bear it, in the reader's order; anything else as it stands."""
    try:
        return in_order(date.fromisoformat(said))
    except ValueError:
        return said


def utc_date(at: float) -> str:
    """The date of a wall time as YYYY-MM-DD in UTC: the clock by which triage reads certificates."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def short_time(at: float | None, now: float) -> str:
    """The time of day, with the date when it is not today."""
    if at is None:
        return ""
    then, today = (datetime.fromtimestamp(each, UTC).astimezone() for each in (at, now))
    return f"{then:%H:%M:%S}" if then.date() == today.date() else moment(then, seconds=False)


def span(seconds: float) -> str:
    """A duration in its two largest units."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def days(seconds: float) -> str:
    """A duration in whole days: to the minute it would tell which row of the worklist a blinded film is."""
    whole = max(0, int(seconds)) // 86_400
    return _("under a day") if whole == 0 else n_("%(count)s day", "%(count)s days", whole)


def byte_count(count: int) -> str:
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{figure(f'{amount:.1f}')} {unit}"
        amount /= 1024
    return f"{figure(f'{amount:.1f}')} TiB"


def centre_words(
    *,
    state: str,
    lane: str | None,
    wire_state: str | None,
    answer: dict[str, Any] | None,
    waited_s: float,
    late_s: float,
) -> tuple[str, bool]:
    """How the case stands at the centre, in words, and whether it is late.

    answer    the newest verdict's body for this revision, or None
    waited_s  since the study was decided; late_s  the deadline of its urgency
    """
    if answer is not None:
        if not answer["reader"]["connected"]:
            return _("answered: no language model is connected"), False
        return (
            _("answered: needs a human") if answer["status"] == "needs_human" else _("answered: machine's draft")
        ), False
    if state == "hard":
        return _("being sealed"), waited_s > late_s
    if wire_state is None and state != "escalated":
        return (_("not asked") if lane in ("cleared", "flagged") else ""), False
    said = tr(WIRE_WORDS.get(wire_state or "queued", wire_state or ""))
    late = state == "escalated" and wire_state != "refused" and waited_s > late_s
    return (_("%(state)s: late", state=said) if late else said), late


def plain(reasons: Any) -> list[dict[str, str]]:
    """Reasons out of a ledger's JSON as (code, text) pairs, whether one or several were kept."""
    found = reasons if isinstance(reasons, list | tuple) else [reasons] if reasons else []
    return [{"code": str(r.get("code", "")), "text": again(r)} for r in found if isinstance(r, dict)]


def gate_rows(gates: Any) -> list[tuple[str, str]]:
    if not isinstance(gates, dict):
        return []
    return [
        (str(name), figure(f"{value:.4g}") if isinstance(value, int | float) else str(value))
        for name, value in gates.items()
    ]
