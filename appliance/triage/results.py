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
from appliance.core.results.order import Order, Payload, Receipt, Text, files
from appliance.core.results.statement import INHERITED, Built, Message, Statement
from appliance.core.rules import TAKES, Decided, Result, sent
from appliance.core.study import Instance
from appliance.core.worklist_order import case_urgency
from appliance.errors import CATALOGUE, Fault, Quarantined
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.triage import findings
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
    """The objects and texts of one statement, and to which targets each kind goes. fault: why a kind stays here."""

    objects: dict[Result, Built]
    texts: dict[Result, tuple[Message, ...]]
    goes: dict[Result, tuple[str, ...]]
    urgency: Urgency
    fault: str


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
            code = found.code if isinstance(found, Fault) else "nothing" if found is None else found.fault or "built"
            reports.end(c, *key, code)
        self.next_post = 0.0

    def _make(self, number: int, revision: int, decision: str, reader: str, said_at: float) -> Made | None:
        """The objects of a statement, on disk; None where nothing goes anywhere."""
        with self.engine.connect() as c:
            study, instances = ledger.study_by_number(c, number), ledger.instances_of(c, number)
            result = ledger.result_of(c, number, revision)
            verdicts = [row for row in ledger.verdicts_of(c, number) if row.revision == revision and not row.addendum]
            before = reports.last_report(c, number)
        if study is None or result is None or not instances or decision not in DECIDED:
            return None
        goes = sent(
            self.config.rules.results,
            instances,
            lane=result.lane,
            decision=DECIDED[decision],
            everything=self.config.results.everywhere(),
        )
        if not goes:
            return None
        told = (*findings.edge(result, self.models()), *findings.centre(verdicts, self.models()))
        said = Statement(instances[0].study_instance_uid, revision, result.lane, told, decision, reader, said_at)
        found = max((result.priority, *(row.body["urgency"] for row in verdicts)), key=URGENCIES.index)
        urgency = case_urgency(found, study.request_rank)
        shown = chosen(instances)
        data = archive.read_instance(self.places.instances, (shown[0].instance if shown else instances[0]).sha256)
        source = header(data)
        objects: dict[Result, Built] = {}
        texts: dict[Result, tuple[Message, ...]] = {}
        fault = ""
        # A report and its picture stay here together; a message that cannot be made keeps neither of them, nor they it.
        parts: dict[tuple[Result, ...], Callable[[], object]] = {
            ("sr", "key-image"): lambda: objects.update(self._objects(said, instances, data, goes, before)),
            ("oru",): lambda: texts.update({"oru": self._oru(said, source)}),
            ("fhir",): lambda: texts.update({"fhir": self._fhir(said, source, instances)}),
        }
        for kinds, make in parts.items():
            try:
                if any(kind in goes for kind in kinds):
                    make()
            except Quarantined as wrong:
                FAULTS[wrong.code] += 1
                LOG.error("study %d: no %s: %s", number, kinds[0], wrong.code)
                fault = fault or wrong.code
        return Made(objects, texts, goes, urgency, fault)

    def _objects(
        self,
        said: Statement,
        instances: list[Instance],
        data: bytes,
        goes: dict[Result, tuple[str, ...]],
        before: str | None,
    ) -> dict[Result, Built]:
        # Here and not above: only who has targets pays for the library.
        from appliance.core.results.check import wrong_in
        from appliance.core.results.key_image import key_image
        from appliance.core.results.report import report

        shown, source = chosen(instances), header(data)
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

    def _oru(self, said: Statement, source: Dataset) -> tuple[Message, ...]:
        from appliance.core.results.message_check import wrong_in_oru
        from appliance.core.results.oru import oru

        device = self.config.site.device_id
        made = oru(said, source, site_key=self.site_key, device=device, version=__version__)
        wrong = wrong_in_oru(made, source, said.study_instance_uid, signed=bool(said.decision))
        return self._put_texts("oru", (made,), wrong)

    def _fhir(self, said: Statement, source: Dataset, instances: list[Instance]) -> tuple[Message, ...]:
        from appliance.core.results.fhir import resources
        from appliance.core.results.message_check import wrong_in_fhir

        device = self.config.site.device_id
        made = resources(said, source, instances, site_key=self.site_key, device=device)
        wrong = wrong_in_fhir(made, source, said.study_instance_uid, signed=bool(said.decision))
        return self._put_texts("fhir", made, wrong)

    def _put_texts(self, kind: str, made: tuple[Message, ...], wrong: list[str]) -> tuple[Message, ...]:
        if wrong:
            raise Quarantined("result-invalid", f"{kind} {wrong[0]}")
        for each in made:
            archive.put(self.places.outbox / f"{hashlib.sha256(each.data).hexdigest()}.msg", each.data)
        return made

    def _put(self, kind: str, built: Built) -> None:
        path = self.places.outbox / f"{hashlib.sha256(built.data).hexdigest()}.dcm"
        archive.put(path, built.data)
        objections = [each for each in validator.objections(path) if each not in NOT_OURS]
        if objections:
            archive.remove(path)
            raise Quarantined("result-invalid", f"{kind} dciodvfy")

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
        texts = {
            kind: [Text(sha256=hashlib.sha256(each.data).hexdigest(), name=each.name) for each in held]
            for kind, held in made.texts.items()
        }
        for target in self.config.results.targets:
            kinds = [kind for kind in TAKES[target.kind] if target.name in made.goes.get(kind, ())]
            goes = [payloads[kind] for kind in kinds if kind in payloads]
            told = [text for kind in kinds for text in texts.get(kind, ())]
            if not (goes or told):
                continue
            named = [each.sop_instance_uid for each in goes] + [each.sha256 for each in told]
            order = Order(
                id=self._order_id(target.name, named),
                target=target.name,
                kind="store" if goes else "hl7" if target.kind == "hl7" else "fhir",
                payloads=goes,
                texts=told,
                priority=made.urgency,
                created_at_s=moment.wall,
                commit=target.commit,
            )
            if told:  # a study has one report there: an earlier one must not come after a later one
                reports.supersede(c, number, target.name, moment.wall)
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
            waiting = {row.order_id: _order(row) for row in reports.open_orders(c)}
            gone = reports.superseded(c)
        for path in self.places.outbox.glob("*.json"):
            if path.stem in gone:  # before the slip that takes its place is there
                archive.remove(path)
        named = {name for order in waiting.values() for name in files(order)}
        for path in self.places.outbox.iterdir():
            if path.suffix in (".dcm", ".msg") and path.name not in named:
                archive.remove(path)  # of a statement that ended half-way, or that a judge kept here
        for order in waiting.values():
            path = self._slip(order.id)
            if not path.exists():
                archive.put(path, encode(order))
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
            late = row.state == "superseded" and receipt.outcome == "refused"  # its files were gone already
            if row.state != receipt.outcome and not late:
                reports.file_receipt(
                    c, receipt.id, {**told, "attempts": receipt.attempts, "told_at": receipt.at_s}
                )  # fmt: skip
            needed = {name for other in reports.open_orders(c) for name in files(_order(other))}
        if more:
            return False
        archive.remove(self._slip(receipt.id))
        archive.remove(path)
        for name in files(_order(row)):
            if name not in needed:
                archive.remove(self.places.outbox / name)
        LOG.info("study %d: result for %s: %s", row.study_number, receipt.target, receipt.outcome)
        return True


def _order(row: Row[Any]) -> Order:
    return Order.model_validate_json(json.dumps(row.body))


def header(data: bytes) -> Dataset:
    """A file's data set without its pixels."""
    return pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
