"""The ballast is held in good times, given up on a full disk, and taken on again only when there is plenty of room."""

import logging
from pathlib import Path
from unittest import mock

import pytest

from appliance.config import Config, Places
from appliance.loop import Moment
from appliance.triage.mending import LOOK_PERIOD_S, Mending
from appliance.world import archive, ballast

MIB = 2**20
CONFIG = Config.model_validate({"state": {"ballast_bytes": 2 * MIB}, "receive": {"disk_reserve_bytes": 10 * MIB}})


class Disk:
    """How much is free, by word of the test; the ballast counts as taken."""

    def __init__(self, root: Path, free: int) -> None:
        self.root, self.free = root, free
        root.mkdir()

    def free_bytes(self, _: Path) -> int:
        return self.free


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "state", 100 * MIB)


def turn(mending: Mending, at: float) -> None:
    mending.steps()["ballast"](Moment(0.0, at))


def test_held_given_up_and_taken_on_again(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    with mock.patch.object(archive, "free_bytes", disk.free_bytes), caplog.at_level(logging.WARNING):
        mending = Mending(CONFIG, Places(disk.root))
        assert ballast.bytes_held(disk.root) >= 2 * MIB, "before a database is opened"
        disk.free = MIB
        turn(mending, 1 * LOOK_PERIOD_S)
        assert ballast.bytes_held(disk.root), "there is room still"
        disk.free = 100_000
        turn(mending, 2 * LOOK_PERIOD_S)
        assert not ballast.bytes_held(disk.root)
        assert [record.message.split(":")[0] for record in caplog.records] == ["disk-low"]
        disk.free = 12 * MIB
        turn(mending, 3 * LOOK_PERIOD_S)
        assert not ballast.bytes_held(disk.root), "taken on where the reserve would suffer"
        disk.free = 50 * MIB
        turn(mending, 4 * LOOK_PERIOD_S)
        assert ballast.bytes_held(disk.root) >= 2 * MIB


def test_none_where_none_is_wanted(disk: Disk) -> None:
    with mock.patch.object(archive, "free_bytes", disk.free_bytes):
        Mending(CONFIG, Places(disk.root))
        none = CONFIG.model_copy(update={"state": CONFIG.state.model_copy(update={"ballast_bytes": 0})})
        Mending(none, Places(disk.root))
    assert not ballast.bytes_held(disk.root)
