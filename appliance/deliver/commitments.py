"""Commitments that a PACS was asked for: which orders wait for which answer, and what an answer says of each.

An answer may come on the association that asked or on one of its own, in another thread, at any time. Its transaction's
name is drawn at random, so that nobody who did not hear the question can give the answer. Of this life of the process
only: after a start all is asked again.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from appliance.core.delivery import Answer, of_status
from appliance.core.results.order import Order
from appliance.deliver.orders import instances
from appliance.world.dimse.calling import Report

LOST = (0x0112, 0x0110, 0x0213)  # PS3.3 C.14.1.1: no such instance, processing failure, resources: sent again
OPEN_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Kept:
    """What a PACS says of one order: its answer, taken when it keeps every object of it."""

    order_id: str
    answer: Answer


@dataclass(slots=True)
class _Asked:
    orders: tuple[Order, ...]
    at: float
    answered: threading.Event = field(default_factory=threading.Event)


class Commitments:
    """Told by workers and listeners alike. tell: told of every order that an answer decides."""

    def __init__(self, tell: Callable[[Kept], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._open: dict[str, _Asked] = {}

    def ask(self, transaction_uid: str, orders: Sequence[Order], now: float) -> None:
        """Before the question is put: an answer may come before it is known to have arrived."""
        with self._lock:
            if len(self._open) >= OPEN_MAX:  # the oldest is asked again when its orders are due
                del self._open[next(iter(self._open))]
            self._open[transaction_uid] = _Asked(tuple(orders), now)

    def forget(self, transaction_uid: str) -> None:
        with self._lock:
            self._open.pop(transaction_uid, None)

    def wait(self, transaction_uid: str, seconds: float) -> bool:
        """Waits a moment for the answer; whether it came."""
        with self._lock:
            asked = self._open.get(transaction_uid)
        return asked is None or asked.answered.wait(seconds)

    def heard(self, report: Report) -> bool:
        """Takes an answer; False when nobody asked."""
        with self._lock:
            asked = self._open.pop(report.transaction_uid, None)
        if asked is None:
            return False
        kept = set(report.kept)
        failed = {instance: reason for _, instance, reason in report.failed}
        for order in asked.orders:
            self._tell(Kept(order.id, _judged(order, kept, failed)))
        asked.answered.set()
        return True

    def overdue(self, before: float) -> list[str]:
        """Orders whose question was put before a moment and never answered; they are not waited for any longer."""
        with self._lock:
            late = [name for name, asked in self._open.items() if asked.at < before]
            return [order.id for name in late for order in self._open.pop(name).orders]


def _judged(order: Order, kept: set[tuple[str, str]], failed: dict[str, int]) -> Answer:
    named = tuple(instances(order))
    if all(each in kept for each in named):
        return Answer("taken")
    for _, instance in named:
        reason = failed.get(instance)
        if reason is not None and reason not in LOST and of_status(reason).fate == "refused":
            return Answer("refused", "commit-refused", reason)
    reasons = [failed[instance] for _, instance in named if instance in failed]
    return Answer("again", "commit-failed", reasons[0] if reasons else 0)
