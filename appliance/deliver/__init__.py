"""The deliver service: results out of phi/outbox/ to the hospital's systems, answers into phi/receipts/.

It reads orders and the objects they name and writes receipts, and nothing else: it never opens the ledger and deletes
nothing. Triage takes a receipt over and then takes the order away. Every target has a thread of its own, so that one
that is dead or slow holds up no other; within a target the most pressing goes first, and an order that fails stands
behind those that have not had their turn. Killed anywhere, it sends again what has no receipt, under the same UIDs, and
a PACS knows those.
"""

import logging
import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from appliance.config.deliver import Deliver as Knobs
from appliance.core.delivery import Answer
from appliance.core.document import encode
from appliance.core.results.order import Outcome, Receipt
from appliance.deliver.carriers import Told
from appliance.deliver.commitments import Commitments, Kept
from appliance.deliver.orders import SUFFIX, Job, Outbox, Waiting
from appliance.deliver.workers import BATCH_MAX, Ended, Target
from appliance.errors import Unavailable
from appliance.loop import FAULTS, Moment, Step
from appliance.world import archive
from appliance.world import targets as standing

LOG = logging.getLogger("appliance.deliver")
LOOK_PERIOD_S = 1.0
LOOK_ORDER_S = 1e-4  # more for each order that waits: looking costs as much as the folder is long
STUCK_S = 12 * 3600.0  # beyond every time-out of a step and any object: a thread held so long is a fault of ours

Make = Callable[[str, Commitments], Target | None]  # a target by the name that orders bear; None: not configured
Open = Callable[[Commitments], Any]  # a listener with `stop`; raises Unavailable until its address is there


