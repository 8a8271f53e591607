"""Transfers in the two mailboxes: what triage sealed, how far uplink has brought it, and what may be sent next."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Row,
    and_,
    case,
    cast,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.document import AGEING_S
from appliance.core.enclosure import Enclosed
from appliance.core.messages import OF_THE_TRANSFER
from appliance.core.schedule import CLASSES, CLIMB_TO, SERIES_CLASS, SERIES_TIER
from appliance.world.wire.tables import cases, passages, requests, sendings, transfers

PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Load:
    """A transfer that waits to be sent, and which of its parts the centre has."""

    enclosed: Enclosed
    created_at: float
    have: int


# Triage's pen.


def put_transfer(c: Connection, enclosed: Enclosed, at: float) -> None:
    """One more way for a case to travel; its sealed bytes already lie in wire/parts."""
    row = {
        "transfer_id": enclosed.transfer_id,
        "case_id": enclosed.case_id,
        "tier": enclosed.tier,
        "urgency": enclosed.urgency,
        "sha256": enclosed.sha256,
        "sealed_bytes": enclosed.sealed_bytes,
        "parts": enclosed.parts,
        "letter": enclosed.letter,
        "created_at": at,
        "state": "ready",
        "state_at": at,
    }
    c.execute(upsert(transfers).on_conflict_do_nothing(), row)


def shed_transfer(c: Connection, transfer_id: str, at: float) -> bool:
    """Its bytes are about to go and it is not sent any more; False when that was so before."""
    where = (transfers.c.transfer_id == transfer_id, transfers.c.state == "ready")
    return c.execute(update(transfers).where(*where).values(state="shed", state_at=at)).rowcount == 1


def transfers_of(c: Connection, case_id: str) -> list[Row[Any]]:
    """All transfers of a case, also those that were shed, in the order in which they were made."""
    return list(c.execute(select(transfers).where(transfers.c.case_id == case_id).order_by(transfers.c.id)))


def transfers_named(c: Connection, transfer_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Those of the given transfers that triage has made, by id."""
    ids, found = sorted(set(transfer_ids)), {}
    for start in range(0, len(ids), PAGE_ROWS):
        page = transfers.c.transfer_id.in_(ids[start : start + PAGE_ROWS])
        found.update({row.transfer_id: row for row in c.execute(select(transfers).where(page))})
    return found


def known_parts(c: Connection, digests: Iterable[str]) -> set[str]:
    """Those of the given digests under which a transfer lies in wire/parts."""
    names, found = sorted(set(digests)), set[str]()
    for start in range(0, len(names), PAGE_ROWS):
        page = transfers.c.sha256.in_(names[start : start + PAGE_ROWS])
        found.update(c.execute(select(transfers.c.sha256).where(page)).scalars())
    return found


def open_transfers(c: Connection) -> list[Row[Any]]:
    """Transfers whose bytes are wanted as far as triage knows: ready, and their case is open or it is the series.

    Columns of `transfers`, and `case_state`.
    """
    wanted = or_(cases.c.state == "queued", and_(transfers.c.tier == SERIES_TIER, cases.c.state != "cancelled"))
    joined = select(transfers, cases.c.state.label("case_state")).join(cases)
    return list(c.execute(joined.where(transfers.c.state == "ready", wanted).order_by(transfers.c.id)))


# Uplink's pen.


def record_manifest_sent(c: Connection, load: Enclosed, at: float) -> None:
    """Counts one sending of a transfer before it is made."""
    again = {"attempts": passages.c.attempts + 1, "last_sent_at": at, "code": ""}
    _put_passage(c, load, {"attempts": 1, "last_sent_at": at}, again)


def record_transfer_fault(c: Connection, load: Enclosed, code: str) -> None:
    """It cannot be sent as it lies here: the code is shown until a sending succeeds."""
    _put_passage(c, load, {"code": code}, {"code": code})


