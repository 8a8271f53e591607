"""What triage says of the whole appliance, in wire/cases.db: one row, written anew; uplink reads it and says it."""

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.bulletin import Bulletin
from appliance.core.document import decode, encode
from appliance.errors import Quarantined
from appliance.world.wire.tables import bulletin


def put(c: Connection, told: Bulletin) -> None:
    """The newest takes the place of the one before."""
    row = {"body": encode(told).decode(), "made_at": float(told.made_at)}
    c.execute(upsert(bulletin).values(id=1, **row).on_conflict_do_update(index_elements=["id"], set_=row))


def newest(c: Connection) -> Bulletin | None:
    """None before triage said anything, or where a triage of another version said it: that goes no further."""
    body = c.execute(select(bulletin.c.body)).scalar_one_or_none()
    try:
        return None if body is None else decode(Bulletin, body.encode())
    except Quarantined:
        return None
