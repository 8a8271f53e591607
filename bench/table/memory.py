"""Row: memory of an idle receive, of a whole idle appliance with one model, and of triage over a long CT."""

import json
import os
import sys
import tempfile
from pathlib import Path

from bench.draft import peak_mib
from bench.table.measured import Figure, How, Row, child
from bench.table.running import house, pids, proportional_mib, resident_mib

NAME = "memory"
SLICES = 2000


def measure(how: How) -> Row:
    idle, whole, shares = [], [], {}
    for repeat in range(how.count(1, 3)):
        with house(how.folder / f"memory-{repeat}") as made:
            made.wait_ready()
            made.pass_time(3.0)
            (receive,) = pids(made, ["receive"])
            idle.append(resident_mib(receive))
            shares = {name: sum(map(proportional_mib, pids(made, [name]))) for name in ("receive", "triage", "uplink")}
            whole.append(sum(map(proportional_mib, pids(made))))
    slices = how.count(200, SLICES)
    peak = child(how, "-m", "bench.table.memory", str(slices), str(how.seed))["peak_mib"]
    beside = {name: f"{value:.0f} MiB" for name, value in shares.items()}
    return Row(
        NAME,
        (
            Figure("idle-receive-mib", "receive, idle: resident set", tuple(idle), "MiB"),
            Figure(
                "appliance-mib", "five services and the model's child, idle: proportional", tuple(whole), "MiB", beside
            ),
            Figure("ct-peak-mib", f"triage over a CT of {slices} slices: peak resident set", (peak,), "MiB"),
        ),
    )


def main() -> None:
    """One study of so many slices, admitted to sealed, in this process."""
    from bench.table.corpus import files
    from bench.table.road_ours import road

    count, seed = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="bench-ct-") as folder, road(Path(folder), "series") as taken:
        taken(files("CT raw", count, seed, one_study=True))
    # Not ru_maxrss: that begins with what the parent held when it started us (getrusage(2), execve(2)).
    print(json.dumps({"peak_mib": peak_mib(os.getpid())}))


if __name__ == "__main__":
    main()
