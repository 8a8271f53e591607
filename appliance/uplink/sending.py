"""What uplink sends: manifests and parts, the most urgent first, as much at a time as the line carries without a queue.

Which transfer goes next is asked anew for every message, so a critical case overtakes a bulky one that is half sent. A
part goes again only when the centre does not say that it has it. Nothing here frees anything.
"""

import hashlib
import random
from collections.abc import Collection, Hashable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine

from appliance.config import Network, Places
from appliance.core.enclosure import Enclosed
from appliance.core.link import Wire
from appliance.core.messages import topic_up
from appliance.core.schedule import SERIES_TIER, Bucket, Window, exempt, per_hour, per_second
from appliance.core.transfer import all_parts, missing, part_message, span
from appliance.errors import Fault, Quarantined
from appliance.loop import Moment, guarded
from appliance.uplink.flight import AHEAD_PARTS_MAX, MANIFEST, Flight
from appliance.world import mqtt, wire
from appliance.world.wire import freight

LOOK_PERIOD_S = 2.0  # between two looks at all open transfers when nothing was due, put or heard
IN_FLIGHT_MAX = mqtt.OUTSTANDING_MAX - 4  # messages; the rest of the connection's window is for `taken` and the roll
JITTER = (0.75, 1.25)  # of a wait between two sendings: cases that failed together do not come back together
AHEAD_ALL_MAX = 192  # of all transfers together, critical cases apart: what a broker may have to keep for us
NOBODY_PAUSE_S = 5.0  # after the broker said that nobody listens or that it takes nothing
READ_BYTES = 1 << 20


class Mailboxes(Protocol):
    """Uplink's own database, and triage's once it is there."""

    ledger: Engine
    places: Places

    def cases(self) -> Engine | None: ...


@dataclass(frozen=True, slots=True)
class _Handed:
    """A message the broker has not answered yet."""

    bytes: int
    at: float


