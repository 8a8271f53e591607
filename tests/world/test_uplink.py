"""Uplink against a wire that loses, doubles and reorders, a broker that forgets, and a process that dies anywhere.

The simulation drives the real service and real databases under a seed; the centre and the wire are small fakes. Its
own eye is checked too: services with a planted mistake must be caught by some seed.
"""

import hashlib
import json
import random
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

import pytest
from sqlalchemy import event

from appliance.config import Config, Places
from appliance.core.case import (
    DOWN_KINDS,
    Case,
    Reader,
    Receipt,
    Refusal,
    Roll,
    Sealed,
    Standing,
    Taken,
    Verdict,
    seal,
    topic_down,
    topic_up,
)
from appliance.core.document import MESSAGE_BYTES_MAX, Document, decode, encode
from appliance.core.lifecycle import WIRE_MOVES, WIRE_STATES
from appliance.core.link import NO_SUBSCRIBERS, Acknowledged, Down, Event, Message, Up
from appliance.errors import CATALOGUE
from appliance.loop import Moment
from appliance.uplink import DOCUMENTS, IN_FLIGHT_MAX, ROLL_PERIOD_S, Uplink, dial
from appliance.world import sqlite, wire

CONFIG = Config.model_validate(
    {"network": {"in_flight_bytes": 4096, "resend_after_s": 10.0, "resend_after_max_s": 80.0}}
)
DEVICE = CONFIG.site.device_id


def sealed(number: int, urgency: str = "routine") -> Sealed:
    return seal(
        Case(
            case_id=f"{number:032x}",
            revision=1,
            urgency=urgency,
            modality="CR",
            body_part="CHEST",
            view="AP",
            images=1,
            reasons=("gate-far",),
            would_be="cleared",
            findings=(),
            gates={},
            model=None,
        )
    )


