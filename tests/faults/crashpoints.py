"""SIGKILL at every call by which a service makes something durable, before it and after it, one by one.

    python -m tests.faults.crashpoints [--victims receive,triage,uplink,worker-1] [--every 1] [--points-max 500]

A process with crashpoint.c preloaded dies at its n-th such call; it is started again without, and what it was about
must come to the same end as if nothing had happened. n grows until a study passes without the process dying: then
every point of its life was met. `--every 10` takes each tenth.
"""

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cli.reconcile import reconcile
from tests.faults.clock import library
from tests.faults.promises import judged
from tests.faults.town import Town

SOURCE = Path(__file__).with_name("crashpoint.c")
POINTS_MAX = 2000


@dataclass(slots=True)
class Points:
    """What dying everywhere did to one service."""

    victim: str
    met: int = 0
    last: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0
    broken: list[str] = field(default_factory=list)

    def row(self) -> str:
        calls = ", ".join(f"{name} {count}" for name, count in sorted(self.calls.items()))
        found = "none" if not self.broken else "; ".join(self.broken)
        return f"| {self.victim} | {self.met} | {self.last} | {calls} | {self.took_s:.0f} | {found} |"


def shim(folder: Path) -> Path:
    """The preloaded library, compiled here."""
    made = folder / "crashpoint.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(made), str(SOURCE), "-ldl"], check=True)
    return made


def preload(library_path: Path, **knobs: object) -> dict[str, str]:
    """An environment with the shim before the clock's library."""
    return {"LD_PRELOAD": f"{library_path}:{library()}"} | {f"CRASH_{name}": str(v) for name, v in knobs.items()}


class Bench:
    """A town and one victim in it. rested says whether everything that was dropped has come to its end."""

    def __init__(self, town: Town, place: int, victim: str, folder: Path, rested: Callable[[], bool]) -> None:
        self.town, self.place, self.victim, self.rested = town, place, victim, rested
        self.shim, self.log = shim(folder), folder / f"{victim}-calls.txt"
        self.root = town.edges[place - 1].places.root if place else town.central
        self.child = town.child(place, victim)

    def die_at(self, at: int, *, after: bool) -> bool:
        """One point: False when the victim did not make so many calls before everything was at rest."""
        self.log.unlink(missing_ok=True)
        plain, starts = self.child.command, self.child.starts
        around = preload(self.shim, FOLDER=f"{self.root}/", AT=at, AFTER=int(after), LOG=self.log)
        self.child.command = ["env", *(f"{name}={value}" for name, value in around.items()), *plain]
        self.town.kill(self.place, self.victim)
        self.town.until(lambda: self.child.starts > starts, f"{self.victim} does not start again")
        self.child.command = plain
        self.town.drop(max(self.place, 1))
        self.town.until(lambda: self.calls() >= at or self.rested(), f"{self.victim} dies at no point")
        died = self.calls() >= at
        if not died:
            self.town.kill(self.place, self.victim)
        self.town.until(self.rested, f"no rest after {self.victim} died at call {at}, {'after' if after else 'before'}")
        return died

    def calls(self) -> int:
        return self.log.read_bytes().count(b"\n") if self.log.exists() else 0

    def last_call(self) -> str:
        """Which call it died at, and on what kind of file."""
        name, _, path = self.log.read_text().splitlines()[-1].partition(" ")
        return f"{name} {Path(path).suffix or 'file'}"


def every_point(bench: Bench, report: Points, *, first: int = 1, every: int = 1, points_max: int = POINTS_MAX) -> None:
    """Both sides of each n-th call until a study passes without the victim dying."""
    began, at = time.monotonic(), first
    while report.met < points_max:
        for after in (False, True):
            if not bench.die_at(at, after=after):
                report.took_s += time.monotonic() - began
                return
            report.met += 1
            report.last = at
            report.calls[bench.last_call()] += 1
        at += every
    report.took_s += time.monotonic() - began


def points_of(folder: Path, victim: str, *, first: int = 1, every: int = 1, points_max: int = POINTS_MAX) -> Points:
    """One service through its points: receive and triage without a centre, uplink and worker-1 with one."""
    report, far = Points(victim), victim not in ("receive", "triage")
    end = "answered" if far else "escalated"
    with Town(folder / "town", appliances=1, workers=int(far), dice=random.Random(1)) as town:

        def rested() -> bool:
            now = town.states(1)
            waiting = [path for path in town.edges[0].scanner.iterdir() if path.is_file()]
            known = now.keys() == {scan.study for scan in town.book.scans} and set(now.values()) <= {end}
            return known and not waiting and (not far or town.at_rest(1))

        town.wait_ready()
        bench = Bench(town, 0 if victim.startswith("worker") else 1, victim, folder, rested)
        every_point(bench, report, first=first, every=every, points_max=points_max)
        edge = town.edges[0]
        edge.fall()
        if far:
            report.broken += judged(town)[0]
        report.broken += [f"{each.name}: {each.wrong}" for each in reconcile(edge.places, deep=True)[0] if each.wrong]
        kept = {path.stem for path in edge.places.instances.glob("*/*.dcm")}
        report.broken += ["files lost"] if {scan.sha256 for scan in town.book.scans} - kept else []
    return report


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--victims", default="receive,triage,uplink,worker-1")
    told.add_argument("--every", type=int, default=1)
    told.add_argument("--points-max", type=int, default=POINTS_MAX)
    options = told.parse_args()
    os.nice(10)
    print("| service | points met | last call | calls died at | seconds | violations |\n|---|---|---|---|---|---|")
    broken = False
    for victim in options.victims.split(","):
        with tempfile.TemporaryDirectory(prefix="points-") as folder:
            report = points_of(Path(folder), victim, every=options.every, points_max=options.points_max)
        print(report.row(), flush=True)
        broken |= bool(report.broken)
    raise SystemExit(broken)


if __name__ == "__main__":
    main()
