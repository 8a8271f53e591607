"""Splits between edge and centre, and the balance of both, measured: simulated appliances against real workers.

    central simulate            the same, in the source tree
    python -m bench.simulate [--only splits,small,thin] [--seconds 26] [--appliances 20] [--into DIR]

Real are the broker, the store, the workers (`central run`), the balance (`central balance`, which publishes signed
policies) and the wire; the appliances are simulated (bench/simulated_sites.py); the model is bench/fixed_latency.py: it
takes a fixed time for a case and for each of its pictures, and says nothing. Three courses:

splits   the share that the edge keeps, against time from scan to verdict, fairness and cost
small    a centre too small for what comes, with and without the balance
thin     a quarter of the appliances on a thin line, with and without the balance

The balance's own times are shortened so that minutes of it fit into seconds; they stand in the report.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen
from typing import Any

from appliance.world.broker import die_with
from bench import simulate_report
from bench.load import cpu_s, fairness, held, model
from bench.simulated_sites import Plan, PolicyEar, Site, Study, run_for, sites_of
from central import publish
from tests.central.centre_samples import enrol
from tests.faults.town import CENTRE, Town

RESULTS = Path(__file__).with_name("RESULTS.md")
SUBSCRIBING_S = 1.5
PAUSE_S = 0.02
SAMPLE_S = 0.25
SPLITS = (0.0, 0.5, 0.8, 0.95)
# Seconds where life has minutes: `hold_s` 600 becomes 3, and so on.
BALANCE = {
    "wait_high_s": 6.0,
    "wait_low_s": 1.5,
    "line_high_s": 6.0,
    "line_low_s": 2.0,
    "hold_s": 3.0,
    "patience_s": 30.0,
    "window_s": 6.0,
    "every_s": 0.5,
}


@dataclass(frozen=True)
class Course:
    """One run: what the appliances do, what the model takes, and whether the balance runs beside."""

    name: str
    word: str
    plan: Plan
    model_s: float
    picture_s: float
    scan_s: float
    drain_s: float
    workers: int = 1
    balance: bool = False


@dataclass
class Outcome:
    """What came of it. waits: s from scan to verdict; of a study without one until the end: a lower bound."""

    course: Course
    studies: list[Study]
    sites: list[Site]
    ended: float
    took_s: float
    worker_cpu_s: float
    model_s: float
    questions: int
    waiting: list[tuple[float, int]] = field(default_factory=list)
    moves: list[dict[str, Any]] = field(default_factory=list)

    def waits(self, chosen: Callable[[Study], bool] = lambda _: True) -> list[float]:
        return [(each.told_at or self.ended) - each.scan_at for each in self.studies if chosen(each)]

    @property
    def escalated(self) -> list[Study]:
        return [each for each in self.studies if not each.kept]

    def by_site(self, chosen: Callable[[Site], bool] = lambda _: True) -> list[float]:
        """Mean wait of what each appliance escalated."""
        found = []
        for site in self.sites:
            waits = [(each.told_at or self.ended) - each.scan_at for each in site.studies if not each.kept]
            if waits and chosen(site):
                found.append(sum(waits) / len(waits))
        return found

    @property
    def fairness(self) -> float:
        return fairness(self.by_site())


def courses(seconds: float, appliances: int, only: Sequence[str]) -> list[Course]:
    """All runs. Rates are of all appliances together: 6 studies a second for the splits, 8 and 6 for the others."""

    def plan(keeps: float, rate_s: float, **more: Any) -> Plan:
        return Plan(keeps, appliances, appliances / rate_s, **more)

    made = [
        Course("splits", f"{100 * keeps:g} %", plan(keeps, 6), 0.2, 0.05, seconds * 0.6, seconds * 0.6)
        for keeps in SPLITS
    ]
    small = Course("small", "off", plan(0.5, 8), 0.15, 0.15, seconds, seconds * 1.5)
    quarter = max(appliances // 4, 1)
    thin = Course("thin", "off", plan(0.5, 6, thin=quarter, thin_bytes_s=4000), 0.1, 0.02, seconds, seconds * 1.5)
    made += [each for one in (small, thin) for each in (one, replace(one, word="on", balance=True))]
    return [each for each in made if each.name in only]


@contextmanager
def balancing(town: Town, folder: Path, told: Mapping[str, float]) -> Iterator[Path]:
    """`central balance` beside the workers, with a repository of its own; its words go into a file."""
    repository = folder / "updates"
    publish.begin(repository, folder / "keys", folder / "offline", roots=1, threshold=1, now=time.time())
    knobs = [part for name, value in told.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, "-c", CENTRE, "balance", "--state", str(town.central), "--repository", str(repository)]
    command += ["--publish-keys", str(folder / "keys"), "--broker", f"127.0.0.1:{town.port}", "--json", *knobs]
    path = folder / "balance.jsonl"
    with path.open("wb") as log:
        child = Popen(command, stdout=log, stderr=log, preexec_fn=die_with(os.getpid()), start_new_session=True)
        try:
            town.until(lambda: path.stat().st_size > 0, "the balance says nothing")
            yield repository
        finally:
            child.kill()
            child.wait()


def moves_in(path: Path) -> list[dict[str, Any]]:
    """What the balance did: its looks at which something was published."""
    if not path.exists():
        return []
    told = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return [each for each in told if each["state"] == "published"]


def run(course: Course, say: Callable[[str], None], told: Mapping[str, float] = BALANCE) -> Outcome:
    """One course, in a scratch folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="simulate-"))
    tally, sites = folder / "tally", sites_of(course.plan)
    child, endpoint = model(course.model_s, "--per-picture-s", str(course.picture_s), "--tally", str(tally))
    say(f"{course.name} {course.word}: starting")
    try:
        with Town(
            folder / "town", appliances=0, workers=course.workers, endpoint=endpoint, asking=("--images",)
        ) as town:
            enrol(town.keys, *(site.name for site in sites))
            for site in sites:
                site.connect(town.port)
            town.until(lambda: held(town), "not every share is held")
            town.pass_time(SUBSCRIBING_S)
            workers = [town.child(0, f"worker-{number}") for number in range(1, course.workers + 1)]
            spent = sum(cpu_s(each.process) for each in workers)
            with balancing(town, folder, told) if course.balance else nullcontext() as repository:
                waiting: list[tuple[float, int]] = []

                def seen(at: float, open_now: int) -> None:
                    if not waiting or at - waiting[-1][0] >= SAMPLE_S:
                        waiting.append((at, open_now))
                        say(f"{course.name} {course.word}: {at:.0f} s, {open_now} without a verdict")

                ear = PolicyEar(repository, folder / "memory")
                began = run_for(
                    sites,
                    ear,
                    scan_s=course.scan_s,
                    drain_s=course.drain_s,
                    pause=lambda: town.supervise(PAUSE_S),
                    seen=seen,
                )
                ended = time.monotonic()
            spent = sum(cpu_s(each.process) for each in workers) - spent
        seconds = [float(line) for line in tally.read_text().split()] if tally.exists() else []
        return Outcome(
            course,
            [study for site in sites for study in site.studies],
            sites,
            ended,
            ended - began,
            spent,
            sum(seconds),
            len(seconds),
            waiting,
            moves_in(folder / "balance.jsonl"),
        )
    finally:
        for site in sites:
            if site.client is not None:
                site.close()
        child.kill()
        child.wait()
        shutil.rmtree(folder, ignore_errors=True)


