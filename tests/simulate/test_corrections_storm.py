"""Signatures in a storm that kills every service anywhere: each correction that may leave is filed once, and no other.

The whole road as it is built: the desk, triage, uplink, a wire that loses and doubles, a worker of the centre.
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.cli.reconcile import reconcile
from appliance.world import desk, reading_desk, sqlite, wire
from appliance.world.ledger import corrections as book
from appliance.world.wire import corrections as mail
from central import store
from tests.simulate.house import House
from tests.simulate.test_simulation import MEMORY

STUDIES, STORM_ROUNDS = 4, 60
ROUNDS_MAX = 400  # of calm, until nothing waits


@pytest.fixture
def room() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="simulate-", dir=MEMORY if MEMORY.is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def waiting(house: House) -> bool:
    """Something is not made, not handed over, or not answered yet."""
    studies, cases = sqlite.open_reader(house.places.studies_db), sqlite.open_reader(house.places.cases_db)
    try:
        with studies.connect() as c, cases.connect() as own:
            rows = book.to_send(c, 0, 10_000)
            gone, there = wire.known_cases(own, [row.case_id for row in rows]), mail.waiting(own)
            handed = mail.known(own, [(row.key, row.rev) for row in rows])
            left = {(row.key, row.rev) for row in rows if row.case_id in gone} - handed
            return bool(book.unmade_signatures(c, 1) or left or there)
    finally:
        studies.dispose()
        cases.dispose()


def sign(house: House) -> None:
    """A reader signs something, or adds to what is signed."""
    with house.desk.begin() as c:
        reading_desk.make(c)
        signed = list(c.execute(desk.signatures.select()))
        if signed and house.dice.random() < 0.4:
            row = house.dice.choice(signed)
            told = {"study_number": row.study_number, "revision": row.revision, "user": "sim", "at": house.wall}
            reading_desk.add(c, nonce=f"{house.dice.randrange(10**12)}", text="more words", **told)
            return
    house.read()


def storm(house: House) -> None:
    """All services but the scanner's, each killed at any effect, over a wire that loses and doubles."""
    house.net.stormy = True
    for _ in range(STORM_ROUNDS):
        house._pass_time(jumps=False)
        if house.dice.random() < 0.3:
            sign(house)
        if house.dice.random() < 0.6:
            house.fuse.left = house.dice.randrange(6)
        house._turn(house.dice.choice(("triage", "triage", "uplink", "central")))
        house.fuse.left = None
        house.net.blow()
    house.net.stormy = False
    for _ in range(ROUNDS_MAX):
        if not waiting(house):
            return
        house._pass_time(jumps=False)
        for name in ("triage", "uplink", "central"):
            house._turn(name)
        house.net.blow()
    raise AssertionError("not at rest")


def test_every_correction_that_may_leave_is_filed_once_and_no_other(room: Path) -> None:
    house = House(room, 7, learning={"corrections": "send"})
    try:
        for _ in range(3 * STUDIES):
            house.scan()
        house.run(10)
        before = house.fuse.crashes
        with house.fuse.fitted():
            storm(house)
        house.check()
        assert judged(house) >= STUDIES, "a storm in which nobody signs proves nothing"
        assert house.fuse.crashes - before > 10
    finally:
        for engines in house.engines.values():
            for engine in engines:
                engine.dispose()


def judged(house: House) -> int:
    """How many the centre holds, each of them just once, byte for byte what was inspected here."""
    assert all(check.holds for check in reconcile(house.places)[0])
    centre = sqlite.open_reader(house.root / "central" / "central.db")
    studies, cases = sqlite.open_reader(house.places.studies_db), sqlite.open_reader(house.places.cases_db)
    with centre.connect() as far, studies.connect() as c, cases.connect() as own:
        held = list(far.execute(store.tables.corrections.select()))
        made = {row.sha256: row for row in book.standing(c, every=True)}
        states = {(row.key, row.rev): row.state for row in own.execute(wire.tables.corrections.select())}
        aside = Counter(row.code for row in far.execute(store.quarantine.select()) if row.kind == "correction")
    for engine in (centre, studies, cases):
        engine.dispose()
    assert not aside, aside
    names = [(row.key, row.rev) for row in held]
    assert len(names) == len(set(names)), "one is filed twice"
    assert set(names) == {name for name, state in states.items() if state == "filed"}
    assert set(states.values()) <= {"filed", "withdrawn"}
    assert all(row.sha256 in made and made[row.sha256].policy == "send" for row in held), "of another make"
    return len(held)
