"""A full disk and power cuts under real services, on a file system of their own; and dying at single calls.

The long forms are `make faults`; here are samples. Loop mounts need root, as CI has it.
"""

from pathlib import Path

import pytest

from appliance.cli.reconcile import reconcile
from appliance.world import ballast
from appliance.world.volumes import LEAST_BYTES, MIB, Kind, Volume
from tests.faults.crashpoints import points_of, preload, shim
from tests.faults.network import told_to_skip
from tests.faults.power import SIZE_BYTES, cut_again_and_again
from tests.faults.town import Town

NEEDS_ROOT = pytest.mark.skipif(told_to_skip(), reason="loop mounts need root")
BELOW_RESERVE_BYTES = 3 * MIB  # town.LITTLE: 6 MiB are receive's reserve, 2 MiB the ballast
KEPT_OPEN_S = 1.5


def held(town: Town) -> int:
    return ballast.bytes_held(town.edges[0].places.root)


def settled(town: Town) -> bool:
    now = town.states(1)
    waiting = [path for path in town.edges[0].scanner.iterdir() if path.is_file()]
    return not waiting and now.keys() == {s.study for s in town.book.scans} and set(now.values()) == {"escalated"}


def said(town: Town, words: str) -> bool:
    return any(words in line for line in town.log_lines())


@NEEDS_ROOT
@pytest.mark.timeout(240)
def test_a_full_disk_loses_nothing_and_mends_itself_when_there_is_room(tmp_path: Path) -> None:
    with (
        Volume(tmp_path / "volume", "ext4", 64 * MIB) as volume,
        Town(tmp_path / "town", appliances=1, workers=0, volumes={1: volume}) as town,
    ):
        town.drop(1, 2)
        town.until(lambda: settled(town) and held(town) >= 2 * MIB, "the ballast is not taken on")

        with volume.full(BELOW_RESERVE_BYTES):  # low: taking stops politely, the files wait where they were
            town.until(lambda: said(town, "taking stopped"), "receive does not see that the disk is low")
            before = set(town.states(1))
            town.drop(1, 2)
            town.pass_time(KEPT_OPEN_S)
            waiting = {scan.name for scan in town.book.scans if scan.study not in before}
            assert waiting <= {path.name for path in town.edges[0].scanner.iterdir()}, "taken on a disk that is low"
            assert held(town), "the ballast was given up while there was room"
        town.until(lambda: settled(town), "it does not go on when there is room again")

        town.drop(1, 3)
        town.pass_time(0.8)  # in the middle of whatever: ingest, spool, checkpoint
        with volume.full():
            town.until(lambda: not held(town), "the ballast is not given up on a full disk")
            town.pass_time(KEPT_OPEN_S)
        town.until(lambda: settled(town) and held(town) >= 2 * MIB, "a full disk did not mend itself")
        town.edges[0].fall()
        checks, _ = reconcile(town.edges[0].places, deep=True)
        assert not [check for check in checks if not check.holds]
        kept = {path.stem for path in town.edges[0].places.instances.glob("*/*.dcm")}
        assert {scan.sha256 for scan in town.book.scans} <= kept, "files lost"


@NEEDS_ROOT
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("kind", "cuts"), [("ext4", 4), ("xfs", 2)])
def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path, kind: Kind, cuts: int) -> None:
    report = cut_again_and_again(tmp_path, kind, cuts, seed=5)
    assert not report.broken, report.row()
    assert report.cuts == cuts


@NEEDS_ROOT
def test_a_house_that_only_says_that_it_synced_is_seen(tmp_path: Path) -> None:
    """The planted fault: fsync does nothing. What was acknowledged is gone after the cut, and the cut notices."""
    kind: Kind = "ext4"
    assert SIZE_BYTES[kind] >= LEAST_BYTES[kind]
    around = preload(shim(tmp_path), FOLDER=f"{tmp_path}/", LIES=1)
    with (
        Volume(tmp_path / "volume", kind, SIZE_BYTES[kind]) as volume,
        Town(tmp_path / "town", appliances=1, workers=0, volumes={1: volume}, around=around) as town,
    ):
        town.drop(1, 2)
        town.until(lambda: settled(town), "not every study comes to the wire")
        assert town.cut_power(1), "a lost study was not noticed"


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("victim", "first"), [("receive", 2), ("triage", 9)])
def test_dying_at_a_single_call_changes_nothing(tmp_path: Path, victim: str, first: int) -> None:
    report = points_of(tmp_path, victim, first=first, every=17, points_max=2)
    assert not report.broken, report.row()
    assert report.met == 2
