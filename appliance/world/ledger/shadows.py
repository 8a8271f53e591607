"""What models said that run beside the deciding one: kept to be compared, never asked by a decision.

A row is written after the study was decided and moved; one that is missing says only that a shadow had no time or gave
up. Functions take a connection, as the rest of the ledger does.
"""

from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Float, ForeignKey, Integer, Row, String, Table, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA

shadows = Table(
    "shadows",
    METADATA,
    Column("study_number", ForeignKey("studies.number"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("model", String, primary_key=True),  # name/version of the shadow
    Column("lane", String, nullable=False),
    Column("would_be", String),
    Column("reasons", JSON, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("decided_by", String),  # name/version of the model that decided; null where none applied
    Column("agrees", Boolean, nullable=False),  # the same lane as the decision
    Column("at", Float, nullable=False),
)


def put(c: Connection, number: int, revision: int, values: dict[str, Any]) -> None:
    """What one shadow said of one revision; the first row stands."""
    c.execute(upsert(shadows).values(study_number=number, revision=revision, **values).on_conflict_do_nothing())


def of(c: Connection, number: int) -> list[Row[Any]]:
    order = (shadows.c.revision.desc(), shadows.c.model)
    return list(c.execute(select(shadows).where(shadows.c.study_number == number).order_by(*order)))


def agreement(c: Connection, model: str) -> dict[bool, int]:
    """How often a shadow agreed with the decision, and how often not."""
    rows = c.execute(select(shadows.c.agrees, func.count()).where(shadows.c.model == model).group_by(shadows.c.agrees))
    return {True: 0, False: 0} | {bool(agrees): count for agrees, count in rows}
