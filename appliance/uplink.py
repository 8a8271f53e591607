"""Uplink: sealed cases out, answers in; the only service that dials the centre.

It reads wire/cases.db and wire/parts/ and writes wire/link.db. It never opens phi/: a captured uplink learns what
leaves anyway and can change nothing that triage would believe unread. A case is safe only when the centre's own
receipt names the digest of its bytes; what the broker acknowledges proves nothing and only opens the window.

Every step may be killed anywhere: a sending is counted before it is made, an answer is committed before it is
acknowledged, and all timers start from nothing, so that after a restart everything without a receipt is due at once.
"""

import hashlib
import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, Engine

from appliance.config import Config, Places
from appliance.core.case import (
    ROLL_MAX,
    DownKind,
    Receipt,
    Refusal,
    Roll,
    Standing,
    Taken,
    Verdict,
    topic_down,
    topic_up,
)
from appliance.core.command import Command
from appliance.core.document import Document, decode, encode
from appliance.core.link import NO_SUBSCRIBERS, Acknowledged, Down, Message, Up, Wire
from appliance.errors import Fault, Quarantined
from appliance.loop import FAULTS, LOG, Moment, Step, guarded
from appliance.world import mqtt, sqlite, wire

ROLL_PERIOD_S = 300.0
LOOK_PERIOD_S = 2.0  # between two looks at all open cases when nothing was due, put or heard
IN_FLIGHT_MAX = mqtt.OUTSTANDING_MAX - 4  # cases; the rest of the connection's window is for `taken` and the roll
JITTER = (0.75, 1.25)  # of a wait between two sendings: cases that failed together do not come back together
TAKEN_MAX = 1000  # verdicts whose `taken` waits for the window; beyond that the centre asks again by itself

DOCUMENTS: dict[DownKind, type[Document]] = {
    "receipt": Receipt,
    "refusal": Refusal,
    "verdict": Verdict,
    "standing": Standing,
    "command": Command,
}


@dataclass(frozen=True, slots=True)
class _Waiting:
    """When a case without a receipt is due again (s, monotonic), after which wait, and when it was last sent."""

    due: float
    wait_s: float
    sent: float


def dial(config: Config, wake: threading.Event) -> mqtt.Link:
    """The connection uplink uses: its own topics, under the device's name. The caller starts and stops it."""
    network, device = config.network, config.site.device_id
    topics = [topic_down(device, kind) for kind in DOCUMENTS]
    timing = (network.keepalive_s, network.session_expiry_s)
    return mqtt.Link(network.broker_host, network.broker_port, device, topics, *timing, wake)


