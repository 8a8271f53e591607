"""What a driver writes down outside the house, fsynced before it acts, and what an appliance has acknowledged.

The house may forget; this does not. Nothing in here is believed because a service says so in memory: only rows and
files count.
"""

import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from appliance.config import Places
from appliance.world import ledger, sqlite, wire
from tests.tiny import tiny

T = TypeVar("T")
MADE = {"studies.db": ledger.METADATA, "cases.db": wire.CASES, "link.db": wire.LINK}


@dataclass(frozen=True, slots=True)
class Scan:
    """One file as a scanner writes it; `patient` is planted and must never be met outside."""

    place: int
    name: str
    study: str
    patient: str
    sha256: str


class External:
    """The driver's own book of what was dropped, one JSON line each, on disk before the scanner writes the file."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("ab")
        self.scans: list[Scan] = []

    def note(self, scan: Scan) -> None:
        self.file.write(json.dumps(asdict(scan)).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self.scans.append(scan)

    def of(self, place: int) -> list[Scan]:
        return [scan for scan in self.scans if scan.place == place]

    def needles(self) -> set[bytes]:
        """What no message may bear: names, numbers and UIDs of everybody who was scanned."""
        found = set()
        for scan in self.scans:
            found |= {scan.patient.encode(), f"Simulated^{scan.patient}".encode(), scan.study.encode()}
        return found

    def close(self) -> None:
        self.file.close()


def scanned(dice: random.Random, place: int, number: int) -> list[tuple[Scan, bytes]]:
    """The files of one study, one or two; the same dice give the same bytes."""
    study, patient = f"1.2.826.0.1.{dice.randrange(10**12)}", f"PAT-{place}{number:05d}"
    modality, found = dice.choice(("CR", "MR")), []
    for instance in range(1, dice.choice((1, 1, 2)) + 1):
        data = tiny(study, instance, patient, modality, dice.randrange(200))
        digest = hashlib.sha256(data).hexdigest()
        found.append((Scan(place, f"{place}-{number:05d}-{instance}.dcm", study, patient, digest), data))
    return found


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


def acknowledged(places: Places, scanner: Path, dropped: Sequence[Scan]) -> Acknowledged:
    """Reads only what is committed. The moment is that of the end of the reading: all of it was true before."""
    there = {path.name for path in scanner.iterdir() if path.is_file()}
    taken = frozenset(scan.name for scan in dropped if scan.name not in there)
    rows: list[Any] = ask(places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
    told = ask(places.studies_db, lambda c: set(c.execute(select(ledger.verdicts.c.case_id)).scalars()), set())
    studies = {row.study_instance_uid: row.seq for row in rows}
    return Acknowledged(time.monotonic(), taken, studies, frozenset(told))


def broken_since(before: Acknowledged, places: Places, dropped: Sequence[Scan]) -> list[str]:
    """What was acknowledged and is not there now, in words; the services do not run."""
    digests = {scan.name: scan.sha256 for scan in dropped}
    kept = {path.stem for path in places.instances.glob("*/*.dcm")} | {p.stem for p in places.incoming.glob("*.dcm")}
    gone = [name for name in before.taken if digests[name] not in kept]
    rows: list[Any] = ask(places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
    now = {row.study_instance_uid: row.seq for row in rows}
    back = [uid for uid, seq in before.studies.items() if now.get(uid, -1) < seq]
    told = ask(places.studies_db, lambda c: set(c.execute(select(ledger.verdicts.c.case_id)).scalars()), set())
    broken = [f"{len(gone)} taken files gone"] if gone else []
    broken += [f"{len(back)} studies fell back behind what was committed"] if back else []
    return broken + ([f"{len(before.verdicts - told)} verdicts gone"] if before.verdicts - told else [])


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