def verdict(case_id: str, rev: int = 1, impression: str = "draft") -> Verdict:
    reader = Reader(model="m", server="s", prompt_sha256="0" * 64, connected=True)
    return Verdict(
        case_id=case_id,
        rev=rev,
        status="ok",
        urgency="urgent",
        opinions=(),
        impression=impression,
        limitations=(),
        guards=(),
        reader=reader,
    )


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
        for mid, (topic, payload) in list(self.broker.session.items()):
            if self.connected and mid not in self.delivered and (self.chance is None or self.chance.random() < 0.8):
                self.delivered.add(mid)
                found.append(Message(topic, payload, self.epoch, mid, 1))
        return found

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
        self.cases: dict[str, str] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.taken: set[str] = set()

    def say(self, kind: str, document: Document) -> None:
        self.broker.send_down(topic_down(DEVICE, kind), encode(document))

    def hear(self, topic: str, payload: bytes) -> None:
        match topic.rsplit("/", 1)[1]:
            case "case":
                case, digest = decode(Case, payload), hashlib.sha256(payload).hexdigest()
                assert self.cases.setdefault(case.case_id, digest) == digest, "one case, two contents"
                self.say("receipt", Receipt(case_id=case.case_id, part_sha256=digest))
            case "taken":
                self.taken.add(decode(Taken, payload).case_id)
            case "roll":
                asked = decode(Roll, payload).case_ids
                words = {each: "unknown" if each not in self.cases else "received" for each in asked}
                self.say("standing", Standing(cases=words))
                for each in asked:
                    if each in self.cases:
                        self.say("receipt", Receipt(case_id=each, part_sha256=self.cases[each]))

    def think(self) -> None:
        for case_id in self.cases:
            self.verdicts.setdefault(case_id, verdict(case_id))

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

    def __init__(self, root, seed: int, service: type[Uplink] = Uplink) -> None:
        self.chance, self.service = random.Random(seed), service
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
        self.uplink = self.service(CONFIG, self.places, self.link, random.Random(self.chance.random()))
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
        case = sealed(self.number, urgency)
        (self.places.parts / case.sha256).write_bytes(case.data)
        with self.cases.begin() as c:
            wire.put_case(c, case, revision=1, urgency=urgency, at=self.wall)

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
                self.check_taken(decode(Taken, payload))
            for _ in range(0 if self.chance.random() < loss else self.chance.choice([1, 1, 1, 2])):
                self.centre.hear(topic, payload)
        lost = [mid for mid in self.broker.session if self.chance.random() < loss / 2]
        for mid in lost:
            del self.broker.session[mid]

    def misspeak(self) -> None:
        """What a confused or hostile peer might send."""
        known = f"{self.chance.randint(1, self.number or 1):032x}"
        wrong: list[tuple[str, bytes]] = [
            (topic_down(DEVICE, "receipt"), encode(Receipt(case_id=known, part_sha256="f" * 64))),
            (topic_down(DEVICE, "receipt"), encode(Receipt(case_id="f" * 32, part_sha256="f" * 64))),
            (topic_down(DEVICE, "verdict"), encode(verdict("f" * 32))),
            (topic_down(DEVICE, self.chance.choice(DOWN_KINDS)), self.chance.randbytes(20)),
            (topic_down(DEVICE, "verdict"), b"[" * 10_000),
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
            said = decode(DOCUMENTS[message.topic.rsplit("/", 1)[1]], message.payload)
            if isinstance(said, Receipt):
                assert said.case_id in wire.received_case_ids(c), "acknowledged a receipt that is not on disk"
                assert said.part_sha256 == self.centre.cases.get(said.case_id), "believed a wrong receipt"
            elif isinstance(said, Verdict):
                rows = [row for row in wire.verdicts_of(c) if row.case_id == said.case_id]
                assert [row.body.encode() for row in rows] == [encode(said)], "acknowledged a verdict not on disk"

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
        for _ in range(40):
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


def simulate(root, seed: int, service: type[Uplink] = Uplink) -> World:
    world = World(root, seed, service)
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


@pytest.mark.parametrize("seed", range(40))
def test_every_case_is_answered_exactly_once_whatever_breaks(tmp_path, seed):
    simulate(tmp_path, seed)


def test_the_storms_are_storms(tmp_path):
    """The simulation would prove nothing if nothing broke in it."""
    worlds = [simulate(tmp_path / str(seed), seed) for seed in range(10)]
    assert sum(world.lives for world in worlds) > 30, "hardly a crash"
    assert sum(world.number for world in worlds) > 60, "hardly a case"
    assert any(world.cancelled for world in worlds)


class AcknowledgesFirst(Uplink):
    def _keep(self, messages, moment):
        for message in messages:
            self.link.ack(message)
        super()._keep(messages, moment)


class TrustsTheBroker(Uplink):
    def listen(self, moment):
        poll = self.link.poll()
        with self.ledger.begin() as c:
            for said in poll:
                if isinstance(said, Acknowledged) and len(str(said.token)) == 32:
                    wire.record_receipt(c, str(said.token), moment.wall)
        self.link.events = [said for said in poll if not isinstance(said, Message)] + self.link.events
        self.link.delivered -= {said.mid for said in poll if isinstance(said, Message)}
        return super().listen(moment)


class SaysTakenFirst(Uplink):
    def _believe(self, c, document, known, moment):
        if isinstance(document, Verdict):
            said = Taken(case_id=document.case_id, rev=document.rev)
            self.link.publish(topic_up(DEVICE, "taken"), encode(said), token="taken")
        return super()._believe(c, document, known, moment)


class NeverSendsAgain(Uplink):
    def _is_due(self, case_id, moment):
        return case_id not in self._waiting


class BelievesAnyDigest(Uplink):
    def _believe(self, c, document, known, moment):
        if isinstance(document, Receipt):
            known = {**known, document.case_id: document.part_sha256}
        return super()._believe(c, document, known, moment)


class ForgetsToCommit(Uplink):
    def _keep(self, messages, moment):
        for message in messages:
            self.link.ack(message)


@pytest.mark.parametrize(
    "mistaken",
    [AcknowledgesFirst, TrustsTheBroker, SaysTakenFirst, NeverSendsAgain, BelievesAnyDigest, ForgetsToCommit],
)
def test_a_planted_mistake_is_caught(tmp_path, mistaken):
    for seed in range(30):
        try:
            simulate(tmp_path / str(seed), seed, mistaken)
        except AssertionError:
            return
    raise AssertionError(f"{mistaken.__name__} went unseen")


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
        getattr(edge.uplink, name)(Moment(edge.wall, edge.mono))


def rejects(edge: World) -> list[tuple[str, str, int]]:
    with edge.uplink.ledger.connect() as c:
        return [(row.kind, row.code, row.copies) for row in c.execute(wire.rejects.select())]


def sent_up(edge: World, kind: str) -> list[bytes]:
    return [payload for topic, payload in edge.broker.up if topic == topic_up(DEVICE, kind)]


def put(edge: World, number: int, urgency: str = "routine", at: float = 1.0) -> Sealed:
    case = sealed(number, urgency)
    (edge.places.parts / case.sha256).write_bytes(case.data)
    with edge.cases.begin() as c:
        wire.put_case(c, case, revision=1, urgency=urgency, at=at)
    return case


def test_every_kind_of_answer_has_its_document_and_its_topic():
    assert tuple(DOCUMENTS) == DOWN_KINDS
    link = dial(CONFIG, __import__("threading").Event())
    assert link.subscriptions == tuple(topic_down(DEVICE, kind) for kind in DOWN_KINDS)
    assert link.client_id == DEVICE
    link.stop()


def test_the_most_urgent_goes_first_and_the_window_holds(edge):
    cases = [put(edge, 1, "routine"), put(edge, 2, "critical", 2.0), put(edge, 3, "urgent"), put(edge, 4, "critical")]
    run(edge)
    assert sent_up(edge, "case") == [cases[number].data for number in (3, 1, 2, 0)]
    for number in range(5, 5 + 2 * IN_FLIGHT_MAX):
        put(edge, number)
    run(edge)
    assert len(sent_up(edge, "case")) <= IN_FLIGHT_MAX
    assert sum(map(len, sent_up(edge, "case"))) <= CONFIG.network.in_flight_bytes
    before = len(sent_up(edge, "case"))
    edge.link.answer_publishes()
    run(edge)
    assert len(sent_up(edge, "case")) > before


def test_a_case_larger_than_the_window_goes_alone(tmp_path, edge, monkeypatch):
    put(edge, 1)
    put(edge, 2)
    monkeypatch.setattr(edge.uplink, "network", CONFIG.network.model_copy(update={"in_flight_bytes": 10}))
    run(edge)
    run(edge)
    assert len(sent_up(edge, "case")) == 1
    edge.link.answer_publishes()
    run(edge)
    assert len(sent_up(edge, "case")) == 2


def test_a_lost_receipt_has_the_same_bytes_sent_again_and_makes_one_row(edge):
    case = put(edge, 1)
    run(edge)
    edge.link.answer_publishes()
    run(edge)
    assert sent_up(edge, "case") == [case.data], "not due yet, whatever the broker says"
    edge.mono += CONFIG.network.resend_after_s * 1.3
    run(edge)
    assert sent_up(edge, "case") == [case.data] * 2
    edge.carry()
    edge.link.answer_publishes()
    edge.mono += 1000
    run(edge)
    with edge.uplink.ledger.connect() as c:
        (row,) = c.execute(wire.sendings.select())
    assert (row.state, row.attempts) == ("received", 2)
    assert sent_up(edge, "case") == []


def test_the_wait_doubles_up_to_its_limit(edge):
    put(edge, 1)
    waits, last = [], edge.mono
    for _ in range(400):
        before = len(sent_up(edge, "case"))
        run(edge, "listen", "send")
        edge.link.answer_publishes()
        if len(sent_up(edge, "case")) > before:
            waits.append(edge.mono - last)
            last = edge.mono
        edge.mono += 1.0
    first, longest = CONFIG.network.resend_after_s, CONFIG.network.resend_after_max_s
    for wait, full in zip(waits[1:], [first, first * 2, first * 4, longest, longest], strict=False):
        assert 0.75 * full <= wait <= 1.25 * full + 1.0
    assert len(waits) >= 6


def test_a_receipt_with_a_wrong_digest_is_no_receipt(edge):
    put(edge, 1)
    run(edge)
    edge.centre.say("receipt", Receipt(case_id=f"{1:032x}", part_sha256="0" * 64))
    edge.link.on_ack = lambda message: None
    run(edge)
    assert rejects(edge) == [("receipt", "receipt-mismatch", 1)]
    assert edge.broker.session == {}, "it is acknowledged, so that it does not come for ever"
    edge.look()
    assert edge.seen == {f"{1:032x}": "sending"}


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        ("verdict", b"", "message-invalid"),
        ("verdict", b"\xff\xfe", "message-invalid"),
        ("verdict", b"[" * 60_000, "message-invalid"),
        ("standing", b'{"cases":{},"schema_version":"standing/2"}', "message-invalid"),
        ("receipt", b"x" * (MESSAGE_BYTES_MAX + 1), "message-invalid"),
        ("receipt", b'{"case_id":1,"part_sha256":1,"schema_version":"receipt/1"}', "message-invalid"),
        ("receipt", encode(Receipt(case_id="e" * 32, part_sha256="0" * 64)), "message-unasked"),
        ("refusal", encode(Refusal(case_id="e" * 32, code="case-conflict")), "message-unasked"),
        ("verdict", encode(verdict("e" * 32)), "message-unasked"),
        ("else", b"{}", "message-invalid"),
    ],
)
def test_what_is_not_believed_is_kept_aside_and_acknowledged(edge, kind, data, code):
    put(edge, 1)
    edge.broker.send_down(f"edge/1/down/{DEVICE}/{kind}", data)
    edge.broker.send_down(f"edge/1/down/{DEVICE}/{kind}", data)
    run(edge)
    assert rejects(edge) == [("?" if kind == "else" else kind, code, 2)]
    assert edge.broker.session == {}
    with edge.uplink.ledger.connect() as c:
        assert list(wire.verdicts_of(c)) == []
        assert wire.received_case_ids(c) == set()


