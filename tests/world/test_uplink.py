"""Uplink against a wire that loses, doubles and reorders, a broker that forgets, and a process that dies anywhere.

The simulation drives the real service and real databases under a seed; the centre and the wire are small fakes. Its
own eye is checked too: services with a planted mistake must be caught by some seed.
"""

import base64
import dataclasses
import hashlib
import random
import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event

from appliance.config import Config, Keys, Places
from appliance.core.document import MESSAGE_BYTES_MAX, Document, decode, encode
from appliance.core.enclosure import Enclosed, enclosed
from appliance.core.letter import opened
from appliance.core.letter import sealed as letter_of
from appliance.core.lifecycle import WIRE_MOVES, WIRE_STATES
from appliance.core.link import NO_SUBSCRIBERS, Acknowledged, Down, Event, Message, Up
from appliance.core.messages import (
    DOWN_DOCUMENTS,
    DOWN_KINDS,
    UP_DOCUMENTS,
    UP_KINDS,
    Delivery,
    Have,
    Receipt,
    Refusal,
    Request,
    Roll,
    Standing,
    Taken,
    topic_down,
    topic_up,
)
from appliance.core.schedule import PART_MESSAGE_BYTES, Window
from appliance.core.transfer import Manifest, opened_part, read_part_message
from appliance.errors import CATALOGUE, Unavailable
from appliance.loop import Moment
from appliance.uplink import Enrolling, Hearing, Sending, Uplink, dial
from appliance.uplink.flight import AHEAD_PARTS_MAX
from appliance.uplink.hearing import ROLL_PERIOD_S
from appliance.uplink.sending import IN_FLIGHT_MAX, NOBODY_PAUSE_S
from appliance.world import sqlite, wire
from appliance.world.wire import freight
from sample_dicom.enrolment import enrol_locally
from tests.correspondents import CENTRE, RING, SENDER, TRIAGE, UPLINK, keys

CONFIG = Config.model_validate(
    {"network": {"in_flight_bytes": 262144, "resend_after_s": 10.0, "resend_after_max_s": 80.0}}
)
DEVICE = CONFIG.site.device_id


@dataclass(frozen=True)
class Sealed:
    """A case as triage left it: what it travels as, and its sealed bytes."""

    case_id: str
    way: Enclosed
    data: bytes


def sealed(number: int, urgency: str = "routine", size: int = 300, tier: int = 0) -> Sealed:
    """size: of a document that cannot be packed any smaller."""
    case_id = f"{number:032x}"
    document = random.Random(number).randbytes(size)
    way, _, data = enclosed(
        document,
        case_id=case_id,
        tier=tier,
        urgency=urgency,
        transfer_id=hashlib.sha256(f"{number} {tier}".encode()).hexdigest()[:32],
        key=hashlib.sha256(f"key {number} {tier}".encode()).digest(),
        sender=SENDER,
    )
    return Sealed(case_id, way, data)


def delivery(case_id: str, rev: int = 1, words: bytes = b"draft") -> Delivery:
    """Uplink cannot read what is inside, so anything will do."""
    return Delivery(case_id=case_id, rev=rev, letter=base64.b64encode(words).decode())


def receipt(case: Sealed, **changes: str) -> Receipt:
    told = {"case_id": case.case_id, "transfer_id": case.way.transfer_id, "sha256": case.way.sha256, **changes}
    return Receipt(**told)


def down(kind: str, document: Document) -> tuple[str, bytes]:
    topic = topic_down(DEVICE, kind)
    return topic, letter_of(encode(document), place=topic, sender=CENTRE, recipient=UPLINK.public)


def heard(kind: str, payload: bytes) -> Document:
    """What a letter to uplink says."""
    said = opened(payload, place=topic_down(DEVICE, kind), senders=[CENTRE.public], recipients=[UPLINK])
    return decode(DOWN_DOCUMENTS[kind], said)


def said(kind: str, payload: bytes) -> Document:
    """What a letter to the centre says: manifests are triage's, all else is uplink's."""
    sender = TRIAGE if kind == "manifest" else UPLINK
    data = opened(payload, place=topic_up(DEVICE, kind), senders=[sender.public], recipients=[CENTRE])
    return decode(UP_DOCUMENTS[kind], data)


class Crash(BaseException):
    """The process is killed here."""


@dataclass
class Fuse:
    """Burns one step at every durable or visible effect; at zero the process dies. -1: it does not burn."""

    left: int = -1

    def burn(self) -> None:
        if self.left == 0:
            self.left = -1
            raise Crash
        self.left = max(self.left - 1, -1)


@dataclass
class Broker:
    """What lies between: messages up, the edge's session down, and answers to its publishes."""

    up: list[tuple[str, bytes]] = field(default_factory=list)
    session: dict[int, tuple[str, bytes]] = field(default_factory=dict)  # unacknowledged, by packet identifier
    mid: int = 0

    def send_down(self, topic: str, payload: bytes) -> None:
        self.mid += 1
        self.session[self.mid] = (topic, payload)


class LossyWire:
    """core.link.Wire in memory; one for each life of the process."""

    def __init__(self, broker: Broker, fuse: Fuse, chance: random.Random | None = None, on_ack=lambda message: None):
        self.broker, self.fuse, self.chance, self.on_ack = broker, fuse, chance, on_ack
        self.epoch, self.connected = 0, False
        self.events: list[Event] = []
        self.outstanding: list[Hashable] = []
        self.delivered: set[int] = set()
        self.answer = 0

    def connect(self) -> None:
        self.epoch, self.connected = self.epoch + 1, True
        self.delivered, self.outstanding = set(), []
        self.events.append(Up(self.epoch))

    def drop(self) -> None:
        self.connected, self.epoch = False, self.epoch + 1
        self.outstanding, self.events = [], [Down()]

    def publish(self, topic: str, payload: bytes, *, token: Hashable) -> bool:
        self.fuse.burn()
        if not self.connected or len(self.outstanding) >= 16:
            return False
        self.broker.up.append((topic, payload))
        self.outstanding.append(token)
        self.fuse.burn()
        return True

    def answer_publishes(self) -> None:
        for token in self.outstanding:
            self.events.append(Acknowledged(token, self.answer))
        self.outstanding = []

    def poll(self) -> list[Event]:
        found, self.events = self.events, []
        came: list[Event] = []
        for mid, (topic, payload) in list(self.broker.session.items()):
            if len(self.delivered & self.broker.session.keys()) >= 16:
                break
            if self.connected and mid not in self.delivered and (self.chance is None or self.chance.random() < 0.8):
                self.delivered.add(mid)
                came.append(Message(topic, payload, self.epoch, mid, 1))
        # What a session holds is handed over before the subscription is acknowledged.
        return [*came, *found] if Up(self.epoch) in found else [*found, *came]

    def ack(self, message: Message) -> None:
        self.fuse.burn()
        self.on_ack(message)
        if message.epoch == self.epoch:
            self.broker.session.pop(message.mid, None)
        self.fuse.burn()


