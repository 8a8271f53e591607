"""Who may do what, walked door by door as every role; and what each role sees of it in a browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect
from seeding import PASSWORD, Seeded, filled, seed, served, sign_in
from speaking import Hands

from appliance import review
from appliance.core import permits
from appliance.review import members
from appliance.review.doors import PERMITS, Permit
from appliance.world import sqlite, wire

NAMES = {"viewer": "vic.view", "reader": "dr.keller", "administrator": "ada.admin"}
FILLED = {
    "{number:int}": "1",
    "{audit:int}": "1",
    "{lut:int}": "1",
    "{prior:int}": "1",
    "{image:int}": "1",
    "{frame:int}": "1",
    "{certificate}": "a" * 64,
    "{name}": "nobody.here",
    "{session}": "0" * 16,
    "{glass:int}": "1",
    "{viewer:int}": "1",
    "{stray:int}": "1",
    "{study}": "1.2.3",
    "{series}": "1.2.3",
    "{object}": "1.2.3",
    "{frames}": "1",
    "{bulk}": "7FE00010",
}
LAST = ("/sign-out", "/lock", "/emergency")  # after these the session is not what it was


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Hands]:
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places, signature_fresh_s=900, dicomweb=True)
    for role, name in NAMES.items():
        members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role=role)
    yield hands
    hands.close()
    made.engine.dispose()


def doors() -> list[tuple[str, str, Permit]]:
    """Every guarded door with an address that fits it; those that end a session come last."""
    found = []
    for (method, path), permit in PERMITS.items():
        if permit.right is not None:
            address = re.sub(r"\{[^}]+\}", lambda match: FILLED[match[0]], path)
            found.append((method, address, permit))
    return sorted(found, key=lambda door: (door[1] in LAST, door[1] == "/lock", door[1] == "/sign-out"))


def knock(hands: Hands, method: str, address: str) -> tuple[int, str]:
    answer = hands.get(address) if method == "GET" else hands.post(address, "/status")
    return answer.status_code, answer.text if "text" in answer.headers.get("content-type", "") else ""


@pytest.mark.parametrize("role", permits.ROLES)
def test_every_door_opens_for_whom_the_table_says_and_for_nobody_else(house: Hands, role: str) -> None:
    assert house.sign_in(user=NAMES[role]).status_code == 303
    held = permits.rights(role, lifted=False)
    refused = 0
    for method, address, permit in doors():
        status, text = knock(house, method, address)
        if permit.right in held:
            assert "Not for your role" not in text, (method, address)
            assert (status < 400) or status in (400, 404, 409), (method, address, status)
        elif (method, address) == ("GET", "/"):
            assert status == 303, "an administrator is led to where administrators begin"
        else:
            assert status == 403, (method, address, status)
            assert "Not for your role" in text
            refused += 1
        assert status == 303 or "DOE" not in text or "look" in held, (method, address)
    assert refused >= {"viewer": 10, "reader": 5, "administrator": 10}[role]


def test_nobody_comes_in_without_signing_in(house: Hands) -> None:
    for method, address, _ in doors():
        status, text = knock(house, method, address)
        assert status in (303, 401), (method, address)
        assert "DOE" not in text


def test_a_path_that_the_table_does_not_know_is_not_served(monkeypatch: pytest.MonkeyPatch, house: Hands) -> None:
    monkeypatch.delitem(PERMITS, ("GET", "/status"))
    with pytest.raises(KeyError, match="/status"):
        review.app(house.config, house.ledgers)


def test_rights_of_a_role_that_nobody_knows_are_none() -> None:
    assert permits.rights("emperor", lifted=True) == frozenset()
    assert permits.rights("reader", lifted=True) == permits.OF_ROLE["reader"]
    assert "administer" not in permits.rights("viewer", lifted=True)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        *(("127.0.0.1", "loopback"), ("::1", "loopback"), ("10.1.2.3", "private"), ("192.168.1.1", "private")),
        *(("fe80::1", "private"), ("8.8.8.8", "public"), ("", "unknown"), ("testclient", "unknown")),
    ],
)
def test_an_address_is_kept_as_its_class_only(address: str, said: str) -> None:
    assert permits.address_class(address) == said


def test_a_change_of_role_counts_from_the_next_page_on(house: Hands) -> None:
    house.sign_in(user=NAMES["reader"])
    assert house.get("/audits").status_code == 200
    with house.ledgers.pen().begin() as c:
        members.change_role(c, NAMES["reader"], "viewer", at=house.now, by="ada.admin")
    assert house.get("/audits").status_code == 403
    with house.ledgers.pen().begin() as c:
        members.disable(c, NAMES["reader"], at=house.now, by="ada.admin")
    assert house.get("/").headers["location"] == "/sign-in"
    assert "Name or password is wrong" in house.sign_in(user=NAMES["reader"]).text


@pytest.fixture(scope="module")
def roles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Seeded, str]]:
    made = seed(tmp_path_factory.mktemp("roles"))
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    for role, name in NAMES.items():
        review.add_user(made.places, name, PASSWORD, role=role)
    for address in served(made.places):
        yield made, address
    made.engine.dispose()


def test_a_viewer_sees_patients_and_no_button_that_decides(
    context: BrowserContext, roles: tuple[Seeded, str], tmp_path: Path
) -> None:
    seeded, address = roles
    page = context.new_page()
    sign_in(page, address, NAMES["viewer"])
    page.wait_for_url(address)
    expect(page.get_by_role("link", name="Administration")).to_have_count(0)
    expect(page.get_by_role("link", name="Blinded reads")).to_have_count(0)
    for key in ("flagged", "broken"):
        page.goto(f"{address}studies/{seeded.numbers[key]}")
        expect(page.locator("form#decide, form.decide")).to_have_count(0)
        expect(page.get_by_role("button", name=re.compile("Sign as|Release|Reject"))).to_have_count(0)
    page.goto(f"{address}studies/{seeded.numbers['flagged']}")
    expect(page.get_by_text("Waits for a reader's signature")).to_be_visible()
    page.screenshot(path=tmp_path / "viewer.png")


def test_an_administrator_begins_at_administration_and_meets_no_patient(
    context: BrowserContext, roles: tuple[Seeded, str]
) -> None:
    _, address = roles
    page = context.new_page()
    sign_in(page, address, NAMES["administrator"])
    page.wait_for_url(f"{address}administration")
    expect(page.get_by_role("link", name="Worklist")).to_have_count(0)
    expect(page.locator("tr[data-user]")).to_have_count(3)
    assert "DOE" not in page.content()


def test_what_is_only_looked_at_changes_nothing(house: Hands) -> None:
    """Every GET as every role: but for the trail and the sessions no table of the page has another row afterwards."""

    def rows() -> dict[str, int]:
        with house.ledgers.eyes().begin() as c:
            tables = c.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
            counted = (each for each in tables if each not in ("audit", "sessions") and not each.startswith("sqlite"))
            return {each: c.exec_driver_sql(f'SELECT count(*) FROM "{each}"').scalar_one() for each in counted}

    before = rows()
    assert len(before) >= 7
    for name in NAMES.values():
        house.sign_in(user=name)
        for method, address, _ in doors():
            if method == "GET":
                house.get(address)
    assert rows() == before
