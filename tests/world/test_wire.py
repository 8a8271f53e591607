"""The two mailboxes: each call is idempotent, and where a case stands only ever moves as lifecycle.WIRE_MOVES says."""

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from appliance.core.document import AGEING_S
from appliance.core.enclosure import Enclosed
from appliance.core.lifecycle import WIRE_MOVES, WIRE_STATES, WireState
from appliance.core.schedule import class_of
from appliance.world import sqlite, wire
from appliance.world.wire import freight

CASE = "0" * 31 + "1"
OTHER = "0" * 31 + "2"


def way(case_id: str = CASE, tier: int = 0, **told: Any) -> Enclosed:
    name = hashlib.sha256(f"{case_id} {tier}".encode()).hexdigest()
    fields = {"urgency": "routine", "parts": 3, "sealed_bytes": 100_000, "sha256": name, "letter": b"sealed", **told}
    return Enclosed(transfer_id=name[:32], case_id=case_id, tier=tier, **fields)


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


def put(c, case_id=CASE, urgency="routine", at=1.0, tiers=(0,)) -> bool:
    ways = [way(case_id, tier, urgency=urgency) for tier in tiers]
    return wire.put_case(c, case_id, ways, revision=1, urgency=urgency, at=at)


def unsettled(c, link, now=1.0) -> list[tuple[str, int]]:
    return [(load.enclosed.case_id, load.enclosed.tier) for load in freight.unsettled_transfers(c, link, now)]


def row_of(c, case_id=CASE, tier=0) -> Any:
    return next(row for row in freight.transfers_of(c, case_id) if row.tier == tier)


def state(c, link, case_id=CASE) -> WireState:
    return wire.wire_states(c, link)[case_id]


def test_a_case_is_put_once_and_the_first_row_stands(c):
    assert put(c)
    assert not put(c, tiers=(0, 1), at=9.0)
    (row,) = wire.open_cases(c)
    assert row.created_at == 1.0
    assert [each.tier for each in freight.transfers_of(c, CASE)] == [0]


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
    assert unsettled(c, link) == [(CASE, 0)]
    assert wire.record_receipt(link, CASE, 3.0)
    wire.record_sent(link, CASE, 4.0)
    assert wire.record_receipt(link, CASE, 5.0)
    row = link.execute(wire.sendings.select()).one()
    assert (row.state, row.attempts, row.last_sent_at, row.received_at) == ("received", 2, 2.0, 3.0)
    assert wire.received_case_ids(link) == {CASE}
    assert unsettled(c, link) == []


def test_a_refusal_is_for_a_person_and_is_not_believed_after_a_receipt(c, link):
    put(c)
    put(c, OTHER)
    wire.record_sent(link, CASE, 1.0)
    assert wire.record_refusal(link, CASE, "case-conflict")
    assert wire.record_refusal(link, CASE, "case-conflict")
    assert not wire.record_receipt(link, CASE, 2.0)
    assert wire.record_verdict(link, CASE, 1, "bGV0dGVy", 3.0) == "refused"
    wire.record_receipt(link, OTHER, 1.0)
    assert not wire.record_refusal(link, OTHER, "case-conflict")
    assert wire.wire_states(c, link) == {CASE: "refused", OTHER: "received"}
    assert wire.fault_codes(link) == {CASE: "case-conflict"}
    assert wire.refused_case_ids(link) == [CASE]
    assert wire.received_case_ids(link) == {OTHER}


def test_a_verdict_is_kept_once_and_another_letter_under_its_rev_is_a_conflict(c, link):
    put(c)
    assert wire.record_verdict(link, CASE, 1, "bGV0dGVy", 2.0) == "new"
    assert wire.record_verdict(link, CASE, 1, "bGV0dGVy", 3.0) == "held"
    assert wire.record_verdict(link, CASE, 1, "b3RoZXI=", 4.0) == "conflict"
    assert wire.record_verdict(link, CASE, 2, "b3RoZXI=", 5.0) == "new"
    first, second = wire.verdicts_of(link)
    assert (first.letter, second.letter) == ("bGV0dGVy", "b3RoZXI=")
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
    assert unsettled(c, link) == [(ids[-1], 0)]
    assert wire.known_cases(c, [*ids, "f" * 32]) == set(ids)
    transfers = [way(case_id).transfer_id for case_id in ids]
    assert set(freight.transfers_named(c, [*transfers, "f" * 32])) == set(transfers)