class Centre:
    """Durable and never wrong: what it holds, it holds; it repeats verdicts until they are taken."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.manifests: dict[str, Manifest] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.cases: dict[str, Receipt] = {}
        self.verdicts: dict[str, Delivery] = {}
        self.taken: set[str] = set()

    def say(self, kind: str, document: Document) -> None:
        self.broker.send_down(*down(kind, document))

    def hear(self, topic: str, payload: bytes) -> None:
        match topic.rsplit("/", 1)[1]:
            case "manifest":
                manifest = said("manifest", payload)
                held = self.manifests.setdefault(manifest.transfer_id, manifest)
                assert held == manifest, "one transfer, two manifests"
                self.take_in(manifest)
            case "part":
                part = read_part_message(payload)
                manifest = self.manifests.get(part.transfer_id)
                if manifest is None:
                    self.say("have", Have(transfer_id=part.transfer_id, known=False, have="0"))
                    return
                opened_part(manifest, part.index, part.ciphertext)
                held = self.parts.setdefault(part.transfer_id, {}).setdefault(part.index, part.ciphertext)
                assert held == part.ciphertext, "one part, two contents"
                self.take_in(manifest)
            case "taken":
                self.taken.add(said("taken", payload).case_id)
            case "roll":
                asked = said("roll", payload)
                words = {each: "unknown" if each not in self.cases else "received" for each in asked.case_ids}
                self.say("standing", Standing(nonce=asked.nonce, cases=words))
                for each in asked.case_ids:
                    if each in self.cases:
                        self.say("receipt", self.cases[each])
                for each in asked.transfer_ids:
                    self.say_have(each)

    def take_in(self, manifest: Manifest) -> None:
        parts = self.parts.get(manifest.transfer_id, {})
        if len(parts) == manifest.parts:
            whole = b"".join(parts[index] for index in range(manifest.parts))
            assert hashlib.sha256(whole).hexdigest() == manifest.sha256
            told = Receipt(case_id=manifest.case_id, transfer_id=manifest.transfer_id, sha256=manifest.sha256)
            self.say("receipt", self.cases.setdefault(manifest.case_id, told))
        elif len(parts) % 3 == 2:
            self.say_have(manifest.transfer_id)

    def say_have(self, transfer_id: str) -> None:
        known = transfer_id in self.manifests
        have = sum(1 << index for index in self.parts.get(transfer_id, {})) if known else 0
        self.say("have", Have(transfer_id=transfer_id, known=known, have=f"{have:x}"))

    def think(self) -> None:
        for case_id in self.cases:
            self.verdicts.setdefault(case_id, delivery(case_id))

    def speak(self) -> None:
        for case_id, answer in self.verdicts.items():
            if case_id not in self.taken:
                self.say("verdict", answer)


def reachable() -> set[tuple[str, str]]:
    pairs = {(a, a) for a in WIRE_STATES} | set(WIRE_MOVES)
    while more := {(a, d) for a, b in pairs for e, d in pairs if b == e} - pairs:
        pairs |= more
    return pairs


LEGAL = reachable()


class World:
    """One appliance's wire/ folder, the broker, the centre, and the clock."""

    def __init__(self, root, seed: int, **planted: type) -> None:
        self.chance, self.planted = random.Random(seed), planted
        self.places, self.broker, self.fuse = Places(root), Broker(), Fuse()
        self.centre = Centre(self.broker)
        self.places.parts.mkdir(parents=True)
        self.cases = sqlite.open_writer(self.places.cases_db, wire.CASES)
        self.mono, self.wall, self.number, self.lives = 0.0, 1e9, 0, 0
        self.cancelled: set[str] = set()
        self.seen: dict[str, str] = {}
        self.boot()

    def boot(self) -> None:
        self.lives += 1
        self.link = LossyWire(self.broker, self.fuse, self.chance, self.check_ack)
        drawn = random.Random(self.chance.random())
        self.uplink = Uplink(CONFIG, self.places, RING, self.link, drawn, **self.planted)
        event.listen(self.uplink.ledger, "commit", lambda c: self.fuse.burn())
        if self.chance.random() < 0.8:
            self.link.connect()

    def close(self) -> None:
        self.uplink.close()
        self.cases.dispose()

    # Triage's part.

    def put_case(self) -> None:
        self.number += 1
        urgency = self.chance.choice(["routine", "urgent", "critical"])
        ways = [sealed(self.number, urgency)]
        if self.chance.random() < 0.5:
            ways.append(sealed(self.number, urgency, size=self.chance.choice([5_000, 120_000, 260_000]), tier=1))
        for each in ways:
            (self.places.parts / each.way.sha256).write_bytes(each.data)
        with self.cases.begin() as c:
            told = [each.way for each in ways]
            wire.put_case(c, ways[0].case_id, told, revision=1, urgency=urgency, at=self.wall)

    def shed(self) -> None:
        """The spool is full: the pictures of some case go."""
        with self.cases.begin() as c:
            rows = [row for row in freight.open_transfers(c) if row.tier == 1]
            if rows:
                row = self.chance.choice(rows)
                freight.shed_transfer(c, row.transfer_id, self.wall)
                (self.places.parts / row.sha256).unlink(missing_ok=True)

    def absorb(self) -> None:
        with self.uplink.ledger.connect() as c:
            answered = [row.case_id for row in wire.verdicts_of(c)]
        with self.cases.begin() as c:
            for case_id in answered:
                wire.close_case(c, case_id, self.wall)

    def cancel(self) -> None:
        with self.cases.begin() as c:
            open_now = [row.case_id for row in wire.open_cases(c)]
            if open_now:
                self.cancelled.add(case_id := self.chance.choice(open_now))
                wire.cancel_case(c, case_id, self.wall)

    # The world's part.

    def step(self) -> None:
        steps = list(self.uplink.steps().values())
        try:
            for step in self.chance.sample(steps, self.chance.randint(1, len(steps))):
                step(Moment(self.wall, self.mono))
        except Crash:
            self.uplink.close()
            self.boot()
        self.look()

    def carry(self, loss: float = 0.0) -> None:
        waiting, self.broker.up = self.broker.up, []
        self.chance.shuffle(waiting)
        for topic, payload in waiting:
            if topic == topic_up(DEVICE, "taken"):
                self.check_taken(said("taken", payload))
            for _ in range(0 if self.chance.random() < loss else self.chance.choice([1, 1, 1, 2])):
                self.centre.hear(topic, payload)
        lost = [mid for mid in self.broker.session if self.chance.random() < loss / 2]
        for mid in lost:
            del self.broker.session[mid]

    def misspeak(self) -> None:
        """What a confused or hostile peer might send."""
        known = f"{self.chance.randint(1, self.number or 1):032x}"
        wrong: list[tuple[str, bytes]] = [
            down("receipt", Receipt(case_id=known, transfer_id="f" * 32, sha256="f" * 64)),
            down("receipt", receipt(sealed(self.number or 1), sha256="f" * 64)),
            down("verdict", delivery("f" * 32)),
            down("have", Have(transfer_id="f" * 32, known=True, have="ff")),
            down("standing", Standing(nonce="f" * 32, cases={known: "unknown"})),
            (topic_down(DEVICE, self.chance.choice(DOWN_KINDS)), self.chance.randbytes(20)),
            (topic_down(DEVICE, "verdict"), down("receipt", receipt(sealed(1)))[1]),
            (topic_down(DEVICE, "standing"), b"x" * (MESSAGE_BYTES_MAX + 1)),
            ("", b"{}"),
        ]
        self.broker.send_down(*self.chance.choice(wrong))

    # The eye.

    def look(self) -> None:
        with self.cases.connect() as c, self.uplink.ledger.connect() as own:
            states = wire.wire_states(c, own)
        for case_id, now in states.items():
            before = self.seen.get(case_id, "queued")
            assert (before, now) in LEGAL, f"{before} to {now}"
        self.seen = dict(states)

    def check_ack(self, message: Message) -> None:
        """Whatever is acknowledged is on disk, committed, in one form or the other."""
        with self.uplink.ledger.connect() as c:
            digest = hashlib.sha256(message.payload).hexdigest()
            if c.execute(wire.rejects.select().where(wire.rejects.c.sha256 == digest)).first():
                return
            told = heard(message.topic.rsplit("/", 1)[1], message.payload)
            if isinstance(told, Receipt):
                assert told.case_id in wire.received_case_ids(c), "acknowledged a receipt that is not on disk"
                assert told == self.centre.cases.get(told.case_id), "believed a wrong receipt"
            elif isinstance(told, Delivery):
                rows = [row for row in wire.verdicts_of(c) if row.case_id == told.case_id]
                assert [row.letter for row in rows] == [told.letter], "acknowledged a verdict not on disk"

    def check_taken(self, taken: Taken) -> None:
        with self.uplink.ledger.connect() as c:
            held = {(row.case_id, row.rev) for row in wire.verdicts_of(c)}
        assert (taken.case_id, taken.rev) in held, "said taken before it was"

    def storm(self) -> None:
        acts = {
            self.step: 12,
            self.carry: 3,
            lambda: self.carry(loss=0.5): 2,
            self.link_answers: 4,
            self.put_case: 2,
            self.absorb: 1,
            self.shed: 0.5,
            self.cancel: 0.2,
            self.misspeak: 1,
            self.centre.think: 1,
            self.centre.speak: 1,
            self.light_fuse: 1.5,
            self.flap: 1,
            self.broker_dies: 0.3,
            self.tick: 3,
        }
        for act in self.chance.choices(list(acts), list(acts.values()), k=160):
            act()

    def tick(self) -> None:
        self.mono += self.chance.choice([0.1, 5.0, 30.0, 400.0])
        self.wall += self.chance.choice([0.1, 5.0, -3600.0, 3600.0])

    def link_answers(self) -> None:
        self.link.answer = self.chance.choice([0, 0, NO_SUBSCRIBERS, 0x97])
        self.link.answer_publishes()

    def light_fuse(self) -> None:
        self.fuse.left = self.chance.randint(0, 12)

    def flap(self) -> None:
        if self.link.connected:
            self.link.drop()
        else:
            self.link.connect()

    def broker_dies(self) -> None:
        self.broker.up.clear()
        self.broker.session.clear()
        self.link.drop()

    def calm(self) -> None:
        """The faults stop: within a bounded time every case that was not cancelled is answered and closed."""
        self.fuse.left = -1
        self.link.answer = 0
        for _ in range(60):
            if not self.link.connected:
                self.link.connect()
            for step in self.uplink.steps().values():
                step(Moment(self.wall, self.mono))
            self.look()
            self.carry()
            self.link.answer_publishes()
            self.centre.think()
            self.centre.speak()
            self.absorb()
            self.mono += 100.0

    def judge(self) -> None:
        wanted = {f"{number:032x}" for number in range(1, self.number + 1)}
        with self.cases.connect() as c, self.uplink.ledger.connect() as own:
            states = wire.wire_states(c, own)
            rows = [(row.case_id, row.rev) for row in wire.verdicts_of(own)]
            codes = set(own.execute(wire.rejects.select().with_only_columns(wire.rejects.c.code)).scalars())
        assert set(states) == wanted, "a case vanished"
        assert {case_id for case_id, state in states.items() if state == "cancelled"} == self.cancelled
        left = {case_id: state for case_id, state in states.items() if state not in ("closed", "cancelled")}
        assert not left, f"not answered: {left}"
        assert len(rows) == len(set(rows)), "a verdict stands twice"
        assert wanted - self.cancelled <= {case_id for case_id, _ in rows} <= set(self.centre.cases)
        assert codes <= set(CATALOGUE)


