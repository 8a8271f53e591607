"""A store of either kind for the tests that must hold on both: SQLite in a folder, and a real PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from central import store
from tests.faults.postgres import Postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with Postgres() as made:
        yield made


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """As `--store` has it; "" for SQLite."""
    if request.param == "sqlite":
        return ""
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.url


@pytest.fixture
def any_store(store_url: str, tmp_path: Path) -> Iterator[Engine]:
    """An empty store."""
    made = store.open_store(tmp_path, store_url)
    with store.transaction(made) as c:
        for table in reversed(store.METADATA.sorted_tables):
            c.execute(table.delete())
    yield made
    made.dispose()
