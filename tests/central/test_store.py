"""The centre's store: portable tables, one effect a job, and an honest count."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_samples import DEVICE, case_number
from sqlalchemy import Engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from appliance.core.document import AGEING_S, Urgency
from central import store

HASH = "a" * 64
BROUGHT: dict[str, Any] = {"transfer_id": case_number(9), "sha256": HASH, "tier": 0}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store.open_store(tmp_path)
    yield engine
    engine.dispose()


def filed(engine: Engine, number: int = 1, urgency: Urgency = "routine", at: float = 1.0, device: str = DEVICE) -> int:
    with store.transaction(engine) as c:
        row, _ = store.file_case(c, device, case_number(number), **BROUGHT, body=b"{}", urgency=urgency, code="", at=at)
    return int(row.id)


def answer(engine: Engine, number: int, request_hash: str = HASH, rev: int = 1) -> int | None:
    with store.transaction(engine) as c:
        return store.file_verdict(
            c, number, rev=rev, request_hash=request_hash, status="ok", body=b"verdict", letter=b"letter", at=2.0
        )


def test_the_tables_are_postgres_too() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in store.METADATA.sorted_tables:
        text = str(CreateTable(table).compile(dialect=dialect))
        assert "PRIMARY KEY (" in text
        assert "BLOB" not in text
        for index in table.indexes:
            assert table.name in str(CreateIndex(index).compile(dialect=dialect))
    insert = postgresql.insert(store.asks).values(case_number=1).on_conflict_do_nothing()
    assert "ON CONFLICT DO NOTHING" in str(insert.compile(dialect=dialect))


def test_the_first_bytes_stand(engine: Engine) -> None:
    filed(engine)
    with store.transaction(engine) as c:
        row, new = store.file_case(
            c,
            DEVICE,
            case_number(1),
            **{**BROUGHT, "sha256": "b" * 64},
            body=b"other",
            urgency="critical",
            code="",
            at=9.0,
        )
    assert (new, row.sha256, row.body, row.received_at) == (False, HASH, b"{}", 1.0)


def test_the_most_urgent_is_asked_about_first_and_who_waits_climbs_up_to_urgent(engine: Engine) -> None:
    now = 10 * AGEING_S
    old = filed(engine, 1, at=now - AGEING_S)
    urgent = filed(engine, 2, "urgent", at=now - 9.0)
    new = filed(engine, 3, at=now - AGEING_S + 1.0)
    critical = filed(engine, 4, "critical", at=now)
    assert claims(engine, 4, now) == [critical, old, urgent, new]


def claims(engine: Engine, count: int, now: float) -> list[int]:
    found = []
    for _ in range(count):
        with store.transaction(engine) as c:
            row = store.claim_case(c, "w", now)
        assert row is not None
        found.append(row.id)
    return found


def test_a_site_that_comes_back_with_many_cases_delays_no_other(engine: Engine) -> None:
    week = [filed(engine, number, at=5.0) for number in range(1, 101)]
    assert claims(engine, 10, 6.0) == week[:10]
    for number in week[:10]:
        answer(engine, number)
    others = [filed(engine, 1000 + number, at=7.0, device=f"site-{number}") for number in range(5)]
    two = [filed(engine, 2000 + number, at=8.0, device="site-9") for number in range(2)]
    asked = claims(engine, 10, 9.0)
    assert sorted(asked[:7]) == sorted([week[10], *others, two[0]]), "one turn for each"
    assert set(asked[7:9]) == {week[11], two[1]}
    assert asked[9] == week[12]


def test_no_job_counts_twice(engine: Engine) -> None:
    number = filed(engine)
    assert answer(engine, number) is not None
    assert answer(engine, number) is None
    assert answer(engine, number, request_hash="b" * 64, rev=2) is None
    with store.transaction(engine) as c:
        assert store.counts(c)["ok"] == 1
        assert store.claim_case(c, "w", 1.0) is None


@pytest.mark.parametrize("changes", [{"rev": 2}, {"request_hash": "b" * 64}])
def test_the_database_itself_refuses_a_second_effect(engine: Engine, changes: dict[str, object]) -> None:
    number = filed(engine)
    answer(engine, number)
    row = {"case_number": number, "rev": 1, "request_hash": HASH, "status": "ok", "body": b"", "created_at": 3.0}
    with pytest.raises(IntegrityError), store.transaction(engine) as c:
        c.execute(store.verdicts.insert().values({**row, **changes}))


def test_attempts_are_counted_by_job(engine: Engine) -> None:
    number = filed(engine)
    with store.transaction(engine) as c:
        assert [store.count_ask(c, number, HASH, 2.0) for _ in range(3)] == [1, 2, 3]
        assert store.count_ask(c, number, "b" * 64, 2.0) == 1
        assert store.counts(c)["asked"] == 1


def test_opening_again_keeps_everything(engine: Engine, tmp_path: Path) -> None:
    filed(engine)
    engine.dispose()
    again = store.open_store(tmp_path)
    with store.transaction(again) as c:
        assert store.counts(c)["received"] == 1
    again.dispose()