def simulate(root, seed: int, **planted: type) -> World:
    world = World(root, seed, **planted)
    try:
        world.storm()
        world.calm()
        world.judge()
    finally:
        world.close()
    return world


@pytest.fixture(autouse=True)
def quick_commits(monkeypatch):
    """No power fails in these tests: a commit need not reach the platter, a killed process loses nothing of it."""
    opened = sqlite.open_writer

    def quick(path, metadata):
        engine = opened(path, metadata)

        @event.listens_for(engine, "connect")
        def _(connection, record):
            connection.execute("PRAGMA synchronous = OFF").fetchall()

        engine.dispose()
        return engine

    monkeypatch.setattr(sqlite, "open_writer", quick)


@pytest.mark.parametrize("seed", range(28))
def test_every_case_is_answered_exactly_once_whatever_breaks(tmp_path, seed):
    simulate(tmp_path, seed)


def test_the_storms_are_storms(tmp_path):
    """The simulation would prove nothing if nothing broke in it."""
    worlds = [simulate(tmp_path / str(seed), seed) for seed in range(4)]
    assert sum(world.lives for world in worlds) > 12, "hardly a crash"
    assert sum(world.number for world in worlds) > 24, "hardly a case"
    assert any(world.cancelled for world in worlds)


class AcknowledgesFirst(Hearing):
    def _keep(self, messages, moment):
        for message in messages:
            self.link.ack(message)
        super()._keep(messages, moment)


