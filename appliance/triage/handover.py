"""Triage, third part: a hard study becomes a sealed case in wire/, or stays here because identity might leave.

The document is composed from the de-identified header and the scores, encoded to its final bytes, and those bytes
are inspected against the identity of every source file before they are written anywhere outside phi/.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any, get_args

import pydicom
from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core import case as wire_case
from appliance.core.decide import REASONS, Model
from appliance.core.deidentify import deidentify
from appliance.core.gates import Measure
from appliance.core.identity import identity, joined
from appliance.core.inspect import inspect
from appliance.core.study import Instance, Scores
from appliance.errors import Fault, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.world import archive, ledger, sqlite, wire

LOG = logging.getLogger("appliance.triage")
STUDIES_A_STEP = 10
CASES_A_STEP = 500
UNKNOWN_LABEL = "unknown"
SCORE_FIELDS = tuple(Scores.__dataclass_fields__)


def sealed_case(
    case_id: str,
    revision: int,
    result: Mapping[str, Any],
    instances: Sequence[Instance],
    read: Callable[[Instance], bytes],
    *,
    site_key: bytes,
    models: Sequence[Model],
) -> wire_case.Sealed:
    """The final bytes of a hard study's case, inspected. Raises Quarantined where identity is in doubt.

    result  columns of ledger.results: priority, reasons, would_be, scores, model, certificate
    read    the bytes of an instance as they came
    models  the installed ones, for digest and label of the one that looked
    """
    header = _header(deidentify(read(instances[0]), site_key).bytes)
    looked = next((model for model in models if model.manifest.title == result["model"]), None)
    case = wire_case.compose(
        case_id=case_id,
        revision=revision,
        modality=str(header.get("Modality", "")),
        body_part=str(header.get("BodyPartExamined", "")),
        view=str(header.get("ViewPosition", "")),
        images=sum(instance.has_pixels for instance in instances),
        urgency=result["priority"],
        reasons=[reason["code"] for reason in result["reasons"]],
        would_be=result["would_be"],
        scores=[Scores(**{name: told[name] for name in SCORE_FIELDS}) for told in result["scores"]],
        label=looked.manifest.label.name if looked else UNKNOWN_LABEL,
        model=None
        if looked is None
        else wire_case.Model(
            name=looked.manifest.name,
            version=looked.manifest.version,
            sha256=looked.sha256,
            certificate=next((c.digest for c in looked.certificates if c.name == result["certificate"]), None),
        ),
    )
    sealed = wire_case.seal(case)
    # One object at a time: a data set holds on to all the bytes that it was read from.
    who = joined(*(identity(_header(read(instance))) for instance in instances))
    inspect(sealed.data, who, _vocabulary(models))
    return sealed


def _header(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(BytesIO(data), stop_before_pixels=True)


def _vocabulary(models: Sequence[Model]) -> frozenset[str]:
    """Every word a case can bear that was fixed before the patient came: the schema's, ours, the installed models'."""
    installed = {
        word
        for model in models
        for word in (model.manifest.name, model.manifest.version, model.manifest.label.name, model.sha256)
    }
    return wire_case.VOCABULARY | frozenset(REASONS) | frozenset(get_args(Measure)) | {UNKNOWN_LABEL} | installed


class Handover:
    """The steps seal, withdraw and free."""

    def __init__(
        self, config: Config, places: Places, site_key: bytes, engine: Engine, cases: Engine, models: Sequence[Model]
    ) -> None:
        self.knobs = config.triage
        self.places = places
        self.site_key = site_key
        self.models = models
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
        work = partial(
            sealed_case,
            case_id,
            study.revision,
            dict(result._mapping),
            instances,
            self._read,
            site_key=self.site_key,
            models=self.models,
        )
        sealed = guarded("triage.seal", work)
        if isinstance(sealed, Fault) and not isinstance(sealed, Unavailable):
            with self.engine.begin() as c:
                ledger.move(c, study, "quarantined", who="triage.seal", at=moment.wall, code=sealed.code)
            return
        try:
            if isinstance(sealed, Unavailable):
                raise sealed
            archive.put(self.places.parts / sealed.sha256, sealed.data)
        except Unavailable:
            with self.engine.begin() as c:
                ledger.give_back_attempt(c, study)
            raise
        with self.cases.begin() as c:
            wire.put_case(c, sealed, revision=study.revision, urgency=result.priority, at=moment.wall)
        with self.engine.begin() as c:
            ledger.move(c, study, "escalated", who="triage.seal", at=moment.wall)
        LOG.info("study %d: sealed as case %s", study.number, case_id[:8])

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
