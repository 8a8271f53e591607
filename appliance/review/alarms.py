"""What a reader must hear of the watch over certificates, on whatever page: taken away, warned, unanswered, not firing.

It reads what triage concluded and computes no evidence of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, select

from appliance.condition import condition
from appliance.core import alarms as core
from appliance.core.roles import roles
from appliance.core.say import say, say_n
from appliance.review.language import Moment
from appliance.review.ledgers import Page
from appliance.world.ledger import roles as orders
from appliance.world.ledger import studies, watch

DAY_S = 86_400.0
SEVERITIES = ("alarm", "warning", "notice")
CAUSE_WORDS = {
    "audits": "blinded reads saw too many findings among what was cleared",
    "drift": "scores or films are not those it was made with",
    "person": "a person took it away",
    "state": "what was gathered about it cannot be read",
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One sentence above the page. kind: alarm | warning | notice; page: where more of it stands."""

    kind: str
    text: str
    page: str = "models"


def everything(c: Connection, page: Page, now: float) -> list[Alarm]:
    """What is not well on the line, and what closes or halves a lane; the gravest first."""
    found = [Alarm(each.severity, each.said, "outbox") for each in on_the_wire(c, page, now)]
    return sorted([*found, *alarms(c, page, now)], key=lambda alarm: SEVERITIES.index(alarm.kind))


def alarms(c: Connection, page: Page, now: float) -> list[Alarm]:
    """Everything that closes or halves a lane now, the gravest first."""
    found: list[Alarm] = []
    rows = list(c.execute(select(watch.monitors).where(watch.monitors.c.present)))
    taken = {row.certificate: row for row in watch.revoked(c)}
    late = watch.overdue(c, now - page.config.audit.answer_days * DAY_S)
    found += [
        _taken(row, taken[row.certificate]) for row in rows if row.certificate in taken and not _replaced(row, rows)
    ]
    found += _stopped(c)
    for row in rows:
        if row.certificate in taken:
            continue
        name = row.facts["name"]
        if row.stage == "warn":
            found.append(
                Alarm(
                    "warning",
                    say(
                        "Certificate %(name)s is under warning: only the safest half of each lane is decided here.",
                        name=name,
                    ),
                )
            )
        if late.get(row.certificate):
            count = late[row.certificate]
            said = say_n(
                "%(count)s blinded read waits too long for an answer, of certificate %(name)s: only the safest half of "
                "each lane is decided here until it is answered.",
                "%(count)s blinded reads wait too long for an answer, of certificate %(name)s: only the safest half of "
                "each lane is decided here until they are answered.",
                count,
                name=name,
            )
            found.append(Alarm("warning", said))
    return found


def on_the_wire(c: Connection, page: Page, now: float) -> list[core.Alarm]:
    """What is not well between scanner, appliance and centre: the one list of core.alarms."""
    with page.ledgers.wire() as (cases, link):
        silent = page.ledgers.silent_sources(c, now)
        return core.alarms(condition(page.config, page.places.root, now, c, cases, link, silent))


def _stopped(c: Connection) -> list[Alarm]:
    """The models under the kill switch."""
    stopped = roles(orders.done(c), (), ()).stopped
    return [
        Alarm(
            "alarm",
            say("Model %(model)s is stopped. Nothing is decided by it; what it covers is escalated.", model=each),
        )
        for each in sorted(stopped)
    ]


def taken_away() -> ColumnElement[bool]:
    """Whether a study of the worklist was decided under a certificate that was taken away, before or after."""
    # By IN and not by a join: SQLite would then look through every study that a certificate ever spoke of.
    taken = select(watch.revocations.c.certificate)
    return exists().where(watch.watched.c.study_number == studies.c.number, watch.watched.c.certificate.in_(taken))


def withdrawn(c: Connection, numbers: Sequence[int]) -> set[int]:
    """Of these studies the ones decided under a certificate that was taken away, before or after."""
    taken = select(watch.revocations.c.certificate)
    where = (watch.watched.c.study_number.in_(numbers), watch.watched.c.certificate.in_(taken))
    return set(c.execute(select(watch.watched.c.study_number).where(*where)).scalars())


def _taken(row: Row[Any], taken: Row[Any]) -> Alarm:
    said = say(
        "Certificate %(name)s was taken away on %(time)s: %(cause)s. Nothing is decided under it any more; only a new "
        "signed certificate opens a lane again.",
        name=row.facts["name"],
        time=Moment(taken.at),
        cause=say(CAUSE_WORDS[taken.cause]),
    )
    return Alarm("alarm", said)


def _replaced(row: Row[Any], rows: list[Row[Any]]) -> bool:
    """Whether a certificate for the same films, not an older one, is in force: the other exit's or group's is none."""
    same = ("site", "exit", "group")
    return any(
        other.model == row.model
        and all(other.facts.get(name) == row.facts.get(name) for name in same)
        and other.facts["created"] >= row.facts["created"]
        and other.stage != "revoke"
        for other in rows
        if other.certificate != row.certificate
    )
