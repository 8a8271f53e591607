"""Triage, corrections: what signers said becomes documents for training, kept here; correction_letters sends some.

One is made of every signature that moved its study, and of every addendum to one. Each is inspected against the
identity of the study's own files before it is kept, or it is held back with a code. May be killed anywhere: what is
made is known by its event, and an attempt is counted before it is made.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Config, Places
from appliance.core.case import case_id
from appliance.core.correction import (
    ADDENDA_MAX,
    DECIDED,
    REVS_MAX,
    VOCABULARY,
    Correction,
    Named,
    Scorer,
    decode_correction,
    judged,
    key_of,
    label_of,
    with_addendum,
    year_of,
)
from appliance.core.decide import Model
from appliance.core.document import URGENCIES, encode
from appliance.core.identity import identity_of, joined
from appliance.core.inspect import inspect
from appliance.core.study import Instance
from appliance.errors import Fault, Quarantined
from appliance.loop import Moment, Step, guarded
from appliance.world import archive, desk, ledger, reading_desk, sqlite
from appliance.world.ledger import corrections as book

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 5.0
SIGNATURES_A_STEP = 2  # the headers of all files of a study are read for each
ADDENDA_A_STEP = 20
ATTEMPTS_MAX = 3


class Corrections:
    """The step corrections.note."""

    def __init__(
        self,
        config: Config,
        places: Places,
        site_key: bytes,
        engine: Engine,
        models: Callable[[], Sequence[Model]],
    ) -> None:
        self.policy = config.learning.corrections
        self.places, self.site_key, self.engine, self.models = places, site_key, engine, models
        self.desk: Engine | None = None
        self.addenda_seen = 0  # from the first one after every start: making again changes nothing
        self._since: float | None = None  # that the policy is what it is
        self._again = 0.0

    def steps(self) -> dict[str, Step]:
        return {"corrections.note": self.note}

    def note(self, moment: Moment) -> bool:
        """One correction of every signature taken over, then of every addendum to such a one."""
        if self._since is None:
            with self.engine.begin() as c:
                self._since = book.policy_since(c, self.policy, moment.wall)
        if moment.mono < self._again or not self._opened():
            return False
        with self.engine.connect() as c:
            signed = book.unmade_signatures(c, SIGNATURES_A_STEP)
        for row in signed:
            self._keep((row.signature_id, 0), row, row.signed_at, partial(self._of_signature, row), moment)
        if signed or self._addenda(moment):
            return True
        self._again = moment.mono + LOOK_PERIOD_S
        return False

    def _opened(self) -> bool:
        if self.desk is None and self.places.review_db.exists():
            found = sqlite.open_reader(self.places.review_db)
            with found.connect() as c:
                self.desk = found if desk.is_made(c) else None
        return self.desk is not None

    def _keep(
        self,
        event: tuple[int, int],
        row: Row[Any],
        said_at: float,
        make: Callable[[], Correction | None],
        moment: Moment,
    ) -> None:
        """Makes, inspects and files one, or the code of why not.

        event    signature and addendum, as the ledger counts them; row: of either, with its study
        said_at  when a person signed or added that: what they did before the site let corrections go stays for ever
        """
        with self.engine.begin() as c:
            if book.begin(c, *event) > ATTEMPTS_MAX:
                book.end(c, *event, "correction-attempts-spent")
                return
        made = guarded("triage.corrections", partial(self._inspected, row.study_number, make))
        if isinstance(made, Fault) and made.actor in ("time", "operator"):
            with self.engine.begin() as c:
                book.give_back(c, *event)
            raise made
        assert self._since is not None, "it was asked at the first step"
        policy = self.policy if said_at >= self._since else "keep"
        with self.engine.begin() as c:
            if isinstance(made, Fault):
                LOG.error("study %d: a correction is held back: %s", row.study_number, made.code)
            elif made is not None:
                book.put(
                    c,
                    row.study_number,
                    event,
                    key=made.key,
                    rev=made.rev,
                    case_id=made.case_id,
                    policy=policy,
                    body=encode(made),
                    at=moment.wall,
                )
            outcome = made.code if isinstance(made, Fault) else book.NOTHING if made is None else book.KEPT
            book.end(c, *event, outcome)

    def _inspected(self, number: int, make: Callable[[], Correction | None]) -> Correction | None:
        """Raises Quarantined where its final bytes tell of whom they are, or cannot be read back."""
        made = make()
        if made is None:
            return None
        data = encode(made)
        decode_correction(data)
        with self.engine.connect() as c:
            instances = ledger.instances_of(c, number)
        if not instances:
            raise Quarantined("inspect-unreadable", "study")
        # One object at a time: what was read is let go of before the next.
        inspect(data, joined(*(identity_of(self._read(each)) for each in instances)), self._vocabulary())
        return made

    def _read(self, instance: Instance) -> bytes:
        return archive.read_instance(self.places.instances, instance.sha256)

    def _vocabulary(self) -> frozenset[str]:
        """What a correction can bear that was fixed before the patient came: its own words, the installed models'."""
        words: set[str] = set()
        for each in self.models():
            words |= {each.manifest.title, each.manifest.label.code, each.sha256}
            words |= {certificate.plan.digest for certificate in each.certificates}
        return VOCABULARY | words

    def _of_signature(self, row: Row[Any]) -> Correction | None:
        """What this signer said; None where there is no answer of the machine to speak of."""
        assert self.desk is not None, "it was opened"
        with self.engine.connect() as c:
            study = ledger.study_by_number(c, row.study_number)
            result = ledger.result_of(c, row.study_number, row.revision)
            verdicts = [each for each in ledger.verdicts_of(c, row.study_number) if each.revision == row.revision]
            key = None if study is None else key_of(self.site_key, study.study_instance_uid)
            last = None if key is None else book.last_of(c, key)
        with self.desk.connect() as c:
            signed = desk.signature_numbered(c, row.signature_id)
            facts, impression = self._beside(c, row)
        if study is None or result is None or signed is None or key is None or row.decision not in DECIDED:
            return None
        rev = 1 if last is None else last.rev + 1
        if rev > REVS_MAX:
            raise Quarantined("correction-attempts-spent")
        findings, uncoded = judged(known(result, self.models()), {} if facts is None else facts.findings)
        seen = [each.body["urgency"] for each in verdicts if not each.addendum]
        return Correction(
            key=key,
            rev=rev,
            case_id=case_id(self.site_key, study.study_instance_uid, row.revision),
            revision=row.revision,
            decision=DECIDED[row.decision],
            reason="" if facts is None else facts.reason,
            lane=result.lane,
            urgency=max((result.priority, *seen), key=URGENCIES.index),
            saw_ai=signed.saw_ai,
            impression=impression,  # type: ignore[arg-type]
            findings=findings,
            uncoded=uncoded,
            addenda=0,
            year=year_of(row.signed_at),
        )

    def _beside(self, c: Connection, row: Row[Any]) -> tuple[Row[Any] | None, str | None]:
        if not reading_desk.is_made(c):
            return None, None
        facts = reading_desk.facts_of(c, [row.signature_id]).get(row.signature_id)
        return facts, reading_desk.impression_of(c, row.study_number, row.revision, row.user)

    def _addenda(self, moment: Moment) -> bool:
        """Words added to a signature make a new rev of its correction, which says that there are some."""
        assert self.desk is not None, "it was opened"
        with self.desk.connect() as c:
            rows = reading_desk.addenda_after(c, self.addenda_seen, ADDENDA_A_STEP) if reading_desk.is_made(c) else []
        for row in rows:
            if not self._addendum(row, moment):
                return False
            self.addenda_seen = row.id
        return bool(rows)

    def _addendum(self, row: Row[Any], moment: Moment) -> bool:
        """False: the signature it was added to is not taken over yet."""
        assert self.desk is not None, "it was opened"
        with self.desk.connect() as c:
            newest = max((each.id for each in desk.signatures_of(c, row.study_number)), default=0)
        with self.engine.connect() as c:
            if newest > ledger.last_taken_over(c)[0]:
                return False
            done = book.is_done(c, row.id)
            last = book.last_of_study(c, row.study_number)
            signed = book.last_signature(c, row.study_number)
        if done or last is None or signed is None:
            return True
        if last.signature_id != signed.signature_id or row.at < signed.signed_at:
            return True  # the signature it was added to was replaced by another one, or its correction is held back
        if decode_correction(last.body).addenda >= ADDENDA_MAX:
            return True  # that there were many is said already
        make = partial(_with_addendum, last.body)
        self._keep((last.signature_id, row.id), row, row.at, make, moment)
        return True


def _with_addendum(body: bytes) -> Correction:
    return with_addendum(decode_correction(body))


def known(result: Row[Any], models: Sequence[Model]) -> list[Named]:
    """What may be judged of a result: the findings of the models that looked, then of all others by their name."""
    found = []
    installed: Mapping[str, Model] = {model.manifest.title: model for model in models}
    last: dict[str, dict[str, Any]] = {}
    for told in sorted(result.scores, key=lambda each: int(each.get("exit", 1))):
        if told.get("weights", "trained") == "trained":
            last[told["model"]] = told
    for title, told in last.items():
        model = installed.get(title)
        if model is None:
            continue
        label = model.manifest.label
        plan = next((each.plan.digest for each in model.certificates if each.name == result.certificate), None)
        scorer = Scorer(
            title=title,
            graphs_sha256=told.get("model_sha256") or model.sha256,
            exit=int(told.get("exit", 1)),
            logit=float(told["logit"]),
            certificate_plan=plan,
        )
        found.append(Named(label.name, label_of(label.scheme, label.code), scorer))
    for model in models:
        if model.manifest.weights == "trained":
            label = model.manifest.label
            found.append(Named(label.name, label_of(label.scheme, label.code)))
    return found
