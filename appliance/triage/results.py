"""Triage, results: what a reader signed becomes objects and orders in phi/outbox, and receipts become rows.

Three steps, each safe to repeat: `results.build` says each statement once (objects to disk, then rows), `results.post`
keeps a slip in the outbox for every open order, `results.absorb` files what deliver answered and takes the slip away.
Whatever cannot be built or breaks a rule stays here with a code; the signature stands without it.
"""

import hashlib
import hmac
import io
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset
from sqlalchemy import Connection, Engine, Row

from appliance import __version__
from appliance.config import Config, Places
from appliance.core.decide import Model
from appliance.core.document import URGENCIES, Urgency, decode, encode
from appliance.core.key_images import chosen
from appliance.core.pixels import decode as decoded
from appliance.core.results.order import Order, Payload, Receipt
from appliance.core.results.statement import INHERITED, Built, Finding, Statement
from appliance.core.results.words import Term
from appliance.core.rules import Decided, Result, sent
from appliance.core.study import Instance
from appliance.errors import CATALOGUE, Fault, Quarantined
from appliance.loop import Moment, Step, guarded
from appliance.world import archive, ledger, validator
from appliance.world.ledger import reports

LOG = logging.getLogger("appliance.triage")
STATEMENTS_A_STEP = 5
RECEIPTS_A_STEP = 100
ATTEMPTS_MAX = 3
POST_PERIOD_S = 30.0
DECIDED: dict[str, Decided] = {"": "none", "agree": "agree", "correct": "disagree", "cannot_tell": "cannot-tell"}
# How dciodvfy names what was taken over from the source: its mistakes are the scanner's, and must stay what they are.
NOT_OURS = frozenset(INHERITED) | {pydicom.datadict.dictionary_description(each) for each in INHERITED}


@dataclass(frozen=True, slots=True)
class Made:
    """The objects of one statement, and to which targets each kind goes."""

    objects: dict[Result, Built]
    goes: dict[Result, tuple[str, ...]]
    urgency: Urgency


