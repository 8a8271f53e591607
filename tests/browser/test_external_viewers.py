"""External viewers as an administrator makes them: a token shown once, used, and taken back."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from dicomweb_house import PASSWORD, VIEWER, House, housed
from playwright.sync_api import Page, expect
from pydicom.data import get_testdata_file
from seeding import sign_in
from speaking import Hands


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    with housed(tmp_path_factory.mktemp("viewers"), [Path(path).read_bytes()]) as found:
        yield found


def status(house: House, token: str) -> int:
    return httpx.get(f"{house.root}/studies", headers={"Authorization": f"Bearer {token}"}, timeout=20).status_code


def test_a_viewer_is_added_used_and_taken_back(house: House, page: Page, keep: Callable[[str], None]) -> None:
    sign_in(page, house.address, "ada.admin", PASSWORD)
    page.wait_for_url(f"{house.address}administration")
    page.get_by_role("link", name="External viewers").click()
    page.get_by_label("Name", exact=True).fill("slicer.2")
    page.get_by_label("On behalf of").select_option("dr.keller")
    page.get_by_role("button", name="Add").click()
    token = page.locator("[data-token]").inner_text()
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)
    assert status(house, token) == 200
    keep("external-viewers")
    page.goto(f"{house.address}administration/viewers")
    expect(page.locator("[data-token]")).to_have_count(0)
    assert token not in page.content()
    row = page.locator('tr[data-viewer="slicer.2"]')
    expect(row).to_contain_text("dr.keller")
    row.get_by_role("button").click()
    expect(row).to_contain_text("taken back")
    assert status(house, token) == 401
    acts = [act for _, act, subject in house.acts() if "slicer.2" in subject]
    assert acts == ["viewer-added", "viewer-revoked"]


@pytest.mark.parametrize(
    ("name", "user"),
    [(VIEWER, "dr.keller"), ("x", "dr.keller"), ("a b", "dr.keller"), ("fine", "ada.admin"), ("fine", "who")],
)
def test_what_is_no_viewer_is_refused(house: House, name: str, user: str) -> None:
    hands = Hands(house.places, signature_fresh_s=900, dicomweb=True)
    try:
        hands.sign_in(PASSWORD, "ada.admin")
        answer = hands.post("/administration/viewers", "/administration/viewers", name=name, user=user)
        assert answer.status_code == 400
        assert "Nothing was added" in answer.text
    finally:
        hands.close()


def test_making_a_viewer_asks_again_who_it_is(house: House) -> None:
    hands = Hands(house.places, dicomweb=True)
    try:
        hands.sign_in(PASSWORD, "ada.admin")
        answer = hands.post("/administration/viewers", "/administration/viewers", name="proof.1", user="dr.keller")
        assert answer.status_code == 403
        assert ("ada.admin", "viewer-added") not in [
            (user, act) for user, act, what in hands.acts() if "proof.1" in what
        ]
    finally:
        hands.close()
