"""Triage, beside the road: a file that belongs to no study is tried again, or set aside for good, as a person ordered.

Tried again means from the beginning: back to incoming/, its attempts at zero, read and judged like any file that has
just come. The file moves before its row goes, so that a crash between the two tries it twice and loses nothing.
"""

from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Places
from appliance.loop import Moment, Step
from appliance.world import archive, desk, file_desk, ledger, sqlite
from appliance.world.ledger import stray_files

ROWS_A_STEP = 50


class Strays:
    """The step sort."""

    def __init__(self, places: Places, engine: Engine) -> None:
        self.places = places
        self.engine = engine
        self.desk: Engine | None = None

    def steps(self) -> dict[str, Step]:
        return {"sort": self.sort}

    def sort(self, _: Moment) -> bool:
        """Commands of the review service about single files, each once, in order."""
        if self.desk is None:
            if not self.places.review_db.exists():
                return False
            opened = sqlite.open_reader(self.places.review_db)
            with opened.connect() as c:
                if not desk.is_made(c):
                    return False
            self.desk = opened
        with self.engine.connect() as c:
            last = stray_files.last_taken_over(c)
        with self.desk.connect() as c:
            rows = file_desk.commands_after(c, last, ROWS_A_STEP)
        for row in rows:
            self._carry_out(row)
        return bool(rows)

    def _carry_out(self, row: Row[Any]) -> None:
        with self.engine.connect() as c:
            found = stray_files.by_digest(c, row.sha256)
        outcome = "stale" if found is None or found.rejected_by else "moved"
        if outcome == "moved" and row.kind == "release" and not self._to_incoming(found):
            outcome = "gone"
        with self.engine.begin() as c:
            if outcome == "moved" and row.kind == "release":
                stray_files.forget(c, row.sha256)
            elif outcome == "moved":
                stray_files.reject(c, row.sha256, row.user)
            stray_files.take_over(c, row, outcome)

    def _to_incoming(self, found: Any) -> bool:
        """False for a file that triage cannot fetch: it lies in refused/ beside the watched folder, or nowhere."""
        if found.place == ledger.REFUSED_PLACE:
            return False
        kept = archive.instance_path(self.places.instances, found.sha256)
        again = self.places.incoming / kept.name
        if kept.exists():
            archive.rename(kept, again)
        return again.exists()
