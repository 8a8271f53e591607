"""How the cases stand that wait, in numbers: for the list of alarms, `status`, the page and the metrics."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from appliance.core.schedule import SERIES_TIER
from appliance.world.wire.tables import cases, passages, sendings, standing, transfers

OPEN_MAX = 20_000  # open cases looked at; more than that is alarm enough
SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class Open:
    """An open case: where it stands (queued, sending, received, answered, refused) and since when it is sealed."""

    case_id: str
    urgency: str
    created_at: float
    state: str
    code: str


def open_now(cases_c: Connection, link_c: Connection | None) -> list[Open]:
    """Every open case, at most OPEN_MAX, the oldest first."""
    where = cases.c.state == "queued"
    rows = cases_c.execute(select(cases).where(where).order_by(cases.c.created_at).limit(OPEN_MAX)).all()
    far: dict[str, Row[Any]] = {}
    if link_c is not None:
        far = {row.case_id: row for row in link_c.execute(select(sendings).where(sendings.c.state != "answered"))}
    answered = _answered(link_c)
    found = []
    for row in rows:
        told = far.get(row.case_id)
        state = "answered" if row.case_id in answered else told.state if told is not None else "queued"
        found.append(Open(row.case_id, row.urgency, row.created_at, state, told.code if told is not None else ""))
    return found


def _answered(link_c: Connection | None) -> set[str]:
    if link_c is None:
        return set()
    return set(link_c.execute(select(sendings.c.case_id).where(sendings.c.state == "answered")).scalars())


def last_word_at(link_c: Connection) -> float | None:
    """Wall clock of the centre's last word that stands on file: a receipt, a verdict, a standing; None: none yet."""
    said = (func.max(sendings.c.received_at), func.max(sendings.c.answered_at))
    found = [*link_c.execute(select(*said)).one(), link_c.execute(select(func.max(standing.c.at))).scalar_one()]
    return max((each for each in found if each is not None), default=None)


def spooled_bytes(cases_c: Connection, arrived: set[str], received: set[str]) -> int:
    """Bytes of transfers that lie ready and are still wanted."""
    wanted = select(transfers.c.transfer_id, transfers.c.case_id, transfers.c.tier, transfers.c.sealed_bytes)
    joined = wanted.join(cases).where(transfers.c.state == "ready", cases.c.state != "cancelled")
    return sum(
        row.sealed_bytes
        for row in cases_c.execute(joined)
        if row.transfer_id not in arrived and (row.tier == SERIES_TIER or row.case_id not in received)
    )


def shed_cases(cases_c: Connection) -> int:
    """Open cases of which something was shed and not made again."""
    ready = transfers.alias("ready")
    again = (
        select(ready.c.id)
        .where(ready.c.case_id == transfers.c.case_id, ready.c.tier == transfers.c.tier, ready.c.state == "ready")
        .exists()
    )
    where = (transfers.c.state == "shed", cases.c.state == "queued", ~again)
    counted = select(func.count(transfers.c.case_id.distinct())).select_from(transfers.join(cases)).where(*where)
    count: int = cases_c.execute(counted).scalar_one()
    return count


def sending_of(link_c: Connection | None, case_ids: list[str]) -> dict[str, Row[Any]]:
    """How far uplink came with each of these cases, closed ones included."""
    if link_c is None:
        return {}
    return {row.case_id: row for row in link_c.execute(select(sendings).where(sendings.c.case_id.in_(case_ids)))}


def on_the_road(cases_c: Connection, link_c: Connection | None) -> list[dict[str, Any]]:
    """Transfers, ready or shed, of open cases, and series under way: tier, parts there and in all, bytes, age."""
    joined = select(transfers, cases.c.state.label("case_state")).join(cases)
    chosen = joined.where((cases.c.state == "queued") | (transfers.c.tier == SERIES_TIER))
    rows = cases_c.execute(chosen.order_by(transfers.c.created_at).limit(SHOWN_MAX)).all()
    far: dict[str, Row[Any]] = {}
    if link_c is not None:
        ids = [row.transfer_id for row in rows]
        far = {row.transfer_id: row for row in link_c.execute(select(passages).where(passages.c.transfer_id.in_(ids)))}
    found = []
    for row in rows:
        told = far.get(row.transfer_id)
        if told is not None and told.state == "received":
            continue
        found.append(
            {
                "case_id": row.case_id,
                "urgency": row.urgency,
                "tier": row.tier,
                "state": "shed" if row.state == "shed" else told.state if told is not None else "queued",
                "parts": row.parts,
                "parts_have": told.parts_have if told is not None else 0,
                "sealed_bytes": row.sealed_bytes,
                "created_at": row.created_at,
                "code": told.code if told is not None else "",
                "attempts": told.attempts if told is not None else 0,
                "last_sent_at": told.last_sent_at if told is not None else None,
            }
        )
    return found
