"""The other half of the desk, also in review/review.db: answers to blinded audit reads, and certificates withdrawn.

Only the review service and the command line write it; triage takes each row over once. An answer is a named reader's
act and cannot be changed or given twice. It knows audits by number: not the study, not the lane, not the score.
"""

from typing import Any, Literal, get_args

from sqlalchemy import Column, Connection, Float, Integer, MetaData, Row, String, Table, inspect, select
from sqlalchemy.dialects.sqlite import insert as upsert

AuditAnswer = Literal["present", "absent", "cannot_tell"]
AUDIT_ANSWERS: tuple[AuditAnswer, ...] = get_args(AuditAnswer)
BECAUSE_CHARACTERS_MAX = 500

METADATA = MetaData()

answers = Table(
    "audit_answers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),  # of the form: posted twice, answered once
    Column("audit_id", Integer, nullable=False, unique=True),
    Column("user", String, nullable=False),
    Column("answer", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
withdrawals = Table(
    "withdrawals",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),
    Column("certificate", String, nullable=False),  # its digest
    Column("user", String, nullable=False),
    Column("because", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)


def make(c: Connection) -> None:
    """Makes the tables where they are not there yet; for the writer."""
    METADATA.create_all(c)


def is_made(c: Connection) -> bool:
    """Whether this version's review service has opened the database: one of before has no such tables."""
    return inspect(c).has_table(withdrawals.name)


def answer(c: Connection, *, nonce: str, audit_id: int, user: str, given: AuditAnswer, at: float) -> bool:
    """Files the answer to one audit; False when it has one already, or this form was posted before."""
    assert given in AUDIT_ANSWERS
    row = {"nonce": nonce, "audit_id": audit_id, "user": user, "answer": given, "at": at}
    return c.execute(upsert(answers).values(**row).on_conflict_do_nothing()).rowcount == 1


def answer_to(c: Connection, audit_id: int) -> Row[Any] | None:
    """The answer to an audit, if any; triage may not have taken it over yet."""
    return c.execute(select(answers).where(answers.c.audit_id == audit_id)).one_or_none()


def answer_with(c: Connection, nonce: str) -> Row[Any] | None:
    """The answer that this form gave, if it was posted before."""
    return c.execute(select(answers).where(answers.c.nonce == nonce)).one_or_none()


def answered(c: Connection, audit_ids: list[int]) -> set[int]:
    """Which of these audits have an answer."""
    return set(c.execute(select(answers.c.audit_id).where(answers.c.audit_id.in_(audit_ids))).scalars())


def answers_after(c: Connection, last_id: int, limit: int) -> list[Row[Any]]:
    """Answers with a higher id than last_id, in order: what triage takes over next."""
    return list(c.execute(select(answers).where(answers.c.id > last_id).order_by(answers.c.id).limit(limit)))


def withdraw(c: Connection, *, nonce: str, certificate: str, user: str, because: str, at: float) -> bool:
    """Files a person's will that a certificate opens no lane any more; False when this form was posted before."""
    assert 0 < len(because) <= BECAUSE_CHARACTERS_MAX
    row = {"nonce": nonce, "certificate": certificate, "user": user, "because": because, "at": at}
    return c.execute(upsert(withdrawals).values(**row).on_conflict_do_nothing()).rowcount == 1


def withdrawals_after(c: Connection, last_id: int, limit: int) -> list[Row[Any]]:
    chosen = select(withdrawals).where(withdrawals.c.id > last_id)
    return list(c.execute(chosen.order_by(withdrawals.c.id).limit(limit)))
