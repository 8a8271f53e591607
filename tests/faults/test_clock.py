"""The clock really jumps for a running process, both ways, and its monotonic clock does not."""

import os
import subprocess
import sys
from pathlib import Path

from tests.faults.clock import Clock

SAY = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
JUMP_S = 5 * 3600


def test_the_wall_clock_jumps_and_the_other_one_goes_on(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    environment = {**os.environ, **clock.environment}
    with subprocess.Popen(
        [sys.executable, "-c", SAY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def told() -> tuple[float, float]:
            child.stdin.write("\n")
            child.stdin.flush()
            wall, mono = child.stdout.readline().split()
            return float(wall), float(mono)

        before, first = told()
        for offset in (JUMP_S, -JUMP_S):
            clock.turn(offset)
            while abs(told()[0] - before - offset) > 60:
                pass  # within a second
        assert told()[1] - first < 60
        child.stdin.close()
