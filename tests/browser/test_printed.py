"""A study on paper: what stands on it, that it fits A4 and names the patient on each page, and who may have it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from seeding import IMPRESSION, PASSWORD, USER, Seeded, filled, seed
from speaking import Hands
from test_access import picture

from appliance.review import members
from appliance.world import desk, reading_desk, sqlite, wire

A4 = (594.96, 841.92)  # points


def pages_of(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def on_paper(page: Page, name: str, tmp_path: Path) -> bytes:
    pdf = page.pdf(prefer_css_page_size=True, path=tmp_path / f"{name}.pdf")
    sizes = {tuple(map(float, each.split())) for each in re.findall(rb"/MediaBox \[0 0 ([\d.]+ [\d.]+)\]", pdf)}
    assert len(sizes) == 1
    assert all(abs(mine - given) < 1.5 for mine, given in zip(next(iter(sizes)), A4, strict=True)), sizes
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 794, "height": 1123})  # of A4 at 96 dots an inch
    picture(page, f"paper-{name}")
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0
    expect(page.locator(".top")).to_be_hidden()
    expect(page.locator(".at-screen")).to_be_hidden()
    return pdf


def test_a_study_fits_one_page_of_paper_and_its_draft_is_marked_as_one(
    signed_in: Page, address: str, seeded: Seeded, tmp_path: Path
) -> None:
    signed_in.goto(f"{address}studies/{seeded.numbers['answered']}")
    signed_in.get_by_role("link", name="Printable summary").click()
    sheet = signed_in.locator(".sheet")
    expect(sheet).to_contain_text("DOE, ANSWERED")
    expect(sheet).to_contain_text("born 2021-02-03")
    expect(sheet).to_contain_text("ACC-P-3")
    expect(sheet).to_contain_text("Nobody has signed this study.")
    expect(sheet).to_contain_text("NOT FOR PRIMARY DIAGNOSIS")
    expect(sheet).to_contain_text("would have said: no flagged finding (does not rule out)")
    expect(sheet).to_contain_text("-0.80 (cleared at or below) and +1.90 (flagged at or above)")
    expect(sheet).to_contain_text("it is no probability")
    draft = sheet.locator(".draft")
    expect(draft).to_contain_text("MACHINE'S DRAFT – not a report")
    expect(draft).to_contain_text(IMPRESSION)  # its markup is only text
    expect(sheet).to_contain_text("Not assessed:")
    assert pages_of(on_paper(signed_in, "answered", tmp_path)) == 1


def test_the_button_prints(signed_in: Page, address: str, seeded: Seeded) -> None:
    signed_in.add_init_script("window.print = () => { document.title = 'printed'; }")
    signed_in.goto(f"{address}studies/{seeded.numbers['cleared']}/print")
    signed_in.get_by_role("button", name="Print").click()
    expect(signed_in).to_have_title("printed")


def test_a_long_case_takes_more_pages_and_each_names_the_patient(
    signed_in: Page, address: str, seeded: Seeded, tmp_path: Path
) -> None:
    """The head of the sheet is the head of a table, which the browser repeats on each page."""
    number = seeded.study("wordy", ["complete", "routine"], lane="flagged")
    hands = Hands(seeded.places)
    with hands.ledgers.pen().begin() as c:
        told = {"study_number": number, "revision": 1, "user": USER}
        desk.sign(c, **told, nonce="w" * 30, seq_seen=2, decision="agree", correction="", at=1.0, saw_ai=True)
        for n in range(12):
            words = f"{n}: {'a long word about what was seen ' * 12}"
            reading_desk.add(c, **told, nonce=f"{'w' * 30}{n}", text=words, at=2.0 + n)
    hands.close()
    signed_in.goto(f"{address}studies/{number}/print")
    expect(signed_in.locator(".sheet thead")).to_contain_text("DOE, WORDY")
    assert (
        signed_in.evaluate("getComputedStyle(document.querySelector('.sheet thead')).display") == "table-header-group"
    )
    assert pages_of(on_paper(signed_in, "wordy", tmp_path)) in (2, 3)


def test_a_header_that_is_hostile_is_only_text(signed_in: Page, address: str, seeded: Seeded) -> None:
    signed_in.goto(f"{address}studies/{seeded.numbers['evil']}/print")
    expect(signed_in.locator(".whose")).to_contain_text("<script>document.title")
    expect(signed_in).not_to_have_title("owned")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., tuple[Hands, Seeded]]]:
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    found: list[Hands] = []

    def opened(**knobs: object) -> tuple[Hands, Seeded]:
        hands = Hands(made.places, **knobs)
        found.append(hands)
        members.add_user(hands.ledgers, USER, PASSWORD, at=1.0)
        hands.sign_in()
        return hands, made

    yield opened
    for hands in found:
        hands.close()
    made.engine.dispose()


def test_each_is_a_row_in_the_trail_and_bars_from_a_blinded_read(house: Callable[..., tuple[Hands, Seeded]]) -> None:
    hands, made = house()
    number = made.numbers["flagged"]
    assert hands.get(f"/studies/{number}/print").status_code == 200
    assert hands.acts()[-1] == (USER, "case-printed", f"study {number}")
    with hands.ledgers.eyes().begin() as c:
        assert desk.opened_by(c, USER, [number]) == {number}
    assert hands.get("/studies/999/print").status_code == 404
    assert hands.get(f"/studies/{10**30}/print").status_code == 404


def test_a_study_to_be_read_first_is_not_printed(house: Callable[..., tuple[Hands, Seeded]]) -> None:
    hands, made = house(read_first=True)
    answer = hands.get(f"/studies/{made.numbers['flagged']}/print")
    assert answer.status_code == 409
    assert "FLAGGED</span>" not in answer.text
    assert "case-printed" not in [act for _, act, _ in hands.acts()]