def broken(outcome: Outcome) -> list[str]:
    """Promises that a run broke: a verdict told twice, or a case that the centre holds and nobody sent."""
    twice = [each.case_id for each in outcome.studies if each.told_times > 1]
    early = [each.case_id for each in outcome.escalated if each.told_at is not None and each.sent_at is None]
    return [f"told twice: {case}" for case in twice] + [f"told unsent: {case}" for case in early]


def progress() -> Callable[[str], None]:
    """One line that is written over on a terminal, else one line a course and every ten seconds."""
    last = [0.0, ""]

    def say(line: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
        elif line.split(":")[0] != last[1] or time.monotonic() - float(last[0]) > 10:
            last[:] = [time.monotonic(), line.split(":")[0]]
            print(line, file=sys.stderr, flush=True)

    return say


def main() -> int:
    told = argparse.ArgumentParser(
        prog="central simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    told.add_argument("--only", default="splits,small,thin", help="which courses (default %(default)s)")
    told.add_argument("--seconds", type=float, default=26.0, help="of scanning a course; splits take six tenths of it")
    told.add_argument("--appliances", type=int, default=20)
    told.add_argument("--into", type=Path, default=Path("build/central-simulate"), help="report, plot and figures")
    told.add_argument("--keep", action="store_true", help="append the tables to bench/RESULTS.md")
    options = told.parse_args()
    load = os.getloadavg()[0]
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    said = f"{machine}; load average when it began {load:.1f}."
    say, outcomes = progress(), list[Outcome]()
    for course in courses(options.seconds, options.appliances, options.only.split(",")):
        outcomes.append(run(course, say))
    print(file=sys.stderr)
    command = f"make central-simulate ARGS='{' '.join(sys.argv[1:])}'"
    paths = simulate_report.write(options.into, outcomes, command, said, BALANCE)
    lines = simulate_report.markdown(outcomes, command, said, BALANCE)
    print("\n".join(lines))
    print(f"\n{', '.join(str(path) for path in paths)}")
    if options.keep:
        with RESULTS.open("a") as file:
            file.write("\n" + "\n".join(lines) + "\n")
    wrong = [each for outcome in outcomes for each in broken(outcome)]
    print("\n".join(wrong), end="" if not wrong else "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
