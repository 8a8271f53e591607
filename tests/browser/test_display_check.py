"""The test pattern as drawn, pixel by pixel, and the log of daily checks: who, when, passed or failed, for ever."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from seeding import USER, Seeded
from sqlalchemy.exc import IntegrityError

from appliance.core import display_pattern as pattern
from appliance.world import desk, display_desk, sqlite

PIXELS = """([x, y, width, height]) => {
  const canvas = document.getElementById("pattern");
  const scale = canvas.width / 1024;
  const read = canvas.getContext("2d").getImageData(Math.round(x * scale), Math.round(y * scale), width, height).data;
  return [...read].filter((_, at) => at % 4 === 0);
}"""


def pixels(page: Page, x: float, y: float, width: int = 1, height: int = 1) -> list[int]:
    found: list[int] = page.evaluate(PIXELS, [x, y, width, height])
    return found


def opened(page: Page, address: str) -> Page:
    page.goto(f"{address}display")
    expect(page.locator("#pattern")).to_have_attribute("data-ready", "yes")
    return page


def test_every_patch_has_its_grey_and_five_percent_is_not_black(signed_in: Page, address: str, keep: Any) -> None:
    page = opened(signed_in, address)
    keep("display")
    seen = {}
    for each in pattern.patches():
        (level,) = pixels(page, each.x + each.side * 0.1 + 2, each.y + each.side * 0.1 + 2)
        seen[each] = level
        assert level == pattern.grey(each.level), each
    levels = set(seen.values())
    assert {0, 13, 242, 255} <= levels  # 0, 5, 95 and 100 %
    assert pixels(page, 1000, 600) == [128]
    assert len({seen[each] for each in pattern.patches() if each.side == 64}) == 8, "each faint square is its own grey"


@pytest.mark.parametrize("ratio", [1, 2])
def test_lines_are_drawn_in_the_screen_s_own_pixels(
    browser: Browser, address: str, session_cookies: list[Any], ratio: int
) -> None:
    made = browser.new_context(device_scale_factor=ratio, viewport={"width": 1600, "height": 900})
    made.add_cookies(session_cookies)
    page = opened(made.new_page(), address)
    width, shown = page.evaluate(
        "[document.getElementById('pattern').width, document.getElementById('pattern').clientWidth]"
    )
    assert width == shown * ratio, "one pixel of the canvas is one of the screen"
    for n, pair in enumerate(pattern.PAIR_WIDTHS):
        row = pixels(page, 128 + n * 288, 840, width=4 * pair)
        assert row == [0] * pair + [255] * pair + [0] * pair + [255] * pair
        column = pixels(page, 130 + n * 288, 928, height=4 * pair)
        assert column == row
    expect(page.locator("#zoomed")).to_be_hidden()
    made.close()


def test_a_zoomed_screen_is_told(browser: Browser, address: str, session_cookies: list[Any]) -> None:
    made = browser.new_context(device_scale_factor=1.25)
    made.add_cookies(session_cookies)
    expect(opened(made.new_page(), address).locator("#zoomed")).to_be_visible()
    made.close()


def answered(page: Page, **said: str) -> None:
    for key in pattern.QUESTIONS:
        page.locator(f"input[name={key}][value={said.get(key, 'yes')}]").check()


def test_a_check_is_filed_with_who_when_and_what_failed(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    page = opened(signed_in, address)
    expect(page.get_by_text("Uncalibrated display.")).to_be_visible()
    page.get_by_label("Which display").fill("room 2, left")
    answered(page, low="no")
    page.get_by_label("Note").fill("new lamp")
    page.get_by_role("button", name=f"File as {USER}").click()
    expect(page.get_by_text("The check is on file.")).to_be_visible()
    row = page.get_by_label("Checks on file").locator("tbody tr")
    expect(row).to_contain_text("✕ FAILED")
    expect(row).to_contain_text(f"not: {pattern.QUESTIONS['low']}")
    expect(row).to_contain_text("room 2, left")
    keep("display-filed")
    (filed,) = seeded.desk_rows(display_desk.checks)
    assert (filed.user, filed.passed, filed.failed, filed.note) == (USER, False, ["low"], "new lamp")
    assert (seeded.desk_rows(desk.audit)[-1].act, seeded.desk_rows(desk.audit)[-1].user) == ("display-failed", USER)
    opened(page, address).get_by_label("Which display").fill("room 2, left")
    answered(page)
    page.get_by_role("button", name=f"File as {USER}").click()
    expect(row.first).to_contain_text("✓ passed")


def test_what_is_filed_cannot_be_changed(seeded: Seeded, address: str) -> None:
    engine = sqlite.open_writer(seeded.places.review_db, display_desk.METADATA)
    told = {"display": "x", "user": USER, "at": 1.0, "failed": [], "note": ""}
    with engine.begin() as c:
        assert display_desk.file(c, nonce="once", **told)
        assert not display_desk.file(c, nonce="once", **told)
    for statement in (display_desk.checks.update().values(passed=True), display_desk.checks.delete()):
        with pytest.raises(IntegrityError, match="append-only"), engine.begin() as c:
            c.execute(statement)
    engine.dispose()


def test_an_odd_form_files_nothing(signed_in: Page, address: str, seeded: Seeded) -> None:
    before = len(seeded.desk_rows(display_desk.checks))
    opened(signed_in, address)
    check = signed_in.locator("form.panel input[name=check]").get_attribute("value") or ""
    whole = {"check": check, "nonce": "o" * 30, "display": "one", **dict.fromkeys(pattern.QUESTIONS, "yes")}
    for wrong in (
        {"display": ""},
        {"display": "x" * 61},
        {"note": "x" * 201},
        {"low": ""},
        {"low": "maybe"},
        {"nonce": ""},
    ):
        answer = signed_in.request.post(
            f"{address}display", form={**whole, **wrong}, headers={"origin": address.rstrip("/")}
        )
        assert answer.status == 400, wrong
    assert len(seeded.desk_rows(display_desk.checks)) == before
