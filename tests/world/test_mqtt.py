"""The connection's contract, held against every broker we start and against peers that misbehave on purpose."""

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from appliance.core.case import CASE_BYTES_MAX
from appliance.core.link import NO_SUBSCRIBERS, PACKET_TOO_LARGE, Acknowledged, Down, Event, Message, Up
from appliance.world import broker, mqtt
from appliance.world.mqtt import connection

HOST = "127.0.0.1"
PATIENCE_S = 15.0


@dataclass
class End:
    """A link and everything it has said."""

    link: mqtt.Link
    wake: threading.Event
    events: list[Event] = field(default_factory=list)

    def until(self, condition: Callable[[list[Event]], bool]) -> list[Event]:
        """Waits, bounded, until what was said since the last call fulfils the condition; returns and forgets it."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.wake.clear()
            self.events += self.link.poll()
            if condition(self.events):
                said, self.events = self.events, []
                return said
            self.wake.wait(0.05)
        raise AssertionError(f"not within {PATIENCE_S} s: {self.events[-5:]}, down because {self.link.why_down!r}")

    def up(self) -> "End":
        self.until(lambda said: any(isinstance(event, Up) for event in said))
        return self

    def messages(self, count: int = 1) -> list[Message]:
        return only(Message, self.until(lambda said: len(only(Message, said)) >= count))

    def answers(self, count: int = 1) -> list[Acknowledged]:
        return only(Acknowledged, self.until(lambda said: len(only(Acknowledged, said)) >= count))

    def send(self, topic: str, payload: bytes) -> Acknowledged:
        assert self.link.publish(topic, payload, token=payload[:20])
        (answer,) = self.answers()
        assert answer.token == payload[:20]
        return answer


def eventually(end: End, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, end.link.why_down
        end.wake.clear()
        end.wake.wait(0.01)


def only(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture(params=["mosquitto", "iotcore"])
def server(request, tmp_path) -> Iterator[broker.Broker]:
    started = broker.start(tmp_path / "broker", 0, request.param)
    yield started
    started.stop()


@pytest.fixture
def dial() -> Iterator[Callable[..., End]]:
    links: list[mqtt.Link] = []

    def make(
        port: int, client_id: str, *topics: str, keepalive_s: int = 30, chance: random.Random | None = None
    ) -> End:
        wake = threading.Event()
        link = mqtt.Link(HOST, port, client_id, topics, keepalive_s, 3600, wake, randomness=chance, reconnect_max_s=0.2)
        links.append(link)
        link.start()
        return End(link, wake)

    yield make
    for link in links:
        link.stop()


def restart(server: broker.Broker, folder) -> broker.Broker:
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    assert not server.alive()
    return broker.start(folder, server.port, server.kind)


def test_what_is_published_arrives_and_is_answered(server, dial):
    edge, centre = dial(server.port, "edge", "down/#").up(), dial(server.port, "centre", "up/#").up()
    assert edge.link.connected
    assert edge.send("up/case", b"one").sent
    (message,) = centre.messages()
    assert (message.topic, message.payload, message.qos) == ("up/case", b"one", 1)
    centre.link.ack(message)
    assert centre.send("down/receipt", b"two").sent
    assert edge.messages()[0].payload == b"two"
    assert edge.link.outstanding == 0


def test_the_broker_keeps_what_came_while_we_were_away(server, dial):
    edge, centre = dial(server.port, "edge", "down/#").up(), dial(server.port, "centre").up()
    edge.link.stop()
    for number in range(10):
        assert centre.send("down/verdict", b"%d" % number).sent
    found = [message.payload for message in dial(server.port, "edge", "down/#").messages(10)]
    assert found == [b"%d" % number for number in range(10)]


def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(server, dial):
    edge, centre = dial(server.port, "edge", "down/#").up(), dial(server.port, "centre").up()
    for payload in (b"kept", b"lost"):
        centre.send("down/verdict", payload)
    kept, lost = edge.messages(2)
    edge.link.ack(kept)
    edge.link.publish("nobody", b"a marker: what was asked before it is done", token=1)
    edge.answers()
    edge.link.stop()
    again = dial(server.port, "edge", "down/#")
    assert [message.payload for message in again.messages()] == [lost.payload]
    centre.send("down/verdict", b"next")
    assert [message.payload for message in again.messages()] == [b"next"]


def test_a_publish_without_a_subscriber_is_not_called_sent_where_the_broker_says_so(server, dial):
    edge = dial(server.port, "edge", "down/#").up()
    answer = edge.send("up/case", b"nobody listens")
    # iotcore (rumqttd) answers success all the same: one more reason to believe receipts only.
    assert answer.reason_code == {"mosquitto": NO_SUBSCRIBERS, "iotcore": 0}[server.kind]
    assert answer.sent == (server.kind == "iotcore")


def test_after_a_killed_broker_the_link_comes_back_and_subscribes_again(server, dial, tmp_path):
    edge, centre = dial(server.port, "edge", "down/#").up(), dial(server.port, "centre").up()
    reborn = restart(server, tmp_path / "broker")
    try:
        said = edge.until(lambda said: any(isinstance(event, Up) for event in said))
        assert [type(event) for event in said if isinstance(event, Up | Down)] == [Down, Up]
        centre.up()
        assert centre.send("down/verdict", b"after").sent
        assert edge.messages()[0].payload == b"after"
    finally:
        reborn.stop()


def test_without_a_connection_nothing_is_taken(server, dial):
    edge = dial(server.port, "edge", "down/#")
    edge.up()
    server.stop()
    edge.until(lambda said: any(isinstance(event, Down) for event in said))
    assert not edge.link.connected
    assert not edge.link.publish("up/case", b"x", token=1)
    assert edge.link.outstanding == 0


def test_an_old_message_is_not_acknowledged_in_a_new_connection(server, dial):
    edge, centre = dial(server.port, "edge", "down/#").up(), dial(server.port, "centre").up()
    centre.send("down/verdict", b"first")
    (old,) = edge.messages()
    rival = dial(server.port, "edge", "down/#").up()  # takes the session over, which ends our connection
    rival.link.stop()
    edge.until(lambda said: any(isinstance(event, Up) for event in said) or edge.link.connected)
    edge.link.ack(old)
    rival = dial(server.port, "edge", "down/#")
    assert rival.messages()[0].payload == b"first"
    rival.link.stop()


def test_the_largest_case_goes_through_and_is_kept_for_who_is_away(server, dial):
    largest = random.Random(1).randbytes(CASE_BYTES_MAX)
    edge, centre = dial(server.port, "edge").up(), dial(server.port, "centre", "up/#").up()
    for away in (False, True):
        if away:
            centre.link.stop()
        assert edge.send("up/case", largest).sent
        centre = dial(server.port, "centre", "up/#") if away else centre
        (message,) = centre.messages()
        assert message.payload == largest
        centre.link.ack(message)


def test_a_packet_larger_than_the_broker_takes_is_refused_here(server, dial):
    edge = dial(server.port, "edge", "up/#").up()
    answer = edge.send("up/case", b"x" * broker.PACKET_BYTES_MAX)
    assert (answer.reason_code, answer.sent) == (PACKET_TOO_LARGE, False)
    assert edge.send("up/case", b"small").sent
    assert edge.link.connected


def test_a_stalled_broker_fills_the_window_and_no_more(server, dial):
    edge = dial(server.port, "edge", "up/#").up()
    os.kill(server.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, server.pid, os.WSTOPPED)  # every thread of it stands still
    try:
        taken = [edge.link.publish("up/case", b"%d" % number, token=number) for number in range(100)]
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert taken == [True] * mqtt.OUTSTANDING_MAX + [False] * (100 - mqtt.OUTSTANDING_MAX)
    assert {answer.token for answer in edge.answers(mqtt.OUTSTANDING_MAX)} == set(range(mqtt.OUTSTANDING_MAX))
    assert edge.link.outstanding == 0


def test_a_flood_does_not_fill_the_memory(server, dial):
    edge = dial(server.port, "edge", "down/#").up()
    flooder = Client(CallbackAPIVersion.VERSION2, "flooder", protocol=MQTTProtocolVersion.MQTTv5)
    flooder.connect(HOST, server.port)
    flooder.loop_start()
    for number in range(mqtt.EVENTS_MAX * 2):
        flooder.publish("down/x", b"%d" % number, qos=0)
    flooder.publish("up/done", b"", qos=1).wait_for_publish(PATIENCE_S)
    flooder.disconnect()
    flooder.loop_stop()
    # mosquitto hands QoS 0 on as it came: what finds no room is gone, as QoS 0 promises. iotcore raises it to QoS 1 and
    # waits for our acknowledgements. Either way the queue stays within its bound and the link lives on.
    assert edge.link._events.qsize() <= mqtt.EVENTS_MAX
    centre = dial(server.port, "centre").up()
    centre.send("down/verdict", b"still here")

    def heard(said: list[Event]) -> bool:
        messages = only(Message, said)
        for message in messages:
            edge.link.ack(message)
        said[:] = messages[-1:]
        return any(message.payload == b"still here" for message in messages)

    edge.until(heard)


# Peers that misbehave on purpose.

CONNACK = bytes([0x20, 3, 0, 0, 0])
SUBACK = bytes([0x90, 4, 0, 1, 0, 1])


@pytest.fixture
def peer() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Listens, gives every connection to a script, and closes it after that."""
    listener = socket.create_server((HOST, 0))
    listener.settimeout(0.05)
    over, threads = threading.Event(), []

    def serve(script) -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                connection.settimeout(5.0)
                try:
                    script(connection)
                except OSError:
                    continue

    def start(script) -> int:
        threads.append(threading.Thread(target=serve, args=(script,)))
        threads[-1].start()
        return listener.getsockname()[1]

    yield start
    over.set()
    for thread in threads:
        thread.join()
    listener.close()


