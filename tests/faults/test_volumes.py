"""The power cut really cuts: what was synced is there, what was not is gone; and a full disk is full."""

import os
import sqlite3
from pathlib import Path

import pytest

from appliance.errors import Unavailable
from appliance.world import archive, ballast, sqlite, wire
from appliance.world.volumes import LEAST_BYTES, MIB, Kind, Volume
from tests.faults.network import told_to_skip

pytestmark = pytest.mark.skipif(told_to_skip(), reason="loop mounts need root")


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_cut_loses_what_was_not_synced_and_nothing_else(tmp_path: Path, kind: Kind) -> None:
    with Volume(tmp_path, kind, LEAST_BYTES[kind]) as volume:
        archive.put(volume.root / "kept", b"synced" * 1000)
        (volume.root / "lost").write_bytes(b"not synced" * 1000)
        volume.cut()
        with pytest.raises(OSError, match=r"Input/output error|Read-only|Structure"):
            archive.put(volume.root / "later", b"no power")
        volume.power()
        assert (volume.root / "kept").read_bytes() == b"synced" * 1000
        lost = volume.root / "lost"
        assert not lost.exists() or not lost.read_bytes()
        assert not (volume.root / "later").exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_disk_that_was_full_has_room_after_a_cut_soon_after(tmp_path: Path, kind: Kind) -> None:
    with Volume(tmp_path, kind, LEAST_BYTES[kind]) as volume:
        with volume.full() as filler:
            assert archive.free_bytes(volume.root) < MIB
            with filler.open("rb") as file:
                os.fsync(file.fileno())  # as the databases beside it do all the time
        volume.cut()
        volume.power()
        assert archive.free_bytes(volume.root) > LEAST_BYTES[kind] // 2


def test_on_a_full_disk_a_row_cannot_even_be_deleted_until_the_ballast_is_given_up(tmp_path: Path) -> None:
    with Volume(tmp_path, "ext4", 32 * MIB) as volume:
        assert ballast.take_on(volume.root, 4 * MIB)
        assert ballast.bytes_held(volume.root) >= 4 * MIB
        c = sqlite3.connect(volume.root / "rows.db", isolation_level=None)
        c.execute("pragma journal_mode = wal")
        c.execute("create table t (a)")
        c.executemany("insert into t values (?)", [(os.urandom(2000),) for _ in range(200)])
        c.execute("pragma wal_checkpoint(truncate)")
        with volume.full():
            assert not ballast.take_on(volume.root, 8 * MIB)  # there is no room, and the attempt leaves nothing behind
            assert not ballast.bytes_held(volume.root)
        assert ballast.take_on(volume.root, 4 * MIB)
        with volume.full():
            with pytest.raises(sqlite3.OperationalError, match="full"):
                c.execute("delete from t")
            assert ballast.give_up(volume.root) >= 4 * MIB
            c.execute("delete from t")
        c.close()


def test_a_database_that_cannot_be_opened_on_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """Its shared memory cannot grow, which SQLite calls an I/O error and not a full disk."""
    with Volume(tmp_path, "ext4", LEAST_BYTES["ext4"]) as volume:
        path = volume.root / "link.db"
        sqlite.open_writer(path, wire.LINK).dispose()
        with volume.full(), pytest.raises(Unavailable, match="disk-low"):
            sqlite.open_writer(path, wire.LINK)
        sqlite.open_writer(path, wire.LINK).dispose()
