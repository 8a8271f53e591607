"""Row: from the close of one film in the watched folder to its lane, a whole appliance running, one film at a time.

The settle time that safety asks (the file holds still, the study is quiet) is taken off and said apart. What is left
is set against the processor time that receive and triage spend on a film.
"""

import time
from pathlib import Path

from sqlalchemy import select

from appliance.cli.prove.books import ask
from appliance.world import ledger
from bench.table.corpus import files
from bench.table.measured import Figure, How, Row
from bench.table.running import cpu_s, house, pids

NAME = "close of a file to lane"
SETTLE_S, QUIET_S = 0.2, 0.3
WARM = 2
SETTINGS: dict[str, dict[str, object]] = {
    "receive": {"settle_s": SETTLE_S, "rescan_period_s": 0.3},
    "triage": {"quiet_period_s": QUIET_S, "quiet_period_with_evidence_s": QUIET_S},
}


def measure(how: How) -> Row:
    count = how.count(10, 60)
    given = list(files("film raw", count + WARM, how.seed))
    closed: list[float] = []
    with house(how.folder / "closing", SETTINGS) as made:
        made.wait_ready()
        spent = 0.0
        for number, data in enumerate(given):
            if number == WARM:
                spent = cpu_s(pids(made, ("receive", "triage")))
            made.drop(f"{number}.dcm", data)
            closed.append(time.time())
            made.until(lambda n=number: len(lanes(made.places.studies_db)) > n, "no lane", look_s=0.05)  # type: ignore[misc]
        spent = (cpu_s(pids(made, ("receive", "triage"))) - spent) / count
        came = lanes(made.places.studies_db)
    waits = sorted(came[n] - closed[n] - SETTLE_S - QUIET_S for n in range(WARM, len(closed)))
    p50, p99 = waits[len(waits) // 2], waits[min(len(waits) - 1, int(0.99 * len(waits)))]
    beside = {"settle time apart": f"{SETTLE_S + QUIET_S:g} s", "CPU a film": f"{1000 * spent:.0f} ms"}
    return Row(
        NAME,
        (
            Figure("p50-of-cpu", f"p50 of {count} films / CPU", (p50 / spent,), "x", {**beside, "p50": f"{p50:.2f} s"}),
            Figure("p99-of-cpu", f"p99 of {count} films / CPU", (p99 / spent,), "x", {**beside, "p99": f"{p99:.2f} s"}),
        ),
    )


def lanes(path: Path) -> list[float]:
    """When each study had its lane, wall clock, in the order of studies."""
    moves = ledger.moves
    first = select(moves.c.study_number, moves.c.at).where(moves.c.to_state.in_(("hard", "routine")))
    rows = ask(path, lambda c: list(c.execute(first.order_by(moves.c.at))), [])
    return [row.at for row in rows]
