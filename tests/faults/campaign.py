"""The campaign: one fault after another, drawn from a seed, on two appliances and three workers, then every promise.

    python -m tests.faults.campaign [--episodes 500] [--seed 1] [--town 25] [--store sqlite|postgres] [--short]

An episode drops studies and does one to three things at once to the town, then mends what it broke. A town goes through
`--town` episodes and is judged (promises.py) when it has come to rest. The same seed draws the same episodes;
what a kill hits depends on the machine, so a seed replays the weather, not the lightning. Root gets lines in network
namespaces, disks that fill and power cuts; without root there are proxies alone, and the table says so.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from appliance.core.lifecycle import END_STATES
from appliance.world.volumes import LEAST_BYTES, MIB, Volume
from tests.faults.crashpoints import preload, shim
from tests.faults.network import KBIT, apart, is_root
from tests.faults.postgres import Postgres
from tests.faults.promises import judged
from tests.faults.resending import Resender
from tests.faults.town import SERVICES, Town

EPISODES, TOWN = 500, 25
SHORT_EPISODES, SHORT_TOWN = 24, 12
WORKERS, APPLIANCES = 3, 2
HELD_MIN_S, HELD_MAX_S = 0.3, 2.5
CALM_S = 240.0
STUDIES_MAX = 2
POINT_MAX = 90
HOUR_S = 3600
Undo = Callable[[], None]


@dataclass(slots=True)
class Weather:
    """What the faults need: the town, the dice, and a compiled shim."""

    town: Town
    dice: random.Random
    shim: Path
    resender: Resender

    def place(self) -> int:
        return self.dice.randint(1, len(self.town.edges))


def nothing() -> None:
    pass


def kill_service(w: Weather) -> Undo:
    w.town.kill(w.place(), w.dice.choice(SERVICES))
    return nothing


def kill_worker(w: Weather) -> Undo:
    w.town.kill(0, f"worker-{w.dice.randint(1, WORKERS)}")
    return nothing


def kill_every_worker(w: Weather) -> Undo:
    for number in range(1, WORKERS + 1):
        w.town.kill(0, f"worker-{number}")
    return nothing


def stop_for_a_while(w: Weather) -> Undo:
    """SIGSTOP: whoever holds a lease does not know that it is gone when it goes on."""
    victims = [(0, f"worker-{w.dice.randint(1, WORKERS)}"), (w.place(), w.dice.choice(SERVICES))]
    process = w.town.child(*w.dice.choice(victims)).process
    if process is None:
        return nothing
    process.send_signal(signal.SIGSTOP)
    return lambda: process.send_signal(signal.SIGCONT)


def crash_at_a_call(w: Weather) -> Undo:
    """A service, or a worker, that will die at some durable call of its next life."""
    place, name = w.dice.choice([(w.place(), w.dice.choice(SERVICES)), (0, f"worker-{w.dice.randint(1, WORKERS)}")])
    child = w.town.child(place, name)
    plain, starts = child.command, child.starts
    root = w.town.edges[place - 1].places.root if place else w.town.central
    knobs = {"FOLDER": f"{root}/", "AT": w.dice.randint(1, POINT_MAX), "AFTER": w.dice.randint(0, 1)}
    child.command = ["env", *(f"{key}={value}" for key, value in preload(w.shim, **knobs).items()), *plain]
    w.town.kill(place, name)
    w.town.until(lambda: child.starts > starts, f"{name} does not start again")
    child.command = plain
    return nothing


def broker_away(w: Weather) -> Undo:
    w.town.fall_broker(politely=w.dice.random() < 0.5)
    wiped = w.dice.random() < 0.4
    return lambda: w.town.come_broker(wiped=wiped)


def line(w: Weather) -> Undo:
    chosen = w.town.edges[w.place() - 1].line
    assert chosen is not None
    match w.dice.choice(("thin", "lossy", "parted", "silent", "reset", "slow", "refused")):
        case "thin":
            chosen.shape(w.dice.choice((64, 128, 256, 512, 2000)) * KBIT)
        case "lossy":
            chosen.lose(w.dice.choice((3, 10, 30)))
        case "parted":
            chosen.part()
        case "silent":
            chosen.fall_silent()
        case "reset":
            chosen.reset()
        case "slow":
            chosen.delay(w.dice.uniform(0.05, 0.6))
        case "refused":
            chosen.refuse()
    return chosen.mend


def clock_jump(w: Weather) -> Undo:
    clocks = [w.town.centre_clock, *(edge.clock for edge in w.town.edges)]
    w.dice.choice(clocks).turn(w.dice.choice((-1, 1)) * w.dice.randint(1, 30) * HOUR_S)
    return nothing  # it stays wrong until it jumps again


def doubled_and_reordered(w: Weather) -> Undo:
    w.resender.send_again(w.dice.randint(3, 40), w.dice)
    return nothing


def power_cut(w: Weather) -> Undo:
    broken = w.town.cut_power(w.place())
    assert not broken, broken
    return nothing


def disk_full(w: Weather) -> Undo:
    volume = w.town.edges[w.place() - 1].volume
    assert volume is not None
    stack = ExitStack()
    stack.enter_context(volume.full(w.dice.choice((0, 0, 1, 3)) * MIB))
    return stack.close


def database_killed(w: Weather) -> Undo:
    assert w.town.postgres is not None
    w.town.postgres.kill()
    return w.town.postgres.start


ALWAYS = (
    kill_service,
    kill_service,
    kill_worker,
    kill_every_worker,
    stop_for_a_while,
    crash_at_a_call,
    broker_away,
    line,
    line,
    line,
    clock_jump,
    doubled_and_reordered,
)
ROOT_ONLY = (power_cut, power_cut, disk_full)


@dataclass(slots=True)
class Report:
    """What a campaign did and found."""

    seed: int
    store: str
    lines: str = ""
    towns: int = 0
    episodes: int = 0
    studies: int = 0
    files: int = 0
    packets: int = 0
    stream_bytes: int = 0
    opened_cases: int = 0
    took_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        """What another town did and found."""
        for name in ("towns", "episodes", "studies", "files", "packets", "stream_bytes", "opened_cases", "took_s"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lines = other.lines or self.lines
        self.faults += other.faults
        self.broken += other.broken

    def table(self) -> str:
        head = [
            f"seed {self.seed}, store {self.store}, lines: {self.lines}, {self.took_s:.0f} s",
            "",
            "| | |",
            "|---|---|",
            f"| towns of {APPLIANCES} appliances and {WORKERS} workers | {self.towns} |",
            f"| episodes | {self.episodes} |",
        ]
        done = [f"| {name.replace('_', ' ')} | {count} |" for name, count in sorted(self.faults.items())]
        found = [
            f"| studies, files | {self.studies}, {self.files} |",
            f"| MQTT packets read off the lines, bytes | {self.packets}, {self.stream_bytes} |",
            f"| cases opened with the centre's key and searched | {self.opened_cases} |",
            f"| violations | {len(self.broken)} |",
        ]
        return "\n".join([*head, *done, *found, *(f"\n- {each}" for each in self.broken)])


def town_through(folder: Path, report: Report, seed: int, episodes: int) -> None:
    """One town, from its first study to the last promise."""
    dice = random.Random(seed)
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres()) if report.store == "postgres" else None
        volumes = {}
        if is_root():
            kinds = ("ext4", "xfs")
            volumes = {
                place: stack.enter_context(Volume(folder / f"volume-{place}", kind, max(96 * MIB, LEAST_BYTES[kind])))
                for place, kind in enumerate(kinds, 1)
            }
        town = stack.enter_context(
            Town(
                folder / "town",
                appliances=APPLIANCES,
                workers=WORKERS,
                postgres=postgres,
                shaped=is_root(),
                volumes=volumes,
                dice=dice,
            )
        )
        report.lines = town.edges[0].line.kind if town.edges[0].line else ""
        weather = Weather(town, dice, shim(folder), stack.enter_context(Resender(town)))
        chosen = [*ALWAYS, *(ROOT_ONLY if is_root() else ()), *((database_killed,) if postgres else ())]
        town.wait_ready()
        for _ in range(episodes):
            episode(weather, chosen, report)
        calm(town)
        report.studies += len({scan.study for scan in town.book.scans})
        report.files += len(town.book.scans)
        for edge in town.edges:
            edge.fall()
        broken, heard = judged(town)
        report.broken += [f"seed {seed}: {each}" for each in broken]
        report.packets += heard.packets
        report.stream_bytes += heard.stream_bytes
        report.opened_cases += heard.opened_cases
        report.towns += 1


def episode(w: Weather, chosen: list[Callable[[Weather], Undo]], report: Report) -> None:
    """Studies come in while one to three things go wrong at once; then what was broken is mended, what was not, not."""
    for place in range(1, len(w.town.edges) + 1):
        w.town.drop(place, w.dice.randint(0, STUDIES_MAX))
    w.town.pass_time(w.dice.uniform(0, 1.0))
    undo: list[Undo] = []
    faults = list(dict.fromkeys(w.dice.choices(chosen, k=w.dice.choice((1, 1, 2, 3)))))
    try:
        for fault in faults:
            undo.append(fault(w))
            report.faults[fault.__name__] += 1
        w.town.pass_time(w.dice.uniform(HELD_MIN_S, HELD_MAX_S))
    finally:
        for mend in reversed(undo):
            mend()
    report.episodes += 1


def calm(town: Town) -> None:
    """Nothing is done to it any more: everything comes to its end within the patience."""

    def rested() -> bool:
        for place, edge in enumerate(town.edges, 1):
            now = town.states(place)
            waiting = [path for path in edge.scanner.iterdir() if path.is_file()]
            wanted = {scan.study for scan in town.book.of(place)}
            if waiting or now.keys() != wanted or not set(now.values()) <= END_STATES or not town.at_rest(place):
                return False
        return True

    def standing() -> str:
        places = range(1, len(town.edges) + 1)
        waiting = [sum(path.is_file() for path in edge.scanner.iterdir()) for edge in town.edges]
        return f"not at rest: {[Counter(town.states(p).values()) for p in places]}, files not taken: {waiting}"

    town.until(rested, standing, CALM_S)


def one_town(report: Report, seed: int, episodes: int, *, keep: bool) -> None:
    """One town in a folder of its own, its report counted only when it was judged, and a line of progress."""
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="town-"))
    now = Report(report.seed, report.store)
    try:
        town_through(folder, now, seed, episodes)
    except (AssertionError, OSError) as fault:
        now.broken.append(f"seed {seed}: {fault}"[:1500])
    now.took_s = time.monotonic() - started
    report.add(now)
    found = now.broken or "holds"
    print(f"seed {seed}, {report.store}, {now.episodes} episodes, {now.took_s:.0f} s: {found}", flush=True)
    if now.broken and keep:
        print(f"kept: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--episodes", type=int, default=EPISODES)
    told.add_argument("--town", type=int, default=TOWN, help="episodes a town goes through before it is judged")
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    told.add_argument("--short", action="store_true", help=f"{SHORT_EPISODES} episodes, in minutes")
    told.add_argument("--keep", action="store_true", help="keep the folder of a town that broke a promise")
    options = told.parse_args()
    episodes, each = (SHORT_EPISODES, SHORT_TOWN) if options.short else (options.episodes, options.town)
    if is_root():
        apart()
    stores = ("postgres", "sqlite") if options.store == "both" else (options.store,)
    reports = [Report(options.seed, name) for name in stores]
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for number in range(-(-episodes // each)):
            count = min(each, episodes - number * each)
            one_town(reports[number % len(reports)], options.seed * 1000 + number, count, keep=options.keep)
    except KeyboardInterrupt:
        print("ended before its end: the towns above count, the last one does not")
    finally:  # also when the driver itself fails: hours of towns are not lost by that
        done = sum(report.episodes for report in reports)
        print(f"\n{done} episodes in {time.monotonic() - began:.0f} s, Linux {os.uname().release}\n")
        print("\n\n".join(report.table() for report in reports if report.towns or report.broken), flush=True)
    sys.exit(any(report.broken for report in reports))


if __name__ == "__main__":
    main()
