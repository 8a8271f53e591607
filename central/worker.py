"""One worker of the centre: which shares of the wire it holds, and the one thread that serves them.

The partitions are dealt into a fixed number of shares. A share is held by lease and has an MQTT client id of its own:
who takes it over is handed by the broker whatever its former holder had not acknowledged. Any number of workers run on
one store; any of them may be killed or stopped at any time. What comes is filed only while the store says that its
share is still this worker's; whatever else one does after its lease ran out has a unique key and does no harm.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Connection, Engine

from appliance.core.link import Wire
from appliance.core.messages import PARTITIONS, UP_KINDS
from appliance.errors import Unavailable
from appliance.loop import LOG, Moment, Step
from central import store
from central.asking import Asking
from central.exchange import Exchange
from central.intake import Intake
from central.registry import Registry
from central.spool import Spool
from central.store import freight

RENEW_S = 3.0
# For all connections that are let go of together. While a worker waits for them it renews nothing: waiting must end
# long before the leases of the shares it keeps do. A connection that has not ended by then is heard by nobody.
STOP_S = 2.0
CLEAR_PERIOD_S = 60.0
PRUNE_PERIOD_S = 60.0
PRUNE_ROWS = 500
PRUNE_AGE_S = 30 * 86_400.0  # as long as a broker keeps a session, so that what is in the pipe finds the row
TIDY_PERIOD_S = 3600.0
STALE_S = 30 * 86_400.0  # a transfer that is not whole and that nobody touched for so long is forgotten


class Line(Wire, Protocol):
    """A connection that can be ended: appliance.world.mqtt.Link."""

    def stop(self, wait_s: float) -> None: ...


Connect = Callable[[str, Sequence[str]], Sequence[Line]]  # client id, subscriptions: a connection to each broker
Discard = Callable[[str], Sequence[Line]]  # client id: connections that have each broker throw its session away


def share_name(share: int, shares: int) -> str:
    """A share's name in the store and its client id at every broker."""
    return f"centre-{share}-of-{shares}"


def partitions_of(share: int, shares: int) -> range:
    return range(share, PARTITIONS, shares)


def subscriptions(partitions: Sequence[int]) -> list[str]:
    return [f"edge/2/up/{partition:02x}/+/{kind}" for partition in partitions for kind in UP_KINDS]


