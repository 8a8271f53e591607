"""Attempts on the same patients are counted, append-only, whoever tries and whatever is left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from appliance.world import ledger, sqlite
from appliance.world.ledger.attempts import attempts, count_attempt

TRIED: dict[str, Any] = {
    "patients_sha256": "a" * 64,
    "films": ["f1", "f2", "f3"],
    "finding": "SCT 233604007",
    "plan_sha256": "b" * 64,
    "labels_sha256": "c" * 64,
    "at": 1.0,
}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    yield made
    made.dispose()


def tried(engine: Engine, **changed: Any) -> int:
    with engine.begin() as c:
        return count_attempt(c, **{**TRIED, **changed})


def test_each_new_rule_on_the_same_patients_counts(engine: Engine) -> None:
    assert tried(engine) == 1
    assert tried(engine, plan_sha256="d" * 64) == 2
    assert tried(engine, labels_sha256="e" * 64) == 3
    with engine.connect() as c:
        assert c.execute(select(func.count()).select_from(attempts)).scalar_one() == 3


def test_the_same_rule_on_the_same_labels_is_the_same_attempt(engine: Engine) -> None:
    assert tried(engine) == 1
    assert tried(engine, plan_sha256="d" * 64) == 2
    assert tried(engine, at=9.0) == 1
    assert tried(engine, plan_sha256="d" * 64, at=9.0) == 2


def test_leaving_a_patient_out_or_adding_one_starts_no_new_count(engine: Engine) -> None:
    assert tried(engine) == 1
    assert tried(engine, patients_sha256="1" * 64, films=["f1", "f2"]) == 2
    assert tried(engine, patients_sha256="2" * 64, films=["f2", "f3", "f4"]) == 3
    assert tried(engine, patients_sha256="3" * 64, films=["f4", "f5"]) == 4


def test_other_patients_and_other_findings_begin_at_one(engine: Engine) -> None:
    assert tried(engine) == 1
    assert tried(engine, patients_sha256="1" * 64, films=["g1"]) == 1
    assert tried(engine, finding="SCT 36118008") == 1
