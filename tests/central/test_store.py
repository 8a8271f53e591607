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

from central import store

HASH = "a" * 64
BROUGHT: dict[str, Any] = {"transfer_id": case_number(9), "sha256": HASH, "tier": 0}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = store.open_store(tmp_path)
    yield engine
    engine.dispose()


def filed(engine: Engine, number: int = 1) -> int:
    with store.transaction(engine) as c:
        row, _ = store.file_case(
            c, DEVICE, case_number(number), **BROUGHT, body=b"{}", urgency="routine", code="", at=1.0
        )
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
