"""Triage, third part: a hard study becomes a sealed case in wire/, or stays here because identity might leave.

What the case is made of stands in sealing; here are the effects and their order: the part, then the receipt and the
crosswalk on the clinical side, then the case row by which uplink may send it, then the study's move.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core import case as wire_case
from appliance.core.decide import Model
from appliance.core.study import Instance
from appliance.errors import Fault, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.triage.sealing import Cleaning, Leaving, sealed_case
from appliance.world import archive, ledger, sqlite, wire
from appliance.world.ledger import departures

LOG = logging.getLogger("appliance.triage")
STUDIES_A_STEP = 1  # cleaning pictures takes seconds, and the watchdog hears of us only between steps
CASES_A_STEP = 500


class Handover:
    """The steps seal, withdraw and free."""

    def __init__(
        self,
        config: Config,
        places: Places,
        site_key: bytes,
        engine: Engine,
        cases: Engine,
        models: Callable[[], Sequence[Model]],
        cleaning: Cleaning,
    ) -> None:
        self.knobs = config.triage
        self.places = places
        self.site_key = site_key
        self.models = models
        self.cleaning = cleaning
        self.engine = engine
        self.cases = cases
        self.link: Engine | None = None

    def steps(self) -> dict[str, Step]:
        return {"seal": self.seal, "withdraw": self.withdraw, "free": self.free}

    def seal(self, moment: Moment) -> bool:
        """Hard studies to the wire: part, case row, then the move; each again is no harm."""
        with self.engine.connect() as c:
            hard = ledger.in_state(c, "hard", STUDIES_A_STEP)
        for study in hard:
            self._seal_one(study, moment)
        return bool(hard)

    def _seal_one(self, study: Row[Any], moment: Moment) -> None:
        case_id = wire_case.case_id(self.site_key, study.study_instance_uid, study.revision)
        with self.engine.begin() as c:
            if ledger.count_attempt(c, study) > self.knobs.attempts_max:
                ledger.move(c, study, "quarantined", who="triage.seal", at=moment.wall, code="study-attempts-spent")
                return
            # Before the case exists, so that a case can never outlive what the ledger knows of it.
            ledger.set_case(c, study.number, study.revision, case_id)
            result = ledger.result_of(c, study.number, study.revision)
            instances = ledger.instances_of(c, study.number)
        assert result is not None, "a hard study was decided"
        with self.cases.connect() as c:
            sealed_before = bool(wire.part_digests(c, [case_id]))
        # A case that may have left is never made again: another version of us might give it other bytes.
        if not sealed_before and not self._make(study, case_id, result, instances, moment):
            return
        with self.engine.begin() as c:
            ledger.move(c, study, "escalated", who="triage.seal", at=moment.wall)
        LOG.info("study %d: sealed as case %s", study.number, case_id[:8])

    def _make(
        self, study: Row[Any], case_id: str, result: Row[Any], instances: Sequence[Instance], moment: Moment
    ) -> bool:
        """Seals one case and writes all that belongs to it; False when the study was set aside instead."""
        work = partial(
            sealed_case,
            case_id,
            study.revision,
            dict(result._mapping),
            instances,
            self._read,
            site_key=self.site_key,
            models=self.models(),
            cleaning=self.cleaning,
            pixels_max=self.knobs.pixels_max,
        )
        leaving = guarded("triage.seal", work)
        if isinstance(leaving, Fault) and not isinstance(leaving, Unavailable):
            with self.engine.begin() as c:
                ledger.move(c, study, "quarantined", who="triage.seal", at=moment.wall, code=leaving.code)
            return False
        try:
            if isinstance(leaving, Unavailable):
                raise leaving
            sealed = leaving.sealed
            archive.put(self.places.parts / sealed.sha256, sealed.data)
        except Unavailable:
            with self.engine.begin() as c:
                ledger.give_back_attempt(c, study)
            raise
        self._keep(study, leaving, moment)
        with self.cases.begin() as c:
            wire.put_case(c, sealed, revision=study.revision, urgency=result.priority, at=moment.wall)
        return True

    def _keep(self, study: Row[Any], leaving: Leaving, moment: Moment) -> None:
        """Receipt and crosswalk, before the case row: no case may leave of which nobody here can give account."""
        sealed, stamp = leaving.sealed, leaving.receipt.stamp
        with self.engine.begin() as c:
            departures.put_receipt(
                c,
                case_id=sealed.case_id,
                number=study.number,
                revision=study.revision,
                body=leaving.receipt.data,
                sha256=stamp.sha256,
                signature=stamp.signature,
                key_id=stamp.key_id,
                part_sha256=sealed.sha256,
                at=moment.wall,
            )
            aliases = [(each.kind, each.pseudonym, each.source) for each in leaving.aliases]
            departures.put_pseudonyms(c, study.number, aliases)

    def _read(self, instance: Instance) -> bytes:
        return archive.read_instance(self.places.instances, instance.sha256)

    def withdraw(self, moment: Moment) -> bool:
        """Cases of superseded results are taken back; what the centre still says of them becomes an addendum."""
        with self.cases.connect() as c:
            still_open = [row.case_id for row in wire.open_cases(c)]
        with self.engine.connect() as c:
            # All of them, page by page: behind a centre that is silent for long the first ones stay the same.
            pages = (still_open[start : start + CASES_A_STEP] for start in range(0, len(still_open), CASES_A_STEP))
            old = [case_id for page in pages for case_id in ledger.superseded_cases(c, page)]
        if old:
            with self.cases.begin() as c:
                for case_id in old:
                    wire.cancel_case(c, case_id, moment.wall)
        return bool(old)

    def free(self, _: Moment) -> bool:
        """Parts the centre holds, or nobody wants any more, are removed: the receipt frees them, never the broker."""
        lying = {path.name: path for path in self.places.parts.iterdir() if not path.name.endswith(archive.PARTIAL)}
        if not lying or not self.places.link_db.exists():
            return False
        if self.link is None:
            self.link = sqlite.open_reader(self.places.link_db)
        with self.link.connect() as c:
            received = wire.received_case_ids(c) if wire.is_made(c, wire.LINK) else set()
        with self.cases.connect() as c:
            wanted = {row.part_sha256 for row in wire.open_cases(c) if row.case_id not in received}
            known = wire.known_parts(c, lying)
        for name, path in sorted(lying.items()):
            # A part without a case row was written just before a crash; sealing again makes the row or the same part.
            if name in known and name not in wanted:
                archive.remove(path)
        return False
