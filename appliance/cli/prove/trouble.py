"""What the machine must live through: power cuts under the running services, and a broker that is away for a while."""

import os
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from appliance.cli.prove.books import acknowledged, broken_since
from appliance.cli.prove.house import House
from appliance.cli.prove.load import Tell
from appliance.cli.prove.scans import SMALL_PX, Scan, slices
from appliance.cli.reconcile import reconcile
from appliance.world import sqlite
from appliance.world.volumes import MIB, Volume

VOLUME_BYTES = 192 * MIB
LITTLE = {"receive": {"disk_reserve_bytes": 6 * MIB}, "state": {"ballast_bytes": 2 * MIB}}
GAP_MAX_S = 2.0
VICTIMS = ("receive", "triage", "uplink")
CUT = "power cut (ext4 on a loop device shut down by the kernel, FS_IOC_SHUTDOWN without flushing)"
KILL = "SIGKILL at random moments (no power cut: {why})"


@dataclass(frozen=True, slots=True)
class Cuts:
    """how: what was done, by name; broken: what an acknowledgement had promised and is gone, in words."""

    how: str
    times: int
    studies: int
    back_s: tuple[float, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outage:
    """course: (seconds since the broker went, cases that wait here); back_at_s: when it came back, in that time."""

    cases: int
    back_at_s: float
    drained_s: float
    course: tuple[tuple[float, int], ...]
    broken: tuple[str, ...]


def cuts(folder: Path, times: int, dice: random.Random, tell: Tell) -> Cuts:
    """The state on a small file system of its own whose power goes at random moments; without root, SIGKILL."""
    how, volume = KILL.format(why="that needs root"), None
    if os.geteuid() == 0:
        try:
            volume = Volume(folder / "volume", "ext4", VOLUME_BYTES)
            volume.mount()
            how = CUT
        except OSError as error:
            how, volume = KILL.format(why=f"no loop device here, {type(error).__name__}"), None
    try:
        with _house(folder / "cuts", volume) as house:
            return _cut_again(house, volume, how, times, dice, tell)
    finally:
        if volume is not None:
            volume.unmount()
            volume.image.unlink()


@contextmanager
def _house(folder: Path, volume: Volume | None) -> Iterator[House]:
    settings = {section: dict[str, object](values) for section, values in LITTLE.items()}
    settings["triage"] = {"attempts_max": 20}
    if volume is not None:
        settings["state"]["folder"] = str(volume.root / "state")
    with House(folder, settings=settings, models=False) as house:
        assert house.supervisor is not None
        house.supervisor.log = folder / "log.txt"  # not on the disk that is cut
        needed = [child for child in house.supervisor.children if child.name in VICTIMS or not child.watched]
        house.supervisor.children = needed
        yield house


def _cut_again(house: House, volume: Volume | None, how: str, times: int, dice: random.Random, tell: Tell) -> Cuts:
    scans: list[Scan] = []
    broken: list[str] = []
    back: list[float] = []
    house.wait_ready()
    for number in range(times):
        scans += (fresh := slices(1, f"cut-{number}", SMALL_PX))
        fresh[0].drop(house.scanner)
        house.pass_time(dice.uniform(0, GAP_MAX_S))
        before = acknowledged(house.places, house.scanner, scans)
        began = time.monotonic()
        if volume is not None:
            volume.cut()
            house.fall()
            volume.power()
        else:
            house.kill(dice.choice(VICTIMS))
        broken += broken_since(before, house.places, scans)
        house.wait_ready()
        back.append(time.monotonic() - began)
        tell(number + 1)
    broken += _all_once(house, scans)
    return Cuts(how, times, len(scans), tuple(back), tuple(broken))


def outage(house: House, cases: int, hold_s: float, tell: Tell) -> Outage:
    """The broker is killed, cases pile up and are kept, it comes back, all is answered once."""
    began, course = time.monotonic(), list[tuple[float, int]]()
    house.kill("broker")
    scans = [scan for number in range(cases) for scan in slices(1, f"outage-{number}", SMALL_PX)]
    wanted = {scan.study for scan in scans}
    for scan in scans:
        scan.drop(house.scanner)

    def look(state: str) -> bool:
        states = house.states()
        waiting = sum(states.get(uid) == "escalated" for uid in wanted)
        if not course or course[-1][1] != waiting:
            course.append((time.monotonic() - began, waiting))
        through = sum(states.get(uid) == state for uid in wanted)
        tell(through + (cases if state == "answered" else 0))
        return through == cases

    house.until(lambda: look("escalated"), "not every case is sealed while the broker is away")
    house.pass_time(hold_s)
    course.append((time.monotonic() - began, cases))
    house.come("broker")
    back = time.monotonic() - began
    house.until(lambda: look("answered"), "not every case is answered when the broker is back")
    drained = time.monotonic() - began - back
    return Outage(cases, back, drained, tuple(course), tuple(_all_once(house, scans)))


def _all_once(house: House, scans: list[Scan]) -> list[str]:
    """Every file is kept, every study answered by the one verdict of its one case, and both sides' books agree."""
    wanted = {scan.study for scan in scans}
    house.until(lambda: house.states().keys() >= wanted and house.at_rest(), "it does not come to rest")
    states: Mapping[str, str] = house.states()
    kept = {path.stem for path in house.places.instances.glob("*/*.dcm")}
    broken = [f"{lost} files lost"] if (lost := len({scan.sha256 for scan in scans} - kept)) else []
    wrong = sum(states.get(uid) != "answered" for uid in wanted)
    broken += [f"{wrong} studies not answered"] if wrong else []
    broken += [f"{check.name}: {check.wrong}" for check in reconcile(house.places, deep=True)[0] if not check.holds]
    return broken + _twice_at_the_centre(house)


def _twice_at_the_centre(house: House) -> list[str]:
    engine = sqlite.open_reader(house.central / "central.db")
    with engine.connect() as c:
        query = "select count(*) - count(distinct case_id) from cases"
        doubled = int(c.exec_driver_sql(query).scalar_one())
    engine.dispose()
    return [f"{doubled} cases doubled at the centre"] if doubled else []
