"""The worklist's SQL sorts as core.worklist_order does, counts as its tabs say, and finds its rows by an index."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import sqlite as dialect

from appliance.core.worklist_order import REQUEST_USUAL, Waiting, Waits, order_key
from appliance.review import tabs, worklist
from appliance.review.worklist_order import in_reading_order, waiting
from appliance.world import ledger, sqlite
from appliance.world.ledger import watch
from tests.triage.test_watch import an_instance

NOW = 1_000_000.0
WAITS = Waits(flagged=3600.0, escalated=14_400.0, cleared=86_400.0)
BAD = "a" * 64
ROWS = 100_000


@st.composite
def a_study(draw: st.DrawFn) -> dict[str, Any]:
    state = draw(st.sampled_from(["routine", "routine", "hard", "escalated", "answered", "quarantined"]))
    lane = draw(st.sampled_from(["flagged", "cleared"])) if state == "routine" else "escalated"
    return {
        "state": state,
        "lane": lane,
        "received_at": NOW - draw(st.integers(0, 200_000)),
        "request": draw(st.integers(0, REQUEST_USUAL)),
        "priority": draw(st.sampled_from(["routine", "routine", "urgent", "critical"])),
        "centre": draw(st.sampled_from([None, None, "routine", "urgent", "critical"])),
        "doubted": draw(st.booleans()),
        "decided": state != "quarantined" or draw(st.booleans()),
    }


def filed(c: Connection, number: int, told: dict[str, Any]) -> Waiting:
    """The rows of one study, and the same study as core takes it."""
    row = dict.fromkeys(("patient_id", "patient_name", "patient_birth_date", "patient_sex"), "")
    row |= dict.fromkeys(("accession_number", "study_date", "study_description", "fault_code"), "")
    c.execute(
        insert(ledger.studies).values(
            number=number, study_instance_uid=f"2.25.{number}", revision=1, state=told["state"], seq=0, attempts=0,
            first_received_at=told["received_at"], last_received_at=told["received_at"], modality="CR",
            state_since=told["received_at"], released=False, completeness={}, request_rank=told["request"], **row,
        )
    )  # fmt: skip
    result = {"reasons": [], "scores": [], "timings_ms": {}, "decided_at": told["received_at"]}
    if told["decided"]:  # what gave up before it was decided has no result
        result |= {"lane": told["lane"], "priority": told["priority"]}
        c.execute(insert(ledger.results).values(study_number=number, revision=1, **result))
    if told["centre"]:
        body = {"urgency": told["centre"]}
        ledger.put_verdict(
            c, case_id=f"{number:032x}", rev=1, number=number, revision=1, at=NOW, addendum=False, body=body
        )
    if told["doubted"]:
        watch.see(c, BAD, number, told["lane"], 1.0)
    ranks, said = ("routine", "urgent", "critical"), told["priority"] if told["decided"] else "routine"
    return Waiting(
        number,
        told["received_at"],
        request=told["request"],
        urgency=max(said, told["centre"] or "routine", key=ranks.index),
        lane=told["lane"] if told["state"] == "routine" else None,
        raised=told["centre"] in ("urgent", "critical"),
        doubted=told["doubted"],
    )


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = sqlite.open_writer(tmp_path_factory.mktemp("ledger") / "studies.db", ledger.METADATA)
    with made.begin() as c:
        watch.revoke(c, BAD, at=1.0, cause="audits", who="triage", because="e-value 100")
    yield made
    made.dispose()


@settings(deadline=None, max_examples=60)
@given(st.lists(a_study(), min_size=1, max_size=12))
def test_the_database_sorts_as_the_function_does(engine: Any, told: list[dict[str, Any]]) -> None:
    with engine.connect() as c, c.begin() as transaction:
        studies = [filed(c, number, each) for number, each in enumerate(told, 1)]
        wanted = sorted(studies, key=lambda study: order_key(study, NOW, WAITS))
        found = worklist.rows(c, "to-read", 1, NOW, WAITS)
        study = waiting()
        keys = c.execute(select(study.c.number, *in_reading_order(study, NOW, WAITS))).all()
        counts = {key: each.number for key, each in tabs.counted(c).items()}
        whole = {key: len(worklist.rows(c, key, 1, NOW, WAITS)) for key in tabs.TABS}
        transaction.rollback()
    assert [row.number for row in found] == [study.number for study in wanted]
    by_number = {row[0]: tuple(row[1:]) for row in keys}
    assert by_number == {study.number: order_key(study, NOW, WAITS) for study in studies}
    assert counts == whole


def test_a_hundred_thousand_rows_are_found_by_an_index(tmp_path: Path) -> None:
    made = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    blank = dict.fromkeys(("patient_id", "patient_name", "patient_birth_date", "patient_sex"), "")
    blank |= dict.fromkeys(("accession_number", "study_date", "study_description", "fault_code"), "")
    common: dict[str, Any] = {**blank, "revision": 1, "seq": 2, "attempts": 0, "modality": "CR"}
    common |= {"released": False, "completeness": {}, "request_rank": REQUEST_USUAL}
    result: dict[str, Any] = {"revision": 1, "priority": "routine", "reasons": [], "scores": [], "timings_ms": {}}
    with made.begin() as c:
        c.execute(insert(ledger.studies), [
            {**common, "number": n, "study_instance_uid": f"2.25.{n}", "first_received_at": NOW - n,
             "last_received_at": NOW - n, "state_since": NOW, "state": "routine" if n % 20 == 0 else "reviewed"}
            for n in range(1, ROWS + 1)
        ])  # fmt: skip
        c.execute(insert(ledger.results), [
            {**result, "study_number": n, "lane": "cleared" if n % 40 else "flagged", "decided_at": NOW}
            for n in range(1, ROWS + 1)
        ])  # fmt: skip
    with made.begin() as c:
        first = worklist.rows(c, "to-read", 1, NOW, WAITS)
        assert len(first) == worklist.PAGE_ROWS
        counts = tabs.counted(c)
        assert str(counts["to-read"]) == str(ROWS // 20)
        assert str(counts["signed"]) == f"at least {tabs.COUNT_MAX}"
        for tab in ("to-read", "flagged", "escalated", "signed", "all"):
            plan = explained(c, tab)
            assert "SEARCH studies USING" in plan, plan
            assert "SCAN studies" not in plan, plan
            assert tab not in worklist.NEWEST_FIRST or "TEMP B-TREE" not in plan, plan
    made.dispose()


def explained(c: Connection, tab: str) -> str:
    """What SQLite says it will do for a page of a tab."""
    said: list[str] = []
    asked = worklist.page_of_numbers(tab, 1, NOW, WAITS).compile(
        dialect=dialect.dialect(), compile_kwargs={"literal_binds": True}
    )
    said += [str(row[3]) for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}")]
    return "\n".join(said)


def test_the_most_pressing_request_that_a_header_names_stands(tmp_path: Path) -> None:
    made = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    with made.begin() as c:
        ranks = []
        for n, told in enumerate(("ROUTINE", "stat", "", "HIGH"), 1):
            ledger.add_instance(c, replace(an_instance(1), sha256=f"{n:064x}", request_priority=told), float(n))
            ranks.append(c.execute(select(ledger.studies.c.request_rank)).scalar_one())
    made.dispose()
    assert ranks == [2, 0, 0, 0]
