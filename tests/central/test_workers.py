"""Several workers as real processes on one store and one broker: killed, stopped and gone on, and a store that dies."""

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from centre_samples import DEVICE, OTHER, ScriptedServer, answered, large_parcel, parcel
from sqlalchemy import Engine, func, select
from test_central_process import CENTRAL, ROOT, Edge, run_arguments

from appliance.world import broker
from central import store
from tests.faults.postgres import Postgres

PATIENCE_S = 120.0
CASES = 24  # of each device
STILL_S = store.LEASE_S + 3.0


class Workers:
    """Processes of `central run`, by number; what they say lies in a file."""

    def __init__(self, folder: Path, arguments: list[str], count: int) -> None:
        self.log, self.arguments = folder / "workers.txt", arguments
        self.children: list[subprocess.Popen[bytes]] = [self._start() for _ in range(count)]

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as out:
            return subprocess.Popen([*CENTRAL, *self.arguments], cwd=ROOT, stdout=out, stderr=out)

    def kill(self, number: int) -> None:
        self.children[number].kill()
        self.children[number].wait()
        self.children[number] = self._start()

    def _await(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while f"-{child.pid}-" not in self.log.read_text() and child.poll() is None:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self) -> str:
        for child in self.children:
            # One killed a moment ago may still be loading Python, where the signal means what it means to any process.
            child.send_signal(signal.SIGCONT)
            self._await(child)
            child.terminate()
        codes = [child.wait(30) for child in self.children]
        said = self.log.read_text()
        assert codes == [0] * len(codes), said
        assert "Traceback" not in said, said
        return said


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[broker.Broker]:
    running = broker.start(tmp_path / "broker", 0, "mosquitto")
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "postgres"])
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres | None]:
    if request.param == "sqlite":
        yield None
        return
    with Postgres() as made:
        yield made


class Town:
    """Two appliances that send at their own pace while a test does its worst."""

    def __init__(self, port: int) -> None:
        self.pace = threading.Event()
        self.edges = [Edge(port, [], device_id) for device_id in (DEVICE, OTHER)]
        self.waiting = [
            [(large_parcel if number % 6 == 0 else parcel)(number, device_id=edge.device_id) for edge in self.edges]
            for number in range(1, CASES + 1)
        ]

    def live(self, for_s: float) -> None:
        """A while in which the scanner goes on and nothing stands still but what a test has stopped."""
        end = time.monotonic() + for_s
        while time.monotonic() < end:
            for edge in self.edges:
                edge.insist()
                edge.hear()
            self.pace.wait(0.05)

    def scan(self, count: int) -> None:
        for pair in self.waiting[:count]:
            for edge, made in zip(self.edges, pair, strict=True):
                edge.parcels[made.case_id] = made
        del self.waiting[:count]

    def until(self, what: Callable[[], bool], why: Callable[[], str]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < end, why()
            self.live(0.3)

    def content(self) -> bool:
        return not self.waiting and all(edge.content for edge in self.edges)

    def told(self) -> str:
        return str([(len(edge.receipts), len(edge.verdicts), len(edge.parcels)) for edge in self.edges])

    def close(self) -> None:
        for edge in self.edges:
            edge.link.stop()


def untaken(engine: Engine) -> int:
    with store.transaction(engine) as c:
        return store.counts(c)["verdicts_untaken"]


def check_books(engine: Engine, town: Town) -> None:
    with store.transaction(engine) as c:
        held = {(row.device_id, row.case_id): row for row in c.execute(select(store.cases))}
        given = list(c.execute(select(store.verdicts)))
        aside = [(row.kind, row.code) for row in c.execute(select(store.quarantine))]
        states = set(c.execute(select(store.transfers.c.state)).scalars())
        attempts = c.execute(select(func.max(store.asks.c.attempts))).scalar_one()
    sent = {(edge.device_id, each.case_id): each for edge in town.edges for each in edge.parcels.values()}
    assert held.keys() == sent.keys()
    assert all(held[key].body == each.document and held[key].sha256 == each.told.sha256 for key, each in sent.items())
    assert len(given) == len(held) == 2 * CASES
    names = {row.id: key for key, row in held.items()}
    for edge in town.edges:
        mine = {
            names[row.case_number][1]: bytes(row.body) for row in given if names[row.case_number][0] == edge.device_id
        }
        assert mine == edge.verdicts
    assert aside == []
    assert states == {"whole"}
    assert attempts <= 3


@pytest.mark.timeout(400)
def test_workers_that_are_killed_and_stopped_lose_nothing_and_double_nothing(
    tmp_path: Path, mosquitto: broker.Broker, postgres: Postgres | None
) -> None:
    draw = random.Random(20_261_126)
    server, folder = ScriptedServer(answered()), tmp_path / "centre"
    url = "" if postgres is None else postgres.url
    arguments = [*run_arguments(folder, mosquitto, server.url), *(["--store", url] if url else [])]
    engine = store.open_store(folder, url)
    workers, town = Workers(tmp_path, arguments, 3), Town(mosquitto.port)
    try:
        town.scan(4)
        town.until(lambda: town.edges[0].content, town.told)
        stopped = 0
        workers.children[0].send_signal(signal.SIGSTOP)  # longer than its leases last
        began = time.monotonic()
        while time.monotonic() - began < STILL_S:
            town.scan(1)
            town.live(draw.uniform(0.3, 1.2))
            workers.kill(draw.choice((1, 2)))
            stopped += 1
            if postgres is not None and stopped == 4:
                postgres.kill()
                town.live(1.0)
                postgres.start()
        workers.children[0].send_signal(signal.SIGCONT)
        town.scan(len(town.waiting))
        town.until(lambda: town.content() and untaken(engine) == 0, town.told)
    finally:
        town.close()
        said = workers.stop()
        server.stop()
    check_books(engine, town)
    engine.dispose()
    assert "lets go of" in said
