"""Triage's look at all ledgers: before they are opened, and whole every week. With one that is not right it ends.

It ends as one misconfigured: nothing is decided until a person has acted, receiving goes on, the page says it. It looks
at the ledgers of the others too, because it reads orders, signatures and answers there and may be told wrongly or not
at all. What it found, and when it last read all of them, it leaves beside its own (phi/looked.json): the page may not
look at the images that a lost ledger is missed by, and a machine that is started every week must be read whole as well.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from appliance.condition import books
from appliance.config import Places
from appliance.errors import Misconfigured, Unavailable
from appliance.loop import Moment, Step
from appliance.world import archive, looked, sqlite

LOG = logging.getLogger("appliance.triage")
PERIOD_S = 7 * 86_400.0
QUIET_S = 3_600.0  # after a start the disk has other work
FIRST_LOOK_S = 30.0  # the whole is read within the week; a start must not wait for it
AGAIN_LOOK_S = 60.0  # at one that the whole reading called damaged: what is not read in this time stays so


def look(places: Places) -> None:
    """Before anything is opened or made. Raises Misconfigured("ledger-damaged"), with the names of the ledgers."""
    before = looked.read(places.looked)
    wrong = set(books.lost(places))
    wrong |= set(books.damaged(places, _over(FIRST_LOOK_S)))
    for path in books.paths(places):
        # What only a whole reading finds is not forgotten by starting again.
        if path.name in before.damaged and path.name not in wrong and path.exists():
            wrong |= set() if sqlite.is_whole(path, _over(AGAIN_LOOK_S)) else {path.name}
    if wrong or before.damaged:
        _note(places, before.whole_at, sorted(wrong))
    if wrong:
        raise Misconfigured("ledger-damaged", ", ".join(sorted(wrong)))


class Integrity:
    """The step integrity: pages, indexes and references of all ledgers, read in a thread of its own."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.due: float | None = None
        self.reading: threading.Thread | None = None
        self.damaged: tuple[str, ...] = ()

    def steps(self) -> dict[str, Step]:
        return {"integrity": self.tend}

    def tend(self, moment: Moment) -> bool:
        if self.damaged:
            raise Misconfigured("ledger-damaged", ", ".join(self.damaged))
        if self.due is None:
            self.due = moment.mono + self._wait(moment.wall)
        if moment.mono >= self.due and (self.reading is None or not self.reading.is_alive()):
            self.due = moment.mono + PERIOD_S
            self.reading = threading.Thread(target=self._read, args=(moment,), daemon=True)
            self.reading.start()
        return False

    def _wait(self, wall: float) -> float:
        """How long until the next whole reading, s. A clock that jumped makes it come early, never later than due."""
        last = looked.read(self.places.looked).whole_at
        if last is None or not 0 <= wall - last < PERIOD_S:
            return QUIET_S
        return max(QUIET_S, PERIOD_S - (wall - last))

    def _read(self, moment: Moment) -> None:
        began = time.monotonic()
        lost = books.lost(self.places)
        wrong = {path.name for path in books.paths(self.places) if path.exists() and not sqlite.is_whole(path)}
        damaged = tuple(sorted(wrong.union(lost)))
        _note(self.places, moment.wall + time.monotonic() - began, damaged)
        self.damaged = damaged


def _note(places: Places, whole_at: float | None, damaged: Sequence[str]) -> None:
    try:
        archive.put(places.looked, looked.said(whole_at, damaged))
    except (OSError, Unavailable):
        LOG.warning("what was found of the ledgers could not be kept")  # then they are read whole sooner than due


def _over(seconds: float) -> Callable[[], bool]:
    """Whether so much time has gone since this was made."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() > ends
