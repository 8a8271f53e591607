"""core.worklist_order in SQL, so that the database sorts a hundred thousand rows; a test holds both alike."""

from sqlalchemy import ColumnElement, and_, case, exists, literal, or_

from appliance.core.document import URGENCIES
from appliance.core.worklist_order import GROUP_CRITICAL, GROUP_OVERDUE, GROUP_USUAL, STANDINGS, Waits
from appliance.review.alarms import taken_away
from appliance.world.ledger import results, studies, verdicts


def in_reading_order(now: float, waits: Waits) -> tuple[ColumnElement[object], ...]:
    """What to order studies, joined with the result of their present revision, by."""
    flagged, escalated, cleared = (STANDINGS.index(each) for each in ("flagged", "escalated", "cleared"))
    lane = case(
        (or_(_decided_as("flagged"), said("urgent", "critical")), flagged),
        (and_(_decided_as("cleared"), ~taken_away()), cleared),
        else_=escalated,
    )
    longest = case((lane == flagged, waits.flagged), (lane == cleared, waits.cleared), else_=waits.escalated)
    due = studies.c.first_received_at + longest
    critical = or_(said("critical"), studies.c.request_rank == 0)
    overdue = and_(~critical, due <= literal(now))
    group = case((critical, GROUP_CRITICAL), (overdue, GROUP_OVERDUE), else_=GROUP_USUAL)
    return (
        group,
        case((overdue, 0), else_=studies.c.request_rank),
        case((overdue, 0), else_=lane),
        due,
        studies.c.number,
    )


def _decided_as(lane: str) -> ColumnElement[bool]:
    """An older result says nothing of a study that was set aside, or that is not decided anew yet."""
    return and_(studies.c.state == "routine", results.c.lane == lane)


def said(*urgencies: str) -> ColumnElement[bool]:
    """Whether edge or centre said one of these urgencies of the present revision."""
    assert set(urgencies) <= set(URGENCIES)
    same = and_(verdicts.c.study_number == studies.c.number, verdicts.c.revision == studies.c.revision)
    by_centre = exists().where(same, verdicts.c.body["urgency"].as_string().in_(urgencies))
    return or_(results.c.priority.in_(urgencies), by_centre)
