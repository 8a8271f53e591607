"""The number of the last status that uplink said, in wire/link.db: the next one is greater, whatever happens."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.wire.tables import pulse


def next_number(c: Connection, least: int) -> int:
    """A number never given before: at least `least`, and greater than the last one. It is taken with this commit."""
    last = c.execute(select(pulse.c.number)).scalar_one_or_none() or 0
    number = max(last + 1, least)
    statement = upsert(pulse).values(id=1, number=number)
    c.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"number": number}))
    return number
