"""What uplink says so that the centre knows this appliance lives, and the last will it leaves with the broker.

A status holds numbers, times, codes, versions and digests: nothing of it is about a patient or a case. What uplink does
not know triage says in a row of wire/cases.db. Nothing waits for a status's arrival, and nothing here depends on it.
"""

from typing import Protocol

from sqlalchemy import Engine

from appliance import __version__
from appliance.config import Config, Places
from appliance.core.bulletin import Bulletin
from appliance.core.document import encode
from appliance.core.keys import CentreKeys, PrivateKeys
from appliance.core.letter import sealed
from appliance.core.link import Will, Wire
from appliance.core.messages import COUNT_MAX, STATUS_PERIOD_S, WILL_DELAY_S, Gone, Status, Waiting, topic_up
from appliance.errors import Unavailable
from appliance.loop import LOG, Moment
from appliance.uplink.hearing import Hearing, Say
from appliance.world import archive, keyring, wire
from appliance.world.wire import bulletins, freight, pulses, queue

PRODUCT = f"edge-diagnostic-appliance/{__version__}"
OLDEST_S_MAX = 2**31
LINE_PERIOD_S = 10.0  # how often the page hears that uplink lives
UNDER_WAY = ("queued", "sending")  # states of a case that waits for the centre's receipt


class Mailboxes(Protocol):
    """Uplink's own database, and triage's once it is there."""

    ledger: Engine
    places: Places

    def cases(self) -> Engine | None: ...


def last_will(device_id: str, own: PrivateKeys, centre: CentreKeys, life: str) -> Will:
    """What the broker says when this life of the program goes without a goodbye. It is sealed before it is needed."""
    topic = topic_up(device_id, "gone")
    letter = sealed(encode(Gone(life=life)), place=topic, sender=own, recipient=centre.keys[0])
    return Will(topic, letter, WILL_DELAY_S)


class Pulse:
    """The step pulse: a status on every connect and every few minutes.

    life  drawn at random at the start of the program, the same as in its last will
    """

    def __init__(self, config: Config, mailboxes: Mailboxes, link: Wire, hearing: Hearing, say: Say, life: str) -> None:
        self.config, self.spool_bytes_max = config, config.network.spool_bytes_max
        self.mailboxes, self.link, self.hearing, self.say, self.life = mailboxes, link, hearing, say, life
        self._number, self._unsaid = 0, False
        self._connects, self._due = 0, 0.0
        self._connected: bool | None = None
        self._line_due = 0.0

    def line(self, moment: Moment) -> bool:
        """Writes down for the page whether the broker is reached: at once when that changes, else now and then."""
        now = self.link.connected
        if now == self._connected and moment.mono < self._line_due:
            return False
        with self.mailboxes.ledger.begin() as c:
            pulses.say_line(c, now, moment.wall)
        self._connected, self._line_due = now, moment.mono + LINE_PERIOD_S
        return False

    def pulse(self, moment: Moment) -> bool:
        """Says the status when it is due and the connection takes it."""
        if not self.link.connected or (self._connects == self.hearing.connects and moment.mono < self._due):
            return False
        if not self.say("status", self._status(moment), "status"):
            return False
        self._unsaid = False
        self._connects, self._due = self.hearing.connects, moment.mono + STATUS_PERIOD_S
        return True

    def _status(self, moment: Moment) -> Status:
        waiting, oldest_s, spooled = self._queue(moment)
        free = min(self.spool_bytes_max - spooled, archive.free_bytes(self.mailboxes.places.wire))
        return Status(
            number=self._next(moment),
            life=self.life,
            said_at=max(int(moment.wall), 0),
            product=PRODUCT,
            waiting=waiting,
            oldest_s=oldest_s,
            free_bytes=max(free, 0),
            line_ends=self._line_ends(),
            bulletin=self._bulletin(),
        )

    def _line_ends(self) -> int | None:
        """When the certificate of the line ends: only this service may read it."""
        if not self.config.network.broker_tls:
            return None
        at = keyring.line_ends_at(self.config.keys)
        return None if at is None else max(int(at), 0)

    def _bulletin(self) -> Bulletin | None:
        cases = self.mailboxes.cases()
        if cases is None:
            return None
        with cases.connect() as c:
            return bulletins.newest(c)

    def _queue(self, moment: Moment) -> tuple[Waiting, int, int]:
        """Who waits, the oldest's age in seconds, and the bytes that lie in the spool."""
        cases = self.mailboxes.cases()
        if cases is None:
            return Waiting(critical=0, urgent=0, routine=0), 0, 0
        with cases.connect() as c, self.mailboxes.ledger.connect() as own:
            under_way = [case for case in queue.open_now(c, own) if case.state in UNDER_WAY]
            spooled = queue.spooled_bytes(c, freight.received_transfers(own), wire.received_case_ids(own))
        urgencies = [case.urgency for case in under_way]
        counted = {word: min(urgencies.count(word), COUNT_MAX) for word in ("critical", "urgent", "routine")}
        oldest = max((moment.wall - case.created_at for case in under_way), default=0.0)
        return Waiting(**counted), min(max(int(oldest), 0), OLDEST_S_MAX), spooled

    def _next(self, moment: Moment) -> int:
        """The number of this status, kept before it is said; one that could not be said yet is not spent.

        A full disk must not make the appliance look dead, of all times: then the number is kept in this life only. It
        would be too small after a restart only if the clock had been put back meanwhile.
        """
        if not self._unsaid:
            least = max(self._number + 1, int(moment.wall * 1000))
            try:
                with self.mailboxes.ledger.begin() as c:
                    self._number = pulses.next_number(c, least)
            except Unavailable as fault:
                LOG.warning("uplink.pulse: %s", fault)
                self._number = least
            self._unsaid = True
        return self._number
