"""The file an object is written to while it comes. It knows its own digest soon after the last byte is there.

Reading it again for that would be a third of what an object costs where the processor has no instructions for SHA-256.
The last bytes are digested while another thread waits for the disk: both take about as long for an image.
"""

import hashlib
import os
import tempfile
from collections import deque
from pathlib import Path
from threading import Lock
from typing import Any

LAG_BYTES_MAX = 2**20  # of memory that an association holds for it: a CT or MR image as it came
PIECE_BYTES = 512  # of memory for each piece besides, as a peer may send them byte by byte


class Landed:
    """Takes the place of tempfile.NamedTemporaryFile in pynetdicom, which asks no more of it than stands here."""

    def __init__(self, *, suffix: str, **_told: Any) -> None:
        number, self.name = tempfile.mkstemp(suffix=suffix)
        self.file = os.fdopen(number, "wb")
        self._digest, self._lock = hashlib.sha256(), Lock()
        self._waiting, self._lag_bytes = deque[bytes | memoryview](), 0

    def write(self, data: bytes | memoryview) -> int:
        """data is kept for a moment: nobody may write into it."""
        with self._lock:
            self._waiting.append(data)
            self._lag_bytes += _held_bytes(data)
            self._digest_down_to(LAG_BYTES_MAX)
        return self.file.write(data)

    def close(self) -> None:
        self.file.close()

    @property
    def path(self) -> Path:
        return Path(self.name)

    def sha256(self) -> str:
        """Of all that was written, in hex. Two threads may ask at once: one makes it, the other waits."""
        with self._lock:
            self._digest_down_to(0)
            return self._digest.hexdigest()

    def _digest_down_to(self, lag_bytes: int) -> None:
        while self._lag_bytes > lag_bytes:
            data = self._waiting.popleft()
            self._lag_bytes -= _held_bytes(data)
            self._digest.update(data)


def _held_bytes(data: bytes | memoryview) -> int:
    """What cannot be freed before a piece of it is digested: the whole PDU that it came in."""
    return PIECE_BYTES + memoryview(data.obj if isinstance(data, memoryview) else data).nbytes
