"""Blinded reads, the models page, alarms and *repeat?* in a real browser: what is told, and what must not be."""

import random
import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from seeding import NOW, USER, Seeded, an_instance, patient, put_frames, ramp

from appliance.core.gates import REPEAT_CODES
from appliance.core.roles import Order
from appliance.core.watch import started, with_answer, with_ranks
from appliance.core.watch import told as columns
from appliance.review.words import REPEAT_WORDS
from appliance.world import audit_desk, desk, ledger
from appliance.world.ledger import glances, roles, watch

TITLE = "cxr-paediatric-pneumonia/2.0.0"
FORBIDDEN = ("CLEARED", "FLAGGED", "ESCALATED", "cleared-reason", "flagged-reason", "-1.25", "harbour@1", "DOE", "P-")
DAY_S = 86_400.0


class Rows:
    """What triage would have filed: two certificates, studies under them, draws."""

    def __init__(self, seeded: Seeded) -> None:
        self.seeded = seeded
        self.dice = random.Random(3)

    def certificate(self, digest: str, name: str, *, demonstration: bool = True, **told: object) -> None:
        sample = {
            each: sorted(self.dice.gauss(0, 1) for _ in range(200)) for each in ("logit", "distance", "sharpness")
        }
        monitor = with_ranks(started(sample), {"logit": 0.4})
        for _ in range(30):
            monitor = with_answer(monitor, "absent", rate_max=0.1)
        bounds = (0.1, 0.1, 0.15) if demonstration else (0.01, 0.05, 0.1)
        facts = {
            "name": name,
            "note": "made for a test",
            "site": "harbour",
            "exit": 1,
            "label": "pneumonia",
            "contract": dict(zip(("false_omission_max", "miss_max", "false_discovery_max"), bounds, strict=True)),
            "delta": 0.05,
            "clear_at_or_below": -2.0,
            "flag_at_or_above": 1.0,
            "patients": 213,
            "created": "2026-11-20",
            "expires": "2999-01-01",
            "reference": sample,
            "audit_rate": 0.25,
            **told,
        }
        start = {**columns(monitor), "stage": "quiet", "stage_since": NOW - 3 * DAY_S}
        with self.seeded.engine.begin() as c:
            watch.put_monitor(c, digest, TITLE, facts, start)

    def model(self, title: str = TITLE, weights: str = "trained") -> None:
        name, _, version = title.partition("/")
        facts = {"name": name, "version": version, "label": "pneumonia", "meaning": "as read", "weights": weights}
        facts["role"] = "decides"
        with self.seeded.engine.begin() as c:
            watch.put_installed(c, title, {**facts, "intended_use": "Research."}, NOW - DAY_S)

    def drawn(self, key: str, digest: str, drawn_as: str = "first", lane: str = "cleared") -> int:
        number = self.seeded.numbers[key]
        with self.seeded.engine.begin() as c:
            watched, _, _ = watch.see(c, digest, number, lane, NOW - 600)
            values = {name: self.dice.gauss(0, 1) for name in ("logit", "distance", "sharpness")}
            watch.put_gauges(c, watched, digest, values)
            watch.put_audit(c, certificate=digest, number=number, revision=1, drawn_as=drawn_as, rate=1.0, at=NOW - 500)
            same = (watch.audits.c.study_number == number, watch.audits.c.certificate == digest)
            row = c.execute(watch.audits.select().where(*same)).one()
        return int(row.id)

    def many(self, digest: str, count: int, shift: float) -> None:
        """Numbered studies far from any other test's, measured and no more."""
        for n in range(count):
            with self.seeded.engine.begin() as c:
                made = an_instance(90_000 + n, patient(f"MANY^{n}", f"M-{n}"), study=9_000 + n)
                number, _ = ledger.add_instance(c, made, NOW - 900)
                for state in ("complete", "hard", "reviewed"):
                    self.seeded.move(c, number, state)
                watched, _, _ = watch.see(c, digest, number, "escalated", NOW - 900)
                watch.put_gauges(c, watched, digest, {"logit": self.dice.gauss(shift, 1)})


