"""Which appliances are alive: only a new status proves it, a last will is a hint, on both stores."""

from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Centre, Fate, Pipe
from centre_samples import DEVICE, OTHER, an_answer, device_keys, large_parcel, letter_up
from sqlalchemy import Engine

from appliance.core.document import decode
from appliance.core.drafting.question import Answered
from appliance.core.messages import Gone, Roll, Status, Waiting
from appliance.loop import Moment
from central import store
from central.store import lives
from central.store.leases import clock

WALL = 1_700_000_000.0
LIFE, NEXT_LIFE = "a" * 32, "b" * 32


class Bench:
    """A centre that hears, and what its store says of a device then."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.pipe, self.mono = engine, Pipe(Fate()), 0.0
        self.pipe.connect()
        self.centre = Centre(engine, folder, self.pipe, lambda _: Answered(an_answer(), "m", "s"))

    @property
    def now(self) -> float:
        """By the clock the store goes by: PostgreSQL's own, else the time of this test."""
        with store.transaction(self.engine) as c:
            return clock(c, WALL + self.mono)

    def hear(self, *messages: tuple[str, bytes]) -> None:
        for message in messages:
            self.pipe.from_edge(*message)
        self.centre.listen(Moment(WALL + self.mono, self.mono))
        assert self.pipe.delivered == {}

    def row(self, device_id: str = DEVICE) -> Any:
        with store.transaction(self.engine) as c:
            return next((row for row in lives.devices_heard(c) if row.device_id == device_id), None)

    def life(self, after_s: float = 1.0) -> str:
        row = self.row()
        assert row is not None
        return lives.standing_of(row.lived_at, row.gone_at, self.now + after_s)


@pytest.fixture
def bench(any_store: Engine, tmp_path: Path) -> Bench:
    return Bench(any_store, tmp_path)


def status(bench: Bench, number: int, life: str = LIFE, said_before_s: float = 0.0) -> tuple[str, bytes]:
    waiting = Waiting(critical=1, urgent=0, routine=min(number, 99))
    said_at = int(bench.now - said_before_s)
    told = {"product": "edge-diagnostic-appliance/0.1.0", "waiting": waiting, "oldest_s": 5, "free_bytes": 10**9}
    return letter_up("status", Status(number=number, life=life, said_at=said_at, **told))  # type: ignore[arg-type]


def test_a_status_is_filed_and_wears_off(bench: Bench) -> None:
    bench.hear(status(bench, 7))
    assert bench.life() == "alive"
    assert decode(Status, bench.row().body).waiting.routine == 7
    assert bench.life(lives.SILENT_S - 5.0) == "alive"
    assert bench.life(lives.SILENT_S + 5.0) == "silent"
    assert bench.row(OTHER) is None


def test_an_old_status_again_makes_nobody_look_alive(bench: Bench) -> None:
    first, second = status(bench, 1), status(bench, 2)
    bench.hear(first, second)
    before = bench.row()
    bench.mono += 1.0
    bench.hear(second, first, status(bench, 2))
    after = bench.row()
    assert (after.lived_at, after.status_at, after.body) == (before.lived_at, before.status_at, before.body)


def test_what_is_no_status_proves_no_life(bench: Bench) -> None:
    """A roll or a part may be anybody's copy of what was said long ago."""
    roll = letter_up("roll", Roll(nonce="c" * 32, case_ids=(), transfer_ids=()))
    bench.hear(roll, *large_parcel().messages[:2])
    assert bench.row().heard_at > 0
    assert bench.life() == "never"


def test_a_status_that_was_held_back_counts_from_when_it_was_said(bench: Bench) -> None:
    bench.hear(status(bench, 1, said_before_s=lives.SILENT_S + 30.0))
    assert bench.life() == "silent"
    bench.hear(status(bench, 2, said_before_s=lives.SILENT_S / 2))
    assert bench.life() == "alive"
    bench.hear(status(bench, 3, said_before_s=-86_400.0))  # a clock that is ahead earns nobody a longer life
    assert bench.life(lives.SILENT_S + 5.0) == "silent"


def test_a_last_will_is_a_hint_until_the_next_status(bench: Bench) -> None:
    bench.hear(status(bench, 1), letter_up("gone", Gone(life=LIFE)))
    assert bench.life() == "away"
    bench.hear(status(bench, 1))
    assert bench.life() == "away", "an old status raised the dead"
    bench.hear(status(bench, 2))
    assert bench.life() == "alive"
    bench.hear(status(bench, 3, NEXT_LIFE), letter_up("gone", Gone(life=LIFE)))
    assert bench.life() == "alive", "the will of another life"


def test_a_will_of_another_hand_is_no_will(bench: Bench) -> None:
    bench.hear(status(bench, 1))
    topic, _ = letter_up("gone", Gone(life=LIFE))
    bench.hear((topic, letter_up("gone", Gone(life=LIFE), OTHER)[1]), (topic, b"gone"))
    assert bench.life() == "alive"


def test_under_a_new_key_numbers_begin_anew(bench: Bench) -> None:
    bench.hear(status(bench, 10**12))
    said = Status(
        number=1,
        life=NEXT_LIFE,
        said_at=int(bench.now),
        product="p/1",
        waiting=Waiting(critical=0, urgent=0, routine=0),
        oldest_s=0,
        free_bytes=0,
    )
    old, now = device_keys(DEVICE).uplink.signing_id, bench.now
    with store.transaction(bench.engine) as c:
        assert not lives.file_status(c, DEVICE, old, said, now)
        assert lives.file_status(c, DEVICE, device_keys(OTHER).uplink.signing_id, said, now)
        assert not lives.file_gone(c, DEVICE, old, NEXT_LIFE, now)