def record_have(c: Connection, row: Row[Any], have: int) -> int:
    """What the centre holds of a transfer grows by its word, never shrinks; returns what stands then.

    row  of `transfers`
    """
    _ensure_passage(c, row)
    known: str = c.execute(select(passages.c.have).filter_by(transfer_id=row.transfer_id)).scalar_one()
    grown: int = int(known, 16) | (have & ((1 << row.parts) - 1))
    values = {"have": f"{grown:x}", "parts_have": grown.bit_count()}
    c.execute(update(passages).filter_by(transfer_id=row.transfer_id).values(**values))
    return grown


def forget_have(c: Connection, transfer_id: str) -> None:
    """The centre knows nothing of this transfer any more: all of it is sent again."""
    where = (passages.c.transfer_id == transfer_id, passages.c.state == "sending")
    c.execute(update(passages).where(*where).values(have="0", parts_have=0))


def record_transfer_received(c: Connection, row: Row[Any], at: float) -> None:
    """The centre's receipt for a transfer; the caller has compared the digest."""
    _ensure_passage(c, row)
    where = (passages.c.transfer_id == row.transfer_id, passages.c.state == "sending")
    values = {
        "state": "received",
        "received_at": at,
        "have": f"{(1 << row.parts) - 1:x}",
        "parts_have": row.parts,
        "code": "",
    }
    c.execute(update(passages).where(*where).values(**values))


def refuse_transfer(c: Connection, row: Row[Any], code: str) -> None:
    """The centre will not take this transfer."""
    _ensure_passage(c, row)
    where = (passages.c.transfer_id == row.transfer_id, passages.c.state == "sending")
    c.execute(update(passages).where(*where).values(state="refused", code=code))


def refused_transfers(c: Connection, case_id: str, tier: int, code: str) -> int:
    """How many transfers of a case and tier the centre has refused with this code."""
    same = select(func.count()).select_from(passages).filter_by(case_id=case_id, tier=tier, state="refused", code=code)
    count: int = c.execute(same).scalar_one()
    return count


def _ensure_passage(c: Connection, row: Row[Any]) -> None:
    first = {"transfer_id": row.transfer_id, "case_id": row.case_id, "tier": row.tier, "parts": row.parts}
    first |= {"state": "sending", "have": "0", "parts_have": 0, "attempts": 0, "code": ""}
    c.execute(upsert(passages).values(**first).on_conflict_do_nothing())


def _put_passage(c: Connection, load: Enclosed, first: dict[str, Any], again: dict[str, Any]) -> None:
    row = {"transfer_id": load.transfer_id, "case_id": load.case_id, "tier": load.tier, "parts": load.parts}
    row |= {"state": "sending", "have": "0", "parts_have": 0, "attempts": 0, "code": "", **first}
    statement = upsert(passages).values(**row)
    c.execute(statement.on_conflict_do_update(index_elements=["transfer_id"], set_=again))


# What anybody may ask.


def received_transfers(link_c: Connection) -> set[str]:
    """Transfers the centre holds by its own receipt."""
    return set(link_c.execute(select(passages.c.transfer_id).where(passages.c.state == "received")).scalars())


def damaged_transfers(link_c: Connection) -> list[str]:
    """Transfers whose bytes uplink found to be other than what was sealed, or gone, and those the centre has lost.

    Of a case that is refused itself nothing is damaged: a person looks at it.
    """
    here = and_(passages.c.state == "sending", passages.c.code == "part-damaged")
    there = and_(passages.c.state == "refused", passages.c.code.in_(sorted(OF_THE_TRANSFER)))
    refused = exists().where(sendings.c.case_id == passages.c.case_id, sendings.c.state == "refused")
    where = (or_(here, there), ~refused)
    return list(link_c.execute(select(passages.c.transfer_id).where(*where)).scalars())


def begun_transfers(link_c: Connection) -> set[str]:
    """Transfers of which the centre holds a part already."""
    return set(link_c.execute(select(passages.c.transfer_id).where(passages.c.parts_have > 0)).scalars())


