"""A database on a full disk is a matter of time: nothing half done, no crash, and it goes on when there is room."""

import os
import stat
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


def test_the_group_of_the_folder_may_use_the_index_too(tmp_path: Path) -> None:
    """Whoever opens a ledger first makes its write-ahead log: a reader's must not shut the writer out."""
    folder = tmp_path / "wire"
    folder.mkdir()
    folder.chmod(0o2770)
    before = os.umask(0o077)
    try:
        for _ in range(2):  # also one that was made too narrow
            engine = sqlite.open_writer(folder / "x.db", MetaData())
            with engine.begin() as c:
                c.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (a)")
            assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o660}
            engine.dispose()
            for path in folder.iterdir():
                path.chmod(0o600)
    finally:
        os.umask(before)
    folder.chmod(0o700)
    sqlite.open_writer(folder / "own.db", MetaData()).dispose()
    assert stat.S_IMODE((folder / "own.db").stat().st_mode) == 0o600