class Sending:
    """The step send, and what hearing tells it."""

    def __init__(
        self, network: Network, mailboxes: Mailboxes, link: Wire, device_id: str, randomness: random.Random
    ) -> None:
        self.network, self.mailboxes, self.link, self.randomness = network, mailboxes, link, randomness
        self.topics = {True: topic_up(device_id, "manifest"), False: topic_up(device_id, "part")}
        self.window = Window(network.in_flight_bytes)
        self.buckets: tuple[Bucket, ...] = ()
        self._flights: dict[str, Flight] = {}
        self._under_way: dict[Hashable, _Handed] = {}
        self._whole: set[str] = set()  # transfers whose bytes were found to be what was sealed, in this life
        self._looked_at, self._look_again, self._nobody_until = 0, 0.0, 0.0

    # What hearing tells.

    def look_again(self) -> None:
        self._look_again = 0.0

    def acknowledged(self, token: Hashable, sent: bool, moment: Moment) -> None:
        """The broker answered: the window moves, and nothing else is concluded from it."""
        handed = self._under_way.pop(token, None)
        if handed is not None:
            self.window = self.window.answered(handed.bytes, moment.mono - handed.at, moment.mono)
        if not sent:
            self._nobody_until = moment.mono + NOBODY_PAUSE_S

    def broken(self) -> None:
        """The connection went: what the broker had not acknowledged is lost, the rest may still arrive."""
        for token in self._under_way:
            transfer_id, index = token if isinstance(token, tuple) else ("", MANIFEST)
            flight = self._flights.get(transfer_id)
            if flight is None:
                continue
            if index == MANIFEST:
                flight.announced, flight.due = False, 0.0
            else:
                flight.flown &= ~(1 << index)
        self._under_way.clear()
        self.window = self.window.broken()
        self._nobody_until = 0.0

    def holds(self, transfer_id: str, have: int) -> None:
        """The centre says which parts it has."""
        flight = self._flights.get(transfer_id)
        if flight is not None:
            if have & ~flight.have:
                flight.wait_s = self.network.resend_after_s
            flight.have |= have

    def forgotten(self, transfer_id: str, moment: Moment) -> None:
        """The centre has no manifest of this transfer: all of it goes again, unless that was sent just now."""
        flight = self._flights.get(transfer_id)
        if flight is not None and moment.mono - flight.sent >= NOBODY_PAUSE_S:
            flight.have, flight.due = 0, 0.0
            flight.again()

    def hasten(self, case_ids: Collection[str], asked_at: float, moment: Moment) -> None:
        """What the centre does not know although it was sent before we asked, was lost on the way: due now."""
        for flight in self._flights.values():
            before = flight.announced and flight.sent < asked_at
            if before and flight.load.case_id in case_ids and not flight.have:
                flight.due = moment.mono

    def half_sent(self, limit: int) -> tuple[str, ...]:
        """Transfers of several parts on their way: the centre is asked what it has of them."""
        found = (t for t, flight in self._flights.items() if flight.announced and flight.load.parts > 1)
        return tuple(sorted(found)[:limit])

    # The step.

    def send(self, moment: Moment) -> bool:
        """Sends what is due, the most urgent first, within the window of bytes the broker has not answered yet."""
        cases = self.mailboxes.cases()
        if cases is None or not self.link.connected or len(self._under_way) >= IN_FLIGHT_MAX:
            return False
        if moment.mono < self._nobody_until:
            return False
        self._fill(moment)
        batch = self._batch(cases, moment)
        if not batch:
            return False
        announced = [(flight, data) for flight, index, data in batch if index == MANIFEST or isinstance(data, Fault)]
        if announced:
            with self.mailboxes.ledger.begin() as c:
                for flight, data in announced:
                    self._record(c, flight, data, moment)
        said = False
        for flight, index, data in batch:
            if not isinstance(data, Fault):
                if not self._publish(flight, index, data, moment):
                    break
                said = True
        return said

    def _batch(self, cases: Engine, moment: Moment) -> list[tuple[Flight, int, bytes | Fault]]:
        """The messages to send now; looks no further than the window reaches.

        After a look at all transfers in vain, it looks again when a case is put, anything is heard or time has passed.
        """
        batch: list[tuple[Flight, int, bytes | Fault]] = []
        with cases.connect() as c, self.mailboxes.ledger.connect() as own:
            newest = wire.newest_row(c)
            due = min((flight.due for flight in self._flights.values()), default=self._look_again)
            if newest == self._looked_at and moment.mono < min(due, self._look_again):
                return batch
            seen: set[str] = set()
            room = self._room(batch)
            ahead = sum(flight.ahead for flight in self._flights.values())
            for load in freight.unsettled_transfers(c, own, moment.wall):
                seen.add(load.enclosed.transfer_id)
                for index, data in self._messages(load, moment, ahead):
                    flight = self._flights[load.enclosed.transfer_id]
                    size = 0 if isinstance(data, Fault) else len(data)
                    if not room(size, exempt(load.enclosed.urgency, load.enclosed.tier)):
                        return batch
                    batch.append((flight, index, data))
                    ahead += index != MANIFEST
        for lost in self._flights.keys() - seen:
            del self._flights[lost]
        self._whole &= seen
        self._looked_at, self._look_again = newest, moment.mono + LOOK_PERIOD_S
        return batch

    def _messages(self, load: freight.Load, moment: Moment, ahead: int) -> Iterator[tuple[int, bytes | Fault]]:
        """What this transfer has to send now, in order; marks nothing as sent."""
        told = load.enclosed
        flight = self._flights.setdefault(told.transfer_id, Flight(told, load.have, self.network.resend_after_s))
        flown_all = flight.announced and not all_parts(told.parts) & ~(flight.have | flight.flown)
        stuck = flown_all or flight.ahead >= AHEAD_PARTS_MAX
        if flight.announced and stuck and self._is_due(flight, moment):
            flight.again()
            flight.wait_s = min(flight.wait_s * 2, max(self.network.resend_after_s, self.network.resend_after_max_s))
        elif not flight.announced and moment.mono < flight.due:  # it could not be read a while ago
            return
        if flight.next() is None:
            return
        if not flight.announced:
            fault = self._check(told)
            yield MANIFEST, told.letter if fault is None else fault
            if fault is not None:
                return
        given, taken_ahead = flight.have | flight.flown, flight.ahead
        for index in missing(given, told.parts):
            full = taken_ahead >= AHEAD_PARTS_MAX or (ahead >= AHEAD_ALL_MAX and not exempt(told.urgency, told.tier))
            if full:
                return
            data = guarded("uplink.send", partial(self._part, told, index))
            yield index, data
            if isinstance(data, Fault):
                return
            taken_ahead, ahead = taken_ahead + 1, ahead + 1

    def _is_due(self, flight: Flight, moment: Moment) -> bool:
        return moment.mono >= flight.due

    def _room(self, batch: list[tuple[Flight, int, bytes | Fault]]) -> "_Room":
        return _Room(self, batch)

    def _check(self, told: Enclosed) -> Fault | None:
        """None when the sealed bytes are what was sealed; read through once in this life of the process."""
        if told.transfer_id in self._whole:
            return None
        found = guarded("uplink.send", partial(self._digest, self.mailboxes.places.parts / told.sha256))
        if isinstance(found, Fault):
            return found
        if found != told.sha256:
            return Quarantined("part-damaged")
        self._whole.add(told.transfer_id)
        return None

    def _digest(self, path: Path) -> str:
        digest = hashlib.sha256()
        try:
            with path.open("rb") as file:
                while piece := file.read(READ_BYTES):
                    digest.update(piece)
        except FileNotFoundError:
            raise Quarantined("part-damaged") from None
        return digest.hexdigest()

    def _part(self, told: Enclosed, index: int) -> bytes:
        """One part message. Raises Quarantined("part-damaged") where the bytes are gone."""
        offset, length = span(index, told.sealed_bytes)
        try:
            with (self.mailboxes.places.parts / told.sha256).open("rb") as file:
                file.seek(offset)
                data = file.read(length)
        except FileNotFoundError:
            data = b""
        if len(data) != length:
            self._whole.discard(told.transfer_id)
            raise Quarantined("part-damaged")
        return part_message(told.transfer_id, index, data)

    def _record(self, c: Connection, flight: Flight, data: bytes | Fault, moment: Moment) -> None:
        told = flight.load
        if isinstance(data, Fault):
            freight.record_transfer_fault(c, told, data.code)
            if told.tier < SERIES_TIER:
                wire.record_unsendable(c, told.case_id, data.code)
            flight.again()
            flight.due = moment.mono + self.network.resend_after_max_s
            return
        freight.record_manifest_sent(c, told, moment.wall)
        if told.tier < SERIES_TIER:
            wire.record_sent(c, told.case_id, moment.wall)

    def _publish(self, flight: Flight, index: int, data: bytes, moment: Moment) -> bool:
        token = (flight.load.transfer_id, index)
        if not self.link.publish(self.topics[index == MANIFEST], data, token=token):
            return False  # still due: the window was full or the connection went
        self._under_way[token] = _Handed(len(data), moment.mono)
        if not exempt(flight.load.urgency, flight.load.tier):
            self.buckets = tuple(bucket.without(len(data)) for bucket in self.buckets)
        if index == MANIFEST:
            flight.announced = True
        else:
            flight.flown |= 1 << index
        flight.sent = moment.mono
        flight.due = moment.mono + flight.wait_s * self.randomness.uniform(*JITTER)
        return True

    def _fill(self, moment: Moment) -> None:
        if not self.buckets:
            self.buckets = (
                per_second(self.network.bandwidth_bytes_per_s, moment.mono),
                per_hour(self.network.bytes_per_hour_max, moment.mono),
            )
        self.buckets = tuple(bucket.filled(moment.mono) for bucket in self.buckets)

    def in_flight_bytes(self) -> int:
        return sum(handed.bytes for handed in self._under_way.values())


class _Room:
    """Whether one more message fits, beside what is under way and what was chosen before it in this step."""

    def __init__(self, sending: Sending, batch: list[tuple[Flight, int, bytes | Fault]]) -> None:
        self.sending, self.batch = sending, batch
        self.bytes, self.count = sending.in_flight_bytes(), len(sending._under_way)
        self.buckets = sending.buckets

    def __call__(self, size: int, urgent: bool) -> bool:
        if self.count >= IN_FLIGHT_MAX or not self.sending.window.fits(size, self.bytes):
            return False
        if not urgent and not all(bucket.open for bucket in self.buckets):
            return False
        self.bytes, self.count = self.bytes + size, self.count + 1
        if not urgent:
            self.buckets = tuple(bucket.without(size) for bucket in self.buckets)
        return True
