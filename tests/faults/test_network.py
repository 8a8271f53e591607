"""The bad lines are as bad as they say: each fault is measured on a plain TCP echo before a campaign relies on it.

Where root is allowed the lines are real (namespaces, tbf, nft); elsewhere the proxy alone, and the tests say which.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.faults.network import Gate, Line, apart, told_to_skip

ROOT = Path(__file__).parents[2]
QUIET_S = 0.7


class Echo:
    """Sends back what comes, to whoever connects."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                end, _ = self.server.accept()
                threading.Thread(target=self._echo, args=(end,), daemon=True).start()

    def _echo(self, end: socket.socket) -> None:
        with suppress(OSError), closing(end):
            while data := end.recv(65536):
                end.sendall(data)


def back(end: socket.socket, data: bytes, timeout_s: float) -> float | None:
    """Seconds until all of it came back; None: not within the time-out."""
    end.settimeout(timeout_s)
    began, got = time.monotonic(), 0
    try:
        end.sendall(data)
        while got < len(data):
            got += len(end.recv(65536)) or len(data)
    except TimeoutError:
        return None
    return time.monotonic() - began


@pytest.fixture
def plain() -> Iterator[Line]:
    echo = Echo()
    gate = Gate(echo.port, shaped=False)
    line = Line(1, gate)
    yield line
    line.close()
    gate.close()
    echo.server.close()


def test_the_proxy_delays_falls_silent_resets_and_refuses(plain: Line) -> None:
    with closing(socket.create_connection(("127.0.0.1", plain.port))) as end:
        quick = back(end, b"x" * 1000, 5.0)
        assert quick is not None
        plain.delay(0.3)
        while (slow := back(end, b"x", 5.0)) is not None and slow < 0.5:
            pass  # the order may still be on its way
        assert slow is not None
        assert slow >= 0.6  # both ways
        plain.delay(0.0)
        plain.fall_silent()
        while back(end, b"x", QUIET_S) is not None:
            pass
        plain.mend()
        with pytest.raises(ConnectionResetError):  # a reset, not an end: the peer is to learn that something broke
            _listen(end)
    plain.refuse()
    refused = False
    while not refused:
        try:
            with closing(socket.create_connection(("127.0.0.1", plain.port))) as end:
                end.settimeout(5.0)
                refused = not end.recv(1)
        except ConnectionError:
            refused = True


def _listen(end: socket.socket) -> None:
    while end.recv(4096):
        pass


def test_a_line_in_a_namespace_is_thin_loses_and_parts() -> None:
    """In a process of its own, because it moves into another network namespace."""
    if told_to_skip():
        pytest.skip("network namespaces need root: the proxy alone is used, and the campaign's report says so")
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.test_network"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def measured() -> None:
    """What the kernel does to the line, held against what was asked for."""
    apart()
    echo = Echo()
    gate = Gate(echo.port, shaped=True)
    line = Line(1, gate)
    dial = [*line.prefix, sys.executable, "-c", DIAL, str(line.port)]

    def took(count: int, timeout_s: float) -> float:
        done = subprocess.run([*dial, str(count), str(timeout_s)], capture_output=True, text=True, check=True)
        return float(done.stdout)

    assert took(100_000, 10.0) < 2.0
    line.shape(256_000)
    thin = took(64_000, 20.0)
    line.shape(None)
    assert 1.2 <= thin <= 6.0, f"64 kB at 256 kbit/s took {thin:.1f} s"
    line.lose(20)
    lossy = took(100_000, 60.0)
    assert lossy > 0, "nothing got through a line that loses a fifth"
    line.part()
    assert took(10, QUIET_S) < 0, "something got through a partition"
    line.mend()
    assert took(10, 10.0) > 0, "the line did not come back"
    print(f"256 kbit/s: 64 kB there and back in {thin:.1f} s; a fifth lost: 100 kB in {lossy:.1f} s")
    line.close()
    gate.close()


DIAL = """
import socket, sys, time, threading
port, count, timeout_s = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
began, got = time.monotonic(), 0
try:
    with socket.create_connection(("127.0.0.1", port), timeout_s) as end:
        end.settimeout(timeout_s)
        threading.Thread(target=end.sendall, args=(bytes(count),), daemon=True).start()
        while got < count:
            data = end.recv(65536)
            if not data:
                raise ConnectionError
            got += len(data)
    print(time.monotonic() - began)
except OSError:
    print(-1.0)
"""

if __name__ == "__main__":
    measured()
