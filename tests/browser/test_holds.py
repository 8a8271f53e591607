"""Two readers and one study: the second sees who has it open, takes over with a reason, is never barred in need."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from seeding import PASSWORD, USER, Seeded, filled, seed, sign_in
from speaking import Hands

from appliance import review
from appliance.review import members
from appliance.world import desk, reading_desk, sqlite, wire

OTHER = "dr.lee"
WHOLE = {"decision": "agree", "patient": "yes", "exam": "yes"}


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
    made = browser.new_context(viewport={"width": 1600, "height": 900})
    made.add_cookies(second_cookies)
    yield made.new_page()
    made.close()


def test_the_second_reader_sees_the_first_and_takes_over_with_a_reason(
    signed_in: Page, second: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    number = seeded.study("held", ["complete", "routine"])
    second.goto(f"{address}studies/{number}")
    expect(second.locator("#decide")).to_be_visible()
    signed_in.goto(address)
    expect(signed_in.locator(f"tr[data-study='{number}'] .held")).to_contain_text(f"open at {OTHER} since")
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("#taken")).to_contain_text(f"{OTHER} has had this study open since")
    expect(signed_in.locator("#decide")).to_have_count(0)
    keep("held")
    signed_in.get_by_label("Why you take it over").fill("dr.lee was called to the ward")
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_text("You have taken it over")).to_be_visible()
    expect(signed_in.locator("#decide")).to_be_visible()
    expect(second.locator("#holder")).to_contain_text(f"{USER} has this study open since")  # it comes by itself
    acts = [(row.user, row.act) for row in seeded.desk_rows(desk.audit) if row.subject == f"study {number}"]
    assert (USER, "taken-over") in acts
    (row,) = seeded.desk_rows(reading_desk.takeovers)
    assert (row.taken_from, row.user, row.because) == (OTHER, USER, "dr.lee was called to the ward")
    second.locator("input[value=agree]").check()
    for box in second.locator(".identify input").all():
        box.check()
    second.get_by_role("button", name=f"Sign as {OTHER}").click()
    expect(second.locator("#taken")).to_be_visible()
    expect(second.locator("main [role=alert]").first).to_contain_text("take it over first; nothing was signed")
    assert [each for each in seeded.desk_rows(desk.signatures) if each.study_number == number] == []


def test_an_urgent_study_bars_nobody(signed_in: Page, second: Page, address: str, seeded: Seeded) -> None:
    number = seeded.study("held-urgent", ["complete", "routine"], lane="flagged", priority="urgent")
    second.goto(f"{address}studies/{number}")
    expect(second.locator("#held")).to_have_attribute("data-held", "yes")
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("#also")).to_contain_text(f"{OTHER} has it open too")
    signed_in.locator("input[value=agree]").check()
    for box in signed_in.locator(".identify input").all():
        box.check()
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("Your signature is on file.")).to_be_visible()


@pytest.fixture
def house(tmp_path: Any) -> Iterator[Hands]:
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places, signature_fresh_s=900, hold_s=120)
    for name, role in ((USER, "reader"), (OTHER, "reader"), ("vic.view", "viewer")):
        members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role=role)
    yield hands
    hands.close()
    made.engine.dispose()


def holder(hands: Hands, number: int) -> dict[str, Any]:
    told: dict[str, Any] = hands.get(f"/studies/{number}/hold").json()
    return told


def held(hands: Hands, number: int) -> bool:
    """What the page's script does when a case is opened, and while a hand moves on it."""
    return bool(hands.post(f"/studies/{number}/hold", "/status").json()["mine"])


def test_a_hold_ends_by_itself_and_a_moved_hand_keeps_it(house: Hands) -> None:
    house.sign_in()
    assert held(house, 2)
    for _ in range(3):
        house.now += 100
        assert held(house, 2)
        assert holder(house, 2)["user"] == USER
    house.post("/sign-out", "/status")
    house.sign_in(user=OTHER)
    assert not holder(house, 2)["mine"]
    assert 'id="taken"' in house.get("/studies/2").text
    house.now += 121
    assert holder(house, 2) == {"user": "", "since": "", "mine": True}
    assert 'id="decide"' in house.get("/studies/2").text


def test_asking_keeps_nobody_else_s_hold_alive_and_a_viewer_holds_nothing(house: Hands) -> None:
    house.sign_in(user="vic.view")
    assert house.post("/studies/2/hold", "/status").status_code == 403
    house.post("/sign-out", "/status")
    house.sign_in()
    assert holder(house, 2)["user"] == ""
    assert held(house, 2)
    house.post("/sign-out", "/status")
    house.sign_in(user=OTHER)
    house.now += 100
    assert not held(house, 2)
    house.get("/studies/2")
    house.now += 21
    assert holder(house, 2)["user"] == ""


def test_a_takeover_needs_a_reason_and_sign_and_next_passes_over_what_others_read(house: Hands) -> None:
    house.sign_in(user=OTHER)
    assert held(house, 1)
    house.post("/sign-out", "/status")
    house.sign_in()
    assert house.post("/studies/2/take", "/status", because="  ").status_code == 400
    assert house.post("/studies/1/take", "/status", because="x" * 201).status_code == 400
    page = house.get("/studies/2").text
    seen = {name: page.split(f'name="{name}" value="')[-1].split('"')[0] for name in ("nonce", "revision", "seq")}
    done = house.post("/studies/2/sign", "/status", **seen, **WHOLE, next="yes")
    assert done.status_code == 303
    assert done.headers["location"].endswith("?done=next")
    assert "/studies/1?" not in done.headers["location"], "another reader has the head of the list open"
    assert holder(house, 2)["user"] == "", "what is signed is held by nobody"


def test_breaking_the_glass_needs_no_taking_over(house: Hands) -> None:
    house.sign_in(user=OTHER)
    assert held(house, 2)
    house.post("/sign-out", "/status")
    house.sign_in(user="vic.view")
    house.post("/emergency", "/status", reason="night, no reader", proof=PASSWORD)
    page = house.get("/studies/2").text
    assert 'id="taken"' not in page
    assert 'id="decide"' in page
