"""Orders about models, as triage carried them out or did not: one row an order, appended and never changed.

What stands follows from the rows with the outcome "done", by core.roles. The row that takes an order over and the row
that makes it effective are one row: there is no moment at which only half of it happened.
"""

from typing import Any, Literal, cast

from sqlalchemy import (
    Column,
    Connection,
    Float,
    Integer,
    Row,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    inspect,
    select,
)

from appliance.core.roles import Order, OrderKind
from appliance.world.ledger.tables import METADATA

Source = Literal["desk", "centre", "updates", "promotion"]

orders = Table(
    "model_orders",
    METADATA,
    Column("id", Integer, primary_key=True),
    # desk: a row of review.db; centre: a signed message; updates: came verified; promotion: by figures or an alarm
    Column("source", String, nullable=False),
    Column("nonce", String, nullable=False),  # of the form or the message: given twice, obeyed once
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("share", Float, nullable=False),
    Column("who", String, nullable=False),  # a reader's name, or the key id of the signature
    Column("issued_at", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String, nullable=False),  # done | unknown | nothing | stale | other-device
    UniqueConstraint("source", "nonce"),
    sqlite_autoincrement=True,
)


def is_made(c: Connection) -> bool:
    """Whether this version's triage has opened the ledger: one of before has no such table."""
    return inspect(c).has_table(orders.name)


def done(c: Connection) -> list[Order]:
    """Every order that was carried out, oldest first."""
    chosen = select(orders.c.kind, orders.c.subject, orders.c.share).where(orders.c.outcome == "done")
    rows = c.execute(chosen.order_by(orders.c.id))  # all of them: a stop may be the last one
    return [Order(cast(OrderKind, row.kind), row.subject, row.share) for row in rows]


def is_filed(c: Connection, source: Source, nonce: str) -> bool:
    """Whether this very order was taken over before, whatever came of it: an order counts once."""
    where = (orders.c.source == source, orders.c.nonce == nonce)
    return c.execute(select(orders.c.id).where(*where).limit(1)).first() is not None


def newest(c: Connection, name: str) -> float:
    """When the newest order about a model, by its name, was given, here or by the centre; 0 where there is none."""
    of_name = (orders.c.subject == name) | orders.c.subject.startswith(f"{name}/", autoescape=True)
    chosen = select(func.max(orders.c.issued_at)).where(orders.c.outcome == "done", of_name)
    return c.execute(chosen).scalar_one() or 0.0


def file(
    c: Connection, source: Source, nonce: str, order: Order, *, who: str, issued_at: float, at: float, outcome: str
) -> None:
    """Takes one order over, with what came of it. The caller has asked is_filed in this transaction."""
    row = {"source": source, "nonce": nonce, "kind": order.kind, "subject": order.subject, "share": order.share}
    c.execute(insert(orders).values(**row, who=who, issued_at=issued_at, at=at, outcome=outcome))


def history(c: Connection, limit: int = 100) -> list[Row[Any]]:
    """The newest orders, whatever came of them, newest first; for the page and the command line."""
    return list(c.execute(select(orders).order_by(orders.c.id.desc()).limit(limit)))
