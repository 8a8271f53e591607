"""The whole house in one thread under a seed: production steps, a bad wire, a clock that jumps, crashes anywhere.

Every service is the production class on real databases and files in a folder. Stand-ins, by name: the wire (`Net`), the
language model (`no_words`), the scanner and the reader (`House.scan`, `House.read`), and the model's score (`fate`: a
lane drawn from the study's UID, so that routine studies exist without films). A crash is an exception raised before
a durable effect (a rename, a removal, a commit); the service that died is built anew from what is on disk.
"""

import hashlib
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import pydicom
from sqlalchemy import Engine, event

from appliance.cli.reconcile import reconcile
from appliance.config import Config, Places
from appliance.core.decide import Decision
from appliance.core.drafting.question import Answer, Answered, Question
from appliance.core.lifecycle import END_STATES
from appliance.core.study import Reason
from appliance.loop import Moment, Step
from appliance.receive import Receive
from appliance.triage import Triage
from appliance.triage import judge as judging
from appliance.uplink import Uplink
from appliance.world import archive, desk, ledger, sqlite, wire
from appliance.world.inference import Bench as Inference
from central import store
from central.asking import Asking
from central.registry import Registry
from central.spool import Spool
from central.worker import Worker
from tests import correspondents
from tests.simulate.net import Net
from tests.tiny import tiny

SITE_KEY = hashlib.sha256(b"the key of no site").digest()
CALM_ROUNDS_MAX = 4000
CENTRAL_DB = "central.db"


class Crash(BaseException):
    """The process is killed here."""


