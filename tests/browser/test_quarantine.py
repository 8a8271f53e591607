"""The quarantine: what happened, what to do, since when; release and reject as orders; what each role is shown."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import PASSWORD, USER, Seeded, filled, seed
from speaking import Hands

from appliance.review import members
from appliance.world import desk, file_desk, ledger, sqlite, wire
from appliance.world.ledger import stray_files


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Hands, Seeded]]:
    made = seed(tmp_path)
    filled(made)
    with made.engine.begin() as c:
        ledger.add_stray(c, "ab" * 32, 0, "file-empty", ledger.REFUSED_PLACE, made.at)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places, signature_fresh_s=900)
    for name, role in ((USER, "reader"), ("vic.view", "viewer"), ("ada.admin", "administrator")):
        members.add_user(hands.ledgers, name, PASSWORD, at=1.0, role=role)
    hands.sign_in()
    yield hands, made
    hands.close()
    made.engine.dispose()


def file_orders(hands: Hands) -> list[Any]:
    with hands.ledgers.eyes().begin() as c:
        return file_desk.commands_after(c, 0)


def number_of(made: Seeded, code: str) -> int:
    with made.engine.connect() as c:
        return int(c.execute(ledger.strays.select().where(ledger.strays.c.code == code)).one().id)


NONCE = "n" * 30


def test_it_says_what_happened_what_to_do_and_how_often(
    signed_in: Page, address: str, seeded: Seeded, keep: Any
) -> None:
    signed_in.goto(address)
    signed_in.get_by_role("link", name="Quarantine", exact=True).click()
    row = signed_in.locator(f"tr[data-study='{seeded.numbers['broken']}']")
    expect(row).to_contain_text("study-attempts-spent")
    expect(row).to_contain_text("release the study to try again")
    expect(row).to_contain_text("while it was complete")
    expect(row).to_contain_text("set aside 1 time")
    expect(signed_in.get_by_label("Files").locator("tbody tr")).to_contain_text("header-truncated")
    keep("quarantine")
    row.locator("summary").click()
    row.get_by_role("button", name="Reject").click()
    expect(signed_in.get_by_text("Say why")).to_be_visible()
    signed_in.get_by_role("link", name="Open the study as it is now").click()
    signed_in.goto(f"{address}quarantine")
    row.locator("summary").click()
    row.get_by_label("Why").fill("came twice")
    row.get_by_role("button", name="Reject").click()
    expect(signed_in.get_by_text("Your instruction is on file")).to_be_visible()
    expect(row).to_contain_text(f"{USER} asked to reject it")
    (ordered,) = seeded.desk_rows(desk.commands)
    assert (ordered.kind, ordered.because, ordered.study_number) == ("reject", "came twice", seeded.numbers["broken"])
    assert seeded.desk_rows(desk.audit)[-1].act == "command-reject"


def test_a_released_study_counts_as_released_when_it_comes_back(house: tuple[Hands, Seeded]) -> None:
    hands, made = house
    with made.engine.begin() as c:
        for state in ("complete", "hard", "quarantined"):
            made.move(c, made.numbers["broken"], state)
    text = hands.get("/quarantine").text
    assert "set aside 2 times" in text
    assert "released 1 time" in text
    assert "while it was hard" in text


def test_a_file_is_ordered_once_and_what_lies_elsewhere_is_not_released(house: tuple[Hands, Seeded]) -> None:
    hands, made = house
    kept, refused = number_of(made, "header-truncated"), number_of(made, "file-empty")
    page = "/quarantine"
    assert hands.post(f"/quarantine/files/{kept}", page, kind="release", nonce=NONCE).status_code == 303
    assert hands.post(f"/quarantine/files/{kept}", page, kind="release", nonce=NONCE).status_code == 303
    assert [(row.kind, row.user) for row in file_orders(hands)] == [("release", USER)]
    assert ("dr.keller", "file-release") in [(user, act) for user, act, _ in hands.acts()]
    assert "asked to release it; it is being done" in hands.get(page).text
    for number, form, status in (
        (refused, {"kind": "release", "nonce": "m" * 30}, 409),
        (refused, {"kind": "reject", "nonce": "m" * 30}, 400),
        (refused, {"kind": "reject", "nonce": "m" * 30, "because": "x" * 201}, 400),
        (kept, {"kind": "burn", "nonce": "m" * 30}, 400),
        (kept, {"kind": "release", "nonce": "short"}, 400),
        (99_999, {"kind": "release", "nonce": "m" * 30}, 409),
        (2**70, {"kind": "release", "nonce": "m" * 30}, 409),
    ):
        assert hands.post(f"/quarantine/files/{number}", page, **form).status_code == status, form
    assert len(file_orders(hands)) == 1
    told = {"kind": "reject", "nonce": "m" * 30, "because": "an empty file"}
    assert hands.post(f"/quarantine/files/{refused}", page, **told).status_code == 303


def test_what_came_of_an_order_is_said(house: tuple[Hands, Seeded]) -> None:
    hands, made = house
    kept = number_of(made, "header-truncated")
    hands.post(f"/quarantine/files/{kept}", "/quarantine", kind="release", nonce=NONCE)
    with made.engine.begin() as c:
        stray_files.take_over(c, file_orders(hands)[0], "gone")
    assert "asked to release it: it could not be fetched from where it lies" in hands.get("/quarantine").text
    with made.engine.begin() as c:
        stray_files.reject(c, file_orders(hands)[0].sha256, USER)
    assert "header-truncated" not in hands.get("/quarantine").text
    assert "1 file belongs" in hands.get("/").text


@pytest.mark.parametrize("user", ["ada.admin", "vic.view"])
def test_whoever_may_not_decide_sees_no_button_and_who_may_not_look_no_patient(
    house: tuple[Hands, Seeded], user: str
) -> None:
    hands, _ = house
    hands.sign_in(user=user)
    text = hands.get("/quarantine").text
    assert "study-attempts-spent" in text
    assert "Release: try again" not in text
    assert ("BROKEN" in text) == (user == "vic.view")


def test_a_code_that_tells_what_the_machine_said_is_held_back_until_it_was_read(tmp_path: Path) -> None:
    made = seed(tmp_path)
    made.study("refused", ["complete", "hard", "escalated", "quarantined"], lane="escalated")
    made.study("broken", ["complete", "quarantined"], lane=None)
    hands = Hands(made.places, read_first=True)
    members.add_user(hands.ledgers, USER, PASSWORD, at=1.0)
    hands.sign_in()
    text = hands.get("/quarantine").text
    assert text.count("study-attempts-spent") == 1
    assert "set aside after the machine had looked" in text
    assert "escalated" not in text
    hands.close()
    made.engine.dispose()
