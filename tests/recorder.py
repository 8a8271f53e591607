"""A relay on loopback that keeps a copy of every byte either way: what a capture on the wire would hold.

It stands where tcpdump would, which is not on every machine and asks for rights; it sees the same payload bytes, put
in order already. `packets` takes MQTT 5 apart again.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass
class Recorder:
    """Dial `port` instead of the target.

    port  0 takes a free one
    cut   ends every connection without a goodbye and takes no more
    stop  the same, and the thread has ended when it returns
    """

    target: int
    port: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, self.port))
        self.port = self._listener.getsockname()[1]
        self._lock, self._kept = threading.Lock(), list[bytearray]()
        self._streams: dict[socket.socket, bytearray] = {}  # by the socket the bytes came from
        self._near, self._far = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def streams(self) -> list[bytes]:
        """What passed so far: one stream for each direction of each connection."""
        with self._lock:
            return [bytes(each) for each in self._kept]

    def cut(self) -> None:
        self._near.send(b"!")
        self._thread.join(10)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.cut()
        self._near.close()
        self._far.close()

    def _run(self) -> None:
        pairs: dict[socket.socket, socket.socket] = {}
        with selectors.DefaultSelector() as selector, self._listener:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._far, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._far:
                        for each in pairs:
                            each.close()
                        return
                    if key.fileobj is self._listener:
                        self._pair(selector, pairs)
                    elif key.fileobj in pairs:
                        self._pass_on(selector, pairs, key.fileobj)

    def _pair(self, selector: selectors.BaseSelector, pairs: dict[socket.socket, socket.socket]) -> None:
        inside, _ = self._listener.accept()
        try:
            outside = socket.create_connection((HOST, self.target), timeout=5)
        except OSError:
            inside.close()
            return
        for each, other in ((inside, outside), (outside, inside)):
            each.settimeout(10)
            pairs[each] = other
            with self._lock:
                self._streams[each] = bytearray()
                self._kept.append(self._streams[each])
            selector.register(each, selectors.EVENT_READ)

    def _pass_on(
        self, selector: selectors.BaseSelector, pairs: dict[socket.socket, socket.socket], source: socket.socket
    ) -> None:
        target = pairs[source]
        try:
            data = source.recv(65536)
            with self._lock:
                self._streams[source] += data
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for each in (source, target):
                selector.unregister(each)
                del pairs[each], self._streams[each]
                each.close()


@dataclass(frozen=True, slots=True)
class Publish:
    """One PUBLISH as it passed (MQTT 5.0, 3.3)."""

    topic: str
    properties: bytes
    payload: bytes


def packets(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Every whole packet of one direction as (first byte, everything behind the fixed header)."""
    at = 0
    while at + 2 <= len(stream):
        first, (length, body) = stream[at], _variable(stream, at + 1)
        if body + length > len(stream):
            return
        yield first, stream[body : body + length]
        at = body + length


def published(stream: bytes) -> Iterator[Publish]:
    for first, packet in packets(stream):
        if first >> 4 == 3:
            end = 2 + int.from_bytes(packet[:2], "big")
            length, start = _variable(packet, end + (2 if first & 0b110 else 0))
            yield Publish(packet[2:end].decode(), packet[start : start + length], packet[start + length :])


def _variable(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer (MQTT 5.0, 1.5.5) and where it ends; one that is cut off reads as too long."""
    value, shift = 0, 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return value, at + 1
        at, shift = at + 1, shift + 7
    return len(data) + 1, at
