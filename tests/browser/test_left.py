"""The page of what left this house: who may see it, what it tells, and that it notices a changed receipt."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect
from seeding import EVIL, Seeded, filled, seed, served

from appliance import review
from appliance.world import desk, sqlite, wire
from appliance.world.ledger import departures


def opened(page: Page, address: str, seeded: Seeded, key: str = "answered") -> Page:
    page.goto(f"{address}studies/{seeded.numbers[key]}/left")
    return page


def test_the_case_page_leads_to_it_and_back(signed_in: Page, address: str, seeded: Seeded) -> None:
    signed_in.goto(f"{address}studies/{seeded.numbers['answered']}")
    signed_in.get_by_role("link", name="What left this house").click()
    expect(signed_in.get_by_role("heading", level=1)).to_contain_text("What left this house")
    signed_in.get_by_role("link", name="Back to the study").click()
    expect(signed_in.get_by_label("Patient and exam")).to_be_visible()


def test_it_tells_what_was_removed_changed_and_kept_and_that_it_holds(
    signed_in: Page, address: str, seeded: Seeded
) -> None:
    page = opened(signed_in, address, seeded)
    expect(page.get_by_text("Verified", exact=True)).to_be_visible()
    expect(page.locator(".checks .wrong")).to_have_count(0)
    expect(page.locator(".checks .holds")).to_have_count(4)
    expect(page.locator(".checks .unchecked")).to_have_count(3)
    for words in ("clean-pixel-data (113101)", "PS3.15 2026d", "text-detector", "passed"):
        expect(page.get_by_text(words).first).to_be_visible()
    for action in ("removed", "emptied", "replaced by a dummy", "replaced by a pseudonym", "as they came"):
        expect(page.locator("summary", has_text=action).first).to_be_visible()
    names = page.get_by_text("PatientName", exact=False).first
    expect(names).to_be_hidden()
    page.locator("summary", has_text="replaced by a dummy").click()
    expect(names).to_be_visible()
    page.locator("summary", has_text="Where pixels were blackened").click()
    expect(page.get_by_text(re.compile(r"5 × 4 at column 3, row 2 \(text\)"))).to_be_visible()


def test_it_names_no_patient_and_asks_nobody_else(signed_in: Page, address: str, seeded: Seeded, watch: object) -> None:
    page = opened(signed_in, address, seeded)
    text = page.content()
    for word in ("DOE", "Zwetschgenkern", "7731904", EVIL, "2.25.1003"):
        assert word not in text
    assert watch.complaints == []
    assert all(url.startswith(address) for url in watch.requests)


def test_of_a_study_that_stayed_it_says_that_nothing_left(signed_in: Page, address: str, seeded: Seeded) -> None:
    page = opened(signed_in, address, seeded, "cleared")
    expect(page.get_by_text("Nothing of this study has left this house.")).to_be_visible()
    signed_in.goto(f"{address}studies/{seeded.numbers['cleared']}")
    expect(signed_in.get_by_role("link", name="What left this house")).to_have_count(0)


def test_opening_it_is_an_act_in_the_audit_trail(signed_in: Page, address: str, seeded: Seeded) -> None:
    opened(signed_in, address, seeded)
    acts = [(row.act, row.subject) for row in seeded.desk_rows(desk.audit)]
    assert acts[-1] == ("receipt-opened", f"study {seeded.numbers['answered']}")


def test_nobody_sees_it_without_signing_in(page: Page, address: str, seeded: Seeded) -> None:
    opened(page, address, seeded)
    expect(page).to_have_url(re.compile("sign-in"))


def test_an_unknown_study_has_no_such_page(signed_in: Page, address: str) -> None:
    for number in ("999", "99999999999999999999999"):
        answer = signed_in.goto(f"{address}studies/{number}/left")
        assert answer is not None
        assert answer.status == 404


@pytest.fixture
def tampered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeded]:
    """A house of its own whose receipt was changed after it was signed."""
    made = seed(tmp_path_factory.mktemp("tampered"))
    filled(made)
    with made.engine.begin() as c:
        (row,) = c.execute(departures.receipts.select())
        body = row.body.replace(b'"action":"D"', b'"action":"K"', 1)
        assert body != row.body
        c.execute(departures.receipts.update().values(body=body))
    sqlite.open_writer(made.places.link_db, wire.LINK).dispose()
    review.add_user(made.places, "dr.keller", "a long walk by the sea")
    yield made
    made.engine.dispose()


def test_a_receipt_changed_by_one_letter_is_said_to_be_so(page: Page, tampered: Seeded) -> None:
    from seeding import sign_in

    for address in served(tampered.places):
        sign_in(page, address)
        page.wait_for_url(address)
        opened(page, address, tampered)
        expect(page.get_by_text("NOT VERIFIED", exact=True)).to_be_visible()
        expect(page.locator(".checks .wrong")).to_have_count(2)
