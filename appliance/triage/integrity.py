"""Triage's look at its own ledgers: before they are opened, and whole every week. With a damaged one it ends.

It ends as one misconfigured: nothing is decided until a person has acted, receiving goes on, the page says it.
"""

import threading
import time

from appliance.config import Places
from appliance.errors import Misconfigured
from appliance.loop import Moment, Step
from appliance.world import sqlite

PERIOD_S = 7 * 86_400.0
FIRST_LOOK_S = 30.0  # the whole is read within the week; a start must not wait for it


def look(places: Places) -> None:
    """Before anything is opened. Raises Misconfigured("ledger-damaged")."""
    ends = time.monotonic() + FIRST_LOOK_S
    for path in (places.studies_db, places.cases_db):
        if path.exists() and path.stat().st_size and sqlite.is_sound(path, lambda: time.monotonic() > ends) is False:
            raise Misconfigured("ledger-damaged", path.name)


class Integrity:
    """The step integrity: pages, indexes and references of both ledgers, read in a thread of its own."""

    def __init__(self, places: Places) -> None:
        self.paths = (places.studies_db, places.cases_db)
        self.due: float | None = None
        self.reading: threading.Thread | None = None
        self.damaged: str | None = None

    def steps(self) -> dict[str, Step]:
        return {"integrity": self.tend}

    def tend(self, moment: Moment) -> bool:
        if self.damaged is not None:
            raise Misconfigured("ledger-damaged", self.damaged)
        if self.due is None:
            self.due = moment.mono + PERIOD_S
        if moment.mono >= self.due and (self.reading is None or not self.reading.is_alive()):
            self.due = moment.mono + PERIOD_S
            self.reading = threading.Thread(target=self._read, daemon=True)
            self.reading.start()
        return False

    def _read(self) -> None:
        for path in self.paths:
            if not sqlite.is_whole(path):
                self.damaged = path.name
