"""What persons order about keeping studies, in review/review.db: hold one, lift the hold, forget it before its time.

Rows are only ever added. Triage reads them before it forgets anything; the last of hold and lift counts. Nothing in it
names a patient: a study is its number.
"""

from typing import Any, Literal, get_args

from sqlalchemy import Column, Connection, Float, Integer, MetaData, Row, String, Table, insert, inspect, select

Kind = Literal["hold", "lift", "forget"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BECAUSE_CHARACTERS_MAX = 200
METADATA = MetaData()

retention_orders = Table(
    "retention_orders",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study_number", Integer, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("user", String, nullable=False),
    Column("because", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)


def make(c: Connection) -> None:
    """Makes what is not there yet, and its guards; for the writer."""
    METADATA.create_all(c)
    for verb in ("UPDATE", "DELETE"):
        c.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS retention_orders_no_{verb.lower()} BEFORE {verb} ON retention_orders "
            "BEGIN SELECT RAISE(ABORT, 'orders about keeping are only ever added to'); END"
        )


def order(c: Connection, number: int, kind: Kind, *, user: str, because: str, at: float) -> None:
    """because: no patient data; it stays for ever."""
    assert kind in KINDS
    assert 0 < len(because) <= BECAUSE_CHARACTERS_MAX
    c.execute(insert(retention_orders).values(study_number=number, kind=kind, user=user, because=because, at=at))


def held(c: Connection) -> dict[int, Row[Any]]:
    """Studies that a person holds, with the order that says so."""
    found = {row.study_number: row for row in _of(c, "hold", "lift")}
    return {number: row for number, row in found.items() if row.kind == "hold"}


def to_forget(c: Connection) -> dict[int, Row[Any]]:
    """Studies that are to be forgotten before their time, with the last order that says so."""
    return {row.study_number: row for row in _of(c, "forget")}


def _of(c: Connection, *kinds: Kind) -> list[Row[Any]]:
    if not inspect(c).has_table(retention_orders.name):
        return []
    where = retention_orders.c.kind.in_(kinds)
    return list(c.execute(select(retention_orders).where(where).order_by(retention_orders.c.id)))
