"""How often a certificate was tried for on the same patients: the j-th rule may spend delta / (j (j + 1)) only.

Append-only, in phi/studies.db. A row is written before a label is opened, so that an attempt which was looked at and
thrown away counts too. The same plan on the same labels is the same attempt however often it is run. Patients are kept
as digests of film ids; an attempt on any of them counts against every later one of the same finding, so that leaving a
patient out, or adding one, starts no new count. The operator's verb `appliance certify` is the one that writes here.
"""

from collections.abc import Sequence

from sqlalchemy import JSON, Column, Connection, Float, Integer, String, Table, insert, select

from appliance.world.ledger.tables import METADATA

attempts = Table(
    "attempts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("patients_sha256", String, nullable=False, index=True),
    Column("films", JSON, nullable=False),  # digests of the ids of the films to be judged
    Column("finding", String, nullable=False),  # code and scheme of what the labels say
    Column("plan_sha256", String, nullable=False),  # of the plan as its first attempt would be
    Column("labels_sha256", String, nullable=False),  # of the label table, unopened
    Column("attempt", Integer, nullable=False),
    Column("at", Float, nullable=False),
)


def count_attempt(
    c: Connection,
    *,
    patients_sha256: str,
    films: Sequence[str],
    finding: str,
    plan_sha256: str,
    labels_sha256: str,
    at: float,
) -> int:
    """Which attempt this is, from 1; a new one is written down first."""
    told, before = set(films), 0
    for row in c.execute(select(attempts).where(attempts.c.finding == finding).order_by(attempts.c.id)):
        if (row.patients_sha256, row.plan_sha256, row.labels_sha256) == (patients_sha256, plan_sha256, labels_sha256):
            return int(row.attempt)
        if told & set(row.films):
            before = max(before, row.attempt)
    c.execute(
        insert(attempts).values(
            patients_sha256=patients_sha256,
            films=list(films),
            finding=finding,
            plan_sha256=plan_sha256,
            labels_sha256=labels_sha256,
            attempt=before + 1,
            at=at,
        )
    )
    return before + 1