OLD, NEW = "a" * 64, "b" * 64


@pytest.fixture(scope="module")
def rows(seeded: Seeded) -> Rows:
    """One certificate in force with drawn films, and films whose image is on file."""
    made = Rows(seeded)
    made.model()
    made.certificate(NEW, "harbour@2")
    for n, (key, lane) in enumerate(
        (("read-a", "cleared"), ("read-b", "flagged"), ("read-c", "cleared"), ("bare", "cleared"))
    ):
        seeded.study(key, ["complete", "routine"], lane=lane)
        first = seeded.numbers[key]
        if key != "bare":
            with seeded.engine.begin() as c:
                digest = ledger.instances_of(c, first)[0].sha256
            put_frames(seeded.places, int(digest, 16), [ramp(start=n)], windows=[[475.5, 951]])
        made.drawn(key, NEW, "first" if lane == "cleared" else "decoy", lane)
    return made


def audit_of(seeded: Seeded, key: str) -> int:
    with seeded.engine.connect() as c:
        where = (watch.audits.c.study_number == seeded.numbers[key], watch.audits.c.certificate == NEW)
        return int(c.execute(watch.audits.select().where(*where)).one().id)


def answers(seeded: Seeded) -> list[Any]:
    return seeded.desk_rows(audit_desk.answers)


def test_the_list_tells_no_lane_no_score_and_no_name(signed_in: Page, address: str, rows: Rows) -> None:
    signed_in.goto(address)
    signed_in.get_by_role("link", name="Blinded reads").click()
    expect(signed_in.locator("tbody tr")).to_have_count(4)
    expect(signed_in.locator("tbody tr").first).to_contain_text("CR CHEST PA")
    expect(signed_in.locator("tbody tr").first).to_contain_text("3 years")
    text = signed_in.locator("main").inner_text()
    for word in FORBIDDEN:
        assert word not in text


def test_a_blinded_read_shows_the_film_and_the_question_and_nothing_else(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded, watch: object
) -> None:
    number = audit_of(seeded, "read-a")
    signed_in.goto(f"{address}audits/{number}")
    expect(signed_in.locator("#viewer")).to_have_attribute("data-ready", "yes")
    expect(signed_in.get_by_text("Does this film show pneumonia?")).to_be_visible()
    content = signed_in.content()
    for word in (*FORBIDDEN, "studies/", "2.25.", f"{seeded.numbers['read-a'] * 100:064x}"):
        assert word not in content, word
    assert all("/studies/" not in url for url in watch.requests)
    assert watch.complaints == []
    acts = [(row.act, row.subject) for row in seeded.desk_rows(desk.audit)]
    assert acts[-1] == ("audit-opened", f"audit {number}")


def test_an_answer_is_signed_once_and_the_film_leaves_the_list(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    number = audit_of(seeded, "read-a")
    signed_in.goto(f"{address}audits/{number}")
    signed_in.get_by_label("Absent").check()
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("Your answer is on file.")).to_be_visible()
    expect(signed_in.locator(f"tr[data-audit='{number}']")).to_have_count(0)
    (row,) = answers(seeded)
    assert (row.audit_id, row.user, row.answer) == (number, USER, "absent")
    acts = [(row.act, row.subject) for row in seeded.desk_rows(desk.audit)]
    assert ("audit-absent", f"audit {number}") in acts
    again = signed_in.goto(f"{address}audits/{number}")
    assert again is not None
    assert again.status == 404


def test_an_answer_needs_a_choice(signed_in: Page, address: str, rows: Rows, seeded: Seeded) -> None:
    number, before = audit_of(seeded, "read-b"), len(answers(seeded))
    signed_in.goto(f"{address}audits/{number}")
    signed_in.evaluate("document.querySelectorAll('#decide input[type=radio]').forEach((each) => each.remove())")
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_text("nothing was filed", exact=False).first).to_be_visible()
    assert len(answers(seeded)) == before