class Worker:
    """The wire side of a worker.

    name     its own, drawn anew at every start: a dead namesake's leases are not ours
    connect  makes and starts the connections of one share
    wake     set when another thread has something to say; asks: set when there is something to ask
    askings  whose claims are renewed along with the leases
    discard  as connect, for shares that are no more; None leaves them to the brokers
    """

    def __init__(
        self,
        engine: Engine,
        spool: Spool,
        registry: Registry,
        *,
        name: str,
        connect: Connect,
        shares: int,
        asks: threading.Event,
        askings: Sequence[Asking] = (),
        discard: Discard | None = None,
    ) -> None:
        self.engine, self.spool, self.registry = engine, spool, registry
        self.name, self.shares, self.asks, self.askings = name, shares, asks, askings
        self.intake = Intake(engine, spool)
        self.exchanges: dict[int, Exchange] = {}
        self._connect, self._discard = connect, discard
        self._links: dict[int, Sequence[Line]] = {}
        self._former: dict[str, Sequence[Line]] = {}  # shares that are no more, whose sessions are being thrown away
        self._hold_due, self._renewed, self._tidy_due = 0.0, 0.0, 0.0
        self._clear_due, self._prune_due, self._pruned = 0.0, 0.0, 0

    def steps(self) -> Mapping[str, Step]:
        return {
            "centre.hold": self.hold,
            "centre.listen": self.listen,
            "centre.speak": self.speak,
            "centre.tidy": self.tidy,
            "centre.prune": self.prune,
            "centre.clear": self.clear,
        }

    def hold(self, moment: Moment) -> bool:
        """Renews leases, lets go of what another worker should have, and takes what is free."""
        if moment.mono < self._hold_due:
            return False
        self._hold_due = moment.mono + RENEW_S
        try:
            with store.transaction(self.engine) as c:
                store.worker_lives(c, self.name, moment.wall)
                names = {share_name(share, self.shares): share for share in range(self.shares)}
                kept = {share for share in self.exchanges if self._claim(c, share, moment.wall)}
                holders = store.shares_held(c, names, moment.wall)
                others = store.live_workers(c, moment.wall) - {self.name}
                limit = fair_limit(self.shares, self.name, list(holders.values()), others)
                for share in sorted(kept)[limit.most :]:
                    store.release(c, share_name(share, self.shares), self.name)
                    kept.discard(share)
                free = [share for name, share in names.items() if name not in holders]
                taken = [s for s in free[: max(0, limit.wanted - len(kept))] if self._claim(c, s, moment.wall)]
                lost = {name for name in self._former if not store.claim_share(c, name, self.name, moment.wall)}
                store.renew_claims(
                    c, self.name, [each.claimed for each in self.askings if each.claimed is not None], moment.wall
                )
        except Unavailable:
            if moment.mono - self._renewed > store.LEASE_S:  # somebody else may hold them by now
                self._let_go(set(self.exchanges))
                self._leave_former(set(self._former))
            raise
        self._renewed = moment.mono
        self._let_go(self.exchanges.keys() - kept)
        self._leave_former(lost)
        for share in taken:
            self._take(share)
        return bool(taken)

    def _claim(self, c: Connection, share: int, at: float) -> bool:
        return store.claim_share(c, share_name(share, self.shares), self.name, at)

    def _take(self, share: int) -> None:
        mine = partitions_of(share, self.shares)
        links = self._connect(share_name(share, self.shares), subscriptions(mine))
        self._links[share] = links

        def fence(c: Connection) -> bool:
            return store.holds_share(c, share_name(share, self.shares), self.name)

        self.exchanges[share] = Exchange(self.engine, self.intake, self.registry, links, mine, self.asks, fence=fence)
        LOG.info("centre: holds %s", share_name(share, self.shares))

    def _let_go(self, shares: set[int]) -> None:
        """From here on nothing that comes for these shares is heard here, whether the connections have ended or not."""
        for share in shares:
            LOG.info("centre: lets go of %s", share_name(share, self.shares))
            del self.exchanges[share]
        _end([link for share in shares for link in self._links.pop(share)])

    def listen(self, moment: Moment) -> bool:
        busy = False
        for exchange in self.exchanges.values():
            busy |= exchange.listen(moment)
        return busy

    def speak(self, moment: Moment) -> bool:
        busy = False
        for exchange in self.exchanges.values():
            busy |= exchange.speak(moment)
        return busy

    def tidy(self, moment: Moment) -> bool:
        """Removes files of transfers that are no more; any worker may, at any time."""
        if moment.mono < self._tidy_due:
            return False
        self._tidy_due = moment.mono + TIDY_PERIOD_S

        with store.transaction(self.engine) as c:
            freight.forget_stale(c, moment.wall - STALE_S)

        def needed(device_id: str, transfer_ids: list[str]) -> set[str]:
            with store.transaction(self.engine) as c:
                return freight.needs_file(c, device_id, transfer_ids)

        self.spool.sweep(needed, moment.wall)
        return False

    def prune(self, moment: Moment) -> bool:
        """Forgets transfers that ended long ago, a bounded number of rows at a time, round after round."""
        if moment.mono < self._prune_due:
            return False
        self._prune_due = moment.mono + PRUNE_PERIOD_S
        with store.transaction(self.engine) as c:
            self._pruned = freight.prune_ended(c, self._pruned, PRUNE_ROWS, moment.wall - PRUNE_AGE_S)
        return False

    def clear(self, moment: Moment) -> bool:
        """Has the brokers throw away the sessions of shares that are no more, one after the other.

        After a change of --shares they would go on queueing for client ids that nobody comes back under, for as long
        as a session lasts. What was queued there is lost: the new shares' sessions have it, or the edge sends it again.
        A share that a worker of the former number still holds is left alone. Its lease is ours meanwhile, so that none
        comes back under the client id while we do this.
        """
        if self._discard is None:
            return False
        for name, links in list(self._former.items()):
            if not all(link.connected for link in links):
                return False  # a broker is away: the connection is tried on and on
            with store.transaction(self.engine) as c:
                store.forget_share(c, name, self.name)
            self._leave_former({name})
            LOG.info("centre: no broker keeps anything for %s any more", name)
            self._clear_due = 0.0
        if moment.mono < self._clear_due:
            return False
        self._clear_due = moment.mono + CLEAR_PERIOD_S
        names = [share_name(share, self.shares) for share in range(self.shares)]
        with store.transaction(self.engine) as c:
            former = store.shares_of_former_times(c, names, moment.wall)[:1]
            taken = [name for name in former if store.claim_share(c, name, self.name, moment.wall)]
        self._former.update({name: self._discard(name) for name in taken})
        return bool(taken)

    def _leave_former(self, names: set[str]) -> None:
        _end([link for name in names for link in self._former.pop(name)])

    def close(self) -> None:
        """Ends the connections, then gives up the leases, so that another worker need not wait for their end."""
        mine = [*(share_name(share, self.shares) for share in self.exchanges), *self._former]
        self._let_go(set(self.exchanges))
        self._leave_former(set(self._former))
        with store.transaction(self.engine) as c:
            for name in mine:
                store.release(c, name, self.name)
            store.worker_ends(c, self.name)


def _end(links: Sequence[Line]) -> None:
    """Tells all of them to end before any is waited for, and waits no longer than STOP_S for all."""
    for link in links:
        link.stop(0.0)
    for link in links:
        link.stop(STOP_S / len(links))


@dataclass(frozen=True, slots=True)
class Limit:
    """How many shares a worker should hold: up to `wanted` it takes when they are free, beyond `most` it lets go."""

    wanted: int
    most: int


def fair_limit(shares: int, name: str, holders: Sequence[str], others: set[str]) -> Limit:
    """Even shares, one moved at a time: the worker with most lets go of one while another has two fewer.

    holders  of the shares that are held, in any order; others: the other workers alive
    """
    mine = holders.count(name)
    fewest = min((holders.count(other) for other in others), default=shares)
    wanted = min(-(-shares // (len(others) + 1)), fewest + 1)
    greediest = all((mine, name) >= (holders.count(other), other) for other in others)
    return Limit(wanted, mine - 1 if greediest and mine > fewest + 1 else mine)
