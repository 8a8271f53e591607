"""One MQTT 5 connection that is never trusted: a pipe which says what it did and keeps nothing.

One thread owns paho: it alone connects, reads, writes and acknowledges, and its callbacks only enqueue. The service
takes events from `poll` and hands over what to publish; nothing waits inside paho for a connection to come back, and
a message is acknowledged to the broker only when the service says so. Every connection is a fresh paho client on the
same broker session (fixed client id, clean start off), so no packet identifier outlives its connection.

It refuses to queue while disconnected, to retry a publish, to read a topic or to know what a message means.
"""

import contextlib
import logging
import queue
import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from appliance.core.link import PACKET_TOO_LARGE, Acknowledged, Down, Event, Message, Up

__all__ = ["Acknowledged", "Down", "Event", "Link", "Message", "Up"]

LOG = logging.getLogger("appliance.mqtt")

OUTSTANDING_MAX = 16  # published and not yet acknowledged by the broker
RECEIVE_MAX = 16  # delivered to us and not yet acknowledged by us (Receive Maximum, MQTT 5.0, 3.1.2.11.3)
EVENTS_MAX = 256  # waiting for the service: more than both windows together
PACKET_BYTES_MAX = 512 * 1024  # the broker must not send us larger ones (Maximum Packet Size, 3.1.2.11.4)
HEADER_BYTES = 32  # more than the fixed and variable header of a PUBLISH without properties, the topic apart
CONNECT_TIMEOUT_S = 5.0
HANDSHAKE_TIMEOUT_S = 10.0  # from the TCP connection to the subscription's acknowledgement
PUBACK_TIMEOUT_S = 120.0  # a broker that answers pings but no publish is hung up on
TICK_S = 0.5
RECONNECT_MIN_S = 0.5
RECONNECT_MAX_S = 30.0
STEADY_S = 10.0  # after a connection that lasted this long, waiting starts from the shortest again


@dataclass(frozen=True, slots=True)
class _Publish:
    epoch: int
    topic: str
    payload: bytes
    token: Hashable


