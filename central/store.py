"""What the centre keeps: cases, how often each was asked about, verdicts, and what it would not take.

Portable SQL through SQLAlchemy Core, SQLite or PostgreSQL. What is due to be sent is derived from these rows, never
kept beside them. It parses nothing and decides nothing; functions take a connection, so that one transaction holds
everything one step must do at once.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    UniqueConstraint,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from appliance.core.document import URGENCIES, Urgency
from appliance.errors import Unavailable
from appliance.world.sqlite import open_writer

QUARANTINE_MAX = 1000  # messages kept aside; the oldest goes first
QUARANTINE_BYTES_MAX = 64 * 1024  # of each; its digest is over all of it
UNANSWERED = ("received", "asked")

METADATA = MetaData()
CaseRow = Row[*tuple[Any, ...]]  # of one case, whatever columns were asked for

cases = Table(
    "cases",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("case_id", String(32), nullable=False),
    Column("part_sha256", String(64), nullable=False),
    Column("body", LargeBinary),  # exactly the bytes that came; None where they bear what looks like identity
    Column("urgency", String(16), nullable=False),  # "" for a refused case
    Column("urgency_rank", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("state", String(16), nullable=False),  # received | asked | answered | refused
    Column("state_at", Float, nullable=False),
    Column("code", String(80), nullable=False),  # why refused; "" otherwise
    UniqueConstraint("device_id", "case_id"),
    Index("cases_by_state", "state", "urgency_rank", "id"),
)
asks = Table(
    "asks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("case_number", ForeignKey("cases.id"), nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_at", Float, nullable=False),
    UniqueConstraint("case_number", "request_hash"),
)
verdicts = Table(
    "verdicts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("case_number", ForeignKey("cases.id"), nullable=False),
    Column("rev", Integer, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("body", LargeBinary, nullable=False),  # the canonical bytes that are sent, every time the same
    Column("created_at", Float, nullable=False),
    Column("taken_at", Float),
    UniqueConstraint("case_number", "rev"),
    UniqueConstraint("case_number", "request_hash"),
    Index("verdicts_by_taken", "taken_at", "id"),
)
quarantine = Table(
    "quarantine",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("code", String(80), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes_count", Integer, nullable=False),
    Column("body", LargeBinary),  # None where it bears what looks like identity
    Column("at", Float, nullable=False),
    Column("copies", Integer, nullable=False),
    UniqueConstraint("device_id", "kind", "code", "sha256"),
)


def open_store(folder: Path) -> Engine:
    """The centre's store in a folder of its own, made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return open_writer(folder / "central.db", METADATA)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction. A full disk, a locked or an absent database is Unavailable("store-away"), nothing half done."""
    try:
        with engine.begin() as c:
            yield c
    except OperationalError:
        raise Unavailable("store-away") from None