def test_a_verdict_twice_is_one_row_and_taken_twice(edge):
    put(edge, 1)
    run(edge)
    for _ in range(2):
        edge.centre.say("verdict", verdict(f"{1:032x}"))
        run(edge, "listen")
    with edge.uplink.ledger.connect() as c:
        assert [row.rev for row in wire.verdicts_of(c)] == [1]
    assert sent_up(edge, "taken") == [encode(Taken(case_id=f"{1:032x}", rev=1))] * 2


def test_another_text_under_the_same_rev_is_kept_aside_and_not_taken(edge):
    put(edge, 1)
    edge.centre.say("verdict", verdict(f"{1:032x}"))
    run(edge, "listen")
    edge.link.on_ack = lambda message: None
    edge.centre.say("verdict", verdict(f"{1:032x}", impression="something else"))
    run(edge, "listen")
    assert rejects(edge) == [("verdict", "message-contradicts", 1)]
    assert len(sent_up(edge, "taken")) == 1


def test_taken_waits_for_the_window(edge):
    put(edge, 1)
    edge.link.outstanding = ["full"] * 16
    edge.centre.say("verdict", verdict(f"{1:032x}"))
    run(edge, "listen")
    assert sent_up(edge, "taken") == []
    edge.link.answer_publishes()
    run(edge, "listen")
    assert len(sent_up(edge, "taken")) == 1


