"""What keeps this appliance from deciding, told above every page, also before anybody signs in; nothing of a patient.

A wrong configuration, a damaged ledger, a full disk: in each the page comes up, receiving goes on as long as it can
keep what it takes, and nothing is cleared (docs/safe-mode.md). Told are a code, what it means and what to do.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from appliance.config import Config, Places
from appliance.errors import CATALOGUE
from appliance.review.language import _
from appliance.review.ledgers import page_of
from appliance.world import archive, sqlite

LOOK_S = 20.0  # most time given to one reading of the ledger
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
        ends = time.monotonic() + LOOK_S
        paths = (self.places.studies_db, self.places.cases_db)
        found = (path.name for path in paths if path.exists() and sqlite.is_sound(path, _over(ends)) is False)
        self.damaged = tuple(found)


def _over(ends: float) -> Callable[[], bool]:
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


def handlers(busy: type[Exception], damaged: type[Exception]) -> dict[Any, Any]:
    return {busy: _busy, damaged: _damaged}
