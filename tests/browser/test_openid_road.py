"""A reader signs in at a provider that other people wrote, signs a case and unlocks by fresh proofs, in a browser.

The provider answers as localhost, the page as 127.0.0.1: two sites, as in a hospital.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from seeding import PASSWORD, USER, Seeded, filled, seed, served
from test_access import AXE, OVER, meant, violations

from appliance import review
from appliance.world import desk, sqlite, wire
from tests import openid_provider
from tests.openid_provider import CLIENT_ID, Provider

JANE, KIM = "jane.doe", "kim.student"
PEOPLE = {
    JANE: {"sub": JANE, "name": "Jane Doe", "preferred_username": "jane.doe@harbour.example", "roles": ["radiologist"]},
    KIM: {"sub": KIM, "name": "Kim", "preferred_username": KIM, "roles": ["janitor"]},
}
NOTE = "effusion on the left\n<i>small</i>"


class House(NamedTuple):
    seeded: Seeded
    provider: Provider
    address: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("openid")
    made = seed(folder / "state")
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    with openid_provider.provider(folder / "provider", PEOPLE) as provider:
        keys_file = folder / "keys.json"
        keys_file.write_bytes(provider.keys())
        running = served(
            made.places,
            tls="own",
            signature_fresh_s=0,
            oidc_issuer=provider.issuer,
            oidc_authorize=provider.authorize,
            oidc_client_id=CLIENT_ID,
            oidc_name="Harbour login",
            oidc_keys_file=str(keys_file),
            oidc_roles={"radiologist": "reader"},
        )
        address = next(running)
        provider.knows(address)
        yield House(made, provider, address)
        next(running, None)
    made.engine.dispose()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Both authorities are made here and trusted by nobody; whether certificates hold is test_line's matter."""
    made = browser.new_context(viewport={"width": 1600, "height": 900}, ignore_https_errors=True)
    made.set_default_timeout(10_000)
    yield made
    made.close()


def looked_at(page: Page) -> None:
    """As test_access looks at every other page."""
    page.evaluate(AXE)
    assert violations(page) == []
    before = page.viewport_size
    page.set_viewport_size({"width": 320, "height": 720})
    assert page.evaluate(OVER) <= 0
    assert before is not None
    page.set_viewport_size(before)


def at_the_provider(page: Page, name: str) -> None:
    """What a person does at the provider's own form."""
    expect(page.get_by_role("heading", name="Harbour login")).to_be_visible()
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(openid_provider.PASSWORD)
    page.get_by_role("button", name="Log in").click()


def come_in(page: Page, house: House, name: str = JANE) -> None:
    page.goto(f"{house.address}sign-in")
    page.get_by_role("button", name="Sign in with Harbour login").click()
    at_the_provider(page, name)


def test_a_reader_comes_in_signs_and_unlocks_by_the_provider(context: BrowserContext, house: House) -> None:
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    come_in(page, house)
    page.wait_for_url(house.address)
    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
    expect(page.get_by_text("jane.doe · reader")).to_be_visible()
    assert "password" not in page.content()

    number = house.seeded.numbers["flagged"]
    page.goto(f"{house.address}studies/{number}")
    page.get_by_role("radio", name=re.compile("^Disagree")).check()
    page.get_by_role("combobox", name="Reason").select_option("missed-finding")
    page.get_by_label("Note").fill(NOTE)
    for box in page.locator(".identify input").all():
        box.check()
    page.get_by_role("button", name="Sign as jane.doe").click()
    expect(page.get_by_role("heading", name="Is it you, jane.doe?")).to_be_visible()
    looked_at(page)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("main").get_by_role("alert")).to_contain_text("has not said yet that it is you")
    with context.expect_page() as opened:
        page.get_by_role("button", name="Show it with Harbour login").click()
    at_the_provider(opened.value, JANE)
    expect(opened.value.get_by_role("status")).to_contain_text("Close this window")
    looked_at(opened.value)
    opened.value.close()
    assert [row for row in house.seeded.desk_rows(desk.signatures) if row.study_number == number] == []
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".signatures").first).to_contain_text("disagrees")
    (row,) = (row for row in house.seeded.desk_rows(desk.signatures) if row.study_number == number)
    assert (row.user, row.decision, row.correction) == (JANE, "correct", NOTE)

    page.wait_for_load_state()  # a script keeps the place
    page.get_by_role("button", name="Lock", exact=True).click()
    expect(page.get_by_role("heading", name="Locked")).to_be_visible()
    assert "DOE" not in page.content()
    looked_at(page)
    page.get_by_role("button", name="Unlock with Harbour login").click()
    at_the_provider(page, JANE)
    page.wait_for_url(f"{house.address}studies/{number}*")
    expect(page.locator(".signatures").first).to_contain_text("disagrees")
    assert all((each["prompt"], each["max_age"]) == ("login", "0") for each in house.provider.asked[-3:])
    assert [each for each in complaints if not meant(each)] == [], "the browser's own policy stood in nobody's way"
    acts = [(row.user, row.act) for row in house.seeded.desk_rows(desk.audit) if row.user == JANE]
    for act in ("user-added-by-provider", "sign-in-by-provider", "proof-by-provider", "signed-correct", "unlocked"):
        assert (JANE, act) in acts


def test_somebody_without_a_role_is_told_who_must_act(context: BrowserContext, house: House) -> None:
    page = context.new_page()
    come_in(page, house, KIM)
    expect(page.get_by_role("heading", name="Nobody was signed in")).to_be_visible()
    expect(page.locator("main").get_by_role("alert")).to_contain_text(
        "(oidc-role). Ask whoever runs the provider for the role"
    )
    page.get_by_role("link", name="Begin again").click()
    page.wait_for_url("**/sign-in")


def test_a_local_account_signs_in_beside_the_provider(context: BrowserContext, house: House) -> None:
    page = context.new_page()
    page.goto(f"{house.address}sign-in")
    looked_at(page)
    folder = Path(__file__).parents[2] / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / "sign-in-with-provider.png")
    page.get_by_label("Name").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(house.address)
