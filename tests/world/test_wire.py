"""The two mailboxes: each call is idempotent, and where a case stands only ever moves as lifecycle.WIRE_MOVES says."""

import hashlib
import random
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from appliance.core.case import Guard, Reader, Sealed, Verdict
from appliance.core.document import decode
from appliance.core.lifecycle import WIRE_MOVES, WIRE_STATES, WireState
from appliance.world import sqlite, wire

CASE = "0" * 31 + "1"
OTHER = "0" * 31 + "2"


def sealed(case_id: str = CASE, data: bytes = b"{}") -> Sealed:
    return Sealed(case_id, data, hashlib.sha256(data).hexdigest())


def verdict(case_id: str = CASE, rev: int = 1, impression: str = "draft") -> Verdict:
    reader = Reader(model="m", server="s", prompt_sha256="0" * 64, connected=True)
    guards = (Guard(name="cited", passed=True, detail=None),)
    return Verdict(
        case_id=case_id,
        rev=rev,
        status="ok",
        urgency="urgent",
        opinions=(),
        impression=impression,
        limitations=(),
        guards=guards,
        reader=reader,
    )


@pytest.fixture
def boxes(tmp_path) -> Iterator[tuple[Engine, Engine]]:
    engines = (
        sqlite.open_writer(tmp_path / "cases.db", wire.CASES),
        sqlite.open_writer(tmp_path / "link.db", wire.LINK),
    )
    yield engines
    for engine in engines:
        engine.dispose()


@pytest.fixture
def c(boxes):
    with boxes[0].begin() as connection:
        yield connection


@pytest.fixture
def link(boxes):
    with boxes[1].begin() as connection:
        yield connection


def put(c, case_id=CASE, urgency="routine", at=1.0, data=b"{}") -> bool:
    return wire.put_case(c, sealed(case_id, data), revision=1, urgency=urgency, at=at)


def state(c, link, case_id=CASE) -> WireState:
    return wire.wire_states(c, link)[case_id]


def test_a_case_is_put_once_and_the_first_row_stands(c):
    assert put(c)
    assert not put(c, data=b'{"other":1}', at=9.0)
    (row,) = wire.open_cases(c)
    assert (row.part_sha256, row.part_bytes, row.created_at) == (sealed().sha256, 2, 1.0)


def test_open_cases_come_most_urgent_first_then_oldest(c):
    for number, (urgency, at) in enumerate([("routine", 1.0), ("critical", 3.0), ("urgent", 0.5), ("critical", 2.0)]):
        put(c, f"{number:032x}", urgency, at)
    assert [int(row.case_id, 16) for row in wire.open_cases(c)] == [3, 1, 2, 0]


def test_a_new_case_is_noticed_without_reading_any(c):
    seen = [wire.newest_row(c)]
    for case_id in (CASE, OTHER):
        put(c, case_id)
        seen.append(wire.newest_row(c))
    put(c)
    assert seen == sorted(set(seen))
    assert wire.newest_row(c) == seen[-1], "the same case again is nothing new"


def test_closing_and_cancelling_are_final(c, link):
    put(c)
    put(c, OTHER)
    assert wire.close_case(c, CASE, 2.0)
    assert not wire.cancel_case(c, CASE, 3.0)
    assert wire.cancel_case(c, OTHER, 2.0)
    assert not wire.close_case(c, OTHER, 3.0)
    assert list(wire.open_cases(c)) == []
    assert wire.wire_states(c, link) == {CASE: "closed", OTHER: "cancelled"}


def test_open_case_ids_page_through_all(c):
    ids = [f"{number:032x}" for number in range(7)]
    for case_id in ids:
        put(c, case_id)
    seen, after = [], ""
    while page := wire.open_case_ids(c, after, 3):
        assert len(page) <= 3
        seen += page
        after = page[-1]
    assert seen == ids


def test_a_receipt_settles_and_sending_again_does_not_unsettle(c, link):
    put(c)
    wire.record_sent(link, CASE, 1.0)
    wire.record_sent(link, CASE, 2.0)
    assert state(c, link) == "sending"
    assert [row.case_id for row in wire.unsettled_cases(c, link)] == [CASE]
    assert wire.record_receipt(link, CASE, 3.0)
    wire.record_sent(link, CASE, 4.0)
    assert wire.record_receipt(link, CASE, 5.0)
    row = link.execute(wire.sendings.select()).one()
    assert (row.state, row.attempts, row.last_sent_at, row.received_at) == ("received", 2, 2.0, 3.0)
    assert wire.received_case_ids(link) == {CASE}
    assert list(wire.unsettled_cases(c, link)) == []


def test_a_refusal_is_for_a_person_and_is_not_believed_after_a_receipt(c, link):
    put(c)
    put(c, OTHER)
    wire.record_sent(link, CASE, 1.0)
    assert wire.record_refusal(link, CASE, "case-conflict")
    assert wire.record_refusal(link, CASE, "case-conflict")
    assert not wire.record_receipt(link, CASE, 2.0)
    assert wire.record_verdict(link, verdict(), 3.0) == "refused"
    wire.record_receipt(link, OTHER, 1.0)
    assert not wire.record_refusal(link, OTHER, "case-conflict")
    assert wire.wire_states(c, link) == {CASE: "refused", OTHER: "received"}
    assert wire.fault_codes(link) == {CASE: "case-conflict"}
    assert wire.refused_case_ids(link) == [CASE]
    assert wire.received_case_ids(link) == {OTHER}


