"""How a batch of orders goes to one target: over an association, over HTTPS, or as answers to a scanner's commitments.

A carrier runs in its target's own thread and tells what became of each order as soon as it knows. What it does not tell
of was not tried. It raises when the target cannot be reached or does not let us in: that is no fault of an order.
"""

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from appliance.core.delivery import CLASS_NOT_SUPPORTED, Answer, of_http, of_status
from appliance.core.results.order import Order
from appliance.deliver.commitments import Commitments
from appliance.deliver.orders import NO_COMMITMENT, Job, instances
from appliance.errors import Fault, Quarantined, Unavailable
from appliance.loop import guarded
from appliance.world.dimse.calling import Call, Kind, Peer, Report, call
from appliance.world.web import Store, stow

Step = Literal["stored", "asked", "replied"]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an order: how far it came, and what the target said of it."""

    order_id: str
    step: Step
    answer: Answer


Tell = Callable[[Told], None]


class Carrier(Protocol):
    """What a worker runs. batch: the most pressing first, of one target."""

    def carry(self, batch: Sequence[Job], tell: Tell) -> None: ...


@dataclass(frozen=True, slots=True)
class Storing:
    """C-STORE, and Storage Commitment where an order asks for it.

    commit_wait_s  how long the association stays open for the answer to a commitment
    """

    peer: Peer
    outbox: Path
    commitments: Commitments
    commit_wait_s: float
    randomness: random.Random

    def carry(self, batch: Sequence[Job], tell: Tell) -> None:
        kinds: list[Kind] = [
            (payload.sop_class_uid, payload.transfer_syntax_uid)
            for each in batch
            if not each.stored
            for payload in each.order.payloads
        ]
        commit = any(each.order.commit for each in batch)
        with call(self.peer, kinds, commit=commit, heard=self.commitments.heard) as line:
            kept = []
            for each in batch:
                if not each.stored and not self._sent(line, each.order, tell):
                    continue
                if each.order.commit:
                    kept.append(each.order)
            if kept:
                self._ask(line, kept, tell)

    def _sent(self, line: Call, order: Order, tell: Tell) -> bool:
        answer = attempted(partial(self._send, line, order))
        tell(Told(order.id, "stored", answer))
        return answer.fate in ("taken", "noted")

    def _send(self, line: Call, order: Order) -> Answer:
        worst = of_kind(order, "store")
        for payload in order.payloads:
            path = whole(self.outbox, f"{payload.sha256}.dcm", payload.sha256)
            if line.takes((payload.sop_class_uid, payload.transfer_syntax_uid)):
                named = (payload.sop_class_uid, payload.sop_instance_uid)
                answer = of_status(line.store(path, named, payload.transfer_syntax_uid, order.priority))
            else:
                answer = Answer("refused", "pacs-class", CLASS_NOT_SUPPORTED)
            worst = worse(worst, answer)
        return worst

    def _ask(self, line: Call, orders: list[Order], tell: Tell) -> None:
        """Asks once for all that was taken; what the PACS cannot be asked stays as stored."""
        if not line.commits:
            for order in orders:
                tell(Told(order.id, "asked", Answer("refused", NO_COMMITMENT)))
            return
        transaction = f"2.25.{self.randomness.getrandbits(128)}"  # PS3.5 B.2
        self.commitments.ask(transaction, orders, time.monotonic())
        try:
            answer = of_status(line.ask(transaction, [each for order in orders for each in instances(order)]))
        except Unavailable:
            self.commitments.forget(transaction)
            raise
        if answer.fate not in ("taken", "noted"):
            self.commitments.forget(transaction)
        if answer.fate == "refused":
            answer = answer._replace(code=NO_COMMITMENT)
        for order in orders:
            tell(Told(order.id, "asked", answer))
        if answer.fate == "taken":
            self.commitments.wait(transaction, self.commit_wait_s)


@dataclass(frozen=True, slots=True)
class Stowing:
    """STOW-RS; there is no commitment of it."""

    store: Store
    outbox: Path

    def carry(self, batch: Sequence[Job], tell: Tell) -> None:
        line = stow.Line(self.store)
        try:
            for each in batch:
                answer = Answer("taken")
                if not each.stored:
                    answer = attempted(partial(self._send, line, each.order))
                    tell(Told(each.order.id, "stored", answer))
                if each.order.commit and answer.fate in ("taken", "noted"):
                    tell(Told(each.order.id, "asked", Answer("refused", NO_COMMITMENT)))
        finally:
            line.close()

    def _send(self, line: stow.Line, order: Order) -> Answer:
        worst = of_kind(order, "store")
        for payload in order.payloads:
            answer = of_http(*line.send(whole(self.outbox, f"{payload.sha256}.dcm", payload.sha256)))
            if answer.fate == "shut":
                raise Unavailable(answer.code)
            worst = worse(worst, answer)
        return worst


@dataclass(frozen=True, slots=True)
class Replying:
    """Answers to commitments that a scanner had asked for."""

    peer: Peer

    def carry(self, batch: Sequence[Job], tell: Tell) -> None:
        with call(self.peer, (), answers=True) as line:
            for each in batch:
                report = Report(each.order.transaction_uid, tuple(each.order.committed), tuple(each.order.failed))
                tell(Told(each.order.id, "replied", attempted(partial(_replied, line, report))))


def _replied(line: Call, report: Report) -> Answer:
    return of_status(line.report(report))


def attempted(work: Callable[[], Answer]) -> Answer:
    """What an order's attempt came to; only what is the target's fault is raised."""
    found = guarded("deliver.send", work)
    if isinstance(found, Unavailable):
        raise found
    if isinstance(found, Quarantined) and found.code == "payload-damaged":
        return Answer("refused", found.code)
    if isinstance(found, Fault):
        return Answer("again", found.code)
    return found


def worse(one: Answer, other: Answer) -> Answer:
    order = ("taken", "noted", "again", "shut", "refused")
    return max(one, other, key=lambda answer: order.index(answer.fate))


def of_kind(order: Order, kind: str) -> Answer:
    """What becomes of an order whose target was another kind of system when it was written: it is not sent."""
    return Answer("taken") if order.kind == kind else Answer("refused", "order-invalid")


def whole(outbox: Path, name: str, sha256: str) -> Path:
    """A file of the outbox, once it is found to be what its order says. Raises Quarantined("payload-damaged")."""
    path = outbox / name
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise Quarantined("payload-damaged") from None
    if digest != sha256:
        raise Quarantined("payload-damaged")
    return path
