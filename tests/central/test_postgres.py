"""The centre's store in a real PostgreSQL: what SQLite shows elsewhere holds there, too, for workers side by side."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from appliance.errors import Misconfigured, Unavailable
from central import store
from central.store import corrections
from tests.central.centre_samples import a_case
from tests.faults.postgres import Postgres

CASES, WORKERS = 40, 8


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as made:
        yield made


@pytest.fixture
def engine(server: Postgres) -> Iterator[Engine]:
    made = store.open_store(Path(), server.url)
    with store.transaction(made) as c:
        names = ", ".join(table.name for table in store.METADATA.sorted_tables)
        c.exec_driver_sql(f"TRUNCATE {names} CASCADE")  # what is append-only refuses to be deleted row by row
    yield made
    made.dispose()


def file(engine: Engine, number: int) -> bool:
    case = a_case(number)
    with store.transaction(engine) as c:
        return store.file_case(
            c,
            "site-1",
            case.case_id,
            transfer_id=f"{number:032x}",
            sha256="0" * 64,
            tier=1,
            body=b"{}",
            urgency="routine",
            code="",
            at=1.0,
        )[1]


def test_workers_that_start_together_make_the_tables_once(server: Postgres) -> None:
    together = threading.Barrier(WORKERS)

    def opened(_: int) -> None:
        together.wait(10)
        store.open_store(Path(), server.url).dispose()

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(opened, range(WORKERS)))


def test_a_case_that_comes_to_every_worker_at_once_counts_once(engine: Engine) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        new = list(pool.map(lambda _: file(engine, 1), range(WORKERS)))
    assert sum(new) == 1


def test_no_case_is_claimed_twice_and_none_is_left(engine: Engine) -> None:
    for number in range(1, CASES + 1):
        file(engine, number)

    def claims(worker: int) -> list[int]:
        found = []
        while True:
            with store.transaction(engine) as c:
                row = store.claim_case(c, f"worker-{worker}", 100.0)
            if row is None:
                return found
            found.append(row.id)

    with ThreadPoolExecutor(WORKERS) as pool:
        claimed = [number for each in pool.map(claims, range(WORKERS)) for number in each]
    assert len(claimed) == len(set(claimed))
    # A worker passes over rows that another one holds at that moment: what it passed over, the other one has.
    assert len(claimed) == CASES


def test_a_share_has_one_owner_however_many_ask(engine: Engine) -> None:
    def claim(worker: int) -> bool:
        with store.transaction(engine) as c:
            return store.claim_share(c, "centre-0-of-4", f"worker-{worker}", 100.0)

    with ThreadPoolExecutor(WORKERS) as pool:
        assert sum(pool.map(claim, range(WORKERS))) == 1


def test_workers_whose_clocks_differ_by_an_hour_share_nothing(engine: Engine) -> None:
    """Leases go by the server's clock: else each would take the other's for run out, and take it over for ever."""
    file(engine, 1)
    wrong = {"a": 1e9, "b": 1e9 + 3600.0, "c": 2e9}
    for worker, at in wrong.items():
        with store.transaction(engine) as c:
            store.worker_lives(c, worker, at)
            assert store.claim_share(c, "share", worker, at) is (worker == "a")
            assert (store.claim_case(c, worker, at) is not None) is (worker == "a")
            assert store.shares_held(c, ["share"], at) == {"share": "a"}
    with store.transaction(engine) as c:
        assert store.live_workers(c, 0.0) == set(wrong)
        store.renew_claims(c, "a", [1], 0.0)
        assert store.claim_share(c, "share", "a", 5e9), "its owner renews it, whatever the time is there"


def test_corrections_are_filed_once_and_never_changed(engine: Engine) -> None:
    file(engine, 1)
    row = {"key": "a" * 32, "sha256": "0" * 64, "body": b"{}", "at": 1.0}

    def put(rev: int) -> bool:
        with store.transaction(engine) as c:
            case = store.cases_of(c, "site-1", [a_case(1).case_id])[a_case(1).case_id]
            return corrections.put(c, "site-1", case.id, rev=rev, **row)

    with ThreadPoolExecutor(WORKERS) as pool:
        assert sum(pool.map(put, [1, 2] * WORKERS)) == 2
    table = store.tables.corrections
    for change in (table.update().values(rev=9), table.delete()):
        with pytest.raises(DBAPIError, match="only ever added"), engine.begin() as c:
            c.execute(change)
    with store.transaction(engine) as c:
        assert [row.body for row in corrections.standing(c)] == [b"{}"]
        assert (corrections.count(c), store.counts(c)["corrections"]) == (1, 1)
        assert corrections.digest_of(c, "site-1", "a" * 32, 2) == "0" * 64


def test_messages_aside_are_bounded(engine: Engine) -> None:
    for number in range(store.QUARANTINE_EACH_MAX + 5):
        with store.transaction(engine) as c:
            store.put_aside(c, "site-1", "roll", "letter-invalid", b"%d" % number, keep_body=False, at=1.0)
    with store.transaction(engine) as c:
        assert store.counts(c)["put_aside"] == store.QUARANTINE_EACH_MAX + 1


def test_a_server_that_was_killed_is_away_and_then_there_again(engine: Engine, server: Postgres) -> None:
    file(engine, 1)
    server.kill()
    with pytest.raises(Unavailable, match="store-away"):
        file(engine, 2)
    server.start()
    assert file(engine, 2)
    assert not file(engine, 1), "a committed case was lost"


@pytest.mark.parametrize("url", ["sqlite:///x.db", "no url", "postgresql+nodriver:///x"])
def test_what_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured, match="store-url"):
        store.open_store(Path(), url)
