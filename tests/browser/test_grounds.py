"""The case page says why in words, what nobody looked for, what was promised, and where edge and centre disagree."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from seeding import MODEL, NOW, Seeded, put_frames, ramp

from appliance.core.reasons import REASONS
from appliance.world.ledger import watch

DIGEST = "c" * 64


@pytest.fixture(scope="module")
def papers(seeded: Seeded) -> Seeded:
    """The model that the seeded results name, and its certificate."""
    facts = {
        "label": "pneumonia",
        "intended_use": "Frontal chest films of children.",
        "weights": "trained",
        "covers": {"modality": ["CR"], "patient_age": {"years_min": 4, "years_max": 9}},
        "takes": "frame",
        "frames": 1,
    }
    certificate = {
        "name": "harbour@1",
        "site": "harbour",
        "group": {"manufacturer": "Harbour Imaging", "manufacturer_model_name": "PX-1"},
        "label": "pneumonia",
        "contract": {"false_omission_max": 0.01, "miss_max": 0.05, "false_discovery_max": 0.1},
        "delta": 0.05,
        "patients": 213,
        "created": "2026-11-20",
        "expires": "2999-01-01",
        "reference": {},
        "audit_rate": 0.25,
    }
    start = {"state": {}, "stage": "quiet", "stage_since": NOW, "e_value": 1.0, "answers": 0, "misses": 0, "drift": {}}
    with seeded.engine.begin() as c:
        watch.put_installed(c, MODEL, facts, NOW)
        watch.put_monitor(c, DIGEST, MODEL, certificate, start)
    return seeded


def reason(*codes: str) -> list[dict[str, str]]:
    return [{"code": code, "text": REASONS[code]} for code in codes]


def test_the_reason_for_routing_stands_in_words_with_its_numbers(
    signed_in: Page, address: str, papers: Seeded, keep: Callable[[str], None]
) -> None:
    case_id = "5" * 32
    number = papers.study(
        "between",
        ["complete", "hard", "escalated", "answered"],
        lane="escalated",
        would_be="cleared",
        case_id=case_id,
        reasons=reason("score-between", "age-not-covered"),
    )
    opinions = [{"label": "pneumonia", "assessment": "present", "evidence": ["F1"]}]
    papers.answer(number, case_id, connected=True, opinions=opinions)
    put_frames(papers.places, number * 100, [ramp()], windows=[[475.5, 951]])
    signed_in.goto(f"{address}studies/{number}")
    expect(signed_in.locator("#routed")).to_have_text(
        "Sent to the centre: top score -1.25 lies at or below -0.80 (cleared); "
        "child (3 years), the model is paediatric (4 to 9 years)."
    )
    expect(signed_in.locator("#disagree")).to_contain_text("The higher one stands: urgent")
    expect(signed_in.locator("#disagree")).to_contain_text("no flagged finding here, present by the centre's draft")
    expect(signed_in.locator("#not-assessed")).to_contain_text("Every other finding was not assessed")
    signed_in.locator("#not-assessed").scroll_into_view_if_needed()
    keep("case-grounds")


def test_the_promise_is_one_click_away(
    signed_in: Page, address: str, papers: Seeded, keep: Callable[[str], None]
) -> None:
    signed_in.goto(f"{address}studies/{papers.numbers['cleared']}")
    promise = signed_in.locator("#promise")
    expect(promise.get_by_text("of those cleared at most 1 % have the finding")).to_be_hidden()
    promise.locator("summary").focus()
    signed_in.keyboard.press("Enter")
    expect(promise.get_by_text("of those cleared at most 1 % have the finding")).to_be_visible()
    expect(promise).to_contain_text("213 patients")
    expect(signed_in.locator("#not-assessed")).to_contain_text("Cleared concerns pneumonia only")
    signed_in.locator("#promise").scroll_into_view_if_needed()
    keep("case-promise")


def test_a_study_without_a_model_was_not_assessed(signed_in: Page, address: str, papers: Seeded) -> None:
    signed_in.goto(f"{address}studies/{papers.numbers['late']}")
    expect(signed_in.locator("#not-assessed")).to_contain_text("nothing in it was assessed by a machine")
    expect(signed_in.locator("#not-assessed")).to_contain_text("no promise was made")
    expect(signed_in.locator("#disagree")).to_have_count(0)
