"""The centre's service: cases in with a receipt, one at a time to the language model, verdicts out until taken.

Three steps, each idempotent and safe to kill anywhere. What came is committed before the broker is told, and an
attempt is counted before it is made. All that is owed to an edge is derived from the store: a duplicate, a roll call
or a restart brings it out again, so nothing is lost, and unique keys see that nothing counts twice. `ask` may run in
a thread of its own, so that a slow model delays no receipt. It never decides what a patient has: a verdict is a draft.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.core.case import Case, Receipt, Refusal, Roll, Standing, Taken, Verdict, decode_case, topic_down
from appliance.core.document import encode
from appliance.core.link import Acknowledged, Down, Message, Up, Wire
from appliance.errors import Fault, Quarantined, Unavailable
from appliance.loop import LOG, Moment, Step, guarded
from central import store
from central.guard import unread, verdict_on
from central.inbound import Inbound, read
from central.question import Answered, Question, question

CLIENT_ID = "centre"
SUBSCRIPTIONS = ("edge/1/up/+/case", "edge/1/up/+/taken", "edge/1/up/+/roll")
HEARD_MAX = 256  # messages taken from the link and not yet committed
REPLIES_MAX = 4096  # receipts, refusals and standings waiting for the window; an edge that misses one asks again
FRESH_MAX = 4096  # verdicts that go before the round of those sent before
ROUND_ROWS = 200  # verdicts looked at in one step
TIMERS_MAX = 100_000
RESEND_MIN_S = 30.0
RESEND_MAX_S = 900.0
ATTEMPTS_MAX = 3
PAUSE_MIN_S = 2.0  # before the model is asked again when its server is away
PAUSE_MAX_S = 60.0
WORDS = {"received": "received", "asked": "received", "answered": "answered", "refused": "refused"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One message owed to an edge. Equal (topic, subject) means that the later one replaces the earlier."""

    topic: str
    subject: str
    payload: bytes