def test_parts_are_known_by_their_digest_whatever_became_of_the_case(c):
    put(c)
    wire.cancel_case(c, CASE, 2.0)
    assert freight.known_parts(c, [way().sha256, "f" * 64]) == {way().sha256}


def test_of_each_case_the_fullest_transfer_that_is_ready_is_sent(c, link):
    put(c, tiers=(0, 1))
    put(c, OTHER)
    assert unsettled(c, link) == [(CASE, 1), (OTHER, 0)]
    assert freight.shed_transfer(c, way(CASE, 1).transfer_id, 2.0)
    assert not freight.shed_transfer(c, way(CASE, 1).transfer_id, 3.0)
    assert unsettled(c, link) == [(CASE, 0), (OTHER, 0)]
    assert [row.tier for row in freight.open_transfers(c)] == [0, 0]


def test_a_series_is_wanted_until_its_own_receipt_or_its_case_is_taken_back(c, link):
    put(c)
    put(c, OTHER)
    for case_id in (CASE, OTHER):
        freight.put_transfer(c, way(case_id, 2), 1.0)
    wire.record_receipt(link, CASE, 2.0)
    wire.close_case(c, CASE, 2.0)
    wire.cancel_case(c, OTHER, 2.0)
    assert unsettled(c, link) == [(CASE, 2)]
    assert [(row.case_id, row.tier) for row in freight.open_transfers(c)] == [(CASE, 2)]
    freight.record_transfer_received(link, row_of(c, CASE, 2), 3.0)
    assert unsettled(c, link) == []
    assert freight.received_transfers(link) == {way(CASE, 2).transfer_id}


def test_what_the_centre_has_only_grows_until_it_says_that_it_knows_nothing(c, link):
    put(c)
    row = row_of(c)
    assert freight.record_have(link, row, 0b001) == 0b001
    assert freight.record_have(link, row, 0b100) == 0b101
    assert freight.record_have(link, row, 1 << 400) == 0b101, "there are three parts"
    freight.record_manifest_sent(link, way(), 5.0)
    assert next(freight.unsettled_transfers(c, link, 1.0)).have == 0b101
    freight.forget_have(link, row.transfer_id)
    assert next(freight.unsettled_transfers(c, link, 1.0)).have == 0
    freight.record_transfer_received(link, row, 6.0)
    freight.forget_have(link, row.transfer_id)
    (passage,) = link.execute(wire.passages.select())
    assert (passage.state, passage.have, passage.parts_have) == ("received", "7", 3), "a receipt is not forgotten"


@pytest.mark.parametrize("waited", [-1e6, 0.0, 1.0, AGEING_S - 1, AGEING_S, 2.5 * AGEING_S, 100 * AGEING_S])
def test_the_order_in_the_database_is_that_of_the_schedule(c, link, waited):
    """The younger ones first in the table, so that only the class can bring an older one before them."""
    now, kinds = 1e9, [(u, t) for t in (0, 2) for u in ("routine", "urgent", "critical")]
    for number, (urgency, tier) in enumerate(kinds):
        for copy, age in enumerate((0.0, waited)):
            case_id = f"{number:016x}{copy:016x}"
            wire.put_case(c, case_id, [way(case_id, tier, urgency=urgency)], revision=1, urgency=urgency, at=now - age)
    found = [
        class_of(load.enclosed.urgency, load.enclosed.tier, now - load.created_at)
        for load in freight.unsettled_transfers(c, link, now)
    ]
    assert found == sorted(found, reverse=True)
    assert len(found) == 2 * len(kinds)


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
            wire.record_verdict(link, CASE, chance.randint(1, 2), "bGV0dGVy", at)
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