def wait_for_why(end: End, why: str) -> None:
    eventually(end, lambda: why in end.link.why_down)


def handshake(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(CONNACK)
    connection.recv(4096)
    connection.sendall(SUBACK)


def test_a_refused_connection_is_no_connection(peer, dial):
    port = peer(lambda connection: (connection.recv(4096), connection.sendall(bytes([0x20, 3, 0, 0x87, 0]))))
    edge = dial(port, "edge", "down/#")
    wait_for_why(edge, "Not authorized")
    assert not edge.link.connected
    assert edge.link.poll() == []


def test_a_refused_subscription_is_no_connection(peer, dial):
    def script(connection):
        connection.recv(4096)
        connection.sendall(CONNACK)
        connection.recv(4096)
        connection.sendall(SUBACK[:-1] + b"\x87")

    edge = dial(peer(script), "edge", "down/#")
    wait_for_why(edge, "subscription refused")
    assert edge.link.poll() == []


@pytest.mark.parametrize("seed", range(8))
def test_garbage_does_not_kill_the_network_thread(peer, dial, seed):
    chance, came = random.Random(seed), []

    def script(connection):
        came.append(1)
        if seed % 2:
            handshake(connection)
        connection.sendall(chance.randbytes(200))
        connection.shutdown(socket.SHUT_WR)
        connection.recv(4096)

    edge = dial(peer(script), "edge", "down/#")
    eventually(edge, lambda: len(came) >= 5)
    assert edge.link._thread is not None
    assert edge.link._thread.is_alive()


def test_a_topic_that_is_no_text_is_handed_on_without_one(peer, dial):
    packet = b"\x00\x02\xff\xfe" + b"\x00\x07" + b"\x00" + b"data"

    def script(connection):
        handshake(connection)
        connection.sendall(bytes([0x32, len(packet)]) + packet)
        connection.recv(4096)

    edge = dial(peer(script), "edge", "down/#")
    assert [(message.topic, message.payload) for message in edge.messages()] == [("", b"data")]


def test_a_peer_that_says_nothing_is_left(peer, dial, monkeypatch):
    monkeypatch.setattr(connection, "HANDSHAKE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(connection, "TICK_S", 0.02)
    edge = dial(peer(lambda connection: (connection.recv(4096), connection.recv(4096))), "edge", "down/#")
    wait_for_why(edge, "handshake")


def test_a_broker_that_acknowledges_nothing_is_hung_up_on(peer, dial, monkeypatch):
    monkeypatch.setattr(connection, "PUBACK_TIMEOUT_S", 0.1)
    monkeypatch.setattr(connection, "TICK_S", 0.02)

    def script(connection):
        handshake(connection)
        while connection.recv(4096):
            pass

    edge = dial(peer(script), "edge", "down/#").up()
    assert edge.link.publish("up/case", b"x", token=1)
    said = edge.until(lambda said: any(isinstance(event, Down) for event in said))
    assert only(Acknowledged, said) == []
    wait_for_why(edge, "does not acknowledge")
    assert edge.link.outstanding == 0


class Recorder(random.Random):
    """Says which waits were asked for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.asked.append((a, b))
        return 0.0 if len(self.asked) < 10 else 60.0


def test_reconnects_wait_longer_each_time_with_full_jitter_up_to_a_limit():
    with socket.create_server((HOST, 0)) as closed:
        port = closed.getsockname()[1]
    chance, wake = Recorder(), threading.Event()
    link = mqtt.Link(HOST, port, "edge", (), 30, 3600, wake, randomness=chance)
    link.start()
    eventually(End(link, wake), lambda: len(chance.asked) >= 10)
    link.stop()
    assert link._thread is not None
    assert not link._thread.is_alive(), "stopping does not wait for the next attempt"
    assert chance.asked[:8] == [(0, longest) for longest in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)]
    assert link.why_down == "ConnectionRefusedError"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_network_thread_is_started_again(peer, dial, monkeypatch):
    def script(connection):
        handshake(connection)
        connection.recv(4096)

    worked = connection.Connection._work

    def dies(self):
        monkeypatch.setattr(connection.Connection, "_work", worked)
        raise ArithmeticError("a mistake nobody foresaw")

    monkeypatch.setattr(connection.Connection, "_work", dies)
    edge = dial(peer(script), "edge", "down/#")
    edge.up()
    assert edge.link.connected
