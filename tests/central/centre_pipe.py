"""A broker, an edge and crashes in one thread: what the worker's tests put around it."""

import random
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from centre_samples import DEVICE, an_answer, sealed
from sqlalchemy import Connection, Engine

from appliance.core.case import Receipt, Refusal, Roll, Sealed, Standing, Taken, Verdict, topic_up
from appliance.core.document import decode, encode
from appliance.core.link import Acknowledged, Event, Message, Up
from central import store
from central.question import Answered, Question

WINDOW = 16


class Crash(BaseException):
    """The process is gone: no `except` of ours may catch this."""


class Fate:
    """Counts every point between two effects, and ends the process at those it was told to."""

    def __init__(self, *deadly: int, chance: float = 0.0, seed: int = 0) -> None:
        self.deadly, self.chance, self.random = set(deadly), chance, random.Random(seed)
        self.points = 0

    def point(self) -> None:
        self.points += 1
        if self.points in self.deadly or self.random.random() < self.chance:
            raise Crash


class Pipe:
    """A broker with a kept session for the centre: what the centre has not acknowledged comes again."""

    def __init__(self, fate: Fate, *, loss: float = 0.0, seed: int = 0) -> None:
        self.fate, self.loss, self.random = fate, loss, random.Random(seed)
        self.epoch, self.mid = 0, 0
        self.waiting: list[tuple[str, bytes]] = []
        self.delivered: dict[int, tuple[str, bytes]] = {}
        self.events: list[Event] = []
        self.down: list[tuple[str, bytes]] = []
        self.up, self.room = True, WINDOW

    def connect(self) -> None:
        """A new connection: the window is empty and the unacknowledged is delivered again."""
        self.waiting = [*self.delivered.values(), *self.waiting]
        self.delivered.clear()
        self.epoch += 1
        self.events = [Up(self.epoch)]
        self.up, self.room = True, WINDOW

    def from_edge(self, topic: str, payload: bytes) -> None:
        for _ in range(self._copies()):
            self.waiting.insert(
                self.random.randint(0, len(self.waiting)) if self.loss else len(self.waiting), (topic, payload)
            )

    def to_edge(self) -> list[tuple[str, bytes]]:
        taken, self.down = self.down, []
        return taken

    def _copies(self) -> int:
        drawn = self.random.random()
        return 0 if drawn < self.loss else 2 if drawn < 1.5 * self.loss else 1

    # What the worker sees: appliance.core.link.Wire.

    @property
    def connected(self) -> bool:
        return self.up

    def poll(self) -> list[Event]:
        events, self.events = self.events, []
        self.room = WINDOW
        while self.up and self.waiting and len(self.delivered) < WINDOW:
            self.mid += 1
            self.delivered[self.mid] = self.waiting.pop(0)
            events.append(Message(*self.delivered[self.mid], self.epoch, self.mid, 1))
        return events

    def publish(self, topic: str, payload: bytes, *, token: Hashable) -> bool:
        self.fate.point()
        if not self.up or self.room == 0:
            return False
        self.room -= 1
        self.down += [(topic, payload)] * self._copies()
        self.events.append(Acknowledged(token, 0))
        self.fate.point()
        return True

    def ack(self, message: Message) -> None:
        self.fate.point()
        if message.epoch == self.epoch:
            self.delivered.pop(message.mid, None)


class Edge:
    """An appliance as the wire sees it: sends until there is a receipt, takes each verdict once and says so."""

    def __init__(self, pipe: Pipe, cases: int) -> None:
        self.pipe = pipe
        self.cases: dict[str, Sealed] = {each.case_id: each for each in (sealed(n) for n in range(1, cases + 1))}
        self.received: set[str] = set()
        self.verdicts: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}
        self.standing: dict[str, str] = {}

    def send(self) -> None:
        for case_id, each in self.cases.items():
            if case_id not in self.received and case_id not in self.verdicts and case_id not in self.refused:
                self.pipe.from_edge(topic_up(DEVICE, "case"), each.data)

    def roll(self) -> None:
        open_still = tuple(case_id for case_id in self.cases if case_id not in self.verdicts)
        self.pipe.from_edge(topic_up(DEVICE, "roll"), encode(Roll(case_ids=open_still)))

    def hear(self) -> None:
        for topic, payload in self.pipe.to_edge():
            assert topic.startswith(f"edge/1/down/{DEVICE}/")
            match topic.rsplit("/", 1)[1]:
                case "receipt":
                    receipt = decode(Receipt, payload)
                    assert receipt.part_sha256 == self.cases[receipt.case_id].sha256
                    self.received.add(receipt.case_id)
                case "verdict":
                    verdict = decode(Verdict, payload)
                    assert self.verdicts.setdefault(verdict.case_id, payload) == payload, "two verdicts on one case"
                    taken = Taken(case_id=verdict.case_id, rev=verdict.rev)
                    self.pipe.from_edge(topic_up(DEVICE, "taken"), encode(taken))
                case "refusal":
                    refusal = decode(Refusal, payload)
                    self.refused[refusal.case_id] = refusal.code
                case "standing":
                    self.standing.update(decode(Standing, payload).cases)

    @property
    def content(self) -> bool:
        return set(self.verdicts) == set(self.cases)


class Model:
    """A language model that answers each question with one word more than before, so that no two answers are equal."""

    def __init__(self, fate: Fate) -> None:
        self.fate, self.asked = fate, 0

    def __call__(self, asked: Question) -> Answered:
        self.fate.point()
        self.asked += 1
        answer = an_answer(impression="Pneumonia " + "maybe " * (self.asked % 80))
        self.fate.point()
        return Answered(answer, "some-model", "server")


def deadly_store(fate: Fate) -> Callable[[Engine], Any]:
    """store.transaction with a point before and after each commit."""
    plain = store.transaction

    @contextmanager
    def transaction(engine: Engine) -> Iterator[Connection]:
        with plain(engine) as c:
            yield c
            fate.point()
        fate.point()

    return transaction
