"""The list in a browser: what has waited longer than the site allows stands before what has not, and says so."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from seeding import PASSWORD, USER, filled, seed, served, sign_in

from appliance import review
from appliance.world import ledger, sqlite, wire


def test_no_lane_waits_for_ever_and_what_was_asked_for_at_once_goes_first(
    page: Page, tmp_path: Path, keep: Callable[[str], None], watch: Any
) -> None:
    made = seed(tmp_path)
    filled(made)
    stat = made.study("asked-at-once", ["complete", "routine"])
    with made.engine.begin() as c:
        c.execute(ledger.studies.update().where(ledger.studies.c.number == stat).values(request_rank=0))
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    for address in served(made.places, wait_flagged_s=60, wait_cleared_s=300):
        sign_in(page, address)
        page.wait_for_url(address)
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(7)
        numbers = [row.get_attribute("data-study") for row in rows.all()]
        keys = ("asked-at-once", "flagged", "answered", "cleared", "evil", "late", "broken")
        assert numbers == [str(made.numbers[key]) for key in keys]
        expect(rows.first).to_contain_text("STAT")
        expect(page.locator(f"tr[data-study='{made.numbers['cleared']}'] .late")).to_contain_text(
            re.compile(r"overdue \d+ min")
        )
        expect(page.locator(f"tr[data-study='{made.numbers['late']}']")).to_contain_text("due in 3 h")
        keep("worklist-order")
        page.set_viewport_size({"width": 320, "height": 720})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0
    assert watch.complaints == []
    made.engine.dispose()
