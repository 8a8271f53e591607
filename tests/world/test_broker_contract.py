"""One contract, held by every broker that runs here; and what each of them does that our receipts must absorb.

docs/brokers.md prints CAPABILITIES as its table, and a test below holds the two together.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from enrolled import HOST, Centre, Production, new_centre, production
from recorder import Recorder

from appliance.core.link import NO_SUBSCRIBERS, PACKET_TOO_LARGE, Acknowledged, Event, Message, TlsFiles, Up, Will
from appliance.core.messages import topic_down, topic_up
from appliance.world import broker, mqtt
from appliance.world.mqtt import connection
from central import enrol

PATIENCE_S = 15.0
DEVICE = "unit-1"
UP, DOWN = topic_up(DEVICE, "manifest"), topic_down(DEVICE, "verdict")
NAMES = ("mosquitto", "iotcore", "production")

# What differs. Everything the contract tests hold is the same for all and not listed.
CAPABILITIES = {
    "says when nobody listens": {"mosquitto": True, "iotcore": False, "production": True},
    "keeps sessions over an orderly restart": {"mosquitto": True, "iotcore": False, "production": True},
    "keeps sessions over a kill": {"mosquitto": False, "iotcore": False, "production": False},
    "refuses another device's topic": {"mosquitto": False, "iotcore": False, "production": True},
    "refuses a client without a certificate": {"mosquitto": False, "iotcore": False, "production": True},
}


@dataclass
class End:
    link: mqtt.Link
    wake: threading.Event
    events: list[Event] = field(default_factory=list)

    def until(self, kind: type, count: int = 1) -> list:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.wake.clear()
            self.events += self.link.poll()
            found = [event for event in self.events if isinstance(event, kind)]
            if len(found) >= count:
                self.events = [event for event in self.events if not isinstance(event, kind)]
                return found
            self.wake.wait(0.05)
        raise AssertionError(f"no {kind.__name__}: {self.link.down_code}, {self.link.why_down}, {self.events[-5:]}")

    def up(self) -> "End":
        self.until(Up)
        return self

    def send(self, topic: str, payload: bytes) -> Acknowledged:
        assert self.link.publish(topic, payload, token=payload[:16])
        return self.until(Acknowledged)[0]

    def down_with(self, code: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.link.down_code != code or self.link.why_down == "not started":
            assert time.monotonic() < deadline, (self.link.down_code, self.link.why_down)
            self.wake.wait(0.02)
        assert not self.link.connected
        assert HOST not in self.link.why_down


@dataclass
class Server:
    """A broker of any kind, with the means to dial it as a device or as the centre."""

    name: str
    running: broker.Broker | Production
    folder: Path
    centre: Centre
    ends: list[End] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.running.port

    def dial(
        self, port: int, client_id: str, topics: tuple[str, ...], tls: TlsFiles | None, will: Will | None = None
    ) -> End:
        wake = threading.Event()
        end = End(
            mqtt.Link(HOST, port, client_id, topics, 30, 3600, wake, tls=tls, will=will, reconnect_max_s=0.1), wake
        )
        self.ends.append(end)
        end.link.start()
        return end

    def device(
        self, *topics: str, name: str = DEVICE, will: Will | None = None, through: Recorder | None = None
    ) -> End:
        tls = self.certificate(name) if self.name == "production" else None
        return self.dial((through or self).port, name, topics, tls, will)

    def worker(self, *topics: str, share: str = "share-1") -> End:
        if isinstance(self.running, Production):
            return self.dial(self.running.centre_port, share, topics, enrol.worker_tls(self.centre.keys))
        return self.dial(self.port, share, topics, None)

    def certificate(self, name: str) -> TlsFiles:
        path = self.folder / f"{name}.pem"
        if path.exists():
            return TlsFiles(str(self.folder / f"{name}-ca.pem"), str(path), str(path))
        return self.centre.enrol(self.folder, name)

    def restart(self, *, kill: bool) -> None:
        if isinstance(self.running, Production):
            self.running.kill() if kill else self.running.stop()
            self.running = self.running.again()
            return
        if kill:
            self.running._child.kill()
        self.running.stop()
        self.running = broker.start(self.folder / "broker", self.running.port, self.running.kind)


@pytest.fixture(params=NAMES)
def server(request, tmp_path) -> Iterator[Server]:
    yield from serving(request.param, tmp_path)


@pytest.fixture
def secured(tmp_path) -> Iterator[Server]:
    yield from serving("production", tmp_path)


def serving(name: str, folder: Path) -> Iterator[Server]:
    centre = new_centre(folder)
    started: broker.Broker | Production
    if name == "production":
        started = production(centre, folder / "broker")
    else:
        started = broker.start(folder / "broker", 0, name)  # type: ignore[arg-type]
    made = Server(name, started, folder, centre)
    yield made
    for end in made.ends:
        end.link.stop()
    made.running.stop()


# The contract: every broker must hold it.


def test_up_and_down_go_through(server):
    edge, centre = server.device(topic_down(DEVICE, "verdict")).up(), server.worker("edge/2/up/#").up()
    assert edge.send(UP, b"a manifest").sent
    assert centre.send(DOWN, b"a verdict").sent
    assert (edge.until(Message)[0].payload, centre.until(Message)[0].payload) == (b"a verdict", b"a manifest")


def test_a_device_that_was_away_finds_what_came(server):
    edge, centre = server.device(DOWN).up(), server.worker("edge/2/up/#").up()
    edge.link.stop()
    for number in range(20):
        centre.send(DOWN, b"%d" % number)
    found = [message.payload for message in server.device(DOWN).until(Message, 16)]
    assert found[:16] == [b"%d" % number for number in range(16)]  # Receive Maximum: the rest after we acknowledge


def test_what_a_dead_worker_took_goes_to_who_takes_its_client_id_over(server):
    edge, first = server.device(DOWN).up(), server.worker("edge/2/up/#").up()
    edge.send(UP, b"taken and not acknowledged")
    first.until(Message)
    second = server.worker("edge/2/up/#").up()  # the same share, while the first is still connected
    assert second.until(Message)[0].payload == b"taken and not acknowledged"
    first.link.stop()


def test_what_is_acknowledged_does_not_come_again(server):
    edge, centre = server.device(DOWN).up(), server.worker("edge/2/up/#").up()
    centre.send(DOWN, b"acknowledged")
    edge.link.ack(edge.until(Message)[0])
    edge.link.publish(UP, b"asked after it", token=1)
    edge.until(Acknowledged)
    edge.link.stop()
    again = server.device(DOWN).up()
    centre.send(DOWN, b"the next")
    assert again.until(Message)[0].payload == b"the next"


def test_what_is_too_large_is_refused_and_the_connection_lives(server):
    server.worker("edge/2/up/#").up()
    edge = server.device(DOWN).up()
    assert edge.send(UP, bytes(broker.PACKET_BYTES_MAX)).reason_code == PACKET_TOO_LARGE
    assert edge.send(UP, b"small").reason_code == 0


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_after_a_restart_everybody_comes_back_and_can_send(server, kill):
    edge, centre = server.device(DOWN).up(), server.worker("edge/2/up/#").up()
    server.restart(kill=kill)
    edge.up(), centre.up()
    assert edge.send(UP, b"after").reason_code == 0
    assert centre.until(Message)[-1].payload == b"after"


def test_speaks_a_last_will(server):
    centre = server.worker("edge/2/up/#").up()
    relay = Recorder(server.port)
    server.device(DOWN, will=Will(topic_up(DEVICE, "status"), b"gone", 2), through=relay).up()
    ended = time.monotonic()
    relay.stop()  # as a power cut does it: nobody says goodbye
    assert centre.until(Message)[0].payload == b"gone"
    assert time.monotonic() - ended >= 1, "it waits: mosquitto counts whole seconds"


def test_no_last_will_after_a_goodbye(server):
    edge = server.device(DOWN, will=Will(topic_up(DEVICE, "status"), b"gone", 0)).up()
    centre = server.worker("edge/2/up/#").up()
    edge.link.stop()
    centre.send(topic_down("unit-2", "verdict"), b"")
    server.device(DOWN).up().send(UP, b"the first thing heard")
    assert centre.until(Message)[0].payload == b"the first thing heard"


# What differs: each row of CAPABILITIES, measured.


def test_says_when_nobody_listens(server):
    answer = server.device(DOWN).up().send(UP, b"to nobody")
    assert (answer.reason_code == NO_SUBSCRIBERS) == CAPABILITIES["says when nobody listens"][server.name]


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_keeps_sessions_over_a_restart(server, kill):
    """Where it does not, what was acknowledged by the broker is lost: only the receipt of the other end counts."""
    edge, centre = server.device(DOWN).up(), server.worker("edge/2/up/#").up()
    edge.link.stop()
    assert centre.send(DOWN, b"acknowledged by the broker").sent
    centre.link.stop()
    server.restart(kill=kill)
    again = server.device(DOWN).up()
    centre = server.worker().up()
    centre.send(DOWN, b"a later one")
    kept = again.until(Message)[0].payload == b"acknowledged by the broker"
    row = "keeps sessions over a kill" if kill else "keeps sessions over an orderly restart"
    assert kept == CAPABILITIES[row][server.name]


def test_refuses_another_devices_topic(server):
    server.worker("edge/2/up/#").up()
    other = server.device(DOWN, name=DEVICE).up()
    refused = other.send(topic_up("unit-2", "manifest"), b"in another's name").reason_code >= 0x80
    assert refused == CAPABILITIES["refuses another device's topic"][server.name]
    assert other.send(UP, b"in its own").reason_code == 0


def test_refuses_a_client_without_a_certificate(server):
    plain = server.dial(server.port, "unit-3", (), None)
    if CAPABILITIES["refuses a client without a certificate"][server.name]:
        plain.down_with("broker-away")
    else:
        plain.up()


def test_the_documentation_prints_this_table():
    text = (Path(__file__).parents[2] / "docs" / "brokers.md").read_text()
    rows = dict(re.findall(r"^\| ([a-z' ]+) \| ((?:yes|no) \| (?:yes|no) \| (?:yes|no)) \|$", text, re.MULTILINE))
    told = {
        row: {name: word == "yes" for name, word in zip(NAMES, words.split(" | "), strict=True)}
        for row, words in rows.items()
    }
    assert told == CAPABILITIES


# The production form alone.


def test_a_device_cannot_listen_to_another_one(secured):
    """mosquitto grants the subscription and delivers nothing: the pattern is looked at for each message."""
    spy, centre = secured.device("edge/2/down/#").up(), secured.worker().up()
    secured.device(topic_down("unit-2", "verdict"), name="unit-2").up()
    centre.send(topic_down("unit-2", "verdict"), b"for another one")
    centre.send(DOWN, b"for the spy itself")
    assert spy.until(Message)[0].payload == b"for the spy itself"


def test_a_device_cannot_take_anothers_session_over(secured):
    victim, centre = secured.device(DOWN).up(), secured.worker().up()
    thief = secured.dial(secured.port, DEVICE, (DOWN,), secured.certificate("unit-2")).up()
    assert centre.send(DOWN, b"for the victim").sent
    assert victim.until(Message)[0].payload == b"for the victim"
    assert victim.link.connected
    assert not [event for event in thief.link.poll() if isinstance(event, Message)]


def test_a_device_cannot_come_in_where_the_workers_do(secured):
    secured.dial(secured.running.centre_port, "share-1", ("edge/2/up/#",), secured.certificate(DEVICE)).down_with(
        "certificate-refused"
    )


def test_a_certificate_of_another_centre_is_refused(secured, tmp_path):
    stranger = new_centre(tmp_path / "elsewhere").enrol(tmp_path / "elsewhere", DEVICE)
    own = secured.certificate(DEVICE)
    mixed = TlsFiles(own.authority, stranger.certificate, stranger.key)
    secured.dial(secured.port, DEVICE, (), mixed).down_with("certificate-refused")


def test_a_broker_of_another_centre_is_not_trusted(secured, tmp_path):
    stranger = new_centre(tmp_path / "elsewhere").enrol(tmp_path / "elsewhere", DEVICE)
    secured.dial(secured.port, DEVICE, (), stranger).down_with("broker-untrusted")


def test_a_broker_under_another_name_is_not_trusted(tmp_path):
    centre = new_centre(tmp_path)
    elsewhere = production(centre, tmp_path / "broker", hosts=("broker.example",))
    server = Server("production", elsewhere, tmp_path, centre)
    try:
        end = server.device(DOWN)
        end.down_with("broker-untrusted")
        end.link.stop()
    finally:
        elsewhere.stop()


def test_an_expired_certificate_is_told_from_a_refused_one(secured, tmp_path):
    (tmp_path / "old").mkdir()
    expired = secured.centre.enrol(tmp_path / "old", "unit-old", days=1, now_s=time.time() - 2 * 86_400)
    secured.dial(secured.port, "unit-old", (), expired).down_with("certificate-expired")


def test_a_renewed_certificate_counts_without_a_restart(secured, tmp_path):
    (tmp_path / "old").mkdir()
    files = secured.centre.enrol(tmp_path / "old", DEVICE, days=1, now_s=time.time() - 2 * 86_400)
    end = secured.dial(secured.port, DEVICE, (), files)
    end.down_with("certificate-expired")
    Path(files.key).write_bytes(Path(secured.certificate(DEVICE).key).read_bytes())
    end.up()


def test_a_brokers_expired_certificate_is_told(tmp_path):
    centre = new_centre(tmp_path, now_s=time.time() - 400 * 86_400)
    old = production(centre, tmp_path / "broker")
    centre.now_s = time.time()
    server = Server("production", old, tmp_path, centre)
    try:
        end = server.device(DOWN)
        end.down_with("broker-expired")
        end.link.stop()
    finally:
        old.stop()


def test_a_revoked_certificate_is_refused_once_the_broker_has_the_list(secured):
    edge = secured.device(DOWN).up()
    edge.link.stop()
    assert secured.centre.do("revoke", DEVICE)[0] == 0
    crl = secured.centre.keys / "authority" / "devices-crl.pem"
    (secured.running.folder / "devices-crl.pem").write_bytes(crl.read_bytes())
    secured.restart(kill=False)
    secured.dial(secured.port, DEVICE, (DOWN,), secured.certificate(DEVICE)).down_with("certificate-refused")
    secured.device(topic_down("unit-2", "verdict"), name="unit-2").up()


def test_missing_files_are_our_own_fault(secured):
    secured.dial(secured.port, DEVICE, (), TlsFiles("/nowhere", "/nowhere", "/nowhere")).down_with("keys-invalid")


def test_what_speaks_no_tls_is_told(secured):
    def greet():
        while not over.is_set():
            with suppress(OSError):
                asker, _ = listener.accept()
                with asker:
                    asker.sendall(b"220 mail.example ESMTP\r\n")
                    asker.recv(4096)

    over = threading.Event()
    with socket.create_server((HOST, 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=greet)
        thread.start()
        secured.dial(listener.getsockname()[1], DEVICE, (), secured.certificate(DEVICE)).down_with("tls-failed")
        over.set()
        thread.join()


def test_a_peer_that_starts_no_handshake_is_left(secured, monkeypatch):
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server((HOST, 0)) as listener:
        secured.dial(listener.getsockname()[1], DEVICE, (), secured.certificate(DEVICE)).down_with("broker-away")
        assert secured.ends[-1].link.why_down == "TimeoutError"


def test_many_small_messages_in_one_record_all_arrive(secured):
    """What TLS has decrypted already no select tells of: without looking there, the last would wait for the next."""
    edge, centre = secured.device(DOWN).up(), secured.worker("edge/2/up/#").up()
    for burst in range(5):
        for number in range(16):
            assert centre.link.publish(DOWN, b"%d" % number, token=number)
        centre.until(Acknowledged, 16)
        got = edge.until(Message, 16)
        for message in got:
            edge.link.ack(message)
        assert [message.payload for message in got] == [b"%d" % number for number in range(16)], burst