def test_who_opened_the_study_cannot_read_it_blindly(signed_in: Page, address: str, rows: Rows, seeded: Seeded) -> None:
    number, before = audit_of(seeded, "read-c"), len(answers(seeded))
    signed_in.goto(f"{address}audits/{number}")  # the form is open before the study is
    other = signed_in.context.new_page()
    other.goto(f"{address}studies/{seeded.numbers['read-c']}")
    other.close()
    signed_in.get_by_label("Absent").check()
    signed_in.get_by_role("button", name=f"Sign as {USER}").click()
    expect(signed_in.get_by_role("heading", name="Not to be read here")).to_be_visible()
    assert len(answers(seeded)) == before
    signed_in.goto(f"{address}audits")
    expect(signed_in.locator(f"tr[data-audit='{number}']")).to_have_count(0)
    expect(signed_in.get_by_text("for another reader", exact=False)).to_be_visible()


def test_a_film_that_cannot_be_shown_cannot_be_answered(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    signed_in.goto(f"{address}audits/{audit_of(seeded, 'bare')}")
    expect(signed_in.get_by_text("not decoded here any more", exact=False)).to_be_visible()
    expect(signed_in.locator("#decide")).to_have_count(0)


@pytest.mark.parametrize("path", ["audits/999", "audits/99999999999999999999999", "audits/999/images"])
def test_an_unknown_audit_is_none(signed_in: Page, address: str, rows: Rows, path: str) -> None:
    answer = signed_in.goto(f"{address}{path}")
    assert answer is not None
    assert answer.status == 404


def test_nobody_sees_films_or_models_without_signing_in(page: Page, address: str, rows: Rows) -> None:
    for path in ("audits", "audits/1", "audits/1/images", "models", f"certificates/{NEW}/withdraw"):
        page.goto(f"{address}{path}")
        expect(page).to_have_url(re.compile("sign-in"))


# The models page


def test_the_models_page_tells_promise_evidence_and_standing(
    signed_in: Page, address: str, rows: Rows, watch: object
) -> None:
    signed_in.goto(f"{address}models")
    model = signed_in.get_by_role("region", name=f"Model {TITLE}")
    expect(model).to_contain_text("pneumonia")
    certificate = signed_in.get_by_role("article", name="Certificate harbour@2")
    for words in (
        "IN FORCE",
        "Demonstration contract",
        "of those cleared at most 10 % have the finding",
        "with 95 % confidence",
        "213 patients",
        "every one of the first 300 cleared",
        "e-value of the answers",
        "too few to say",
        "Last flagged",
    ):
        expect(certificate).to_contain_text(words)
    assert watch.complaints == []


def test_a_product_contract_is_not_called_a_demonstration(signed_in: Page, address: str, rows: Rows) -> None:
    rows.certificate("c" * 64, "product@1", demonstration=False)
    signed_in.goto(f"{address}models")
    certificate = signed_in.get_by_role("article", name="Certificate product@1")
    expect(certificate).to_contain_text("of those cleared at most 1 % have the finding")
    expect(certificate).not_to_contain_text("Demonstration")


def test_random_weights_are_said_to_be_so(signed_in: Page, address: str, rows: Rows) -> None:
    rows.model("ct-head-plumbing/0.1.0", "random")
    signed_in.goto(f"{address}models")
    expect(signed_in.get_by_role("region", name="Model ct-head-plumbing")).to_contain_text("weights are random")
    expect(signed_in.get_by_role("region", name="Model ct-head-plumbing")).to_contain_text("escalates everything")
    expect(signed_in.get_by_role("region", name=f"Model {TITLE}")).to_contain_text("DECIDES")


def test_a_moved_measure_is_seen_by_eye(signed_in: Page, address: str, rows: Rows) -> None:
    rows.certificate("d" * 64, "moved@1")
    rows.many("d" * 64, 120, 1.5)
    signed_in.goto(f"{address}models")
    certificate = signed_in.get_by_role("article", name="Certificate moved@1")
    expect(certificate.locator("tr", has_text="logit")).to_contain_text("moved")
    expect(certificate).to_contain_text("has not flagged one of 120 studies")


def test_taking_a_certificate_away_asks_twice_and_says_who_and_why(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    signed_in.goto(f"{address}models")
    signed_in.get_by_role("article", name="Certificate harbour@2").get_by_role("link", name="Take it away").click()
    expect(signed_in.get_by_role("heading", name="Take certificate harbour@2 away?")).to_be_visible()
    assert seeded.desk_rows(audit_desk.withdrawals) == []
    signed_in.get_by_label("Why").fill("films of a new detector")
    signed_in.get_by_role("button", name="Take it away").click()
    expect(signed_in.get_by_text("Your order is on file")).to_be_visible()
    (row,) = seeded.desk_rows(audit_desk.withdrawals)
    assert (row.certificate, row.user, row.because) == (NEW, USER, "films of a new detector")
    assert ("certificate-withdrawn", f"certificate {NEW[:16]}") in [
        (each.act, each.subject) for each in seeded.desk_rows(desk.audit)
    ]


def test_a_certificate_that_is_none_cannot_be_taken_away(signed_in: Page, address: str, rows: Rows) -> None:
    for digest in ("f" * 64, "x"):
        answer = signed_in.goto(f"{address}certificates/{digest}/withdraw")
        assert answer is not None
        assert answer.status == 404


def test_an_alarm_stands_on_worklist_status_and_models_until_another_certificate_is_in_force(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    rows.certificate(OLD, "pier@1", site="pier")
    rows.drawn("read-b", OLD, "decoy", "flagged")
    with seeded.engine.begin() as c:
        watch.revoke(c, OLD, at=NOW, cause="drift", who="triage", because="logit moved; martingale 8000")
    said = "Certificate pier@1 was taken away"
    for path in ("", "status", "models"):
        signed_in.goto(f"{address}{path}")
        expect(signed_in.get_by_role("alert").filter(has_text=said)).to_be_visible()
    expect(signed_in.get_by_role("article", name="Certificate pier@1")).to_contain_text("TAKEN AWAY")
    expect(signed_in.get_by_role("article", name="Certificate pier@1").get_by_role("link", name="Take")).to_have_count(
        0
    )
    signed_in.goto(f"{address}?lane=flagged")
    row = signed_in.locator(f"tr[data-study='{seeded.numbers['read-b']}']")
    expect(row).to_contain_text("its certificate was taken away since")
    signed_in.goto(f"{address}studies/{seeded.numbers['read-b']}")
    expect(signed_in.get_by_text("read it as if the machine had said nothing", exact=False)).to_be_visible()
    rows.certificate("e" * 64, "pier@2", site="pier")
    signed_in.goto(address)
    expect(signed_in.get_by_text(said)).to_have_count(0)
    signed_in.goto(f"{address}models")
    expect(signed_in.get_by_text("Certificates taken away")).to_be_visible()


def test_a_warning_and_unanswered_reads_are_said(signed_in: Page, address: str, rows: Rows, seeded: Seeded) -> None:
    with seeded.engine.begin() as c:
        watch.set_monitor(c, "d" * 64, stage="warn")
    number = seeded.study("stale", ["complete", "routine"])
    with seeded.engine.begin() as c:
        watch.put_audit(
            c, certificate="c" * 64, number=number, revision=1, drawn_as="first", rate=1.0, at=NOW - 30 * DAY_S
        )
    signed_in.goto(f"{address}status")
    expect(signed_in.get_by_text("moved@1 is under warning", exact=False)).to_be_visible()
    expect(
        signed_in.get_by_text("1 blinded read waits too long for an answer, of certificate product@1", exact=False)
    ).to_be_visible()


# Repeat?


def test_repeat_is_asked_while_the_patient_may_still_be_there(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    signed_in.goto(address)
    reason = {"code": "gate-turned", "text": "The film is turned."}
    number = seeded.study(
        "turned", ["complete", "hard"], lane="escalated", reasons=[reason], decided_at=time.time() - 5
    )
    banner = signed_in.get_by_role("alert").filter(has_text="REPEAT?")
    expect(banner).to_contain_text("DOE, TURNED")
    expect(banner).to_contain_text("the film looks turned")
    expect(signed_in.locator(f"tr[data-study='{number}'] .repeat")).to_be_visible()
    banner.get_by_role("link").click()
    expect(signed_in.get_by_role("alert").filter(has_text="REPEAT?")).to_contain_text("The film looks turned")


def test_a_first_glance_hints_before_anything_is_decided(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    number = seeded.study("glanced", [], lane=None)
    with seeded.engine.begin() as c:
        digest = ledger.instances_of(c, number)[0].sha256
        glances.begin(c, digest, number)
        c.execute(
            glances.glances.update()
            .where(glances.glances.c.sha256 == digest)
            .values(looked_at=time.time(), hints=[{"code": "gate-blur", "text": "blurred"}])
        )
    signed_in.goto(f"{address}?lane=in-work")
    expect(signed_in.locator(f"tr[data-study='{number}'] .repeat")).to_be_visible()
    expect(signed_in.get_by_role("alert").filter(has_text="DOE, GLANCED")).to_contain_text("the film looks blurred")


def test_what_cannot_be_mended_is_no_repeat(signed_in: Page, address: str, rows: Rows, seeded: Seeded) -> None:
    reason = {"code": "gate-adult", "text": "An adult."}
    number = seeded.study("adult", ["complete", "hard"], lane="escalated", reasons=[reason], decided_at=time.time())
    signed_in.goto(f"{address}?lane=escalated")
    expect(signed_in.locator(f"tr[data-study='{number}']")).to_be_visible()
    expect(signed_in.locator(f"tr[data-study='{number}'] .repeat")).to_have_count(0)


# The kill switch


def ordered(seeded: Seeded) -> list[tuple[str, str, str]]:
    return [(row.kind, row.subject, row.user) for row in seeded.desk_rows(desk.model_orders)]


def obeyed(seeded: Seeded, kind: str, subject: str) -> None:
    """What triage does with an order."""
    given = Order(kind, subject)  # type: ignore[arg-type]
    with seeded.engine.begin() as c:
        roles.file(c, "desk", f"{kind}-{subject}", given, who=USER, issued_at=NOW, at=NOW, outcome="done")


def test_a_model_is_stopped_and_let_decide_again_each_asked_twice(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded
) -> None:
    signed_in.goto(f"{address}models")
    model = signed_in.get_by_role("region", name=f"Model {TITLE}")
    model.get_by_role("link", name="Stop this model").click()
    expect(signed_in.get_by_role("heading", name=f"Stop {TITLE}?")).to_be_visible()
    assert ordered(seeded) == []
    signed_in.get_by_role("button", name="Stop it").click()
    expect(signed_in.get_by_text("Your order is on file")).to_be_visible()
    assert ordered(seeded) == [("model-stop", TITLE, USER)]
    assert seeded.desk_rows(desk.audit)[-1].act == "model-stop"
    obeyed(seeded, "model-stop", TITLE)
    for path in ("", "status", "models"):
        signed_in.goto(f"{address}{path}")
        expect(signed_in.get_by_role("alert").filter(has_text=f"Model {TITLE} is stopped")).to_be_visible()
    expect(model).to_contain_text("STOPPED")
    model.get_by_role("link", name="Let it decide again").click()
    signed_in.get_by_role("button", name="Let it decide").click()
    expect(signed_in.get_by_text("Your order is on file")).to_be_visible()
    assert ordered(seeded)[-1] == ("model-resume", TITLE, USER)
    obeyed(seeded, "model-resume", TITLE)
    signed_in.goto(f"{address}models")
    expect(model).not_to_contain_text("STOPPED")
    expect(signed_in.get_by_text("Orders about models")).to_be_visible()


def test_a_stop_of_every_version_is_lifted_by_name(signed_in: Page, address: str, rows: Rows, seeded: Seeded) -> None:
    name = TITLE.partition("/")[0]
    obeyed(seeded, "model-stop", name)
    signed_in.goto(f"{address}models")
    expect(signed_in.get_by_role("region", name=f"Model {TITLE}")).to_contain_text("STOPPED (every version)")
    signed_in.get_by_role("region", name=f"Model {TITLE}").get_by_role("link", name="Let it decide again").click()
    expect(signed_in.get_by_role("heading", name=f"Let {name} decide again?")).to_be_visible()
    obeyed(seeded, "model-resume", name)


@pytest.mark.parametrize("model", ["nothing/1.0.0", "", "../etc", "x" * 300])
def test_a_model_that_is_none_has_no_switch(signed_in: Page, address: str, rows: Rows, model: str) -> None:
    answer = signed_in.goto(f"{address}models/switch?model={model}")
    assert answer is not None
    assert answer.status == 404


def test_every_code_that_can_be_mended_has_words_for_a_radiographer() -> None:
    assert set(REPEAT_WORDS) == REPEAT_CODES


def test_an_odd_form_is_refused_and_files_nothing(signed_in: Page, address: str, rows: Rows, seeded: Seeded) -> None:
    signed_in.goto(f"{address}models")
    check = signed_in.locator("input[name=check]").first.get_attribute("value") or ""
    before = [len(seeded.desk_rows(table)) for table in (desk.model_orders, audit_desk.withdrawals, audit_desk.answers)]
    nonce = "a-nonce-of-no-form"
    open_audit = audit_of(seeded, "read-b")
    forms: list[tuple[str, dict[str, str], int]] = [
        ("models/switch", {"nonce": nonce, "model": TITLE, "to": "burn"}, 400),
        ("models/switch", {"nonce": nonce, "model": "../x", "to": "stop"}, 400),
        ("models/switch", {"nonce": "short", "model": TITLE, "to": "stop"}, 400),
        (f"certificates/{NEW}/withdraw", {"nonce": nonce, "because": "  "}, 400),
        (f"certificates/{'f' * 64}/withdraw", {"nonce": nonce, "because": "x"}, 404),
        (f"certificates/{NEW}/withdraw", {"nonce": nonce, "because": "x" * 501}, 400),
        (f"audits/{open_audit}/answer", {"nonce": nonce, "answer": "normal"}, 400),
        (f"audits/{open_audit}/answer", {"nonce": "short", "answer": "absent"}, 400),
        ("audits/999/answer", {"nonce": nonce, "answer": "absent"}, 409),
    ]
    same = {"Origin": address.rstrip("/"), "Sec-Fetch-Site": "same-origin"}
    for path, form, status in forms:
        answer = signed_in.request.post(f"{address}{path}", form={"check": check, **form}, headers=same)
        assert answer.status == status, (path, form, answer.status)
        answer = signed_in.request.post(f"{address}{path}", form=form, headers=same)
        assert answer.status == 403, path
    after = [len(seeded.desk_rows(table)) for table in (desk.model_orders, audit_desk.withdrawals, audit_desk.answers)]
    assert before == after


@pytest.mark.parametrize("width", [360, 1280])
def test_none_of_these_pages_scrolls_sideways(
    signed_in: Page, address: str, rows: Rows, seeded: Seeded, width: int
) -> None:
    signed_in.set_viewport_size({"width": width, "height": 800})
    switch = f"models/switch?model={TITLE}"
    for where in ("audits", f"audits/{audit_of(seeded, 'read-b')}", "models", switch, f"certificates/{NEW}/withdraw"):
        signed_in.goto(f"{address}{where}")
        over = signed_in.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, where
