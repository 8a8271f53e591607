"""`central status`: what it says of devices, shares and what waits, on both stores, and while workers run."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_samples import DEVICE, OTHER, ScriptedServer, answered, device_keys, enrol, large_parcel, letter_up, parcel
from sqlalchemy import Engine, text
from test_central_process import CENTRAL, ROOT, Edge, run_arguments

from appliance.core.messages import Gone, Status, Waiting
from appliance.world import broker
from central import overview, store
from central.cli import main
from central.store import freight, lives
from central.store.leases import clock

PATIENCE_S = 60.0
LIFE = "a" * 32


def status(number: int, said_at: float) -> Status:
    return Status(
        number=number,
        life=LIFE,
        said_at=int(said_at),
        product="edge-diagnostic-appliance/0.1.0",
        waiting=Waiting(critical=1, urgent=2, routine=3),
        oldest_s=7260,
        free_bytes=2**30,
    )


def asked(capsys: pytest.CaptureFixture[str], folder: Path, url: str, *words: str) -> str:
    assert main(["status", "--state", str(folder), *(["--store", url] if url else []), *words]) == 0
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], folder: Path, url: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(capsys, folder, url, *words, "--json"))
    return found


def say(engine: Engine, device_id: str, ago_s: float) -> None:
    """A device said how it is, so long ago."""
    with store.transaction(engine) as c:
        now = clock(c, time.time())
        store.heard_of(c, {device_id}, now - ago_s)
        assert lives.file_status(c, device_id, device_keys(device_id).uplink.signing_id, status(1, now - ago_s), now)


def test_every_device_by_how_it_stands(
    any_store: Engine, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = enrol(tmp_path / "keys", "asleep", "alive", "gone", "new")
    for name, ago_s in (("asleep", lives.SILENT_S + 120.0), ("alive", 0.0), ("gone", 0.0), ("revoked", 0.0)):
        say(any_store, name, ago_s)
    with store.transaction(any_store) as c:
        key_id = device_keys("gone").uplink.signing_id
        assert lives.file_gone(c, "gone", key_id, Gone(life=LIFE).life, clock(c, time.time()))
        store.heard_of(c, {"of-old"}, time.time() - 5.0)
    found = {each["device"]: each for each in told(capsys, tmp_path, store_url, "--keys", str(keys))["devices"]}
    assert {name: each["life"] for name, each in found.items()} == {
        "asleep": "silent",
        "gone": "away",
        "new": "never",
        "of-old": "never",
        "alive": "alive",
        "revoked": "alive",
    }
    assert [name for name, each in found.items() if not each["enrolled"]] == ["of-old", "revoked"]
    assert next(iter(found)) == "asleep", "who wants looking at comes first"
    assert found["alive"]["waiting"] == {"critical": 1, "urgent": 2, "routine": 3}
    assert (found["alive"]["oldest_s"], found["alive"]["free_bytes"]) == (7260, 2**30)
    assert found["asleep"]["status_ago_s"] >= lives.SILENT_S
    assert found["asleep"]["held_back_s"] >= lives.SILENT_S
    assert found["of-old"]["heard_ago_s"] >= 5.0
    assert found["of-old"]["status_ago_s"] is None
    shown = asked(capsys, tmp_path, store_url, "--keys", str(keys))
    lines = {line.split()[0]: line for line in shown.splitlines() if line}
    assert "1/2/3" in lines["alive"]
    assert "2 h 1 min" in lines["alive"]
    assert "1024 MiB" in lines["alive"]
    assert "silent" in lines["asleep"]
    assert "(said late)" in lines["asleep"]
    assert "(not enrolled)" in lines["revoked"]
    assert "new" not in {each["device"] for each in told(capsys, tmp_path, store_url)["devices"]}


def test_what_is_under_way_and_what_waits(
    any_store: Engine, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, now = large_parcel(1), time.time()
    with store.transaction(any_store) as c:
        at = clock(c, now)
        manifest: Any = {"manifest": b"{}", "manifest_sha256": "0" * 64, "tier": 1}
        size = made.told.sealed_bytes
        freight.open_transfer(
            c, DEVICE, made.transfer_id, case_id=made.case_id, sealed_bytes=size, at=at - 90.0, **manifest
        )
        row = freight.transfers_named(c, [(DEVICE, made.transfer_id)])[DEVICE, made.transfer_id]
        freight.record_parts(c, row.id, 0b11, at - 30.0)
        freight.request_series(c, OTHER, "f" * 32, at - 7200.0)
        lives.count_up(c, "series-parts-dropped", 5, at - 60.0)
        lives.count_up(c, "spool-damaged", 2, at)
        store.worker_lives(c, "a-worker", now)
        assert store.claim_share(c, "centre-0-of-2", "a-worker", now)
        assert store.claim_share(c, "centre-1-of-2", "another", now)
        store.release(c, "centre-1-of-2", "another")
        case, _ = store.file_case(
            c,
            DEVICE,
            "e" * 32,
            transfer_id="d" * 32,
            sha256="0" * 64,
            tier=0,
            body=b"{}",
            urgency="urgent",
            code="",
            at=at - 100.0,
        )
        store.file_verdict(c, case.id, rev=1, request_hash="0" * 64, status="ok", body=b"{}", letter=None, at=at - 50.0)
    found = told(capsys, tmp_path, store_url)
    (transfer,) = found["transfers"]
    assert (transfer["device"], transfer["have"], transfer["parts"]) == (DEVICE, 2, made.told.parts)
    assert (transfer["age_s"] >= 90.0, transfer["untouched_s"] >= 30.0) == (True, True)
    assert [(each["device"], each["case"]) for each in found["series"]] == [(OTHER, "f" * 32)]
    assert [(each["device"], each["case"], each["rev"]) for each in found["verdicts"]] == [(DEVICE, "e" * 32, 1)]
    assert {each["share"]: each["worker"] for each in found["shares"]} == {
        "centre-0-of-2": "a-worker",
        "centre-1-of-2": "",
    }
    assert 0 < found["shares"][0]["left_s"] <= store.LEASE_S
    assert [each["worker"] for each in found["workers"]] == ["a-worker"]
    numbers = {name: value for name, value in found.items() if name in overview.WORDS}
    assert numbers == {
        **dict.fromkeys(overview.WORDS, 0),
        "answered": 1,
        "ok": 1,
        "verdicts_untaken": 1,
        "transfers_open": 1,
        "series_open": 1,
        "series_parts_dropped": 5,
        "transfers_lost": 2,
    }
    shown = asked(capsys, tmp_path, store_url)
    assert f"2/{made.told.parts}" in shown
    assert "nobody" in shown
    assert "the last of them dropped 1 min ago" in shown
    assert all(words in shown for words in overview.WORDS.values())


def test_a_long_list_is_cut_for_people(
    any_store: Engine, store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with store.transaction(any_store) as c:
        store.heard_of(c, {f"device-{number:03d}" for number in range(overview.SHOWN_MAX + 3)}, 1.0)
    shown = asked(capsys, tmp_path, store_url)
    assert sum(line.startswith("device-") for line in shown.splitlines()) == overview.SHOWN_MAX
    assert "and 3 more" in shown
    assert len(told(capsys, tmp_path, store_url)["devices"]) == overview.SHOWN_MAX + 3


def test_a_store_that_is_not_made_yet_is_told(any_store: Engine, store_url: str, tmp_path: Path) -> None:
    with store.transaction(any_store) as c:
        c.execute(text("DROP TABLE statuses"))
    assert main(["status", "--state", str(tmp_path), *(["--store", store_url] if store_url else [])]) == 1
    store.METADATA.create_all(any_store)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[broker.Broker]:
    running = broker.start(tmp_path / "broker", 0, "mosquitto")
    yield running
    running.stop()


def test_it_answers_while_a_worker_runs(
    any_store: Engine, store_url: str, tmp_path: Path, mosquitto: broker.Broker
) -> None:
    """A real worker at a real broker: the command beside it sees who lives and who holds what."""
    folder, server = tmp_path / "centre", ScriptedServer(answered())
    folder.mkdir()
    where = ["--store", store_url] if store_url else []
    arguments = [*run_arguments(folder, mosquitto, server.url), *where]
    worker = subprocess.Popen([*CENTRAL, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    edge = Edge(mosquitto.port, [parcel(number) for number in range(1, 4)])

    def found() -> dict[str, Any]:
        command = [sys.executable, "-m", "central.cli", "status", "--state", str(folder), *where, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
        assert done.returncode in (0, 1, 78), done.stderr
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    deadline, number, seen = time.monotonic() + PATIENCE_S, 0, dict[str, Any]()
    try:
        while not (seen and seen["answered"] == 3 and seen["devices"] and seen["devices"][0]["life"] == "alive"):
            assert time.monotonic() < deadline, seen
            edge.insist()
            edge.hear()
            number += 1
            edge.link.publish(*letter_up("status", status(number, time.time())), token=("status", number))
            seen = found()
    finally:
        edge.link.stop()
        worker.terminate()
        worker.wait(30)
        server.stop()
    assert {each["worker"] for each in seen["shares"]} == {each["worker"] for each in seen["workers"]}
    assert len(seen["shares"]) == 4