def shed_pictures(c: Connection) -> list[Row[Any]]:
    """Pictures that were shed of cases that are open, and not made again since; the most urgent and oldest first."""
    ready = transfers.alias("ready")
    again = exists().where(ready.c.case_id == transfers.c.case_id, ready.c.tier == 1, ready.c.state == "ready")
    order = (_class(0.0).desc(), transfers.c.created_at, transfers.c.id)
    where = (transfers.c.state == "shed", transfers.c.tier == 1, cases.c.state == "queued", ~again)
    return list(c.execute(select(transfers).join(cases).where(*where).order_by(*order)))


def digests_of(c: Connection) -> dict[str, set[str]]:
    """Under which digests each case was sealed, also those that were shed."""
    found: dict[str, set[str]] = {}
    for case_id, sha256 in c.execute(select(transfers.c.case_id, transfers.c.sha256)):
        found.setdefault(case_id, set()).add(sha256)
    return found


def requests_after(link_c: Connection, last_id: int, limit: int) -> list[Row[Any]]:
    """What the centre asked for, with a higher id than last_id, in order of arrival."""
    chosen = select(requests).where(requests.c.id > last_id)
    return list(link_c.execute(chosen.order_by(requests.c.id).limit(limit)))


def unsettled_transfers(cases_c: Connection, link_c: Connection, now: float) -> Iterator[Load]:
    """What is to be sent, in the order of core.schedule: of each open case its fullest transfer, and asked-for series.

    now  wall clock, s since 1970: a clock that jumps moves the order, nothing else
    """
    other = transfers.alias("other")
    fullest = select(func.max(other.c.tier)).where(
        other.c.state == "ready", other.c.tier < SERIES_TIER, other.c.case_id == cases.c.case_id
    )
    chosen = or_(
        and_(cases.c.state == "queued", transfers.c.tier == fullest.correlate(cases).scalar_subquery()),
        and_(cases.c.state != "cancelled", transfers.c.tier == SERIES_TIER),
    )
    order = (_class(now).desc(), transfers.c.created_at, transfers.c.case_id, transfers.c.id.desc())
    found = cases_c.execute(select(transfers).join(cases).where(transfers.c.state == "ready", chosen).order_by(*order))
    while page := found.fetchmany(PAGE_ROWS):  # whoever needs only the first few reads only those
        yield from _unsettled(link_c, page)


def _class(now: float) -> ColumnElement[Any]:
    """core.schedule.class_of, said in SQL."""
    own = case(
        (transfers.c.tier == SERIES_TIER, SERIES_CLASS),
        (transfers.c.urgency == "critical", CLASSES["critical"]),
        (transfers.c.urgency == "urgent", CLASSES["urgent"]),
        else_=CLASSES["routine"],
    )
    steps = cast(func.max(cast(now - transfers.c.created_at, Float), 0.0) / AGEING_S, Integer)
    return func.max(own, func.min(CLIMB_TO, own + steps))


def _unsettled(link_c: Connection, page: Sequence[Row[Any]]) -> Iterator[Load]:
    ids, names = [row.transfer_id for row in page], [row.case_id for row in page]
    settled = set(
        link_c.execute(
            select(sendings.c.case_id).where(sendings.c.case_id.in_(names), sendings.c.state != "sending")
        ).scalars()
    )
    far = {row.transfer_id: row for row in link_c.execute(select(passages).where(passages.c.transfer_id.in_(ids)))}
    for row in page:
        told = far.get(row.transfer_id)
        done = told is not None and told.state != "sending"
        if done or (row.tier < SERIES_TIER and row.case_id in settled):
            continue
        yield Load(_enclosed(row), row.created_at, 0 if told is None else int(told.have, 16))


def _enclosed(row: Row[Any]) -> Enclosed:
    return Enclosed(
        transfer_id=row.transfer_id,
        case_id=row.case_id,
        tier=row.tier,
        urgency=row.urgency,
        parts=row.parts,
        sealed_bytes=row.sealed_bytes,
        sha256=row.sha256,
        letter=row.letter,
    )
