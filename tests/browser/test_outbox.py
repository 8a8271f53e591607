"""The outbox in a real browser: what waits, how far it is, what was shed, and that the line is silent."""

import re

from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from seeding import USER, Seeded

from appliance.errors import CATALOGUE
from appliance.world import desk, ledger, sqlite, wire
from appliance.world.wire import freight
from tests.world.test_wire import way


def fill(seeded: Seeded) -> None:
    """Three cases of the line's week: one half there, one whose pictures went, one that is critical and late."""
    places, at = seeded.places, seeded.at
    cases, link = sqlite.open_writer(places.cases_db, wire.CASES), sqlite.open_writer(places.link_db, wire.LINK)
    with cases.begin() as c, link.begin() as far:
        for number, urgency in ((0xA1, "routine"), (0xB2, "routine"), (0xC3, "critical")):
            case_id = f"{number:02x}{number:030x}"
            ways = [way(case_id, tier, urgency=urgency) for tier in (0, 1)]
            wire.put_case(c, case_id, ways, revision=1, urgency=urgency, at=at - 7200)
        half = next(row for row in freight.transfers_of(c, f"a1{0xA1:030x}") if row.tier == 1)
        freight.record_have(far, half, 0b11)
        wire.record_sent(far, half.case_id, at)
        freight.shed_transfer(c, way(f"b2{0xB2:030x}", 1).transfer_id, at)
    cases.dispose()
    link.dispose()


def test_the_outbox_shows_what_waits_how_far_it_is_and_what_went(signed_in: Tab, seeded: Seeded, address: str) -> None:
    page = signed_in
    fill(seeded)
    page.goto(address)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Outbox").click()
    expect(page.get_by_role("heading", name="Outbox", level=1)).to_be_visible()
    half = page.locator("tr[data-case='a1000000']").filter(has_text="key images")
    expect(half).to_contain_text("2 of 3")
    expect(page.locator("tr[data-case='b2000000'].shed")).to_contain_text("made again when there is room")
    expect(page.locator("tr[data-urgency='critical']")).to_contain_text("critical")
    expect(page.locator("tr[data-case='c3000000'] td.late").first).to_contain_text("late")
    alarms = page.locator("main [role=alert]")
    expect(alarms.filter(has_text=re.compile("past the deadline"))).to_have_count(1)
    expect(alarms.filter(has_text=re.compile("has no keys"))).to_have_count(1)


def test_what_failed_says_what_to_do_and_a_retry_is_an_order_for_the_whole_road(
    signed_in: Tab, seeded: Seeded, address: str
) -> None:
    case_id = f"d4{0xD4:030x}"
    states = ["complete", "hard", "escalated", "quarantined"]
    refused = seeded.study("refused", states, lane="escalated", case_id=case_id)
    seeded.study("early", ["complete", "quarantined"], lane=None)
    with seeded.engine.begin() as c:
        c.execute(ledger.studies.update().where(ledger.studies.c.number == refused).values(fault_code="case-refused"))
    link = sqlite.open_writer(seeded.places.link_db, wire.LINK)
    with link.begin() as far:
        for at in (1.0, 2.0):
            wire.record_sent(far, case_id, at)
    link.dispose()
    signed_in.goto(f"{address}outbox")
    rows = signed_in.locator("#failed tbody tr")
    expect(rows).to_have_count(1)  # what was set aside before it was decided was never on its way
    expect(rows).to_contain_text("d4000000")
    expect(rows).to_contain_text(CATALOGUE["case-refused"].hint)
    expect(rows).to_contain_text("sent 2 times")
    rows.locator("summary").click()
    rows.get_by_role("button", name="Retry").click()
    expect(signed_in).to_have_url(f"{address}outbox?done=commanded")
    expect(rows).to_contain_text(f"{USER} asked to release it; it is being done")
    (ordered,) = [each for each in seeded.desk_rows(desk.commands) if each.study_number == refused]
    assert (ordered.kind, ordered.seq_seen) == ("release", 4)


def test_what_is_under_way_tells_how_often_it_was_tried_and_has_no_button(
    signed_in: Tab, seeded: Seeded, address: str
) -> None:
    case_id = f"e5{0xE5:030x}"
    cases, link = (
        sqlite.open_writer(path, metadata)
        for path, metadata in ((seeded.places.cases_db, wire.CASES), (seeded.places.link_db, wire.LINK))
    )
    with cases.begin() as c, link.begin() as far:
        wire.put_case(c, case_id, [way(case_id, 0)], revision=1, urgency="routine", at=seeded.at)
        load = next(each for each in freight.unsettled_transfers(c, far, seeded.at) if each.enclosed.case_id == case_id)
        for at in (seeded.at, seeded.at + 30):
            freight.record_manifest_sent(far, load.enclosed, at)
        freight.record_transfer_fault(far, load.enclosed, "part-damaged")
    cases.dispose()
    link.dispose()
    signed_in.goto(f"{address}outbox")
    row = signed_in.locator("tr[data-case='e5000000']")
    expect(row).to_contain_text("2 times")
    expect(row).to_contain_text(CATALOGUE["part-damaged"].hint)
    expect(row.get_by_role("button")).to_have_count(0)
