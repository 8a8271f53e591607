"""`make bench`: every row beside its floor and its peers in one run, held against bench/budget.toml.

    python -m bench.table [--quick] [--rows road,decode] [--repeats N] [--seed N] [--keep] [--promise]

Writes the table to the top of bench/RESULTS.md and a plot beside it (bench/RESULTS.svg), and prints what it found. A
promise that is broken by more than the budget allows is named and makes the exit status 1. --keep leaves both files
as they are: for a try on a busy machine.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from appliance.errors import Fault
from bench.table import (
    closing,
    cores,
    decode,
    deidentify,
    judge,
    memory,
    paper,
    plot,
    reduced,
    road,
    starting,
    storing,
    watching,
    wire,
    worklist_row,
)
from bench.table.measured import How, Row

ROWS: dict[str, Callable[[How], Row]] = {
    each.NAME: each.measure
    for each in (
        road,
        cores,
        decode,
        reduced,
        deidentify,
        storing,
        closing,
        watching,
        worklist_row,
        memory,
        starting,
        wire,
    )
}


def machine(how: How, load: float) -> str:
    runs_on = f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    return (
        f"{runs_on}, Python {platform.python_version()}; load average when it began {load:.1f}; {how.repeats} repeats, "
        f"sides in turn, seed {how.seed}. Processor time (user and system) of one core where nothing else is said."
    )


def main(argv: Sequence[str] | None = None) -> int:
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--quick", action="store_true", help="fewer files, once each: under five minutes, no spread")
    told.add_argument("--rows", help=f"only these, by commas: {', '.join(ROWS)}")
    told.add_argument("--repeats", type=int)
    told.add_argument("--seed", type=int, default=1)
    told.add_argument("--keep", action="store_true", help="leave bench/RESULTS.md and the plot as they are")
    told.add_argument("--promise", action="store_true", help="print promises as measured, to be copied by hand")
    given = told.parse_args(argv)
    wanted = given.rows.split(",") if given.rows else list(ROWS)
    if unknown := set(wanted) - ROWS.keys():
        told.error(f"no such row: {', '.join(sorted(unknown))}")
    load, rows = os.getloadavg()[0], []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        repeats = given.repeats or (1 if given.quick else 3)
        how = How(given.quick, repeats, given.seed, Path(folder), max(os.sched_getaffinity(0)))
        for name in wanted:
            began = time.monotonic()
            try:
                rows.append(ROWS[name](how))
            except (AssertionError, Fault, OSError, RuntimeError, subprocess.SubprocessError) as fault:
                print(f"{name} failed: {fault}", file=sys.stderr)
                rows.append(Row(name))  # what it promised is then named as not measured
            print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    held = judge.budget()
    found = judge.broken(held, rows)
    words = " ".join(argv if argv is not None else sys.argv[1:])
    text = paper.table(rows, held, f"make bench ARGS='{words}'", machine(how, load), found)
    print(text)
    if given.promise:
        print(judge.as_measured(held, rows))
    if not given.keep:
        paper.put(text)
        paper.PLOT.write_text(plot.svg(rows, held))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
