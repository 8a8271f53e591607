"""A share changes hands, or its number changes: nobody files what is another's, nobody waits long, nothing is left."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Fate, Known, Pipe
from centre_samples import DEVICE, OTHER, parcel
from sqlalchemy import Engine, select
from test_central_process import CENTRAL, ROOT, run_arguments

from appliance.core.link import NO_SUBSCRIBERS, Acknowledged, Event, Message
from appliance.loop import Moment
from appliance.world import broker, mqtt
from central import store
from central.spool import Spool
from central.store.leases import clock
from central.worker import CLEAR_PERIOD_S, RENEW_S, STOP_S, Worker, share_name

WALL = 1_700_000_000.0
PATIENCE_S = 30.0


class Line(Pipe):
    """A connection that may hang when it is told to end, and remembers in what order it was."""

    def __init__(self, told: list[tuple[str, float]], name: str = "") -> None:
        super().__init__(Fate())
        self.told, self.name = told, name
        self.connect()

    def stop(self, wait_s: float) -> None:
        self.told.append((self.name, wait_s))


class Hands:
    """A worker, its connections, and those that throw sessions away."""

    def __init__(self, engine: Engine, folder: Path, name: str, shares: int = 1) -> None:
        self.told: list[tuple[str, float]] = []
        self.lines: dict[str, Line] = {}
        self.discarding: dict[str, Line] = {}
        self.worker = Worker(
            engine,
            Spool(folder / "spool"),
            Known(DEVICE, OTHER),  # type: ignore[arg-type]
            name=name,
            connect=self.connect,
            shares=shares,
            asks=threading.Event(),
            discard=self.discard,
        )

    def connect(self, client_id: str, _topics: Sequence[str]) -> list[Line]:
        self.lines[client_id] = Line(self.told, client_id)
        return [self.lines[client_id]]

    def discard(self, client_id: str) -> list[Line]:
        assert client_id not in self.discarding, "once is enough"
        self.discarding[client_id] = Line(self.told, client_id)
        return [self.discarding[client_id]]

    def step(self, name: str, mono: float) -> bool:
        return self.worker.steps()[f"centre.{name}"](Moment(WALL + mono, mono))


def end_leases(engine: Engine) -> None:
    with store.transaction(engine) as c:
        c.execute(store.shares.update().values(until=0.0))
        c.execute(store.workers.delete())


def cases(engine: Engine) -> list[Any]:
    with store.transaction(engine) as c:
        return list(c.execute(select(store.cases)))


def test_whose_share_is_another_s_by_now_files_and_acknowledges_nothing(any_store: Engine, tmp_path: Path) -> None:
    first, second, made = Hands(any_store, tmp_path, "a"), Hands(any_store, tmp_path, "b"), parcel()
    first.step("hold", 0.0)
    (line,) = first.lines.values()
    end_leases(any_store)
    for message in made.messages:
        line.from_edge(*message)
    second.step("hold", 1.0)
    first.step("listen", 1.0)
    assert cases(any_store) == []
    assert line.delivered, "it was not acknowledged, so the broker hands it to the new holder"
    (other,) = second.lines.values()
    for message in made.messages:
        other.from_edge(*message)
    second.step("listen", 1.0)
    assert len(cases(any_store)) == 1
    first.step("hold", RENEW_S)
    assert first.worker.exchanges == {}


def test_whose_lease_ran_out_and_whom_nobody_followed_goes_on(any_store: Engine, tmp_path: Path) -> None:
    only, made = Hands(any_store, tmp_path, "a"), parcel()
    only.step("hold", 0.0)
    end_leases(any_store)
    (line,) = only.lines.values()
    for message in made.messages:
        line.from_edge(*message)
    only.step("listen", 1.0)
    assert len(cases(any_store)) == 1
    assert not line.delivered


def test_nobody_takes_a_share_over_in_the_middle_of_a_commit(any_store: Engine, tmp_path: Path) -> None:
    """The fence is of one piece with what is filed: who takes over waits for it, or comes first."""
    name, taken = share_name(0, 1), threading.Event()
    with store.transaction(any_store) as c:
        assert store.claim_share(c, name, "a", WALL)
    end_leases(any_store)

    def take() -> None:
        with store.transaction(any_store) as c:
            assert store.claim_share(c, name, "b", WALL)
        taken.set()

    rival = threading.Thread(target=take)
    with store.transaction(any_store) as c:
        assert store.holds_share(c, name, "a")
        rival.start()
        assert not taken.wait(0.3)
    rival.join(PATIENCE_S)
    with store.transaction(any_store) as c:
        assert not store.holds_share(c, name, "a")
        assert store.holds_share(c, name, "b")


def test_letting_go_of_connections_that_hang_does_not_outlast_a_lease(any_store: Engine, tmp_path: Path) -> None:
    only = Hands(any_store, tmp_path, "a", shares=4)
    only.step("hold", 0.0)
    only.worker.close()
    names = [share_name(number, 4) for number in range(4)]
    assert sorted(name for name, wait_s in only.told[:4] if wait_s == 0.0) == names, (
        "all are told before one is awaited"
    )
    assert sum(wait_s for _, wait_s in only.told) <= STOP_S
    assert 2 * RENEW_S + STOP_S < store.LEASE_S


def test_a_link_that_hangs_is_told_to_end_without_being_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released, entered = threading.Event(), threading.Event()

    def hangs(_: object) -> None:
        entered.set()
        released.wait(PATIENCE_S)

    monkeypatch.setattr(mqtt.Connection, "hold", hangs)
    link = mqtt.Link("127.0.0.1", 1, "unit", (), 30, 3600, threading.Event())
    link.start()
    assert entered.wait(PATIENCE_S)
    link.stop(0.0)
    thread = link._thread
    assert thread is not None
    assert thread.is_alive(), "nobody waited for it"
    link.poll()
    assert link._thread is thread, "what was told to end is not started again"
    released.set()
    link.stop()
    assert not thread.is_alive()
    assert link._near.fileno() == link._far.fileno() == -1


# Shares that are no more.


def former(engine: Engine, *names: str, until: float = 0.0) -> None:
    with store.transaction(engine) as c:
        for name in names:
            c.execute(store.shares.insert().values(name=name, owner="long-gone", until=until))


def shares(engine: Engine) -> set[str]:
    with store.transaction(engine) as c:
        return set(c.execute(select(store.shares.c.name)).scalars())


def test_sessions_of_shares_that_are_no_more_are_thrown_away_one_by_one(any_store: Engine, tmp_path: Path) -> None:
    former(any_store, "centre-0-of-2", "centre-1-of-2")
    only = Hands(any_store, tmp_path, "a")
    for _ in range(4):
        only.step("hold", 0.0)
        only.step("clear", 0.0)
    assert set(only.discarding) == {"centre-0-of-2", "centre-1-of-2"}
    assert {name for name, _ in only.told} == set(only.discarding)
    assert shares(any_store) == {share_name(0, 1)}
    assert len(only.worker.exchanges) == 1


def test_a_share_that_a_worker_of_the_former_number_holds_is_left_alone(any_store: Engine, tmp_path: Path) -> None:
    with store.transaction(any_store) as c:
        now = clock(c, WALL)
    former(any_store, "centre-0-of-2", until=now + store.LEASE_S)
    only = Hands(any_store, tmp_path, "a")
    only.step("clear", 0.0)
    assert only.discarding == {}
    end_leases(any_store)
    only.step("clear", CLEAR_PERIOD_S)
    assert set(only.discarding) == {"centre-0-of-2"}


def test_while_a_broker_is_away_the_share_is_kept_and_nobody_else_takes_it(any_store: Engine, tmp_path: Path) -> None:
    former(any_store, "centre-0-of-2")
    first, second = Hands(any_store, tmp_path, "a"), Hands(any_store, tmp_path, "b")
    first.step("clear", 0.0)
    first.discarding["centre-0-of-2"].up = False
    for now in range(1, 40):
        for name in ("hold", "clear"):
            first.step(name, float(now))
            second.step(name, float(now))
    assert second.discarding == {}
    assert "centre-0-of-2" in shares(any_store)
    first.discarding["centre-0-of-2"].up = True
    first.step("clear", 40.0)
    assert "centre-0-of-2" not in shares(any_store)


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[broker.Broker]:
    running = broker.start(tmp_path / "broker", 0, "mosquitto")
    yield running
    running.stop()


def until(what: Callable[[], bool]) -> None:
    deadline, pace = time.monotonic() + PATIENCE_S, threading.Event()
    while not what():
        assert time.monotonic() < deadline
        pace.wait(0.02)


class Client:
    """A client of a real broker."""

    def __init__(self, port: int, client_id: str, *topics: str, session_expiry_s: int = 3600) -> None:
        self.link = mqtt.Link("127.0.0.1", port, client_id, topics, 30, session_expiry_s, threading.Event())
        self.link.start()
        until(lambda: self.link.connected)

    def publish(self, topic: str, payload: bytes) -> int:
        """Returns the broker's reason code."""
        assert self.link.publish(topic, payload, token=payload)
        (told,) = self.heard(Acknowledged)
        assert isinstance(told, Acknowledged)
        return told.reason_code

    def heard(self, kind: type[Message] | type[Acknowledged]) -> list[Event]:
        """Waits for the first events of that kind."""
        found: list[Event] = []

        def came() -> bool:
            found.extend(event for event in self.link.poll() if isinstance(event, kind))
            return bool(found)

        until(came)
        return found


