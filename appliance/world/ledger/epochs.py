"""When this ledger is not the one that went before: after a restore or a salvage, no name of before may be given again.

A case is named by its study and revision, and the centre may hold cases of after the backup; what readers wrote names a
study by its number. So an epoch raises the floor under revisions, numbers and audits. Functions take a connection.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Float, Integer, String, Table, func, insert, inspect, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, studies

STEP = 1000  # revisions of one epoch
epochs = Table(
    "epochs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("why", String, nullable=False),  # restored, salvaged
    Column("revision_floor", Integer, nullable=False),
    Column("number_floor", Integer, nullable=False),
    Column("audit_floor", Integer, nullable=False),
    Column("at", Float, nullable=False),
)
salvaged = Table(  # files of a ledger that was lost: their studies are never routine
    "salvaged",
    METADATA,
    Column("sha256", String, primary_key=True),
)
lost_cases = Table(  # cases whose studies' rows were lost
    "lost_cases",
    METADATA,
    Column("case_id", String, primary_key=True),
)
BATCH = 500


def begin(c: Connection, why: str, *, revision: int, number: int = 0, audit: int = 0, at: float) -> None:
    """A new epoch above the highest revision, number and audit that may be known anywhere."""
    floor = (revision // STEP + 1) * STEP
    row = {"why": why, "revision_floor": floor, "number_floor": number, "audit_floor": audit, "at": at}
    c.execute(insert(epochs).values(**row))


def next_revision(c: Connection, revision: int) -> int:
    """The revision after this one; 0 for a study that is new."""
    floor = c.execute(select(func.max(epochs.c.revision_floor))).scalar_one() or 0
    return max(revision, int(floor)) + 1


def next_number(c: Connection) -> int | None:
    """The number of a new study; None: the database's own choice."""
    return _next(c, func.max(epochs.c.number_floor), func.max(studies.c.number))


def next_audit(c: Connection, ids: Column[Any]) -> int | None:
    return _next(c, func.max(epochs.c.audit_floor), func.max(ids))


def _next(c: Connection, floor: Any, present: Any) -> int | None:
    lowest = c.execute(select(floor)).scalar_one() or 0
    return max(int(lowest), int(c.execute(select(present)).scalar_one() or 0)) + 1 if lowest else None


def put_salvaged(c: Connection, digests: Sequence[str], cases: Sequence[str]) -> None:
    for table, column, values in ((salvaged, "sha256", digests), (lost_cases, "case_id", cases)):
        for start in range(0, len(values), BATCH):
            rows = [{column: value} for value in values[start : start + BATCH]]
            c.execute(upsert(table).values(rows).on_conflict_do_nothing())


def mark(c: Connection, number: int, sha256: str) -> None:
    """A study that has a file of before is in doubt."""
    known = select(salvaged.c.sha256).where(salvaged.c.sha256 == sha256)
    if c.execute(known).first() is not None:
        c.execute(update(studies).where(studies.c.number == number).values(doubt="study-salvaged"))


def lost(c: Connection) -> Iterable[str]:
    if not inspect(c).has_table(lost_cases.name):
        return ()
    return set(c.execute(select(lost_cases.c.case_id)).scalars())
