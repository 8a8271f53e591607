"""Uplink: sealed cases out, answers in; the only service that dials the centre.

It reads wire/cases.db and wire/parts/ and writes wire/link.db. It never opens phi/, it can read neither a case nor a
verdict, and it can sign neither: a captured uplink learns where messages go and can hold them back, no more. A case is
safe only when the centre's own receipt names the digest of its bytes; what the broker acknowledges proves nothing and
only opens the window.

Every step may be killed anywhere: a sending is counted before it is made, an answer is committed before it is
acknowledged, and all timers start from nothing, so that after a restart everything without a receipt is due at once,
but for the parts that the centre has said it holds.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Engine

from appliance.config import Config, Places
from appliance.core.document import Document, encode
from appliance.core.keys import CentreKeys, PrivateKeys
from appliance.core.letter import sealed
from appliance.core.link import Will, Wire
from appliance.core.messages import DOWN_KINDS, UpKind, topic_desired, topic_down, topic_up
from appliance.core.updates import RINGS, in_ring
from appliance.errors import Misconfigured
from appliance.loop import FAULTS, LOG, Moment, Step
from appliance.uplink.corrections import Corrections
from appliance.uplink.hearing import Hearing
from appliance.uplink.pulse import Pulse, last_will
from appliance.uplink.sending import Sending
from appliance.world import keyring, mqtt, sqlite, wire

__all__ = ["Enrolling", "Hearing", "Ring", "Sending", "Uplink", "dial"]

LOOK_PERIOD_S = 5.0  # for keys, while there are none
FIRST_LOOK_S = 30.0  # at both ledgers of the wire


def look(places: Places) -> None:
    """Before anything is opened: with a damaged ledger uplink ends, and is not started again and again.

    A wire/link.db that is gone is no fault: what stood in it is sent again, and the centre drops what it has.
    Raises Misconfigured("ledger-damaged"), with its name.
    """
    ends = time.monotonic() + FIRST_LOOK_S
    for path in (places.link_db, places.cases_db):
        if path.exists() and path.stat().st_size and sqlite.is_sound(path, lambda: time.monotonic() > ends) is False:
            raise Misconfigured("ledger-damaged", path.name)


@dataclass(frozen=True, slots=True)
class Ring:
    """Uplink's own keys and the centre's: with these it signs what it says and opens what it hears."""

    own: PrivateKeys = field(repr=False)
    centre: CentreKeys


def dial(config: Config, wake: threading.Event, will: Will | None = None) -> mqtt.Link:
    """The connection uplink uses: its own topics, under the device's name. The caller starts and stops it.

    will    what the broker says when we are gone
    raises  Misconfigured("not-enrolled"): the broker is dialled with TLS and there is no certificate yet
    """
    network, device = config.network, config.site.device_id
    topics = [topic_down(device, kind) for kind in DOWN_KINDS]
    if config.updates.url:
        topics += [topic_desired(ring) for ring in RINGS if in_ring(ring, own=config.updates.ring, device=device)]
    timing = (network.keepalive_s, network.session_expiry_s)
    tls = keyring.line(network, config.keys)
    return mqtt.Link(network.broker_host, network.broker_port, device, topics, *timing, wake, tls=tls, will=will)


def new_life(randomness: random.Random) -> str:
    """A name for one start of the program."""
    return f"{randomness.getrandbits(128):032x}"


class Mailboxes:
    """Uplink's own database, and triage's, query-only."""

    def __init__(self, places: Places) -> None:
        self.places = places
        places.wire.mkdir(parents=True, exist_ok=True)
        self.ledger = sqlite.open_writer(places.link_db, wire.LINK)
        self._cases: Engine | None = None

    def cases(self) -> Engine | None:
        """Triage's mailbox; None until triage has made it."""
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
        self.ledger.dispose()
        if self._cases is not None:
            self._cases.dispose()


class Uplink:
    """The service. randomness spreads resends in time and draws nonces; the link's thread is not its business.

    life  of this start of the program, as its last will has it; drawn when there is no will
    """

    def __init__(
        self,
        config: Config,
        places: Places,
        ring: Ring,
        link: Wire,
        randomness: random.Random | None = None,
        *,
        life: str = "",
        hearing: type[Hearing] = Hearing,
        sending: type[Sending] = Sending,
    ) -> None:
        self.device, self.ring, self.link = config.site.device_id, ring, link
        self.mailboxes = Mailboxes(places)
        self.ledger = self.mailboxes.ledger
        drawn = randomness or random.SystemRandom()
        self.sending = sending(config.network, self.mailboxes, link, self.device, drawn)
        self.hearing = hearing(self.mailboxes, link, self.device, ring.own, ring.centre, self.sending, self.say, drawn)
        self.corrections = Corrections(config, self.mailboxes, link, drawn)
        self.pulse = Pulse(config, self.mailboxes, link, self.hearing, self.say, life or new_life(drawn))

    def steps(self) -> dict[str, Step]:
        found: dict[str, Step] = {
            "uplink.listen": self.hearing.listen,
            "uplink.roll_call": self.hearing.roll_call,
            "uplink.send": self.sending.send,
            "uplink.pulse": self.pulse.pulse,
            "uplink.line": self.pulse.line,
        }
        return {**found, **self.corrections.steps()}

    def say(self, kind: UpKind, document: Document, token: str) -> bool:
        """One small document to the centre, in a letter; False when the connection takes nothing now."""
        topic = topic_up(self.device, kind)
        letter = sealed(encode(document), place=topic, sender=self.ring.own, recipient=self.ring.centre.keys[0])
        return self.link.publish(topic, letter, token=token)

    def close(self) -> None:
        """Lets go of both databases; the connection is its owner's."""
        self.mailboxes.close()


class Enrolling:
    """The service as it is started: it dials once this appliance has keys, and looks for them until then."""

    def __init__(self, config: Config, places: Places, wake: threading.Event, randomness: random.Random) -> None:
        self.config, self.places, self.wake, self.randomness = config, places, wake, randomness
        self.on_hint: Callable[[], None] = lambda: None  # the centre says that there are updates
        self.link: mqtt.Link | None = None
        self.uplink: Uplink | None = None
        self._look_again = 0.0

    def steps(self) -> dict[str, Step]:
        names = ("listen", "roll_call", "send", "pulse", "line")
        own = ("corrections",) if self.config.learning.corrections == "send" else ()
        return {f"uplink.{name}": partial(self._run, f"uplink.{name}") for name in (*names, *own)}

    def _run(self, name: str, moment: Moment) -> bool:
        if self.uplink is None and not self._begin(moment):
            return False
        assert self.uplink is not None, "it has just begun"
        return self.uplink.steps()[name](moment)

    def _begin(self, moment: Moment) -> bool:
        if moment.mono < self._look_again:
            return False
        try:
            ring = Ring(keyring.own(self.config.keys, "uplink"), keyring.centre(self.config.keys))
            life = new_life(self.randomness)
            link = dial(self.config, self.wake, last_will(self.config.site.device_id, ring.own, ring.centre, life))
        except Misconfigured as fault:
            if fault.code != "not-enrolled":
                raise
            if not self._look_again:
                LOG.warning("uplink: %s", fault)
            FAULTS[fault.code] += 1
            self._look_again = moment.mono + LOOK_PERIOD_S
            return False
        self.link = link
        self.uplink = Uplink(self.config, self.places, ring, link, self.randomness, life=life)
        self.uplink.hearing.on_hint = self.on_hint
        self.link.start()
        return True

    def close(self) -> None:
        if self.link is not None:
            self.link.stop()
        if self.uplink is not None:
            self.uplink.close()
