"""Old rows of transfers go, a bounded number at a time, and what comes again is refused as before; on both stores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_pipe import Centre, Fate, Pipe
from centre_samples import DEVICE, an_answer, case_number, heard, large_parcel, parcel, series_parcel
from sqlalchemy import Engine, select

from appliance.core.drafting.question import Answered
from appliance.loop import Moment
from central import store, worker
from central.spool import Spool
from central.store import freight
from central.worker import PRUNE_AGE_S, PRUNE_PERIOD_S, Worker

WALL = 1_700_000_000.0
LATER = WALL + PRUNE_AGE_S + 60.0


class Bench:
    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine, self.pipe = engine, Pipe(Fate())
        self.pipe.connect()
        self.centre = Centre(engine, folder, self.pipe, lambda _: Answered(an_answer(), "m", "s"))
        told: Any = {"name": "a", "shares": 1, "connect": lambda *_: [], "asks": self.centre.wake}
        self.worker = Worker(engine, Spool(folder / "spool"), self.centre.registry, **told)
        self.mono = 0.0

    def hear(self, *messages: tuple[str, bytes], wall: float = WALL) -> list[Any]:
        for message in messages:
            self.pipe.from_edge(*message)
        for step in (self.centre.listen, self.centre.speak) * (1 + len(messages) // 16):
            step(Moment(wall, self.mono))
        return [heard(topic, data) for topic, data in self.pipe.to_edge()]

    def prune(self, wall: float = LATER) -> None:
        self.mono += PRUNE_PERIOD_S
        self.worker.prune(Moment(wall, self.mono))

    def transfers(self) -> dict[str, str]:
        with store.transaction(self.engine) as c:
            return dict(c.execute(select(store.transfers.c.transfer_id, store.transfers.c.state)).all())  # type: ignore

    def count(self, table: Any) -> int:
        with store.transaction(self.engine) as c:
            return len(list(c.execute(select(table))))


@pytest.fixture
def bench(any_store: Engine, tmp_path: Path) -> Iterator[Bench]:
    return Bench(any_store, tmp_path)  # type: ignore[return-value]


def test_a_copy_of_what_was_pruned_brings_nothing(bench: Bench) -> None:
    small, large = parcel(1), large_parcel(2)
    bench.hear(*small.messages, *large.messages[:1])
    bench.hear(*large.messages[1:-1])
    assert large.receipt in bench.hear(large.messages[-1])
    bench.prune(LATER - 120.0)
    assert len(bench.transfers()) == 2, "they are young"
    bench.prune()
    bench.prune()
    assert bench.transfers() == {}
    for made in (small, large):
        assert made.receipt in bench.hear(*made.messages, wall=LATER)
    assert bench.transfers() == {}, "a copy opened a transfer"
    assert (bench.count(store.cases), bench.count(store.quarantine)) == (2, 0)
    assert not list(bench.worker.spool.folder.rglob("*.part"))


def test_what_guards_against_a_copy_stays(bench: Bench) -> None:
    """The series that came, what is half here, and a transfer refused alone whose case never came."""
    bench.hear(*parcel(1).messages)
    with store.transaction(bench.engine) as c:
        freight.request_series(c, DEVICE, case_number(1), WALL)
    series, half, lost = series_parcel({"000001.dcm": bytes(128) + b"DICM"}), large_parcel(2), large_parcel(3)
    assert series.receipt in bench.hear(*series.messages)
    bench.hear(*half.messages[:2])
    bench.hear(*lost.messages[:2])
    with store.transaction(bench.engine) as c:
        row = freight.transfers_named(c, [(DEVICE, lost.transfer_id)])[DEVICE, lost.transfer_id]
        freight.end_transfer(c, row.id, "refused", "part-invalid", keep_manifest=False, at=WALL)
    bench.prune()
    assert bench.transfers() == {series.transfer_id: "whole", half.transfer_id: "open", lost.transfer_id: "refused"}
    assert series.receipt in bench.hear(*series.messages, wall=LATER)
    assert len(bench.transfers()) == 3


def test_no_step_looks_at_more_rows_than_it_may(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PRUNE_ROWS", 2)
    for number in range(1, 6):
        bench.hear(*parcel(number).messages)
    left = []
    for _ in range(4):
        bench.prune()
        left.append(len(bench.transfers()))
    assert left == [3, 1, 0, 0]
    bench.hear(*parcel(6).messages)
    bench.prune()
    assert bench.transfers() == {}, "the round begins again"
    bench.worker.prune(Moment(LATER, bench.mono))