def test_a_refusal_stops_the_sending(edge):
    put(edge, 1)
    run(edge)
    edge.broker.up.clear()
    edge.centre.say("refusal", Refusal(case_id=f"{1:032x}", code="case-conflict"))
    edge.mono += 1000
    run(edge, "listen", "send")
    assert sent_up(edge, "case") == []
    edge.look()
    assert edge.seen == {f"{1:032x}": "refused"}


@pytest.mark.parametrize("end", [wire.close_case, wire.cancel_case])
def test_a_case_that_is_over_is_not_sent(edge, end):
    put(edge, 1)
    with edge.cases.begin() as c:
        end(c, f"{1:032x}", 2.0)
    run(edge)
    assert edge.broker.up == []


@pytest.mark.parametrize("damage", ["missing", "changed", "unreadable"])
def test_a_damaged_part_is_shown_and_stops_no_other(edge, damage):
    bad, good = put(edge, 1, "critical"), put(edge, 2)
    path = edge.places.parts / bad.sha256
    path.unlink()
    if damage == "changed":
        path.write_bytes(bad.data + b" ")
    elif damage == "unreadable":
        path.mkdir()
    for _ in range(3):
        run(edge)
        edge.mono += 1.0
    assert sent_up(edge, "case") == [good.data]
    with edge.uplink.ledger.connect() as c:
        codes = wire.fault_codes(c)
    assert codes == {bad.case_id: "unexpected" if damage == "unreadable" else "part-damaged"}
    edge.look()
    assert edge.seen[bad.case_id] == "queued"
    if damage == "unreadable":
        path.rmdir()
    path.write_bytes(bad.data)
    edge.link.answer_publishes()
    edge.mono += CONFIG.network.resend_after_max_s
    run(edge)
    assert bad.data in sent_up(edge, "case"), "it mends by itself when the part is back"
    with edge.uplink.ledger.connect() as c:
        assert wire.fault_codes(c) == {}


