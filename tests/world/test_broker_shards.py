"""Two production brokers, two sites, one centre that listens at both; and a site that moves from one to the other."""

import threading
import time
from collections.abc import Iterator

import pytest
from enrolled import HOST, Centre, Production, new_centre, production

from appliance.core.link import Acknowledged, Event, Message, TlsFiles, Up
from appliance.core.messages import topic_down, topic_up
from appliance.world.mqtt import Link
from central import enrol

PATIENCE_S = 15.0


class Shards:
    """The links of one test, and what each has said."""

    def __init__(self, centre: Centre, brokers: list[Production]) -> None:
        self.centre, self.brokers = centre, brokers
        self.links: list[Link] = []
        self.said: dict[Link, list[Event]] = {}
        self.wake = threading.Event()

    def dial(self, port: int, name: str, topic: str, tls: TlsFiles) -> Link:
        link = Link(HOST, port, name, (topic,), 30, 3600, self.wake, tls=tls, reconnect_max_s=0.1)
        self.links.append(link)
        self.said[link] = []
        link.start()
        self.until(link, Up)
        return link

    def until(self, link: Link, kind: type) -> Event:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.wake.clear()
            self.said[link] += link.poll()
            for event in self.said[link]:
                if isinstance(event, kind):
                    self.said[link].remove(event)
                    return event
            self.wake.wait(0.05)
        raise AssertionError(f"no {kind.__name__}: {link.down_code}, {link.why_down}")

    def send(self, link: Link, topic: str, payload: bytes) -> None:
        assert link.publish(topic, payload, token=payload)
        self.until(link, Acknowledged)


@pytest.fixture
def shards(tmp_path) -> Iterator[Shards]:
    centre = new_centre(tmp_path)
    brokers = [production(centre, tmp_path / name) for name in ("a", "b")]
    made = Shards(centre, brokers)
    yield made
    for link in made.links:
        link.stop()
    for each in brokers:
        each.stop()


def test_two_brokers_two_sites_one_worker(shards, tmp_path):
    one, two = (shards.centre.enrol(tmp_path, name) for name in ("unit-1", "unit-2"))
    own = enrol.worker_tls(shards.centre.keys)
    at_a, at_b = (shards.dial(each.centre_port, "share-1", "edge/2/up/#", own) for each in shards.brokers)
    first = shards.dial(shards.brokers[0].port, "unit-1", topic_down("unit-1", "verdict"), one)
    second = shards.dial(shards.brokers[1].port, "unit-2", topic_down("unit-2", "verdict"), two)
    shards.send(first, topic_up("unit-1", "manifest"), b"from site one")
    shards.send(second, topic_up("unit-2", "manifest"), b"from site two")
    assert shards.until(at_a, Message).payload == b"from site one"
    assert shards.until(at_b, Message).payload == b"from site two"
    for link, name in ((at_a, "unit-1"), (at_b, "unit-2")):
        shards.send(link, topic_down(name, "verdict"), name.encode())
    assert shards.until(first, Message).payload == b"unit-1"
    assert shards.until(second, Message).payload == b"unit-2"


def test_a_site_moves_with_the_certificate_it_has(shards, tmp_path):
    tls, own = shards.centre.enrol(tmp_path, "unit-1"), enrol.worker_tls(shards.centre.keys)
    at_b = shards.dial(shards.brokers[1].centre_port, "share-1", "edge/2/up/#", own)
    before = shards.dial(shards.brokers[0].port, "unit-1", topic_down("unit-1", "verdict"), tls)
    before.stop()
    after = shards.dial(shards.brokers[1].port, "unit-1", topic_down("unit-1", "verdict"), tls)
    shards.send(after, topic_up("unit-1", "manifest"), b"from the new shard")
    assert shards.until(at_b, Message).payload == b"from the new shard"
