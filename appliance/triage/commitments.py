"""Triage answers what a scanner asks: do you keep these? Out of the ledger and the archive, never on trust.

A request waits, within a limit, while files that came before it are not admitted yet. It is answered once, by an order
to deliver: what is admitted and lies here byte by byte as it came is kept; of everything else the scanner is told that
it is not, so that it keeps its own.
"""

import base64
import json
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core.commitment import Asked, reason, request_of
from appliance.core.document import decode, encode
from appliance.core.results.order import Order, Receipt
from appliance.errors import Fault, Quarantined
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.world import archive, ledger
from appliance.world.ledger import commitments

LOG = logging.getLogger("appliance.triage")
SUFFIX = ".commit"
REQUEST_BYTES_MAX = 2 * 2**20
REQUESTS_OPEN_MAX = 64
WAIT_S = 600.0  # for files that came before the request and are not admitted yet
BYTES_A_STEP = 128 * 2**20  # read again before they are vouched for; then other steps have their turn
NEVER = 2**63
KEEP_S = 90 * 86_400.0
PRUNE_PERIOD_S = 3600.0


@dataclass(slots=True)
class Request:
    """A request under way: since when (mono seconds), and for which instances it was found out how they stand."""

    asked: Asked
    since: float
    reasons: dict[tuple[str, str], int] = field(default_factory=dict)


class Commitments:
    """The steps commit and replied."""

    def __init__(self, config: Config, places: Places, engine: Engine) -> None:
        self.attempts_max = config.triage.attempts_max
        self.places, self.engine = places, engine
        self.open: dict[str, Request] = {}
        self._prune_again = 0.0

    def steps(self) -> dict[str, Step]:
        return {"commit": self.answer, "commit.settle": self.settle}

    def answer(self, moment: Moment) -> bool:
        """Answers what can be answered now; whether it did anything."""
        names = sorted(path.name for path in self.places.incoming.glob(f"*{SUFFIX}"))
        for gone in self.open.keys() - set(names):
            del self.open[gone]
        if not names:
            return False
        busy, left, oldest = False, BYTES_A_STEP, self._oldest()
        for name in names[:REQUESTS_OPEN_MAX]:
            request = self.open.get(name) or self._begin(name, moment)
            if request is None:
                busy = True
                continue
            if self._waits(name, request, oldest, moment):
                continue
            left = self._look(request, left)
            busy = True
            if left <= 0:
                break
            self._reply(name, request, moment)
        return busy

    def _begin(self, name: str, moment: Moment) -> Request | None:
        """Reads a request, its attempt counted before; None when it is of no use, or was answered before."""
        with self.engine.begin() as c:
            attempts = ledger.count_arrivals(c, [name])[name]
        path = self.places.incoming / name
        asked: Asked | Fault = Quarantined("commit-malformed")
        if attempts <= self.attempts_max:
            asked = guarded("triage.commit", partial(_read, path))
        with self.engine.begin() as c:
            ledger.forget_arrivals(c, [name])
            known = isinstance(asked, Asked) and commitments.answered(c, asked.peer, asked.transaction_uid)
        if isinstance(asked, Fault) or known:
            if isinstance(asked, Fault):
                FAULTS["commit-malformed"] += 1
                LOG.warning("triage.commit: commit-malformed")
            archive.remove(path)
            return None
        self.open[name] = Request(asked, moment.mono)
        return self.open[name]

    def _oldest(self) -> int:
        """When the first of the files that are not admitted yet was whole, ns since 1970."""
        times = []
        for path in self.places.incoming.glob("*.dcm"):
            with suppress(FileNotFoundError):
                times.append(path.stat().st_mtime_ns)
        return min(times, default=NEVER)

    def _waits(self, name: str, request: Request, oldest: int, moment: Moment) -> bool:
        """Whether one of them came before the request and may be what it asks for."""
        if moment.mono - request.since >= WAIT_S or (self.places.incoming / name).stat().st_mtime_ns < oldest:
            return False
        uids = {uid for _, uid in request.asked.instances}
        with self.engine.connect() as c:
            return len(commitments.files_of(c, sorted(uids))) < len(uids)

    def _look(self, request: Request, left: int) -> int:
        """Finds out how each instance stands, as far as the bytes of this step reach; what is left of them."""
        todo = [each for each in request.asked.instances if each not in request.reasons]
        uids = [uid for _, uid in todo]
        with self.engine.connect() as c:
            files, broken = commitments.files_of(c, uids), commitments.came_broken(c, uids)
        for sop_class, uid in todo:
            if left <= 0:
                return left
            found = files.get(uid, [])
            whole = len(found) == 1 and self._whole(found[0])
            left -= found[0].facts["bytes_count"] if found else 0
            classes = [row.facts["sop_class_uid"] for row in found]
            request.reasons[sop_class, uid] = reason(sop_class, classes, broken=uid in broken, whole=whole)
        return max(left, 1)

    def _whole(self, row: Row[Any]) -> bool:
        return archive.is_whole(self.places.instances, row.sha256)

    def _reply(self, name: str, request: Request, moment: Moment) -> None:
        """The order, then the row, then the request goes: what a kill leaves undone is done again, the same."""
        asked, reasons = request.asked, request.reasons
        kept = [each for each in asked.instances if not reasons[each]]
        failed = [(*each, reasons[each]) for each in asked.instances if reasons[each]]
        order = Order(
            id=asked.order_id,
            target="commit-reply",
            kind="commit-reply",
            payloads=[],
            created_at_s=moment.wall,
            transaction_uid=asked.transaction_uid,
            peer_ae_title=asked.peer,
            committed=kept,
            failed=failed,
        )
        with self.engine.begin() as c:  # before the scanner can hear it
            commitments.vouch(c, sorted({uid for _, uid in kept}))
        archive.put(self.places.outbox / f"{order.id}.json", encode(order))
        with self.engine.begin() as c:
            commitments.put(c, order.id, asked.peer, asked.transaction_uid, (len(kept), len(failed)), moment.wall)
        archive.remove(self.places.incoming / name)
        self.open.pop(name, None)
        LOG.info("triage.commit: %d kept, %d not", len(kept), len(failed))

    def settle(self, moment: Moment) -> bool:
        """Takes over what deliver says of answers, then takes order and receipt away: order first, or it goes twice."""
        with self.engine.connect() as c:
            waiting = commitments.unsettled(c)
        done = False
        for order_id in waiting:
            path = self.places.receipts / f"{order_id}.json"
            if not path.exists():
                continue
            receipt = guarded("triage.commit", partial(_receipt, path))
            archive.remove(self.places.outbox / f"{order_id}.json")
            archive.remove(path)
            with self.engine.begin() as c:
                commitments.settle(c, order_id, "unread" if isinstance(receipt, Fault) else receipt.outcome)
            done = True
        if moment.mono >= self._prune_again:
            self._prune_again = moment.mono + PRUNE_PERIOD_S
            with self.engine.begin() as c:
                commitments.prune(c, moment.wall - KEEP_S)
        return done


def _read(path: Path) -> Asked:
    if path.stat().st_size > REQUEST_BYTES_MAX:
        raise Quarantined("commit-malformed")
    told = json.loads(path.read_bytes())
    if told["schema"] != "commit-request/1":
        raise Quarantined("commit-malformed")
    return request_of(str(told["peer"]), str(told["syntax"]), base64.b64decode(told["data"], validate=True))


def _receipt(path: Path) -> Receipt:
    return decode(Receipt, path.read_bytes())
