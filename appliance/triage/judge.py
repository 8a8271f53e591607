"""Triage, second part: a complete study is decoded, looked at by a model and decided.

The attempt is counted before it is made. Whatever goes wrong with the bytes sets the study aside; whatever is in
doubt makes it hard; only core.decide says routine. How a study is looked at stands in looking; here are the effects
and their order: the result, the move and whoever counts it in one transaction, then the shadows, which no decision
waits for.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Config, Places
from appliance.core.assemble import conflicts
from appliance.core.certificate import PRODUCT_CONTRACT, Certificate, contract_words
from appliance.core.decide import Decision, Model
from appliance.core.lifecycle import State
from appliance.core.pixels import Image
from appliance.core.roles import in_share
from appliance.core.rules import ModelRule
from appliance.core.standing import Standing
from appliance.core.study import Instance, Scores
from appliance.core.viewing import VERSION, frame_bytes, frame_description, voi_bytes
from appliance.errors import Fault, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.triage.looking import Court as Court
from appliance.triage.looking import Judgement, doubted, judge, shadowed
from appliance.world import archive, ledger
from appliance.world.inference import Bench
from appliance.world.ledger import broken, overlays, shadows
from appliance.world.models import load_packages

LOG = logging.getLogger("appliance.triage")
STUDIES_A_STEP = 10


def open_court(folder: Path, site: str, trusted: Path, rules: tuple[ModelRule, ...] = ()) -> Court:
    """Loads what is sound; a damaged package, or one that fails its own golden films, is named and not used.

    Of each name the newest sound version may decide.
    """
    packages, damaged = load_packages([folder], trusted)
    for each in damaged:
        LOG.error("model package %s is not used: %s", each.folder.name, each.fault.code)
    bench = Bench(packages)
    for title in bench.faults:
        LOG.error("model %s is not used: it fails its own test", title)
    newest: dict[str, Model] = {}
    for package in packages:  # the newest version of a name comes first
        if package.title not in bench.faults:
            newest.setdefault(package.model.manifest.name, replace(package.model, rules=rules))
    return Court(tuple(newest.values()), bench, site)


# What stands against models and certificates, asked in the transaction of the attempt; and who is told of a decision,
# in the transaction of the move.
Stands = Callable[[Connection, Moment], Standing]
Decided = Callable[[Connection, Row[Any], Decision, Moment], None]


class Judging:
    """The step judge."""

    def __init__(
        self, config: Config, places: Places, engine: Engine, court: Court, *, stands: Stands, decided: Decided
    ) -> None:
        self.knobs = config.triage
        self.places = places
        self.engine = engine
        self.court = court
        self.stands = stands
        self.decided = decided

    def steps(self) -> dict[str, Step]:
        return {"judge": self.judge}

    def sit(self, court: Court) -> None:
        """From the next study on this court decides."""
        self.court = court

    def judge(self, moment: Moment) -> bool:
        """Complete studies become routine, hard or quarantined."""
        with self.engine.connect() as c:
            complete = ledger.in_state(c, "complete", STUDIES_A_STEP)
        for study in complete:
            self._judge_one(study, moment)
        return bool(complete)

    def _judge_one(self, study: Row[Any], moment: Moment) -> None:
        court = self.court  # one court for the whole study, whatever is activated meanwhile
        with self.engine.begin() as c:
            if ledger.count_attempt(c, study) > self.knobs.attempts_max:
                ledger.move(c, study, "quarantined", who="triage.judge", at=moment.wall, code="study-attempts-spent")
                return
            instances = ledger.instances_of(c, study.number)
            standing = self.stands(c, moment)
        work = partial(
            judge,
            court,
            instances,
            self._read,
            pixels_max=self.knobs.pixels_max,
            today=day(moment),
            standing=standing,
            keep=self._keep,
        )
        found = guarded("triage.judge", work)
        if isinstance(found, Unavailable):
            with self.engine.begin() as c:
                ledger.give_back_attempt(c, study)
            raise found
        with self.engine.begin() as c:
            if isinstance(found, Fault):
                ledger.move(c, study, "quarantined", who="triage.judge", at=moment.wall, code=found.code)
                return
            decision = found.decision
            if decision.lane != "escalated" and self.stands(c, moment) != standing:
                # A kill switch or an alarm fell while the network ran: decided anew, under what stands now.
                ledger.give_back_attempt(c, study)
                return
            conflict = conflicts(instances)  # only a release leads here with one
            if conflict is not None and conflict.code == "study-patient-mismatch":
                ledger.move(c, study, "quarantined", who="triage.judge", at=moment.wall, code=conflict.code)
                return
            if conflict is not None:
                found = doubted(found, "released-in-conflict")
                decision = found.decision
            if study.doubt:
                found = doubted(found, study.doubt)
                decision = found.decision
            if broken.beside(c, study.number, study.study_instance_uid):
                found = doubted(found, "image-broken-beside")
                decision = found.decision
            ledger.put_result(c, study.number, study.revision, columns(court, found, moment.wall))
            if found.heat is not None:
                overlays.put(c, study.number, study.revision, found.heat)
            to: State = "hard" if decision.lane == "escalated" else "routine"
            moved = ledger.move(c, study, to, who="triage.judge", at=moment.wall, code=decision.reasons[0].code)
            if moved:
                self.decided(c, study, decision, moment)
        LOG.info("study %d: %s", study.number, decision.lane)
        beside = replace(court, shadows=tuple(m for m in court.shadows if not standing.stops(m.manifest.title)))
        self._shadow(beside, study, instances, decision, moment)

    def _shadow(
        self, court: Court, study: Row[Any], instances: Sequence[Instance], decision: Decision, moment: Moment
    ) -> None:
        """What the shadows say of a study that is decided and moved: nothing of it can change that any more."""
        for model in court.shadows:
            title = model.manifest.title
            if not in_share(title, study.study_instance_uid, court.shares.get(title, 1.0)):
                continue
            work = partial(
                shadowed, court, model, instances, self._read, pixels_max=self.knobs.pixels_max, today=day(moment)
            )
            said = guarded("triage.shadow", work)
            if isinstance(said, Decision):
                row = {
                    **_said(court, said),
                    "model": model.manifest.title,
                    "decided_by": decision.model,
                    "agrees": said.lane == decision.lane,
                    "at": moment.wall,
                }
                with self.engine.begin() as c:
                    shadows.put(c, study.number, study.revision, row)

    def _read(self, instance: Instance) -> bytes:
        return archive.read_instance(self.places.instances, instance.sha256, self.knobs.object_bytes_max)

    def _keep(self, instance: Instance, image: Image) -> None:
        """The decoded frames for the page, a cache: the description last, so that a folder with one is whole."""
        folder = self.places.frames / instance.sha256
        if _described(folder / "frames.json"):
            return
        description = frame_description(image)
        for number in range(int(str(description["frames"]))):
            archive.cache(folder / f"frame-{number + 1:04d}.raw", frame_bytes(image, number))
        for number, table in enumerate(image.display.voi_luts, 1):
            archive.cache(folder / f"voi-{number:02d}.raw", voi_bytes(table))
        archive.cache(folder / "frames.json", json.dumps(description).encode())


def _described(path: Path) -> bool:
    """Whether the cache holds an image as this version describes it; an older description is made anew."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("version") == VERSION


