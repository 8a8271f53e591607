"""Read first, then reveal: before a reader's own impression no answer tells what the machine said."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import PASSWORD, USER, Seeded, filled, put_frames, ramp, seed, served, sign_in
from speaking import Hands

from appliance import review
from appliance.review import members
from appliance.review.doors import PERMITS
from appliance.world import desk, reading_desk, sqlite, wire

OTHER = "dr.lee"
SHOWN = "▲</span> FLAGGED"  # the badge; a patient may have any name
# Words that only a machine's result brings onto a page about a study.
TOLD = (
    *("-1.25", "-0.80", "+1.90", "41.5", "harbour@1", "cxr-paediatric", "FLAGGED", "CLEARED", "ESCALATED", "flagged"),
    *("cleared", "escalated", "urgent", "would have said", "lung-opacity", "No words of a language model", "critical"),
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Hands, Seeded]]:
    made = seed(tmp_path)
    filled(made)
    made.study("pressing", ["complete", "routine"], lane="flagged", priority="critical")
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places, signature_fresh_s=900, read_first=True)
    for name in (USER, OTHER):
        members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role="reader")
    hands.sign_in()
    yield hands, made
    hands.close()
    made.engine.dispose()


def body(text: str) -> str:
    """The page without its frame, whose links and counts are of no study."""
    return text.partition("<main")[2]


def hidden_fields(text: str) -> dict[str, str]:
    return {name: text.split(f'name="{name}" value="')[-1].split('"')[0] for name in ("nonce", "revision", "seq")}


def test_no_answer_about_an_unread_study_tells_what_the_machine_said(house: tuple[Hands, Seeded]) -> None:
    hands, seeded = house
    asked = 0
    for key in ("flagged", "cleared", "answered", "late", "pressing"):
        number = seeded.numbers[key]
        for method, path in PERMITS:
            if method != "GET" or "{number:int}" not in path:
                continue
            address = path.replace("{number:int}", str(number)).replace("{prior:int}", str(number))
            for name in ("image", "frame", "lut"):
                address = address.replace(f"{{{name}:int}}", "1")
            answer = hands.get(address)
            if "text" not in answer.headers["content-type"] and "json" not in answer.headers["content-type"]:
                continue
            text = body(answer.text) or answer.text
            assert [word for word in TOLD if word in text.replace(f"DOE, {key.upper()}", "")] == [], address
            asked += 1
    assert asked >= 25


@pytest.mark.parametrize("path", ["/", "/rows", "/?lane=all", "/rows?lane=all", "/?lane=flagged", "/rows?lane=cleared"])
def test_the_list_tells_nothing_either(house: tuple[Hands, Seeded], path: str) -> None:
    hands, _ = house
    text = hands.get(path).text
    rows = text[text.index("<tbody>") : text.index("</tbody>")]
    assert "READ FIRST" in rows
    for name in ("FLAGGED", "CLEARED", "ANSWERED", "LATE"):
        rows = rows.replace(f"DOE, {name}", "")
    assert [word for word in TOLD if word in rows] == []
    assert "due in" not in rows
    assert "lane=flagged" not in text
    assert "DOE, " in text


def test_each_reader_is_shown_only_after_an_impression_of_this_revision(house: tuple[Hands, Seeded]) -> None:
    hands, seeded = house
    number = seeded.numbers["flagged"]
    path = f"/studies/{number}"
    said = {"said": "nothing", "text": "clear to me <b>", "nonce": "n" * 20, "revision": "1"}
    early = hands.post(f"{path}/sign", "/status", nonce="s" * 20, revision="1", seq="2", decision="agree")
    assert (early.status_code, "Read it first" in early.text) == (409, True)
    for wrong in ({"said": "normal"}, {"text": "x" * 1001}, {"nonce": ""}):
        refused = hands.post(f"{path}/impression", "/status", **{**said, **wrong})
        assert refused.status_code == 400
        assert SHOWN not in refused.text
    assert hands.post(f"{path}/impression", "/status", **{**said, "revision": "2"}).status_code == 409
    assert hands.post("/studies/999/impression", "/status", **said).status_code == 404
    done = hands.post(f"{path}/impression", "/status", **said)
    assert done.headers["location"] == f"{path}?done=revealed"
    shown = hands.get(path).text
    assert SHOWN in shown
    assert "saw nothing" in shown
    assert "clear to me &lt;b&gt;" in shown
    assert SHOWN in hands.get("/rows").text
    form = hidden_fields(shown)
    signed = hands.post(f"{path}/sign", "/status", **form, decision="agree", patient="yes", exam="yes", next="yes")
    assert signed.status_code == 303
    following = hands.get(signed.headers["location"]).text
    assert "This is the next study" in following
    assert SHOWN not in following
    assert (USER, "impression-nothing", f"study {number}") in hands.acts()
    hands.post("/sign-out", "/status")
    hands.sign_in(user=OTHER)
    assert SHOWN not in hands.get(path).text, "another reader's impression reveals nothing"
    with seeded.engine.begin() as c:
        seeded.move(c, number, "reviewed")
    assert SHOWN in hands.get(path).text, "what is signed is open to all"


def test_without_the_setting_everything_is_as_it_was(tmp_path: Path) -> None:
    made = seed(tmp_path)
    filled(made)
    hands = Hands(made.places)
    members.add_user(hands.ledgers, USER, PASSWORD, at=1.0)
    hands.sign_in()
    assert SHOWN in hands.get("/studies/1").text
    assert SHOWN in hands.get("/").text
    hands.close()
    made.engine.dispose()


def test_a_reader_writes_reads_and_signs_by_keyboard(
    page: Page, tmp_path: Path, keep: Callable[[str], None], watch: Any
) -> None:
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    put_frames(made.places, 900, [ramp()], windows=[[475.5, 951]])
    review.add_user(made.places, USER, PASSWORD)
    number = made.numbers["flagged"]
    for address in served(made.places, read_first=True):
        sign_in(page, address)
        page.wait_for_url(address)
        expect(page.locator("tbody").get_by_text("READ FIRST").first).to_be_visible()
        keep("blind-worklist")
        page.goto(f"{address}studies/{number}")
        expect(page.locator("#viewer")).to_have_attribute("data-ready", "yes")
        keep("blind-case")
        page.locator("input[value=finding]").focus()
        page.keyboard.press("Space")
        page.keyboard.press("Tab")
        page.keyboard.type("opacity on the right")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        expect(page.locator(".right .badge").first).to_have_text("▲ FLAGGED")
        expect(page.locator("#impressions")).to_contain_text("opacity on the right")
        keep("blind-revealed")
        (row,) = made.desk_rows(reading_desk.impressions)
        assert (row.said, row.text, row.revision, row.user) == ("finding", "opacity on the right", 1, USER)
        acts = [each.act for each in made.desk_rows(desk.audit) if each.subject == f"study {number}"]
        assert acts == ["case-opened-blind", "impression-finding", "case-opened"]
    assert watch.complaints == []
    made.engine.dispose()
