"""What readers order about single files that belong to no study, also in review/review.db; triage carries it out.

A file is known by its digest, which says nothing of a patient. Only the review service writes here, and each form
counts once; whether a file can be tried again is triage's to say.
"""

from typing import Any, Literal, get_args

from sqlalchemy import Column, Connection, Float, Integer, MetaData, Row, String, Table, inspect, select
from sqlalchemy.dialects.sqlite import insert as upsert

FileCommandKind = Literal["release", "reject"]
FILE_COMMAND_KINDS: tuple[FileCommandKind, ...] = get_args(FileCommandKind)
BECAUSE_CHARACTERS_MAX = 200

METADATA = MetaData()

file_commands = Table(
    "file_commands",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),  # of the form: posted twice, done once
    Column("kind", String, nullable=False),
    Column("sha256", String, nullable=False, index=True),
    Column("user", String, nullable=False),
    Column("because", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,  # triage remembers the last id it took over: an id is never given twice
)


def command(
    c: Connection, *, nonce: str, kind: FileCommandKind, sha256: str, user: str, because: str, at: float
) -> bool:
    """Files a release or a rejection of one file; False when this form was posted before."""
    assert kind in FILE_COMMAND_KINDS
    assert len(because) <= BECAUSE_CHARACTERS_MAX
    row = {"nonce": nonce, "kind": kind, "sha256": sha256, "user": user, "because": because, "at": at}
    return c.execute(upsert(file_commands).values(**row).on_conflict_do_nothing()).rowcount == 1


def commands_after(c: Connection, last_id: int, limit: int = 100) -> list[Row[Any]]:
    """Commands with a higher id than last_id, in order; none where the desk was made before there were any."""
    if not inspect(c).has_table(file_commands.name):
        return []
    chosen = select(file_commands).where(file_commands.c.id > last_id)
    return list(c.execute(chosen.order_by(file_commands.c.id).limit(limit)))


def last_on(c: Connection, digests: list[str]) -> dict[str, Row[Any]]:
    """The newest command on each of these files, by its digest."""
    chosen = select(file_commands).where(file_commands.c.sha256.in_(digests)).order_by(file_commands.c.id)
    return {row.sha256: row for row in c.execute(chosen)}
