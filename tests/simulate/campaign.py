"""`make faults`: many seeds of the simulation, then the kill campaign on real processes.

python -m tests.simulate.campaign --seeds 5000 --start 500 --kills 200
"""

import argparse
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

MEMORY = Path("/dev/shm")


def one(seed: int) -> tuple[int, int, str]:
    """(seed, crashes survived, what broke)."""
    from tests.simulate.house import simulate

    logging.disable(logging.CRITICAL)  # a storm is told by its seed, not by its thousand lines
    folder = Path(tempfile.mkdtemp(prefix="simulate-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        return seed, simulate(folder, seed).fuse.crashes, ""
    except AssertionError as broken:
        return seed, 0, str(broken)[:500]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    told = argparse.ArgumentParser(description="Long fault campaigns; prints failing seeds, status 1 if any.")
    told.add_argument("--seeds", type=int, default=2000)
    told.add_argument("--start", type=int, default=500, help="the suite runs 0 to 99")
    told.add_argument("--kills", type=int, default=200, help="random SIGKILLs on real processes; 0 leaves them out")
    asked = told.parse_args()
    began, crashes, broken, done = time.monotonic(), 0, [], 0
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for seed, survived, what in pool.imap_unordered(one, range(asked.start, asked.start + asked.seeds)):
            done, crashes = done + 1, crashes + survived
            if what:
                broken.append(seed)
                print(f"seed {seed}: {what}", flush=True)
            if done % 100 == 0:
                passed = time.monotonic() - began
                print(f"{done} seeds, {crashes} crashes, {len(broken)} broken, {passed:.0f} s", flush=True)
    print(f"simulation: {done} seeds, {crashes} crashes, broken: {sorted(broken) or 'none'}")
    if asked.kills:
        from tests.faults.kills import campaign

        with tempfile.TemporaryDirectory(prefix="kills-") as folder:
            report = campaign(Path(folder), kills=asked.kills, studies=asked.kills, seed=asked.start)
        print(report)
        broken += [] if report.holds else [-1]
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
