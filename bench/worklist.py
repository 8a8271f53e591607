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
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import text

from appliance.review import members, tabs, worklist
from appliance.world import sqlite, wire

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))  # where the tests keep a house of the page
from seeding import PASSWORD, USER, seed
from speaking import Hands

TIMES = 9
NOW, APART_S = 1_000_000_000.0, 172.8  # 500 studies a day, a busy house
CERTIFICATE, MODEL = "a" * 64, "cxr@1.0.0"

# Rows are made by SQLite itself: a million in well under a minute.
NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :studies)"
WAITS = "(n % :every = 0 AND n <= :waiting * :every)"  # of the newest every second one
STATE = f"CASE WHEN NOT {WAITS} THEN 'reviewed' WHEN n / :every % 4 = 3 THEN 'escalated' ELSE 'routine' END"
LANE = f"CASE WHEN {STATE} = 'escalated' THEN 'escalated' WHEN n % 7 = 0 THEN 'flagged' ELSE 'cleared' END"
LATE = f"(NOT {WAITS} AND n % 100 = 50)"
READER = "CASE n % 3 WHEN 0 THEN :user ELSE 'reader ' || n % 3 END"
AT = ":now - :apart * n"
FILLED = (
    f"""INSERT INTO studies (number, study_instance_uid, revision, state, seq, attempts, first_received_at,
        last_received_at, state_since, fault_code, released, completeness, modality, patient_id, patient_name,
        patient_birth_date, patient_sex, accession_number, study_date, study_description)
        {NUMBERS} SELECT n, '2.25.' || n, 1 + {LATE}, {STATE}, 2, 0, {AT}, {AT}, {AT}, '', 0, '{{}}', 'CR', '', '', '',
        '', '', '', 'Chest PA' FROM numbers""",
    f"""INSERT INTO instances (study_number, sop_instance_uid, sha256, revision, received_at, copies, facts)
        {NUMBERS} SELECT n, '2.25.1.' || n, printf('%064x', n), 1, {AT}, 1, '{{}}' FROM numbers""",
    f"""INSERT INTO results (study_number, revision, lane, priority, reasons, scores, model, timings_ms, decided_at)
        {NUMBERS} SELECT n, 1 + {LATE}, {LANE}, 'routine', '[]', '[]', :model, '{{}}', {AT} FROM numbers""",
    f"""INSERT INTO watched (certificate, study_number, lane, decided_at)
        {NUMBERS} SELECT :certificate, n, {LANE}, {AT} FROM numbers WHERE {STATE} != 'escalated'""",
    f"""INSERT INTO signatures (study_number, revision, user, decision, signed_at, outcome)
        {NUMBERS} SELECT n, 1, {READER}, 'agree', {AT}, 'moved' FROM numbers WHERE NOT {WAITS}""",
    f"""INSERT INTO signatures (study_number, revision, user, decision, signed_at, outcome)
        {NUMBERS} SELECT n, 2, {READER}, 'agree', {AT}, 'moved' FROM numbers WHERE {LATE}""",
    f"""INSERT INTO moves (study_number, revision, seq, from_state, to_state, event, who, at, code)
        {NUMBERS} SELECT n, 2, 2, 'reviewed', 'received', 'late instance', 'triage.admit', {AT}, ''
        FROM numbers WHERE {LATE}""",
    """INSERT INTO monitors (certificate, model, facts, present, state, stage, stage_since, e_value, answers, misses,
        drift) VALUES (:certificate, :model, '{"name": "a", "created": ""}', 1, '{}', 'quiet', 0, 0, 0, 0, '{}')""",
    "INSERT INTO installed (title, facts, present, loaded_at) VALUES (:model, '{}', 1, 0)",
)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=100_000)
    parser.add_argument("--open", type=int, default=5_000)
    told = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder, house(Path(folder), told.studies, told.open) as acts:
        found = {name: statistics.median(spent(act) for _ in range(TIMES)) for name, act in acts.items()}
    print(f"{told.studies} studies, {told.open} of them open; median of {TIMES}, load {os.getloadavg()[0]:.1f}")
    for name, took in found.items():
        print(f"  {name:<22}{took:7.1f} ms")


@contextmanager
def house(folder: Path, studies: int, waiting: int) -> Iterator[dict[str, Callable[[], object]]]:
    """What can be asked of the page, by name, where there are so many studies."""
    made = seed(folder)
    fill(made.engine, studies, waiting)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places)
    members.add_user(hands.ledgers, USER, PASSWORD, at=1.0)
    hands.now = NOW
    hands.sign_in()
    hands.get("/")
    for thread in threading.enumerate():
        if "_look" in thread.name:  # the page looks through its databases once in ten minutes: not while it is measured
            thread.join()
    asked = ("to-read", "cleared", "signed", "all")
    doors = {f"/rows?lane={tab}": f"/rows?lane={tab}" for tab in asked} | {
        "the whole page": "/",
        "its banners": "/banners",
    }
    acts: dict[str, Callable[[], object]] = {name: partial(hands.get, door) for name, door in doors.items()}
    with made.engine.connect() as c:
        acts["one page by SQL"] = lambda: worklist.rows(c, "to-read", 1, NOW, hands.config.review.waits)
        acts["the tabs' counts"] = lambda: tabs.counted(c)
        yield acts
    hands.close()
    made.engine.dispose()


def fill(engine: Any, studies: int, waiting: int) -> None:
    """Studies of which the given number wait, in every lane; the others are signed.

    What a list of work asks beside them grows with them: one image and one result each, a signature of one of three
    readers on what was signed, and every hundredth was signed twice because an image came late.
    """
    told = {
        "studies": studies,
        "waiting": waiting,
        "every": min(2, max(1, studies // waiting)),
        "now": NOW,
        "apart": APART_S,
        "user": USER,
    }
    for statement in FILLED:
        with engine.begin() as c:
            c.execute(text(statement), told | {"certificate": CERTIFICATE, "model": MODEL})


def spent(act: Callable[[], object]) -> float:
    """Milliseconds of processor time: what is asked waits for nobody."""
    began = time.process_time()
    act()
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    main()
