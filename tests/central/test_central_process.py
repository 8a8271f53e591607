"""The centre as real processes behind a real mosquitto, ended by SIGKILL again and again."""

import base64
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from centre_samples import (
    DEVICE,
    OTHER,
    Parcel,
    Scripted,
    ScriptedServer,
    a_picture,
    answered,
    content,
    enrol,
    heard,
    large_parcel,
    letter_up,
    parcel,
    status,
    verdict_in,
)

from appliance.core.case import Opinion, Verdict
from appliance.core.document import Document, decode, encode
from appliance.core.drafting.guard import IMAGES_SEEN, SCORES_ONLY
from appliance.core.drafting.question import NO_MODEL_ID, NO_MODEL_NOTICE
from appliance.core.link import Message
from appliance.core.messages import Delivery, Have, Receipt, Roll, Standing, Taken, topic_down
from appliance.core.transfer import missing
from appliance.world import broker
from appliance.world.mqtt import Link
from central import store

ROOT = Path(__file__).parents[2]
PATIENCE_S = 90.0
RESEND_S = 2.0
ASKED_AT_ONCE = 2  # central run's own default
CENTRAL = (sys.executable, "-m", "central.cli")


def eventually(what: Callable[[], bool], wake: threading.Event, why: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, why
        wake.wait(0.1)
        wake.clear()


class Centre:
    """One `central` command as a child, its address read from its first line."""

    def __init__(self, *arguments: str) -> None:
        self.child = subprocess.Popen([*CENTRAL, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.child.stdout is not None
        self.line = self.child.stdout.readline().decode().strip()

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.child.send_signal(number)
        _, errors = self.child.communicate(timeout=30)
        return self.child.returncode, errors.decode()


class Edge:
    """An appliance's end over real MQTT: resends until there is a receipt, takes each verdict and says so."""

    def __init__(self, port: int, parcels: list[Parcel], device_id: str = DEVICE) -> None:
        self.device_id = device_id
        self.parcels = {each.case_id: each for each in parcels}
        self.wake = threading.Event()
        topics = [topic_down(device_id, kind) for kind in ("receipt", "have", "verdict", "standing", "refusal")]
        self.link = Link("127.0.0.1", port, device_id, topics, 10, 3600, self.wake, reconnect_max_s=0.2)
        self.receipts: dict[str, Receipt] = {}
        self.have: dict[str, int] = {}
        self.verdicts: dict[str, bytes] = {}
        self.standing: dict[str, str] = {}
        self.again = 0.0
        self.link.start()

    def hear(self) -> None:
        for event in self.link.poll():
            if not isinstance(event, Message):
                continue
            match heard(event.topic, event.payload, self.device_id):
                case Receipt() as receipt:
                    self.receipts[receipt.case_id] = receipt
                case Have(transfer_id=transfer_id, known=known, have=have):
                    self.have[transfer_id] = (self.have.get(transfer_id, 0) | int(have, 16)) if known else 0
                case Delivery(case_id=case_id, rev=rev) as delivery:
                    body = encode(verdict_in(delivery, self.device_id))
                    assert self.verdicts.setdefault(case_id, body) == body
                    self.say("taken", Taken(case_id=case_id, rev=rev))
                case Standing(cases=cases):
                    self.standing.update(cases)
            self.link.ack(event)

    def say(self, kind: str, document: Document) -> None:
        self.link.publish(*letter_up(kind, document, self.device_id), token=object())

    def send(self) -> None:
        for case_id, each in self.parcels.items():
            if case_id not in self.receipts and case_id not in self.verdicts:
                self.link.publish(*each.announcement, token=object())
                for index in missing(self.have.get(each.transfer_id, 0), each.told.parts):
                    self.link.publish(*each.part(index), token=object())

    def roll(self, *case_ids: str) -> None:
        """As uplink does: about the cases that are open, unless told which."""
        asked = case_ids or tuple(case_id for case_id in self.parcels if case_id not in self.verdicts)
        self.say("roll", Roll(nonce="a" * 32, case_ids=asked, transfer_ids=()))

    @property
    def content(self) -> bool:
        self.hear()
        return set(self.verdicts) == set(self.parcels)

    @property
    def content_in_the_end(self) -> bool:
        self.insist()
        return self.content

    def insist(self) -> None:
        """As uplink does: what has no receipt is sent again. The centre may not have subscribed when it first came."""
        if time.monotonic() >= self.again:
            self.again = time.monotonic() + RESEND_S
            self.send()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[broker.Broker]:
    running = broker.start(tmp_path / "broker", 0, "mosquitto")
    yield running
    running.stop()


def run_arguments(folder: Path, mosquitto: broker.Broker, endpoint: str) -> list[str]:
    keys = enrol(folder.with_name("keys"), DEVICE, OTHER)
    where = ["--broker", f"127.0.0.1:{mosquitto.port}"]
    return ["run", "--state", str(folder), "--keys", str(keys), *where, "--endpoint", endpoint, "--model", "some-model"]


def status_of(folder: Path) -> dict[str, int]:
    told = subprocess.run(
        [*CENTRAL, "status", "--state", str(folder), "--json"], cwd=ROOT, capture_output=True, check=True
    )
    return dict(json.loads(told.stdout))


def test_a_case_goes_up_and_the_notice_comes_down(tmp_path: Path, mosquitto: broker.Broker) -> None:
    stand_in = Centre("no-model", "--port", "0")
    endpoint = stand_in.line.rsplit(" ", 1)[1]
    centre = Centre(*run_arguments(tmp_path / "centre", mosquitto, endpoint))
    assert f"127.0.0.1:{mosquitto.port}" in centre.line
    edge = Edge(mosquitto.port, [parcel(n, urgency="urgent") for n in (1, 2, 3)])
    try:
        eventually(lambda: edge.link.connected, edge.wake, "no connection")
        eventually(lambda: edge.content_in_the_end, edge.wake, "no verdicts")
        for body in edge.verdicts.values():
            verdict = decode(Verdict, body)
            assert (verdict.status, verdict.urgency, verdict.impression) == ("needs_human", "urgent", NO_MODEL_NOTICE)
            assert (verdict.reader.model, verdict.reader.connected) == (NO_MODEL_ID, False)
        assert edge.receipts == {each.case_id: each.receipt for each in edge.parcels.values()}
        edge.roll(*edge.parcels)
        eventually(lambda: edge.hear() or set(edge.standing.values()) == {"answered"}, edge.wake, "no standing")
        eventually(
            lambda: edge.hear() or status_of(tmp_path / "centre")["verdicts_untaken"] == 0, edge.wake, "not taken"
        )
        assert status_of(tmp_path / "centre")["needs_human"] == 3
    finally:
        edge.link.stop()
        ends = centre.end(), stand_in.end()
    assert [end[0] for end in ends] == [0, 0], ends
    assert "Traceback" not in ends[0][1] + ends[1][1]


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path, mosquitto: broker.Broker) -> None:
    seed, cases, kills = 20_261_123, 12, 4
    draw = random.Random(seed)
    server = ScriptedServer(answered())
    folder = tmp_path / "centre"
    edge = Edge(mosquitto.port, [large_parcel(n) if n % 8 == 0 else parcel(n) for n in range(1, cases + 1)])
    everything, pace = dict(edge.parcels), threading.Event()
    edge.parcels = {}
    centre = Centre(*run_arguments(folder, mosquitto, server.url))
    try:
        eventually(lambda: edge.link.connected, edge.wake, "no connection")
        for kill in range(kills):
            for each in list(everything.values())[kill * cases // kills : (kill + 1) * cases // kills]:
                edge.parcels[each.case_id] = each
            end = time.monotonic() + draw.uniform(0.0, 0.5)
            while time.monotonic() < end:  # a kill is due at a random moment, whatever was reached
                edge.send()
                edge.hear()
                pace.wait(0.05)
            centre.end(signal.SIGKILL)
            centre = Centre(*run_arguments(folder, mosquitto, server.url))
        resend = time.monotonic()

        def done() -> bool:
            nonlocal resend
            if time.monotonic() - resend > 2.0:
                resend = time.monotonic()
                edge.send()
                edge.roll()
            return edge.content and status_of(folder)["verdicts_untaken"] == 0

        eventually(done, edge.wake, f"seed {seed}: {len(edge.verdicts)} of {cases} verdicts")
    finally:
        edge.link.stop()
        rc, errors = centre.end()
        server.stop()
    assert (rc, "Traceback" in errors) == (0, False), errors
    engine = store.open_store(folder)
    with store.transaction(engine) as c:
        held = list(c.execute(store.cases.select()))
        given = list(c.execute(store.verdicts.select()))
        assert c.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    engine.dispose()
    assert {row.case_id: row.sha256 for row in held} == {each.case_id: each.told.sha256 for each in everything.values()}
    assert len(held) == len(given) == cases
    names = {row.id: row.case_id for row in held}
    assert {names[row.case_number]: bytes(row.body) for row in given} == edge.verdicts
    # A kill costs at most the questions that were in flight; a case that was cut off three times would be for a person.
    assert len(server.requests) <= cases + kills * ASKED_AT_ONCE


def test_a_slow_model_delays_no_receipt(tmp_path: Path, mosquitto: broker.Broker) -> None:
    server = ScriptedServer(lambda scripted: scripted.server.released.wait(PATIENCE_S) and status(500)(scripted))
    centre = Centre(*run_arguments(tmp_path / "centre", mosquitto, server.url))
    edge = Edge(mosquitto.port, [parcel(1)])
    try:
        eventually(lambda: edge.link.connected, edge.wake, "no connection")
        eventually(lambda: edge.insist() or edge.hear() or len(server.requests) == 1, edge.wake, "nobody asked")
        edge.parcels[parcel(2).case_id] = parcel(2)
        edge.send()
        eventually(lambda: edge.hear() or len(edge.receipts) == 2, edge.wake, "a receipt waits for the model")
        assert edge.verdicts == {}
        rc, errors = centre.end()
        assert (rc, "Traceback" in errors) == (0, False), errors
    finally:
        edge.link.stop()
        centre.child.kill()
        server.stop()


def looks_at_pictures(scripted: Scripted) -> None:
    """A stand-in for a vision-language model, of which none can be had here: it decodes what it is shown, and cites it.

    Its answer rests on the pictures alone, so that a worker that sends none, or what is no picture, is found out.
    """
    request = scripted.server.requests[-1]
    schema = request["response_format"]["json_schema"]["schema"]
    if "word" in schema["properties"]:  # the canary
        content(json.dumps({"word": schema["properties"]["word"]["enum"][0]}))(scripted)
        return
    said = request["messages"][1]["content"]
    shown = [part["image_url"]["url"] for part in said if part["type"] == "image_url"] if isinstance(said, list) else []
    data = [url.split(";base64,", 1)[1] for url in shown]
    pixels = [cv2.imdecode(np.frombuffer(base64.b64decode(each), np.uint8), cv2.IMREAD_UNCHANGED) for each in data]
    seen = tuple(f"I{place}" for place, each in enumerate(pixels, 1) if each is not None and each.max() > each.min())
    opinion = Opinion(label="pneumonia", assessment="present", evidence=("F1", *seen))
    answered(opinions=(opinion,))(scripted)


def test_pictures_reach_a_server_that_takes_them_and_its_draft_may_cite_them(
    tmp_path: Path, mosquitto: broker.Broker
) -> None:
    server = ScriptedServer(looks_at_pictures)
    pictures = (a_picture(1), a_picture(2, suffix=".jpg"))
    edge = Edge(mosquitto.port, [parcel(1, key_images=pictures, frames=2), parcel(2)])
    centre = Centre(*run_arguments(tmp_path / "centre", mosquitto, server.url), "--images")
    try:
        eventually(lambda: edge.link.connected, edge.wake, "no connection")
        eventually(lambda: edge.content_in_the_end, edge.wake, "no verdicts")
        shown, bare = (decode(Verdict, edge.verdicts[case_id]) for case_id in edge.parcels)
        assert (shown.status, shown.opinions[0].evidence, shown.limitations[0]) == (
            "ok",
            ("F1", "I1", "I2"),
            IMAGES_SEEN,
        )
        assert [guard.passed for guard in shown.guards if guard.name == "shape-enforced"] == [True]
        assert (bare.status, bare.opinions[0].evidence, bare.limitations[0]) == ("ok", ("F1",), SCORES_ONLY)
    finally:
        edge.link.stop()
        ended = centre.end()
        server.stop()
    assert ended[0] == 0, ended


def test_no_more_questions_are_open_than_were_allowed(tmp_path: Path, mosquitto: broker.Broker) -> None:
    server = ScriptedServer(lambda scripted: scripted.server.released.wait(PATIENCE_S) and status(500)(scripted))
    arguments = run_arguments(tmp_path / "centre", mosquitto, server.url)
    centre = Centre(*arguments, "--asks-in-flight", "3")
    edge = Edge(mosquitto.port, [parcel(number) for number in range(1, 7)])
    try:
        eventually(lambda: edge.link.connected, edge.wake, "no connection")
        eventually(
            lambda: edge.insist() or edge.hear() or (len(edge.receipts) == 6 and len(server.requests) >= 3),
            edge.wake,
            "the cases are not there, or not asked about",
        )
        edge.wake.wait(1.0)
        assert len(server.requests) == 3, "the model is slow, and was asked about more"
        server.released.set()
        centre.end()
    finally:
        edge.link.stop()
        centre.child.kill()
        server.stop()


def test_a_fault_nobody_foresaw_ends_the_whole_service(tmp_path: Path, mosquitto: broker.Broker) -> None:
    """The thread that asks and the one on the wire live and die together, so that the supervisor sees it."""
    code = (
        "import sys, central.asking as w\n"
        "def broken(self, moment): raise ZeroDivisionError\n"
        "w.Asking.ask = broken\n"
        "from central.cli import main\n"
        "sys.exit(main())"
    )
    arguments = run_arguments(tmp_path / "centre", mosquitto, "http://127.0.0.1:9")
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"ZeroDivisionError" in done.stderr


def wrong(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*CENTRAL, *arguments], cwd=ROOT, capture_output=True, timeout=60)
    return done.returncode, done.stderr.decode()


def test_a_wrong_set_up_ends_with_78_and_says_what(tmp_path: Path) -> None:
    keys = ["--keys", str(enrol(tmp_path / "keys"))]
    state = ["--state", str(tmp_path), *keys]
    assert wrong("status", "--state", str(tmp_path / "nowhere"))[0] == 78
    code, said = wrong("run", *state, "--endpoint", "ftp://127.0.0.1")
    assert (code, "endpoint" in said, "Traceback" in said) == (78, True, False)
    (tmp_path / "key").write_text("not a key")
    code, said = wrong("run", *state, "--endpoint", "http://127.0.0.1:9", "--api-key-file", str(tmp_path / "key"))
    assert (code, "api-key-file" in said, "not a key" in said) == (78, True, False)
    (tmp_path / "file").write_text("")
    code, said = wrong("run", "--state", str(tmp_path / "file"), *keys, "--endpoint", "http://127.0.0.1:9")
    assert (code, "state-folder" in said) == (78, True)
    with socket.create_server(("127.0.0.1", 0)) as held:
        code, said = wrong("no-model", "--port", str(held.getsockname()[1]))
    assert (code, "port-taken" in said) == (78, True)
    assert wrong("no-model", "--port", "70000")[0] == 2


def test_status_for_people_and_the_help_name_everything(tmp_path: Path) -> None:
    store.open_store(tmp_path).dispose()
    told = subprocess.run([*CENTRAL, "status", "--state", str(tmp_path)], cwd=ROOT, capture_output=True, check=True)
    assert b"verdicts the edge has not taken yet" in told.stdout
    help_text = subprocess.run([*CENTRAL, "run", "--help"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for option in ("--state", "--keys", "--broker", "--shares", "--endpoint", "--model", "--api-key-file"):
        assert option in help_text
    assert os.access(tmp_path / "central.db", os.R_OK)
