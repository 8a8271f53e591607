"""Two threads serve an association. Those of pynetdicom sleep a millisecond between looks; here they wait to be woken.

The thread at the line waits for bytes or for something to send, the other for a message or a release. A kill is no news
and is seen after WAIT_S at the latest. An association that is open and silent costs 40 wake-ups a second, not 2,000.
"""

import os
import queue
import select
import socket
import ssl
import weakref
from collections.abc import Callable
from threading import Event
from typing import Any

WAIT_S = 0.05


class Bell:
    """Can be waited for together with a socket (eventfd(2)), and be rung by any thread."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self.fd)

    def ring(self) -> None:
        os.eventfd_write(self.fd, 1)


class Told(queue.Queue[Any]):
    """A queue that tells whoever waits for more than it."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        super().put(item, block, timeout)
        self._tell()


def readable(line: socket.socket, bell: Bell, wait_s: float) -> bool:
    """Whether a line has something to read, after waiting for it or for the bell.

    raises  OSError, ValueError: it is closed
    """
    if isinstance(line, ssl.SSLSocket) and line.pending():  # decrypted already: no select sees it
        return True
    number = line.fileno()
    found, _, _ = select.select([number, bell.fd], [], [], wait_s)
    if bell.fd in found:
        os.eventfd_read(bell.fd)
    return number in found


class News:
    """What the thread of an association waits for: any of these queues."""

    def __init__(self) -> None:
        self._event, self._queues = Event(), list[Told]()

    def queue(self) -> Told:
        """One more of them."""
        made = Told(self._event.set)
        self._queues.append(made)
        return made

    def wait(self) -> None:
        """Returns at once where one of them holds something."""
        self._event.clear()  # before the look: what comes after it sets it again
        if all(each.empty() for each in self._queues):
            self._event.wait(WAIT_S)
