"""Row: two cores against one, by the clock: triage, which is one thread by design, and the verb `deidentify`."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.draft import peak_mib
from bench.table.corpus import ROOT, files
from bench.table.measured import Figure, How, Row, child, environment

NAME = "two cores"


def measure(how: How) -> Row:
    cores = sorted(os.sched_getaffinity(0))[-2:]
    if len(cores) < 2:
        return Row(NAME, missing=dict.fromkeys(("triage", "deidentify", "deidentify-memory"), "one core here"))
    figures = []
    for what, count in (("triage", str(how.count(4, 12))), ("deidentify", str(how.count(10, 24)))):
        found = [[], []]  # type: list[list[dict[str, float]]]
        for _ in range(how.count(1, how.repeats)):
            for number, pinned in enumerate((cores[:1], cores)):
                told = ("-m", "bench.table.cores", what, count, str(len(pinned)), str(how.seed))
                found[number].append(child(how, *told, cores=pinned))
        ratios = tuple(one["took_s"] / two["took_s"] for one, two in zip(*found, strict=True))
        beside = {
            f"{n + 1} cores": f"{each[0]['took_s']:.2f} s, {each[0]['mib']:.0f} MiB" for n, each in enumerate(found)
        }
        figures.append(
            Figure(what, f"{what} of {count} CT, pictures read: one core / two, by the clock", ratios, "x", beside)
        )
        if what == "deidentify":
            memory = tuple(two["mib"] / (2 * one["mib"]) for one, two in zip(*found, strict=True))
            figures.append(Figure("deidentify-memory", "its memory on two cores / two processes", memory, "x"))
    return Row(NAME, tuple(figures))


def main() -> None:
    what, count, jobs, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    with tempfile.TemporaryDirectory(prefix="bench-cores-") as place:
        folder = Path(place)
        given = list(files("CT raw", count, seed))
        if what == "triage":
            from bench.table.road_ours import road

            with road(folder, "whole") as taken:
                taken(files("CT raw", 1, seed + 1))
                began = time.monotonic()
                taken(given)
                took = time.monotonic() - began
            mib = float(peak_mib(os.getpid()))
        else:
            source = folder / "in"
            source.mkdir()
            for number, data in enumerate(given):
                (source / f"{number}.dcm").write_bytes(data)
            command = [sys.executable, "-W", "ignore", "-m", "appliance", "deidentify", str(source), "-o"]
            began = time.monotonic()
            subprocess.run(
                [*command, str(folder / "out"), "--jobs", jobs],
                cwd=ROOT, env=environment(), check=True, capture_output=True,
            )  # fmt: skip
            took = time.monotonic() - began
            mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"took_s": took, "mib": mib}))


if __name__ == "__main__":
    main()