class Worker:
    """The service.

    link   appliance.world.mqtt.Link with CLIENT_ID and SUBSCRIPTIONS, or anything of its shape
    model  the name the endpoint knows its model by; part of every job's name
    images the model takes images: it is shown the key images of a case
    ask    puts one question: llm.Endpoint.ask
    wake   set when another thread's step has something to say
    """

    def __init__(
        self,
        engine: Engine,
        link: Wire,
        *,
        model: str,
        ask: Callable[[Question], Answered],
        wake: threading.Event,
        images: bool = False,
    ) -> None:
        self.engine, self.link, self.model, self.images, self.wake = engine, link, model, images, wake
        self._ask = ask
        self._ask_due, self._pause_s = 0.0, 0.0
        self._heard: deque[Message] = deque()
        self._replies: dict[tuple[str, str], bytes] = {}  # in order of arrival
        self._fresh: deque[int] = deque(maxlen=FRESH_MAX)
        self._again: dict[int, tuple[float, float]] = {}  # verdict: due again (s, monotonic), after which wait
        self._round_after = 0

    def steps(self) -> dict[str, Step]:
        """All steps, in the order in which one loop would run them."""
        return {**self.wire_steps(), **self.ask_steps()}

    def wire_steps(self) -> dict[str, Step]:
        """The steps that own the link: one thread."""
        return {"centre.listen": self.listen, "centre.speak": self.speak}

    def ask_steps(self) -> dict[str, Step]:
        """The step that waits for the language model: the same thread or another."""
        return {"centre.ask": self.ask}

    # In.

    def listen(self, moment: Moment) -> bool:
        """Takes what came: read as a stranger's, commit, then acknowledge, then answer."""
        if len(self._heard) < HEARD_MAX:
            for event in self.link.poll():
                match event:
                    case Message():
                        self._heard.append(event)
                    case Up():
                        # Whatever was on its way may be gone with the old connection.
                        self._again.clear()
                        self._round_after = 0
                    case Acknowledged() | Down():
                        pass  # the broker's word is no receipt: timers go on
        if not self._heard:
            return False
        messages = list(self._heard)
        inbound = [guarded("centre.read", partial(read, message.topic, message.payload)) for message in messages]
        with store.transaction(self.engine) as c:
            replies = [
                reply
                for message, each in zip(messages, inbound, strict=True)
                for reply in self._file(c, message, each, moment.wall)
            ]
        self._heard.clear()
        for message in messages:
            self.link.ack(message)
        self._owe(replies)
        self._say_replies()
        return True

    def _file(self, c: Connection, message: Message, inbound: Inbound | Fault, at: float) -> list[Reply]:
        if isinstance(inbound, Fault):
            store.put_aside(c, "", "unknown", inbound.code, message.payload, keep_body=False, at=at)
            return []
        document = inbound.document
        if isinstance(document, Taken):
            number = store.take_verdict(c, inbound.device_id, document.case_id, document.rev, at)
            if number is not None:
                self._again.pop(number, None)
            return []
        if isinstance(document, Roll):
            return self._answer_roll(c, inbound.device_id, document)
        if inbound.code and not (inbound.code == "case-identity" and inbound.case_id):
            store.put_aside(
                c, inbound.device_id, inbound.kind, inbound.code, message.payload, keep_body=not inbound.identity, at=at
            )
        return self._file_case(c, inbound, message.payload, at) if inbound.case_id else []

    def _file_case(self, c: Connection, inbound: Inbound, payload: bytes, at: float) -> list[Reply]:
        case = inbound.document
        row, new = store.file_case(
            c,
            inbound.device_id,
            inbound.case_id,
            part_sha256=inbound.sha256,
            body=payload if isinstance(case, Case) else None,
            urgency=case.urgency if isinstance(case, Case) else None,
            code=inbound.code,
            at=at,
        )
        if new and row.code:
            LOG.warning("centre: a case is refused: %s", row.code)
        if row.part_sha256 == inbound.sha256:
            return self._replies_for(c, inbound.device_id, row)
        LOG.warning("centre: other bytes under a known case id")
        keep_body = not inbound.identity
        store.put_aside(c, inbound.device_id, "case", "case-conflict", payload, keep_body=keep_body, at=at)
        return [_refusal(inbound.device_id, inbound.case_id, "case-conflict")]

    def _answer_roll(self, c: Connection, device_id: str, roll: Roll) -> list[Reply]:
        """One word for every case asked about, and once more whatever the edge seems to have missed."""
        known = store.cases_of(c, device_id, roll.case_ids)
        words: Any = {each: WORDS[known[each].state] if each in known else "unknown" for each in roll.case_ids}
        standing = Reply(topic_down(device_id, "standing"), "", encode(Standing(cases=words)))
        return [standing, *(reply for row in known.values() for reply in self._replies_for(c, device_id, row))]

    def _replies_for(self, c: Connection, device_id: str, row: Row[Any]) -> list[Reply]:
        """What an edge that asks about this case is owed, from its state alone."""
        if row.state == "refused":
            return [_refusal(device_id, row.case_id, row.code)]
        if row.state == "answered":
            for number in store.offer_again(c, row.id):
                self._again.pop(number, None)
                if number not in self._fresh:
                    self._fresh.append(number)
        receipt = Receipt(case_id=row.case_id, part_sha256=row.part_sha256)
        return [Reply(topic_down(device_id, "receipt"), row.case_id, encode(receipt))]

    # Through.

    def ask(self, moment: Moment) -> bool:
        """Asks the language model about the most urgent case, and files a verdict whatever comes of it.

        While its server is away the cases wait here, all but the one that is tried; that one ends as `needs_human`
        when its attempts are spent, so that a broken case can hold up no other.
        """
        if moment.mono < self._ask_due:
            return False
        with store.transaction(self.engine) as c:
            row = store.next_case(c)
        if row is None:
            return False
        asked = guarded("centre.ask", partial(_question_of, row, self.model, self.images))
        if isinstance(asked, Fault):
            self._conclude(row, "", unread(row.case_id, row.urgency, asked.code, self.model), moment)
            return True
        case, put = asked
        with store.transaction(self.engine) as c:
            attempts = store.count_ask(c, row.id, put.sha256, moment.wall)
        if attempts > ATTEMPTS_MAX:  # the last one ended the service itself
            verdict: Verdict | Fault = Quarantined("llm-attempts-spent")
        else:
            verdict = guarded("centre.ask", lambda: verdict_on(case, self._ask(put), put.images))
            self._pause(moment, away=isinstance(verdict, Unavailable))
        if isinstance(verdict, Unavailable):
            if attempts < ATTEMPTS_MAX:
                return False
            verdict = Quarantined("llm-attempts-spent")
        if isinstance(verdict, Fault):
            connected = verdict.code == "llm-answer-invalid"
            verdict = unread(case.case_id, case.urgency, verdict.code, self.model, connected=connected)
        self._conclude(row, put.sha256, verdict, moment)
        return True

    def _pause(self, moment: Moment, *, away: bool) -> None:
        """Asks nobody for a while, twice as long each time, until the server answers again."""
        self._pause_s = min(max(self._pause_s * 2, PAUSE_MIN_S), PAUSE_MAX_S) if away else 0.0
        self._ask_due = moment.mono + self._pause_s

    def _conclude(self, row: Row[Any], request_hash: str, verdict: Verdict, moment: Moment) -> None:
        with store.transaction(self.engine) as c:
            number = store.file_verdict(
                c,
                row.id,
                rev=verdict.rev,
                request_hash=request_hash,
                status=verdict.status,
                body=encode(verdict),
                at=moment.wall,
            )
        if number is not None:
            self._fresh.append(number)
            self.wake.set()

    # Out.

    def speak(self, moment: Moment) -> bool:
        """Sends what is owed: replies, then new verdicts, then a round of those sent before and not yet taken."""
        if not self.link.connected:
            return False
        busy = self._say_replies()
        while self._fresh:
            number = self._fresh.popleft()
            if not self._say_verdict(number, moment):
                self._fresh.appendleft(number)
                return busy
            busy = True
        with store.transaction(self.engine) as c:
            numbers = store.untaken(c, self._round_after, ROUND_ROWS)
        for number in numbers:
            due = self._again.get(number, (0.0, 0.0))[0]
            if moment.mono >= due:
                if not self._say_verdict(number, moment):
                    return busy
                busy = True
            self._round_after = number
        if len(numbers) < ROUND_ROWS:
            self._round_after = 0
        return busy

    def _say_verdict(self, number: int, moment: Moment) -> bool:
        """Whether there is no more to do for this verdict now: it was handed over, or it was taken meanwhile."""
        with store.transaction(self.engine) as c:
            row = store.untaken_verdict(c, number)
        if row is None:
            self._again.pop(number, None)
            return True
        if not self.link.publish(topic_down(row.device_id, "verdict"), row.body, token=("verdict", number)):
            return False
        if len(self._again) >= TIMERS_MAX:
            self._again.clear()
        wait_s = min(max(self._again.get(number, (0.0, 0.0))[1] * 2, RESEND_MIN_S), RESEND_MAX_S)
        self._again[number] = (moment.mono + wait_s, wait_s)
        return True

    def _owe(self, replies: list[Reply]) -> None:
        for reply in replies:
            self._replies.pop((reply.topic, reply.subject), None)
            self._replies[reply.topic, reply.subject] = reply.payload
        while len(self._replies) > REPLIES_MAX:
            del self._replies[next(iter(self._replies))]

    def _say_replies(self) -> bool:
        said = False
        while self._replies:
            key, payload = next(iter(self._replies.items()))
            if not self.link.publish(key[0], payload, token=key):
                break
            del self._replies[key]
            said = True
        return said


def _refusal(device_id: str, case_id: str, code: str) -> Reply:
    return Reply(topic_down(device_id, "refusal"), case_id, encode(Refusal(case_id=case_id, code=code)))


def _question_of(row: Row[Any], model: str, images: bool) -> tuple[Case, Question]:
    """The case in the store, read strictly again: it may have been written by another version."""
    if row.body is None:
        raise Quarantined("message-invalid", "Case")
    case = decode_case(row.body)
    return case, question(case, model, images)
