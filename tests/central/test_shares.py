"""Who holds which share of the wire: all of them somebody's, evenly, and a dead or stopped worker's soon another's."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Known
from centre_samples import DEVICE, OTHER, parcel
from sqlalchemy import Engine

from appliance.core.messages import PARTITIONS, partition, topic_up
from appliance.errors import Unavailable
from appliance.loop import Moment
from central import store, worker
from central.spool import Spool
from central.store import freight
from central.worker import RENEW_S, STALE_S, Worker, fair_limit, partitions_of, share_name, subscriptions

WALL = 1_700_000_000.0
SHARES = 4


class Link:
    """A connection that connects and hears nothing."""

    connected = True

    def __init__(self, client_id: str, topics: Sequence[str]) -> None:
        self.client_id, self.topics, self.stopped = client_id, list(topics), False

    def poll(self) -> list[Any]:
        return []

    def stop(self, wait_s: float) -> None:
        self.stopped = True
        self.waited_s = getattr(self, "waited_s", 0.0) + wait_s


class Worked:
    """A worker and every connection it ever made."""

    def __init__(self, engine: Engine, folder: Path, name: str, shares: int = SHARES) -> None:
        self.links: list[Link] = []
        self.worker = Worker(
            engine,
            Spool(folder),
            Known(DEVICE, OTHER),  # type: ignore[arg-type]
            name=name,
            connect=self.connect,  # type: ignore[arg-type]
            shares=shares,
            asks=threading.Event(),
        )

    def connect(self, client_id: str, topics: Sequence[str]) -> list[Link]:
        self.links.append(Link(client_id, topics))
        return self.links[-1:]

    def at(self, now: float) -> set[int]:
        for step in self.worker.steps().values():
            step(Moment(WALL + now, now))
        self.check()
        return set(self.worker.exchanges)

    def check(self) -> None:
        live = {link.client_id for link in self.links if not link.stopped}
        assert live == {share_name(share, self.worker.shares) for share in self.worker.exchanges}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store.open_store(tmp_path)
    yield engine
    engine.dispose()


def settled(workers: Sequence[Worked], since: float, for_s: float = 60.0) -> list[set[int]]:
    """Lets them live side by side; no share may ever have two connected holders between two rounds."""
    held = [set(each.worker.exchanges) for each in workers]
    now = since
    while now < since + for_s:
        held = [each.at(now) for each in workers]
        assert sum(map(len, held)) == len(set().union(*held)), "two hold one share"
        now += 1.0
    return held


@pytest.mark.parametrize("shares", [1, 3, 4, 64])
def test_the_shares_are_all_partitions_each_once(shares: int) -> None:
    dealt = [number for share in range(shares) for number in partitions_of(share, shares)]
    assert sorted(dealt) == list(range(PARTITIONS))
    topics = {topic for share in range(shares) for topic in subscriptions(partitions_of(share, shares))}
    for device in (DEVICE, OTHER, "a-third-one"):
        for kind in ("manifest", "part", "taken", "roll"):
            wanted = topic_up(device, kind).replace(device, "+")  # type: ignore[arg-type]
            assert wanted in topics, partition(device)


def test_one_worker_takes_all_at_once_and_gives_them_back_in_the_end(engine: Engine, tmp_path: Path) -> None:
    first, second = Worked(engine, tmp_path, "a"), Worked(engine, tmp_path, "b")
    assert first.at(0.0) == {0, 1, 2, 3}
    first.worker.close()
    assert all(link.stopped for link in first.links)
    assert second.at(0.0) == {0, 1, 2, 3}


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_any_number_of_workers_share_evenly(engine: Engine, tmp_path: Path, count: int) -> None:
    workers = [Worked(engine, tmp_path, f"worker-{number}") for number in range(count)]
    settled(workers[:1], 0.0, 10.0)
    held = settled(workers, 10.0)
    assert set().union(*held) == {0, 1, 2, 3}
    sizes = sorted(map(len, held))
    assert sizes[-1] - sizes[0] <= 1
    before = [len(each.links) for each in workers]
    assert settled(workers, 70.0) == held, "shares wander although nothing changed"
    assert before == [len(each.links) for each in workers]


def test_a_dead_worker_s_shares_are_soon_another_s(engine: Engine, tmp_path: Path) -> None:
    first, second = Worked(engine, tmp_path, "a"), Worked(engine, tmp_path, "b")
    settled([first, second], 0.0, 30.0)
    dead_at = 30.0
    held = settled([second], dead_at, store.LEASE_S - RENEW_S - 2.0)
    assert len(held[0]) == 2, "a lease is worth nothing"
    assert settled([second], dead_at + store.LEASE_S - RENEW_S - 2.0, 3 * RENEW_S + 2.0)[0] == {0, 1, 2, 3}


def test_a_worker_that_stood_still_finds_its_shares_gone(engine: Engine, tmp_path: Path) -> None:
    first, second = Worked(engine, tmp_path, "a"), Worked(engine, tmp_path, "b")
    first.at(0.0)
    settled([second], 1.0, 30.0)
    assert len(second.worker.exchanges) == SHARES
    assert first.at(31.0) == set()
    assert all(link.stopped for link in first.links)
    held = settled([first, second], 32.0)
    assert sorted(map(len, held)) == [2, 2]


def test_without_the_store_a_worker_lets_go_when_its_leases_have_run_out(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still reach the broker: then it would fight with whoever holds its shares by now."""
    first = Worked(engine, tmp_path, "a")
    first.at(0.0)

    def away(*_: Any) -> None:
        raise Unavailable("store-away")

    with monkeypatch.context() as patch:
        patch.setattr(store, "worker_lives", away)
        for now in (RENEW_S, 2 * RENEW_S):
            with pytest.raises(Unavailable):
                first.worker.hold(Moment(WALL + now, now))
        assert len(first.worker.exchanges) == SHARES
        with pytest.raises(Unavailable):
            first.worker.hold(Moment(WALL + 20.0, 20.0))
        assert first.worker.exchanges == {}
        first.check()
    assert first.at(30.0) == {0, 1, 2, 3}


