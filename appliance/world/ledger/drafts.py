"""Words that a small language model on this machine drafted while the centre was silent: one row a case, or none.

A draft moves no study and is no verdict. Each attempt is counted before it is made, so that a question which ends its
child is not put for ever. Functions take a connection, as the rest of the ledger does.
"""

from typing import Any

from sqlalchemy import JSON, Column, Connection, Float, ForeignKey, Integer, Row, String, Table, func, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA

drafts = Table(
    "drafts",
    METADATA,
    Column("case_id", String, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("state", String, nullable=False),  # begun, shown, withheld, none
    Column("code", String, nullable=False),  # why there is none
    Column("weights_sha256", String, nullable=False),
    Column("body", JSON),  # a Verdict, as the centre's would be; null without one
    Column("seconds", Float),
    Column("at", Float, nullable=False),
)


def begin(c: Connection, case_id: str, number: int, revision: int, weights_sha256: str, at: float) -> None:
    """Counts an attempt before it is made."""
    fields = {"state": "begun", "code": "", "weights_sha256": weights_sha256, "at": at}
    made = upsert(drafts).values(case_id=case_id, study_number=number, revision=revision, attempts=1, **fields)
    again = {"attempts": drafts.c.attempts + 1, **fields}
    c.execute(made.on_conflict_do_update(index_elements=["case_id"], set_=again))


def end(
    c: Connection, case_id: str, *, state: str, code: str, body: dict[str, Any] | None, seconds: float, at: float
) -> None:
    told = {"state": state, "code": code, "body": body, "seconds": seconds, "at": at}
    c.execute(update(drafts).where(drafts.c.case_id == case_id).values(**told))


def of_case(c: Connection, case_id: str) -> Row[Any] | None:
    return c.execute(select(drafts).where(drafts.c.case_id == case_id)).one_or_none()


def spent(c: Connection, attempts_max: int) -> set[str]:
    """Cases that are not asked about again: drafted, or tried so often."""
    over = drafts.c.state.in_(("shown", "withheld")) | (drafts.c.attempts >= attempts_max)
    return set(c.execute(select(drafts.c.case_id).where(over)).scalars())


def counts(c: Connection) -> dict[str, int]:
    """How many drafts stand in each state."""
    return dict(c.execute(select(drafts.c.state, func.count()).group_by(drafts.c.state)).all())
