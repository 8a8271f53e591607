"""The datagrams of sd_notify: they arrive, and a listener that does not listen costs nobody a processor."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection, create_server, socket

import pytest

from appliance.world import systemd

FULL = 100_000  # more than any queue of datagrams holds


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket]:
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with systemd.listen(path) as made:
        yield made


def fill() -> int:
    """Signs of life until the queue takes no more; how many it took."""
    return next(number for number in range(FULL) if not systemd.notify("WATCHDOG=1", wait_s=0.0))


def test_a_message_arrives(inbox: socket) -> None:
    assert systemd.notify("READY=1")
    assert inbox.recv(100) == b"READY=1"


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not systemd.notify("READY=1")


@pytest.mark.usefixtures("inbox")
def test_waiting_at_a_full_queue_burns_no_processor() -> None:
    assert 0 < fill() < FULL
    wall, processor = time.monotonic(), time.thread_time()
    assert not systemd.notify("READY=1", wait_s=0.3)
    waited = time.monotonic() - wall
    assert waited >= 0.3
    assert time.thread_time() - processor < waited / 4, "a share, not a time: whoever spins has all of it"


def test_what_must_arrive_waits_for_room(inbox: socket) -> None:
    held = fill()
    said: list[bool] = []
    speaker = threading.Thread(target=lambda: said.append(systemd.notify("READY=1", wait_s=20.0)))
    speaker.start()
    heard = b""
    inbox.setblocking(True)
    inbox.settimeout(20)
    for _ in range(held + 1):
        heard = inbox.recv(100)
    speaker.join(20)
    assert (said, heard) == ([True], b"READY=1")


ANSWERS = """
from appliance.world import systemd
door = systemd.passed_socket()
assert door is not None and systemd.passed_socket() is None and not door.get_inheritable()
visitor, _ = door.accept()
visitor.sendall(b"%d" % door.getsockname()[1])
"""


def test_the_socket_that_systemd_opened_is_taken() -> None:
    """By systemd's own program: it starts the service when the first visitor comes."""
    with create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", sys.executable, "-c", ANSWERS]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as activator:
        assert activator.stderr is not None
        assert "Listening" in activator.stderr.readline()
        with create_connection(("127.0.0.1", port), 20) as visit:
            assert visit.recv(100) == str(port).encode()
        assert activator.wait(20) == 0, activator.stderr.read()


def test_a_socket_for_another_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.passed_socket() is None
