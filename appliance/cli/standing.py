"""How it stands now, for `status` and `metrics`: the same list of alarms as the page's, from the same databases."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from appliance.condition import condition
from appliance.config import Config, Places
from appliance.core.alarms import Alarm, Condition, alarms
from appliance.world import ledger, sqlite, wire
from appliance.world.wire import corrections

REFUSED_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """One look: the condition, its alarms, and how many studies, cases and corrections are in each state.

    refused_corrections  (case id, code) of those the centre would not take, or cannot read yet
    """

    condition: Condition
    alarms: tuple[Alarm, ...]
    studies: dict[str, int]
    cases: dict[str, int]
    corrections: dict[str, int]
    refused_corrections: tuple[tuple[str, str], ...]


def standing(config: Config, places: Places, now: float | None = None) -> Standing:
    """Opens whatever databases there are, query-only, and looks once."""
    with ExitStack() as held:

        def opened(path: Path) -> Connection | None:
            if not path.exists():
                return None
            engine = sqlite.open_reader(path)
            held.callback(engine.dispose)
            connection = held.enter_context(engine.connect())
            made = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            return connection if made else None

        studies, cases, link = (opened(path) for path in (places.studies_db, places.cases_db, places.link_db))
        root = places.root if places.root.exists() else Path("/")
        found = condition(config, root, time.time() if now is None else now, studies, cases, link)
        states = {} if cases is None else wire.wire_states(cases, link)
        counts: dict[str, int] = {}
        for state in states.values():
            counts[state] = counts.get(state, 0) + 1
        handed: dict[str, int] = {}
        refused: tuple[tuple[str, str], ...] = ()
        if cases is not None and wire.is_made(cases, wire.CASES):
            handed = corrections.counts(cases)
            refused = tuple((row.case_id, row.code) for row in corrections.refused(cases, REFUSED_SHOWN))
            refused += _held(cases, link)
        of_studies = {} if studies is None else ledger.counts(studies)
        return Standing(found, tuple(alarms(found)), of_studies, counts, handed, refused)


def _held(cases: Connection, link: Connection | None) -> tuple[tuple[str, str], ...]:
    """(case id, code) of corrections that the centre cannot read yet, the oldest first."""
    if link is None or not wire.is_made(link, wire.LINK):
        return ()
    waiting = {(row.key, row.rev): row.case_id for row in corrections.waiting(cases)}
    held = corrections.held(link, waiting)
    return tuple((case_id, held[name]) for name, case_id in waiting.items() if name in held)[:REFUSED_SHOWN]
