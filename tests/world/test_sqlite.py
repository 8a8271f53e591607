"""A database on a full disk is a matter of time: nothing half done, no crash, and it goes on when there is room."""

from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, func, select

from appliance.errors import Unavailable
from appliance.world import sqlite

TABLES = MetaData()
FILES = Table("files", TABLES, Column("id", Integer, primary_key=True), Column("data", LargeBinary))


def test_a_full_disk_is_unavailable_and_what_was_committed_stands(tmp_path: Path) -> None:
    """SQLite says the same of a limit of pages as of a disk without room (SQLITE_FULL)."""
    engine = sqlite.open_writer(tmp_path / "a.db", TABLES)

    def put(pages: int) -> None:
        with engine.begin() as c:
            c.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            c.execute(FILES.insert().values(data=bytes(5000)))

    put(20)

    def fill() -> None:
        for _ in range(100):
            put(20)

    with pytest.raises(Unavailable, match="disk-low"):
        fill()
    with engine.begin() as c:
        before = c.execute(select(func.count()).select_from(FILES)).scalar_one()
    put(10_000)
    with engine.begin() as c:
        assert c.execute(select(func.count()).select_from(FILES)).scalar_one() == before + 1
    engine.dispose()


def test_another_fault_of_a_database_is_no_full_disk(tmp_path: Path) -> None:
    from sqlalchemy.exc import OperationalError

    engine = sqlite.open_writer(tmp_path / "a.db", TABLES)
    with pytest.raises(OperationalError), engine.begin() as c:
        c.exec_driver_sql("SELECT * FROM nothing")
    engine.dispose()
