"""A capture of the wire, and what the broker keeps on its disk, show topics and ciphertext and nothing else."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from enrolled import known_keys
from recorder import Recorder

from appliance.core.drafting.question import NO_MODEL_NOTICE
from appliance.core.letter import sealed
from appliance.core.link import Acknowledged, Up
from appliance.core.messages import topic_up
from appliance.world import broker, keyring
from appliance.world.mqtt import Link
from central.registry import Registry
from tests.e2e.capture import documents, findings, words
from tests.e2e.identities import identities, telling_file, traces
from tests.faults.processes import Processes

STUDIES = {f"1.2.826.0.1.3680043.10.{number}": f"88{number}47" for number in (601, 602)}
DROPPED = {study: telling_file(study, patient) for study, patient in STUDIES.items()}
PICTURES = ("iVBORw0KGgo", "/9j/4AAQ")  # how PNG and JPEG begin in base64
PATIENCE_S = 15.0


class Recorded(Processes):
    """A house whose broker is reached, by the appliance and by the centre, through a recorder only."""

    recorder: Recorder

    def come(self, name: str, *, wiped: bool = False) -> None:
        if name != "broker":
            super().come(name, wiped=wiped)
            return
        self.pipe = broker.start(self.folder / "broker", 0, "mosquitto")
        self.recorder = Recorder(self.pipe.port, self.port)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """One study answered, and another one that waits in the broker, which was asked to end and wrote it down."""
    with Recorded(tmp_path_factory.mktemp("capture")) as made:
        first, second = STUDIES
        made.drop("Zwingenberger_Ottilie.dcm", DROPPED[first])
        made.until(lambda: made.states().get(first) == "answered" and made.at_rest(), "no answer")
        made.kill("central", stay_away=True)
        made.drop("Zwingenberger_Quendolin.dcm", DROPPED[second])
        made.until(lambda: bool(made.sent(times=2).intersection(made.open_cases())), "the second case is not sent")
        made.end_broker()
        made.recorder.stop()
        yield made


def said(house: Recorded) -> list[object]:
    """What was on the wire, opened with the keys of both ends."""
    registry, keys = Registry(house.folder / "central-keys"), house.config.keys
    device = registry.device(house.config.site.device_id)
    assert device is not None
    parties = [keyring.own(keys, "triage"), keyring.own(keys, "uplink")]
    senders = [device.triage, device.uplink, *(own.public for own in registry.own)]
    return documents(house.recorder.streams, senders, [*registry.own, *parties])


def test_topics_of_one_shape_and_ciphertext_are_all_there_is(house):
    assert findings(house.recorder.streams, house.config.site.device_id) == []


def test_the_ciphertext_is_the_cases_and_no_word_of_them_is_outside(house, tmp_path):
    opened = said(house)
    kinds = {str(document.get("schema_version")).split("/")[0] for document in opened if isinstance(document, dict)}
    assert {"case", "manifest", "receipt", "delivery", "taken"} <= kinds, kinds
    topics = {"verdict", "manifest", "receipt", "status", "command", "standing", "request", "refusal"}
    inside = {word for document in opened for word in words(document)} - topics - {house.config.site.device_id}
    assert len(inside) > 40
    assert any(word.startswith(PICTURES) for word in inside), "the case went with its pictures"
    assert traces([*inside, *PICTURES, *NO_MODEL_NOTICE.split(". ")], kept(house, tmp_path)) == {}


def test_nobody_is_outside_in_any_encoding(house, tmp_path):
    texts = set().union(*(identities(data) for data in DROPPED.values()))
    assert len(texts) > 50
    assert traces(texts, kept(house, tmp_path)) == {}


def test_the_broker_kept_something_to_be_searched(house):
    assert (house.folder / "broker" / "mosquitto.db").read_bytes().count(b"EDP1") >= 1


def kept(house: Recorded, folder: Path) -> list[Path]:
    """The recording and everything the broker left, as files."""
    recording = folder / "recording"
    recording.write_bytes(b"\n".join(house.recorder.streams))
    assert recording.stat().st_size > 10_000
    return [recording, *(path for path in (house.folder / "broker").rglob("*") if path.is_file())]


# The same checks against faults that were planted.

DEVICE = "unit-1"
OWN, CENTRE = known_keys("unit-1 uplink"), known_keys("centre")
TOPIC = topic_up(DEVICE, "roll")
LETTER = sealed(b'{"schema_version":"roll/2"}', place=TOPIC, sender=OWN, recipient=CENTRE.public)


@pytest.mark.parametrize(
    ("topic", "payload", "finding"),
    [
        (TOPIC, LETTER, ""),
        (TOPIC, b'{"schema_version":"roll/2","open":[]}', "payload"),
        (TOPIC, b"EDL1" + b"in clear behind a right beginning, as a fault of ours could leave it " * 4, "payload"),
        (TOPIC, LETTER[:116] + b"\0" * 200, "payload"),
        (f"{TOPIC}/Zwingenberger", LETTER, "topic"),
        (topic_up("unit-2", "roll"), LETTER, "topic"),
    ],
)
def test_a_planted_fault_is_found(tmp_path, topic, payload, finding):
    started = broker.start(tmp_path, 0, "mosquitto")
    recorder, wake = Recorder(started.port), threading.Event()
    link = Link(broker.HOST, recorder.port, DEVICE, (), 30, 3600, wake)
    link.start()
    try:
        until(link, wake, Up)
        assert link.publish(topic, payload, token=1)
        until(link, wake, Acknowledged)
    finally:
        link.stop()
        recorder.stop()
        started.stop()
    found = findings(recorder.streams, DEVICE)
    assert [each.split()[0] for each in found] == ([finding] if finding else [])
    assert documents(recorder.streams, [OWN.public], [CENTRE]) == (
        [{"schema_version": "roll/2"}] if not finding else []
    )


def test_a_name_for_a_client_is_found(tmp_path):
    started = broker.start(tmp_path, 0, "mosquitto")
    recorder, wake = Recorder(started.port), threading.Event()
    link = Link(broker.HOST, recorder.port, "Klinikum Sankt Wendelin", (), 30, 3600, wake)
    link.start()
    try:
        until(link, wake, Up)
    finally:
        link.stop()
        recorder.stop()
        started.stop()
    assert findings(recorder.streams, DEVICE) == ["client id Klinikum Sankt Wendelin"]


def until(link: Link, wake: threading.Event, kind: type) -> None:
    for _ in range(int(PATIENCE_S / 0.05)):
        if any(isinstance(event, kind) for event in link.poll()):
            return
        wake.wait(0.05)
        wake.clear()
    raise AssertionError(f"no {kind.__name__}")
