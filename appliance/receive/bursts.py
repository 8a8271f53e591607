"""What came together: the objects of associations of one scanner that were open at the same time, and how they ended.

A scanner that releases its last open association says that it has no more to send for now; one that aborts says
nothing, and so does one that this service had to end. Whether a study is whole by that, triage decides. Memory only:
what is lost with the process shortens nobody's wait.
"""

import threading
from dataclasses import dataclass, field

OBJECTS_MAX = 50_000  # of a burst; a longer one is no evidence


@dataclass(frozen=True, slots=True)
class Burst:
    """Digests of everything that a peer sent while it had an association open, all of them released."""

    peer: str
    digests: tuple[str, ...]


@dataclass(slots=True)
class _Open:
    lines: set[int] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    doubtful: bool = False


class Bursts:
    """Told by the listener's threads; every call is short."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._peers: dict[int, str] = {}
        self._open: dict[str, _Open] = {}

    def began(self, line: int, peer: str) -> None:
        with self._lock:
            self._peers[line] = peer
            self._open.setdefault(peer, _Open()).lines.add(line)

    def kept(self, line: int, digest: str) -> None:
        with self._lock:
            peer = self._peers.get(line)
            if peer is None:
                return
            burst = self._open[peer]
            if len(burst.digests) < OBJECTS_MAX:
                burst.digests.add(digest)
            else:
                burst.doubtful = True

    def ended(self, line: int, released: bool) -> Burst | None:
        """What came together, once the last association of it ended and none of them otherwise than by release."""
        with self._lock:
            peer = self._peers.pop(line, None)
            if peer is None:
                return None
            burst = self._open[peer]
            burst.lines.discard(line)
            burst.doubtful |= not released
            if burst.lines:
                return None
            del self._open[peer]
            if burst.doubtful or not burst.digests:
                return None
            return Burst(peer, tuple(sorted(burst.digests)))