class Link:
    """The service's end: start, poll, publish, ack, stop; all from the service's one thread.

    subscriptions     topic filters, each at QoS 1, made again on every connect
    session_expiry_s  how long the broker keeps our session while we are away (MQTT 5.0, 3.1.2.11.2)
    wake              set whenever an event waits
    randomness        spreads reconnects: full jitter, so that a fleet does not come back at one instant
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: str,
        subscriptions: Sequence[str],
        keepalive_s: int,
        session_expiry_s: int,
        wake: threading.Event,
        *,
        randomness: random.Random | None = None,
        reconnect_max_s: float = RECONNECT_MAX_S,
    ) -> None:
        self.host, self.port, self.client_id = host, port, client_id
        self.subscriptions = tuple(subscriptions)
        self.keepalive_s, self.session_expiry_s = keepalive_s, session_expiry_s
        self.why_down = "not started"  # for `status`: a class of fault, never an address or a payload
        self._wake, self._randomness, self._reconnect_max_s = wake, randomness or random.SystemRandom(), reconnect_max_s
        self._events: queue.Queue[Event] = queue.Queue(EVENTS_MAX)
        self._commands: deque[_Publish | Message] = deque()  # a Message here is one to acknowledge; both are windowed
        self._lock = threading.Lock()  # guards _commands and the four below, which both threads touch
        self._epoch, self._up, self._outstanding, self._window = 0, False, 0, OUTSTANDING_MAX
        self._stopping = threading.Event()
        self._near, self._far = socket.socketpair()  # one byte wakes the network thread out of its select
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"mqtt {self.client_id}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Says goodbye to the broker, which keeps the session, and ends the thread. Not to be started again."""
        self._stopping.set()
        self._nudge()
        if self._thread is not None:
            self._thread.join(CONNECT_TIMEOUT_S + HANDSHAKE_TIMEOUT_S)
        self._near.close()
        self._far.close()

    @property
    def connected(self) -> bool:
        return self._up

    @property
    def outstanding(self) -> int:
        """Publishes the broker has not yet answered."""
        return self._outstanding

    def publish(self, topic: str, payload: bytes, *, token: Hashable) -> bool:
        """As core.link.Wire says: False when there is no connection or its window is full."""
        with self._lock:
            if not self._up or self._outstanding >= self._window:
                return False
            self._outstanding += 1
            self._commands.append(_Publish(self._epoch, topic, payload, token))
        self._nudge()
        return True

    def ack(self, message: Message) -> None:
        """As core.link.Wire says: after a reconnect the old packet identifier may belong to another message."""
        with self._lock:
            if message.qos == 0 or message.epoch != self._epoch:
                return
            self._commands.append(message)
        self._nudge()

    def poll(self) -> list[Event]:
        """What happened since the last poll, in order. Starts the network thread again should it have died."""
        if self._thread is not None and not self._thread.is_alive() and not self._stopping.is_set():
            LOG.error("the network thread was dead and is started again")
            self._end_epoch()
            self.start()
        events: list[Event] = []
        with contextlib.suppress(queue.Empty):
            while len(events) < EVENTS_MAX:
                events.append(self._events.get_nowait())
        return events

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):  # full of wake-ups already, or closed by `stop`
            self._near.send(b"!")

    def _run(self) -> None:
        """The network thread: one connection after the other until stop."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self.why_down = _Connection(self).hold()
            self._end_epoch()
            failures = 0 if time.monotonic() - began > STEADY_S else min(failures + 1, 16)
            if not self._stopping.is_set():
                LOG.info("no connection: %s", self.why_down)
            self._stopping.wait(self._randomness.uniform(0, min(self._reconnect_max_s, RECONNECT_MIN_S * 2**failures)))

    def _begin_epoch(self) -> int:
        with self._lock:
            self._epoch += 1
            return self._epoch

    def _come_up(self, window: int) -> None:
        with self._lock:
            self._up, self._window = True, min(window, OUTSTANDING_MAX)
        self._put(Up(self._epoch))

    def _end_epoch(self) -> None:
        """Forgets what was under way and says so once.

        What was delivered and not acknowledged comes again, so the events still waiting are dropped: the queue stays
        bounded however often the connection flaps while the service is busy.
        """
        with self._lock:
            tell, self._up, self._outstanding = self._up, False, 0
            self._epoch += 1  # from now on nobody acknowledges in the epoch that ended
            self._commands.clear()
        with contextlib.suppress(queue.Empty):
            while True:
                tell |= isinstance(self._events.get_nowait(), Down)
        if tell:
            self._put(Down())

    def _put(self, event: Event) -> bool:
        try:
            self._events.put_nowait(event)
        except queue.Full:
            return False
        self._wake.set()
        return True

    def _answered(self, token: Hashable, reason_code: int) -> bool:
        with self._lock:
            self._outstanding -= 1
        return self._put(Acknowledged(token, reason_code))


class _Connection:
    """One paho client from CONNECT to the end of its socket; lives in the network thread only."""

    def __init__(self, link: Link) -> None:
        self.link, self.epoch = link, link._begin_epoch()
        self.why, self.over, self.ready = "closed by the broker", False, False
        self.window, self.packet_bytes_max = OUTSTANDING_MAX, PACKET_BYTES_MAX
        self.tokens: dict[int, tuple[Hashable, float]] = {}  # by packet identifier, with the time of sending
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=link.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self.client.connect_timeout = CONNECT_TIMEOUT_S
        self.client.max_inflight_messages_set(OUTSTANDING_MAX + 1)  # never reached: paho is given nothing to queue
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_message = self._on_message
        self.client.on_publish = self._on_publish

    def hold(self) -> str:
        """Connects, works until the connection ends, and returns why it did."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self.link.session_expiry_s
        properties.ReceiveMaximum = RECEIVE_MAX
        properties.MaximumPacketSize = PACKET_BYTES_MAX
        link = self.link
        try:
            self.client.connect(link.host, link.port, link.keepalive_s, clean_start=False, properties=properties)
            self._work()
        except OSError as error:
            return type(error).__name__
        finally:
            self.client.disconnect()
            left = self.client.socket()
            if left is not None:  # the goodbye did not fit into the socket
                left.close()
        return self.why

    def _work(self) -> None:
        began, held, far = time.monotonic(), self.client.socket(), self.link._far
        if held is None:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(held, selectors.EVENT_READ)
            selector.register(far, selectors.EVENT_READ)
            while not self.over and not self.link._stopping.is_set() and self.client.socket() is held:
                writing = selectors.EVENT_WRITE if self.client.want_write() else 0
                selector.modify(held, selectors.EVENT_READ | writing)
                for key, mask in selector.select(TICK_S):
                    if key.fileobj is far:
                        with contextlib.suppress(BlockingIOError):
                            far.recv(4096)
                    elif mask & selectors.EVENT_READ and self.client.loop_read() != MQTTErrorCode.MQTT_ERR_SUCCESS:
                        return
                self._obey()
                if self.client.want_write():
                    self.client.loop_write()
                self.client.loop_misc()
                self._look_at_the_clock(time.monotonic(), began)

    def _obey(self) -> None:
        while self.link._commands:
            command = self.link._commands.popleft()
            if command.epoch != self.epoch:
                continue
            if isinstance(command, Message):
                self.client.ack(command.mid, command.qos)
            elif len(command.payload) + len(command.topic.encode()) + HEADER_BYTES > self.packet_bytes_max:
                self.link._answered(command.token, PACKET_TOO_LARGE)
            else:
                info = self.client.publish(command.topic, command.payload, qos=1)
                self.tokens[info.mid] = (command.token, time.monotonic())

    def _look_at_the_clock(self, now: float, began: float) -> None:
        if not self.ready and now - began > HANDSHAKE_TIMEOUT_S:
            self._hang_up("the broker did not finish the handshake")
        oldest = next(iter(self.tokens.values()), None)
        if oldest is not None and now - oldest[1] > PUBACK_TIMEOUT_S:
            self._hang_up("the broker does not acknowledge")

    def _hang_up(self, why: str) -> None:
        self.why, self.over = why, True

    # paho's callbacks: they enqueue or note, and raise nothing, because an exception would end the thread.

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: ReasonCode, found: Any) -> None:
        if reason.is_failure:
            self._hang_up(f"refused: {reason}")
            return
        self.window = getattr(found, "ReceiveMaximum", OUTSTANDING_MAX)
        self.packet_bytes_max = getattr(found, "MaximumPacketSize", PACKET_BYTES_MAX)
        if self.link.subscriptions:
            self.client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self.link.subscriptions])
        else:
            self._be_ready()

    def _on_subscribe(self, _client: Client, _data: Any, _mid: int, reasons: list[ReasonCode], _found: Any) -> None:
        failed = [str(reason) for reason in reasons if reason.is_failure]
        if failed:
            self._hang_up(f"subscription refused: {failed[0]}")
        else:
            self._be_ready()

    def _be_ready(self) -> None:
        self.ready = True
        self.link._come_up(self.window)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        event = Message(topic, bytes(message.payload), self.epoch, message.mid, message.qos)
        if not self.link._put(event) and message.qos > 0:
            self._hang_up("the service does not keep up")  # the broker delivers again, so nothing is lost

    def _on_publish(self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _found: Any) -> None:
        token, _sent_at = self.tokens.pop(mid)
        if not self.link._answered(token, int(reason.value)):
            self._hang_up("the service does not keep up")
