"""The outbox in a real browser: what waits, how far it is, what was shed, and that the line is silent."""

import re

from playwright.sync_api import Page as Tab
from playwright.sync_api import expect
from seeding import Seeded

from appliance.world import sqlite, wire
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
    alarms = page.get_by_role("alert")
    expect(alarms.filter(has_text=re.compile("past the deadline"))).to_have_count(1)
    expect(alarms.filter(has_text=re.compile("has no keys"))).to_have_count(1)
