"""Verdicts until they are taken, and requests for series until they are here: sent again, waiting longer each time."""

import base64
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import Engine

from appliance.core.document import Document
from appliance.core.keys import DeviceKeys, PrivateKeys
from appliance.core.letter import MAGIC, sealed
from appliance.core.messages import Delivery, DownKind, Request, verdict_place
from appliance.loop import Moment
from central import store
from central.registry import Registry
from central.store import freight

FRESH_MAX = 4096  # verdicts that go before the round of those sent before
ROUND_ROWS = 200  # verdicts looked at in one step
TIMERS_MAX = 100_000
RESEND_MIN_S = 30.0
RESEND_MAX_S = 900.0
REQUEST_FOR_S = 14 * 86_400.0  # after that a person asks again, or not
LOOK_PERIOD_S = 1.0  # between two looks for verdicts that other threads and workers filed

Publish = Callable[[str, DownKind, Document, Any], bool]
Due = tuple[float, float]  # s, monotonic; after which wait


class Telling:
    """What one share's devices are told without having asked."""

    def __init__(self, engine: Engine, registry: Registry, partitions: Collection[int], publish: Publish) -> None:
        self.engine, self.registry, self.partitions, self._publish = engine, registry, partitions, publish
        self._fresh: deque[int] = deque(maxlen=FRESH_MAX)
        self._again: dict[int, Due] = {}
        self._asked: dict[int, Due] = {}
        self._round_after = 0

    def start_over(self) -> None:
        """Everything is due."""
        self._again.clear()
        self._asked.clear()
        self._round_after = 0

    def taken(self, number: int) -> None:
        self._again.pop(number, None)

    def offer(self, numbers: Iterable[int]) -> None:
        """These go next."""
        for number in numbers:
            self._again.pop(number, None)
            if number not in self._fresh:
                self._fresh.append(number)

    def step(self, moment: Moment) -> bool:
        busy = False
        while self._fresh:
            number = self._fresh.popleft()
            if not self._verdict(number, moment):
                self._fresh.appendleft(number)
                return busy
            busy = True
        with store.transaction(self.engine) as c:
            numbers = store.untaken(c, self.partitions, self._round_after, ROUND_ROWS)
        for number in numbers:
            if moment.mono >= self._again.get(number, (0.0, 0.0))[0]:
                if not self._verdict(number, moment):
                    return busy
                busy = True
            self._round_after = number
        if len(numbers) < ROUND_ROWS:
            self._round_after = 0
        return self._requests(moment) or busy

    def _verdict(self, number: int, moment: Moment) -> bool:
        """Whether there is no more to do for this verdict now: it was handed over, or it was taken meanwhile."""
        with store.transaction(self.engine) as c:
            row = store.untaken_verdict(c, number)
            if row is None:
                self._again.pop(number, None)
                return True
            device = self.registry.device(row.device_id)
            if device is not None and not sealed_for(row.letter, device):
                letter = verdict_letter(self.registry.own[0], device, row.case_id, row.rev, row.body)
                store.keep_letter(c, number, letter)
            else:
                letter = row.letter
        if device is not None:
            told = Delivery(case_id=row.case_id, rev=row.rev, letter=base64.b64encode(letter).decode())
            if not self._publish(row.device_id, "verdict", told, ("verdict", number)):
                return False
        _wait(self._again, number, moment)
        return True

    def _requests(self, moment: Moment) -> bool:
        with store.transaction(self.engine) as c:
            rows = freight.open_requests(c, self.partitions, moment.wall - REQUEST_FOR_S, ROUND_ROWS)
        busy = False
        for row in rows:
            if moment.mono >= self._asked.get(row.id, (0.0, 0.0))[0]:
                told = Request(case_id=row.case_id, tier=2)
                if not self._publish(row.device_id, "request", told, ("request", row.id)):
                    return busy
                _wait(self._asked, row.id, moment)
                busy = True
        return busy


def _wait(timers: dict[int, Due], number: int, moment: Moment) -> None:
    if len(timers) >= TIMERS_MAX:
        timers.clear()
    wait_s = min(max(timers.get(number, (0.0, 0.0))[1] * 2, RESEND_MIN_S), RESEND_MAX_S)
    timers[number] = (moment.mono + wait_s, wait_s)


def verdict_letter(own: PrivateKeys, device: DeviceKeys, case_id: str, rev: int, body: bytes) -> bytes:
    """A verdict sealed for the device's triage; kept, because sealing it again makes another letter."""
    place = verdict_place(device.device_id, case_id, rev)
    return sealed(body, place=place, sender=own, recipient=device.triage)


def sealed_for(letter: bytes | None, device: DeviceKeys) -> bool:
    """Whether the device, as it is enrolled now, can open this letter."""
    start = len(MAGIC) + 16
    return letter is not None and letter[start : start + 16].hex() == device.triage.sealing_id
