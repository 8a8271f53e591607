"""The log of display checks, also in review/review.db: who looked at the test pattern, when, and what they saw.

Append-only: the database itself refuses to change or delete a row. A display is what its reader calls it.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Float, Integer, MetaData, Row, String, Table, select
from sqlalchemy.dialects.sqlite import insert as upsert

DISPLAY_CHARACTERS_MAX, NOTE_CHARACTERS_MAX = 60, 200
METADATA = MetaData()

checks = Table(
    "display_checks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),  # of the form: posted twice, counted once
    Column("display", String, nullable=False),  # which one, in its reader's words
    Column("user", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("failed", JSON, nullable=False),  # keys of core.display_pattern.QUESTIONS that were answered with no
    Column("note", String, nullable=False),
    sqlite_autoincrement=True,
)


def guard(c: Connection) -> None:
    """Lets the database refuse to change what was filed."""
    for verb in ("UPDATE", "DELETE"):
        c.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS display_checks_no_{verb.lower()} BEFORE {verb} ON display_checks "
            "BEGIN SELECT RAISE(ABORT, 'display checks are append-only'); END"
        )


def file(c: Connection, *, nonce: str, display: str, user: str, at: float, failed: list[str], note: str) -> bool:
    """Files one check; False when this form was posted before."""
    assert 0 < len(display) <= DISPLAY_CHARACTERS_MAX
    assert len(note) <= NOTE_CHARACTERS_MAX
    row = {"nonce": nonce, "display": display, "user": user, "at": at, "failed": failed, "note": note}
    return c.execute(upsert(checks).values(**row, passed=not failed).on_conflict_do_nothing()).rowcount == 1


def newest(c: Connection, limit: int) -> list[Row[Any]]:
    return list(c.execute(select(checks).order_by(checks.c.id.desc()).limit(limit)))
