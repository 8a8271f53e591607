"""The sign of life an appliance gives, and its last will: what they hold, when they are said, and that numbers grow."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Config, Keys, Places
from appliance.core.bulletin import Bulletin, Day, Running
from appliance.core.document import decode, encode
from appliance.core.letter import opened
from appliance.core.link import Message
from appliance.core.messages import STATUS_PERIOD_S, Gone, Refusal, Status, topic_up
from appliance.errors import Unavailable
from appliance.loop import Moment
from appliance.uplink import Enrolling, Uplink, pulse
from appliance.world import archive, broker, mqtt, sqlite, wire
from appliance.world.wire import bulletins, pulses
from central.registry import Registry
from sample_dicom.enrolment import enrol_locally
from tests.correspondents import CENTRE, RING, UPLINK
from tests.recorder import Recorder
from tests.world.test_uplink import CONFIG, DEVICE, World, down, put, receipt, run, said, sent_up

PATIENCE_S = 30.0


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, 4)
    world.link.chance = None
    if not world.link.connected:
        world.link.connect()
    yield world
    world.close()


def statuses(edge: World) -> list[Status]:
    return [said("status", payload) for payload in sent_up(edge, "status")]


def test_it_is_said_on_every_connect_and_every_few_minutes(edge: World) -> None:
    run(edge, "listen", "pulse", "pulse")
    assert len(statuses(edge)) == 1
    edge.mono += STATUS_PERIOD_S - 1
    run(edge, "pulse")
    assert len(statuses(edge)) == 1
    edge.mono += 1
    run(edge, "pulse")
    assert len(statuses(edge)) == 2
    edge.link.drop()
    run(edge, "listen", "pulse")
    assert len(statuses(edge)) == 2, "there is nobody to say it to"
    edge.link.connect()
    run(edge, "listen", "pulse")
    assert len(statuses(edge)) == 3
    assert len({each.life for each in statuses(edge)}) == 1


def test_it_says_how_full_the_appliance_is_and_of_nobody_a_word(edge: World) -> None:
    put(edge, 1), put(edge, 2, "critical", at=1e9 - 7200)
    here, refused = put(edge, 3), put(edge, 4)
    edge.centre.cases[here.case_id] = receipt(here)
    edge.broker.send_down(*down("receipt", receipt(here)))
    told = Refusal(case_id=refused.case_id, transfer_id=refused.way.transfer_id, code="case-invalid")
    edge.broker.send_down(*down("refusal", told))
    run(edge, "listen", "pulse")
    (found,) = statuses(edge)
    assert (found.waiting.critical, found.waiting.urgent, found.waiting.routine) == (1, 0, 1)
    assert found.oldest_s == 7200
    lying = sum(path.stat().st_size for path in edge.places.parts.iterdir()) - len(here.data)
    least = CONFIG.network.spool_bytes_max - lying
    assert found.free_bytes == min(least, archive.free_bytes(edge.places.wire))
    assert not any(name in encode(found) for name in (here.case_id.encode(), b"patient", DEVICE.encode()))


BULLETIN = Bulletin(
    made_at=10**9,
    alarms={"disk-low": "alarm"},
    day=Day(cleared=1, flagged=2, escalated=3, quarantined=4, undecided=5),
    models=(Running(title="cxr/1.0.0", sha256="a" * 64, part="deciding", certificates=("b" * 64,)),),
    policy=7,
    updates=None,
)


def test_what_triage_says_of_the_whole_appliance_goes_along(edge: World) -> None:
    run(edge, "listen", "pulse")
    triage = sqlite.open_writer(edge.places.cases_db, wire.CASES)
    with triage.begin() as c:
        bulletins.put(c, BULLETIN)
    edge.mono += STATUS_PERIOD_S
    run(edge, "pulse")
    with triage.begin() as c:
        c.execute(wire.CASES.tables["bulletin"].update().values(body='{"schema_version":"bulletin/2","patient":"Doe"}'))
    triage.dispose()
    edge.mono += STATUS_PERIOD_S
    run(edge, "pulse")
    assert [each.bulletin for each in statuses(edge)] == [None, BULLETIN, None]
    assert {each.schema_version for each in statuses(edge)} == {"status/2"}
    assert {each.line_ends for each in statuses(edge)} == {None}, "a broker in clear has no certificate"


def test_numbers_grow_over_restarts_clocks_put_back_and_a_lost_database(edge: World) -> None:
    run(edge, "listen", "pulse")
    edge.wall -= 86_400.0
    edge.uplink.close()
    edge.boot()
    if not edge.link.connected:
        edge.link.connect()
    run(edge, "listen", "pulse")
    edge.uplink.close()
    for path in edge.places.wire.glob("link.db*"):
        path.unlink()
    edge.wall += 2 * 86_400.0
    edge.boot()
    if not edge.link.connected:
        edge.link.connect()
    run(edge, "listen", "pulse")
    numbers = [each.number for each in statuses(edge)]
    assert len(numbers) == 3
    assert numbers == sorted(set(numbers))
    assert len({each.life for each in statuses(edge)}) == 3


def test_a_number_is_kept_before_it_is_said_and_none_is_spent_on_a_full_window(edge: World) -> None:
    run(edge, "listen")
    edge.link.outstanding = [0] * 16
    run(edge, "pulse")
    run(edge, "pulse")
    with edge.uplink.ledger.connect() as c:
        kept = c.execute(wire.LINK.tables["pulse"].select()).one().number
    edge.link.outstanding = []
    edge.wall += 10.0
    run(edge, "pulse")
    assert [each.number for each in statuses(edge)] == [kept]


def test_a_full_disk_does_not_make_the_appliance_look_dead(edge: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run(edge, "listen", "pulse")

    def full(*_: object) -> int:
        raise Unavailable("disk-low")

    monkeypatch.setattr(pulses, "next_number", full)
    edge.mono += STATUS_PERIOD_S
    run(edge, "pulse")
    first, second = statuses(edge)
    assert second.number > first.number


def test_an_appliance_without_a_case_lives_too(tmp_path: Path) -> None:
    world = World(tmp_path / "other", 1)
    world.close()
    places = Places(tmp_path / "new")
    uplink = Uplink(CONFIG, places, RING, world.link, random.Random(0))
    world.link.connect()
    for step in uplink.steps().values():
        step(Moment(1e9, 1.0))
    (found,) = statuses(world)
    assert (found.oldest_s, found.waiting.routine) == (0, 0)
    uplink.close()


def test_the_will_is_sealed_and_of_this_life() -> None:
    will = pulse.last_will(DEVICE, UPLINK, RING.centre, "f" * 32)
    assert will.topic == topic_up(DEVICE, "gone")
    told = opened(will.payload, place=will.topic, senders=[UPLINK.public], recipients=[CENTRE])
    assert decode(Gone, told) == Gone(life="f" * 32)


def test_a_broker_says_the_will_of_an_appliance_whose_line_broke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real broker, the service as it is started, and no goodbye: the status comes, and after it the will."""
    monkeypatch.setattr(pulse, "WILL_DELAY_S", 1)
    running = broker.start(tmp_path / "broker", 0, "mosquitto")
    relay, wake = Recorder(running.port), threading.Event()
    enrol_locally(tmp_path / "keys", tmp_path / "far", DEVICE)
    network = CONFIG.network.model_copy(update={"broker_port": relay.port})
    config: Config = CONFIG.model_copy(update={"network": network, "keys": Keys(folder=tmp_path / "keys")})
    service = Enrolling(config, Places(tmp_path / "state"), threading.Event(), random.Random(0))
    topics = [topic_up(DEVICE, "status"), topic_up(DEVICE, "gone")]
    centre = mqtt.Link("127.0.0.1", running.port, "centre", topics, 30, 3600, wake)
    centre.start()
    came: list[Message] = []

    def until(count: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(came) < count:
            assert time.monotonic() < deadline, came
            for step in service.steps().values():
                step(Moment(time.time(), time.monotonic()))
            came.extend(event for event in centre.poll() if isinstance(event, Message))
            wake.wait(0.05)
            wake.clear()

    try:
        deadline = time.monotonic() + PATIENCE_S
        while not centre.connected:
            assert time.monotonic() < deadline
            wake.wait(0.05)
        until(1)
        relay.cut()
        until(2)
    finally:
        service.close()
        centre.stop()
        relay.stop()
        running.stop()
    far = Registry(tmp_path / "far")
    enrolled = far.device(DEVICE)
    assert enrolled is not None
    status, gone = (
        decode(kind, opened(each.payload, place=each.topic, senders=[enrolled.uplink], recipients=far.own))
        for kind, each in zip((Status, Gone), came, strict=True)
    )
    assert [each.topic for each in came] == topics
    assert status.life == gone.life  # type: ignore[attr-defined]