class TrustsTheBroker(Hearing):
    def listen(self, moment):
        poll = self.link.poll()
        with self.mailboxes.ledger.begin() as c:
            for each in poll:
                if isinstance(each, Acknowledged) and isinstance(each.token, tuple):
                    flight = self.sending._flights.get(each.token[0])
                    if flight is not None:
                        wire.record_receipt(c, flight.load.case_id, moment.wall)
        self.link.events = [each for each in poll if not isinstance(each, Message)] + self.link.events
        self.link.delivered -= {each.mid for each in poll if isinstance(each, Message)}
        return super().listen(moment)


class SaysTakenFirst(Hearing):
    def _believe(self, c, document, known, moment):
        if isinstance(document, Delivery):
            self.say("taken", Taken(case_id=document.case_id, rev=document.rev), "taken")
        return super()._believe(c, document, known, moment)


class BelievesAnyDigest(Hearing):
    def _of_transfer(self, c, document, row, moment):
        if isinstance(document, Receipt):
            document = document.model_copy(update={"sha256": row.sha256})
        return super()._of_transfer(c, document, row, moment)


class ForgetsToCommit(Hearing):
    def _keep(self, messages, moment):
        for message in messages:
            self.link.ack(message)


class NeverSendsAgain(Sending):
    def _is_due(self, flight, moment):
        return False


class TrustsWhatItSent(Sending):
    """Takes the broker's word for a part being at the centre."""

    def acknowledged(self, token, sent, moment):
        super().acknowledged(token, sent, moment)
        if isinstance(token, tuple) and token[0] in self._flights and token[1] >= 0:
            self._flights[token[0]].have |= 1 << token[1]


@pytest.mark.parametrize(
    "planted",
    [
        {"hearing": AcknowledgesFirst},
        {"hearing": TrustsTheBroker},
        {"hearing": SaysTakenFirst},
        {"hearing": BelievesAnyDigest},
        {"hearing": ForgetsToCommit},
        {"sending": NeverSendsAgain},
        {"sending": TrustsWhatItSent},
    ],
    ids=lambda planted: next(iter(planted.values())).__name__,
)
def test_a_planted_mistake_is_caught(tmp_path, planted):
    for seed in range(30):
        try:
            simulate(tmp_path / str(seed), seed, **planted)
        except AssertionError:
            return
    raise AssertionError(f"{planted} went unseen")


# One thing at a time.


@pytest.fixture
def edge(tmp_path) -> Iterator[World]:
    world = World(tmp_path, 4)
    world.link.chance = None
    if not world.link.connected:
        world.link.connect()
    yield world
    world.close()


def run(edge: World, *names: str) -> None:
    for name in names or ("listen", "roll_call", "send"):
        edge.uplink.steps()[f"uplink.{name}"](Moment(edge.wall, edge.mono))


def rejects(edge: World) -> list[tuple[str, str, int]]:
    with edge.uplink.ledger.connect() as c:
        return [(row.kind, row.code, row.copies) for row in c.execute(wire.rejects.select())]


def sent_up(edge: World, kind: str) -> list[bytes]:
    return [payload for topic, payload in edge.broker.up if topic == topic_up(DEVICE, kind)]


def manifests(edge: World) -> list[str]:
    """Cases in the order in which their manifests went."""
    return [said("manifest", payload).case_id for payload in sent_up(edge, "manifest")]


def parts(edge: World) -> list[tuple[str, int]]:
    """(transfer, part) in the order in which they went."""
    read = [read_part_message(payload) for payload in sent_up(edge, "part")]
    return [(part.transfer_id, part.index) for part in read]


def put(edge: World, number: int, urgency: str = "routine", at: float = 1e9, **made: int) -> Sealed:
    case = sealed(number, urgency, **made)
    (edge.places.parts / case.way.sha256).write_bytes(case.data)
    with edge.cases.begin() as c:
        wire.put_case(c, case.case_id, [case.way], revision=1, urgency=urgency, at=at)
    return case