class Fuse:
    """Dies before the n-th durable effect from now; None: it does not burn."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.crashes = 0
        self.effects = 0

    def burn(self, *_: object) -> None:
        self.effects += 1
        if self.left is None:
            return
        if self.left == 0:
            self.left = None
            self.crashes += 1
            raise Crash
        self.left -= 1

    @contextmanager
    def fitted(self) -> Iterator[None]:
        """Puts the fuse before every durable effect of the house."""

        def before(work: Callable[..., Any]) -> Callable[..., Any]:
            def burning(*arguments: Any, **named: Any) -> Any:
                self.burn()
                return work(*arguments, **named)

            return burning

        patches = [mock.patch.object(archive, name, before(getattr(archive, name))) for name in ("rename", "remove")]
        event.listen(Engine, "commit", self.burn)
        try:
            for patch in patches:
                patch.start()
            yield
        finally:
            for patch in patches:
                patch.stop()
            event.remove(Engine, "commit", self.burn)


def fate(court: Any, instances: Any, read: Any, **named: Any) -> judging.Judgement:
    """Stands in for the model: CR studies get a lane from their UID, everything else goes the production way."""
    if instances[0].modality == "CR":
        lane = ("cleared", "flagged", "escalated")[
            hashlib.sha256(instances[0].sop_instance_uid.encode()).digest()[0] % 3
        ]
        if lane != "escalated":
            reason = Reason(f"{lane}-under-certificate", "drawn by the simulation")
            return judging.Judgement(Decision(lane, lane, (reason,), (), None, None, "routine"), {})  # type: ignore[arg-type]
    return REAL_JUDGE(court, instances, read, **named)


REAL_JUDGE = judging.judge


def no_words(_: Question) -> Answered:
    """Stands in for the language model."""
    answer = Answer(opinions=(), impression="No language model here.", urgency="routine", limitations=())
    return Answered(answer, "no-language-model", "simulation")


class House:
    """Services, databases and weather of one seed."""

    def __init__(self, root: Path, seed: int, **sections: dict[str, Any]) -> None:
        self.dice = random.Random(seed)
        self.root, self.fuse, self.net = root, Fuse(), Net(self.dice)
        self.places = Places(root / "state")
        self.config = Config.model_validate(
            {
                "receive": {"watched_folder": str(root / "scanner"), "settle_s": 0.3, "rescan_period_s": 0.5}
                | {"unlike_dicom_s": 2.0, "disk_reserve_bytes": 0, "keep_taken_s": 5.0}
                | {"after_taking": self.dice.choice(("move", "delete"))},
                "triage": {"quiet_period_s": 3.0, "quiet_period_with_evidence_s": 1.0, "attempts_max": 20},
                "network": {"resend_after_s": 5.0, "resend_after_max_s": 20.0},
                **sections,
            }
        )
        (root / "scanner").mkdir(parents=True)
        self.wall, self.mono = 1_700_000_000.0, 100.0
        self.services: dict[str, dict[str, Step]] = {}
        self.engines: dict[str, list[Engine]] = {}
        self.sent: dict[str, bytes] = {}
        self.patients, self.lives = 0, 0
        self.keys = root / "central-keys"
        correspondents.enrolled(self.keys)
        for name in ("receive", "triage", "uplink", "central", "review"):
            self.start(name)

    def start(self, name: str) -> None:
        """Builds a service from what is on disk, as after a kill."""
        for engine in self.engines.pop(name, []):
            engine.dispose()
        made: Any
        if name == "receive":
            made = Receive(self.config, self.places)
        elif name == "triage":
            court, post = judging.Court((), Inference(), "simulation"), correspondents.post(self.config)
            made = Triage(self.config, self.places, SITE_KEY, court, post=post)
            self.engines[name] = [made.engine, made.cases]
        elif name == "uplink":
            link = self.net.end("edge", "centre")
            made = Uplink(self.config, self.places, correspondents.RING, link, self.dice)
            self.engines[name] = [made.ledger]
        elif name == "central":
            self.services[name] = self._central()
            return
        else:
            self.places.review.mkdir(parents=True, exist_ok=True)
            self.desk = sqlite.open_writer(self.places.review_db, desk.METADATA)
            self.engines[name] = [self.desk]
            self.services[name] = {"read": lambda _: self.read()}
            return
        self.services[name] = made.steps()
        self.services[name].pop("integrity", None)  # reads in a thread of its own, which no seed foresees

    def _central(self) -> dict[str, Step]:
        """One worker with all shares, and what it asks, as after a kill: the leases of its former self must run out."""
        self.lives += 1
        engine, name = store.open_store(self.root / "central"), f"worker-{self.lives}"
        registry, spool = Registry(self.keys), Spool(self.root / "central" / "spool")
        asking = Asking(engine, registry, worker=name, model="none", ask=no_words, wake=threading.Event())
        self.net.end("centre", "edge")
        worker = Worker(
            engine,
            spool,
            registry,
            name=name,
            connect=lambda _client, _topics: [self.net.end("centre", "edge")],
            shares=1,
            asks=threading.Event(),
            askings=[asking],
        )
        self.engines["central"] = [engine]
        return {**worker.steps(), **asking.steps()}

    # The people outside.

    def scan(self) -> None:
        """The scanner sends something: a new study, a late instance, the same file, another file under an old UID."""
        roll = self.dice.random()
        if roll < 0.12:
            data = self.dice.choice((b"", b"not DICOM" * 30, bytes(128) + b"DICM" + bytes(40)))
            name = f"odd{self.dice.randrange(10**6)}"
        elif roll < 0.3 and self.sent:
            name, data = self.dice.choice(sorted(self.sent.items()))
        elif roll < 0.45 and self.sent:
            known = pydicom.dcmread(BytesIO(self.dice.choice(sorted(self.sent.values()))))
            number = self.dice.randint(1, 5)
            data = tiny(known.StudyInstanceUID, number, known.PatientID, known.Modality, self.dice.randrange(200))
            name = f"{known.StudyInstanceUID}.{number}.{self.dice.randrange(10**6)}"
            self.sent[name] = data
        else:
            self.patients += 1
            uid = f"1.2.826.0.1.{self.dice.randrange(10**9)}"
            modality = self.dice.choice(("CR", "CR", "MR"))
            data = tiny(uid, 1, f"PAT-{self.patients:06d}", modality, self.dice.randrange(200))
            name = f"{uid}.1"
            self.sent[name] = data
        path = self.root / "scanner" / f"{name}-{self.dice.randrange(10**9)}.dcm"
        path.write_bytes(data)
        os.utime(path, (self.wall, self.wall))  # the same seed, the same file times, the same run

    def read(self) -> bool:
        """The reader signs something, or releases or rejects what was set aside."""
        if not self.places.studies_db.exists():
            return False
        engine = sqlite.open_reader(self.places.studies_db)
        with engine.connect() as c:
            rows = [
                row
                for state in ("routine", "escalated", "answered", "quarantined")
                for row in ledger.in_state(c, state)
            ]  # type: ignore[arg-type]
        engine.dispose()
        if not rows:
            return False
        row = self.dice.choice(rows)
        nonce = f"{self.dice.randrange(10**12)}"
        with self.desk.begin() as c:
            if row.state == "quarantined":
                kind = self.dice.choice(("release", "reject"))
                desk.command(
                    c, kind=kind, study_number=row.number, seq_seen=row.seq, user="sim", nonce=nonce, at=self.wall
                )
            else:
                desk.sign(
                    c,
                    study_number=row.number,
                    revision=row.revision,
                    seq_seen=row.seq,
                    user="sim",
                    decision="agree",
                    correction="",
                    saw_ai=True,
                    nonce=nonce,
                    at=self.wall,
                )
        return True

    # Time.

    def run(self, rounds: int) -> None:
        """Chaos for some rounds, then calm until nothing moves; then every promise is held against the disk."""
        with self.fuse.fitted(), mock.patch.object(judging, "judge", fate):
            for _ in range(rounds):
                self._pass_time(jumps=True)
                if self.dice.random() < 0.15:
                    self.scan()
                if self.dice.random() < 0.6:
                    self.fuse.left = self.dice.randrange(6)
                reader = self.dice.random() < 0.05
                name = (
                    "review"
                    if reader
                    else self.dice.choice(("receive", "triage", "triage", "triage", "uplink", "central"))
                )
                self._turn(name)
                self.fuse.left = None
                self.net.blow()
            self.net.stormy = False
            for _ in range(CALM_ROUNDS_MAX):
                self._pass_time(jumps=False)
                for name in ("receive", "triage", "uplink", "central"):
                    self._turn(name)
                self.net.blow()
                if self._at_rest():
                    return
        raise AssertionError(f"not at rest: {self.where()}")

    def _pass_time(self, *, jumps: bool) -> None:
        passed = self.dice.uniform(0.2, 1.5) if jumps else self.dice.uniform(0.5, 3.0)
        self.mono += passed
        self.wall += passed
        if jumps and self.dice.random() < 0.02:
            self.wall += self.dice.uniform(-7200, 7200)

    def _turn(self, name: str) -> None:
        steps = list(self.services[name].values())
        if self.net.stormy:
            # No promise may rest on the order of the steps, nor on all of them running in a round.
            steps = self.dice.sample(steps, self.dice.randint(len(steps) // 2, len(steps)))
        try:
            for step in steps:
                step(Moment(self.wall, self.mono))
        except Crash:
            self.start(name)

    def _at_rest(self) -> bool:
        if any(self.places.incoming.iterdir()):
            return False
        if any(path.is_file() for path in (self.root / "scanner").iterdir()):
            return False
        where = self.where()
        return (
            not sum(where[state] for state in ("received", "complete", "hard", "escalated")) and not self.open_cases()
        )

    def where(self) -> dict[str, int]:
        engine = sqlite.open_reader(self.places.studies_db)
        with engine.connect() as c:
            found = ledger.counts(c)
        engine.dispose()
        return found

    def open_cases(self) -> list[str]:
        engine = sqlite.open_reader(self.places.cases_db)
        with engine.connect() as c:
            found = [row.case_id for row in wire.open_cases(c)]
        engine.dispose()
        return found

    # The promises.

    def check(self) -> None:
        """Nothing lost, nothing doubled, every study in one end state, both sides agree."""
        checks, counts = reconcile(self.places, deep=True)
        wrong = [check for check in checks if not check.holds]
        assert not wrong, wrong
        assert {state for state, count in counts.items() if count and state != "incoming"} <= END_STATES, counts
        kept = {path.stem for path in self.places.instances.glob("*/*.dcm")}
        lost = {name for name, data in self.sent.items() if hashlib.sha256(data).hexdigest() not in kept}
        assert not lost, f"files lost: {sorted(lost)}"
        self._check_cases()

    def _check_cases(self) -> None:
        cases = sqlite.open_reader(self.places.cases_db)
        centre = sqlite.open_reader(self.root / "central" / CENTRAL_DB)
        studies = sqlite.open_reader(self.places.studies_db)
        with cases.connect() as edge, centre.connect() as far, studies.connect() as c:
            own = {row.case_id: row for row in edge.execute(wire.cases.select())}
            parts = {row.sha256 for row in edge.execute(wire.transfers.select())}
            held = [row.case_id for row in far.execute(store.cases.select())]
            told = [(row.case_id, row.rev) for row in c.execute(ledger.verdicts.select())]
        for engine in (cases, centre, studies):
            engine.dispose()
        assert len(held) == len(set(held)), "the centre holds a case twice"
        assert set(held) <= set(own), "the centre holds a case the edge never made"
        assert {name for name, row in own.items() if row.state == "closed"} <= set(held), "closed here, unknown there"
        assert len(told) == len(set(told)), "a verdict counted twice"
        left = [path.name for path in self.places.parts.iterdir() if path.name in parts]
        assert not left, f"parts not freed: {left}"


def simulate(root: Path, seed: int, rounds: int = 100) -> House:
    """One seed from the first scan to the last check; raises AssertionError naming what was broken."""
    house = House(root, seed)
    try:
        house.run(rounds)
        house.check()
    finally:
        for engines in house.engines.values():
            for engine in engines:
                engine.dispose()
    return house
