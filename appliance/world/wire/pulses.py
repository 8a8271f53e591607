"""That uplink lives, in wire/link.db: the number of its last status, and how it stands with the broker.

The number only grows, whatever happens.
"""

from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.wire.tables import line, pulse


def next_number(c: Connection, least: int) -> int:
    """A number never given before: at least `least`, and greater than the last one. It is taken with this commit."""
    last = c.execute(select(pulse.c.number)).scalar_one_or_none() or 0
    number = max(last + 1, least)
    statement = upsert(pulse).values(id=1, number=number)
    c.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"number": number}))
    return number


def say_line(c: Connection, connected: bool, at: float) -> None:
    """How uplink stands with the broker now; since when is kept while it stays so."""
    before = line_now(c)
    since = before.since if before is not None and before.connected == connected else at
    told = {"connected": connected, "since": since, "said_at": at}
    c.execute(upsert(line).values(id=1, **told).on_conflict_do_update(index_elements=["id"], set_=told))


def line_now(c: Connection) -> Row[Any] | None:
    """connected, since, said_at; None before uplink said anything."""
    return c.execute(select(line)).one_or_none()
