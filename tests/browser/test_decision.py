"""Deciding: a reason, findings one by one, two identifiers, sign and next, addenda, and images that come too late."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import USER, Seeded, an_instance, patient, put_frames, ramp
from sqlalchemy.exc import DatabaseError

from appliance.core.decision_reasons import OF_DECISION, why_refused
from appliance.world import desk, ledger, reading_desk, sqlite


def ticked(page: Page) -> None:
    for box in page.locator(".identify input").all():
        box.check()


def taken_over(seeded: Seeded, number: int) -> None:
    """What triage does with a signature: the study moves, and the row is filed."""
    reader = sqlite.open_reader(seeded.places.review_db)
    with reader.begin() as own, seeded.engine.begin() as c:
        for row in desk.signatures_of(own, number):
            seeded.move(c, number, "reviewed")
            ledger.take_over_signature(c, row, "moved")
    reader.dispose()


def late_image(seeded: Seeded, number: int) -> None:
    with seeded.engine.begin() as c:
        study = ledger.study_by_number(c, number)
        assert study is not None
        who = patient(study.patient_name, study.patient_id)
        made = an_instance(number * 100 + 50, who, study=number)
        assert ledger.add_instance(c, made, seeded.at + 60) == (number, True)


def test_what_a_decision_needs_is_said_as_the_next_step() -> None:
    assert why_refused("agree", "", "") is None
    for decision, codes in OF_DECISION.items():
        for code in codes:
            assert why_refused(decision, code, "a note") is None
            assert (why_refused(decision, code, "") is None) == (code != "other")
    for decision in ("", "normal"):
        assert "Choose agree, disagree or cannot tell" in (why_refused(decision, "", "") or "")


def test_a_decision_is_signed_with_reason_findings_and_identifiers(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    case_id = "6" * 32
    states = ["complete", "hard", "escalated", "answered"]
    number = seeded.study("whole", states, lane="escalated", case_id=case_id)
    seeded.answer(number, case_id, connected=True)
    put_frames(seeded.places, number * 100, [ramp()], windows=[[475.5, 951]])
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("input:checked[type=radio], .identify input:checked")).to_have_count(0)
    expect(signed_in.locator(".identify")).to_contain_text("DOE, WHOLE · born 2021-02-03")
    expect(signed_in.locator(".identify")).to_contain_text(f"ID P-{number} · accession ACC-P-{number}")
    signed_in.keyboard.press("d")
    expect(signed_in.get_by_role("radio", name="Disagree")).to_be_checked()
    signed_in.get_by_role("combobox", name="Reason").select_option("missed-finding")
    signed_in.get_by_label("lung-opacity").select_option("wrong")
    ticked(signed_in)
    keep("decision")
    signed_in.set_viewport_size({"width": 1280, "height": 720})
    keep("decision-1280")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.locator(".signatures").first).to_contain_text("disagrees: The machine missed the finding")
    expect(signed_in.locator(".signatures").first).to_contain_text("lung-opacity: wrong")
    signature = next(row for row in seeded.desk_rows(desk.signatures) if row.study_number == number)
    reader = sqlite.open_reader(seeded.places.review_db)
    with reader.begin() as c:
        facts = reading_desk.facts_of(c, [signature.id])[signature.id]
    reader.dispose()
    assert (facts.reason, facts.findings) == ("missed-finding", {"lung-opacity": "wrong"})
    assert facts.confirmed == "patient_name patient_birth_date patient_id accession_number"
    assert "DOE" not in facts.confirmed


def test_a_header_that_names_too_little_says_where_else_to_look(signed_in: Page, address: str, seeded: Seeded) -> None:
    bare = replace(patient("DOE^BARE", "P-0"), accession_number="", patient_birth_date="")
    number = seeded.study("bare-header", ["complete", "routine"], who=bare)
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("#identifiers-missing")).to_contain_text("compare with the request itself")
    expect(signed_in.locator(".identify")).to_contain_text("born (not told)")
    expect(signed_in.locator(".identify")).to_contain_text("accession (none)")
    signed_in.goto(f"{address}studies/{seeded.numbers['cleared']}")
    expect(signed_in.locator(".identify")).to_be_visible()
    expect(signed_in.locator("#identifiers-missing")).to_have_count(0)


def test_without_the_identifiers_nothing_is_signed(signed_in: Page, watch: Any, address: str, seeded: Seeded) -> None:
    number = seeded.study("unnamed", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    signed_in.evaluate("document.querySelectorAll('.identify input').forEach((each) => { each.required = false; })")
    signed_in.locator("input[value=agree]").check()
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.locator("main [role=alert]")).to_contain_text("Compare name and birth date with the request")
    expect(signed_in.locator("input[value=agree]")).to_be_checked()
    acts = [row.act for row in seeded.desk_rows(desk.audit) if row.subject == f"study {number}"]
    assert acts == ["case-opened", "case-opened"], "the answer to a mistaken form shows the case, and is noted"
    assert [row for row in seeded.desk_rows(desk.signatures) if row.study_number == number] == []
    watch.complaints.clear()


def test_sign_and_next_by_keyboard_leads_to_the_head_of_the_list(signed_in: Page, address: str, seeded: Seeded) -> None:
    urgent = {"lane": "flagged", "priority": "critical"}
    first, second = (seeded.study(f"next-{n}", ["complete", "routine"], **urgent) for n in (1, 2))
    signed_in.goto(f"{address}studies/{first}")
    signed_in.keyboard.press("a")
    for box in signed_in.locator(".identify input").all():
        box.focus()
        signed_in.keyboard.press("Space")
    signed_in.keyboard.press("Control+Enter")
    signed_in.wait_for_url(f"{address}studies/{second}?done=next")
    expect(signed_in.get_by_text("This is the next study: compare the name")).to_be_visible()
    expect(signed_in.locator("input:checked[type=radio], .identify input:checked")).to_have_count(0)
    signed_in.keyboard.press("a")
    ticked(signed_in)
    signed_in.keyboard.press("Control+Enter")
    signed_in.wait_for_url(lambda url: "done=next" in url and str(second) not in url.split("?")[0].split("/")[-1])
    assert f"studies/{first}?" not in signed_in.url, "what is signed and not filed yet is passed over"
    rows = [row.study_number for row in seeded.desk_rows(desk.signatures)]
    assert {first, second} <= set(rows)


def test_letters_choose_nothing_while_somebody_types_or_switched_them_off(
    signed_in: Page, address: str, seeded: Seeded
) -> None:
    signed_in.goto(f"{address}studies/{seeded.numbers['cleared']}")
    signed_in.get_by_label("What is right instead").press_sequentially("adu")
    expect(signed_in.locator("input:checked[type=radio]")).to_have_count(0)
    signed_in.locator("#keys").uncheck()
    signed_in.keyboard.press("a")
    expect(signed_in.locator("input:checked[type=radio]")).to_have_count(0)


def test_an_addendum_is_added_and_changes_nothing(
    signed_in: Page, watch: Any, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    number = seeded.study("to-add", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("#add")).to_have_count(0)
    signed_in.locator("input[value=agree]").check()
    ticked(signed_in)
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("Your signature is on file.")).to_be_visible()
    taken_over(seeded, number)
    signed_in.reload()
    expect(signed_in.locator("#decide")).to_have_count(0)
    for text in ("rib fracture, seen on <b>second</b> look", "the clinician was told"):
        signed_in.get_by_text("Add to what was signed").click()
        signed_in.get_by_label("Addendum").fill(text)
        signed_in.get_by_role("button", name=f"Add as {USER}").click()
        expect(signed_in.get_by_text("Your addendum is on file")).to_be_visible()
    keep("addendum")
    expect(signed_in.locator("#addenda li")).to_have_count(2)
    expect(signed_in.locator("#addenda li").first).to_contain_text("<b>second</b>")
    (signature,) = [row for row in seeded.desk_rows(desk.signatures) if row.study_number == number]
    assert (signature.decision, signature.correction) == ("agree", "")
    acts = [row.act for row in seeded.desk_rows(desk.audit) if row.subject == f"study {number}"]
    assert acts.count("addendum") == 2
    signed_in.get_by_text("Add to what was signed").click()
    signed_in.get_by_label("Addendum").fill("   ")
    signed_in.get_by_role("button", name=f"Add as {USER}").click()
    expect(signed_in.locator("main [role=alert]")).to_contain_text("Write the addendum")
    watch.complaints.clear()


@pytest.mark.parametrize("statement", ["UPDATE addenda SET text = 'other'", "DELETE FROM signature_facts"])
def test_the_database_refuses_to_change_what_was_signed(tmp_path: Any, statement: str) -> None:
    engine = sqlite.open_writer(tmp_path / "review.db", desk.METADATA)
    with engine.begin() as c:
        reading_desk.make(c)
        told = {"nonce": "n" * 16, "study_number": 1, "revision": 1, "user": "kim", "text": "more", "at": 1.0}
        assert reading_desk.add(c, **told)
        assert not reading_desk.add(c, **told)
        reading_desk.put_facts(c, 1, reason="", findings={}, confirmed="patient_id")
    with pytest.raises(DatabaseError), engine.begin() as c:
        c.exec_driver_sql(statement)
    engine.dispose()


def test_a_late_image_alerts_the_signer_until_acknowledged(
    signed_in: Page, address: str, seeded: Seeded, keep: Callable[[str], None]
) -> None:
    number = seeded.study("late-image", ["complete", "routine"])
    signed_in.goto(f"{address}studies/{number}")
    signed_in.locator("input[value=agree]").check()
    ticked(signed_in)
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("Your signature is on file.")).to_be_visible()
    taken_over(seeded, number)
    signed_in.goto(address)
    expect(signed_in.locator(".late-image")).to_have_count(0)
    late_image(seeded, number)
    expect(signed_in.locator(".late-image")).to_contain_text("DOE, LATE-IMAGE")  # it comes by itself
    keep("late-image-worklist")
    signed_in.locator(".late-image a").click()
    expect(signed_in.locator("#late-images")).to_contain_text(f"{USER} signed revision 1")
    expect(signed_in.locator(".signatures").first).to_contain_text("agrees")  # nothing was taken back
    keep("late-image-case")
    signed_in.get_by_role("button", name="I know of it").click()
    expect(signed_in.get_by_text("It is on file that you know")).to_be_visible()
    expect(signed_in.locator("#late-images")).to_be_visible()  # it stays true
    expect(signed_in.get_by_role("button", name="I know of it")).to_have_count(0)
    signed_in.goto(address)
    expect(signed_in.locator("tbody tr").first).to_be_visible()
    expect(signed_in.locator(".late-image")).to_have_count(0)
    acts = [row.act for row in seeded.desk_rows(desk.audit) if row.subject == f"study {number}"]
    assert "late-image-seen" in acts