class Deliver:
    """The service. make and listen come from `targets`, which knows the configuration."""

    def __init__(
        self,
        knobs: Knobs,
        outbox: Path,
        receipts: Path,
        make: Make,
        listen: Open,
        wake: threading.Event,
        randomness: random.Random,
    ) -> None:
        self.knobs, self.make, self.listen, self.wake = knobs, make, listen, wake
        self.randomness = randomness
        self.receipts = receipts
        receipts.mkdir(parents=True, exist_ok=True)
        archive.sweep(receipts)
        self.orders = Outbox(outbox, receipts)
        self.said: queue.SimpleQueue[Told | Ended | Kept] = queue.SimpleQueue()
        self.commitments = Commitments(self._say)
        self.targets: dict[str, Target] = {}
        self._stands = b""
        self.listener: Any = None
        self._look_again = 0.0
        self._unknown: set[str] = set()

    def steps(self) -> dict[str, Step]:
        return {
            "deliver.hear": self.hear,
            "deliver.look": self.look,
            "deliver.take": self.take,
            "deliver.send": self.send,
        }

    def hear(self, moment: Moment) -> bool:
        """Listens for answers to commitments, and asks again where none came."""
        for order_id in self.commitments.overdue(moment.mono - self.knobs.commit_answer_s):
            self._again(order_id, Answer("again", "commit-unanswered"), moment)
        if self.knobs.port and self.listener is None:
            self.listener = self.listen(self.commitments)
        return False

    def look(self, moment: Moment) -> bool:
        """Looks through the outbox when it is time."""
        if moment.mono < self._look_again:
            return False
        more = self.orders.look()
        period_s = LOOK_PERIOD_S + LOOK_ORDER_S * len(self.orders.waiting)
        self._look_again = moment.mono if more else moment.mono + period_s
        for name in sorted(self.orders.broken):
            self._refuse_unread(name, moment)
        self._stand()
        return more

    def _stand(self) -> None:
        """Says how the targets stand, when something changed."""
        away: dict[str, tuple[str, float | None]] = {
            each.name: (each.code, each.away_since) for each in self.targets.values() if each.away_since is not None
        }
        away |= {name: ("target-unknown", None) for name in self._unknown if self.orders.wait_for(name)}
        said = standing.said(away)
        if said != self._stands:
            archive.put(self.receipts / standing.FILE, said)
            self._stands = said

    def take(self, moment: Moment) -> bool:
        """Takes in what workers and listeners found out: receipts, and what is to be tried again."""
        took = False
        while True:
            try:
                said = self.said.get_nowait()
            except queue.Empty:
                return took
            took = True
            if isinstance(said, Ended):
                self._ended(said, moment)
                continue
            waiting = self.orders.waiting.get(said.order_id)
            if waiting is None:
                continue  # it was taken away meanwhile
            if isinstance(said, Kept):
                self._kept(waiting, said.answer, moment)
            else:
                self._progress(waiting, said, moment)

    def send(self, moment: Moment) -> bool:
        """Gives each idle target the orders that are due."""
        began = False
        for name, crowd in self.orders.due(moment.mono, moment.wall).items():
            target = self._target(name)
            if target is not None and not target.busy and moment.mono >= target.due:
                began |= self._start(target, crowd[:BATCH_MAX], moment)
        stuck = [
            target.name for target in self.targets.values() if target.busy and moment.mono - target.moved > STUCK_S
        ]
        assert not stuck, "a worker says nothing beyond every time-out: a new life of the process sends again"
        return began

    def _start(self, target: Target, crowd: Sequence[Waiting], moment: Moment) -> bool:
        batch = []
        for waiting in crowd:
            order = self.orders.read(waiting.order_id)
            if order is not None:
                waiting.asked, waiting.attempts = True, waiting.attempts + 1
                batch.append(Job(order, waiting.stored))
        if batch:
            target.start(batch, self._say, moment.mono)
        return bool(batch)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.stop()

    def _say(self, what: Told | Ended | Kept) -> None:
        """Called by other threads."""
        self.said.put(what)
        self.wake.set()

    def _target(self, name: str) -> Target | None:
        known = self.targets.get(name)
        if known is None and name not in self._unknown:
            known = self.make(name, self.commitments)
            if known is None:
                self._unknown.add(name)
                FAULTS["target-unknown"] += 1
                LOG.warning("deliver.send: target-unknown at %s", name)
            else:
                self.targets[name] = known
        return known

    # What was said.

    def _progress(self, waiting: Waiting, told: Told, moment: Moment) -> None:
        target = self.targets.get(waiting.line)
        if target is not None:
            target.moved = moment.mono
        answer = told.answer
        good = answer.fate in ("taken", "noted")
        if told.step == "asked":
            if answer.fate == "refused":  # there is no commitment to be had: what was stored stays stored
                self._receipt(waiting, "stored", answer, moment)
            elif not good:
                self._again(waiting.order_id, answer, moment)
        elif answer.fate == "refused":
            self._receipt(waiting, "refused", answer, moment)
        elif not good:
            self._again(waiting.order_id, answer, moment)
        elif told.step == "stored" and waiting.commit:
            waiting.stored, waiting.noted = True, answer.code
            told_so_far = {"outcome": "stored", "code": answer.code, "status": answer.status}
            self._put(waiting.order_id, {"target": waiting.target, "attempts": waiting.attempts, **told_so_far}, moment)
        else:
            self._receipt(waiting, told.step, answer, moment)

    def _kept(self, waiting: Waiting, answer: Answer, moment: Moment) -> None:
        if answer.fate == "taken":
            self._receipt(waiting, "committed", answer._replace(code=waiting.noted), moment)
        elif answer.fate == "refused":
            self._receipt(waiting, "refused", answer, moment)
        else:
            waiting.stored = waiting.ask  # the PACS does not have it, or not for good: all of it again
            self._again(waiting.order_id, answer, moment)

    def _ended(self, ended: Ended, moment: Moment) -> None:
        target = self.targets[ended.target]
        mine, was_away = target.batch, target.away_since is not None
        for order_id in mine:
            waiting = self.orders.waiting.get(order_id)
            # An order that waits for its commitment stays asked until that comes or is overdue.
            if waiting is not None and not (waiting.stored and waiting.commit and not ended.code):
                waiting.asked = False
        waits = (self.knobs.retry_s, self.knobs.retry_max_s)
        target.ended(ended.code, moment.mono, moment.wall, waits, self.randomness.random())
        if bool(ended.code) != was_away:
            LOG.warning("deliver.send: target %s: %s", target.name, ended.code or "reached again")

    def _again(self, order_id: str, answer: Answer, moment: Moment) -> None:
        waiting = self.orders.waiting.get(order_id)
        if waiting is not None:
            FAULTS[answer.code] += 1
            waits = (self.knobs.retry_s, self.knobs.retry_max_s)
            waiting.again(moment.mono, *waits, self.randomness.random())

    def _receipt(self, waiting: Waiting, outcome: Outcome, answer: Answer, moment: Moment) -> None:
        """Durable before it is forgotten that there was an order; a full disk leaves the order as it is."""
        told = {"outcome": outcome, "code": answer.code, "status": answer.status, "attempts": max(waiting.attempts, 1)}
        try:
            self._put(waiting.order_id, {"target": waiting.target, **told}, moment)
        except Unavailable:
            self._again(waiting.order_id, Answer("again", "disk-low"), moment)
            raise
        self.orders.waiting.pop(waiting.order_id, None)
        LOG.info("deliver: %s %s at %s %s", waiting.order_id[:12], outcome, waiting.target, answer.code)

    def _refuse_unread(self, name: str, moment: Moment) -> None:
        told = {"target": "unknown", "outcome": "refused", "code": "order-invalid", "status": 0, "attempts": 1}
        self._put(name, told, moment)

    def _put(self, order_id: str, told: Mapping[str, Any], moment: Moment) -> None:
        receipt = Receipt.model_validate({"id": order_id, "at_s": moment.wall, **told})
        archive.put(self.receipts / f"{order_id}{SUFFIX}", encode(receipt))
