"""One share of the wire: messages of its devices in, receipts, what we have, standings, verdicts and requests out.

Two steps, each idempotent and safe to kill anywhere. What came is on the disk and committed before the broker is told.
All that is owed to an edge is derived from the store: a duplicate, a roll call or a restart brings it out again, so
nothing is lost, and unique keys see that nothing counts twice, even when two workers hold one share for a while.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine

from appliance.core.correction import Correction
from appliance.core.document import Document, encode
from appliance.core.letter import sealed
from appliance.core.link import Message, Up, Wire
from appliance.core.messages import DownKind, Gone, Roll, Standing, Status, Taken, topic_down
from appliance.errors import Fault
from appliance.loop import FAULTS, LOG, Moment, Step, guarded
from central import store
from central.answers import Answer, case_answer, ended_answer, have, refusal
from central.corrections import answer_of, take
from central.inbound import Inbound, Keyring, read
from central.intake import Batch, Intake, Key
from central.registry import Registry
from central.store import freight, lives
from central.telling import Telling

HEARD_MAX = 256  # messages taken from one connection and not yet committed
OWED_MAX = 4096  # answers waiting for the window of one connection; an edge that misses one asks again
HAVE_EVERY_PARTS = 16
HAVE_EVERY_S = 2.0
PROGRESS_MAX = 10_000
DEVICES_MAX = 100_000
HEARD_EVERY_S = 60.0  # how exactly the store knows when a device was last heard
WORDS = {"received": "received", "asked": "received", "answered": "answered", "refused": "refused"}


@dataclass(slots=True)
class Line:
    """The connection to one broker, what was heard on it, and what is owed on it, in order."""

    link: Wire
    heard: deque[Message] = field(default_factory=deque)
    owed: dict[tuple[str, DownKind, str], Document] = field(default_factory=dict)


@dataclass(slots=True)
class Progress:
    """An open transfer whose sender waits to hear what we have: since when (s, monotonic), after how many new parts."""

    line: Line
    have: int
    since: float
    parts: int


class Exchange:
    """The wire of one share.

    links       one to each broker, under the share's own client id; or anything of their shape
    partitions  whose devices' verdicts and requests are ours to send
    fence       within a transaction: whether this share is still ours, so that what was heard may be filed
    """

    def __init__(
        self,
        engine: Engine,
        intake: Intake,
        registry: Registry,
        links: Sequence[Wire],
        partitions: Collection[int],
        wake: threading.Event,
        *,
        fence: Callable[[Connection], bool] = lambda _: True,
    ) -> None:
        self.engine, self.intake, self.registry, self.wake = engine, intake, registry, wake
        self.fence = fence
        self.keyring = Keyring(registry.own, registry.device)
        self.lines = [Line(link) for link in links]
        self._where: OrderedDict[str, Line] = OrderedDict()  # on which connection a device was heard last
        self._noted: dict[str, float] = {}  # when the store was told that it was (s, monotonic)
        self._progress: dict[Key, Progress] = {}
        self._unknown: dict[Key, float] = {}  # when its sender was last told that we do not know it (s, monotonic)
        self.telling = Telling(engine, registry, partitions, self._publish)

    def steps(self) -> dict[str, Step]:
        return {"centre.listen": self.listen, "centre.speak": self.speak}

    # In.

    def listen(self, moment: Moment) -> bool:
        """Takes what came on every connection."""
        busy = False
        for line in self.lines:
            busy |= self._listen(line, moment)
        return busy

    def _listen(self, line: Line, moment: Moment) -> bool:
        if len(line.heard) < HEARD_MAX:
            for event in line.link.poll():
                if isinstance(event, Message):
                    line.heard.append(event)
                elif isinstance(event, Up):
                    self.telling.start_over()  # whatever was on its way may be gone with the old connection
        if not line.heard:
            return False
        messages = list(line.heard)
        heard = [self._read(message) for message in messages]
        batch = self.intake.prepare(heard)
        with store.transaction(self.engine) as c:
            if not self.fence(c):  # another worker holds this share by now, and is handed what we do not acknowledge
                return False
            self.intake.commit(c, batch, moment.wall)
            for place, (message, each) in enumerate(zip(messages, heard, strict=True)):
                self._file(c, batch, message, each, batch.aside.get(place, each.code), moment.wall)
            known = self._newly_heard(heard, line, moment)
            store.heard_of(c, known, moment.wall)
        line.heard.clear()
        for message in messages:
            line.link.ack(message)
        self.intake.clear(batch, moment.mono)
        self._noted.update(dict.fromkeys(known, moment.mono))
        self._follow(batch, line, moment)
        if batch.new_case:
            self.wake.set()
        self._say_owed(line)
        return True

    def _read(self, message: Message) -> Inbound:
        found = guarded("centre.read", partial(read, message.topic, message.payload, self.keyring))
        return Inbound("", "unknown", found.code, None) if isinstance(found, Fault) else found

    def _file(self, c: Connection, batch: Batch, message: Message, heard: Inbound, code: str, at: float) -> None:
        """One message that is no transfer, or is not believed."""
        if isinstance(heard.said, Correction):
            answer, code = take(c, heard.device_id, heard.said, message.payload, at)
            batch.answers.append(answer)
        match heard.newer:
            case (str(case_id), str(transfer_id)):
                batch.answers.append(refusal(heard.device_id, case_id, transfer_id, code))
            case (str(key), int(rev)):
                batch.answers.append(answer_of(heard.device_id, key, rev, message.payload, code))
        if code:
            FAULTS[code] += 1
            store.put_aside(c, heard.device_id, heard.kind, code, message.payload, keep_body=False, at=at)
        match heard.said:
            case Taken(case_id=case_id, rev=rev):
                number = store.take_verdict(c, heard.device_id, case_id, rev, at)
                if number is not None:
                    self.telling.taken(number)
            case Roll():
                batch.answers += self._roll(c, heard.device_id, heard.said)
            case Status() | Gone():
                self._life(c, heard.device_id, heard.said, at)

    def _life(self, c: Connection, device_id: str, said: Status | Gone, at: float) -> None:
        """A sign of life, or of its end. A copy or an old one changes nothing; a broker may bring such at any time."""
        device = self.registry.device(device_id)
        if device is None:
            return
        key_id = device.uplink.signing_id
        if isinstance(said, Status):
            lives.file_status(c, device_id, key_id, said, at)
        else:
            lives.file_gone(c, device_id, key_id, said.life, at)

    def _roll(self, c: Connection, device_id: str, roll: Roll) -> list[Answer]:
        """One word for every case, and once more whatever the edge seems to have missed."""
        known = store.cases_of(c, device_id, roll.case_ids)
        words: Any = {each: WORDS[known[each].state] if each in known else "unknown" for each in roll.case_ids}
        answers = [Answer(device_id, "standing", roll.nonce, Standing(nonce=roll.nonce, cases=words))]
        for row in known.values():
            if row.state == "answered":
                self.telling.offer(store.offer_again(c, row.id))
            answers.append(case_answer(device_id, row, row.transfer_id))
        rows = freight.transfers_named(c, [(device_id, each) for each in roll.transfer_ids])
        ended = store.cases_of(c, device_id, {row.case_id for row in rows.values()})
        for transfer_id in roll.transfer_ids:
            known_transfer = rows.get((device_id, transfer_id))
            if known_transfer is None:
                answers.append(have(device_id, transfer_id, None))
            elif known_transfer.state == "open":
                answers.append(have(device_id, transfer_id, int(known_transfer.have, 16)))
            else:
                answers.append(ended_answer(device_id, known_transfer, ended.get(known_transfer.case_id)))
        return answers

    def _newly_heard(self, heard: Sequence[Inbound], line: Line, moment: Moment) -> set[str]:
        """Devices believed in this batch whose last time the store does not know well enough."""
        if len(self._noted) > DEVICES_MAX:
            self._noted.clear()
        known = {each.device_id for each in heard if each.said is not None}
        for device_id in known:
            self._where[device_id] = line
            self._where.move_to_end(device_id)
        while len(self._where) > DEVICES_MAX:
            self._where.popitem(last=False)
        return {each for each in known if moment.mono - self._noted.get(each, -HEARD_EVERY_S) >= HEARD_EVERY_S}

    def _follow(self, batch: Batch, line: Line, moment: Moment) -> None:
        """After the commit: what is owed now, and what will be while parts go on coming."""
        for key, (parts, held) in batch.open.items():
            known = self._progress.get(key)
            before = 0 if known is None else known.parts
            since = moment.mono if known is None else known.since
            self._progress[key] = Progress(line, held, since, before + parts)
        if len(self._progress) > PROGRESS_MAX or len(self._unknown) > PROGRESS_MAX:
            self._progress.clear()
            self._unknown.clear()
        for answer in batch.answers:
            key = (answer.device_id, answer.subject)
            if answer.kind == "have" and answer.document == have(*key, None).document:
                if moment.mono - self._unknown.get(key, -HAVE_EVERY_S) < HAVE_EVERY_S:
                    continue
                self._unknown[key] = moment.mono
            self._progress.pop(key, None)
            self._owe(line, answer)

    def _owe(self, line: Line, answer: Answer) -> None:
        name = (answer.device_id, answer.kind, answer.subject)
        line.owed.pop(name, None)
        line.owed[name] = answer.document
        while len(line.owed) > OWED_MAX:
            del line.owed[next(iter(line.owed))]

    # Out.

    def speak(self, moment: Moment) -> bool:
        """Sends what is owed: answers, then what we have of open transfers, then verdicts and requests."""
        for key, each in list(self._progress.items()):
            if each.parts >= HAVE_EVERY_PARTS or moment.mono - each.since >= HAVE_EVERY_S:
                del self._progress[key]
                self._owe(each.line, have(*key, each.have))
        busy = False
        for line in self.lines:
            busy |= self._say_owed(line)
        if any(line.link.connected for line in self.lines):
            busy |= self.telling.step(moment)
        return busy

    def _say_owed(self, line: Line) -> bool:
        said = False
        while line.owed:
            name, document = next(iter(line.owed.items()))
            if not self._say(line, name[0], name[1], document, name):
                break
            del line.owed[name]
            said = True
        return said

    def _publish(self, device_id: str, kind: DownKind, document: Document, token: Any) -> bool:
        """One document to a device, where it was heard last, else on every connection; False to try again later."""
        known = self._where.get(device_id)
        lines = [known] if known is not None and known.link.connected else self.lines
        said = [self._say(line, device_id, kind, document, token) for line in lines if line.link.connected]
        return any(said)

    def _say(self, line: Line, device_id: str, kind: DownKind, document: Document, token: Any) -> bool:
        if not line.link.connected:
            return False
        device = self.registry.device(device_id)
        if device is None:
            LOG.info("centre: nothing is said to a device that is not enrolled any more")
            return True
        topic = topic_down(device_id, kind)
        letter = sealed(encode(document), place=topic, sender=self.registry.own[0], recipient=device.uplink)
        return line.link.publish(topic, letter, token=token)