def test_a_lease_of_a_clock_that_was_wrong_binds_nobody(engine: Engine, tmp_path: Path) -> None:
    first, second = Worked(engine, tmp_path, "a"), Worked(engine, tmp_path, "b")
    first.at(86_400.0)
    assert second.at(0.0) == {0, 1, 2, 3}


def test_the_greediest_gives_and_only_to_who_has_two_fewer() -> None:
    assert fair_limit(4, "a", ["a"] * 4, set()).most == 4
    assert fair_limit(4, "a", ["a"] * 4, {"b"}).most == 3
    assert fair_limit(4, "a", ["a", "a", "b"], {"b"}).most == 2
    assert fair_limit(4, "a", ["a", "a", "b", "b"], {"b", "c"}).most == 2
    assert fair_limit(4, "b", ["a", "a", "b", "b"], {"a", "c"}).most == 1
    assert fair_limit(4, "a", [], {"b"}).wanted == 1
    assert fair_limit(4, "a", [], set()).wanted == 4


def test_what_nobody_touches_is_forgotten_in_the_end(engine: Engine, tmp_path: Path) -> None:
    made, only = parcel(), Worked(engine, tmp_path, "a")
    with store.transaction(engine) as c:
        told = {"case_id": made.case_id, "tier": 1, "sealed_bytes": 1, "manifest": b"{}", "manifest_sha256": "0" * 64}
        freight.open_transfer(c, DEVICE, made.transfer_id, **told, at=WALL)
    spool = only.worker.spool
    spool.write(DEVICE, made.transfer_id, 1, {0: b"x"})
    only.worker.tidy(Moment(WALL + STALE_S - 1, 0.0))
    key = (DEVICE, made.transfer_id)
    with store.transaction(engine) as c:
        assert key in freight.transfers_named(c, [key])
    only.worker.tidy(Moment(WALL + STALE_S + 1, worker.TIDY_PERIOD_S))
    with store.transaction(engine) as c:
        assert freight.transfers_named(c, [key]) == {}


def test_sweeping_leaves_what_is_needed_and_what_is_young(engine: Engine, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    for name in ("1" * 32, "2" * 32):
        spool.write(DEVICE, name, 1, {0: b"x"})
    now = spool.path(DEVICE, "1" * 32).stat().st_mtime
    assert spool.sweep(lambda _device, ids: set(ids) & {"1" * 32}, now + 10) == 0
    assert spool.sweep(lambda _device, ids: set(ids) & {"1" * 32}, now + 2 * 86_400) == 1
    assert [path.name for path in spool.folder.rglob("*.part")] == [f"{'1' * 32}.part"]
