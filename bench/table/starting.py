"""Row: cold start. From the start of a process to its READY=1, and of triage to the first lane, sources compiled."""

import statistics
import time

from appliance.cli.prove.house import House
from bench.table.closing import lanes
from bench.table.corpus import files
from bench.table.measured import Figure, How, Row
from bench.table.running import SERVICES, cpu_s, house, pids

NAME = "cold start"
QUIET_S, LOOK_S = 0.3, 0.005
SETTINGS: dict[str, dict[str, object]] = {
    "receive": {"settle_s": 0.2, "rescan_period_s": 0.3},
    "triage": {"quiet_period_s": QUIET_S, "quiet_period_with_evidence_s": QUIET_S},
}


def measure(how: How) -> Row:
    wall: dict[str, list[float]] = {name: [] for name in SERVICES}
    spent: dict[str, list[float]] = {name: [] for name in SERVICES}
    lane = []
    with house(how.folder / "starting", SETTINGS) as made:
        made.wait_ready()  # compiles what is not compiled yet
        for repeat in range(how.count(2, 5)):
            for name in SERVICES:
                wall[name].append(started_again(made, name))
                spent[name].append(cpu_s(pids(made, [name])))
            made.kill("triage", stay_away=True)
            made.drop(f"{repeat}.dcm", next(files("film raw", 1, how.seed + 1000 + repeat)))
            made.until(lambda: any(made.places.incoming.glob("*.dcm")), "not taken", look_s=0.02)
            made.come("triage")
            made.until(lambda: made.child("triage").process is not None, "gone", look_s=LOOK_S)
            began = time.time() - (time.monotonic() - made.child("triage").started)
            found = made.places.studies_db
            made.until(lambda n=repeat, found=found: len(lanes(found)) > n, "no lane", look_s=0.02)  # type: ignore[misc]
            lane.append(lanes(found)[-1] - began - QUIET_S)
    beside = {name: f"{statistics.median(values):.2f} s" for name, values in wall.items()}
    cpu = {name: f"{statistics.median(values):.2f} s" for name, values in spent.items()}
    figures = [Figure("receive-ready-s", "receive: start to READY=1, wall", tuple(wall["receive"]), "s", beside)]
    figures += [
        Figure(f"{name}-ready-cpu-s", f"{name}: CPU from start to READY=1", tuple(spent[name]), "s", cpu)
        for name in ("receive", "triage")
    ]
    figures.append(
        Figure("first-lane-s", "triage: start to the first lane, quiet time taken off, wall", tuple(lane), "s")
    )
    return Row(NAME, tuple(figures))


def started_again(made: House, name: str) -> float:
    """Seconds from the start of the process that follows a killed one to its READY=1."""
    child, before = made.child(name), made.child(name).starts
    made.kill(name)
    made.until(lambda: child.starts > before and child.ready, "not ready", look_s=LOOK_S)
    return child.heard - child.started
