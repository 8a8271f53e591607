"""The list with nothing in it, with five studies and with five thousand: at both sizes of screen, kept for eyes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import PASSWORD, USER, seed, served, sign_in

from appliance import review
from appliance.review import tabs
from appliance.world import accounts, ledger, sqlite, wire
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


@pytest.mark.parametrize(("language", "said"), [("en", "at least 150"), ("de", "mindestens 150")])
def test_a_tab_that_is_not_counted_to_its_end_says_so(
    page: Page,
    tmp_path: Path,
    keep: Callable[[str], None],
    watch: Any,
    monkeypatch: pytest.MonkeyPatch,
    language: str,
    said: str,
) -> None:
    """What waits is counted whole; what is history reads on without a last page."""
    monkeypatch.setattr(tabs, "COUNT_MAX", 150)
    made = seed(tmp_path)
    fill(made.engine, 240, 9)
    with made.engine.begin() as c:
        c.execute(ledger.signatures.delete())  # the page's own book has none of them, and would be taken for a lost one
    review.add_user(made.places, USER, PASSWORD)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    with review.opened(made.places) as ledgers, ledgers.pen().begin() as c:
        accounts.set_language(c, USER, language)
    for address in served(made.places):
        sign_in(page, address)
        page.wait_for_url(address)
        expect(page.locator("a[data-key='tab-to-read'] b")).to_have_text("9")
        page.goto(f"{address}?lane=signed")
        expect(page.locator("a[data-key='tab-signed'] b")).to_have_text(said)
        for number, rows in ((1, 100), (2, 100), (3, 31)):
            expect(page.locator("tbody tr[data-study]")).to_have_count(rows)
            expect(page.locator("nav.pages span")).to_have_text(re.compile(rf"^(Page|Seite) {number}$"))
            if number == 1:
                keep(f"worklist-at-least-{language}")
            if number < 3:
                page.locator("a[data-key=further]").click()
                page.wait_for_url(f"**page={number + 1}")
        expect(page.locator("a[data-key=further]")).to_have_count(0)
        page.set_viewport_size({"width": 320, "height": 720})
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0
    assert watch.complaints == []
    made.engine.dispose()
