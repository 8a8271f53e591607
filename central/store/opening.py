"""How the centre's store is opened and what a transaction on it is: SQLite in a folder, or PostgreSQL by its URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

from appliance.errors import Unavailable
from appliance.world.sqlite import open_writer
from central.store.tables import METADATA


def open_store(folder: Path) -> Engine:
    """The centre's store in a folder of its own, made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    return open_writer(folder / "central.db", METADATA)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction. A full disk, a locked or an absent database is Unavailable("store-away"), nothing half done."""
    try:
        with engine.begin() as c:
            yield c
    except OperationalError:
        raise Unavailable("store-away") from None


def insert_once(c: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts a row unless a unique key of it is taken; says whether it did."""
    insert = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    return c.execute(insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1
