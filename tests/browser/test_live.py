"""What changes arrives by itself, in every tab, and moves nothing under a reader's hand."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from seeding import NOW, PASSWORD, USER, Seeded, filled, patient, seed, served, sign_in
from speaking import Hands

from appliance import review
from appliance.review import live
from appliance.review.filters import Filters, filters_of
from appliance.world import sqlite, wire
from appliance.world.wire import pulses

OTHER = "dr.lee"
SOON_MS = 3_000
TABS = 8


def hear(page: Page) -> None:
    """Waits until the page has asked for its rows once, which it does when the stream first speaks."""
    with page.expect_response(re.compile(r"/rows")):
        page.reload()


def order(page: Page) -> list[str]:
    return [row.get_attribute("data-study") or "" for row in page.locator("table.work tbody tr").all()]


def test_a_critical_study_is_on_top_within_three_seconds_and_nothing_else_moves(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    signed_in.goto(f"{address}?lane=to-read")
    signed_in.get_by_label("Modality").select_option(index=1)
    hear(signed_in)
    held = signed_in.locator("a.button").nth(1)
    key = held.get_attribute("data-key")
    held.focus()
    number = seeded.study("critical", ["complete", "hard"], lane="escalated", priority="critical")
    expect(signed_in.locator("table.work tbody tr").first).to_have_attribute("data-study", str(number), timeout=SOON_MS)
    assert signed_in.evaluate("document.activeElement.dataset.key") == key
    assert "modality=" in signed_in.url
    assert signed_in.get_by_label("Modality").input_value() != ""
    keep("live-critical")


@pytest.fixture(scope="module")
def second_cookies(browser: Browser, address: str, seeded: Seeded) -> list[Any]:
    review.add_user(seeded.places, OTHER, PASSWORD)
    made = browser.new_context()
    page = made.new_page()
    sign_in(page, address, OTHER)
    page.wait_for_url(address)
    cookies: list[Any] = made.cookies()
    made.close()
    return cookies


@pytest.fixture
def second(browser: Browser, second_cookies: list[Any]) -> Iterator[Page]:
    made = browser.new_context()
    made.add_cookies(second_cookies)
    yield made.new_page()
    made.close()


def test_another_readers_lock_appears_by_itself(signed_in: Page, second: Page, address: str, seeded: Seeded) -> None:
    number = seeded.study("locked", ["complete", "routine"])
    signed_in.goto(address)
    hear(signed_in)
    second.goto(f"{address}studies/{number}")
    held = signed_in.locator(f"tr[data-study='{number}'] .held")
    expect(held).to_contain_text(f"open at {OTHER}", timeout=SOON_MS)


def test_eight_tabs_share_one_stream_and_all_of_them_live(
    context: BrowserContext,
    session_cookies: list[Any],
    address: str,
    seeded: Seeded,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    enter = live.Watcher.enter
    monkeypatch.setattr(live.Watcher, "enter", lambda self, user: opened.append(user) or enter(self, user))
    context.add_cookies(session_cookies)
    pages = [context.new_page() for _ in range(TABS)]
    for page in pages:
        page.goto(address)
        expect(page.locator("table.work")).to_be_visible()
    pages[-1].bring_to_front()
    hear(pages[-1])
    number = seeded.study("eighth", ["complete", "routine"])
    expect(pages[-1].locator(f"tr[data-study='{number}']")).to_be_visible(timeout=SOON_MS)
    assert opened == [USER], "one stream for all of them"


def line(seeded: Seeded, connected: bool, since: float, said: float) -> None:
    engine = sqlite.open_writer(seeded.places.link_db, wire.LINK)
    with engine.begin() as c:
        pulses.say_line(c, connected, since)
        pulses.say_line(c, connected, said)
    engine.dispose()


def test_a_line_that_is_gone_is_said_on_every_page_and_unsaid_by_itself(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    said = signed_in.locator("#banners").get_by_text("No line to the centre")
    number = seeded.study("banner", ["complete", "routine"])
    for place in ("", "quality", f"studies/{number}", "quarantine"):
        line(seeded, True, time.time() - 30, time.time())
        signed_in.goto(f"{address}{place}")
        expect(said).to_have_count(0)
        with signed_in.expect_response(re.compile(r"/banners"), timeout=10_000):
            line(seeded, False, time.time() - 20, time.time())
        expect(said).to_be_visible()
    keep("live-line-gone")
    line(seeded, True, time.time(), time.time())
    expect(said).to_have_count(0)


def test_a_page_that_hears_nothing_says_so(
    browser: Browser, tmp_path: Path, keep: Callable[[str], None], page: Page
) -> None:
    seeded = seed(tmp_path)
    filled(seeded)
    review.add_user(seeded.places, USER, PASSWORD)
    service = served(seeded.places)
    address = next(service)
    sign_in(page, address)
    page.wait_for_url(address)
    hear(page)
    stale = page.get_by_text("not live: what you see may be old")
    expect(stale).to_have_count(0)
    service.close()
    expect(stale).to_be_visible(timeout=15_000)
    expect(page.locator("table.work tbody tr").first).to_be_visible()
    keep("live-stale")
    seeded.engine.dispose()


def test_keys_move_the_focus_open_search_and_are_switched_off(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    number = seeded.study("keys", ["complete", "routine"], who=patient("Zebra^Zoe", "Z-77"))
    signed_in.goto(address)
    focused = "document.activeElement.dataset.key ?? document.activeElement.id"
    signed_in.keyboard.press("j")
    first = signed_in.evaluate(focused)
    signed_in.keyboard.press("j")
    assert first.startswith("open-")
    assert signed_in.evaluate(focused) != first
    signed_in.keyboard.press("k")
    assert signed_in.evaluate(focused) == first
    signed_in.keyboard.press("/")
    assert signed_in.evaluate(focused) == "words"
    signed_in.keyboard.type("zebra")
    expect(signed_in.locator("table.work tbody tr")).to_have_count(1)
    assert "zebra" not in signed_in.url.lower()
    keep("live-search")
    signed_in.keyboard.press("Enter")
    assert signed_in.evaluate(focused) == f"open-{number}"
    signed_in.keyboard.press("?")
    expect(signed_in.get_by_role("dialog")).to_be_visible()
    keep("live-keys")
    signed_in.get_by_label("Single keys act").uncheck()
    signed_in.keyboard.press("Escape")
    expect(signed_in.get_by_role("dialog")).to_be_hidden()
    signed_in.locator("#main").focus()
    for key in ("j", "?", "/"):
        signed_in.keyboard.press(key)
    assert signed_in.evaluate(focused) == "main"
    expect(signed_in.get_by_role("dialog")).to_be_hidden()
    signed_in.get_by_role("button", name="Keys (?)").click()
    signed_in.get_by_label("Single keys act").check()


def test_a_filter_that_leaves_nothing_says_so(signed_in: Page, address: str) -> None:
    signed_in.goto(address)
    signed_in.locator("#words").fill("nobody of this name")
    expect(signed_in.get_by_text("No study here fits")).to_be_visible()
    signed_in.get_by_role("button", name="Show all").click()
    expect(signed_in.locator("table.work tbody tr").first).to_be_visible()


class Bench:
    """A page without a browser, and what its list shows for a question."""

    def __init__(self, folder: Path) -> None:
        self.seeded = seed(folder)
        filled(self.seeded)
        for path, metadata in ((self.seeded.places.cases_db, wire.CASES), (self.seeded.places.link_db, wire.LINK)):
            sqlite.open_writer(path, metadata).dispose()
        self.hands = Hands(self.seeded.places)
        self.hands.now = NOW
        review.add_user(self.seeded.places, USER, PASSWORD)
        assert self.hands.sign_in().status_code == 303

    def numbers(self, query: str) -> list[int]:
        return [int(each) for each in re.findall(r'data-study="(\d+)"', self.hands.get(f"/rows?lane=all{query}").text)]

    def looked_for(self, words: str) -> list[int]:
        answer = self.hands.post("/rows", "/", lane="all", words=words)
        return [int(each) for each in re.findall(r'data-study="(\d+)"', answer.text)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.hands.close()
    made.seeded.engine.dispose()


def test_filters_narrow_and_never_widen(bench: Bench) -> None:
    everything = set(bench.numbers(""))
    assert set(bench.numbers("&urgency=urgent")) == {1, 3}, "what the edge says is urgent, and what the centre says is"
    assert bench.numbers("&modality=nothing") == []
    assert set(bench.numbers("&urgency=odd&mine=perhaps")) == everything
    assert bench.numbers("&mine=yes") == []
    own = bench.seeded.study("own", ["complete", "routine"])
    bench.hands.post(f"/studies/{own}/hold", f"/studies/{own}")
    assert bench.numbers("&mine=yes") == [own]


@pytest.mark.parametrize("words", ["%", "_", "\\", "' OR 1=1 --", '"', "x" * 500])
def test_words_are_looked_for_as_they_are(bench: Bench, words: str) -> None:
    assert all(number in bench.numbers("") for number in bench.looked_for(words))
    assert len(bench.looked_for(words)) <= 1, "no word is a pattern"


def test_words_find_names_and_numbers_in_any_case(bench: Bench) -> None:
    number = bench.seeded.study("zoe", ["complete", "routine"], who=patient("Zebra^Zoe", "Z-77"))
    for words in ("zebra", "ZOE zebra", "z-77"):
        assert bench.looked_for(words) == [number]


def test_a_form_without_its_token_finds_nothing(bench: Bench) -> None:
    answer = bench.hands.post("/rows", "/", lane="all", words="zebra", check="0" * 64)
    assert answer.status_code == 403


def test_the_address_bears_no_words() -> None:
    asked = filters_of({"modality": "CR", "words": "SECRET"}, "Zebra")
    assert asked == Filters(modality="CR", words="Zebra")
    assert asked.query == "&modality=CR"


def test_a_stream_says_no_more_than_that_something_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "STREAM_AGE_S", 0.2)
    monkeypatch.setattr(live, "LOOK_PERIOD_S", 0.05)
    said = bench.hands.get("/events").text
    assert set(re.findall(r"event: (\w+)", said)) == {"changed", "beat"}
    assert re.fullmatch(r"(id: \d+\n|event: \w+\n|data: \d*\n|\n)*", said)


def test_streams_are_few_and_given_back() -> None:
    watcher = live.Watcher()
    assert [watcher.enter("anna") for _ in range(live.STREAMS_EACH_MAX + 1)] == [True] * live.STREAMS_EACH_MAX + [False]
    assert watcher.enter("ben")
    watcher.leave("anna")
    assert watcher.enter("anna")
    for number in range(live.STREAMS_MAX):
        watcher.enter(f"user-{number}")
    assert sum(watcher.open.values()) == live.STREAMS_MAX


def test_a_stream_ends_with_its_session(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_PERIOD_S", 0.01)
    monkeypatch.setattr(live, "BEAT_PERIOD_S", 0.02)
    monkeypatch.setattr(live, "STREAM_AGE_S", 30.0)
    readers = iter([None])
    monkeypatch.setattr(live, "reader_of", lambda _request: next(readers))
    assert "event: gone" in bench.hands.get("/events").text
