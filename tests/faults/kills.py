"""The kill campaign: SIGKILL at random moments on real processes while a scanner drops studies, then every promise.

What was dropped is kept here, outside the house. The same seed gives the same files, victims and gaps; what a kill
hits depends on the machine, so a campaign is no replay but a new throw every time.
"""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

from appliance.cli.reconcile import reconcile
from appliance.core.case import Verdict
from appliance.world import ledger, sqlite, wire
from central import store
from tests.faults.processes import PATIENCE_S, Processes
from tests.tiny import tiny

VICTIMS = ("receive", "triage", "triage", "uplink", "central", "central", "broker", "broker")
GAP_MAX_S = 1.1
AWAY_MAX_S = 0.6  # of the broker, after its death
LATE_SHARE, AGAIN_SHARE = 0.25, 0.2
STAGED_KILLS = 2
STAGED_STUDIES = 4


@dataclass(frozen=True, slots=True)
class Scan:
    """One file as the scanner writes it."""

    name: str
    study: str
    data: bytes


@dataclass(slots=True)
class Report:
    """What was done to the house and which promises it broke."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    at_work: int = 0
    studies: int = 0
    files: int = 0
    orphans: int = 0
    took_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.broken

    def __str__(self) -> str:
        victims = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        done = f"seed {self.seed}: {self.kills.total()} kills ({victims}; {self.at_work} found it at work)"
        met = f"{self.studies} studies of {self.files} files, {self.orphans} parts of no case, {self.took_s:.0f} s"
        return f"{done}, {met}: " + ("nothing lost, nothing doubled" if self.holds else "; ".join(self.broken))


def campaign(
    folder: Path,
    *,
    kills: int,
    studies: int,
    seed: int,
    entries: Mapping[str, Path] | None = None,
    patience_s: float = PATIENCE_S,
) -> Report:
    """Staged kills, random kills, calm, then every promise against the disk.

    kills     SIGKILLs in all; the first two are the staged ones
    studies   how many the scanner drops, four of them around the staged kills
    entries   service: a script to start in its place (planted faults)
    patience_s  how long the calm may last
    """
    assert kills >= STAGED_KILLS, "two kills are staged"
    assert studies >= STAGED_STUDIES, "four studies are staged"
    dice, began = random.Random(seed), time.monotonic()
    scans = scanned(dice, studies)
    report = Report(seed, studies=studies, files=len({scan.data for scan in scans}))
    settings: dict[str, dict[str, object]] = {
        "triage": {"attempts_max": 20},
        "receive": {"after_taking": dice.choice(("move", "delete")), "keep_taken_s": 2.0},
    }
    with Processes(folder, settings=settings, entries=entries, models=False) as house:
        staged, rest = scans[:STAGED_STUDIES], scans[STAGED_STUDIES:]
        stage(house, staged, report)
        storm(house, rest, kills - STAGED_KILLS, dice, report)
        calm(house, len({scan.study for scan in scans}), patience_s, report)
    report.broken += judged(house, scans, report)
    report.took_s = time.monotonic() - began
    return report


def scanned(dice: random.Random, studies: int) -> list[Scan]:
    """The files in the order in which they are dropped: the staged ones first, then with late and repeated ones."""
    timed: list[tuple[float, Scan]] = []
    for place in range(studies):
        staged, when = place < STAGED_STUDIES, float(place)
        study = f"1.2.826.0.1.{dice.randrange(10**12)}"
        patient, modality = f"PAT-{place:06d}", dice.choice(("CR", "MR"))
        numbers = [1] if staged or dice.random() < 0.5 else [1, 2]
        late = () if staged or dice.random() > LATE_SHARE else (len(numbers) + 1,)
        for number in (*numbers, *late):
            data = tiny(study, number, patient, modality, dice.randrange(200))
            at = when + (dice.uniform(2, 15) if number in late else 0)
            timed.append((at, Scan(f"{place:04d}-{number}.dcm", study, data)))
            if not staged and dice.random() < AGAIN_SHARE:
                timed.append((at + dice.uniform(0, 10), Scan(f"{place:04d}-{number}-again.dcm", study, data)))
    return [scan for _, scan in sorted(timed, key=lambda each: each[0])]


def stage(house: Processes, staged: Sequence[Scan], report: Report) -> None:
    """The worst moment, on purpose: the centre is dead, the broker holds what was sent, dies and forgets it."""
    first, *sent, after = staged
    house.wait_ready()
    house.drop(first.name, first.data)
    house.until(lambda: house.states().get(first.study) == "answered", "the first study is not answered")
    report.at_work += house.kill("central", stay_away=True)
    for scan in sent:
        house.drop(scan.name, scan.data)
    house.until(lambda: len(house.sent()) == len(sent) + 1, "the cases were not sent")
    # Once this later study is sealed, triage has gone through all its steps knowing of the sendings.
    house.drop(after.name, after.data)
    house.until(lambda: house.states().get(after.study) == "escalated", "triage does not go on without the centre")
    report.at_work += house.kill("broker")
    house.come("broker", wiped=True)
    house.come("central")
    report.kills.update(["central", "broker wiped"])


def storm(house: Processes, scans: Sequence[Scan], kills: int, dice: random.Random, report: Report) -> None:
    """Random kills at random moments; the files come in between, the last ones before the last kill."""
    dropped = 0
    for number in range(kills):
        due = len(scans) * (number + 1) // kills
        for scan in scans[dropped:due]:
            house.drop(scan.name, scan.data)
        dropped = due
        house.pass_time(dice.uniform(0, GAP_MAX_S))
        victim, wiped, away_s = dice.choice(VICTIMS), dice.random() < 0.5, dice.uniform(0, AWAY_MAX_S)
        report.at_work += house.kill(victim)
        if victim == "broker":
            house.pass_time(away_s)
            house.come("broker", wiped=wiped)
            victim = "broker wiped" if wiped else "broker kept"
        report.kills[victim] += 1
    for scan in scans[dropped:]:
        house.drop(scan.name, scan.data)


def calm(house: Processes, studies: int, patience_s: float, report: Report) -> None:
    """Nothing is killed any more: all comes to its end within the patience, or that is named."""
    end = time.monotonic() + patience_s
    while not (len(house.states()) == studies and house.at_rest()):
        if time.monotonic() > end:
            where = Counter(house.states().values())
            report.broken.append(f"not at rest after {patience_s:.0f} s: {dict(where)}")
            return
        house.pass_time(0.2)


def judged(house: Processes, scans: Sequence[Scan], report: Report) -> list[str]:
    """Every promise, held against the disk once all processes have ended; what is broken, in words."""
    broken = [f"{check.name}: {check.wrong}" for check in reconcile(house.places, deep=True)[0] if not check.holds]
    broken += _files(house, scans)
    broken += _cases(house, {scan.study for scan in scans}, report)
    said = [line for line in house.log().splitlines() if "Traceback" in line or "unexpected" in line]
    broken += [f"a service broke by itself {len(said)} times: {said[0]}"] if said else []
    return broken


def _files(house: Processes, scans: Sequence[Scan]) -> list[str]:
    """Every file dropped lies in the archive and counts as one instance of its own study; nothing else does."""
    dropped = {hashlib.sha256(scan.data).hexdigest(): scan.study for scan in scans}
    kept = {path.stem for path in house.places.instances.glob("*/*.dcm")}
    engine = sqlite.open_reader(house.places.studies_db)
    with engine.connect() as c:
        joined = select(ledger.instances.c.sha256, ledger.studies.c.study_instance_uid).join(ledger.studies)
        filed = sorted(tuple(row) for row in c.execute(joined))
        strays = list(c.execute(select(ledger.strays.c.code)).scalars())
    engine.dispose()
    broken = [f"{len(lost)} files lost"] if (lost := dropped.keys() - kept) else []
    broken += [f"{len(more)} files that nobody sent"] if (more := kept - dropped.keys()) else []
    broken += ["the ledger's instances are not what was dropped"] if filed != sorted(dropped.items()) else []
    return broken + ([f"set aside: {sorted(set(strays))}"] if strays else [])


def _cases(house: Processes, studies: set[str], report: Report) -> list[str]:
    """Each study is answered by the one verdict of its one case, which the centre has once and says the same of."""
    rows = house.studies()
    broken = [f"{len(studies - rows.keys())} studies lost, {len(rows.keys() - studies)} invented"]
    broken = [] if rows.keys() == studies else broken
    wrong = Counter(row.state for row in rows.values() if row.state != "answered")
    broken += [f"not answered: {dict(wrong)}"] if wrong else []
    here = {row.case_id: row for row in _rows(house.places.cases_db, wire.cases)}
    closed = {name for name, row in here.items() if row.state == "closed"}
    told = _rows(house.places.studies_db, ledger.verdicts)
    told_of = Counter(row.case_id for row in told)
    current = {(row.number, row.revision) for row in rows.values()}
    answers = Counter((row.study_number, row.revision) for row in told if not row.addendum)
    broken += ["a study without exactly one verdict"] if any(answers[key] != 1 for key in current) else []
    broken += ["a closed case without exactly one verdict"] if any(told_of[name] != 1 for name in closed) else []
    moved = [row for row in _rows(house.places.studies_db, ledger.moves) if row.event == "verdict"]
    twice = [key for key, count in Counter((m.study_number, m.revision) for m in moved).items() if count > 1]
    broken += [f"answered twice: {len(twice)}"] if twice else []

    far = _rows(house.central / "central.db", store.cases)
    numbers = {row.id: row.case_id for row in far}
    held = Counter(row.case_id for row in far)
    said = {numbers[row.case_number]: row for row in _rows(house.central / "central.db", store.verdicts)}
    broken += ["the centre has a case twice"] if any(count > 1 for count in held.values()) else []
    broken += ["the centre has a case that was never made"] if held.keys() - here.keys() else []
    broken += ["closed here, unknown at the centre"] if closed - held.keys() else []
    differ = [row for row in told if row.case_id not in said or not _same(row.body, said[row.case_id].body)]
    broken += [f"{len(differ)} verdicts differ from what the centre said"] if differ else []
    aside = [row.code for row in _rows(house.places.link_db, wire.rejects)]
    aside += [row.code for row in _rows(house.central / "central.db", store.quarantine)]
    broken += [f"messages put aside: {aside}"] if aside else []

    parts = {path.name for path in house.places.parts.iterdir()}
    left = parts & {row.sha256 for row in _rows(house.places.cases_db, wire.transfers)}
    report.orphans = len(parts - left)
    return broken + ([f"{len(left)} parts not freed"] if left else [])


def _rows(path: Path, table: Any) -> list[Any]:
    engine = sqlite.open_reader(path)
    try:
        with engine.connect() as c:
            assert c.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok", path.name
            return list(c.execute(select(table)))
    finally:
        engine.dispose()


def _same(body: Any, sent: bytes) -> bool:
    """Whether the ledger's copy of a verdict says what the centre's bytes say."""
    return bool(Verdict.model_validate_json(sent).model_dump(mode="json") == body)