def test_a_verdict_is_kept_once_and_another_text_under_its_rev_is_a_conflict(c, link):
    put(c)
    assert wire.record_verdict(link, verdict(), 2.0) == "new"
    assert wire.record_verdict(link, verdict(), 3.0) == "held"
    assert wire.record_verdict(link, verdict(impression="else"), 4.0) == "conflict"
    assert wire.record_verdict(link, verdict(rev=2, impression="else"), 5.0) == "new"
    first, second = wire.verdicts_of(link)
    assert decode(Verdict, first.body.encode()) == verdict()
    assert [row.rev for row in wire.verdicts_of(link, after=first.id)] == [second.rev] == [2]
    assert state(c, link) == "answered"
    assert wire.record_receipt(link, CASE, 6.0), "a receipt may come after the verdict"
    assert state(c, link) == "answered"


def test_a_case_that_cannot_be_sent_is_queued_with_its_code(c, link):
    put(c)
    wire.record_unsendable(link, CASE, "part-damaged")
    assert state(c, link) == "queued"
    assert wire.fault_codes(link) == {CASE: "part-damaged"}
    wire.record_sent(link, CASE, 2.0)
    assert state(c, link) == "sending"
    assert wire.fault_codes(link) == {}


def test_a_case_the_centre_has_forgotten_is_named(link):
    wire.record_receipt(link, CASE, 1.0)
    wire.record_standing(link, {CASE: "received", OTHER: "unknown"}, 2.0)
    assert wire.missing_at_centre(link) == []
    wire.record_standing(link, {CASE: "unknown"}, 3.0)
    assert wire.missing_at_centre(link) == [CASE]
    wire.record_standing(link, {CASE: "answered"}, 4.0)
    assert wire.missing_at_centre(link) == []


def test_rejects_are_counted_capped_and_bounded(link):
    big = b"x" * (wire.REJECT_BYTES_MAX + 1)
    wire.record_reject(link, "receipt", "message-invalid", big, 1.0)
    wire.record_reject(link, "receipt", "message-invalid", big, 2.0)
    row = link.execute(wire.rejects.select()).one()
    assert (row.copies, row.bytes_count, len(row.head), row.at) == (2, len(big), wire.REJECT_BYTES_MAX, 2.0)
    assert row.sha256 == hashlib.sha256(big).hexdigest()
    for number in range(wire.REJECTS_MAX + 5):
        wire.record_reject(link, "verdict", "message-invalid", str(number).encode(), 3.0 + number)
    rows = link.execute(wire.rejects.select().order_by(wire.rejects.c.id)).all()
    assert len(rows) == wire.REJECTS_MAX
    assert rows[0].head == b"5", "the oldest go first"


def test_many_ids_are_asked_in_pages(c, link):
    ids = [f"{number:032x}" for number in range(2 * wire.PAGE_ROWS + 1)]
    for case_id in ids:
        put(c, case_id)
        if case_id != ids[-1]:
            wire.record_receipt(link, case_id, 1.0)
    assert [row.case_id for row in wire.open_cases(c)] == ids
    assert [row.case_id for row in wire.unsettled_cases(c, link)] == [ids[-1]]
    assert set(wire.part_digests(c, [*ids, "f" * 32])) == set(ids)


def test_parts_are_known_by_their_digest_whatever_became_of_the_case(c):
    put(c)
    wire.cancel_case(c, CASE, 2.0)
    assert wire.known_parts(c, [sealed().sha256, "f" * 64]) == {sealed().sha256}


def test_a_mailbox_is_made_only_when_all_its_tables_are(boxes, c):
    assert wire.is_made(c, wire.CASES)
    assert not wire.is_made(c, wire.LINK)


def reachable() -> set[tuple[WireState, WireState]]:
    """The transitive closure of WIRE_MOVES: what two looks at one case may show."""
    pairs = {(a, a) for a in WIRE_STATES} | set(WIRE_MOVES)
    while True:
        more = {(a, d) for a, b in pairs for c_, d in pairs if b == c_} - pairs
        if not more:
            return pairs
        pairs |= more


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_a_case_moves_only_as_the_table_says(c, link, seed):
    """Both pens in any order, with the one rule that triage closes only what is answered."""
    chance, legal = random.Random(seed), reachable()
    put(c)
    before = state(c, link)
    for at in range(40):
        act = chance.choice(["sent", "unsendable", "receipt", "refusal", "verdict", "close", "cancel"])
        if act == "sent":
            wire.record_sent(link, CASE, at)
        elif act == "unsendable":
            wire.record_unsendable(link, CASE, "part-damaged")
        elif act == "receipt" and chance.random() < 0.3:
            wire.record_receipt(link, CASE, at)
        elif act == "refusal" and chance.random() < 0.2:
            wire.record_refusal(link, CASE, "case-conflict")
        elif act == "verdict" and chance.random() < 0.2:
            wire.record_verdict(link, verdict(rev=chance.randint(1, 2)), at)
        elif act == "close" and before == "answered":
            wire.close_case(c, CASE, at)
        elif act == "cancel" and chance.random() < 0.05:
            wire.cancel_case(c, CASE, at)
        now = state(c, link)
        assert (before, now) in legal, f"{before} to {now} by {act}"
        before = now


def test_the_check_above_can_fail():
    legal = reachable()
    assert ("received", "sending") not in legal
    assert ("closed", "answered") not in legal
    assert ("refused", "received") not in legal
