"""Triage, second part: a complete study is decoded, prepared, looked at by a model and decided.

The attempt is counted before it is made. Whatever goes wrong with the bytes sets the study aside; whatever is in
doubt makes it hard; only core.decide says routine.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core.admit import announces_image
from appliance.core.decide import Decision, Model, Seen, chosen, decide
from appliance.core.lifecycle import State
from appliance.core.pixels import Image, decode, frame_bytes, frame_description, modality_values
from appliance.core.prepare import prepare
from appliance.core.study import Instance
from appliance.errors import Fault, Quarantined, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.triage.watch import Watch
from appliance.world import archive, ledger
from appliance.world.inference import Bench
from appliance.world.models import load_packages

LOG = logging.getLogger("appliance.triage")
STUDIES_A_STEP = 10


@dataclass(frozen=True, slots=True)
class Court:
    """Everything that decides: the verified models, the bench they run on, and whose certificates count."""

    models: tuple[Model, ...]
    bench: Bench
    site: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """A decision and what each stage of it took."""

    decision: Decision
    timings_ms: dict[str, float]


def open_court(folder: Path, site: str, trusted: Path) -> Court:
    """Loads what is sound; a damaged package, or one that fails its own golden films, is named and not used."""
    packages, damaged = load_packages([folder], trusted)
    for each in damaged:
        LOG.error("model package %s is not used: %s", each.folder.name, each.fault.code)
    bench = Bench(packages)
    for title in bench.faults:
        LOG.error("model %s is not used: it fails its own test", title)
    return Court(tuple(each.model for each in packages if each.title not in bench.faults), bench, site)


def judge(
    court: Court,
    instances: Sequence[Instance],
    read: Callable[[Instance], bytes],
    *,
    pixels_max: int,
    today: date,
    keep: Callable[[Instance, Image], None] | None = None,
) -> Judgement:
    """The decision on one complete study. Raises Quarantined where an image cannot be trusted to be what it says.

    read   the bytes of an instance as they came
    keep   called with every decoded image; None where nothing is kept
    """
    timings: dict[str, float] = {}
    image: Image | None = None
    for instance in instances:
        if not instance.has_pixels:
            if announces_image(instance):
                raise Quarantined("pixel-missing")
            continue
        with _Timed(timings, "decode"):
            image = decode(read(instance), pixels_max=pixels_max)
        if keep is not None:
            with _Timed(timings, "frames"):
                keep(instance, image)
    model = chosen(instances, court.models)
    if isinstance(model, Decision):
        return Judgement(model, timings)
    seen = None
    if image is not None:
        with _Timed(timings, "prepare"):
            values = modality_values(image)
            tensor = prepare(values, image.photometric == "MONOCHROME1", model.manifest.input.spec)
        with _Timed(timings, "infer"):
            outputs = court.bench.run(model.manifest.title, 1, tensor)
        seen = Seen(values, tensor, outputs)
    with _Timed(timings, "decide"):
        decision = decide(instances, model, seen, site=court.site, today=today)
    return Judgement(decision, timings)


class _Timed:
    """Adds the time of a block to a stage, in ms."""

    def __init__(self, timings: dict[str, float], stage: str) -> None:
        self.timings, self.stage = timings, stage

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = (time.perf_counter() - self.began) * 1000
        self.timings[self.stage] = round(self.timings.get(self.stage, 0.0) + spent, 3)


class Judging:
    """The step judge."""

    def __init__(self, config: Config, places: Places, engine: Engine, court: Court, watch: Watch) -> None:
        self.knobs = config.triage
        self.places = places
        self.engine = engine
        self.court = court
        self.watch = watch

    def steps(self) -> dict[str, Step]:
        return {"judge": self.judge}

    def judge(self, moment: Moment) -> bool:
        """Complete studies become routine, hard or quarantined."""
        with self.engine.connect() as c:
            complete = ledger.in_state(c, "complete", STUDIES_A_STEP)
        for study in complete:
            self._judge_one(study, moment)
        return bool(complete)

    def _judge_one(self, study: Row[Any], moment: Moment) -> None:
        with self.engine.begin() as c:
            if ledger.count_attempt(c, study) > self.knobs.attempts_max:
                ledger.move(c, study, "quarantined", who="triage.judge", at=moment.wall, code="study-attempts-spent")
                return
            instances = ledger.instances_of(c, study.number)
        work = partial(
            judge,
            self.court,
            instances,
            self._read,
            pixels_max=self.knobs.pixels_max,
            today=datetime.fromtimestamp(moment.wall, UTC).date(),
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
            ledger.put_result(c, study.number, study.revision, self._columns(found, moment))
            to: State = "hard" if decision.lane == "escalated" else "routine"
            if ledger.move(c, study, to, who="triage.judge", at=moment.wall, code=decision.reasons[0].code):
                self.watch.on_decided(c, study, decision, moment)
        LOG.info("study %d: %s", study.number, decision.lane)

    def _read(self, instance: Instance) -> bytes:
        return archive.read_instance(self.places.instances, instance.sha256)

    def _keep(self, instance: Instance, image: Image) -> None:
        """The decoded frames for the page, a cache: the description last, so that a folder with one is whole."""
        folder = self.places.frames / instance.sha256
        if (folder / "frames.json").exists():
            return
        description = frame_description(image)
        for number in range(int(str(description["frames"]))):
            archive.cache(folder / f"frame-{number + 1:04d}.raw", frame_bytes(image, number))
        archive.cache(folder / "frames.json", json.dumps(description).encode())

    def _columns(self, found: Judgement, moment: Moment) -> dict[str, Any]:
        decision = found.decision
        promise = _promise(self.court, decision)
        return {
            "lane": decision.lane,
            "would_be": decision.would_be,
            "priority": decision.priority,
            "reasons": [asdict(reason) for reason in decision.reasons],
            "scores": [{**asdict(scores), **promise} for scores in decision.scores],
            "model": decision.model,
            "certificate": decision.certificate,
            "timings_ms": found.timings_ms,
            "decided_at": moment.wall,
        }


def _promise(court: Court, decision: Decision) -> dict[str, Any]:
    """The thresholds and the contract of the certificate looked at, so that the page can show both beside the score."""
    for model in court.models:
        for certificate in model.certificates:
            if model.manifest.title == decision.model and certificate.name == decision.certificate:
                told = certificate.plan.contract
                contract = (
                    f"{certificate.site}: of those cleared at most {told.false_omission_max:.0%} have the finding, "
                    f"of those with it at most {told.miss_max:.0%} are cleared, of those flagged at most "
                    f"{told.false_discovery_max:.0%} do not have it; with {1 - certificate.plan.delta:.0%} confidence"
                )
                ends = ("clear_at_or_below", "flag_at_or_above")
                return {"thresholds": {end: getattr(certificate, end) for end in ends}, "contract": contract}
    return {}
