"""The databases behind the page: our own pen on review.db, query-only eyes on everybody else's.

A ledger of another service may not be there yet, because that service has not started: the page says so and does
not make it. Everything a page shows comes from one read transaction a ledger, so that its parts agree.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select
from starlette.requests import Request
from starlette.responses import Response

from appliance.condition import silent_sources
from appliance.config import Config, Places
from appliance.core.lifecycle import WireState
from appliance.core.volume import Silence
from appliance.errors import Unavailable
from appliance.world import (
    accounts,
    audit_desk,
    desk,
    display_desk,
    file_desk,
    ledger,
    reading_desk,
    retention_desk,
    sqlite,
    viewers,
    wire,
)

SILENCE_LOOK_S = 60.0


class Ledgers:
    """Engines by file, opened when first needed and kept."""

    def __init__(self, places: Places) -> None:
        places.review.mkdir(parents=True, exist_ok=True)
        self.places = places
        self._desk = sqlite.open_writer(places.review_db, desk.METADATA)
        with self._desk.begin() as connection:
            audit_desk.make(connection)
            reading_desk.make(connection)
            sqlite.make(connection, accounts.METADATA)
            sqlite.make(connection, viewers.METADATA)
            sqlite.make(connection, file_desk.METADATA)
            sqlite.make(connection, display_desk.METADATA)
            display_desk.guard(connection)
            retention_desk.make(connection)
            desk.guard_trail(connection)
        self._desk_eyes = sqlite.open_reader(places.review_db)
        self._eyes: dict[Path, Engine] = {}
        self._watching: dict[Path, Connection] = {}
        self._lock = threading.Lock()
        self._silent: tuple[object, tuple[Silence, ...]] = (None, ())

    def pen(self) -> Engine:
        return self._desk

    def eyes(self) -> Engine:
        return self._desk_eyes

    @contextmanager
    def studies(self) -> Iterator[Connection]:
        """The clinical ledger. Raises Unavailable("ledger-starting") while triage has not made it."""
        engine = self._engine(self.places.studies_db)
        if engine is None:
            raise Unavailable("ledger-starting")
        with engine.begin() as connection:
            yield connection

    def wire_states(self, case_ids: Iterable[str] | None = None) -> dict[str, WireState]:
        """Where the given cases stand on the wire, else all; a side that has not started has nothing to say yet."""
        cases, link = self._engine(self.places.cases_db), self._engine(self.places.link_db)
        if cases is None:
            return {}
        if link is None:
            with cases.begin() as case_side:
                return wire.wire_states(case_side, None, case_ids)
        with cases.begin() as case_side, link.begin() as link_side:
            return wire.wire_states(case_side, link_side, case_ids)

    @contextmanager
    def wire(self) -> Iterator[tuple[Connection | None, Connection | None]]:
        """Both sides of the wire as they stand now; None for one that has not started."""
        cases, link = self._engine(self.places.cases_db), self._engine(self.places.link_db)
        with ExitStack() as held:
            case_side = held.enter_context(cases.begin()) if cases is not None else None
            link_side = held.enter_context(link.begin()) if link is not None else None
            yield case_side, link_side

    def sealed_as(self, case_id: str) -> frozenset[str] | None:
        """SHA-256 of all that a case was ever sealed as, by triage's own book of the wire; None: no such case."""
        cases = self._engine(self.places.cases_db)
        if cases is None:
            return None
        with cases.begin() as case_side:
            return frozenset(each.sha256 for each in wire.freight.transfers_of(case_side, case_id)) or None

    def stamp(self, own: Callable[[Connection], tuple[object, ...]]) -> tuple[object, ...]:
        """Something that differs once another service has written, or what `own` reads of our own database has changed.

        PRAGMA data_version changes for a connection when another one commits, so each database has one that stays.
        """
        found: list[object] = []
        for path in (self.places.studies_db, self.places.cases_db, self.places.link_db):
            engine = self._engine(path)
            if engine is not None:
                if path not in self._watching:
                    self._watching[path] = engine.connect()
                with self._watching[path].begin():
                    found.append(self._watching[path].exec_driver_sql("PRAGMA data_version").scalar_one())
            else:
                found.append(None)
        with self._desk_eyes.begin() as c:
            return (*found, own(c))

    def silent_sources(self, c: Connection, now: float) -> tuple[Silence, ...]:
        """Sources of images that have gone silent: worked out anew once a study has come, and once a minute.

        It takes the arrivals of weeks, and every open page asks whenever anything has changed.
        """
        newest = c.execute(select(func.max(ledger.studies.c.number))).scalar_one()
        key, kept = self._silent
        asked = (newest, now // SILENCE_LOOK_S)
        if key != asked:
            kept = silent_sources(c, now)
            self._silent = (asked, kept)
        return kept

    def close(self) -> None:
        for connection in self._watching.values():
            connection.close()
        for engine in (self._desk, self._desk_eyes, *self._eyes.values()):
            engine.dispose()

    def _engine(self, path: Path) -> Engine | None:
        """An engine once the other service has made file and tables: its schema version is written with them."""
        with self._lock:
            if path in self._eyes:
                return self._eyes[path]
            if not path.exists() or not path.stat().st_size:  # an empty one is being made, or was lost: trouble looks
                return None
            engine = sqlite.open_reader(path)
            with engine.begin() as connection:
                made = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            if not made:
                engine.dispose()
                return None
            self._eyes[path] = engine
            return engine


def new_desk(places: Places, taken: Mapping[str, int]) -> None:
    """Makes review.db where there is none. taken: by table, the last row that triage took over of a former one."""
    made = Ledgers(places)
    with made.pen().begin() as c:
        for name, last in taken.items():
            c.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (name, last))
    made.close()


@dataclass(frozen=True, slots=True)
class Page:
    """What every page needs; clock and tokens are given, so that a test can give others.

    clock   wall seconds since 1970
    token   unguessable text, 256 bits, safe in cookies and forms
    """

    config: Config
    places: Places
    ledgers: Ledgers
    clock: Callable[[], float]
    token: Callable[[], str]
    render: Callable[..., Response]


def page_of(request: Request) -> Page:
    page = request.app.state.page
    assert isinstance(page, Page)
    return page
