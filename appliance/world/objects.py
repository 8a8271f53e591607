"""Kept objects read for DICOMweb in a confined process of their own, spoken to over two pipes.

Whoever calls hands over the bytes; nothing is parsed on this side. The process is started when it is first needed and
holds one object at a time. An object that ends it, or keeps it too long, is not read again: one hostile file must not
take the process from the others.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from appliance.core.dicomweb.asking import OBJECT_BYTES_MAX, OPEN, READY, REPLY_BYTES_MAX
from appliance.core.frames import DONE, HEAD, head, lengths
from appliance.errors import CATALOGUE, Quarantined, Unavailable

MIB = 2**20
ROOT = Path(__file__).parents[2]
MEMORY_BYTES = 1536 * MIB
START_S, CALL_S, WAIT_S = 20.0, 15.0, 20.0
STARTS_MAX, STARTS_PERIOD_S = 60, 3600.0
BARRED_MAX = 10_000


class Objects:
    """Answers about kept objects, one at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._held = ""
        self._starts: deque[float] = deque()
        self._barred: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        # The kernel ends a child when the *thread* that started it ends (prctl(2), PR_SET_PDEATHSIG), and whoever calls
        # may be one that lasts for seconds: a thread that lasts as long as this object starts the process.
        self._starter = ThreadPoolExecutor(1, "objects")
        self._running: list[subprocess.Popen[bytes]] = []
        weakref.finalize(self, _end_all, self._running)  # whoever lets go of this leaves no process behind

    def ask(self, sha256: str, data: Callable[[], bytes], act: int, **told: Any) -> bytes:
        """What an act answers of the object with this digest; data gives its bytes when they are needed.

        raises  Quarantined: the object's fault, with its code; Unavailable("objects-busy"); what data() raises
        """
        if not self._lock.acquire(timeout=WAIT_S):
            raise Unavailable("objects-busy")
        try:
            return self._asked(sha256, data, act, told)
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._down()
        self._starter.shutdown()

    def _asked(self, sha256: str, data: Callable[[], bytes], act: int, told: dict[str, Any]) -> bytes:
        if sha256 in self._barred:
            raise Quarantined("object-unreadable")
        if self._process is not None and self._process.poll() is not None:
            self._down()  # it ended while nobody asked: no object is to blame
        if self._process is None or self._held != sha256:
            given = data()
            if len(given) > OBJECT_BYTES_MAX:
                raise Quarantined("object-unreadable")
            if self._process is None:
                self._up()
            self._held = ""
            self._exchanged(sha256, OPEN, {}, given)
            self._held = sha256
        return self._exchanged(sha256, act, told, b"")

    def _exchanged(self, sha256: str, act: int, told: dict[str, Any], body: bytes) -> bytes:
        reply = self._reply(act, told, body, CALL_S)
        if reply is None:
            self._down()
            self._barred[sha256] = None
            while len(self._barred) > BARRED_MAX:
                self._barred.popitem(last=False)
            raise Quarantined("object-unreadable")
        status, text, found = reply
        if status != DONE:
            code = text.decode("ascii", "replace")
            known = code in CATALOGUE and CATALOGUE[code].actor == "person"
            raise Quarantined(code if known else "object-unreadable")
        return found

    def _reply(self, act: int, told: dict[str, Any], body: bytes, within_s: float) -> tuple[int, bytes, bytes] | None:
        """Status, text and body; None where there is none in time, or none that the process should give."""
        process = self._process
        assert process is not None
        end, text = time.monotonic() + within_s, json.dumps(told).encode()
        first = _exchange(process, [memoryview(head(act, text, len(body)) + text), memoryview(body)], HEAD.size, end)
        parts = None if first is None else lengths(bytes(first))
        if parts is None or parts[2] > REPLY_BYTES_MAX:
            return None
        rest = _exchange(process, [], parts[1] + parts[2], end)
        return None if rest is None else (parts[0], bytes(rest[: parts[1]]), bytes(memoryview(rest)[parts[1] :]))

    def _up(self) -> None:
        """Starts the process; Unavailable where it ended too often lately, or does not come up."""
        now = self._clock()
        while self._starts and now - self._starts[0] >= STARTS_PERIOD_S:
            self._starts.popleft()
        if len(self._starts) >= STARTS_MAX:
            raise Unavailable("objects-busy")
        self._starts.append(now)
        environment = {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        arguments = (str(os.getpid()), str(MEMORY_BYTES), str(int(CALL_S) + 1))
        self._process = self._starter.submit(
            subprocess.Popen,
            [sys.executable, "-P", "-m", "appliance.world.confined.object_child", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**environment, "LC_ALL": "C.UTF-8"},
            bufsize=0,
        ).result()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._running.append(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            os.set_blocking(pipe.fileno(), False)
        if self._reply(READY, {}, b"", START_S) is None:  # no object has a part in this
            self._down()
            raise Unavailable("objects-busy")

    def _down(self) -> None:
        _end_all(self._running)
        self._process, self._held = None, ""


def _end_all(running: "list[subprocess.Popen[bytes]]") -> None:
    while running:
        process = running.pop()
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _exchange(
    process: "subprocess.Popen[bytes]", outgoing: list[memoryview], count: int, end: float
) -> bytearray | None:
    """Writes all of outgoing, then reads so many bytes, and waits for neither beyond the end; None: it failed."""
    assert process.stdin is not None
    assert process.stdout is not None
    inward, outward = process.stdin.fileno(), process.stdout.fileno()
    found, at = bytearray(count), 0
    view = memoryview(found)
    waiting = deque(each for each in outgoing if len(each))
    try:
        while waiting or at < count:
            if waiting:
                if not _ready(inward, select.POLLOUT, end):
                    return None
                sent = os.write(inward, waiting[0])
                waiting[0] = waiting[0][sent:]
                if not len(waiting[0]):
                    waiting.popleft()
            else:
                if not _ready(outward, select.POLLIN, end):
                    return None
                got = os.readv(outward, [view[at:]])
                if got == 0:
                    return None
                at += got
    except OSError:
        return None
    return found


def _ready(fd: int, event: int, end: float) -> bool:
    poll = select.poll()
    poll.register(fd, event)
    return bool(poll.poll(max(0.0, end - time.monotonic()) * 1000))
