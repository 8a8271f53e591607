"""Triage, final reports of RIS and PACS: out of incoming/ into the ledger, to their studies, and into the audits.

A report can only speak against a certificate. It answers an audit, in the place of a blinded read, where chance drew
the study, nobody has answered yet, and it says that the finding is there. That it says *absent* answers nothing:
whoever wrote it may have seen what the machine said. Nothing here moves a study.
"""

import hashlib
import logging
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, Engine

from appliance.config import Config, Places
from appliance.config.reports import OFF
from appliance.core.final_report import FinalReport, reports_in
from appliance.core.final_report_object import report_in
from appliance.errors import Fault, Quarantined
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.world import archive, ledger
from appliance.world.ledger import final_reports

LOG = logging.getLogger("appliance.triage")
SUFFIXES = (".hl7", ".sr")  # messages, structured reports
FILES_A_STEP = 20
MATCH_PERIOD_S = 30.0

Answer = Callable[[Connection, int, str, Moment], None]  # an audit, by whom


class FinalReports:
    """The steps reports.read and reports.count; none where no folder is set.

    answer  takes the answer to an audit into the wager of its certificate
    """

    def __init__(self, config: Config, places: Places, engine: Engine, answer: Answer) -> None:
        self.knobs, self.attempts_max = config.reports, config.triage.attempts_max
        self.places, self.engine, self.answer = places, engine, answer
        self.next_match = 0.0

    def steps(self) -> dict[str, Step]:
        if self.knobs.folder == OFF:
            return {}
        self.places.final_reports.mkdir(parents=True, exist_ok=True)
        return {"reports.read": self.read, "reports.count": self.count}

    def read(self, moment: Moment) -> bool:
        """Files of incoming/ to rows, then to their folder, good and bad alike, as they came."""
        with os.scandir(self.places.incoming) as entries:
            names = sorted(each.name for each in entries if each.name.endswith(SUFFIXES))[:FILES_A_STEP]
        for name in names:
            self._read_one(self.places.incoming / name, moment)
        return bool(names)

    def _read_one(self, path: Path, moment: Moment) -> None:
        with self.engine.begin() as c:
            attempts = ledger.count_arrivals(c, [path.name])[path.name]
        found: list[FinalReport] | Fault = Quarantined("file-attempts-spent")
        if attempts <= self.attempts_max:
            found = guarded("triage.report", partial(self._reports, path))
        with self.engine.begin() as c:
            if isinstance(found, Fault):
                FAULTS[found.code] += 1
                ledger.add_stray(c, path.stem, path.stat().st_size, found.code, found.place, moment.wall)
            else:
                for each in found:
                    final_reports.put(c, path.stem, each, moment.wall)
            ledger.forget_arrivals(c, [path.name])
        archive.rename(path, self.places.final_reports / path.name)
        self.next_match = 0.0

    def _reports(self, path: Path) -> list[FinalReport]:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != path.stem:  # receive names a file by its digest
            raise Quarantined("instance-damaged")
        told = self.knobs.findings, self.knobs.senders
        return [report_in(data, *told)] if path.suffix == ".sr" else reports_in(data, *told)

    def count(self, moment: Moment) -> bool:
        """Ties reports to studies, and lets those that say *present* answer the audits that chance drew."""
        if moment.mono < self.next_match:
            return False
        self.next_match = moment.mono + MATCH_PERIOD_S
        with self.engine.begin() as c:
            tied = final_reports.match(c, moment.wall)
            for row in final_reports.speaking(c):
                self.answer(c, row.id, f"report:{row.report}", moment)
        if tied:
            LOG.info("final reports: %d tied to their studies", tied)
        return False
