"""The orders that lie in phi/outbox/, as deliver knows them: what waits, for whom, and when it is due again.

The folder is the truth and is looked through again and again; what is kept here beside it is only of this life of the
process. After a start everything without a receipt is due at once: it is sent again under the same UIDs. An order whose
receipt says that it was stored, and that asks for a commitment, is not done: only that is asked for.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.core.delivery import rank, wait_s
from appliance.core.document import decode
from appliance.core.results.order import Order, Receipt
from appliance.errors import Fault, Quarantined, Unavailable
from appliance.loop import guarded

ORDER_ID = re.compile(r"[0-9a-f]{32}")  # whatever else stands in the folder is not triage's and is left alone
ORDERS_MAX = 100_000  # more than these wait in the folder until some are done
READ_A_LOOK_MAX = 2_000
SUFFIX = ".json"
REPLY = "reply:"
NO_COMMITMENT = "commit-unsupported"  # the code of a receipt that says stored and will never say more


@dataclass(slots=True)
class Waiting:
    """An order, as much of it as says when it goes, and how it went so far; the rest is read when it does.

    line    what it waits behind: its target, or the one scanner that its answer is for
    stored  its objects were taken in this life of the process; only their commitment is missing
    asked   a worker has it, or a commitment of it is on its way
    ask     nothing is stored: it only asks whether the target keeps what others sent it
    noted   the code of a warning with which they were taken
    """

    order_id: str
    target: str
    line: str
    priority: str
    created_at_s: float
    commit: bool
    failures: int = 0
    due: float = 0.0
    attempts: int = 0
    stored: bool = False
    asked: bool = False
    ask: bool = False
    noted: str = ""

    def again(self, now: float, first_s: float, most_s: float, draw: float) -> None:
        """To be tried later: longer each time."""
        self.failures += 1
        self.asked = False
        self.due = now + wait_s(self.failures, first_s, most_s, draw)


@dataclass(frozen=True, slots=True)
class Job:
    """An order on its way, and whether its objects were taken before."""

    order: Order
    stored: bool


class Outbox:
    """What waits, by order id."""

    def __init__(self, outbox: Path, receipts: Path) -> None:
        self.outbox, self.receipts = outbox, receipts
        self.waiting: dict[str, Waiting] = {}
        self.broken: set[str] = set()  # names of orders that cannot be read, as of the last look
        self._done: set[str] = set()  # names of orders whose receipts are final, as of the last look

    def look(self) -> bool:
        """Finds what is new and forgets what is gone or answered; whether there is more than one look takes in."""
        names, answered = _stems(self.outbox), _stems(self.receipts)
        for gone in self.waiting.keys() - names:
            del self.waiting[gone]
        self.broken &= names - answered
        self._done &= names & answered
        new = sorted(names - self.waiting.keys() - self.broken - self._done)
        room = min(READ_A_LOOK_MAX, ORDERS_MAX - len(self.waiting))
        for name in new[:room]:
            if name in answered and not self._half_done(name):
                self._done.add(name)
                continue
            order = self.read(name)
            if order is None:
                continue
            if name in answered and not order.commit:
                self._done.add(name)
                continue
            self.waiting[name] = Waiting(
                name,
                order.target,
                line_of(order),
                order.priority,
                order.created_at_s,
                order.commit,
                stored=name in answered or order.kind == "commit-ask",
                ask=order.kind == "commit-ask",
            )
        return len(new) > room > 0

    def _half_done(self, name: str) -> bool:
        """Whether a receipt says no more than that the objects were taken."""
        try:
            receipt = decode(Receipt, (self.receipts / f"{name}{SUFFIX}").read_bytes())
        except (Quarantined, FileNotFoundError):
            return False
        return receipt.outcome == "stored" and receipt.code != NO_COMMITMENT

    def read(self, name: str) -> Order | None:
        """The whole order; None when it is gone or cannot be read, which is remembered."""
        order = guarded("deliver.look", partial(self._read, name))
        if not isinstance(order, Fault):
            return order
        if not isinstance(order, Unavailable):
            self.waiting.pop(name, None)
            self.broken.add(name)
        return None

    def _read(self, name: str) -> Order:
        path = self.outbox / f"{name}{SUFFIX}"
        try:
            with path.open("rb") as file:
                data = file.read(Order.bytes_max + 1)
        except FileNotFoundError:
            raise Unavailable("order-vanished") from None
        try:
            order = decode(Order, data)
        except Quarantined:
            raise Quarantined("order-invalid") from None
        if order.id != name:
            raise Quarantined("order-invalid")
        return order

    def due(self, now_mono: float, now_wall: float) -> dict[str, list[Waiting]]:
        """What may go now by line, the most pressing first."""
        found: dict[str, list[Waiting]] = {}
        for each in self.waiting.values():
            if not each.asked and each.due <= now_mono:
                found.setdefault(each.line, []).append(each)
        for crowd in found.values():
            crowd.sort(key=partial(_turn, now_wall))
        return found

    def wait_for(self, line: str) -> bool:
        """Whether anything waits behind it."""
        return any(each.line == line for each in self.waiting.values())


def line_of(order: Order) -> str:
    """What an order waits behind."""
    return f"{REPLY}{order.peer_ae_title}" if order.kind == "commit-reply" else order.target


def _turn(now: float, waiting: Waiting) -> tuple[int, int, float, str]:
    return (
        -rank(waiting.priority, now - waiting.created_at_s),
        waiting.failures,  # what failed before stands behind what never had its turn
        waiting.created_at_s,
        waiting.order_id,
    )


def _stems(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            names = (entry.name.removesuffix(SUFFIX) for entry in entries if entry.name.endswith(SUFFIX))
            return {name for name in names if ORDER_ID.fullmatch(name)}
    except FileNotFoundError:
        return set()


def instances(order: Order) -> Iterable[tuple[str, str]]:
    """SOP class and instance of what an order sends, or asks about."""
    if order.kind == "commit-ask":
        return order.committed
    return ((each.sop_class_uid, each.sop_instance_uid) for each in order.payloads)
