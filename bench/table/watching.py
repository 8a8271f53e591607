"""Row: the watched folder. A burst by bench/burst.py (each file durable), and what an idle receive does."""

import time

from bench import burst
from bench.table.measured import Figure, How, Row
from bench.table.running import cpu_s, house, pids, wake_ups

NAME = "watching"
IDLE_S = 10.0


def measure(how: How) -> Row:
    count = how.count(2000, 10_000)
    spent, right = [], True
    for repeat in range(how.count(1, 2)):
        taken = burst.burst(how.folder / f"burst-{repeat}", count)
        spent.append(taken.cpu_us)
        right &= taken.right
    with house(how.folder / "idle") as made:
        made.wait_ready()
        made.pass_time(3.0)
        woken = {}
        for name in ("receive", "triage", "uplink"):
            (pid, *_) = pids(made, [name])
            before, used, began = wake_ups(pid), cpu_s([pid]), time.monotonic()
            made.pass_time(IDLE_S)
            passed = time.monotonic() - began
            woken[name] = (wake_ups(pid) - before) / passed, (cpu_s([pid]) - used) / passed
    beside = {name: f"{rate:.1f}/s, {100 * share:.1f} % of a core" for name, (rate, share) in woken.items()}
    said = f"burst of {count} files of 1 KiB, lost or doubled: {'none' if right else 'SOME'}"
    return Row(
        NAME,
        (
            Figure("burst-cpu-us", f"{said}; CPU a file", tuple(spent), "us"),
            Figure("burst-whole", "1 where every file of the burst is there once and unchanged", (float(right),), ""),
            Figure(
                "idle-wake-ups", "receive, idle: wake-ups a second, all threads", (woken["receive"][0],), "/s", beside
            ),
        ),
    )