def test_every_kind_of_answer_has_its_document_and_its_topic():
    assert tuple(DOWN_DOCUMENTS) == DOWN_KINDS
    assert {*UP_DOCUMENTS, "part"} == {*UP_KINDS}
    link = dial(CONFIG, __import__("threading").Event())
    assert link.subscriptions == tuple(topic_down(DEVICE, kind) for kind in DOWN_KINDS)
    assert link.client_id == DEVICE
    link.stop()


def test_the_most_urgent_goes_first_and_the_window_holds(edge):
    cases = [put(edge, 1), put(edge, 2, "critical", 1e9 + 2), put(edge, 3, "urgent"), put(edge, 4, "critical")]
    run(edge)
    assert manifests(edge) == [cases[number].case_id for number in (3, 1, 2, 0)]
    for number in range(5, 5 + 2 * IN_FLIGHT_MAX):
        put(edge, number)
    run(edge)
    assert len(edge.link.outstanding) <= IN_FLIGHT_MAX + 1, "one is the roll"
    assert sum(map(len, sent_up(edge, "manifest") + sent_up(edge, "part"))) <= CONFIG.network.in_flight_bytes
    before = len(manifests(edge))
    edge.link.answer_publishes()
    run(edge)
    assert len(manifests(edge)) > before


def test_a_critical_case_overtakes_a_bulky_one_that_is_half_sent(edge):
    bulky = put(edge, 1, size=400_000, tier=1)
    run(edge)
    assert 1 <= len(parts(edge)) < bulky.way.parts
    urgent = put(edge, 2, "critical")
    before = len(parts(edge))
    edge.link.answer_publishes()
    run(edge)
    assert parts(edge)[before] == (urgent.way.transfer_id, 0), "the rest of the bulky one waits"
    for _ in range(30):
        edge.link.answer_publishes()
        run(edge)
    assert {part for part in parts(edge) if part[0] == bulky.way.transfer_id} == {
        (bulky.way.transfer_id, index) for index in range(bulky.way.parts)
    }


def test_whoever_waits_for_long_climbs_but_never_over_a_critical_one(edge):
    old = put(edge, 1, at=edge.wall - 9 * 3600)
    urgent, critical = put(edge, 2, "urgent", at=edge.wall), put(edge, 3, "critical", at=edge.wall)
    run(edge)
    assert manifests(edge) == [critical.case_id, old.case_id, urgent.case_id]


def test_a_message_larger_than_the_window_goes_alone(edge):
    put(edge, 1)
    put(edge, 2)
    edge.uplink.sending.window = Window(10)
    run(edge)
    run(edge)
    assert len(sent_up(edge, "manifest")) == 1
    assert parts(edge) == []
    edge.link.answer_publishes()
    run(edge)
    assert len(parts(edge)) == 1


def test_only_what_the_centre_does_not_have_is_sent_again_after_a_break_and_a_restart(edge):
    bulky = put(edge, 1, size=400_000, tier=1)
    for _ in range(20):
        run(edge)
        edge.link.answer_publishes()
    assert len(parts(edge)) == bulky.way.parts
    edge.centre.say("have", Have(transfer_id=bulky.way.transfer_id, known=True, have=f"{0b101:x}"))
    run(edge, "listen")
    edge.uplink.close()
    edge.broker.up.clear()
    edge.boot()
    edge.link.chance = None
    if not edge.link.connected:
        edge.link.connect()
    for _ in range(20):
        run(edge)
        edge.link.answer_publishes()
    assert [index for _, index in parts(edge)] == [1, *range(3, bulky.way.parts)]


def test_what_the_broker_had_not_acknowledged_goes_again_at_once_after_a_break(edge):
    case = put(edge, 1)
    run(edge)
    edge.link.drop()
    edge.broker.up.clear()
    edge.link.connect()
    run(edge)
    assert manifests(edge) == [case.case_id]
    assert parts(edge) == [(case.way.transfer_id, 0)]


def test_a_centre_that_forgot_the_transfer_gets_all_of_it_again(edge):
    bulky = put(edge, 1, size=150_000, tier=1)
    for _ in range(5):
        run(edge)
        edge.link.answer_publishes()
    edge.centre.say("have", Have(transfer_id=bulky.way.transfer_id, known=True, have="1"))
    run(edge, "listen")
    edge.broker.up.clear()
    edge.mono += NOBODY_PAUSE_S
    edge.centre.say("have", Have(transfer_id=bulky.way.transfer_id, known=False, have="0"))
    for _ in range(5):
        run(edge)
        edge.link.answer_publishes()
    assert manifests(edge) == [bulky.case_id]
    assert [index for _, index in parts(edge)] == list(range(bulky.way.parts))


def test_a_cap_of_the_bandwidth_holds_back_all_but_critical_cases(edge):
    edge.uplink.sending.network = CONFIG.network.model_copy(update={"bandwidth_bytes_per_s": 10_000})
    put(edge, 1, size=400_000, tier=1)
    sent = []
    for _ in range(100):
        run(edge, "listen", "send")
        edge.link.answer_publishes()
        edge.mono += 1.0
        sent.append(sum(len(payload) for _, payload in edge.broker.up))
    assert sent[-1] > 300_000
    assert all(total <= 10_000 * (second + 2) + PART_MESSAGE_BYTES for second, total in enumerate(sent))
    edge.broker.up.clear()
    put(edge, 2, "critical", size=200_000, tier=1)
    for _ in range(10):
        run(edge, "listen", "send")
        edge.link.answer_publishes()
    assert sum(len(payload) for _, payload in edge.broker.up) > 200_000


def test_a_budget_by_the_hour_is_kept(edge):
    edge.uplink.sending.network = CONFIG.network.model_copy(update={"bytes_per_hour_max": 100_000})
    put(edge, 1, size=400_000, tier=1)
    for _ in range(20):
        run(edge, "listen", "send")
        edge.link.answer_publishes()
    assert sum(len(payload) for _, payload in edge.broker.up) <= 100_000 + PART_MESSAGE_BYTES
    for _ in range(4 * 60):
        edge.mono += 60.0
        run(edge, "listen", "send")
        edge.link.answer_publishes()
    assert len({index for _, index in parts(edge)}) == 9, "what waited was sent in the hours after"


