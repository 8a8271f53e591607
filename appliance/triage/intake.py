"""Triage, first part: files of incoming/ become instances of studies, and studies become complete.

Reading a file is hostile work: the attempt is counted and committed before the first byte is read, so that a file
which kills the process is set aside after a few deaths without any special code.
"""

import json
import logging
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Config, Places
from appliance.core import pseudonym
from appliance.core.admit import admit, broken_of
from appliance.core.assemble import Completeness, completeness, conflicts
from appliance.core.results.statement import is_result
from appliance.core.say import kept
from appliance.core.study import Instance
from appliance.errors import CATALOGUE, Fault, Quarantined
from appliance.loop import Moment, Step, guarded
from appliance.world import archive, ledger
from appliance.world.ledger import broken, epochs, forgetting, performed, released, reports

LOG = logging.getLogger("appliance.triage")
FILES_A_STEP = 100
STUDIES_A_STEP = 500
BYTES_COUNT_MAX = 2**63  # what a column holds


@dataclass(slots=True)
class Waiting:
    """A study still growing: how many files it had at our last look, and since when, in mono seconds."""

    revision: int
    count: int
    changed: float
    began: float
    found: Completeness | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that could not be admitted, and the study it says it belongs to; "" where that cannot be read."""

    fault: Fault
    study_instance_uid: str = ""
    sop_instance_uid: str = ""


class Intake:
    """The steps admit and assemble. Memory between steps is only of timers: losing it starts a quiet time anew."""

    def __init__(self, config: Config, places: Places, engine: Engine, site_key: bytes) -> None:
        self.site_key = site_key
        self.knobs = config.triage
        self.places = places
        self.engine = engine
        self.waiting: dict[int, Waiting] = {}

    def steps(self) -> dict[str, Step]:
        return {"admit": self.admit, "assemble": self.assemble}

    def due(self, now: float) -> float:
        """When, in mono seconds, the next study that grows may have been quiet long enough; never without one."""
        periods = self.knobs.quiet_period_s, self.knobs.quiet_period_with_evidence_s
        ends = (known.changed + period for known in self.waiting.values() for period in periods)
        return min((end for end in ends if end > now), default=math.inf)

    def admit(self, moment: Moment) -> bool:
        """Files of incoming/ to the ledger, then to the archive. Row first: the file is already safe where it is."""
        names = sorted(self._arrived())
        if not names:
            return False
        with self.engine.begin() as c:
            alone = sorted(ledger.suspects(c).intersection(names))
            batch = alone[:1] or names[:FILES_A_STEP]
            attempts = ledger.count_arrivals(c, batch)
        read = {name: self._read(name, attempts[name], moment) for name in batch}
        with self.engine.begin() as c:
            for name, instance in read.items():
                self._file(c, name, instance, moment)
            ledger.forget_arrivals(c, batch)
        for name in batch:
            path = self.places.incoming / name
            if path.suffix == ".note":
                archive.remove(path)
            else:
                archive.rename(path, archive.instance_path(self.places.instances, path.stem))
        return True

    def _arrived(self) -> Iterator[str]:
        """Names of whole files; whatever else stands there was not put by receive, and is neither read nor moved."""
        with os.scandir(self.places.incoming) as entries:
            for entry in entries:
                if entry.name.endswith((".dcm", ".note")) and entry.is_file(follow_symlinks=False):
                    yield entry.name

    def _read(self, name: str, attempts: int, moment: Moment) -> Instance | Broken | dict[str, Any]:
        path = self.places.incoming / name
        if attempts > self.knobs.attempts_max:
            return Broken(Quarantined("file-attempts-spent"))
        if path.suffix == ".note":
            found = guarded("triage.note", partial(_read_note, path))
            return {"code": "unexpected", "bytes_count": 0, "at": moment.wall} if isinstance(found, Fault) else found
        instance = guarded("triage.admit", partial(_read_file, path))
        if not isinstance(instance, Fault):
            return instance
        whose = guarded("triage.broken", partial(_whose, path))
        return Broken(instance) if isinstance(whose, Fault) else Broken(instance, *whose)

    def _file(self, c: Connection, name: str, found: Instance | Broken | dict[str, Any], moment: Moment) -> None:
        stem = Path(name).stem
        if isinstance(found, Instance) and (is_result(found) or reports.is_ours(c, found.sop_instance_uid)):
            size = (self.places.incoming / name).stat().st_size
            ledger.add_stray(c, stem, size, "own-result-returned", "", moment.wall)
        elif isinstance(found, Instance):
            uid = found.study_instance_uid
            if forgetting.come_again(c, pseudonym.forgotten(self.site_key, uid), uid, asdict(found.patient)):
                LOG.warning("a study that was forgotten has come again; it goes on under its number, and is hard")
            number, new = ledger.add_instance(c, found, moment.wall)
            epochs.mark(c, number, stem)
            LOG.info("study %d: %s", number, "file admitted" if new else "same file again")
        elif isinstance(found, Broken):
            size, fault = (self.places.incoming / name).stat().st_size, found.fault
            ledger.add_stray(c, stem, size, fault.code, fault.place, moment.wall)
            self._doubt(c, stem, found, moment)
        else:
            ledger.add_stray(c, stem, found["bytes_count"], found["code"], ledger.REFUSED_PLACE, moment.wall)

    def _doubt(self, c: Connection, stem: str, found: Broken, moment: Moment) -> None:
        """What was decided before an image of its study came broken is decided anew, in doubt."""
        if not found.study_instance_uid:
            return
        new = broken.put(c, stem, found.study_instance_uid, found.sop_instance_uid, moment.wall)
        study = ledger.study_by_uid(c, found.study_instance_uid) if new else None
        if study is not None and study.state == "routine":
            revision = epochs.next_revision(c, study.revision)
            ledger.move(c, study, "received", who="triage.admit", at=moment.wall, revision=revision)
            ledger.supersede_results(c, study.number, moment.wall)

    def assemble(self, moment: Moment) -> bool:
        """Studies whose evidence or quiet time says so become complete; contradictions are set aside."""
        with self.engine.connect() as c:
            growing = ledger.in_state(c, "received", STUDIES_A_STEP)
            counts = ledger.instance_counts(c, [study.number for study in growing])
        due = [study for study in growing if self._due(study, counts[study.number], moment)]
        for study in due:
            with self.engine.begin() as c:
                self._assemble_one(c, study, moment)
        return bool(due)

    def _due(self, study: Row[Any], count: int, moment: Moment) -> bool:
        known = self.waiting.get(study.number)
        if known is None or known.revision != study.revision:
            known = self.waiting[study.number] = Waiting(study.revision, -1, moment.mono, moment.mono)
        if known.count != count:
            known.count, known.changed = count, moment.mono
            with self.engine.connect() as c:
                found = ledger.instances_of(c, study.number)
                known.found = self._completeness(c, study, found, known, moment)
            return conflicts(found) is not None or known.found.complete
        quiet, age = moment.mono - known.changed, moment.mono - known.began
        if (
            quiet < min(self.knobs.quiet_period_s, self.knobs.quiet_period_with_evidence_s)
            and age < self.knobs.hard_cap_s
        ):
            return False
        with self.engine.connect() as c:
            known.found = self._completeness(c, study, ledger.instances_of(c, study.number), known, moment)
        return known.found.complete

    def _completeness(
        self, c: Connection, study: Row[Any], instances: list[Instance], known: Waiting, moment: Moment
    ) -> Completeness:
        return completeness(
            instances,
            bursts=released.bursts_of(c, study.number),
            steps=performed.steps_of(c, study.study_instance_uid),
            quiet_s=moment.mono - known.changed,
            age_s=moment.mono - known.began,
            quiet_period_s=self.knobs.quiet_period_s,
            quiet_period_with_evidence_s=self.knobs.quiet_period_with_evidence_s,
            hard_cap_s=self.knobs.hard_cap_s,
        )

    def _assemble_one(self, c: Connection, study: Row[Any], moment: Moment) -> None:
        known = self.waiting.pop(study.number)
        conflict = conflicts(ledger.instances_of(c, study.number))
        if conflict is not None:
            ledger.move(c, study, "quarantined", who="triage.assemble", at=moment.wall, code=conflict.code)
        elif known.found is not None:
            reason = {"code": known.found.reason.code, **kept(known.found.reason.text)}
            ledger.set_completeness(c, study.number, reason)
            ledger.move(c, study, "complete", who="triage.assemble", at=moment.wall, code=known.found.reason.code)


def _read_file(path: Path) -> Instance:
    with archive.mapped(path) as data:
        instance = admit(data, sha256=path.stem)
    if archive.digest_of(path) != path.stem:  # receive names a file by its digest
        raise Quarantined("instance-damaged")
    return instance


def _whose(path: Path) -> tuple[str, str]:
    with archive.mapped(path) as data:
        return broken_of(data)


def _read_note(path: Path) -> dict[str, Any]:
    """What receive says of a file it refused; what the ledger could not hold raises, and is told as unexpected."""
    note = json.loads(path.read_bytes())
    code, bytes_count, at = str(note["code"]), int(note["bytes_count"]), float(note["at"])
    if code not in CATALOGUE or not 0 <= bytes_count < BYTES_COUNT_MAX or not math.isfinite(at):
        raise ValueError("not a note of receive")
    return {"code": code, "bytes_count": bytes_count, "at": at}
