"""What the centre keeps: cases, how often each was asked about, verdicts, and what it would not take.

Portable SQL through SQLAlchemy Core, SQLite or PostgreSQL. What is due to be sent is derived from these rows, never
kept beside them. It parses nothing and decides nothing; functions take a connection, so that one transaction holds
everything one step must do at once.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Row, and_, delete, func, or_, select, update

from appliance.core.document import AGEING_S, URGENCIES, Urgency
from appliance.core.messages import partition
from central.store.leases import (
    CLAIM_S,
    LEASE_S,
    claim_share,
    clock,
    forget_share,
    holds_share,
    live_workers,
    release,
    renew_claims,
    shares_held,
    shares_of_former_times,
    worker_ends,
    worker_lives,
)
from central.store.looking import counts
from central.store.opening import insert_once, open_server, open_store, transaction
from central.store.tables import (
    METADATA,
    UNANSWERED,
    WAITING,
    asks,
    cases,
    devices,
    quarantine,
    requests,
    shares,
    transfers,
    verdicts,
    workers,
)

__all__ = [
    "CLAIM_S",
    "LEASE_S",
    "METADATA",
    "asks",
    "cases",
    "claim_share",
    "counts",
    "devices",
    "forget_share",
    "holds_share",
    "live_workers",
    "open_server",
    "open_store",
    "quarantine",
    "release",
    "renew_claims",
    "requests",
    "shares",
    "shares_held",
    "shares_of_former_times",
    "transaction",
    "transfers",
    "verdicts",
    "worker_ends",
    "worker_lives",
    "workers",
]

QUARANTINE_MAX = 1000  # messages kept aside; the oldest goes first
QUARANTINE_EACH_MAX = 20  # of one device, kind and code; what comes beyond that is only counted
QUARANTINE_BYTES_MAX = 64 * 1024  # of each; its digest is over all of it

CaseRow = Row[*tuple[Any, ...]]  # of one case, whatever columns were asked for


# In: cases, and what is no case.


def file_case(
    c: Connection,
    device_id: str,
    case_id: str,
    *,
    transfer_id: str,
    sha256: str,
    tier: int,
    body: bytes | None,
    urgency: Urgency,
    code: str,
    at: float,
) -> tuple[CaseRow, bool]:
    """Files a case under its device and id; returns the row that stands there and whether it is new.

    code  why it is refused, "" when it is taken. The first that came whole stands for ever.
    """
    rank = URGENCIES.index(urgency)
    new = insert_once(
        c,
        cases,
        {
            "device_id": device_id,
            "partition": int(partition(device_id), 16),
            "case_id": case_id,
            "transfer_id": transfer_id,
            "sha256": sha256,
            "tier": tier,
            "body": body,
            "urgency": urgency,
            "urgency_rank": rank,
            "turn": _turn(c, device_id, rank),
            "received_at": at,
            "state": "refused" if code else "received",
            "state_at": at,
            "code": code,
            "claimed_by": "",
            "claimed_until": 0.0,
        },
    )
    return c.execute(select(cases).filter_by(device_id=device_id, case_id=case_id)).one(), new


def put_aside(c: Connection, device_id: str, kind: str, code: str, data: bytes, *, keep_body: bool, at: float) -> None:
    """Keeps a message that is not believed for a person, a bounded number of them, each once with a count."""
    sort = {"device_id": device_id, "kind": kind, "code": code}
    key = {**sort, "sha256": hashlib.sha256(data).hexdigest()}
    if _count_copy(c, key, at):
        return
    if c.execute(select(func.count()).select_from(quarantine).filter_by(**sort)).scalar_one() >= QUARANTINE_EACH_MAX:
        key["sha256"] = ""
        if _count_copy(c, key, at):
            return
    body = data[:QUARANTINE_BYTES_MAX] if keep_body and key["sha256"] else None
    insert_once(c, quarantine, {**key, "bytes_count": len(data), "body": body, "at": at, "copies": 1})
    newest = select(quarantine.c.id).order_by(quarantine.c.id.desc()).limit(QUARANTINE_MAX)
    c.execute(delete(quarantine).where(quarantine.c.id.not_in(newest.scalar_subquery())))


def _count_copy(c: Connection, key: dict[str, str], at: float) -> bool:
    return c.execute(update(quarantine).filter_by(**key).values(copies=quarantine.c.copies + 1, at=at)).rowcount == 1


def heard_of(c: Connection, device_ids: Collection[str], at: float) -> None:
    """These devices said something that was believed."""
    for device_id in sorted(device_ids):
        if not insert_once(c, devices, {"device_id": device_id, "heard_at": at}):
            c.execute(update(devices).filter_by(device_id=device_id).values(heard_at=at))


# Through: to the language model.


def claim_case(c: Connection, worker: str, at: float) -> CaseRow | None:
    """The next case without a verdict that nobody asks about now; ours for a while.

    By urgency; within one, devices take turns, so that a site that comes back with a week's cases delays nobody else's.
    Who waits climbs as on the wire (core.schedule): up to urgent and never to critical, the longest waiting first.
    """
    at = clock(c, at)
    critical, urgent = URGENCIES.index("critical"), URGENCIES.index("urgent")
    turns, ages = (cases.c.turn, cases.c.id), (cases.c.received_at, cases.c.id)
    queues: list[tuple[ColumnElement[bool], tuple[Column[Any], ...]]] = [
        (cases.c.urgency_rank == critical, turns),
        *((and_(cases.c.urgency_rank == rank, cases.c.received_at <= at - AGEING_S), ages) for rank in range(urgent)),
        *((cases.c.urgency_rank == rank, turns) for rank in range(urgent, -1, -1)),
    ]
    # A claim that ends far in the future was made by a clock that has been put right since.
    free = or_(cases.c.claimed_until <= at, cases.c.claimed_until > at + 2 * CLAIM_S)
    for queue, order in queues:
        found = select(cases).where(WAITING, queue, free).order_by(*order).limit(1)
        row = c.execute(found.with_for_update(skip_locked=True)).one_or_none()
        if row is not None:
            claim = {"claimed_by": worker, "claimed_until": at + CLAIM_S}
            c.execute(update(cases).where(cases.c.id == row.id).values(**claim))
            return row
    return None


def _turn(c: Connection, device_id: str, urgency_rank: int) -> int:
    """Which turn a new case gets: behind its device's last that waits, and not before the turn that is asked about now.

    Start-time fair queueing (Goyal, Vin, Cheng, 1996) with cases of equal length.
    """
    rank = cases.c.urgency_rank == urgency_rank
    now = select(func.min(cases.c.turn)).where(WAITING, rank).scalar_subquery()
    last = select(func.max(cases.c.turn)).where(WAITING, rank, cases.c.device_id == device_id).scalar_subquery()
    asked_about, own = c.execute(select(now, last)).one()
    return max(asked_about or 0, 0 if own is None else own + 1)


def let_go(c: Connection, case_number: int, worker: str) -> None:
    """Somebody else may ask about this case now."""
    mine = (cases.c.id == case_number, cases.c.claimed_by == worker)
    c.execute(update(cases).where(*mine).values(claimed_by="", claimed_until=0.0))


def count_ask(c: Connection, case_number: int, request_hash: str, at: float) -> int:
    """Counts an attempt before it is made; returns how many there are of this very request, this one included."""
    key = {"case_number": case_number, "request_hash": request_hash}
    if not insert_once(c, asks, {**key, "attempts": 1, "last_at": at}):
        c.execute(update(asks).filter_by(**key).values(attempts=asks.c.attempts + 1, last_at=at))
    first = (cases.c.id == case_number, cases.c.state == "received")
    c.execute(update(cases).where(*first).values(state="asked", state_at=at))
    attempts: int = c.execute(select(asks.c.attempts).filter_by(**key)).scalar_one()
    return attempts


def file_verdict(
    c: Connection,
    case_number: int,
    *,
    rev: int,
    request_hash: str,
    status: str,
    body: bytes,
    letter: bytes | None,
    at: float,
) -> int | None:
    """Files the verdict of a case that has none; returns its number, or None when another job was quicker."""
    open_still = (cases.c.id == case_number, cases.c.state.in_(UNANSWERED))
    if c.execute(update(cases).where(*open_still).values(state="answered", state_at=at)).rowcount != 1:
        return None
    key = {"case_number": case_number, "rev": rev, "request_hash": request_hash}
    said = {"status": status, "body": body, "letter": letter, "created_at": at, "taken_at": None}
    filed = insert_once(c, verdicts, {**key, **said})
    assert filed, "a case without an answer has no verdict"
    number: int = c.execute(select(verdicts.c.id).filter_by(case_number=case_number, rev=rev)).scalar_one()
    return number


# Out: verdicts until the edge has taken them.


def untaken(c: Connection, partitions: Collection[int], after: int, limit: int) -> list[int]:
    """Numbers of verdicts for these partitions that nobody has taken, greater than `after`, in order."""
    joined = select(verdicts.c.id).join(cases, cases.c.id == verdicts.c.case_number)
    where = (verdicts.c.taken_at.is_(None), verdicts.c.id > after, cases.c.partition.in_(sorted(partitions)))
    return list(c.execute(joined.where(*where).order_by(verdicts.c.id).limit(limit)).scalars())


def untaken_verdict(c: Connection, number: int) -> Row[Any, Any, Any, Any, Any] | None:
    """(device_id, case_id, rev, body, letter) of a verdict nobody has taken; None when it was taken meanwhile.

    Locked where the database locks rows: its letter is written once. Two letters of one verdict are a contradiction to
    the edge, which would never take it.
    """
    columns = (cases.c.device_id, cases.c.case_id, verdicts.c.rev, verdicts.c.body, verdicts.c.letter)
    joined = select(*columns).join(cases, cases.c.id == verdicts.c.case_number)
    found = joined.where(verdicts.c.id == number, verdicts.c.taken_at.is_(None)).with_for_update(of=verdicts)
    return c.execute(found).one_or_none()


def keep_letter(c: Connection, number: int, letter: bytes) -> None:
    """The sealed verdict as it is sent from now on."""
    c.execute(update(verdicts).where(verdicts.c.id == number).values(letter=letter))


def take_verdict(c: Connection, device_id: str, case_id: str, rev: int, at: float) -> int | None:
    """The edge holds this verdict: returns its number, or None for one that was never given to this device."""
    joined = select(verdicts.c.id).join(cases, cases.c.id == verdicts.c.case_number)
    where = (cases.c.device_id == device_id, cases.c.case_id == case_id, verdicts.c.rev == rev)
    number: int | None = c.execute(joined.where(*where)).scalar_one_or_none()
    if number is not None:
        c.execute(update(verdicts).where(verdicts.c.id == number, verdicts.c.taken_at.is_(None)).values(taken_at=at))
    return number


def offer_again(c: Connection, case_number: int) -> list[int]:
    """The edge asks about a case that was answered: its verdicts count as not taken; returns their numbers."""
    c.execute(update(verdicts).where(verdicts.c.case_number == case_number).values(taken_at=None))
    return list(c.execute(select(verdicts.c.id).where(verdicts.c.case_number == case_number)).scalars())


# What anybody may ask.


def cases_of(c: Connection, device_id: str, case_ids: Iterable[str]) -> dict[str, CaseRow]:
    """(id, state, transfer_id, sha256, code) of those cases of one device that are known here, by case id."""
    columns = (cases.c.case_id, cases.c.id, cases.c.state, cases.c.transfer_id, cases.c.sha256, cases.c.code)
    where = (cases.c.device_id == device_id, cases.c.case_id.in_(list(case_ids)))
    return {row.case_id: row for row in c.execute(select(*columns).where(*where)).all()}


def cases_named(c: Connection, case_id: str) -> list[CaseRow]:
    """The cases of that name; of several devices only where two gave one name."""
    return list(c.execute(select(cases).filter_by(case_id=case_id).order_by(cases.c.id)).all())