class Results:
    """The steps results.build, results.post and results.absorb; none without a target."""

    def __init__(
        self, config: Config, places: Places, site_key: bytes, engine: Engine, models: Callable[[], Sequence[Model]]
    ) -> None:
        self.config, self.places, self.site_key, self.engine, self.models = config, places, site_key, engine, models
        self.next_post = 0.0

    def steps(self) -> dict[str, Step]:
        if not self.config.results.targets:
            return {}
        return {"results.build": self.build, "results.post": self.post, "results.absorb": self.absorb}

    def build(self, moment: Moment) -> bool:
        """Every statement that is not said yet, the oldest first."""
        early = self.config.results.send_on == "release"
        with self.engine.connect() as c:
            waiting = reports.to_say(c, early=early, limit=STATEMENTS_A_STEP)
        for each in waiting:
            self._say(*each, moment)
        return bool(waiting)

    def _say(self, number: int, revision: int, decision: str, reader: str, said_at: float, moment: Moment) -> None:
        key = (number, revision, decision)
        with self.engine.begin() as c:
            attempt = reports.begin(c, *key, moment.wall)
            if attempt > ATTEMPTS_MAX:
                reports.end(c, *key, "result-attempts-spent")
                return
        found = guarded("triage.results", partial(self._make, number, revision, decision, reader, said_at))
        if isinstance(found, Fault) and found.actor in ("time", "operator"):
            with self.engine.begin() as c:
                reports.give_back(c, *key)
            raise found
        if isinstance(found, Fault):
            LOG.error("study %d: no result: %s", number, found.code)
        with self.engine.begin() as c:
            if isinstance(found, Made):
                self._file(c, number, found, moment)
            reports.end(c, *key, found.code if isinstance(found, Fault) else "nothing" if found is None else "built")
        self.next_post = 0.0

    def _make(self, number: int, revision: int, decision: str, reader: str, said_at: float) -> Made | None:
        """The objects of a statement, on disk; None where nothing goes anywhere."""
        with self.engine.connect() as c:
            instances = ledger.instances_of(c, number)
            result = ledger.result_of(c, number, revision)
            verdicts = [row for row in ledger.verdicts_of(c, number) if row.revision == revision and not row.addendum]
            before = reports.last_report(c, number)
        if result is None or not instances or decision not in DECIDED:
            return None
        targets = tuple(each.name for each in self.config.results.targets)
        goes = sent(
            self.config.rules.results,
            instances,
            lane=result.lane,
            decision=DECIDED[decision],
            everything=dict.fromkeys(self.config.results.objects, targets),
        )
        if not goes:
            return None
        findings = (*self._edge(result), *self._centre(verdicts))
        said = Statement(
            instances[0].study_instance_uid, revision, result.lane, findings, decision, reader, said_at
        )  # fmt: skip
        raised = {result.priority, *(row.body["urgency"] for row in verdicts)}
        urgency = next((each for each in reversed(URGENCIES) if each in raised), URGENCIES[0])
        return Made(self._objects(said, instances, goes, before), goes, urgency)

    def _objects(
        self, said: Statement, instances: list[Instance], goes: dict[Result, tuple[str, ...]], before: str | None
    ) -> dict[Result, Built]:
        # Here and not above: only who has targets pays for the library.
        from appliance.core.results.check import wrong_in
        from appliance.core.results.key_image import key_image
        from appliance.core.results.report import report

        shown = chosen(instances)
        first = shown[0].instance if shown else instances[0]
        data = archive.read_instance(self.places.instances, first.sha256)
        source = header(data)
        made: dict[Result, Built] = {}
        device = self.config.site.device_id
        if "sr" in goes:
            frames = [(place.instance, place.frame) for place in shown]
            made["sr"] = report(
                said, source, instances, frames, site_key=self.site_key, device=device, version=__version__,
                before=before,
            )  # fmt: skip
        if "key-image" in goes and shown:
            image = decoded(data, pixels_max=self.config.triage.pixels_max)
            made["key-image"] = key_image(said, source, image, shown[0], site_key=self.site_key, device=device)
        images = [(each.sop_class_uid, each.sop_instance_uid) for each in instances]
        for kind, built in made.items():
            wrong = wrong_in(built.data, source, images, signed=bool(said.decision))
            if wrong:
                raise Quarantined("result-invalid", f"{kind} {wrong[0]}")
            self._put(kind, built)
        return made

    def _put(self, kind: str, built: Built) -> None:
        path = self.places.outbox / f"{hashlib.sha256(built.data).hexdigest()}.dcm"
        archive.put(path, built.data)
        objections = [each for each in validator.objections(path) if each not in NOT_OURS]
        if objections:
            archive.remove(path)
            raise Quarantined("result-invalid", f"{kind} dciodvfy")

    def _edge(self, result: Row[Any]) -> list[Finding]:
        """What the models here said: of each the last exit; nothing of one whose weights are random."""
        known = {model.manifest.title: model.manifest for model in self.models()}
        last: dict[str, dict[str, Any]] = {}
        for told in sorted(result.scores, key=lambda each: int(each.get("exit", 1))):
            if told.get("weights", "trained") == "trained":
                last[told["model"]] = told
        found = []
        for title, told in last.items():
            name, _, version = title.partition("/")
            manifest = known.get(title)
            label = None
            if manifest is not None:
                of = manifest.label
                label = Term(of.code, of.scheme, of.name[:64])
            found.append(Finding(name, version, told.get("model_sha256", ""), label, float(told["logit"])))
        return found

    def _centre(self, verdicts: Sequence[Row[Any]]) -> list[Finding]:
        """What the centre's model said of each label; nothing where none was connected or it asks for a person."""
        if not verdicts or verdicts[0].body["status"] != "ok" or not verdicts[0].body["reader"]["connected"]:
            return []
        body = verdicts[0].body
        labels = {model.manifest.label.name: model.manifest.label for model in self.models()}
        found = []
        for opinion in body["opinions"]:
            of = labels.get(opinion["label"])
            label = None if of is None else Term(of.code, of.scheme, of.name[:64])
            prompt = body["reader"]["prompt_sha256"]
            model = body["reader"]["model"][:64] or "central"
            found.append(Finding(model, prompt[:16], prompt, label, None, opinion["assessment"]))
        return found

    def _file(self, c: Connection, number: int, made: Made, moment: Moment) -> None:
        """Rows of the objects and of one order for each target."""
        payloads = {}
        for kind, built in made.objects.items():
            digest = hashlib.sha256(built.data).hexdigest()
            reports.put_object(c, built.sop_instance_uid, number, kind, digest, moment.wall)
            payloads[kind] = Payload(
                sha256=digest,
                sop_class_uid=built.sop_class_uid,
                sop_instance_uid=built.sop_instance_uid,
                transfer_syntax_uid=built.transfer_syntax_uid,
            )
        for target in self.config.results.targets:
            goes = [payload for kind, payload in payloads.items() if target.name in made.goes.get(kind, ())]
            if not goes:
                continue
            order = Order(
                id=self._order_id(target.name, [each.sop_instance_uid for each in goes]),
                target=target.name,
                kind="store",
                payloads=goes,
                priority=made.urgency,
                created_at_s=moment.wall,
                commit=target.commit,
            )
            reports.put_order(c, order.id, number, target.name, order.model_dump(mode="json"), moment.wall)

    def _order_id(self, target: str, objects: Sequence[str]) -> str:
        told = "\0".join(["result-order", target, *objects]).encode()
        return hmac.digest(self.site_key, told, hashlib.sha256).hex()[:32]

    def post(self, moment: Moment) -> bool:
        """A slip for every open order; one that is there already is left alone."""
        if moment.mono < self.next_post:
            return False
        self.next_post = moment.mono + POST_PERIOD_S
        with self.engine.connect() as c:
            waiting = reports.open_orders(c)
        named = {each["sha256"] for row in waiting for each in row.body["payloads"]}
        for path in self.places.outbox.glob("*.dcm"):
            if path.stem not in named:  # of a statement that ended half-way, or that a judge kept here
                archive.remove(path)
        for row in waiting:
            path = self._slip(row.order_id)
            if not path.exists():
                archive.put(path, encode(Order.model_validate_json(json.dumps(row.body))))
        return False

    def _slip(self, order_id: str) -> Path:
        return self.places.outbox / f"{order_id}.json"

    def absorb(self, _: Moment) -> bool:
        """What deliver answered: the row first, then slip, receipt and objects that no open order names."""
        if not self.places.receipts.is_dir():
            return False
        done = False
        for path in sorted(self.places.receipts.glob("*.json"))[:RECEIPTS_A_STEP]:
            receipt = guarded("triage.receipts", lambda path=path: decode(Receipt, path.read_bytes()))  # type: ignore[misc]
            if isinstance(receipt, Fault) or receipt.id != path.stem or receipt.outcome == "replied":
                continue  # deliver's own copy stays for inspection; of a reply somebody else takes note
            done = self._absorb_one(path, receipt) or done
        return done

    def _absorb_one(self, path: Path, receipt: Receipt) -> bool:
        with self.engine.begin() as c:
            row = reports.order(c, receipt.id)
            if row is None or row.target != receipt.target:
                return False
            # The slip waits for the commitment, unless deliver says that there will be none.
            none_comes = receipt.code == "commit-unsupported"
            more = receipt.outcome == "stored" and bool(row.body["commit"]) and not none_comes
            code = receipt.code if receipt.code in CATALOGUE or receipt.outcome != "refused" else "result-refused"
            told = {"state": receipt.outcome, "open": more, "code": code, "status": receipt.status}
            if row.state != receipt.outcome:
                reports.file_receipt(
                    c, receipt.id, {**told, "attempts": receipt.attempts, "told_at": receipt.at_s}
                )  # fmt: skip
            needed = {each["sha256"] for other in reports.open_orders(c) for each in other.body["payloads"]}
        if more:
            return False
        archive.remove(self._slip(receipt.id))
        archive.remove(path)
        for each in row.body["payloads"]:
            if each["sha256"] not in needed:
                archive.remove(self.places.outbox / f"{each['sha256']}.dcm")
        LOG.info("study %d: result for %s: %s", row.study_number, receipt.target, receipt.outcome)
        return True


def header(data: bytes) -> Dataset:
    """A file's data set without its pixels."""
    return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
