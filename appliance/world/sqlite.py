"""How this house opens SQLite: one writer a database, everybody else query-only.

Durability is `synchronous=FULL` in WAL mode, so a commit that returned survives a power cut. SQLite versions inside
the WAL-reset bug (before 3.51.3, sqlite.org/wal.html) are refused. Every transaction of a writer begins IMMEDIATE:
a deferred one fails with "locked" at its first write whatever the busy time-out says.
"""

import os
import shutil
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as dbapi
from sqlalchemy import Connection, Engine, MetaData, QueuePool, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.schema import CreateColumn

from appliance.errors import Misconfigured, Unavailable

SAFE_VERSION = (3, 51, 3)
BUSY_TIMEOUT_MS = 5_000
JOURNAL_BYTES_MAX = 64 * 2**20
SCHEMA_VERSION = 2
SQLITE_FULL, SQLITE_IOERR = 13, 10  # primary result codes, sqlite.org/rescode.html
HELD = (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED: by another program, and no damage
CHECK_STEPS = 10_000  # instructions of SQLite between two looks at the clock
NO_ROOM_BYTES = 2**20  # with less than this an I/O error is taken for a full disk


def open_writer(path: Path, metadata: MetaData) -> Engine:
    """The one writing engine of a database; makes the file and its tables when they are not there."""
    if dbapi.sqlite_version_info < SAFE_VERSION:
        raise Misconfigured("sqlite-unsafe")
    _share(path)
    engine = _engine(path, "rwc")

    @event.listens_for(engine, "connect")
    def _durable(connection: Any, _record: object) -> None:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",  # what is deleted or blanked is written over with zeros, in the file and its journal
            f"journal_size_limit = {JOURNAL_BYTES_MAX}",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    @event.listens_for(engine, "begin")
    def _immediate(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found not in (0, SCHEMA_VERSION):
            raise Misconfigured("state-newer", path.name)
        make(connection, metadata)
        connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")
    return engine


def _share(path: Path) -> None:
    """Gives the database's group the rights that its folder's group has; SQLite gives them on to what lies beside it.

    The index of a write-ahead log is written by readers too, and belongs to whoever opens it first: without the group's
    rights a reader that came before the writer would shut it out.
    """
    mode = 0o600 | (path.parent.stat().st_mode & 0o060)
    try:
        there = path.stat()
    except FileNotFoundError:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
        path.chmod(mode)  # whatever the umask says
    else:  # never opened and closed here: that would let go of the locks of another connection of this process
        if there.st_uid == os.geteuid() and stat.S_IMODE(there.st_mode) != mode:
            path.chmod(mode)


def make(c: Connection, metadata: MetaData) -> None:
    """Makes what is not there yet: tables, indexes, and columns of a later version that every row can do without.

    Such a column may be empty or has a server's default; any other change of a table is a new SCHEMA_VERSION.
    """
    metadata.create_all(c)
    for table in metadata.sorted_tables:
        there = {row[1] for row in c.exec_driver_sql(f'PRAGMA table_info("{table.name}")')}
        for column in table.columns:
            if column.name not in there:
                c.exec_driver_sql(f'ALTER TABLE "{table.name}" ADD COLUMN {CreateColumn(column).compile(c)}')
        for index in table.indexes:
            index.create(c, checkfirst=True)


def open_reader(path: Path) -> Engine:
    """A query-only engine on somebody else's database; the file must exist (ask `path.exists()` first)."""
    engine = _engine(path, "rw")  # the WAL index must be writable even to read; query_only keeps our pen away

    @event.listens_for(engine, "connect")
    def _query_only(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA query_only = ON").fetchall()

    @event.listens_for(engine, "begin")
    def _snapshot(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def write_through(engine: Engine) -> bool:
    """Moves all of the write-ahead log into the database and empties it; False while a reader or a full disk forbids.

    Until then pages of before lie in the log, whatever was deleted since.
    """
    raw: Any = engine.raw_connection()
    try:
        return bool(raw.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
    except dbapi.OperationalError:
        return False
    finally:
        raw.close()


def snapshots(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Copies databases as they all were at one instant, while their writers run; sources are named in pen order.

    Every pen is held for the moment in which each copy's read transaction begins: what a kill at that instant would
    have left. raises Misconfigured("ledger-damaged"), Unavailable("ledger-busy")
    """
    with ExitStack() as held:
        pens = [held.enter_context(closing(_raw(source))) for source, _ in pairs]
        eyes = [held.enter_context(closing(_raw(source))) for source, _ in pairs]
        try:
            for pen in pens:
                pen.execute("BEGIN IMMEDIATE")
            for eye in eyes:
                eye.execute("BEGIN")
                eye.execute("SELECT count(*) FROM sqlite_master").fetchall()
            for pen in pens:
                pen.execute("ROLLBACK")
            for eye, (_, target) in zip(eyes, pairs, strict=True):
                copy = held.enter_context(closing(dbapi.connect(target)))
                eye.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE").fetchall()
                if copy.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise Misconfigured("ledger-damaged", target.name)
        except dbapi.OperationalError:
            raise Unavailable("ledger-busy") from None
        except dbapi.DatabaseError:
            raise Misconfigured("ledger-damaged") from None


def _raw(path: Path) -> Any:
    connection = dbapi.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}").fetchall()
    return connection


def is_sound(path: Path, enough: Callable[[], bool]) -> bool | None:
    """Whether a database opens and its pages agree; None where `enough` said so before it was read to its end, or where
    another program held it all the while, or a full disk had no room for its index."""
    engine = open_reader(path)
    try:
        with engine.connect() as c:
            raw: Any = c.connection.driver_connection
            raw.set_progress_handler(enough, CHECK_STEPS)
            try:
                return bool(c.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() == "ok")
            finally:
                raw.set_progress_handler(None, 0)
    except DatabaseError as error:
        code = (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF
        return None if enough() or code in HELD else False
    except Unavailable:
        return None
    finally:
        engine.dispose()


def is_whole(path: Path, enough: Callable[[], bool] | None = None) -> bool:
    """Whether pages, indexes and references all agree: read to the end, which takes its time.

    enough  ends the reading; what was not read to its end is not called whole
    """
    try:
        with closing(_raw(path)) as c:
            c.execute("PRAGMA query_only = ON").fetchall()
            c.set_progress_handler(enough, CHECK_STEPS if enough else 0)
            sound = c.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok"
            return bool(sound and c.execute("PRAGMA foreign_key_check").fetchone() is None)
    except dbapi.OperationalError:
        # Held by another program, or no room to look: said elsewhere, and no damage.
        return enough is None or not enough()
    except dbapi.DatabaseError:
        return False


def _engine(path: Path, mode: str) -> Engine:
    uri = f"{path.absolute().as_uri()}?mode={mode}"

    def connect() -> Any:
        connection = dbapi.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}").fetchall()
        return connection

    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        module=dbapi,
        poolclass=QueuePool,
        pool_size=4,
        max_overflow=4,
        hide_parameters=True,  # an exception's text may reach a log: it must not quote a patient
    )

    @event.listens_for(engine, "handle_error")
    def _full(context: Any) -> None:
        """A full disk is a matter of time for whoever writes here: the transaction is gone, the step comes again.

        Where a database is opened, its shared memory cannot grow there, which SQLite calls an I/O error.
        """
        code = (getattr(context.original_exception, "sqlite_errorcode", None) or 0) & 0xFF
        if code == SQLITE_FULL or (code == SQLITE_IOERR and _no_room(path.parent)):
            raise Unavailable("disk-low") from None

    return engine


def _no_room(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < NO_ROOM_BYTES
    except OSError:
        return False
