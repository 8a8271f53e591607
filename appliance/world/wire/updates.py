"""What uplink says of updates in wire/link.db: when it looked, what it saw, what is here. Nobody acts on it."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.wire.tables import update_files, update_look

File = tuple[str, int, int, str]  # path, bytes, bytes that are here, why not all


def saw(c: Connection, number: int, expires: float, files: Iterable[File], code: str, at: float) -> None:
    """A look that could be verified. code: why not all of it could be fetched; "" where it could."""
    _looked(c, {"looked_at": at, "reached_at": at, "number": number, "expires": expires, "code": code})
    c.execute(delete(update_files))
    rows = [{"path": path, "bytes_count": size, "have": have, "code": why} for path, size, have, why in files]
    if rows:
        c.execute(insert(update_files), rows)


def failed(c: Connection, code: str, at: float) -> None:
    """A look that told nothing; what was seen before stands."""
    _looked(c, {"looked_at": at, "code": code})


def _looked(c: Connection, told: dict[str, Any]) -> None:
    made = upsert(update_look).values(**{"id": 1, "number": 0, **told})
    c.execute(made.on_conflict_do_update(index_elements=["id"], set_=told))


def look(link_c: Connection) -> Row[Any] | None:
    """looked_at, reached_at, number, expires, code; None before the first look."""
    return link_c.execute(select(update_look)).one_or_none()


def files(link_c: Connection) -> list[Row[Any]]:
    """path, bytes_count, have, code, by path."""
    return list(link_c.execute(select(update_files).order_by(update_files.c.path)))
