"""Pages of the worklist are those of the plain query that came first, and none is found by reading all there is.

The plain query asks everything of every study wherever the order names it, sorts all of them and cuts a page out. It
was the product's until ledgers grew; here it stays as what the faster one is held against. In one place it is mended:
of a study without a result it did not know whether it was overdue, and so it never was (core.worklist_order: it is).
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Connection, and_, case, event, exists, func, insert, literal, or_, select
from sqlalchemy.dialects import sqlite as dialect

from appliance.condition import silent_sources
from appliance.config import Places
from appliance.core.lifecycle import MOVES, STATES
from appliance.core.worklist_order import GROUP_CRITICAL, GROUP_OVERDUE, GROUP_USUAL, STANDINGS, Waits
from appliance.review import late_images, ledgers, repeats, tabs, worklist
from appliance.review.filters import Filters, choices
from appliance.review.tabs import TABS, Count
from appliance.silence import silence
from appliance.world import ledger, sqlite
from appliance.world.ledger import stray_files, watch
from appliance.world.ledger.tables import NEW_REVISION

NOW = 1_000_000.0
WAITS = Waits(flagged=3600.0, escalated=14_400.0, cleared=86_400.0)
CERTIFICATES = ("a" * 64, "b" * 64)
STUDIES, PAGES = 90, 14
LATER = ("studies_by_source", "results_by_decision", "moves_to_a_revision", "strays_waiting", "signatures_by_reader")
BLANK = dict.fromkeys(
    ("patient_id", "patient_birth_date", "patient_sex", "accession_number", "study_date", "study_description"), ""
)
NARROWED = (
    Filters(),
    Filters(modality="CR"),
    Filters(urgency="urgent"),
    Filters(model="cxr@1", mine=True),
    Filters(words="doe"),
)


def plain_said(*urgencies: str) -> ColumnElement[bool]:
    same = and_(
        ledger.verdicts.c.study_number == ledger.studies.c.number,
        ledger.verdicts.c.revision == ledger.studies.c.revision,
    )
    by_centre = exists().where(same, ledger.verdicts.c.body["urgency"].as_string().in_(urgencies))
    return or_(func.coalesce(ledger.results.c.priority, "routine").in_(urgencies), by_centre)


def plain_order() -> tuple[ColumnElement[Any], ...]:
    studies, results = ledger.studies, ledger.results
    flagged, escalated, cleared = (STANDINGS.index(each) for each in ("flagged", "escalated", "cleared"))
    seen, taken = watch.watched, watch.revocations
    doubted = exists().where(seen.c.study_number == studies.c.number, seen.c.certificate == taken.c.certificate)
    lane = case(
        (
            or_(and_(studies.c.state == "routine", results.c.lane == "flagged"), plain_said("urgent", "critical")),
            flagged,
        ),
        (and_(studies.c.state == "routine", results.c.lane == "cleared", ~doubted), cleared),
        else_=escalated,
    )
    longest = case((lane == flagged, WAITS.flagged), (lane == cleared, WAITS.cleared), else_=WAITS.escalated)
    due = studies.c.first_received_at + longest
    critical = or_(plain_said("critical"), studies.c.request_rank == 0)
    overdue = and_(~critical, due <= literal(NOW))
    group = case((critical, GROUP_CRITICAL), (overdue, GROUP_OVERDUE), else_=GROUP_USUAL)
    rank, standing = case((overdue, 0), else_=studies.c.request_rank), case((overdue, 0), else_=lane)
    return group, rank, standing, due, studies.c.number


def plain_numbers(c: Connection, tab: str, narrowed: ColumnElement[bool]) -> list[int]:
    studies, results = ledger.studies, ledger.results
    on = and_(results.c.study_number == studies.c.number, results.c.revision == studies.c.revision)
    newest = (studies.c.first_received_at.desc(), studies.c.number.desc())
    order: tuple[ColumnElement[Any], ...] = newest if tab in ("signed", "all") else plain_order()
    chosen = select(studies.c.number).select_from(studies.outerjoin(results, on))
    return list(c.execute(chosen.where(TABS[tab].where(), narrowed).order_by(*order)).scalars())


def fill(c: Connection, dice: random.Random) -> None:
    """Studies in every state, of several revisions, some without a result, with verdicts old and new, some in doubt."""
    watch.revoke(c, CERTIFICATES[0], at=1.0, cause="audits", who="triage", because="e-value 100")
    ranks = ("routine", "routine", "urgent", "critical")
    for number in range(1, STUDIES + 1):
        at, revision = NOW - dice.randrange(60) * 3600.0, dice.choice((1, 1, 2, 3))  # many came at the same moment
        told = {"number": number, "study_instance_uid": f"2.25.{number}", "revision": revision, "seq": 0, **BLANK}
        told |= {"attempts": 0, "first_received_at": at, "last_received_at": at, "state_since": at, "fault_code": ""}
        told |= {"released": False, "completeness": {}, "request_rank": dice.choice((0, 1, 2, 2, 2))}
        told |= {"modality": dice.choice(("CR", "DX", "CT")), "patient_name": dice.choice(("DOE^JANE", "ROE^RICHARD"))}
        state = dice.choice((*STATES, "routine", "routine", "escalated"))
        c.execute(insert(ledger.studies).values(**told, state=state))
        for each in range(1, revision + 1):
            result = {"lane": dice.choice(("flagged", "cleared", "escalated")), "priority": dice.choice(ranks)}
            result |= {
                "reasons": [],
                "scores": [],
                "timings_ms": {},
                "decided_at": at,
                "model": f"cxr@{dice.choice('12')}",
            }
            if dice.random() < 0.8:
                ledger.put_result(c, number, each, result)
            for rev in range(dice.choice((0, 0, 1, 2))):
                body, case_id = {"urgency": dice.choice(ranks)}, f"{number:030x}{each:02x}"
                ledger.put_verdict(
                    c, case_id=case_id, rev=rev, number=number, revision=each, at=at, addendum=False, body=body
                )
        if dice.random() < 0.5:
            watch.see(c, dice.choice(CERTIFICATES), number, "cleared", at)
        if dice.random() < 0.3:
            signed(c, number, dice.choice(("ann", "ben")), 1)


def signed(c: Connection, number: int, user: str, revision: int) -> None:
    told = {"study_number": number, "revision": revision, "user": user, "decision": "agree", "signed_at": NOW}
    c.execute(insert(ledger.signatures).values(**told, outcome="moved"))


@pytest.fixture
def ledger_c(tmp_path: Path) -> Iterator[Connection]:
    made = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    with made.begin() as c:
        yield c
    made.dispose()


@pytest.mark.parametrize("seed", range(6))
def test_pages_are_those_of_the_plain_query(ledger_c: Connection, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    fill(ledger_c, random.Random(seed))
    monkeypatch.setattr(worklist, "PAGE_ROWS", 7)
    for tab in TABS:
        for asked in NARROWED:
            narrowed = asked.where("ann", [3, 4])
            wanted = plain_numbers(ledger_c, tab, narrowed)
            pages = [worklist.rows(ledger_c, tab, page, NOW, WAITS, narrowed) for page in range(1, PAGES)]
            assert [row.number for page in pages for row in page] == wanted, (tab, asked)
            assert all(len(page) <= 7 for page in pages)
            if not asked.any:
                assert tabs.counted(ledger_c)[tab] == Count(len(wanted))


def test_what_is_history_is_counted_so_far_and_says_so(ledger_c: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ledger_c, random.Random(1))
    exact = {tab: each.number for tab, each in tabs.counted(ledger_c).items()}
    monkeypatch.setattr(tabs, "COUNT_MAX", exact["signed"])
    assert tabs.counted(ledger_c)["signed"] == Count(exact["signed"], more=False)
    monkeypatch.setattr(tabs, "COUNT_MAX", exact["signed"] - 1)
    counts = tabs.counted(ledger_c)
    assert counts["signed"] == Count(exact["signed"] - 1, more=True)
    assert str(counts["signed"]) == f"at least {exact['signed'] - 1}"
    assert counts["all"].more
    assert all(each.number <= exact[tab] for tab, each in counts.items()), "at least means at least"
    assert all(each.more or each.number == exact[tab] for tab, each in counts.items())


def test_no_question_of_a_page_reads_a_whole_table(ledger_c: Connection) -> None:
    """Every statement is explained; one that scans what grows with the studies on file would be found here."""
    fill(ledger_c, random.Random(2))
    watch.put_monitor(ledger_c, CERTIFICATES[1], "cxr@1", {"name": "pier", "created": ""}, a_monitor())
    watch.see(ledger_c, CERTIFICATES[1], 1, "flagged", NOW)
    asked: list[tuple[str, Any]] = []

    def keep(_c: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, values))

    event.listen(ledger_c, "before_cursor_execute", keep)
    for tab in TABS:
        worklist.rows(ledger_c, tab, 1, NOW, WAITS)
    tabs.counted(ledger_c)
    choices(ledger_c)
    repeats.fresh(ledger_c, NOW)
    stray_files.count(ledger_c)
    silence(ledger_c, CERTIFICATES[1], NOW)
    ledger_c.execute(late_images._renewed("ann"))
    event.remove(ledger_c, "before_cursor_execute", keep)
    assert len(asked) > 20
    for statement, values in asked:
        assert read_whole(ledger_c, statement, values) == [], statement


def read_whole(c: Connection, statement: str, values: Any) -> list[str]:
    """Lines of SQLite's plan that read a table or an index from end to end, but for a part of one."""
    grows = ("studies", "results", "instances", "moves", "signatures", "watched", "verdicts", "glances", "strays")
    parts = ("moves_to_a_revision", "strays_waiting")
    plan = [str(row[3]) for row in c.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    scans = [line for line in plan if line.startswith("SCAN ") and line.split()[1] in grows]
    return [line for line in scans if not any(part in line for part in parts)]


def test_a_question_that_reads_all_is_found(ledger_c: Connection) -> None:
    """The counts as they were, and the order as it was, would not pass."""
    every = "SELECT state, count(*) FROM studies GROUP BY state"
    assert read_whole(ledger_c, every, ()) != []
    plain = select(ledger.studies.c.number).order_by(*plain_order()[:3])
    told = plain.select_from(ledger.studies.outerjoin(ledger.results)).compile(
        dialect=dialect.dialect(), compile_kwargs={"literal_binds": True}
    )
    assert read_whole(ledger_c, str(told), ()) != []


def a_monitor() -> dict[str, Any]:
    return {"state": {}, "stage": "quiet", "stage_since": 1.0, "e_value": 1.0, "answers": 0, "misses": 0, "drift": {}}


def test_every_move_that_begins_a_revision_is_in_its_index() -> None:
    """A late image, a study that came again, a release: lifecycle's own words for them stand in the ledger's."""
    begins = {name for move, name in MOVES.items() if move[1] == "received" or move == ("quarantined", "complete")}
    assert set(re.findall(r"'([a-z ]+)'", str(NEW_REVISION))) == begins


@pytest.mark.parametrize(("signed_as", "told"), [((1,), True), ((1, 2), False), ((2,), False), ((), False)])
def test_a_signer_hears_of_a_later_revision_until_it_is_signed(
    ledger_c: Connection, signed_as: tuple[int, ...], told: bool
) -> None:
    fill(ledger_c, random.Random(3))
    number = STUDIES + 1
    c = ledger_c
    at = {"first_received_at": NOW, "last_received_at": NOW, "state_since": NOW}
    row = {
        **BLANK,
        **at,
        "number": number,
        "study_instance_uid": "2.25.0",
        "revision": 1,
        "state": "reviewed",
        "seq": 0,
    }
    row |= {
        "attempts": 0,
        "fault_code": "",
        "released": False,
        "completeness": {},
        "modality": "CR",
        "patient_name": "",
    }
    c.execute(insert(ledger.studies).values(**row))
    study = ledger.study_by_number(c, number)
    assert study is not None
    assert ledger.move(c, study, "received", who="triage.admit", at=NOW, revision=2)
    for revision in signed_as:
        signed(c, number, "cid", revision)
    signed(c, number, "dan", 1)
    assert (number in c.execute(late_images._renewed("cid")).scalars().all()) == told


def test_sources_are_looked_at_anew_when_a_study_comes_and_when_a_minute_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[float] = []
    monkeypatch.setattr(ledgers, "silent_sources", lambda c, now: looked.append(now) or silent_sources(c, now))
    made = sqlite.open_writer(tmp_path / "studies.db", ledger.METADATA)
    house = ledgers.Ledgers(Places(tmp_path))
    with made.begin() as c:
        for now in (NOW, NOW + 1, NOW + 61):
            house.silent_sources(c, now)
        fill(c, random.Random(4))
        house.silent_sources(c, NOW + 61)
    house.close()
    made.dispose()
    assert looked == [NOW, NOW + 61, NOW + 61]


def test_a_ledger_of_before_gets_its_indexes_when_triage_opens_it(tmp_path: Path) -> None:
    """Until then a page finds the same by reading more."""
    path = tmp_path / "studies.db"
    made = sqlite.open_writer(path, ledger.METADATA)
    with made.begin() as c:
        fill(c, random.Random(5))
        here = (choices(c), late(c), repeats.fresh(c, NOW))
        for name in LATER:
            c.exec_driver_sql(f"DROP INDEX {name}")
    with made.begin() as c:
        assert (choices(c), late(c), repeats.fresh(c, NOW)) == here
    made.dispose()
    again = sqlite.open_writer(path, ledger.METADATA)
    with again.begin() as c:
        assert set(LATER) <= set(c.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'").scalars())
    again.dispose()


def late(c: Connection) -> set[int]:
    return set(c.execute(late_images._renewed("ann")).scalars())
