"""A relay on loopback that keeps a copy of every byte either way: what a capture on the wire would hold.

It stands where tcpdump would; it needs no right to open raw sockets and sees the same payload bytes.
"""

import contextlib
import selectors
import socket
import threading
from dataclasses import dataclass

HOST = "127.0.0.1"


@dataclass
class Recorder:
    """Dial `port` instead of the target; `recorded` is everything that passed, in order of reading.

    cut   ends every connection without a goodbye and takes no more
    stop  the same, and the thread has ended when it returns
    """

    target: int

    def __post_init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock, self._kept = threading.Lock(), bytearray()
        self._near, self._far = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def recorded(self) -> bytes:
        with self._lock:
            return bytes(self._kept)

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
            selector.register(each, selectors.EVENT_READ)

    def _pass_on(
        self, selector: selectors.BaseSelector, pairs: dict[socket.socket, socket.socket], source: socket.socket
    ) -> None:
        target = pairs[source]
        try:
            data = source.recv(65536)
            with self._lock:
                self._kept += data
            target.sendall(data)
        except OSError:
            data = b""
        if not data:
            for each in (source, target):
                selector.unregister(each)
                del pairs[each]
                each.close()
