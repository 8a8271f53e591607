"""Every page, dialog and lock state for those who see, hear or move otherwise: axe finds nothing, nothing runs wide.

axe-core is other people's and lies, pinned by digest, beside these tests; it is in no wheel. A page that is not on the
list of states fails, and so does a template that no state shows.
"""

import hashlib
import os
import re
import secrets
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from access_states import ADMINISTRATOR, ELSEWHERE, NO_PAGE, READER, ROLES, STATES, House, State, furnished
from babel.messages.pofile import read_po
from playwright.sync_api import Browser, BrowserContext, Page, Response
from seeding import PASSWORD, filled, seed, served
from starlette.templating import Jinja2Templates
from test_doors import FILLED

from appliance import review
from appliance.config import Places
from appliance.review import live
from appliance.review.doors import PERMITS
from appliance.review.entrance import SESSION_COOKIE, digest
from appliance.review.proofs import HASHES
from appliance.world import accounts, desk, sqlite, wire
from tests.sentences import Spoken, english_left

ROOT = Path(__file__).parents[2]
VENDOR = Path(__file__).parent / "vendor"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = (VENDOR / "axe-core-4.14.1" / "axe.min.js").read_text("utf-8")
RUN = "async (tags) => (await axe.run(document, { runOnly: tags, resultTypes: ['violations'] })).violations"
OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WIDE = """(width) => [...document.querySelectorAll("body *")]
  .filter((each) => each.getBoundingClientRect().right > width + 1).slice(-2)
  .map((each) => each.outerHTML.slice(0, 90))"""
PICTURES = ROOT / "build" / "screenshots" / "pages"
SIZES = [(1600, 900), (1280, 720)] if "PAGE_PICTURES" in os.environ else []  # pictures for eyes take as long as axe


def violations(page: Page) -> list[str]:
    """What axe finds, each as its rule and the first element."""
    return [f"{each['id']}: {each['nodes'][0]['html'][:160]}" for each in page.evaluate(RUN, TAGS)]


def picture(page: Page, name: str) -> None:
    """Keeps what stands there under a name, for eyes; no test compares it."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{re.sub('[^a-z0-9]+', '-', name)}.png")


def session_of(places: Places, user: str) -> Any:
    """The cookie of a session of its own for one look: some states lock it or change its user's rights."""
    token = secrets.token_urlsafe(32)
    with review.opened(places) as ledgers, ledgers.pen().begin() as c:
        accounts.open_session(c, digest(token), user, time.time())
    return {"name": SESSION_COOKIE, "value": token, "domain": "127.0.0.1", "path": "/"}


def people(places: Places, names: dict[str, str], password_hash: str) -> None:
    with review.opened(places) as ledgers, ledgers.pen().begin() as c:
        for name, role in names.items():
            accounts.put_user(c, name, password_hash, 1.0, role=role)


@pytest.fixture(scope="module")
def shown() -> list[str]:
    """Names of the templates in the order in which they were drawn."""
    return []


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, shown: list[str]) -> Iterator[House]:
    plain = Jinja2Templates.TemplateResponse

    def noted(self: Any, request: Any, name: str, *told: Any, **named: Any) -> Any:
        if not name.startswith("_"):  # pieces that a page fetches for itself
            shown.append(name.removesuffix(".html"))
        return plain(self, request, name, *told, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Jinja2Templates, "TemplateResponse", noted)
        full, bare = seed(tmp_path_factory.mktemp("full")), seed(tmp_path_factory.mktemp("bare"))
        bare.engine.dispose()
        bare.places.studies_db.unlink()
        filled(full)
        for path, metadata in ((full.places.cases_db, wire.CASES), (full.places.link_db, wire.LINK)):
            sqlite.open_writer(path, metadata).dispose()
        once = HASHES.hash(PASSWORD)
        people(full.places, ROLES, once)
        people(bare.places, {READER: "reader"}, once)
        furnished(full)
        running = (
            served(full.places, dicomweb=True, dicomweb_origins=["https://viewer.example"]),
            served(full.places, read_first=True, signature_fresh_s=0),
            served(bare.places),
        )
        yield House(full, bare.places, *(next(each) for each in running))
        for each in running:
            next(each, None)
        full.engine.dispose()


