"""The brokers we start ourselves: on loopback only, resumable, honest about failing, and gone with their parent."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.core.link import Message, Up
from appliance.errors import Misconfigured
from appliance.world import broker, mqtt

PATIENCE_S = 15.0
KINDS = ("mosquitto", "iotcore")
ROOT = Path(__file__).parents[2]


def eventually(condition: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + PATIENCE_S, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def accepts(port: int) -> bool:
    try:
        socket.create_connection((broker.HOST, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def listening_addresses(port: int) -> set[str]:
    """Local addresses, as the kernel writes them, of listening sockets on this port (proc(5), state 0A)."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, hex_port = local.split(":")
            if state == "0A" and int(hex_port, 16) == port:
                found.add(address)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_starts_on_loopback_only_and_stops(tmp_path, kind):
    started = broker.start(tmp_path, 0, kind)
    assert started.kind == kind
    assert started.alive()
    assert listening_addresses(started.port) == {"0100007F"}
    started.stop()
    started.stop()
    assert not started.alive()
    assert not accepts(started.port)


def test_mosquitto_goes_first_where_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    started = broker.start(tmp_path, 0)
    started.stop()
    assert started.kind == "mosquitto", "Debian keeps it in /usr/sbin, off a user's PATH"


def test_without_mosquitto_the_embedded_one_serves(tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "_mosquitto", lambda: None)
    started = broker.start(tmp_path, 0)
    started.stop()
    assert started.kind == "iotcore"


def test_without_any_broker_the_operator_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(broker, "_mosquitto", lambda: None)
    monkeypatch.setattr(broker, "find_spec", lambda name: None)
    for kind in (None, *KINDS):
        with pytest.raises(Misconfigured, match="broker-missing"):
            broker.start(tmp_path, 0, kind)


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server((broker.HOST, 0)) as other, pytest.raises(Misconfigured) as caught:
        broker.start(tmp_path, other.getsockname()[1])
    assert (caught.value.code, caught.value.place) == ("port-taken", "network.broker_port")


def test_a_program_that_ends_at_once_is_a_fault_of_the_set_up(tmp_path, monkeypatch):
    monkeypatch.setattr(
        broker, "_mosquitto_command", lambda folder, port: [sys.executable, "-c", "raise SystemExit(3)"]
    )
    with pytest.raises(Misconfigured, match="broker-failed"):
        broker.start(tmp_path, 0, "mosquitto")


def test_mosquitto_keeps_sessions_over_a_stop(tmp_path):
    """The embedded one does not, and neither keeps anything over a kill: receipts make up for both."""
    first = broker.start(tmp_path, 0, "mosquitto")
    wake = threading.Event()

    def dial(name: str, *topics: str) -> mqtt.Link:
        link = mqtt.Link(broker.HOST, first.port, name, topics, 30, 3600, wake)
        link.start()
        return link

    def wait_for(link: mqtt.Link, kind: type) -> list:
        said: list = []
        eventually(lambda: bool(said.extend(link.poll()) or [event for event in said if isinstance(event, kind)]))
        return [event for event in said if isinstance(event, kind)]

    edge = dial("edge", "down/#")
    wait_for(edge, Up)
    edge.stop()
    centre = dial("centre")
    wait_for(centre, Up)
    assert centre.publish("down/verdict", b"kept", token=1)
    eventually(lambda: centre.outstanding == 0)
    centre.stop()
    first.stop()
    second = broker.start(tmp_path, first.port, "mosquitto")
    edge = dial("edge", "down/#")
    assert [message.payload for message in wait_for(edge, Message)] == [b"kept"]
    edge.stop()
    second.stop()


PARENT = """
import sys, time
from pathlib import Path
from appliance.world import broker
print(broker.start(Path(sys.argv[1]), 0, sys.argv[2]).port, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_broker_dies_with_a_killed_parent(tmp_path, kind):
    command = [sys.executable, "-c", PARENT, str(tmp_path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        assert accepts(port)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        eventually(lambda: not accepts(port))
