"""The hint that there are updates, on a real mosquitto in production form: retained, for each ring, and only a hint."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from appliance.core.link import TlsFiles
from appliance.core.messages import topic_desired
from appliance.core.updates import RINGS
from central import cli
from tests.enrolled import HOST, Centre, Production, new_centre, production
from tests.publisher import Publisher

PATIENCE_S = 15.0


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Centre, Production, TlsFiles, Path]]:
    root = tmp_path_factory.mktemp("announcing")
    centre = new_centre(root)
    device = centre.enrol(root, "edge-a")
    broker = production(centre, root / "broker")
    yield centre, broker, device, root
    broker.stop()


def heard(broker: Production, device: TlsFiles, count: int) -> dict[str, tuple[bytes, bool]]:
    """What a device that connects anew is given at once: payload and whether it was retained, by topic."""
    found: dict[str, tuple[bytes, bool]] = {}
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="edge-a", protocol=paho.MQTTv5)
    client.tls_set(device.authority, device.certificate, device.key)

    def on_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        found[message.topic] = (message.payload, message.retain)

    client.on_message = on_message
    client.on_connect = lambda *_: client.subscribe([(topic_desired(ring), 1) for ring in RINGS])
    client.connect(HOST, broker.port)
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < deadline:
        client.loop(0.2)
    client.disconnect()
    return found


def announce(publisher: Publisher, centre: Centre, port: int) -> int:
    words = ["publish", "announce", "--repository", publisher.folder, "--broker", f"{HOST}:{port}", "--tls"]
    return cli.main([*map(str, words), "--broker-keys", str(centre.keys)])


def test_the_newest_state_is_hinted_to_every_ring_and_waits_on_the_broker(
    houses: tuple[Centre, Production, TlsFiles, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    centre, broker, device, _ = houses
    publisher = Publisher(tmp_path / "centre")
    for _ in range(2):
        publisher.renew()
        assert announce(publisher, centre, broker.centre_port) == 0
        number = publisher.made().timestamp().version
        assert f"state {number}" in capsys.readouterr().out
        found = heard(broker, device, len(RINGS))
        assert {topic: json.loads(payload) for topic, (payload, _) in found.items()} == {
            topic_desired(ring): {"number": number} for ring in RINGS
        }
        assert all(retained for _, retained in found.values())


def test_a_device_cannot_hint_in_the_centre_s_name(
    houses: tuple[Centre, Production, TlsFiles, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    centre, broker, device, _ = houses
    assert announce(Publisher(tmp_path / "centre"), centre, broker.centre_port) == 0
    before = heard(broker, device, len(RINGS))
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="edge-a", protocol=paho.MQTTv5)
    client.tls_set(device.authority, device.certificate, device.key)
    answered: list[bool] = []
    client.on_publish = lambda *told: answered.append(told[3].is_failure)
    client.on_connect = lambda *_: client.publish(topic_desired("all"), b"9", qos=1, retain=True)
    client.connect(HOST, broker.port)
    deadline = time.monotonic() + PATIENCE_S
    while not answered and time.monotonic() < deadline:
        client.loop(0.2)
    client.disconnect()
    assert answered == [True]
    assert heard(broker, device, len(RINGS)) == before


def test_a_broker_that_is_away_is_said(
    houses: tuple[Centre, Production, TlsFiles, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    centre, broker, _, _ = houses
    assert announce(Publisher(tmp_path / "centre"), centre, broker.port) != 0  # the devices' port knows no worker
    assert "broker-away" in capsys.readouterr().err
