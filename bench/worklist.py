"""What the worklist costs the server: the time of its refresh and of its SQL, by the rows in the ledger.

    python -m bench.worklist [--studies 100000] [--open 5000]

A real ledger made by the ledger's own schema, the page's own application called in this process. Figures are printed,
no test asserts them.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from appliance.review import members, worklist
from appliance.world import ledger, sqlite, wire

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))  # where the tests keep a house of the page
from seeding import PASSWORD, USER, seed
from speaking import Hands

TIMES = 9
NOW, APART_S = 10_000_000.0, 30.0
BLANK = dict.fromkeys(
    ("patient_id", "patient_name", "patient_birth_date", "patient_sex", "accession_number", "study_date"), ""
)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--open", type=int, default=5_000)
    told = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        found = spent_of(Path(folder), told.studies, told.open)
    print(f"{told.studies} studies, {told.open} of them open; median of {TIMES}, load {os.getloadavg()[0]:.1f}")
    for name, took in found.items():
        print(f"  {name:<22}{took:7.1f} ms")


def spent_of(folder: Path, studies: int, waiting: int) -> dict[str, float]:
    """Milliseconds of what the page asks, by a ledger of so many studies."""
    made = seed(folder)
    fill(made.engine, studies, waiting)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places)
    members.add_user(hands.ledgers, USER, PASSWORD, at=1.0)
    hands.now = NOW
    hands.sign_in()
    tabs = ("to-read", "cleared", "signed", "all")
    found = {f"/rows?lane={tab}": spent(lambda tab=tab: hands.get(f"/rows?lane={tab}")) for tab in tabs}  # type: ignore[misc]
    found |= {"the whole page": spent(lambda: hands.get("/")), "its banners": spent(lambda: hands.get("/banners"))}
    with made.engine.connect() as c:
        waits = hands.config.review.waits
        found["one page by SQL"] = spent(lambda: worklist.rows(c, "to-read", 1, hands.now, waits))
        found["the tabs' counts"] = spent(lambda: worklist.counted(c))
    hands.close()
    made.engine.dispose()
    return found


def fill(engine: Any, studies: int, waiting: int) -> None:
    """Studies of which the given number wait, in every lane; the others are signed."""
    states, every = ("routine", "routine", "routine", "escalated"), max(1, studies // waiting)
    common = {**BLANK, "study_description": "Chest PA", "fault_code": "", "revision": 1, "seq": 2, "attempts": 0}
    common |= {"modality": "CR", "released": False, "completeness": {}}  # type: ignore[dict-item]
    rows, results = [], []
    for n in range(1, studies + 1):
        state = states[n // every % 4] if n % every == 0 else "reviewed"
        times = dict.fromkeys(("first_received_at", "last_received_at", "state_since"), NOW - APART_S * n)
        rows.append({**common, **times, "number": n, "study_instance_uid": f"2.25.{n}", "state": state})
        lane = "escalated" if state == "escalated" else "flagged" if n % 7 == 0 else "cleared"
        told = {"reasons": [], "scores": [], "timings_ms": {}, "priority": "routine", "decided_at": NOW - APART_S * n}
        results.append({**told, "study_number": n, "revision": 1, "lane": lane})
    with engine.begin() as c:
        c.execute(insert(ledger.studies), rows)
        c.execute(insert(ledger.results), results)


def spent(act: Callable[[], object]) -> float:
    """Median of several runs, in milliseconds of processor time: what is asked waits for nobody."""
    found = []
    for _ in range(TIMES):
        began = time.process_time()
        act()
        found.append(1000 * (time.process_time() - began))
    return statistics.median(found)


if __name__ == "__main__":
    main()
