"""Files that belong to no study: which still wait for a person, and what persons ordered about them.

A rejected file keeps its row, as its bytes are kept; a released one loses it, and comes in again as if it were new.
Functions take a connection, as the rest of the ledger does.
"""

from typing import Any

from sqlalchemy import Column, Connection, Float, Integer, Row, String, Table, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, STRAY_WAITS, strays

file_commands = Table(
    "file_commands",
    METADATA,
    Column("command_id", Integer, primary_key=True),  # the row of review.db it was taken over from
    Column("sha256", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("user", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String, nullable=False),  # moved | stale | gone: it lies in no place that triage can reach
)


def waiting(c: Connection, limit: int) -> list[Row[Any]]:
    """Files that nobody has set aside for good, the newest first."""
    newest = (strays.c.received_at.desc(), strays.c.id.desc())
    return list(c.execute(select(strays).where(STRAY_WAITS).order_by(*newest).limit(limit)))


def count(c: Connection) -> int:
    """How many wait for a person."""
    return c.execute(select(func.count()).select_from(strays).where(STRAY_WAITS)).scalar_one()


def by_number(c: Connection, number: int) -> Row[Any] | None:
    return c.execute(select(strays).where(strays.c.id == number)).one_or_none()


def by_digest(c: Connection, sha256: str) -> Row[Any] | None:
    return c.execute(select(strays).where(strays.c.sha256 == sha256)).one_or_none()


def reject(c: Connection, sha256: str, user: str) -> None:
    """Set aside for good: the bytes are kept, and nobody is asked about them any more."""
    c.execute(update(strays).where(strays.c.sha256 == sha256).values(rejected_by=user))


def forget(c: Connection, sha256: str) -> None:
    """Its bytes lie in incoming/ again: what becomes of them is another story."""
    c.execute(delete(strays).where(strays.c.sha256 == sha256))


def last_taken_over(c: Connection) -> int:
    return c.execute(select(func.max(file_commands.c.command_id))).scalar_one() or 0


def take_over(c: Connection, row: Row[Any], outcome: str) -> None:
    told = {name: getattr(row, name) for name in ("sha256", "kind", "user", "at")}
    c.execute(upsert(file_commands).values(command_id=row.id, outcome=outcome, **told).on_conflict_do_nothing())


def outcomes(c: Connection, command_ids: list[int]) -> dict[int, str]:
    """What came of these commands, as far as they are taken over."""
    chosen = select(file_commands.c.command_id, file_commands.c.outcome)
    return dict(c.execute(chosen.where(file_commands.c.command_id.in_(command_ids))).all())
