"""Uplink over real brokers, and as a real process killed again and again: nothing lost, nothing twice."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.config import Config, Places
from appliance.core.case import Case, Reader, Receipt, Roll, Standing, Taken, Verdict, seal, topic_down, topic_up
from appliance.core.document import decode, encode
from appliance.core.link import Message
from appliance.loop import moment
from appliance.uplink import Uplink, dial
from appliance.world import broker, mqtt, sqlite, wire

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
DEVICE = "appliance-1"

CHILD = """
import json, sys, threading
from appliance.config import Config, Places
from appliance.loop import run
from appliance.uplink import Uplink, dial
from pathlib import Path
config, wake = Config.model_validate(json.loads(sys.argv[1])), threading.Event()
link = dial(config, wake)
uplink = Uplink(config, Places(Path(sys.argv[2])), link)
link.start()
print("ready", flush=True)
run(uplink.steps(), stop=threading.Event(), wake=wake, alive=lambda: None)
"""


class Edge:
    """Triage's hand in wire/: puts cases in, closes those answered."""

    def __init__(self, root: Path) -> None:
        self.places, self.put_count = Places(root), 0
        self.places.parts.mkdir(parents=True)
        self.cases = sqlite.open_writer(self.places.cases_db, wire.CASES)

    def put(self) -> None:
        self.put_count += 1
        case = seal(
            Case(
                case_id=f"{self.put_count:032x}",
                revision=1,
                urgency="urgent",
                modality="CR",
                body_part="CHEST",
                view="PA",
                images=1,
                reasons=("gate-far",),
                would_be=None,
                findings=(),
                gates={},
                model=None,
            )
        )
        (self.places.parts / case.sha256).write_bytes(case.data)
        with self.cases.begin() as c:
            wire.put_case(c, case, revision=1, urgency="urgent", at=time.time())

    def absorb(self) -> int:
        """Closes what is answered; returns how many cases are still open."""
        if self.places.link_db.exists():
            engine = sqlite.open_reader(self.places.link_db)
            with engine.connect() as own:
                made = wire.is_made(own, wire.LINK)
                answered = [row.case_id for row in wire.verdicts_of(own)] if made else []
            engine.dispose()
            with self.cases.begin() as c:
                for case_id in answered:
                    wire.close_case(c, case_id, time.time())
        with self.cases.connect() as c:
            return len(list(wire.open_cases(c)))

    def judge(self, centre: "Centre") -> None:
        """Every case is closed, by exactly the one verdict that the centre gave; nothing was put aside."""
        engine = sqlite.open_reader(self.places.link_db)
        with self.cases.connect() as c, engine.connect() as own:
            states = wire.wire_states(c, own)
            rows = list(wire.verdicts_of(own))
            aside = list(own.execute(wire.rejects.select()))
            assert own.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        engine.dispose()
        wanted = {f"{number:032x}" for number in range(1, self.put_count + 1)}
        assert set(states) == set(centre.cases) == wanted
        assert set(states.values()) == {"closed"}
        assert sorted(row.case_id for row in rows) == sorted(wanted)
        assert {row.case_id: decode(Verdict, row.body.encode()) for row in rows} == centre.verdicts
        assert aside == []


class Centre:
    """The far end over the same kind of link: commits in memory, answers everything, repeats until taken."""

    def __init__(self, port: int) -> None:
        self.wake = threading.Event()
        topics = [topic_up("+", kind) for kind in ("case", "taken", "roll")]
        self.link = mqtt.Link(broker.HOST, port, "centre", topics, 30, 3600, self.wake, reconnect_max_s=0.2)
        self.cases: dict[str, str] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.taken: set[str] = set()
        self.link.start()

    def work(self) -> None:
        for event in self.link.poll():
            if isinstance(event, Message):
                self.hear(event.topic.rsplit("/", 1)[1], event.payload)
                self.link.ack(event)

    def hear(self, kind: str, payload: bytes) -> None:
        if kind == "case":
            case, digest = decode(Case, payload), hashlib.sha256(payload).hexdigest()
            assert self.cases.setdefault(case.case_id, digest) == digest
            self.receipt(case.case_id)
            self.verdict(case.case_id)
        elif kind == "taken":
            self.taken.add(decode(Taken, payload).case_id)
        else:
            asked = decode(Roll, payload).case_ids
            words = {each: "received" if each in self.cases else "unknown" for each in asked}
            self.say("standing", encode(Standing(cases=words)))
            for case_id in words.keys() & self.cases.keys():
                self.receipt(case_id)
                self.verdict(case_id)

    def receipt(self, case_id: str) -> None:
        self.say("receipt", encode(Receipt(case_id=case_id, part_sha256=self.cases[case_id])))

    def verdict(self, case_id: str) -> None:
        reader = Reader(model="m", server="s", prompt_sha256="0" * 64, connected=False)
        words = {"opinions": (), "limitations": (), "guards": (), "reader": reader}
        made = Verdict(case_id=case_id, rev=1, status="ok", urgency="urgent", impression=case_id, **words)
        self.say("verdict", encode(self.verdicts.setdefault(case_id, made)))

    def say(self, kind: str, payload: bytes) -> None:
        self.link.publish(topic_down(DEVICE, kind), payload, token=kind)  # lost, it is asked for again

    def speak(self) -> None:
        for case_id in sorted(self.verdicts.keys() - self.taken)[:5]:
            self.verdict(case_id)


