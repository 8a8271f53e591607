"""The lock in a browser: the patient leaves the document, Back shows nothing, unlocking leads to the same image."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from seeding import PASSWORD, USER, Seeded, filled, seed, served, sign_in
from sqlalchemy import update

from appliance import review
from appliance.world import accounts, sqlite, wire

NAME = "DOE"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    made = seed(tmp_path_factory.mktemp("lock"))
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    for name, role in ((USER, "reader"), ("vic.view", "viewer"), ("ada.admin", "administrator")):
        review.add_user(made.places, name, PASSWORD, role=role)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def locking(house: Seeded) -> Iterator[str]:
    yield from served(house.places)


def gone_idle(house: Seeded) -> None:
    """Everybody's last sign of life is an hour old."""
    engine = sqlite.open_writer(house.places.review_db, accounts.METADATA)
    with engine.begin() as c:
        c.execute(update(accounts.sessions).values(last_seen_at=accounts.sessions.c.last_seen_at - 3600))
    engine.dispose()


def opened(page: Page, address: str, house: Seeded) -> None:
    """The case with three images, the second one shown."""
    page.clock.install()
    sign_in(page, address)
    page.wait_for_url(address)
    page.goto(f"{address}studies/{house.numbers['evil']}")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")
    page.locator("#port").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#viewer")).to_have_attribute("data-at", "1")


def unlock(page: Page) -> None:
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Unlock").click()


def test_an_idle_page_locks_hides_who_and_comes_back_to_the_same_image(page: Page, locking: str, house: Seeded) -> None:
    opened(page, locking, house)
    assert "P-" in page.content()
    gone_idle(house)
    page.clock.run_for(11_000)
    expect(page.get_by_role("heading", name="Locked")).to_be_visible()
    assert "P-" not in page.content()
    page.go_back()
    expect(page.get_by_role("heading", name="Locked")).to_be_visible()
    assert "P-" not in page.content()
    page.go_forward()
    page.goto(f"{locking}studies/{house.numbers['evil']}")
    expect(page.get_by_role("heading", name="Locked")).to_be_visible()
    page.go_back()
    unlock(page)
    expect(page.locator("#viewer")).to_have_attribute("data-at", "1")
    expect(page).to_have_url(re.compile(rf"/studies/{house.numbers['evil']}#image-2$"))


def test_a_page_locks_by_key_and_its_neighbour_with_it(page: Page, locking: str, house: Seeded) -> None:
    opened(page, locking, house)
    neighbour = page.context.new_page()
    neighbour.clock.install()
    neighbour.goto(locking)
    expect(neighbour.locator("tbody tr").first).to_be_visible()
    page.keyboard.press("Control+Alt+KeyL")
    expect(page.get_by_role("heading", name="Locked")).to_be_visible()
    neighbour.clock.run_for(11_000)
    expect(neighbour.get_by_role("heading", name="Locked")).to_be_visible()
    assert NAME not in neighbour.content()
    unlock(page)
    expect(page.locator("#viewer")).to_have_attribute("data-at", "1")


def test_a_page_whose_appliance_is_silent_empties_itself(page: Page, locking: str, house: Seeded) -> None:
    """No answer and no hand for longer than the idle time: nobody could say whether it is locked."""
    opened(page, locking, house)
    page.route("**/pulse", lambda route: route.abort())
    page.clock.run_for(15_000)
    expect(page.locator("#fresh")).to_have_text("no connection to the appliance")
    page.route("**/lock*", lambda route: route.fulfill(body="<h1>gone</h1>", content_type="text/html"))
    page.clock.run_for(700_000)
    expect(page.get_by_role("heading", name="gone")).to_be_visible()


def test_a_signature_asks_for_the_password_where_the_decision_stands(page: Page, house: Seeded) -> None:
    for address in served(house.places, signature_fresh_s=0):
        sign_in(page, address)
        page.wait_for_url(address)
        page.goto(f"{address}studies/{house.numbers['cleared']}")
        page.locator("input[value=agree]").check()
        for box in page.locator(".identify input").all():
            box.check()
        page.locator("#decide").get_by_label("Your password").fill("not my password")
        page.get_by_role("button", name="Sign as").click()
        expect(page.locator("main [role=alert]")).to_have_text("That was not right.")
        page.get_by_label("Your password").fill(PASSWORD)
        page.get_by_role("button", name="Go on").click()
        expect(page.get_by_text("Your signature is on file.")).to_be_visible()


def test_an_emergency_is_seen_on_every_page(page: Page, locking: str, house: Seeded) -> None:
    sign_in(page, locking, "vic.view")
    page.wait_for_url(locking)
    page.get_by_role("link", name="vic.view · viewer").click()
    page.get_by_role("link", name="Emergency access").click()
    page.get_by_label("Why").fill("night, no reader")
    page.get_by_role("button", name="Break the glass").click()
    for path in ("", "status", "account", f"studies/{house.numbers['flagged']}"):
        page.goto(f"{locking}{path}")
        expect(page.locator(".glass")).to_contain_text("night, no reader")
    page.get_by_role("button", name="End it").click()
    expect(page.locator(".glass")).to_have_count(0)


def test_the_pages_of_accounts_keep_the_policy_and_fit_a_small_screen(
    page: Page, watch: object, locking: str, house: Seeded
) -> None:
    complaints: list[str] = watch.complaints  # type: ignore[attr-defined]
    sign_in(page, locking, "ada.admin")
    page.wait_for_url(f"{locking}administration")
    for path in ("administration", "account", "emergency"):
        page.set_viewport_size({"width": 320, "height": 640})
        page.goto(f"{locking}{path}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert complaints == []
