"""The review service in front of a state folder with real rows, and Debian's Chromium in front of that.

Chromium that is missing is a failure, never a skip. Nothing here sleeps: Playwright waits on conditions with a bound.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from pwdlib.hashers.argon2 import Argon2Hasher
from seeding import PASSWORD, USER, Seeded, filled, seed, served, sign_in

from appliance import review
from appliance.review import proofs
from appliance.world import sqlite, wire
from tests.browser_checks import pictures

CHROMIUM = "/usr/bin/chromium-headless-shell"
WAIT_MS = 10_000
expect.set_options(timeout=WAIT_MS)  # five seconds are too few for a page on a machine that others use, too
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"  # what a test saw, kept for whoever looks


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What a test of the 25 checks leaves on its pages is kept, once a run and test, however it ended."""
    try:
        return (yield)
    finally:
        wanted = pictures(item.nodeid)
        browser = getattr(item, "funcargs", {}).get("browser")
        if browser and wanted and wanted[0] not in _KEPT:
            _KEPT.add(wanted[0])
            _photograph(browser, wanted)


_KEPT: set[str] = set()


def _photograph(browser: Browser, names: list[str]) -> None:
    """Every page that stands open and is neither blank nor closed, under each of the names."""
    shown = [page for context in browser.contexts for page in context.pages if page.url.startswith("http")]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for place, page in enumerate(shown, start=1):
        picture = page.screenshot()
        for name in names:
            (SCREENSHOTS / f"{name}-{place}.png").write_bytes(picture)


@pytest.fixture(scope="session", autouse=True)
def as_the_product_hashes() -> Iterator[str]:
    """A hash at the product's own cost. For the tests it is argon2id as ever at a hundredth of that: hundreds of
    passwords are hashed here, each a third of a second of processor time."""
    own, before = proofs.HASHES.current_hasher, proofs.HASHES.hashers
    cheap = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)
    proofs.HASHES.hashers, proofs.HASHES.current_hasher = [cheap], cheap
    yield own.hash(PASSWORD)
    proofs.HASHES.hashers, proofs.HASHES.current_hasher = before, own


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    """The ledger of one test module, filled."""
    made = seed(tmp_path_factory.mktemp("state"))
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def address(seeded: Seeded) -> Iterator[str]:
    yield from served(seeded.places)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert Path(CHROMIUM).exists(), "Debian's chromium is needed: apt-get install chromium-headless-shell"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Watch:
    """What a browser said and asked for while a test ran."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1600, "height": 900})
    made.set_default_timeout(WAIT_MS)
    yield made
    made.close()


@pytest.fixture
def watch(context: BrowserContext) -> Watch:
    seen = Watch()
    context.on("console", lambda said: seen.complaints.append(said.text) if said.type in ("error", "warning") else None)
    context.on("weberror", lambda error: seen.complaints.append(str(error.error)))
    context.on("request", lambda asked: seen.requests.append(asked.url))
    return seen


@pytest.fixture
def page(context: BrowserContext, watch: Watch) -> Page:
    return context.new_page()


@pytest.fixture(scope="module")
def session_cookies(browser: Browser, address: str) -> list[Any]:
    """The cookies of one sign-in, so that not every test pays for an argon2id hash."""
    made = browser.new_context()
    page = made.new_page()
    sign_in(page, address)
    page.wait_for_url(address)
    cookies: list[Any] = made.cookies()
    made.close()
    return cookies


@pytest.fixture
def signed_in(context: BrowserContext, page: Page, session_cookies: list[Any]) -> Page:
    context.add_cookies(session_cookies)
    return page


@pytest.fixture
def keep(page: Page) -> Callable[[str], None]:
    """Keeps a picture of the page under a name, for eyes; no test compares it."""

    def kept(name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return kept
