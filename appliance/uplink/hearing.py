"""What uplink hears: letters of the centre, each read strictly, committed, then acknowledged.

Nothing here is believed because it came: a letter must bear the centre's signature and be for this device and this
kind, a receipt must name a transfer that triage made and the digest of its bytes, a standing the nonce of its roll.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Row

from appliance.core.command import Command
from appliance.core.document import Document, decode
from appliance.core.keys import CentreKeys, PrivateKeys
from appliance.core.letter import opened
from appliance.core.link import NO_SUBSCRIBERS, Acknowledged, Down, Message, Up, Wire
from appliance.core.messages import (
    DOWN_DOCUMENTS,
    DOWN_KINDS,
    OF_THE_TRANSFER,
    REFUSED_MAX,
    ROLL_MAX,
    ROLL_TRANSFERS_MAX,
    Delivery,
    Filed,
    Have,
    Receipt,
    Refusal,
    Request,
    Roll,
    Standing,
    Taken,
    UpKind,
    topic_desired,
    topic_down,
)
from appliance.core.schedule import SERIES_TIER
from appliance.core.updates import RINGS
from appliance.errors import Fault, Quarantined
from appliance.loop import FAULTS, LOG, Moment, guarded
from appliance.uplink.corrections import believe
from appliance.uplink.sending import Sending
from appliance.world import wire
from appliance.world.wire import freight

ROLL_PERIOD_S = 300.0
NONCES_MAX = 4  # rolls whose standing may still come
TAKEN_MAX = 1000  # verdicts whose `taken` waits for the window; beyond that the centre asks again by itself

HINTS = frozenset(topic_desired(ring) for ring in RINGS)

Say = Callable[[UpKind, Document, str], bool]


class Mailboxes(Protocol):
    """Uplink's own database, and triage's once it is there."""

    ledger: Engine

    def cases(self) -> Engine | None: ...


@dataclass(frozen=True, slots=True)
class Known:
    """Which cases and transfers a batch of messages speaks of, as far as triage has made such."""

    cases: frozenset[str]
    transfers: Mapping[str, Row[Any]]


class Hearing:
    """The steps listen and roll_call."""

    def __init__(
        self,
        mailboxes: Mailboxes,
        link: Wire,
        device_id: str,
        own: PrivateKeys,
        centre: CentreKeys,
        sending: Sending,
        say: Say,
        randomness: random.Random,
    ) -> None:
        self.mailboxes, self.link, self.own, self.centre = mailboxes, link, own, centre
        self.sending, self.say, self.randomness = sending, say, randomness
        self._kinds = {topic_down(device_id, kind): kind for kind in DOWN_KINDS}
        self.on_hint: Callable[[], None] = lambda: None
        self.connects = 0  # so that what is said on every connect is said
        self._unkept: list[Message] = []  # heard and not committed: a full disk must not lose them
        self._taken: dict[tuple[str, int], None] = {}  # in order; said when the window has room
        self._nonces: deque[str] = deque(maxlen=NONCES_MAX)
        self._roll_due, self._roll_sent, self._roll_after = 0.0, 0.0, ""

    def listen(self, moment: Moment) -> bool:
        """Takes what came: parse strictly, commit, then acknowledge, then say `taken`."""
        heard = self.link.poll()
        if heard:
            self.sending.look_again()
        for event in heard:
            match event:
                case Message() if event.topic in HINTS:
                    self.on_hint()  # whatever it says: what is true is signed elsewhere
                    self.link.ack(event)
                case Message():
                    self._unkept.append(event)
                case Acknowledged(token, reason):
                    self.sending.acknowledged(token, event.sent, moment)
                    if not event.sent:
                        FAULTS["centre-silent" if reason == NO_SUBSCRIBERS else "publish-refused"] += 1
                        LOG.info("uplink.listen: not sent, reason code 0x%02x", reason)
                case Up(epoch):
                    # What came on an older connection comes again. Not so what came on this one, which a broker with a
                    # session hands over before it acknowledges the subscription: dropped, it would fill the window.
                    self._unkept = [each for each in self._unkept if each.epoch == epoch]
                    self.sending.broken()
                    self._roll_due = moment.mono
                    self.connects += 1
                case Down():
                    self.sending.broken()
                    FAULTS["broker-away"] += 1
                    LOG.warning("uplink.listen: broker-away")
        if self._unkept:
            self._keep(tuple(self._unkept), moment)
            self._unkept.clear()
        said = self._say_taken()
        return bool(heard) or said

    def _keep(self, messages: Sequence[Message], moment: Moment) -> None:
        """Commits a batch in one transaction and acknowledges it after that: a crash between has it come again."""
        read = [(message, self._read(message)) for message in messages]
        known = self._known(document for _, document in read)
        with self.mailboxes.ledger.begin() as c:
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

        def document() -> Document:
            letter, place = message.payload, message.topic
            said = opened(letter, place=place, senders=self.centre.keys, recipients=(self.own,))
            return decode(DOWN_DOCUMENTS[kind], said)

        return guarded("uplink.listen", document)

    def _known(self, read: Iterable[Document | Fault]) -> Known:
        named_cases, named_transfers = set[str](), set[str]()
        for document in read:
            if isinstance(document, Standing):
                named_cases.update(document.cases)
            if isinstance(document, Receipt | Refusal | Delivery | Request):
                named_cases.add(document.case_id)
            if isinstance(document, Receipt | Refusal | Have):
                named_transfers.add(document.transfer_id)
        cases = self.mailboxes.cases()
        if cases is None or not (named_cases or named_transfers):
            return Known(frozenset(), {})
        with cases.connect() as c:
            return Known(frozenset(wire.known_cases(c, named_cases)), freight.transfers_named(c, named_transfers))

    def _believe(self, c: Connection, document: Document, known: Known, moment: Moment) -> str:
        """Files one well-formed document; returns "" or the code under which it is kept aside instead."""
        at = moment.wall
        match document:
            case Command():
                wire.record_command(c, document, at)  # whose it is, triage finds out
            case Filed():
                return believe(c, self.mailboxes.cases(), document, at)
            case Standing(nonce=nonce, cases=words):
                if nonce in self._nonces:  # any other answers a roll of a former life, or is an old one again
                    ours = {case_id: word for case_id, word in words.items() if case_id in known.cases}
                    wire.record_standing(c, ours, at)
                    lost = {case_id for case_id, word in ours.items() if word == "unknown"}
                    self.sending.hasten(lost, self._roll_sent, moment)
            case Have(transfer_id=transfer_id) | Receipt(transfer_id=transfer_id) | Refusal(transfer_id=transfer_id):
                row = known.transfers.get(transfer_id)
                return "message-unasked" if row is None else self._of_transfer(c, document, row, moment)
            case Delivery(case_id=case_id) | Request(case_id=case_id) if case_id not in known.cases:
                return "message-unasked"
            case Request(case_id=case_id, tier=tier):
                wire.record_request(c, case_id, tier, at)
            case Delivery(case_id=case_id, rev=rev, letter=letter):
                if wire.record_verdict(c, case_id, rev, letter, at) in ("conflict", "refused"):
                    return "message-contradicts"
                self._taken[case_id, rev] = None
        return ""

    def _of_transfer(self, c: Connection, document: Document, row: Row[Any], moment: Moment) -> str:
        match document:
            case Have(known=True, have=have):
                self.sending.holds(row.transfer_id, freight.record_have(c, row, int(have, 16)))
            case Have():
                freight.forget_have(c, row.transfer_id)
                self.sending.forgotten(row.transfer_id, moment)
            case Receipt(case_id=case_id, sha256=digest):
                if (case_id, digest) != (row.case_id, row.sha256):
                    return "receipt-mismatch"
                if row.tier < SERIES_TIER and not wire.record_receipt(c, case_id, moment.wall):
                    return "message-contradicts"
                freight.record_transfer_received(c, row, moment.wall)
            case Refusal(case_id=case_id, code=code):
                if case_id != row.case_id:
                    return "message-contradicts"
                if row.tier < SERIES_TIER and code in OF_THE_TRANSFER:
                    # The centre lost these bytes and says nothing against the case: triage seals it anew. A centre that
                    # loses whatever it is given must not keep it at that for ever.
                    freight.refuse_transfer(c, row, code)
                    if freight.refused_transfers(c, case_id, row.tier, code) < REFUSED_MAX:
                        FAULTS[code] += 1
                        wire.record_unsendable(c, case_id, code)
                        return ""
                FAULTS["case-refused"] += 1
                if row.tier < SERIES_TIER and not wire.record_refusal(c, case_id, code):
                    return "message-contradicts"
                freight.refuse_transfer(c, row, code)
        return ""

    def _say_taken(self) -> bool:
        """Tells the centre which verdicts are safe here; runs after their commit. Lost, it is asked for again."""
        said = False
        while len(self._taken) > TAKEN_MAX:
            del self._taken[next(iter(self._taken))]
        for case_id, rev in list(self._taken):
            if not self.say("taken", Taken(case_id=case_id, rev=rev), "taken"):
                break
            del self._taken[case_id, rev]
            said = True
        return said

    def roll_call(self, moment: Moment) -> bool:
        """Asks how open cases stand at the centre: on every connect and every few minutes, a page at a time."""
        cases = self.mailboxes.cases()
        if moment.mono < self._roll_due or cases is None or not self.link.connected:
            return False
        with cases.connect() as c:
            page = wire.open_case_ids(c, self._roll_after, ROLL_MAX)
        half_sent = self.sending.half_sent(ROLL_TRANSFERS_MAX)
        if page or half_sent:
            nonce = f"{self.randomness.getrandbits(128):032x}"
            if not self.say("roll", Roll(nonce=nonce, case_ids=tuple(page), transfer_ids=half_sent), "roll"):
                return False
            self._nonces.append(nonce)
            self._roll_sent = moment.mono
        if page or not self._roll_after:  # an empty page after others: the round begins again at once
            self._roll_due = moment.mono + ROLL_PERIOD_S
        self._roll_after = page[-1] if len(page) == ROLL_MAX else ""
        return bool(page or half_sent)
