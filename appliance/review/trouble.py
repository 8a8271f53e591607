"""What keeps this appliance from deciding, told above every page, also before anybody signs in; nothing of a patient.

A wrong configuration, a damaged ledger, a full disk: in each the page comes up, receiving goes on as long as it can
keep what it takes, and nothing is cleared (docs/safe-mode.md). Told are a code, what it means and what to do.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DatabaseError, OperationalError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.condition import books
from appliance.config import Config, Places
from appliance.errors import CATALOGUE
from appliance.review.language import _, tr
from appliance.review.ledgers import Ledgers, page_of
from appliance.review.walls import walled
from appliance.world import archive, looked, sqlite

LOG = logging.getLogger("appliance")
LOOK_S = 20.0  # most time given to one look at all ledgers
LOOK_PERIOD_S = 600.0
MISTAKES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Said:
    """One trouble; more: places of the configuration and what is wrong there, without the value that was found."""

    code: str
    text: str
    hint: str
    more: tuple[str, ...] = ()


class Trouble:
    """Called by every page. mistakes: of the configuration that was not accepted, as (file, key, reason)."""

    def __init__(self, config: Config, places: Places, mistakes: Sequence[tuple[str, str, str]] = ()) -> None:
        self.reserve, self.places = config.receive.disk_reserve_bytes, places
        named = [f"{key or 'file'}: {reason.partition(' (found')[0]}" for _file, key, reason in mistakes]
        self.wrong = tuple(named[:MISTAKES_SHOWN])
        self.damaged: tuple[str, ...] = ()
        self._look_again = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> list[Said]:
        found = [_said("config-invalid", self.wrong)] if self.wrong else []
        damaged = self._damaged()
        found += [_said("ledger-damaged", damaged)] if damaged else []
        root = self.places.root if self.places.root.exists() else Path("/")
        found += [_said("disk-low")] if archive.free_bytes(root) < self.reserve else []
        return found

    def _damaged(self) -> tuple[str, ...]:
        """Names of databases whose pages do not agree, as of the last look; no page waits for one."""
        with self._lock:
            due = time.monotonic() >= self._look_again
            if due:
                self._look_again = time.monotonic() + LOOK_PERIOD_S
        if due:
            threading.Thread(target=self._look, daemon=True).start()
        return self.damaged

    def _look(self) -> None:
        """What this service sees by itself, and what triage found where the page may not look."""
        found = {*books.damaged(self.places, _over(LOOK_S)), *books.lost(self.places)}
        self.damaged = tuple(sorted(found.union(looked.read(self.places.looked).damaged)))


def _over(seconds: float) -> Callable[[], bool]:
    """Whether so much time has gone since this was made."""
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() > ends


def _said(code: str, more: tuple[str, ...] = ()) -> Said:
    entry = CATALOGUE[code]
    return Said(code, entry.text, entry.hint, more)


def _busy(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse(_("The ledger is busy. Try again in a moment."), 503, headers={"Retry-After": "2"})


def _damaged(request: Request, _error: Exception) -> Response:
    """A page could not be made because a database cannot be read: the same words as above every other page."""
    entry = CATALOGUE["ledger-damaged"]
    told: dict[str, Any] = {"reader": None, "title": entry.text, "said": entry.hint}
    told |= {"link": "/status", "link_text": _("Status")}
    return page_of(request).render(request, "problem.html", told, status_code=503)


def opened(places: Places) -> Ledgers | None:
    """The page's own book with its eyes on the others; None where it is damaged, or is not the one that was.

    A new one is not made in its place: signatures in it would bear numbers that triage has taken over already, and
    would never count. Raises Misconfigured("state-newer").
    """
    path = places.review_db
    if path.exists() and path.stat().st_size and sqlite.is_sound(path, _over(LOOK_S)) is False:
        return None
    if path.name in books.lost(places):
        return None
    try:
        return Ledgers(places)
    except OperationalError:
        raise  # held by another program, or no room: started again, it may be well
    except DatabaseError:
        return None


def closed(config: Config, places: Places) -> ASGIApp:
    """What is served while the page has no book to ask who may come in: one sentence, whatever is asked for."""
    code, name = "ledger-damaged", places.review_db.name
    LOG.error("review: %s: %s: %s", "ledger-damaged", name, CATALOGUE[code].hint)

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        entry = CATALOGUE[code]
        lines = [
            ": ".join((code, name, tr(entry.text))),
            _("The page's own book (users, signatures, audit trail) cannot be used: nobody can sign in."),
            _("The operator of this machine must act:"),
            tr(entry.hint),
        ]
        await PlainTextResponse("\n".join(lines) + "\n", 503)(scope, receive, send)

    return walled(told, config.review.hosts(), tls=config.review.tls != "off", language=config.review.language)


def handlers(busy: type[Exception], damaged: type[Exception]) -> dict[Any, Any]:
    return {busy: _busy, damaged: _damaged}