def test_no_more_lies_ahead_of_the_centre_than_a_broker_may_keep(edge):
    """A centre that says nothing for a week must not have uplink pour a gigabyte into the broker."""
    put(edge, 1, size=60 * 1024 * 1024 // 10, tier=1)
    for _ in range(300):
        run(edge, "listen", "send")
        edge.link.answer_publishes()
    assert len(parts(edge)) == AHEAD_PARTS_MAX


def test_nobody_listens_so_nothing_is_poured_out(edge):
    put(edge, 1, size=400_000, tier=1)
    run(edge)
    edge.link.answer = NO_SUBSCRIBERS
    edge.link.answer_publishes()
    before = len(parts(edge))
    run(edge)
    run(edge)
    assert len(parts(edge)) == before
    edge.mono += NOBODY_PAUSE_S
    run(edge)
    assert len(parts(edge)) > before


def test_pictures_that_were_shed_leave_the_findings_to_go(edge):
    full, bare = sealed(1, size=5000, tier=1), sealed(1)
    for each in (full, bare):
        (edge.places.parts / each.way.sha256).write_bytes(each.data)
    with edge.cases.begin() as c:
        wire.put_case(c, full.case_id, [bare.way, full.way], revision=1, urgency="routine", at=edge.wall)
    run(edge)
    assert parts(edge) == [(full.way.transfer_id, 0)], "the fullest goes"
    with edge.cases.begin() as c:
        freight.shed_transfer(c, full.way.transfer_id, edge.wall)
    (edge.places.parts / full.way.sha256).unlink()
    edge.broker.up.clear()
    edge.link.answer_publishes()
    edge.mono += 20.0
    run(edge)
    assert parts(edge) == [(bare.way.transfer_id, 0)]
    edge.link.on_ack = lambda message: None
    edge.centre.say("receipt", receipt(full))
    run(edge, "listen")
    edge.look()
    assert edge.seen == {full.case_id: "received"}, "it had arrived after all, as what was shed since"


def test_a_lost_receipt_has_the_same_bytes_sent_again_and_makes_one_row(edge):
    case = put(edge, 1)
    run(edge)
    edge.link.answer_publishes()
    run(edge)
    assert len(sent_up(edge, "part")) == 1, "not due yet, whatever the broker says"
    edge.mono += CONFIG.network.resend_after_s * 1.3
    run(edge)
    first, second = sent_up(edge, "part")
    assert first == second
    assert first.endswith(case.data)
    assert len(set(sent_up(edge, "manifest"))) == 1
    edge.carry()
    edge.link.answer_publishes()
    edge.mono += 1000
    run(edge)
    with edge.uplink.ledger.connect() as c:
        (row,) = c.execute(wire.sendings.select())
        (passage,) = c.execute(wire.passages.select())
    assert (row.state, row.attempts) == ("received", 2)
    assert (passage.state, passage.attempts, passage.parts_have) == ("received", 2, 1)
    assert sent_up(edge, "part") == []


def test_the_wait_doubles_up_to_its_limit(edge):
    put(edge, 1)
    waits, last = [], edge.mono
    for _ in range(400):
        before = len(sent_up(edge, "manifest"))
        run(edge, "listen", "send")
        edge.link.answer_publishes()
        if len(sent_up(edge, "manifest")) > before:
            waits.append(edge.mono - last)
            last = edge.mono
        edge.mono += 1.0
    first, longest = CONFIG.network.resend_after_s, CONFIG.network.resend_after_max_s
    for wait, full in zip(waits[1:], [first, first * 2, first * 4, longest, longest], strict=False):
        assert 0.75 * full <= wait <= 1.25 * full + 3.0
    assert len(waits) >= 6


@pytest.mark.parametrize("wrong", ["sha256", "case_id"])
def test_a_receipt_of_other_bytes_is_no_receipt(edge, wrong):
    case, other = put(edge, 1), put(edge, 2)
    run(edge)
    edge.centre.say("receipt", receipt(case, **{wrong: {"sha256": "0" * 64, "case_id": other.case_id}[wrong]}))
    edge.link.on_ack = lambda message: None
    run(edge)
    assert rejects(edge) == [("receipt", "receipt-mismatch", 1)]
    assert edge.broker.session == {}, "it is acknowledged, so that it does not come for ever"
    edge.look()
    assert edge.seen == {case.case_id: "sending", other.case_id: "sending"}


def plain(kind: str, data: bytes) -> tuple[str, bytes]:
    """Something other than our documents, in a letter as good as any."""
    topic = topic_down(DEVICE, kind)
    return topic, letter_of(data, place=topic, sender=CENTRE, recipient=UPLINK.public)


STRANGER = keys("a stranger")
RECEIPT = encode(receipt(sealed(1)))


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        (topic_down(DEVICE, "verdict"), b"", "letter-invalid"),
        (topic_down(DEVICE, "verdict"), encode(delivery("e" * 32)), "letter-invalid"),
        (topic_down(DEVICE, "receipt"), b"x" * (MESSAGE_BYTES_MAX + 1), "letter-invalid"),
        (topic_down(DEVICE, "have"), down("receipt", receipt(sealed(1)))[1], "letter-invalid"),
        (
            topic_down(DEVICE, "receipt"),
            letter_of(RECEIPT, place=topic_down(DEVICE, "receipt"), sender=STRANGER, recipient=UPLINK.public),
            "letter-invalid",
        ),
        (
            topic_down(DEVICE, "receipt"),
            letter_of(RECEIPT, place=topic_down("appliance-2", "receipt"), sender=CENTRE, recipient=UPLINK.public),
            "letter-invalid",
        ),
        (*plain("verdict", b"\xff\xfe"), "message-invalid"),
        (*plain("verdict", b"[" * 60_000), "message-invalid"),
        (*plain("standing", b'{"cases":{},"schema_version":"standing/1"}'), "message-invalid"),
        (*plain("receipt", b'{"case_id":1,"sha256":1,"schema_version":"receipt/2"}'), "message-invalid"),
        (*down("receipt", Receipt(case_id="e" * 32, transfer_id="e" * 32, sha256="0" * 64)), "message-unasked"),
        (*down("refusal", Refusal(case_id="e" * 32, transfer_id="e" * 32, code="case-conflict")), "message-unasked"),
        (*down("have", Have(transfer_id="e" * 32, known=True, have="1")), "message-unasked"),
        (*down("verdict", delivery("e" * 32)), "message-unasked"),
        (f"edge/2/down/{DEVICE}/else", b"{}", "message-invalid"),
    ],
)
def test_what_is_not_believed_is_kept_aside_and_acknowledged(edge, topic, payload, code):
    put(edge, 1)
    edge.broker.send_down(topic, payload)
    edge.broker.send_down(topic, payload)
    run(edge)
    kind = topic.rsplit("/", 1)[1]
    assert rejects(edge) == [("?" if kind == "else" else kind, code, 2)]
    assert edge.broker.session == {}
    with edge.uplink.ledger.connect() as c:
        assert list(wire.verdicts_of(c)) == []
        assert wire.received_case_ids(c) == set()