def test_roll_call_on_connect_and_every_few_minutes(edge):
    case = put(edge, 1)
    run(edge)
    assert [decode(Roll, payload).case_ids for payload in sent_up(edge, "roll")] == [(case.case_id,)]
    run(edge)
    assert len(sent_up(edge, "roll")) == 1
    edge.mono += ROLL_PERIOD_S
    run(edge, "roll_call")
    assert len(sent_up(edge, "roll")) == 2
    edge.link.drop()
    edge.link.connect()
    run(edge)
    assert len(sent_up(edge, "roll")) == 3


def test_what_the_broker_forgot_is_sent_again_at_once(edge):
    case = put(edge, 1)
    run(edge)
    edge.mono += 1.0
    edge.broker_dies()
    edge.link.connect()
    run(edge)
    assert sent_up(edge, "case") == [], "the wait is not over"
    edge.carry()
    run(edge)
    assert sent_up(edge, "case") == [case.data], "the centre said unknown of what had been sent before"


def test_a_case_the_centre_forgot_is_named(edge):
    case = put(edge, 1)
    run(edge)
    edge.carry()
    run(edge)
    edge.centre.cases.clear()
    edge.mono += ROLL_PERIOD_S
    run(edge)
    edge.carry()
    run(edge)
    with edge.uplink.ledger.connect() as c:
        assert wire.missing_at_centre(c) == [case.case_id]


def test_a_long_roll_goes_page_by_page(edge, monkeypatch):
    monkeypatch.setattr("appliance.uplink.ROLL_MAX", 3)
    wanted = [put(edge, number).case_id for number in range(1, 8)]
    called: list[str] = []
    for _ in range(3):
        run(edge, "listen", "roll_call")
        edge.mono += ROLL_PERIOD_S
    for payload in sent_up(edge, "roll"):
        page = decode(Roll, payload).case_ids
        assert len(page) <= 3
        called += page
    assert called == wanted


def test_without_a_connection_or_a_mailbox_nothing_is_tried(tmp_path):
    places, fuse = Places(tmp_path), Fuse()
    link = LossyWire(Broker(), fuse)
    uplink = Uplink(CONFIG, places, link, random.Random(0))
    moment = Moment(0.0, 0.0)
    link.connect()
    assert [step(moment) for step in uplink.steps().values()] == [True, False, False]  # Up was news
    places.cases_db.write_bytes(b"")
    assert not uplink.send(moment), "the file is there, its tables are not"
    uplink.close()


def test_rejects_hold_no_more_than_the_head_of_a_message(edge):
    put(edge, 1)
    edge.broker.send_down(topic_down(DEVICE, "verdict"), json.dumps({"a": "x" * 50_000}).encode())
    run(edge)
    with edge.uplink.ledger.connect() as c:
        (row,) = c.execute(wire.rejects.select())
    assert len(row.head) == wire.REJECT_BYTES_MAX