def test_a_running_worker_leaves_no_broker_queueing_for_a_share_that_is_no_more(
    any_store: Engine, store_url: str, tmp_path: Path, mosquitto: broker.Broker
) -> None:
    """Real sessions at a real broker: before, it queues for the old client id; then nobody is there to queue for."""
    folder = tmp_path / "centre"
    engine = any_store if store_url else store.open_store(folder)
    old, edge = Client(mosquitto.port, "centre-0-of-2", "for/the/old"), Client(mosquitto.port, "unit")
    old.link.stop()
    assert edge.publish("for/the/old", b"queued") == 0, "the broker queues for who is away"
    former(engine, "centre-0-of-2")
    arguments = [*run_arguments(folder, mosquitto, "http://127.0.0.1:9"), "--shares", "1"]
    command = [*CENTRAL, *arguments, *(["--store", store_url] if store_url else [])]
    worker = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: shares(engine) == {share_name(0, 1)})
        until(lambda: edge.publish("for/the/old", b"late") == NO_SUBSCRIBERS)
    finally:
        worker.terminate()
        worker.wait(PATIENCE_S)
        edge.link.stop()
        if not store_url:
            engine.dispose()


def test_a_connection_that_keeps_no_session_is_handed_nothing_of_a_former_one(mosquitto: broker.Broker) -> None:
    old, edge = Client(mosquitto.port, "centre-0-of-2", "for/the/old"), Client(mosquitto.port, "unit")
    old.link.stop()
    assert edge.publish("for/the/old", b"queued") == 0
    clean = Client(mosquitto.port, "centre-0-of-2", "now", session_expiry_s=0)
    assert edge.publish("now", b"said now") == 0
    assert [each.payload for each in clean.heard(Message) if isinstance(each, Message)] == [b"said now"]
    for each in (clean, edge):
        each.link.stop()
