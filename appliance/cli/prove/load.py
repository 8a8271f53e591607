"""How much the machine bears: a burst that keeps every service busy, a steady load, and what both take of memory."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sqlalchemy import func, select

from appliance.cli.prove.books import ask
from appliance.cli.prove.house import House
from appliance.cli.prove.scans import Scan
from appliance.core.figures import Figure, mean, quantile
from appliance.world import ledger

LOOK_S = 0.05
BLOCKS = 10  # of a burst; the first and the last are left out, where not every service is busy
STEADY_SHARE = 0.5  # of the rate at which it saturates
PATIENCE_S = 1800.0
UNDECIDED = ("received", "complete")

Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Burst:
    """files a second at saturation, and how the count went: (seconds since the first file, files done)."""

    files: int
    bytes: int
    rate: Figure
    course: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Steady:
    """Seconds from the file in the scanner's folder to the study's lane, at an offered rate (studies a second)."""

    offered: float
    p50: Figure
    p95: Figure
    p99: Figure
    took_s: tuple[float, ...]
    lanes: dict[str, int]


def burst(house: House, scans: Sequence[Scan], done: Callable[[House], int], tell: Tell) -> Burst:
    """All files at once; `done` counts how many are through."""
    before, began = done(house), time.monotonic()
    for scan in scans:
        scan.drop(house.scanner)
    course = [(0.0, 0)]

    def through() -> bool:
        count = done(house) - before
        if count > course[-1][1]:
            course.append((time.monotonic() - began, count))
            tell(count)
        return count >= len(scans)

    _until(house, through, "the burst is not worked off")
    return Burst(len(scans), sum(len(scan.data) for scan in scans), rate(course, len(scans)), tuple(course))


def rate(course: Sequence[tuple[float, int]], count: int) -> Figure:
    """Files a second from the spans of the burst's blocks but the first and the last: no start and no end counts.

    The spans are averaged and turned over, not the rates: a block that two looks saw at once would be infinitely fast.
    """
    marks = [next(at for at, done in course if done >= count * block / BLOCKS) for block in range(1, BLOCKS)]
    span = mean([late - early for early, late in pairwise(marks)])
    size = count / BLOCKS
    if span.value <= 0:
        return Figure(count / max(course[-1][0], LOOK_S), None, None, 1)
    low = size / span.high if span.high else None
    return Figure(size / span.value, low, size / span.low if span.low and span.low > 0 else None, span.n)


def steady(house: House, scans: Sequence[Scan], offered: float, dice: random.Random, tell: Tell) -> Steady:
    """Files at random moments (Poisson), each timed until its study has a lane, by our clock."""
    due, at = [], time.monotonic()
    for _ in scans:
        at += dice.expovariate(offered)
        due.append(at)
    dropped: dict[str, float] = {}
    took: dict[str, float] = {}

    def through() -> bool:
        now = time.monotonic()
        while len(dropped) < len(scans) and due[len(dropped)] <= now:
            scan = scans[len(dropped)]
            scan.drop(house.scanner)
            dropped[scan.study] = time.monotonic()
        decided = {uid for uid, state in house.states().items() if state not in UNDECIDED}
        now = time.monotonic()
        took.update({uid: now - dropped[uid] for uid in decided & (dropped.keys() - took.keys())})
        tell(len(took))
        return len(took) == len(scans)

    _until(house, through, "not every study has a lane")
    values = list(took.values())
    p50, p95, p99 = (quantile(values, share) for share in (0.5, 0.95, 0.99))
    return Steady(offered, p50, p95, p99, tuple(sorted(values)), lanes(house, set(took)))


def studies_decided(house: House) -> int:
    where = ledger.studies.c.state.not_in(UNDECIDED)
    query = select(func.count()).select_from(ledger.studies).where(where)
    return ask(house.places.studies_db, lambda c: int(c.execute(query).scalar_one()), 0)


def files_kept(house: House) -> int:
    """Instances whose row is committed and whose bytes lie in the archive."""
    query = select(func.count()).select_from(ledger.instances)
    return ask(house.places.studies_db, lambda c: int(c.execute(query).scalar_one()), 0)


def lanes(house: House, studies: set[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for uid, row in house.studies().items():
        if uid in studies:
            number, revision = row.number, row.revision
            found = ask(house.places.studies_db, lambda c, n=number, r=revision: ledger.result_of(c, n, r), None)  # type: ignore[misc]
            lane = "quarantined" if row.state == "quarantined" or found is None else str(found.lane)
            counts[lane] = counts.get(lane, 0) + 1
    return counts


class Memory:
    """The most that each service and its children have held, bytes (proc_pid_status(5), VmHWM; shared pages count)."""

    def __init__(self, house: House) -> None:
        self._house, self._of = house, dict[int, int]()
        self.peak: dict[str, int] = {}

    def look(self) -> None:
        assert self._house.supervisor is not None
        children: dict[int, list[int]] = {}
        for path in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            except OSError:
                continue  # it has just ended
            pid, held = int(path.parent.name), fields.get("VmHWM", "0 kB").split()[0]
            self._of[pid] = int(held) * 1024
            children.setdefault(int(fields["PPid"]), []).append(pid)
        for child in self._house.supervisor.children:
            if child.watched and child.process is not None:
                held_now = sum(self._of.get(pid, 0) for pid in _tree(child.process.pid, children))
                self.peak[child.name] = max(self.peak.get(child.name, 0), held_now)


def _tree(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(below for child in children.get(pid, []) for below in _tree(child, children))]


def _until(house: House, through: Callable[[], bool], why: str) -> None:
    house.until(through, why, PATIENCE_S, look_s=LOOK_S)
