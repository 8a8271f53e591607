"""Agreement with intervals, what the edge missed by week, who was told of critical results, the way into the PACS."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pydantic import ValidationError
from seeding import MODEL, PASSWORD, USER, Seeded, filled, patient, seed, served, sign_in
from speaking import Hands

from appliance import review
from appliance.config import Config
from appliance.core.final_report import FinalReport
from appliance.core.study import Patient
from appliance.core.weeks import bounds, last_weeks, week_of
from appliance.review import members
from appliance.world import desk, ledger, reading_desk, sqlite, wire
from appliance.world.ledger import final_reports, watch

DIGEST = "d" * 64
SIGNED_AT = 1_000_000.0


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Hands, Seeded]]:
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    hands = Hands(made.places, signature_fresh_s=900)
    members.add_user(hands.ledgers, USER, PASSWORD, at=1.0)
    hands.sign_in()
    yield hands, made
    hands.close()
    made.engine.dispose()


def signed(hands: Hands, made: Seeded, number: int, decision: Any, reason: str = "", at: float = SIGNED_AT) -> None:
    """A signature with its reason, taken over as triage does."""
    with hands.ledgers.pen().begin() as c:
        told = {"nonce": f"nonce-{number:012d}", "study_number": number, "revision": 1, "seq_seen": 2, "user": USER}
        assert desk.sign(c, **told, decision=decision, correction="", at=at, saw_ai=True)  # type: ignore[arg-type]
        row = desk.signature_with(c, f"nonce-{number:012d}")
        assert row is not None
        reading_desk.put_facts(c, row.id, reason=reason, findings={}, confirmed="patient_id")
    with made.engine.begin() as c:
        made.move(c, number, "reviewed")
        ledger.take_over_signature(c, row, "moved")


def answered(made: Seeded, number: int, answer: str, at: float) -> None:
    with made.engine.begin() as c:
        watch.put_audit(c, certificate=DIGEST, number=number, revision=1, drawn_as="first", rate=1.0, at=at - 5)
        where = watch.audits.c.study_number == number
        given = {"answer": answer, "user": "dr.blind", "answered_at": at}
        c.execute(watch.audits.update().where(where).values(**given))


def test_agreement_is_counted_by_model_and_lane_with_its_interval(house: tuple[Hands, Seeded]) -> None:
    hands, made = house
    assert "Nothing was signed in this time" in hands.get("/quality").text
    for n in range(10):
        number = made.study(f"cleared-{n}", ["complete", "routine"])
        decision = "correct" if n < 2 else "cannot_tell" if n == 2 else "agree"
        signed(hands, made, number, decision, "missed-finding" if n < 2 else "")
    text = hands.get("/quality").text
    assert "78 % (45 to 94 %)" in text  # 7 of 9
    assert "<td>7</td><td>2</td><td>1</td>" in text
    hands.now += 31 * 86_400
    hands.sign_in()
    assert "78 %" not in hands.get("/quality?days=30").text
    assert "78 %" in hands.get("/quality?days=all").text
    assert hands.get("/quality?days=evil").status_code == 200


def test_what_was_missed_stands_in_its_week_from_both_sources(house: tuple[Hands, Seeded]) -> None:
    hands, made = house
    week, other = week_of(SIGNED_AT), week_of(SIGNED_AT - 14 * 86_400)
    numbers = [made.study(f"case-{n}", ["complete", "routine"], who=patient(f"SECRET^{n}", f"S-{n}")) for n in range(6)]
    flagged = made.study("case-flagged", ["complete", "routine"], lane="flagged")
    signed(hands, made, numbers[0], "correct", "missed-finding")
    signed(hands, made, numbers[1], "correct", "false-finding")
    signed(hands, made, numbers[2], "correct", "missed-finding", at=SIGNED_AT - 14 * 86_400)
    signed(hands, made, flagged, "correct", "missed-finding")
    answered(made, numbers[3], "present", SIGNED_AT)
    answered(made, numbers[4], "absent", SIGNED_AT)
    answered(made, numbers[5], "cannot_tell", SIGNED_AT)
    text = hands.get(f"/quality/missed?week={week}").text
    found = [n for n in (*numbers, flagged) if f'data-study="{n}"' in text]
    assert found == [numbers[0], numbers[3]]
    assert "answered: 2; the finding was there in 1: 50 % (9 to 91 %)" in text
    assert "1 could not be told" in text
    assert "SECRET" not in text
    assert f'data-study="{numbers[2]}"' in hands.get(f"/quality/missed?week={other}").text
    for odd in ("2026-W54", "0000-W01", "x", "2026-W1"):
        assert hands.get(f"/quality/missed?week={odd}").status_code == 200
    assert "That is no proof" in hands.get("/quality/missed?week=2001-W01").text


def test_a_final_report_says_what_was_missed_and_is_told_as_such(house: tuple[Hands, Seeded]) -> None:
    hands, made = house
    with made.engine.begin() as c:
        watch.put_installed(c, MODEL, {"label": "pneumonia"}, 1.0)
    who = {n: Patient(f"S-{n}", f"SECRET^{n}", "", "", f"A-{n}", "", "") for n in range(4)}
    numbers = [made.study(f"told-{n}", ["complete", "routine"], who=who[n]) for n in range(3)]
    numbers.append(made.study("told-flagged", ["complete", "routine"], who=who[3], lane="flagged"))
    said: list[tuple[int, Any, float]] = [
        (0, "present", SIGNED_AT), (1, "present", SIGNED_AT), (1, "absent", SIGNED_AT + 1),
        (2, "present", SIGNED_AT - 14 * 86_400), (3, "present", SIGNED_AT), (9, "undecided", SIGNED_AT),
    ]  # fmt: skip
    with made.engine.begin() as c:
        for k, (n, truth, at) in enumerate(said):
            told = FinalReport(1, "RIS@HOSPITAL", f"c{k}", f"A-{n}", (f"S-{n}",), "F", {"pneumonia": truth})
            assert final_reports.put(c, f"{k:064x}", told, at)
        final_reports.match(c, SIGNED_AT + 2)
    text = hands.get(f"/quality/missed?week={week_of(SIGNED_AT)}").text
    assert [n for n in numbers if f'data-study="{n}"' in text] == [numbers[0]], "the last report of a study counts"
    assert "<td>final report</td><td>RIS@HOSPITAL</td>" in text
    assert "Final reports received: 5, of which 1 belong to no study here and 1 decide nothing." in text
    assert "Blinded reads of cleared studies answered: 0" in text
    assert "SECRET" not in text


@pytest.mark.parametrize("at", [0.0, 1_000_000.0, 1_798_761_599.0, 1_798_761_600.0, 1_767_225_599.0])
def test_a_week_holds_its_own_moments(at: float) -> None:
    found = bounds(week_of(at))
    assert found is not None
    assert found[0] <= at < found[1]
    assert found[1] - found[0] == 7 * 86_400
    assert bounds("2025-W53") is None
    if at > 5 * 7 * 86_400:
        assert len(set(last_weeks(at, 5))) == 5


def test_a_critical_result_is_filed_with_who_when_how_and_read_back(
    signed_in: Page, watch: Any, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    number = seeded.numbers["flagged"]
    signed_in.goto(f"{address}studies/{number}")
    signed_in.get_by_text("Critical result: who was told").click()
    signed_in.get_by_label("What was told").fill("tension pneumothorax <left>")
    signed_in.get_by_label("To whom").fill("Dr. Ward, ICU")
    signed_in.get_by_label("When; empty means now").fill("2001-01-01T10:00")
    signed_in.get_by_role("button", name=f"File as {USER}").click()
    expect(signed_in.locator("main [role=alert]").first).to_contain_text("more than a week back: correct it")
    expect(signed_in.get_by_label("To whom")).to_have_value("Dr. Ward, ICU")
    signed_in.get_by_label("When; empty means now").fill("")
    signed_in.get_by_role("button", name=f"File as {USER}").click()
    expect(signed_in.get_by_text("It is on file who was told")).to_be_visible()
    expect(signed_in.locator("#calls")).to_contain_text("tension pneumothorax <left>")
    expect(signed_in.locator("#calls")).to_contain_text("not read back")
    keep("critical-case")
    signed_in.get_by_role("link", name="Quality").click()
    signed_in.get_by_role("link", name="Critical results").click()
    expect(signed_in.locator("tbody tr")).to_contain_text("not read back: tell them again")
    keep("critical-log")
    (row,) = seeded.desk_rows(reading_desk.critical_calls)
    assert (row.study_number, row.told, row.how, row.read_back) == (number, "Dr. Ward, ICU", "phone", False)
    acts = [each.act for each in seeded.desk_rows(desk.audit) if each.subject == f"study {number}"]
    assert acts.count("critical-told") == 1
    watch.complaints.clear()  # the browser notes the 400, which is meant


def test_the_pages_of_quality_by_keyboard_and_by_eye(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    for where, name in (("quality", "quality"), ("quality/missed", "missed"), ("critical", "critical-none")):
        for width in (360, 1280):
            signed_in.set_viewport_size({"width": width, "height": 720})
            signed_in.goto(f"{address}{where}")
            over = signed_in.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert over <= 0, where
        keep(name)
    signed_in.goto(f"{address}quality")
    signed_in.get_by_role("link", name="What the edge missed").focus()
    signed_in.keyboard.press("Enter")
    expect(signed_in.get_by_role("heading", name="What the edge missed here")).to_be_visible()


def test_the_link_into_the_pacs_is_one_escaped_value(page: Page, watch: Any, tmp_path: Path) -> None:
    made = seed(tmp_path)
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    for address in served(made.places, pacs_url="https://pacs.example/open?acc={accession}"):
        sign_in(page, address)
        page.wait_for_url(address)
        page.goto(f"{address}studies/{made.numbers['evil']}")
        link = page.locator("#pacs")
        expect(link).to_have_attribute("href", "https://pacs.example/open?acc=ACC-P-%27%22%3E%3C")
        expect(link).to_have_attribute("rel", "noopener noreferrer")
        page.wait_for_load_state("load")
    assert all("pacs.example" not in url for url in watch.requests)
    made.engine.dispose()


def test_an_address_that_leads_elsewhere_is_refused_with_the_configuration() -> None:
    assert Config.model_validate({}).review.pacs_url == ""
    for wrong in ("http://pacs.example/{accession}", "https://{accession}/", "javascript:{accession}"):
        with pytest.raises(ValidationError):
            Config.model_validate({"review": {"pacs_url": wrong}})