def config_for(port: int) -> dict:
    return {"network": {"broker_port": port, "resend_after_s": 0.3, "resend_after_max_s": 2.0}}


@pytest.fixture
def edge(tmp_path) -> Iterator[Edge]:
    made = Edge(tmp_path / "state")
    yield made
    made.cases.dispose()


def kill(child: subprocess.Popen) -> None:
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


def drive(edge: Edge, centre: Centre, uplink_turn: Callable[[], None]) -> None:
    """Turns the world until every case is closed and taken, within a bound."""
    deadline, spoke = time.monotonic() + PATIENCE_S, 0.0
    while edge.absorb() or centre.verdicts.keys() - centre.taken:
        assert time.monotonic() < deadline, (edge.absorb(), len(centre.verdicts), len(centre.taken))
        turn(centre, uplink_turn)
        if time.monotonic() - spoke > 0.5:
            centre.speak()
            spoke = time.monotonic()


def turn(centre: Centre, uplink_turn: Callable[[], None]) -> None:
    uplink_turn()
    centre.wake.clear()
    centre.work()
    centre.wake.wait(0.005)


@pytest.mark.parametrize("kind", ["mosquitto", "iotcore"])
def test_a_broker_killed_in_the_middle_loses_no_case(tmp_path, edge, kind):
    """Both brokers forget when they are killed; the receipts find it out."""
    server = broker.start(tmp_path / "broker", 0, kind)
    config, wake = Config.model_validate(config_for(server.port)), threading.Event()
    link = dial(config, wake)
    uplink, centre = Uplink(config, edge.places, link, random.Random(1)), Centre(server.port)
    link.start()

    def uplink_turn() -> None:
        for step in uplink.steps().values():
            step(moment())

    try:
        for _ in range(4):
            for _ in range(8):
                edge.put()
                turn(centre, uplink_turn)
            os.kill(server.pid, signal.SIGKILL)
            server.stop()
            server = broker.start(tmp_path / "broker", server.port, kind)
        drive(edge, centre, uplink_turn)
        edge.judge(centre)
    finally:
        link.stop()
        centre.link.stop()
        uplink.close()
        server.stop()


def test_uplink_killed_at_random_moments_loses_and_doubles_nothing(tmp_path, edge):
    server, chance = broker.start(tmp_path / "broker", 0, "mosquitto"), random.Random(20)
    command = [sys.executable, "-c", CHILD, json.dumps(config_for(server.port)), str(edge.places.root)]
    centre, pause = Centre(server.port), threading.Event()
    child = None
    try:
        for _ in range(12):
            child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
            assert child.stdout is not None
            assert child.stdout.readline() == b"ready\n"
            until = time.monotonic() + chance.random() * 0.3
            while time.monotonic() < until:
                edge.put()
                turn(centre, lambda: None)
                edge.absorb()
            kill(child)
            child.stdout.close()
        child = subprocess.Popen(command, cwd=ROOT)
        drive(edge, centre, lambda: pause.wait(0.01) and None)
        kill(child)
        assert edge.put_count > 50, "the kills fell into an idle time"
        edge.judge(centre)
    finally:
        if child is not None and child.poll() is None:
            kill(child)
        centre.link.stop()
        server.stop()
