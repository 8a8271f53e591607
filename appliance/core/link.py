"""What a connection to the broker tells its owner, and the few things its owner may ask of it: plain values.

`Wire` is the shape of `appliance.world.mqtt.Link`, so that a simulation can hand a service a wire that loses,
doubles and reorders. Nothing here says what a message means.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

NO_SUBSCRIBERS = 0x10  # PUBACK: the broker took the message and had nobody to pass it to (MQTT 5.0, 3.4.2.1)
FAILURES = 0x80  # reason codes from here on are refusals (MQTT 5.0, 2.4)
PACKET_TOO_LARGE = 0x95


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came.

    epoch  the connection that delivered it: only in that epoch can it be acknowledged
    mid    its packet identifier there; qos 0 needs no acknowledgement
    topic  "" when the topic was no UTF-8
    """

    topic: str
    payload: bytes
    epoch: int
    mid: int
    qos: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker's answer to one publish (PUBACK)."""

    token: Hashable
    reason_code: int

    @property
    def sent(self) -> bool:
        """The broker has a subscriber to pass it to. That is not delivery: only the centre's receipt is."""
        return self.reason_code < FAILURES and self.reason_code != NO_SUBSCRIBERS


@dataclass(frozen=True, slots=True)
class Up:
    """Connected and subscribed."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Down:
    """The connection is gone, and with it every publish that was not acknowledged."""


Event = Message | Acknowledged | Up | Down


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: who signed the broker's certificate, and our own certificate with its key."""

    authority: str
    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says in our name, at QoS 1, when the connection ends without a goodbye and stays away so long.

    delay_s  MQTT 5.0, 3.1.3.2.2: a link that flaps is not mourned each time
    """

    topic: str
    payload: bytes
    delay_s: int


class Wire(Protocol):
    """A pipe that keeps nothing: what it cannot send now, it refuses."""

    @property
    def connected(self) -> bool: ...

    def publish(self, topic: str, payload: bytes, *, token: Hashable) -> bool:
        """Hands one QoS 1 message to the connection; False when there is none or its window is full.

        True promises one of two events and no more: Acknowledged with this token, or Down.
        """
        ...

    def poll(self) -> list[Event]:
        """What happened since the last poll, in order."""
        ...

    def ack(self, message: Message) -> None:
        """Tells the broker that this message is safe here; in any later epoch nothing is said and it comes again."""
        ...