class Uplink:
    """The service. randomness spreads resends in time; the link's thread is not its business."""

    def __init__(self, config: Config, places: Places, link: Wire, randomness: random.Random | None = None) -> None:
        self.network, self.device = config.network, config.site.device_id
        self.places, self.link = places, link
        self.randomness = randomness or random.SystemRandom()
        places.wire.mkdir(parents=True, exist_ok=True)
        self.ledger = sqlite.open_writer(places.link_db, wire.LINK)
        self._cases: Engine | None = None
        self._kinds = {topic_down(self.device, kind): kind for kind in DOCUMENTS}
        self._waiting: dict[str, _Waiting] = {}
        self._in_flight: dict[str, int] = {}  # bytes by case id, until the broker answers
        self._taken: dict[tuple[str, int], None] = {}  # in order; said when the window has room
        self._looked_at, self._look_again = 0, 0.0
        self._roll_due, self._roll_sent, self._roll_after = 0.0, 0.0, ""

    def steps(self) -> dict[str, Step]:
        return {"uplink.listen": self.listen, "uplink.roll_call": self.roll_call, "uplink.send": self.send}

    # In: what the connection says.

    def listen(self, moment: Moment) -> bool:
        """Takes what came: parse strictly, commit, then acknowledge, then say `taken`."""
        heard = self.link.poll()
        if heard:
            self._look_again = 0.0
        messages = []
        for event in heard:
            match event:
                case Message():
                    messages.append(event)
                case Acknowledged(token, reason):
                    self._in_flight.pop(str(token), None)
                    if not event.sent:
                        FAULTS["centre-silent" if reason == NO_SUBSCRIBERS else "publish-refused"] += 1
                        LOG.info("uplink.listen: not sent, reason code 0x%02x", reason)
                case Up():
                    self._in_flight.clear()
                    self._roll_due = moment.mono
                case Down():
                    self._in_flight.clear()
                    FAULTS["broker-away"] += 1
                    LOG.warning("uplink.listen: broker-away")
        if messages:
            self._keep(messages, moment)
        said = self._say_taken()
        return bool(heard) or said

    def _keep(self, messages: Sequence[Message], moment: Moment) -> None:
        """Commits a batch in one transaction and acknowledges it after that: a crash between has it come again."""
        read = [(message, self._read(message)) for message in messages]
        known = self._digests(read)
        with self.ledger.begin() as c:
            for message, document in read:
                if isinstance(document, Fault):
                    code = document.code  # counted where it was read
                else:
                    code = self._believe(c, document, known, moment)
                    FAULTS.update([code] if code else [])
                if code:
                    LOG.warning("uplink.listen: a message is kept aside: %s", code)
                    wire.record_reject(c, self._kinds.get(message.topic, "?"), code, message.payload, moment.wall)
        for message, _ in read:
            self.link.ack(message)

    def _read(self, message: Message) -> Document | Fault:
        kind = self._kinds.get(message.topic)
        if kind is None:
            return Quarantined("message-invalid", "topic")
        return guarded("uplink.listen", lambda: decode(DOCUMENTS[kind], message.payload))

    def _digests(self, read: Iterable[tuple[Message, Document | Fault]]) -> dict[str, str]:
        """The part digests of the cases these documents speak of, as far as triage has made such cases."""
        named: set[str] = set()
        for _, document in read:
            if isinstance(document, Standing):
                named.update(document.cases)
            elif isinstance(document, Receipt | Refusal | Verdict):
                named.add(document.case_id)
        cases = self._cases_engine()
        if cases is None or not named:
            return {}
        with cases.connect() as c:
            return wire.part_digests(c, named)

    def _believe(self, c: Connection, document: Document, known: Mapping[str, str], moment: Moment) -> str:
        """Files one well-formed document; returns "" or the code under which it is kept aside instead."""
        at = moment.wall
        match document:
            case Command():
                wire.record_command(c, document, at)  # whose it is, triage finds out
            case Standing(cases=words):
                ours = {case_id: word for case_id, word in words.items() if case_id in known}
                wire.record_standing(c, ours, at)
                self._hasten(ours, moment)
            case Receipt(case_id=case_id) | Refusal(case_id=case_id) | Verdict(case_id=case_id) if case_id not in known:
                return "message-unasked"
            case Receipt(case_id=case_id, part_sha256=digest):
                if digest != known[case_id]:
                    return "receipt-mismatch"
                return "" if wire.record_receipt(c, case_id, at) else "message-contradicts"
            case Refusal(case_id=case_id, code=code):
                FAULTS["case-refused"] += 1
                return "" if wire.record_refusal(c, case_id, code) else "message-contradicts"
            case Verdict(case_id=case_id, rev=rev):
                if wire.record_verdict(c, document, at) in ("conflict", "refused"):
                    return "message-contradicts"
                self._taken[case_id, rev] = None
        return ""

    def _hasten(self, words: Mapping[str, str], moment: Moment) -> None:
        """What the centre does not know although it was sent before we asked, was lost on the way: due now."""
        for case_id, word in words.items():
            waiting = self._waiting.get(case_id)
            if word == "unknown" and waiting is not None and waiting.sent < self._roll_sent:
                self._waiting[case_id] = _Waiting(moment.mono, waiting.wait_s, waiting.sent)

    def _say_taken(self) -> bool:
        """Tells the centre which verdicts are safe here; runs after their commit. Lost, it is asked for again."""
        said = False
        while len(self._taken) > TAKEN_MAX:
            del self._taken[next(iter(self._taken))]
        for case_id, rev in list(self._taken):
            taken = encode(Taken(case_id=case_id, rev=rev))
            if not self.link.publish(topic_up(self.device, "taken"), taken, token="taken"):  # noqa: S106
                break
            del self._taken[case_id, rev]
            said = True
        return said

    # Out: the roll call and the cases.

    def roll_call(self, moment: Moment) -> bool:
        """Asks how open cases stand at the centre: on every connect and every few minutes, a page at a time."""
        cases = self._cases_engine()
        if moment.mono < self._roll_due or cases is None or not self.link.connected:
            return False
        with cases.connect() as c:
            page = wire.open_case_ids(c, self._roll_after, ROLL_MAX)
        if page:
            roll = encode(Roll(case_ids=tuple(page)))
            if not self.link.publish(topic_up(self.device, "roll"), roll, token="roll"):  # noqa: S106
                return False
            self._roll_sent = moment.mono
        if page or not self._roll_after:  # an empty page after others: the round begins again at once
            self._roll_due = moment.mono + ROLL_PERIOD_S
        self._roll_after = page[-1] if len(page) == ROLL_MAX else ""
        return bool(page)

    def send(self, moment: Moment) -> bool:
        """Sends what is due, the most urgent first, within the window of bytes the broker has not answered yet."""
        cases = self._cases_engine()
        if cases is None or not self.link.connected or len(self._in_flight) >= IN_FLIGHT_MAX:
            return False
        batch = self._due(cases, moment)
        if not batch:
            return False
        with self.ledger.begin() as c:
            for case_id, data in batch:
                if isinstance(data, Fault):
                    wire.record_unsendable(c, case_id, data.code)
                    longest_s = self.network.resend_after_max_s
                    self._waiting[case_id] = _Waiting(moment.mono + longest_s, longest_s, moment.mono)
                else:
                    wire.record_sent(c, case_id, moment.wall)
        said = [self._publish(case_id, data, moment) for case_id, data in batch if not isinstance(data, Fault)]
        return any(said)

    def _due(self, cases: Engine, moment: Moment) -> list[tuple[str, bytes | Fault]]:
        """The cases to send now and their bytes; reads no further than the window reaches.

        After a look at all of them in vain, it looks again when a case is put, anything is heard or time has passed.
        """
        batch: list[tuple[str, bytes | Fault]] = []
        with cases.connect() as c, self.ledger.connect() as own:
            newest = wire.newest_row(c)
            due = min((waiting.due for waiting in self._waiting.values()), default=self._look_again)
            if newest == self._looked_at and moment.mono < min(due, self._look_again):
                return batch
            unsettled: set[str] = set()
            for row in wire.unsettled_cases(c, own):
                unsettled.add(row.case_id)
                if row.case_id in self._in_flight or not self._is_due(row.case_id, moment):
                    continue
                if not self._fits(batch, row.part_bytes):
                    return batch
                batch.append((row.case_id, guarded("uplink.send", partial(self._part, row.part_sha256))))
        self._waiting = {case_id: waiting for case_id, waiting in self._waiting.items() if case_id in unsettled}
        self._looked_at, self._look_again = newest, moment.mono + LOOK_PERIOD_S
        return batch

    def _fits(self, batch: Sequence[tuple[str, bytes | Fault]], part_bytes: int) -> bool:
        """Whether one more case fits into the window; one that is larger than all of it goes alone."""
        sizes = [len(part) for _, part in batch if not isinstance(part, Fault)] + list(self._in_flight.values())
        full = len(batch) + len(self._in_flight) >= IN_FLIGHT_MAX
        return not full and (not sizes or sum(sizes) + part_bytes <= self.network.in_flight_bytes)

    def _is_due(self, case_id: str, moment: Moment) -> bool:
        waiting = self._waiting.get(case_id)
        return waiting is None or moment.mono >= waiting.due

    def _part(self, sha256: str) -> bytes:
        """The sealed bytes, whole. Raises Quarantined("part-damaged") when they are not what was sealed."""
        try:
            data = (self.places.parts / sha256).read_bytes()
        except FileNotFoundError:
            raise Quarantined("part-damaged") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Quarantined("part-damaged")
        return data

    def _publish(self, case_id: str, data: bytes, moment: Moment) -> bool:
        if not self.link.publish(topic_up(self.device, "case"), data, token=case_id):
            return False  # counted and still due: the window was full or the connection went
        self._in_flight[case_id] = len(data)
        before = self._waiting.get(case_id)
        first_s, longest_s = self.network.resend_after_s, self.network.resend_after_max_s
        wait_s = min(before.wait_s * 2 if before else first_s, max(first_s, longest_s))
        due = moment.mono + wait_s * self.randomness.uniform(*JITTER)
        self._waiting[case_id] = _Waiting(due, wait_s, moment.mono)
        return True

    def _cases_engine(self) -> Engine | None:
        """Triage's mailbox, query-only; None until triage has made it."""
        if self._cases is None and self.places.cases_db.exists():
            engine = sqlite.open_reader(self.places.cases_db)
            with engine.connect() as c:
                made = wire.is_made(c, wire.CASES)
            if made:
                self._cases = engine
            else:
                engine.dispose()
        return self._cases

    def close(self) -> None:
        """Lets go of both databases; the connection is its owner's."""
        self.ledger.dispose()
        if self._cases is not None:
            self._cases.dispose()
