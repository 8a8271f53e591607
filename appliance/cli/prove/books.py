"""What an appliance has taken upon itself, read off its disk, and whether it is still there.

Nothing in here is believed because a service says so in memory: only rows and files count.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, select
from sqlalchemy.exc import DatabaseError

from appliance.config import Places
from appliance.world import ledger, sqlite, wire

T = TypeVar("T")
MADE = {"studies.db": ledger.METADATA, "cases.db": wire.CASES, "link.db": wire.LINK}


class Dropped(Protocol):
    """One file as it was written into the scanner's folder."""

    @property
    def name(self) -> str: ...

    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What an appliance had taken upon itself at a moment (time.monotonic): none of it may ever be missing again.

    taken     files that have left the scanner's folder, by name
    studies   Study Instance UID to the number of moves it had made
    verdicts  case ids whose verdict was on file
    """

    at: float
    taken: frozenset[str]
    studies: dict[str, int]
    verdicts: frozenset[str]


def acknowledged(places: Places, scanner: Path, dropped: Sequence[Dropped]) -> Acknowledged:
    """Reads only what is committed. The moment is that of the end of the reading: all of it was true before."""
    there = {path.name for path in scanner.iterdir() if path.is_file()}
    taken = frozenset(scan.name for scan in dropped if scan.name not in there)
    rows: list[Any] = ask(places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
    told = _verdicts(places)
    studies = {row.study_instance_uid: row.seq for row in rows}
    return Acknowledged(time.monotonic(), taken, studies, frozenset(told))


def broken_since(before: Acknowledged, places: Places, dropped: Sequence[Dropped]) -> list[str]:
    """What was acknowledged and is not there now, in words; the services do not run."""
    digests = {scan.name: scan.sha256 for scan in dropped}
    kept = {path.stem for path in places.instances.glob("*/*.dcm")} | {p.stem for p in places.incoming.glob("*.dcm")}
    gone = [name for name in before.taken if digests[name] not in kept]
    broken = [f"{len(gone)} taken files gone"] if gone else []
    try:
        rows: list[Any] = ask(places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
        told = _verdicts(places)
    except DatabaseError:
        return [*broken, "the ledger cannot be read"]
    now = {row.study_instance_uid: row.seq for row in rows}
    back = [uid for uid, seq in before.studies.items() if now.get(uid, -1) < seq]
    broken += [f"{len(back)} studies fell back behind what was committed"] if back else []
    return broken + ([f"{len(before.verdicts - told)} verdicts gone"] if before.verdicts - told else [])


def _verdicts(places: Places) -> set[str]:
    """Case ids whose verdict is on file."""
    told = select(ledger.verdicts.c.case_id)
    return ask(places.studies_db, lambda c: set(c.execute(told).scalars()), set())


def ask(path: Path, question: Callable[[Connection], T], before: T) -> T:
    """Puts a question to a database read-only; `before` while its writer has not made it."""
    if not path.exists():
        return before
    engine = sqlite.open_reader(path)
    try:
        with engine.connect() as c:
            return question(c) if wire.is_made(c, MADE[path.name]) else before
    finally:
        engine.dispose()


def states(places: Places) -> dict[str, str]:
    """Study Instance UID to state."""
    rows: list[Any] = ask(places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
    return {row.study_instance_uid: row.state for row in rows}


def at_rest(places: Places) -> bool:
    """No case is open, and no sealed bytes lie in wire/ that a case could want."""
    lying = {path.name for path in places.parts.iterdir()} if places.parts.is_dir() else set()
    open_now = ask(places.cases_db, lambda c: bool(wire.open_case_ids(c, "", 1)), True)
    sealed = select(wire.transfers.c.sha256)
    wanted: set[str] = ask(places.cases_db, lambda c: set(c.execute(sealed).scalars()), set())
    return not open_now and not lying & wanted
