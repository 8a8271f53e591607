"""A reader who reads German: from sign-in to a signature by keyboard, nothing English left or cut, axe silent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, BrowserContext, Page, expect
from seeding import PASSWORD, USER, Seeded
from test_access import AXE, OVER, RUN, TAGS, WIDE, session_of

from appliance import review
from appliance.review import language
from appliance.world import accounts
from tests.sentences import english_left

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
SAID = """() => [...document.querySelectorAll('[aria-label], [title], [alt], [placeholder]')]
  .flatMap((each) => ['aria-label', 'title', 'alt', 'placeholder'].map((name) => each.getAttribute(name) ?? ''))
  .concat(document.body.innerText.split('\\n'), [...document.querySelectorAll('option')].map((each) => each.label))"""
# Words that a box shows cut: wider than the box, in one that hides what does not fit.
CUT = """() => [...document.querySelectorAll('body *')].filter((each) => {
    const style = getComputedStyle(each);
    return each.scrollWidth > each.clientWidth + 1 && each.clientWidth > 1 && !each.matches('.hidden, .skip, select')
      && ['hidden', 'clip'].includes(style.overflowX) && each.innerText?.trim();
  }).map((each) => each.outerHTML.slice(0, 90))"""
ADMIN = "ada.admin"


@pytest.fixture(scope="module")
def german() -> Catalog:
    with (ROOT / "appliance/review/locale/de.po").open("rb") as file:
        return read_po(file, locale="de")


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    """A browser whose own language is English."""
    made = browser.new_context(viewport={"width": 1600, "height": 900}, locale="en-US")
    made.set_default_timeout(10_000)
    made.add_init_script(AXE)
    yield made
    made.close()


@pytest.fixture
def looked_at(visitor: BrowserContext, german: Catalog) -> Callable[[Page, str], None]:
    """Holds one page to all of it and keeps its pictures for eyes."""

    def look(page: Page, name: str) -> None:
        expect(page.locator("html")).to_have_attribute("lang", "de")
        page.wait_for_load_state()  # after a form: its heading may stand there before its style does
        assert english_left(page.evaluate(SAID), german) == []
        found = page.evaluate(RUN, TAGS)
        assert [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in found] == []
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for width, height in ((320, 720), (1600, 900)):
            page.set_viewport_size({"width": width, "height": height})
            assert page.evaluate(OVER) <= 0, page.evaluate(WIDE, width)
            assert page.evaluate(CUT) == []
            page.screenshot(path=SCREENSHOTS / f"german-{name}-{width}.png", full_page=width == 320)

    return look


def tab_to(page: Page, selector: str, most: int = 60) -> None:
    """Goes by Tab to the first element that fits."""
    for _stop in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"no Tab leads to {selector}")


def test_from_sign_in_to_a_signature_in_german_by_keyboard(
    visitor: BrowserContext, seeded: Seeded, address: str, looked_at: Callable[[Page, str], None]
) -> None:
    page = visitor.new_page()
    page.goto(address)
    expect(page.locator("html")).to_have_attribute("lang", "en")
    tab_to(page, "a[hreflang=de]")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sign-in?language=de")
    looked_at(page, "sign-in")
    page.locator("#name").focus()
    page.keyboard.type(USER)
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(address)
    expect(page.get_by_role("heading", name="Arbeitsliste")).to_be_visible()
    looked_at(page, "worklist")
    with review.opened(seeded.places) as ledgers, ledgers.eyes().begin() as c:
        assert accounts.known(c, USER).language == "de"
    page.goto(f"{address}studies/{seeded.numbers['flagged']}")
    expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")
    looked_at(page, "case")
    page.locator("body").press("a")
    for name in ("patient", "exam"):
        tab_to(page, f"input[name={name}]")
        page.keyboard.press("Space")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/studies/*?done=next")
    expect(page.get_by_role("status").filter(has_text="Signiert. Dies ist die nächste Untersuchung")).to_be_visible()


def test_the_other_screens_are_german_too_and_the_switch_stands_in_the_menu(
    visitor: BrowserContext, seeded: Seeded, address: str, looked_at: Callable[[Page, str], None]
) -> None:
    with review.opened(seeded.places) as ledgers, ledgers.pen().begin() as c:
        accounts.put_user(c, ADMIN, accounts.known(c, USER).password_hash, 1.0, role="administrator")
        accounts.set_language(c, USER, "en")
    visitor.add_cookies([session_of(seeded.places, USER)])
    page = visitor.new_page()
    page.goto(f"{address}outbox")
    tab_to(page, "button[name=language][value=de]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ausgang")).to_be_visible()
    looked_at(page, "outbox")
    page.goto(f"{address}models")
    looked_at(page, "models")
    visitor.clear_cookies()
    with review.opened(seeded.places) as ledgers, ledgers.pen().begin() as c:
        accounts.set_language(c, ADMIN, "de")
    visitor.add_cookies([session_of(seeded.places, ADMIN)])
    page.goto(f"{address}administration")
    looked_at(page, "administration")
    tab_to(page, "button[name=language][value=en]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Administration and audit")).to_be_visible()


def test_a_sites_language_stands_where_nobody_asks(visitor: BrowserContext, address: str) -> None:
    """The account's first, then the browser's, then the site's; a code of no language of ours changes nothing."""
    asked: Any = lambda path, **headers: visitor.request.get(f"{address}{path}", headers=headers).text()  # noqa: E731
    told = {"Accept-Language": "fr"}
    assert '<html lang="en">' in asked("sign-in", **told)
    assert '<html lang="de">' in asked("sign-in", **{"Accept-Language": "de-CH, en;q=0.4"})
    assert '<html lang="en">' in asked("sign-in?language=xx", **told)
    assert '<html lang="de">' in asked("sign-in?language=de", **told)
    assert language.preferred("fr", "de") == "de"


def test_a_word_that_does_not_fit_its_box_is_seen(visitor: BrowserContext, address: str) -> None:
    page = visitor.new_page()
    page.goto(f"{address}sign-in")
    assert page.evaluate(CUT) == []
    page.evaluate("document.querySelector('h1').style.cssText = 'width: 2rem; overflow: hidden; white-space: nowrap'")
    assert page.evaluate(CUT) != []