def test_a_standing_that_answers_no_roll_of_ours_is_not_believed(edge):
    case = put(edge, 1)
    run(edge)
    edge.carry()
    run(edge)
    edge.centre.say("standing", Standing(nonce="e" * 32, cases={case.case_id: "unknown"}))
    run(edge, "listen")
    with edge.uplink.ledger.connect() as c:
        assert wire.missing_at_centre(c) == []


def test_what_the_centre_asks_for_is_filed_once(edge):
    case = put(edge, 1)
    for _ in range(2):
        edge.centre.say("request", Request(case_id=case.case_id, tier=2))
        edge.centre.say("request", Request(case_id="e" * 32, tier=2))
        run(edge, "listen")
    with edge.uplink.ledger.connect() as c:
        assert [(row.case_id, row.tier) for row in freight.requests_after(c, 0, 10)] == [(case.case_id, 2)]
    assert rejects(edge)[0][:2] == ("request", "message-unasked")


def test_what_a_full_disk_could_not_keep_is_kept_when_there_is_room(edge, monkeypatch):
    """Without this the broker would not send it again before the next connection, and its window would stay full."""
    case = put(edge, 1)
    edge.centre.say("verdict", delivery(case.case_id))
    real = wire.record_verdict

    def full(*_):
        raise Unavailable("disk-low")

    with monkeypatch.context() as patch:
        patch.setattr(wire, "record_verdict", full)
        for _ in range(3):
            with pytest.raises(Unavailable):
                run(edge, "listen")
    assert wire.record_verdict is real
    assert sent_up(edge, "taken") == []
    run(edge, "listen")
    with edge.uplink.ledger.connect() as c:
        assert [row.case_id for row in wire.verdicts_of(c)] == [case.case_id]
    assert edge.broker.session == {}


def test_what_a_session_held_is_taken_though_it_comes_before_the_subscription(edge):
    cases = [put(edge, number) for number in range(1, 41)]
    edge.link.drop()
    for case in cases:
        edge.centre.say("verdict", delivery(case.case_id))
    edge.link.connect()
    for _ in range(5):
        run(edge, "listen")
    assert not edge.broker.session, "a window that is full of what was dropped never opens again"


def test_a_verdict_twice_is_one_row_and_taken_twice(edge):
    case = put(edge, 1)
    run(edge)
    for _ in range(2):
        edge.centre.say("verdict", delivery(case.case_id))
        run(edge, "listen")
    with edge.uplink.ledger.connect() as c:
        assert [row.rev for row in wire.verdicts_of(c)] == [1]
    assert [said("taken", payload) for payload in sent_up(edge, "taken")] == [Taken(case_id=case.case_id, rev=1)] * 2


def test_another_letter_under_the_same_rev_is_kept_aside_and_not_taken(edge):
    case = put(edge, 1)
    edge.centre.say("verdict", delivery(case.case_id))
    run(edge, "listen")
    edge.link.on_ack = lambda message: None
    edge.centre.say("verdict", delivery(case.case_id, words=b"something else"))
    run(edge, "listen")
    assert rejects(edge) == [("verdict", "message-contradicts", 1)]
    assert len(sent_up(edge, "taken")) == 1


def test_taken_waits_for_the_window(edge):
    case = put(edge, 1)
    edge.link.outstanding = ["full"] * 16
    edge.centre.say("verdict", delivery(case.case_id))
    run(edge, "listen")
    assert sent_up(edge, "taken") == []
    edge.link.answer_publishes()
    run(edge, "listen")
    assert len(sent_up(edge, "taken")) == 1


def test_a_refusal_stops_the_sending(edge):
    case = put(edge, 1)
    run(edge)
    edge.broker.up.clear()
    told = Refusal(case_id=case.case_id, transfer_id=case.way.transfer_id, code="case-identity")
    edge.centre.say("refusal", told)
    edge.mono += 1000
    run(edge, "listen", "send")
    assert edge.broker.up == []
    edge.look()
    assert edge.seen == {case.case_id: "refused"}


@pytest.mark.parametrize("end", [wire.close_case, wire.cancel_case])
def test_a_case_that_is_over_is_not_sent(edge, end):
    case = put(edge, 1)
    with edge.cases.begin() as c:
        end(c, case.case_id, 2.0)
    run(edge)
    assert edge.broker.up == []


