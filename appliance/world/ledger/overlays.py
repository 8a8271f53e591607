"""Where on a study's frames its model's answer came from: one row a revision, or none.

Kept apart from the result, because nothing is decided by it: a row that is lost costs a picture and no study.
Functions take a connection, as the rest of the ledger does.
"""

from typing import Any

from sqlalchemy import JSON, Column, Connection, ForeignKey, Integer, LargeBinary, Row, String, Table, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.overlay import HeatMap
from appliance.world.ledger.tables import METADATA

overlays = Table(
    "overlays",
    METADATA,
    Column("study_number", ForeignKey("studies.number"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("model", String, nullable=False),
    Column("label", String, nullable=False),
    Column("policy", String, nullable=False),  # of the signed manifest that the model came with
    Column("exit", Integer, nullable=False),
    Column("frames", JSON, nullable=False),  # [SHA-256 of the instance, frame from 0] of each map
    Column("rows", Integer, nullable=False),
    Column("columns", Integer, nullable=False),
    Column("levels", LargeBinary, nullable=False),  # uint8, map by map, row by row
)


def put(c: Connection, number: int, revision: int, found: HeatMap) -> None:
    """The map of one revision; deciding again gives the same, so the first one stands, as with the result."""
    told = {"model": found.model, "label": found.label, "policy": found.policy, "exit": found.exit}
    told |= {"frames": [list(each) for each in found.frames], "rows": found.rows, "columns": found.columns}
    row = {"study_number": number, "revision": revision, **told, "levels": found.levels}
    c.execute(upsert(overlays).values(**row).on_conflict_do_nothing())


def of(c: Connection, number: int, revision: int) -> Row[Any] | None:
    where = (overlays.c.study_number == number, overlays.c.revision == revision)
    return c.execute(select(overlays).where(*where)).one_or_none()
