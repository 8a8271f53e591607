"""The clinical ledger: legal moves only, compare-and-swap, revisions, duplicates; durable and refused when unsafe."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Row, select
from sqlalchemy.exc import OperationalError

from appliance.core.lifecycle import MOVES, STATES
from appliance.core.study import Instance, Patient
from appliance.errors import Misconfigured
from appliance.world import ledger, sqlite

PATIENT = Patient("H-1", "Harbour^Anna", "20210101", "F", "A1", "20260101", "Chest")
FILE = Instance(
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.1",
    sop_instance_uid="1.2.3.1.1",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    sha256="a" * 64,
    bytes_count=10,
    patient=PATIENT,
    modality="CR",
    body_part_examined="CHEST",
    view_position="AP",
    patient_age="004Y",
    manufacturer="Harbour Imaging",
    manufacturer_model_name="PX-224",
    instance_number=1,
    images_in_acquisition=None,
    number_of_frames=1,
    rows=8,
    columns=8,
    has_pixels=True,
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    yield made
    made.dispose()


def study(engine: Engine) -> Row[Any]:
    with engine.connect() as c:
        found = ledger.study_by_uid(c, "1.2.3")
    assert found is not None
    return found


def add(engine: Engine, instance: Instance = FILE) -> tuple[int, bool]:
    with engine.begin() as c:
        return ledger.add_instance(c, instance, 1.0)


def test_the_same_bytes_again_change_nothing(engine: Engine) -> None:
    assert add(engine) == (1, True)
    before = study(engine)
    assert add(engine) == (1, False)
    assert study(engine) == before
    with engine.connect() as c:
        assert c.execute(select(ledger.instances.c.copies)).scalars().all() == [2]


def test_an_instance_comes_back_as_it_went_in(engine: Engine) -> None:
    add(engine)
    with engine.connect() as c:
        assert ledger.instances_of(c, 1) == [FILE]


@pytest.mark.parametrize("state", [state for state in STATES if state != "received"])
def test_a_late_instance_from_any_state_is_a_new_revision(engine: Engine, state: Any) -> None:
    add(engine)
    with engine.begin() as c:
        c.execute(ledger.studies.update().values(state=state))
        values = {"lane": "escalated", "priority": "routine", "reasons": [], "scores": [], "timings_ms": {}}
        ledger.put_result(c, 1, 1, {**values, "decided_at": 1.0})
    add(engine, replace(FILE, sop_instance_uid="1.2.3.1.2", sha256="b" * 64))
    now = study(engine)
    assert (now.state, now.revision) == ("received", 2)
    with engine.connect() as c:
        old = ledger.result_of(c, 1, 1)
        assert old is not None
        assert old.superseded_at is not None
        named = "came again" if state == "forgotten" else "late instance"
        assert [move.event for move in ledger.moves_of(c, 1)] == [named]


def test_only_the_first_of_two_movers_moves(engine: Engine) -> None:
    add(engine)
    seen = study(engine)
    with engine.begin() as c:
        assert ledger.move(c, seen, "complete", who="one", at=2.0)
    with engine.begin() as c:
        assert not ledger.move(c, seen, "complete", who="two", at=3.0)
        assert [move.who for move in ledger.moves_of(c, 1)] == ["one"]


@pytest.mark.parametrize(("start", "end"), [(a, b) for a in STATES for b in STATES if (a, b) not in MOVES])
def test_a_move_that_is_not_in_the_table_does_not_exist(engine: Engine, start: Any, end: Any) -> None:
    add(engine)
    with engine.begin() as c:
        c.execute(ledger.studies.update().values(state=start))
    seen = study(engine)
    with engine.begin() as c, pytest.raises(AssertionError):
        ledger.move(c, seen, end, who="nobody", at=2.0)


def test_attempts_are_counted_and_start_again_after_a_move(engine: Engine) -> None:
    add(engine)
    for expected in (1, 2, 3):
        seen = study(engine)
        with engine.begin() as c:
            assert ledger.count_attempt(c, seen) == expected
    seen = study(engine)
    with engine.begin() as c:
        ledger.move(c, seen, "complete", who="test", at=2.0)
    assert study(engine).attempts == 0


def test_a_reader_cannot_write(engine: Engine, tmp_path: Path) -> None:
    add(engine)
    reader = sqlite.open_reader(tmp_path / "studies.db")
    with reader.connect() as c:
        assert len(c.execute(select(ledger.studies)).all()) == 1
        with pytest.raises(OperationalError, match="readonly"):
            c.execute(ledger.studies.update().values(state="routine"))
    reader.dispose()


def test_the_writer_is_durable(engine: Engine) -> None:
    with engine.connect() as c:
        assert c.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert c.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_an_unsafe_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite.dbapi, "sqlite_version_info", (3, 40, 1))
    with pytest.raises(Misconfigured, match="sqlite-unsafe"):
        sqlite.open_writer(tmp_path / "x.db", ledger.METADATA)


def test_a_newer_state_is_refused(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as c:
        c.exec_driver_sql("PRAGMA user_version = 99")
    engine.dispose()
    with pytest.raises(Misconfigured, match="state-newer"):
        sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)


def test_suspects_are_named_until_they_are_forgotten(engine: Engine) -> None:
    with engine.begin() as c:
        assert ledger.count_arrivals(c, ["a", "b"]) == {"a": 1, "b": 1}
        assert ledger.count_arrivals(c, ["a"]) == {"a": 2}
        assert ledger.suspects(c) == {"a", "b"}
        ledger.forget_arrivals(c, ["a"])
        assert ledger.suspects(c) == {"b"}
