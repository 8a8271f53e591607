"""A broker, an edge and crashes in one thread: what the worker's tests put around it."""

import random
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from centre_samples import (
    CENTRE,
    DEVICE,
    OTHER,
    Parcel,
    an_answer,
    device_keys,
    heard,
    letter_up,
    verdict_in,
)
from sqlalchemy import Connection, Engine

from appliance.core.document import Document, encode
from appliance.core.drafting.question import Answered, Question
from appliance.core.keys import DeviceKeys
from appliance.core.link import Acknowledged, Event, Message, Up
from appliance.core.messages import Delivery, Have, Receipt, Refusal, Roll, Standing, Taken
from appliance.core.transfer import missing
from appliance.loop import Step
from central import store
from central.asking import Asking
from central.exchange import Exchange
from central.intake import Intake
from central.spool import Spool

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
    """An appliance as the wire sees it: sends what the centre has not got, takes each verdict once and says so."""

    def __init__(self, pipe: Pipe, parcels: Iterable[Parcel], device_id: str = DEVICE) -> None:
        self.pipe, self.device_id = pipe, device_id
        self.parcels = {each.case_id: each for each in parcels}
        self.by_transfer = {each.transfer_id: each for each in self.parcels.values()}
        self.have: dict[str, int] = dict.fromkeys(self.by_transfer, 0)
        self.received: set[str] = set()
        self.verdicts: dict[str, bytes] = {}
        self.refused: dict[str, str] = {}
        self.standing: dict[str, str] = {}
        self.rolls = 0

    def send(self) -> None:
        for case_id, each in self.parcels.items():
            if case_id in self.received or case_id in self.verdicts or case_id in self.refused:
                continue
            self.pipe.from_edge(*each.announcement)
            for index in missing(self.have[each.transfer_id], each.told.parts):
                self.pipe.from_edge(*each.part(index))

    def roll(self) -> None:
        self.rolls += 1
        open_still = tuple(case_id for case_id in self.parcels if case_id not in self.verdicts)
        half = tuple(transfer_id for transfer_id, have in self.have.items() if have)
        self.say("roll", Roll(nonce=f"{self.rolls:032x}", case_ids=open_still, transfer_ids=half[:50]))

    def say(self, kind: str, document: Document) -> None:
        self.pipe.from_edge(*letter_up(kind, document, self.device_id))

    def hear(self) -> None:
        for topic, payload in self.pipe.to_edge():
            match heard(topic, payload, self.device_id):
                case Receipt() as receipt:
                    assert receipt == self.parcels[receipt.case_id].receipt
                    self.received.add(receipt.case_id)
                case Have(transfer_id=transfer_id, known=known, have=have):
                    self.have[transfer_id] = (self.have[transfer_id] | int(have, 16)) if known else 0
                case Delivery(case_id=case_id, rev=rev, letter=letter) as delivery:
                    body = encode(verdict_in(delivery, self.device_id))
                    assert self.verdicts.setdefault(case_id, body) == body, "two verdicts on one case"
                    assert letter
                    self.say("taken", Taken(case_id=case_id, rev=rev))
                case Refusal(case_id=case_id, code=code):
                    self.refused[case_id] = code
                case Standing(cases=cases):
                    self.standing.update(cases)

    @property
    def content(self) -> bool:
        return set(self.verdicts) == set(self.parcels)


class Known:
    """A registry of these devices, without files."""

    def __init__(self, *device_ids: str) -> None:
        self.own = (CENTRE,)
        self.keys = {device_id: device_keys(device_id) for device_id in device_ids}

    def device(self, device_id: str) -> DeviceKeys | None:
        return self.keys.get(device_id)


class Centre:
    """One share of the wire that is the whole of it, and one thread that asks, in one thread."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        pipe: Pipe,
        ask: Callable[[Question], Answered],
        *,
        images: bool = False,
        registry: Any = None,
        name: str = "worker",
    ) -> None:
        self.registry, self.wake = registry or Known(DEVICE, OTHER), threading.Event()
        self.intake = Intake(engine, Spool(folder / "spool"))
        self.exchange = Exchange(engine, self.intake, self.registry, [pipe], range(64), self.wake)
        self.asking = Asking(
            engine, self.registry, worker=name, model="some-model", ask=ask, wake=self.wake, images=images
        )

    def steps(self) -> dict[str, Step]:
        return {**self.exchange.steps(), **self.asking.steps()}

    @property
    def listen(self) -> Step:
        return self.exchange.listen

    @property
    def speak(self) -> Step:
        return self.exchange.speak

    @property
    def ask(self) -> Step:
        return self.asking.ask


class Model:
    """A language model that answers each question in other words than the last, so that no two in a row are equal."""

    SAID = ("Pneumonia is present.", "Pneumonia is probable.", "The score speaks for pneumonia.")

    def __init__(self, fate: Fate) -> None:
        self.fate, self.asked = fate, 0

    def __call__(self, asked: Question) -> Answered:
        self.fate.point()
        self.asked += 1
        answer = an_answer(impression=self.SAID[self.asked % len(self.SAID)])
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
