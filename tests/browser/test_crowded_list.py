"""The list with nothing in it, with five studies and with five thousand: at both sizes of screen, kept for eyes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import PASSWORD, USER, seed, served, sign_in

from appliance import review
from appliance.world import sqlite, wire
from bench.worklist import fill

SIZES = ((1600, 900), (1280, 720))
ROWS_A_PAGE_MAX = 200


@pytest.mark.parametrize("count", [0, 5, 5_000])
def test_the_list_stands_however_many_wait(
    page: Page, tmp_path: Path, keep: Callable[[str], None], watch: Any, count: int
) -> None:
    made = seed(tmp_path)
    if count:
        fill(made.engine, count, count)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    for address in served(made.places):
        sign_in(page, address)
        page.wait_for_url(address)
        rows = page.locator("tbody tr[data-study]")
        if count:
            expect(rows.first).to_be_visible()
            assert min(count, 20) <= rows.count() <= min(count, ROWS_A_PAGE_MAX)
        else:
            expect(rows).to_have_count(0)
        expect(page.get_by_role("navigation").filter(has_text=str(count)).first).to_be_visible()
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, (width, count)
            keep(f"worklist-{count}-{width}")
    assert watch.complaints == []
    made.engine.dispose()