def test_a_series_goes_last_and_though_its_case_is_closed(edge):
    case, series = put(edge, 1), sealed(1, size=100_000)
    way = dataclasses.replace(series.way, tier=2, transfer_id="c" * 32)
    (edge.places.parts / way.sha256).write_bytes(series.data)
    other = put(edge, 2)
    with edge.cases.begin() as c:
        freight.put_transfer(c, way, edge.wall - 1e5 % 3600)
        wire.close_case(c, case.case_id, edge.wall)
    for _ in range(5):
        run(edge, "listen", "send")
        edge.link.answer_publishes()
    assert [transfer for transfer, _ in parts(edge)] == [other.way.transfer_id, *["c" * 32] * way.parts]
    edge.centre.say("receipt", Receipt(case_id=case.case_id, transfer_id="c" * 32, sha256=way.sha256))
    edge.link.on_ack = lambda message: None
    run(edge, "listen")
    with edge.uplink.ledger.connect() as c:
        assert freight.received_transfers(c) == {"c" * 32}
        assert case.case_id not in wire.received_case_ids(c), "a series is no case document"


@pytest.mark.parametrize("damage", ["missing", "changed", "unreadable"])
def test_a_damaged_part_is_shown_and_stops_no_other(edge, damage):
    bad, good = put(edge, 1, "critical"), put(edge, 2)
    path = edge.places.parts / bad.way.sha256
    path.unlink()
    if damage == "changed":
        path.write_bytes(bad.data + b" ")
    elif damage == "unreadable":
        path.mkdir()
    for _ in range(3):
        run(edge)
        edge.mono += 1.0
    assert manifests(edge) == [good.case_id]
    with edge.uplink.ledger.connect() as c:
        codes = wire.fault_codes(c)
        (passage,) = c.execute(wire.passages.select().filter_by(transfer_id=bad.way.transfer_id))
    assert codes == {bad.case_id: "unexpected" if damage == "unreadable" else "part-damaged"}
    assert passage.code == codes[bad.case_id]
    edge.look()
    assert edge.seen[bad.case_id] == "queued"
    if damage == "unreadable":
        path.rmdir()
    path.write_bytes(bad.data)
    edge.link.answer_publishes()
    edge.mono += CONFIG.network.resend_after_max_s
    run(edge)
    assert bad.case_id in manifests(edge), "it mends by itself when the part is back"
    with edge.uplink.ledger.connect() as c:
        assert wire.fault_codes(c) == {}


def rolls(edge: World) -> list[Roll]:
    return [said("roll", payload) for payload in sent_up(edge, "roll")]


def test_roll_call_on_connect_and_every_few_minutes(edge):
    case = put(edge, 1)
    run(edge)
    assert [roll.case_ids for roll in rolls(edge)] == [(case.case_id,)]
    run(edge)
    assert len(rolls(edge)) == 1
    edge.mono += ROLL_PERIOD_S
    run(edge, "roll_call")
    assert len(rolls(edge)) == 2
    edge.link.drop()
    edge.link.connect()
    run(edge)
    assert len({roll.nonce for roll in rolls(edge)}) == 3


def test_a_roll_asks_after_half_sent_transfers(edge):
    bulky = put(edge, 1, size=400_000, tier=1)
    run(edge, "listen", "send")
    edge.mono += ROLL_PERIOD_S
    run(edge, "roll_call")
    assert rolls(edge)[-1].transfer_ids == (bulky.way.transfer_id,)


def test_what_the_broker_forgot_is_sent_again_at_once(edge):
    case = put(edge, 1)
    run(edge)
    edge.link.answer_publishes()
    run(edge)
    edge.mono += 1.0
    edge.broker_dies()
    edge.link.connect()
    run(edge)
    assert manifests(edge) == [], "the wait is not over"
    edge.carry()
    run(edge)
    assert manifests(edge) == [case.case_id], "the centre said unknown of what had been sent before"


def test_a_case_the_centre_forgot_is_named(edge):
    case = put(edge, 1)
    while edge.seen != {case.case_id: "received"}:
        run(edge)
        edge.carry()
        edge.link.answer_publishes()
        edge.mono += 30.0
        run(edge, "listen")
        edge.look()
    edge.centre.cases.clear()
    edge.mono += ROLL_PERIOD_S
    run(edge)
    edge.carry()
    run(edge)
    with edge.uplink.ledger.connect() as c:
        assert wire.missing_at_centre(c) == [case.case_id]


def test_a_long_roll_goes_page_by_page(edge, monkeypatch):
    monkeypatch.setattr("appliance.uplink.hearing.ROLL_MAX", 3)
    wanted = [put(edge, number).case_id for number in range(1, 8)]
    called: list[str] = []
    for _ in range(3):
        run(edge, "listen", "roll_call")
        edge.mono += ROLL_PERIOD_S
    for roll in rolls(edge):
        assert len(roll.case_ids) <= 3
        called += roll.case_ids
    assert called == wanted


def test_without_a_connection_or_a_mailbox_nothing_is_tried(tmp_path):
    places, fuse = Places(tmp_path), Fuse()
    link = LossyWire(Broker(), fuse)
    uplink = Uplink(CONFIG, places, RING, link, random.Random(0))
    moment = Moment(0.0, 0.0)
    link.connect()
    assert [step(moment) for step in uplink.steps().values()] == [True, False, False, True, False]  # Up was news
    places.cases_db.write_bytes(b"")
    assert not uplink.sending.send(moment), "the file is there, its tables are not"
    uplink.close()


def test_rejects_hold_no_more_than_the_head_of_a_message(edge):
    put(edge, 1)
    edge.broker.send_down(topic_down(DEVICE, "verdict"), b"x" * 50_000)
    run(edge)
    with edge.uplink.ledger.connect() as c:
        (row,) = c.execute(wire.rejects.select())
    assert (row.bytes_count, len(row.head)) == (50_000, wire.REJECT_BYTES_MAX)


def test_until_it_is_enrolled_it_waits_and_then_it_dials(tmp_path):
    config = CONFIG.model_copy(update={"keys": Keys(folder=tmp_path / "keys")})
    service = Enrolling(config, Places(tmp_path / "state"), threading.Event(), random.Random(0))
    for second in range(0, 20, 2):
        for step in service.steps().values():
            assert not step(Moment(float(second), float(second)))
    assert service.link is None
    enrol_locally(tmp_path / "keys", tmp_path / "far", DEVICE)
    for step in service.steps().values():
        step(Moment(100.0, 100.0))
    assert service.link is not None
    service.close()