@pytest.fixture(scope="module")
def browsing(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1600, "height": 900})
    made.set_default_timeout(10_000)
    made.add_init_script(AXE)  # goes to the browser once; the page's own policy would not let a page load it
    yield made
    made.close()


@pytest.fixture
def visitor(browsing: BrowserContext) -> Iterator[BrowserContext]:
    yield browsing
    browsing.clear_cookies()
    for page in browsing.pages:
        page.close()


def come(visitor: BrowserContext, house: House, state: State, strange: list[str] | None = None) -> Page:
    """Somebody who has just come to a state.

    strange  what the browser complained of and whom else it asked, added up while the page lives
    """
    where, heard = state.where(house), [] if strange is None else strange
    if state.user is not None:
        places = house.bare if where.startswith(house.empty) else house.seeded.places
        visitor.add_cookies([session_of(places, state.user)])
    page = visitor.new_page()
    ours = (house.address, house.blinded, house.empty)
    page.on("request", lambda asked: None if asked.url.startswith(ours) else heard.append(asked.url))
    page.on("console", lambda said: heard.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("response", lambda answer: heard.extend(_unguarded(answer)))
    page.goto(where)
    if state.act is not None:
        state.act(page)
    return page


def _unguarded(answer: Response) -> list[str]:
    """What an answer lacks of the page's policy."""
    policy = answer.headers.get("content-security-policy", "")
    return [] if policy.startswith("default-src 'none'; script-src 'self'") else [f"no policy: {answer.url}"]


def meant(said: str) -> bool:
    """The browser notes an answer that refuses, which some states are."""
    return bool(re.fullmatch(r"Failed to load resource: the server responded with a status of 4\d\d \([\w ]*\)", said))


@pytest.mark.parametrize("name", STATES)
def test_axe_finds_nothing_and_nothing_runs_wide(
    visitor: BrowserContext, house: House, shown: list[str], name: str
) -> None:
    strange: list[str] = []
    page = come(visitor, house, STATES[name], strange)
    assert shown[-1] == STATES[name].template
    assert violations(page) == []
    assert [each for each in strange if not meant(each)] == []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        picture(page, f"{name}-{width}")
    for width in (640, 320):  # a window of 1280 at 200 %; WCAG 2.2 1.4.10
        page.set_viewport_size({"width": width, "height": 720})
        assert page.evaluate(OVER) <= 0, f"wider than {width}: {page.evaluate(WIDE, width)}"


def test_no_state_says_an_english_sentence_to_a_german_reader(visitor: BrowserContext, house: House) -> None:
    """Every state that its address alone leads to, as the server sends it; the browser's own part is in test_german."""
    with (ROOT / "appliance/review/locale/de.po").open("rb") as file:
        german = read_po(file, locale="de")
    acts = {row.act for row in house.seeded.desk_rows(desk.audit)}
    looked_at = 0
    for name, state in STATES.items():
        if state.act is not None and state.act.__name__ not in ("drawn", "opened_out"):
            continue
        where = state.where(house)
        visitor.clear_cookies()
        if state.user is not None:
            places = house.bare if where.startswith(house.empty) else house.seeded.places
            visitor.add_cookies([session_of(places, state.user)])
        answer = visitor.request.get(where, headers={"Accept-Language": "de"})
        assert '<html lang="de">' in answer.text(), name
        left = english_left(Spoken(answer.text()).lines, german)
        if state.template == "administration":  # codes of the trail are the same in every language
            left = [line for line in left if line not in acts]
        assert left == [], name
        looked_at += 1
    assert looked_at > 35


def test_every_door_that_opens_on_a_page_has_a_state() -> None:
    doors = {path for method, path in PERMITS if method == "GET" and not path.startswith("/dicomweb/")}
    assert doors == {state.route for state in STATES.values()} | set(NO_PAGE)
    assert not {state.route for state in STATES.values()} & set(NO_PAGE)


def test_what_is_called_no_page_is_none(visitor: BrowserContext, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAM_AGE_S", 0.0)  # a stream that is opened ends
    for user in (READER, ADMINISTRATOR):
        visitor.add_cookies([session_of(house.seeded.places, user)])
        for path in NO_PAGE:
            answer = visitor.request.get(house.address + re.sub(r"\{[^}]+\}", lambda each: FILLED[each[0]], path)[1:])
            assert answer.status in (403, 404) or "<html" not in answer.text()[:400], path


def test_every_template_has_a_state() -> None:
    every = {path.stem for path in (ROOT / "appliance/review/templates").glob("[!_]*.html")} - {"base"}
    assert every == {state.template for state in STATES.values()} | set(ELSEWHERE)
    for where in ELSEWHERE.values():
        assert "violations(page) == []" in (Path(__file__).parent / where).read_text()


def test_a_planted_fault_is_found(visitor: BrowserContext, house: House) -> None:
    """A picture without words, a field without a label, grey on grey, and a line that does not break."""
    page = come(visitor, house, STATES["status"])
    page.evaluate(
        """() => {
          const main = document.querySelector("main");
          for (const tag of ["img", "input"]) main.append(document.createElement(tag));
          main.querySelector("img").src = "/static/icon.svg";
          const faint = Object.assign(document.createElement("p"), { textContent: "x".repeat(400) });
          faint.style.cssText = "color: #555; background: #444; white-space: nowrap";
          main.append(faint);
        }"""
    )
    assert {each.partition(":")[0] for each in violations(page)} >= {"image-alt", "label", "color-contrast"}
    page.set_viewport_size({"width": 320, "height": 720})
    assert page.evaluate(OVER) > 0


def test_a_planted_request_and_a_complaint_are_heard(visitor: BrowserContext, house: House) -> None:
    strange: list[str] = []
    page = come(visitor, house, STATES["status"], strange)
    assert strange == []
    with page.expect_console_message():  # the page's policy refuses the picture before it is asked for
        page.evaluate("document.body.append(Object.assign(new Image(), { src: 'http://192.0.2.1/x.png' }))")
    assert any("Content Security Policy" in each for each in strange)
    assert not any(map(meant, strange))
    with page.expect_request("http://192.0.2.1/**"):
        page.evaluate("location.href = 'http://192.0.2.1/'")
    assert "http://192.0.2.1/" in strange


FOCUS = """() => {
  const here = document.activeElement, style = getComputedStyle(here);
  return here !== document.body && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
}"""


# After the last of them the focus is the browser's. How many rows a page has depends on which tests ran before.
STOPS = """() => [...document.querySelectorAll("a[href], button:enabled, input:enabled, select:enabled, summary")]
  .filter((each) => each.tabIndex >= 0 && each.type !== "hidden" && each.checkVisibility()).length"""


@pytest.mark.parametrize("name", ["worklist", "case, flagged", "quarantine"])
def test_who_goes_by_keyboard_sees_where_they_are(visitor: BrowserContext, house: House, name: str) -> None:
    page = come(visitor, house, STATES[name])
    stops = page.evaluate(STOPS)
    assert stops >= 10
    for stop in range(min(stops, 15)):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS), (
            f"stop {stop} of {stops}: {page.evaluate('document.activeElement.outerHTML')[:120]}"
        )
    page.evaluate("document.activeElement.style.outline = 'none'")
    assert not page.evaluate(FOCUS)


def test_nothing_moves_for_whoever_asks_for_stillness(visitor: BrowserContext, house: House) -> None:
    """Every element's transition and animation; a planted one is stilled too, and moves where nobody asks."""
    still = """() => {
      const probe = document.body.appendChild(document.createElement("div"));
      probe.style.cssText = "transition: opacity 2s; animation: anything 2s";
      const moving = [...document.querySelectorAll("*")].filter((each) => {
        const style = getComputedStyle(each);
        return parseFloat(style.transitionDuration) > 0 || style.animationName !== "none";
      });
      return moving.length;
    }"""
    for name in ("worklist", "case, flagged"):
        page = come(visitor, house, STATES[name])
        assert page.evaluate(still) == 1
        page.emulate_media(reduced_motion="reduce")
        assert page.evaluate(still) == 0


def test_other_peoples_files_are_as_they_were_packed_and_in_no_wheel() -> None:
    sums = dict(reversed(line.split()) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())  # type: ignore[misc]
    files = {str(path.relative_to(VENDOR)) for path in VENDOR.glob("*/*")}
    assert files == set(sums)
    for name, expected in sums.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == expected, name
    assert "Mozilla Public License" in (VENDOR / "axe-core-4.14.1" / "LICENSE").read_text()
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert built == {"packages": ["appliance", "central"]}
    assert [path for each in built["packages"] for path in (ROOT / each).rglob("*axe*")] == []
