"""A broker in memory that does what the worst broker may: lose, double, delay, reorder, forget, hang up."""

import random
from collections.abc import Hashable

from appliance.core.link import Acknowledged, Down, Event, Message, Up

WINDOW = 5  # delivered to a client and not acknowledged by it (Receive Maximum, MQTT 5.0, 3.3.4)


class Net:
    """Two ends and what is between them. In calm weather everything sent while both are connected arrives once."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.stormy = True
        self.flying: list[tuple[str, str, bytes]] = []  # to, topic, payload
        self.ends: dict[str, End] = {}

    def end(self, name: str, peer: str) -> "End":
        """A fresh connection of a client: its predecessor's is gone, its session is not."""
        session = self.ends[name].session if name in self.ends else {}
        self.ends[name] = End(self, name, peer, session)
        return self.ends[name]

    def blow(self) -> None:
        """Weather between two steps: messages land, are lost or doubled; connections drop and come back."""
        self.dice.shuffle(self.flying)
        for _ in range(min(len(self.flying), self.dice.randint(1, 4))):
            to, topic, payload = self.flying.pop()
            if self.stormy and self.dice.random() < 0.15:
                continue
            if self.stormy and self.dice.random() < 0.15:
                self.flying.append((to, topic, payload))
            self.ends[to].arrive(topic, payload)
        for end in self.ends.values():
            if self.stormy and self.dice.random() < 0.03:
                end.drop()
            elif not end.connected and (not self.stormy or self.dice.random() < 0.3):
                end.connect()


class End:
    """core.link.Wire for one client."""

    def __init__(self, net: Net, name: str, peer: str, session: dict[int, tuple[str, bytes]]) -> None:
        self.net, self.name, self.peer, self.session = net, name, peer, session
        self.connected = False
        self.epoch = 0
        self.events: list[Event] = []
        self.flight: set[int] = set()
        self.mid = max(session, default=0)

    def connect(self) -> None:
        self.connected, self.epoch = True, self.epoch + 1
        self.flight.clear()
        self._deliver()  # what was not acknowledged comes again, and comes before the subscription is acknowledged
        self.events.append(Up(self.epoch))

    def stop(self, wait_s: float = 0.0) -> None:
        """Its owner lets go of it; the session stays."""
        self.drop()

    def drop(self) -> None:
        if self.connected:
            self.connected = False
            self.events = [Down()]
            if self.net.dice.random() < 0.2:
                self.session.clear()  # a broker that was killed forgets what it had acknowledged

    def arrive(self, topic: str, payload: bytes) -> None:
        self.mid += 1
        self.session[self.mid] = (topic, payload)
        if self.connected:
            self._deliver()

    def _deliver(self) -> None:
        for mid, (topic, payload) in self.session.items():
            if len(self.flight) >= WINDOW:
                return
            if mid not in self.flight:
                self.flight.add(mid)
                self.events.append(Message(topic, payload, self.epoch, mid, 1))

    def publish(self, topic: str, payload: bytes, *, token: Hashable) -> bool:
        if not self.connected:
            return False
        self.net.flying.append((self.peer, topic, payload))
        self.events.append(Acknowledged(token, 0))
        return True

    def poll(self) -> list[Event]:
        found, self.events = self.events, []
        return found

    def ack(self, message: Message) -> None:
        if message.epoch == self.epoch and self.connected:
            self.session.pop(message.mid, None)
            self.flight.discard(message.mid)
            self._deliver()
