"""core.worklist_order in SQL, so that the database sorts what waits; a test holds both alike.

What the order asks of a study is worked out once a study, and by an index: the work grows with the studies that are
sorted and not with those on file. What is listed by its arrival is not sorted at all.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    and_,
    case,
    desc,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)

from appliance.core.document import URGENCIES
from appliance.core.worklist_order import GROUP_CRITICAL, GROUP_OVERDUE, GROUP_USUAL, STANDINGS, Waits
from appliance.review.alarms import taken_away
from appliance.world.ledger import results, studies, verdicts

RANKS = {urgency: rank for rank, urgency in enumerate(URGENCIES)}
SAME_VERDICT = and_(verdicts.c.study_number == studies.c.number, verdicts.c.revision == studies.c.revision)


def joined() -> Any:
    """Studies with the result of their present revision, if there is one."""
    on = and_(results.c.study_number == studies.c.number, results.c.revision == studies.c.revision)
    return studies.outerjoin(results, on)


def waiting(*where: ColumnElement[bool]) -> CTE:
    """Of each study what the order asks: number, first_received_at, request_rank, urgency, decided (its lane or null).

    An older result says nothing of a study that was set aside, or that is not decided anew yet. Materialized, because
    SQLite would copy each of these questions to every place in the order that names its answer: 22 for one study.
    """
    by_edge = case(RANKS, value=results.c.priority, else_=0)
    by_centre = select(func.max(case(RANKS, value=verdicts.c.body["urgency"].as_string(), else_=0))).where(SAME_VERDICT)
    cleared = and_(results.c.lane == "cleared", taken_away())
    lane = case((studies.c.state != "routine", None), (cleared, "escalated"), else_=results.c.lane)
    urgency = func.max(by_edge, func.coalesce(by_centre.scalar_subquery(), 0))
    asked = (studies.c.number, studies.c.first_received_at, studies.c.request_rank)
    chosen = select(*asked, urgency.label("urgency"), lane.label("decided"))
    return chosen.select_from(joined()).where(*where).cte("waiting").prefix_with("MATERIALIZED")


def in_reading_order(study: CTE, now: float, waits: Waits) -> tuple[ColumnElement[object], ...]:
    """What to order the studies that wait by."""
    flagged, escalated, cleared = (STANDINGS.index(each) for each in ("flagged", "escalated", "cleared"))
    lane = case(
        (or_(study.c.decided == "flagged", study.c.urgency >= RANKS["urgent"]), flagged),
        (study.c.decided == "cleared", cleared),
        else_=escalated,
    )
    longest = case((lane == flagged, waits.flagged), (lane == cleared, waits.cleared), else_=waits.escalated)
    due = study.c.first_received_at + longest
    critical = or_(study.c.urgency == RANKS["critical"], study.c.request_rank == 0)
    overdue = and_(~critical, due <= literal(now))
    group = case((critical, GROUP_CRITICAL), (overdue, GROUP_OVERDUE), else_=GROUP_USUAL)
    return (
        group,
        case((overdue, 0), else_=study.c.request_rank),
        case((overdue, 0), else_=lane),
        due,
        study.c.number,
    )


def newest_first(states: Sequence[str], narrowed: ColumnElement[bool]) -> CompoundSelect[Any]:
    """Studies in these states by arrival: the index of each state is walked from its end, no further than is read."""
    asked = select(studies.c.number, studies.c.first_received_at).select_from(joined())
    each = (asked.where(studies.c.state == state, narrowed) for state in states)
    return union_all(*each).order_by(desc("first_received_at"), desc("number"))


def said(*urgencies: str) -> ColumnElement[bool]:
    """Whether edge or centre said one of these urgencies of the present revision."""
    assert set(urgencies) <= set(URGENCIES)
    by_centre = exists().where(SAME_VERDICT, verdicts.c.body["urgency"].as_string().in_(urgencies))
    return or_(results.c.priority.in_(urgencies), by_centre)