def day(moment: Moment) -> date:
    """The day for which certificates are asked whether they are valid."""
    return datetime.fromtimestamp(moment.wall, UTC).date()


def _said(court: Court, decision: Decision) -> dict[str, Any]:
    made_with = _made_with(court, decision)
    return {
        "lane": decision.lane,
        "would_be": decision.would_be,
        "reasons": [asdict(reason) for reason in decision.reasons],
        "scores": [{**asdict(scores), **made_with} for scores in decision.scores],
    }


def _made_with(court: Court, decision: Decision) -> dict[str, str | None]:
    """The very model, gates, preparation and rules of a score: a certificate is made of scores that agree in all."""
    for model in (*court.models, *court.shadows):
        if model.manifest.title == decision.model:
            return {
                "model_sha256": model.sha256,
                "gates_digest": model.reference_for(_certificate(court, decision), court.site).digest,
                "preparation_digest": model.preparation_digest,
                "selection_sha256": model.selection_sha256,
            }
    return {}


def columns(court: Court, found: Judgement, at: float) -> dict[str, Any]:
    """A judgement as the columns of ledger.results, but for the study's own."""
    decision, said = found.decision, _said(court, found.decision)
    return {
        **said,
        "priority": decision.priority,
        "scores": [
            {**told, **promise(court, decision, scores)}
            for told, scores in zip(said["scores"], decision.scores, strict=True)
        ],
        "model": decision.model,
        "certificate": decision.certificate,
        "timings_ms": found.timings_ms,
        "decided_at": at,
    }


def promise(court: Court, decision: Decision, scores: Scores) -> dict[str, Any]:
    """The thresholds and the contract of the certificate looked at, so that both can be shown beside the score.

    {} for a score whose certificate was not looked at, as another exit's
    """
    certificate = _certificate(court, decision)
    if certificate is None or certificate.exit != scores.exit:
        return {}
    ends = ("clear_at_or_below", "flag_at_or_above")
    words = contract_words(certificate.plan.contract, certificate.plan.delta)
    return {"thresholds": {end: getattr(certificate, end) for end in ends}, "contract": f"{certificate.site}: {words}"}


def own_contract(court: Court, decision: Decision) -> str | None:
    """The contract of the certificate looked at, in words, where it is not the product's own."""
    certificate = _certificate(court, decision)
    if certificate is None or certificate.plan.contract == PRODUCT_CONTRACT:
        return None
    return f"{certificate.site}: {contract_words(certificate.plan.contract, certificate.plan.delta)}"


def _certificate(court: Court, decision: Decision) -> Certificate | None:
    models = (*court.models, *court.shadows)
    own = (each for model in models if model.manifest.title == decision.model for each in model.certificates)
    return next((each for each in own if each.name == decision.certificate), None)
