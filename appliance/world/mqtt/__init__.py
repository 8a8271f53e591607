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
import socket
import threading
import time
from collections import deque
from collections.abc import Hashable, Sequence

from appliance.core.link import Acknowledged, Down, Event, Message, TlsFiles, Up, Will
from appliance.world.mqtt.connection import CONNECT_TIMEOUT_S, HANDSHAKE_TIMEOUT_S, OUTSTANDING_MAX, Connection, Publish

__all__ = ["OUTSTANDING_MAX", "Acknowledged", "Down", "Event", "Link", "Message", "TlsFiles", "Up", "Will"]

LOG = logging.getLogger("appliance.mqtt")

EVENTS_MAX = 256  # waiting for the service: more than both windows together
# From here on nothing more is read, and TCP holds the broker back. mosquitto 2.0 counts a window anew at every connect,
# so that a client which was killed again and again is handed far more than its Receive Maximum.
CROWDED = EVENTS_MAX - 64
RECONNECT_MIN_S = 0.5
RECONNECT_MAX_S = 30.0
STOP_WAIT_S = CONNECT_TIMEOUT_S + HANDSHAKE_TIMEOUT_S
STEADY_S = 10.0  # after a connection that lasted this long, waiting starts from the shortest again


class Link:
    """The service's end: start, poll, publish, ack, stop; all from the service's one thread.

    subscriptions     topic filters, each at QoS 1, made again on every connect
    session_expiry_s  how long the broker keeps our session while we are away (MQTT 5.0, 3.1.2.11.2); 0: what it kept
                      under this client id is thrown away, and nothing is kept
    wake              set whenever an event waits
    tls               None speaks in clear, which is for loopback only: the configuration sees to that
    will              what the broker says when we are gone and have not said goodbye
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
        tls: TlsFiles | None = None,
        will: Will | None = None,
        randomness: random.Random | None = None,
        reconnect_max_s: float = RECONNECT_MAX_S,
    ) -> None:
        self.host, self.port, self.client_id = host, port, client_id
        self.subscriptions = tuple(subscriptions)
        self.keepalive_s, self.session_expiry_s = keepalive_s, session_expiry_s
        self.tls, self.will = tls, will
        self.why_down = "not started"  # a class of fault in words, never an address or a payload
        self.down_code = "broker-away"  # the same for `status`, as a code of the catalogue
        self._wake, self._randomness, self._reconnect_max_s = wake, randomness or random.SystemRandom(), reconnect_max_s
        self._events: queue.Queue[Event] = queue.Queue(EVENTS_MAX)
        self._commands: deque[Publish | Message] = deque()  # a Message here is one to acknowledge; both are windowed
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

    def stop(self, wait_s: float = STOP_WAIT_S) -> None:
        """Says goodbye to the broker, which keeps the session, and ends the thread. Not to be started again.

        wait_s  for the thread to end; one that hangs in a connection ends by itself later. 0 only tells it to, so that
                many links can be told before any is waited for
        """
        self._stopping.set()
        self._nudge()
        if self._thread is not None:
            self._thread.join(wait_s)
        if self._thread is None or not self._thread.is_alive():
            self._close_bell()

    @property
    def connected(self) -> bool:
        return self._up

    @property
    def crowded(self) -> bool:
        """So many events wait for the service that no more are read."""
        return self._events.qsize() >= CROWDED

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
            self._commands.append(Publish(self._epoch, topic, payload, token))
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
        if len(events) >= CROWDED:
            self._nudge()
        return events

    def _close_bell(self) -> None:
        """By whoever is the last to use it: the network thread where there is one."""
        self._near.close()
        self._far.close()

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):  # full of wake-ups already, or closed by `stop`
            self._near.send(b"!")

    def _run(self) -> None:
        """The network thread: one connection after the other until stop."""
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            connection = Connection(self)
            connection.hold()
            self.why_down, self.down_code = connection.why, connection.code
            self._end_epoch()
            failures = 0 if time.monotonic() - began > STEADY_S else min(failures + 1, 16)
            if not self._stopping.is_set():
                LOG.info("no connection: %s, %s", self.down_code, self.why_down)
            self._stopping.wait(self._randomness.uniform(0, min(self._reconnect_max_s, RECONNECT_MIN_S * 2**failures)))
        self._close_bell()

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