def _insert_once(c: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts a row unless a unique key of it is taken; says whether it did."""
    insert = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    return c.execute(insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1


# In: cases, and what is no case.


def file_case(
    c: Connection,
    device_id: str,
    case_id: str,
    *,
    part_sha256: str,
    body: bytes | None,
    urgency: Urgency | None,
    code: str,
    at: float,
) -> tuple[Row[Any], bool]:
    """Files a case under its device and id; returns the row that stands there and whether it is new.

    code  why it is refused, "" when it is taken. The first bytes under an id stand for ever: the caller compares
          part_sha256 of the row with that of what came.
    """
    state = "refused" if code else "received"
    row = {"device_id": device_id, "case_id": case_id, "part_sha256": part_sha256, "body": body, "code": code}
    rank = 0 if urgency is None else URGENCIES.index(urgency)
    new = _insert_once(
        c,
        cases,
        {
            **row,
            "urgency": urgency or "",
            "urgency_rank": rank,
            "received_at": at,
            "state": state,
            "state_at": at,
        },
    )
    return c.execute(select(cases).filter_by(device_id=device_id, case_id=case_id)).one(), new


def put_aside(c: Connection, device_id: str, kind: str, code: str, data: bytes, *, keep_body: bool, at: float) -> None:
    """Keeps a message that is not believed for a person, a bounded number of them, each once with a count."""
    key = {"device_id": device_id, "kind": kind, "code": code, "sha256": hashlib.sha256(data).hexdigest()}
    body = data[:QUARANTINE_BYTES_MAX] if keep_body else None
    if not _insert_once(c, quarantine, {**key, "bytes_count": len(data), "body": body, "at": at, "copies": 1}):
        c.execute(update(quarantine).filter_by(**key).values(copies=quarantine.c.copies + 1, at=at))
        return
    newest = select(quarantine.c.id).order_by(quarantine.c.id.desc()).limit(QUARANTINE_MAX)
    c.execute(delete(quarantine).where(quarantine.c.id.not_in(newest)))


# Through: one case at a time to the language model.


def next_case(c: Connection) -> Row[Any] | None:
    """The most urgent case without a verdict, the oldest among equals."""
    order = (cases.c.urgency_rank.desc(), cases.c.id)
    return c.execute(select(cases).where(cases.c.state.in_(UNANSWERED)).order_by(*order).limit(1)).one_or_none()


def count_ask(c: Connection, case_number: int, request_hash: str, at: float) -> int:
    """Counts an attempt before it is made; returns how many there are of this very request, this one included."""
    key = {"case_number": case_number, "request_hash": request_hash}
    if not _insert_once(c, asks, {**key, "attempts": 1, "last_at": at}):
        c.execute(update(asks).filter_by(**key).values(attempts=asks.c.attempts + 1, last_at=at))
    first = (cases.c.id == case_number, cases.c.state == "received")
    c.execute(update(cases).where(*first).values(state="asked", state_at=at))
    attempts: int = c.execute(select(asks.c.attempts).filter_by(**key)).scalar_one()
    return attempts


def file_verdict(
    c: Connection, case_number: int, *, rev: int, request_hash: str, status: str, body: bytes, at: float
) -> int | None:
    """Files the verdict of a case that has none; returns its number, or None when another job was quicker."""
    open_still = (cases.c.id == case_number, cases.c.state.in_(UNANSWERED))
    if c.execute(update(cases).where(*open_still).values(state="answered", state_at=at)).rowcount != 1:
        return None
    row = {"case_number": case_number, "rev": rev, "request_hash": request_hash, "status": status, "body": body}
    filed = _insert_once(c, verdicts, {**row, "created_at": at, "taken_at": None})
    assert filed, "a case without an answer has no verdict"
    number: int = c.execute(select(verdicts.c.id).filter_by(case_number=case_number, rev=rev)).scalar_one()
    return number


# Out: verdicts until the edge has taken them.


def untaken(c: Connection, after: int, limit: int) -> list[int]:
    """Numbers of verdicts nobody has taken, greater than `after`, in order."""
    where = (verdicts.c.taken_at.is_(None), verdicts.c.id > after)
    return list(c.execute(select(verdicts.c.id).where(*where).order_by(verdicts.c.id).limit(limit)).scalars())


def untaken_verdict(c: Connection, number: int) -> Row[Any, Any] | None:
    """(device_id, body) of a verdict nobody has taken; None when it was taken meanwhile."""
    joined = select(cases.c.device_id, verdicts.c.body).join(cases, cases.c.id == verdicts.c.case_number)
    return c.execute(joined.where(verdicts.c.id == number, verdicts.c.taken_at.is_(None))).one_or_none()


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
    """(id, state, part_sha256, code) of those cases of one device that are known here, by case id."""
    columns = (cases.c.case_id, cases.c.id, cases.c.state, cases.c.part_sha256, cases.c.code)
    where = (cases.c.device_id == device_id, cases.c.case_id.in_(list(case_ids)))
    return {row.case_id: row for row in c.execute(select(*columns).where(*where)).all()}


def counts(c: Connection) -> dict[str, int]:
    """How many cases stand in each state, verdicts by status, verdicts not taken, messages aside."""
    found = {"received": 0, "asked": 0, "answered": 0, "refused": 0, "ok": 0, "needs_human": 0}
    for column in (cases.c.state, verdicts.c.status):
        found.update(dict(c.execute(select(column, func.count()).group_by(column)).all()))
    not_taken = select(func.count()).select_from(verdicts).where(verdicts.c.taken_at.is_(None))
    found["verdicts_untaken"] = c.execute(not_taken).scalar_one()
    found["put_aside"] = c.execute(select(func.count()).select_from(quarantine)).scalar_one()
    return found
