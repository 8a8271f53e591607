"""The spool within its bytes: bulk goes first and comes back, findings and urgent cases never go, damage is mended."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row

from appliance.cli.reconcile import reconcile
from appliance.config import MIB
from appliance.core.case import decode_case
from appliance.core.document import encode
from appliance.core.enclosure import enclosed
from appliance.core.policy import Policy, Thin, mark_of
from appliance.core.updates import Offer, Terms
from appliance.loop import FAULTS, Moment
from appliance.triage.spool import LOOK_PERIOD_S
from appliance.world import ledger, wire
from appliance.world.ledger import updates
from appliance.world.wire import freight
from tests.correspondents import SENDER, documents
from tests.tiny import tiny
from tests.triage.conftest import Bench

UIDS = [f"1.2.826.0.1.{number}" for number in range(1, 5)]


@pytest.fixture
def full(bench: Bench) -> Bench:
    """Four cases wait for a line that is down."""
    for number, uid in enumerate(UIDS):
        bench.put(tiny(uid, 1, f"PAT-{number}", "CR", number))
        bench.step(passed=1)
        bench.step(passed=5)
    return bench


def transfers(bench: Bench) -> list[Row[Any]]:
    with bench.triage.cases.connect() as c:
        return list(c.execute(wire.transfers.select().order_by(wire.transfers.c.id)))


def ready(bench: Bench) -> list[tuple[int, str, int]]:
    """(which case, urgency, tier) of what lies ready; every file lies there and no other."""
    numbers = {bench.result(uid).case_id: number for number, uid in enumerate(UIDS)}
    rows = [row for row in transfers(bench) if row.state == "ready"]
    assert {path.name for path in bench.places.parts.iterdir()} == {row.sha256 for row in rows}
    return sorted((numbers[row.case_id], row.urgency, row.tier) for row in rows)


def urge(bench: Bench, number: int, urgency: str) -> None:
    with bench.triage.cases.begin() as c:
        for table in (wire.cases, wire.transfers):
            where = table.c.case_id == bench.result(UIDS[number]).case_id
            c.execute(table.update().where(where).values(urgency=urgency))


def squeeze(bench: Bench, bytes_max: int) -> None:
    bench.triage.spool.bytes_max = bytes_max
    bench.step("shed", passed=LOOK_PERIOD_S)


def size(bench: Bench, tier: int, number: int = 0) -> int:
    case_id = bench.result(UIDS[number]).case_id
    return next(row.sealed_bytes for row in transfers(bench) if (row.case_id, row.tier) == (case_id, tier))


def test_within_its_bytes_nothing_goes(full: Bench) -> None:
    squeeze(full, MIB)
    assert len(ready(full)) == 8


def test_the_pictures_of_the_newest_routine_case_go_first(full: Bench) -> None:
    everything = sum(row.sealed_bytes for row in transfers(full))
    squeeze(full, everything - 1)
    assert (3, "routine", 1) not in ready(full)
    assert len(ready(full)) == 7
    assert FAULTS["spool-shed"] > 0


def test_findings_and_urgent_cases_never_go_and_that_is_said(full: Bench) -> None:
    urge(full, 1, "urgent")
    urge(full, 2, "critical")
    before = FAULTS["spool-full"]
    squeeze(full, 1)
    assert ready(full) == [
        (0, "routine", 0),
        (1, "urgent", 0),
        (1, "urgent", 1),
        (2, "critical", 0),
        (2, "critical", 1),
        (3, "routine", 0),
    ]
    assert FAULTS["spool-full"] == before + 1
    checks, _ = reconcile(full.places)
    assert [check.name for check in checks if not check.holds] == []


def test_a_series_goes_before_any_picture(full: Bench) -> None:
    case_id = full.result(UIDS[0]).case_id
    way, _, data = enclosed(
        b"x" * 10_000, case_id=case_id, tier=1, urgency="critical", transfer_id="d" * 32, key=bytes(32), sender=SENDER
    )
    (full.places.parts / way.sha256).write_bytes(data)
    with full.triage.cases.begin() as c:
        freight.put_transfer(c, way, full.now)
        c.execute(wire.transfers.update().where(wire.transfers.c.transfer_id == "d" * 32).values(tier=2))
    assert (0, "critical", 2) in ready(full)
    squeeze(full, sum(row.sealed_bytes for row in transfers(full)) - 1)
    assert (0, "critical", 2) not in ready(full)
    assert len(ready(full)) == 8


def test_a_case_that_is_half_there_goes_last(full: Bench) -> None:
    newest = next(row for row in transfers(full) if row.tier == 1 and row.case_id == full.result(UIDS[3]).case_id)
    engine = full.link()
    with engine.begin() as c:
        freight.record_have(c, newest, 1)
    engine.dispose()
    squeeze(full, sum(row.sealed_bytes for row in transfers(full)) - 1)
    assert (3, "routine", 1) in ready(full)
    assert (2, "routine", 1) not in ready(full)


def test_what_went_comes_back_when_there_is_room_and_can_be_accounted_for(full: Bench) -> None:
    with full.triage.cases.connect() as c:
        before = documents(c, full.places.parts)
    squeeze(full, 1)
    assert [tier for _, _, tier in ready(full)] == [0, 0, 0, 0]
    full.step("mend", passed=LOOK_PERIOD_S)
    assert len(ready(full)) == 4, "there is no room yet"
    full.triage.spool.bytes_max = MIB
    full.step("mend", passed=LOOK_PERIOD_S)
    assert len(ready(full)) == 8
    with full.triage.cases.connect() as c:
        after = documents(c, full.places.parts)
    assert {key: decode_case(data).key_images for key, data in after.items()} == {
        key: decode_case(data).key_images for key, data in before.items()
    }
    checks, _ = reconcile(full.places)
    assert [check.name for check in checks if not check.holds] == []


def test_what_the_centre_has_is_not_made_again(full: Bench) -> None:
    squeeze(full, 1)
    engine = full.link()
    with engine.begin() as c:
        for uid in UIDS:
            wire.record_receipt(c, full.result(uid).case_id, full.now)
    engine.dispose()
    full.triage.spool.bytes_max = MIB
    full.step("mend", passed=LOOK_PERIOD_S)
    assert len([row for row in transfers(full) if row.state == "ready"]) == 4
    full.step("free")
    assert list(full.places.parts.iterdir()) == []


@pytest.mark.parametrize("tier", [0, 1])
def test_what_a_disk_damaged_is_made_again(full: Bench, tier: int) -> None:
    case_id = full.result(UIDS[1]).case_id
    row = next(each for each in transfers(full) if (each.case_id, each.tier) == (case_id, tier))
    (full.places.parts / row.sha256).write_bytes(b"damaged")
    engine = full.link()
    with engine.begin() as c:
        freight.record_have(c, row, 0)
        c.execute(wire.passages.update().values(code="part-damaged"))
    engine.dispose()
    full.step("mend", passed=LOOK_PERIOD_S)
    again = [each for each in transfers(full) if (each.case_id, each.tier, each.state) == (case_id, tier, "ready")]
    assert len(again) == 1
    assert again[0].transfer_id != row.transfer_id
    full.step("free")
    assert len(ready(full)) == 8
    with full.triage.cases.connect() as c:
        assert len(documents(c, full.places.parts)) == 8, "each opens"


def test_what_the_centre_lost_is_sealed_anew_and_of_a_refused_case_nothing_is(full: Bench) -> None:
    lost, refused = full.result(UIDS[1]).case_id, full.result(UIDS[2]).case_id
    rows = [each for each in transfers(full) if each.case_id in (lost, refused) and each.tier == 1]
    engine = full.link()
    with engine.begin() as c:
        for row in rows:
            freight.refuse_transfer(c, row, "part-invalid")
        wire.record_unsendable(c, lost, "part-invalid")
        assert wire.record_refusal(c, refused, "part-invalid")
    for _ in range(2):
        full.step("mend", passed=LOOK_PERIOD_S)
    found = {each.case_id: each for each in transfers(full) if each.tier == 1 and each.state == "ready"}
    assert found[lost].transfer_id not in [row.transfer_id for row in rows]
    assert found[refused].transfer_id in [row.transfer_id for row in rows]
    with full.triage.cases.connect() as c, engine.connect() as own:
        waiting = {load.enclosed.transfer_id for load in freight.unsettled_transfers(c, own, full.now)}
    engine.dispose()
    assert found[lost].transfer_id in waiting
    full.step("free")
    assert len(ready(full)) == 8


def test_what_cannot_be_made_again_is_tried_once_and_stops_nothing(
    full: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeeze(full, 1)
    full.triage.spool.bytes_max = MIB
    asked: list[str] = []
    real = full.triage.spool.handover.leaving

    def fails(case_id: str, *rest: Any) -> Any:
        asked.append(case_id)
        if case_id == full.result(UIDS[0]).case_id:
            raise OSError("a disk of no use")
        return real(case_id, *rest)

    monkeypatch.setattr(full.triage.spool.handover, "leaving", fails)
    for _ in range(3):
        full.step("mend", passed=LOOK_PERIOD_S)
    assert len(asked) == len(set(asked)) == 4
    assert len(ready(full)) == 7


def test_a_study_that_went_on_is_not_made_again(full: Bench) -> None:
    squeeze(full, 1)
    with full.triage.engine.begin() as c:
        c.execute(ledger.studies.update().values(revision=2))
    full.triage.spool.bytes_max = MIB
    full.step("mend", passed=LOOK_PERIOD_S)
    assert len([row for row in transfers(full) if row.state == "ready"]) == 4


def test_it_sheds_on_a_disk_that_is_too_full_for_all_else(full: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    full.triage.reserve = 2**62
    full.triage.spool.bytes_max = 1
    full.steps = full.triage.steps()
    assert full.steps["shed"](Moment(full.now + 100, full.now + 100))
    assert len(ready(full)) == 4


def test_a_crash_between_row_and_file_leaves_a_file_that_is_freed(full: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from appliance.world import archive

    class Died(BaseException):
        pass

    def dies(_: Path) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(archive, "remove", dies)
        with pytest.raises(Died):
            squeeze(full, 1)
    engine = full.link()
    engine.dispose()
    full.start()
    full.step("free")
    assert len(ready(full)) == 4


def hold(bench: Bench, policy: Policy) -> None:
    name = f"policy/{policy.number}.json"
    offer = Offer(name, "policy", "a" * 64, 10, Terms(kind="policy", title=f"policy-{policy.number}", ring="all"))
    with bench.triage.engine.begin() as c:
        updates.end(c, offer, "held", bench.now, body=encode(policy).decode())


def test_pictures_that_a_policy_takes_away_go_and_come_back_with_it(full: Bench) -> None:
    urge(full, 1, "urgent")
    urge(full, 2, "critical")
    everything, before = ready(full), FAULTS["spool-shed"]
    hold(full, Policy(number=1, pictures_from="critical"))
    full.step("shed", passed=LOOK_PERIOD_S)
    assert [row for row in ready(full) if row[2] == 1] == [(2, "critical", 1)]
    assert len([row for row in ready(full) if row[2] == 0]) == 4, "findings never go"
    full.step("mend", passed=LOOK_PERIOD_S)
    assert [row for row in ready(full) if row[2] == 1] == [(2, "critical", 1)], "nor do they come back meanwhile"
    hold(full, Policy(number=2))
    full.step("mend", passed=LOOK_PERIOD_S)
    assert ready(full) == everything
    assert FAULTS["spool-shed"] == before, "a policy is no want of room"


def test_a_policy_for_thin_lines_is_for_those_it_names(full: Bench) -> None:
    everything = ready(full)
    hold(full, Policy(number=1, thin=Thin(lines=(mark_of("another"),), pictures_from="critical")))
    full.step("shed", passed=LOOK_PERIOD_S)
    assert ready(full) == everything
    mine = mark_of(full.config.site.device_id)
    hold(full, Policy(number=2, thin=Thin(lines=(mark_of("another"), mine), pictures_from="critical")))
    full.step("shed", passed=LOOK_PERIOD_S)
    assert {tier for _, _, tier in ready(full)} == {0}


def test_what_the_centre_has_a_part_of_goes_on_with_its_pictures(full: Bench) -> None:
    row = next(row for row in transfers(full) if row.tier == 1 and row.case_id == full.result(UIDS[3]).case_id)
    engine = full.link()
    with engine.begin() as c:
        freight.record_have(c, row, 1)
    engine.dispose()
    hold(full, Policy(number=1, pictures_from="critical"))
    full.step("shed", passed=LOOK_PERIOD_S)
    assert [each for each in ready(full) if each[2] == 1] == [(3, "routine", 1)]
