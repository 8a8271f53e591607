"""How the centre's store is opened and what a transaction on it is: SQLite in a folder, or PostgreSQL by its URL."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, OperationalError, TimeoutError

from appliance.errors import Misconfigured, Unavailable
from appliance.world.sqlite import open_writer
from central.store.tables import METADATA

MAKING = 0x454450  # pg_advisory_xact_lock: workers that start together make the tables one after the other
WAIT_S = 10
# A worker that stands still in a transaction must not hold the others up for ever.
LIMITS = "-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"
# Out of connections, broken off, read-only after a switch-over, deadlock, serialisation: all are tried again.
AWAY = (OperationalError, InterfaceError, InternalError, TimeoutError)
CONNECTIONS = 8  # of one worker: its wire, its askings, and some to spare


def open_store(folder: Path, url: str = "") -> Engine:
    """The centre's store, made when it is not there: SQLite in a folder of its own, or PostgreSQL by its URL.

    raises  Unavailable("store-away"): the server cannot be reached; Misconfigured("store-url"): that is no such URL
    """
    if not url:
        folder.mkdir(parents=True, exist_ok=True)
        return open_writer(folder / "central.db", METADATA)
    engine = open_server(url)
    with transaction(engine) as c:
        c.execute(select(func.pg_advisory_xact_lock(MAKING)))
        METADATA.create_all(c)
    return engine


def open_server(url: str) -> Engine:
    """A PostgreSQL server as it stands; connects when it is first asked. Raises Misconfigured("store-url")."""
    try:
        if make_url(url).get_backend_name() != "postgresql":
            raise Misconfigured("store-url", "--store")
        # A connection that broke while it lay idle is found out before it is used.
        return create_engine(
            url,
            pool_pre_ping=True,
            pool_size=CONNECTIONS,
            pool_timeout=WAIT_S,
            hide_parameters=True,
            connect_args={"connect_timeout": WAIT_S, "options": LIMITS},
        )
    except (ArgumentError, ModuleNotFoundError):
        raise Misconfigured("store-url", "--store") from None


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction. A full disk, a locked or an absent database is Unavailable("store-away"), nothing half done."""
    try:
        with engine.begin() as c:
            yield c
    except AWAY:
        raise Unavailable("store-away") from None


def insert_once(c: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts a row unless a unique key of it is taken; says whether it did."""
    insert = postgresql.insert if c.dialect.name == "postgresql" else sqlite.insert
    # Not by the count of rows: psycopg does not tell it of an INSERT that returns keys, as SQLAlchemy makes them.
    done = insert(table).values(**values).on_conflict_do_nothing().returning(*table.primary_key)
    return c.execute(done).first() is not None
