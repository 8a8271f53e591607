"""Failed tries to be somebody make the next one wait, longer each time; nobody is locked out for good.

Counted are an account tried from an address, an address, and an account: guessing one account from everywhere, or
every account from one place, waits as well, and somebody else's guessing hardly keeps its owner out.
"""

import threading

FAILURES_FREE, FREE_ELSEWHERE = 5, 50
FAILURE_WAIT_S, FAILURE_WAIT_MAX_S, FAILURE_MEMORY_S = 60.0, 900.0, 3600.0
FAILING_KEYS_MAX = 3_000

Key = tuple[str, str]


class Failures:
    """Failed tries by account and address, in memory and bounded: a restart forgives."""

    def __init__(self) -> None:
        self._keys: dict[Key, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, name: str, address: str, now: float) -> float:
        """How long this account must still wait at this address, 0 when it may try."""
        with self._lock:
            return max(self._wait_s(key, now) for key in _keys(name, address))

    def add(self, name: str, address: str, now: float) -> None:
        with self._lock:
            kept = {key: each for key, each in self._keys.items() if 0 <= now - each[1] < FAILURE_MEMORY_S}
            for key in _keys(name, address):
                count, _ = kept.pop(key, (0, 0.0))
                while len(kept) >= FAILING_KEYS_MAX:
                    del kept[next(iter(kept))]
                kept[key] = (count + 1, now)
            self._keys = kept

    def forget(self, name: str, address: str) -> None:
        """A try that was right. What others did from this address, or to this account, still counts."""
        with self._lock:
            self._keys.pop((name, address), None)

    def _wait_s(self, key: Key, now: float) -> float:
        count, last = self._keys.get(key, (0, 0.0))
        beyond = count - (FREE_ELSEWHERE if "" in key else FAILURES_FREE)
        if beyond < 0 or now < last:
            return 0.0
        wait_s = FAILURE_WAIT_S if "" in key else min(FAILURE_WAIT_S * 2 ** min(beyond, 10), FAILURE_WAIT_MAX_S)
        return max(0.0, last + wait_s - now)


def _keys(name: str, address: str) -> tuple[Key, Key, Key]:
    return (name, address), ("", address), (name, "")
