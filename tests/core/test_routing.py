"""Routing in words: the numbers that are on file, nothing that is not, and never a word of comfort."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.reasons import REASONS
from appliance.core.routing import LEADS, disagreements, not_assessed, routed

ENDS = {"clear_at_or_below": 0.07, "flag_at_or_above": 0.91}
CHILDREN = {
    "label": "pneumonia",
    "takes": "frame",
    "frames": 1,
    "covers": {"patient_age": {"years_min": 0, "years_max": 5}},
}


def reason(*codes: str) -> list[dict[str, str]]:
    return [{"code": code, "text": REASONS[code]} for code in codes]


def score(logit: float = 0.48, **said: Any) -> dict[str, Any]:
    return {"logit": logit, "exit": 1, "weights": "trained", "gates": {}, "thresholds": ENDS, **said}


def test_the_sentence_of_the_specification() -> None:
    said = routed("escalated", reason("score-between", "age-not-covered"), [score()], ages=["034Y"], models=[CHILDREN])
    assert said == (
        "Sent to the centre: top score +0.48 lies between +0.07 and +0.91; "
        "adult (34 years), the model is paediatric (0 to 5 years)."
    )


@pytest.mark.parametrize(
    ("ends", "logit", "words"),
    [
        (ENDS, 0.05, "+0.05 lies at or below +0.07 (cleared)"),
        (ENDS, 0.07, "+0.07 lies at or below +0.07 (cleared)"),
        (ENDS, 0.91, "+0.91 lies at or above +0.91 (flagged)"),
        ({"clear_at_or_below": None, "flag_at_or_above": 0.91}, -9, "lies below +0.91 (flagged), and the cleared lane"),
        ({"clear_at_or_below": 0.07, "flag_at_or_above": None}, 9, "lies above +0.07 (cleared), and the flagged lane"),
        ({"clear_at_or_below": None, "flag_at_or_above": None}, 1, "has closed lanes beside it"),
        (None, 1, "has no certificate to be held against"),
    ],
)
def test_a_score_is_placed_between_the_ends_that_are_open(ends: Any, logit: float, words: str) -> None:
    assert words in routed("escalated", reason("score-between"), [score(logit, thresholds=ends)])


def test_what_was_measured_or_compared_is_told_with_the_reason() -> None:
    far = score(gates={"distance": 41.5})
    assert "(distance 41.5 from" in routed("escalated", reason("gate-out-of-distribution"), [far])
    paper = {
        "expires": "2026-01-02",
        "site": "harbour",
        "group": {"manufacturer": "Acme", "manufacturer_model_name": "X"},
    }
    assert "has expired (2026-01-02)" in routed("escalated", reason("certificate-expired"), [], certificate=paper)
    other = routed("escalated", reason("certificate-other-group"), [], certificate=paper, scanner="Other Y")
    assert "(this is Other Y, it speaks of Acme X)" in other


def test_nothing_is_said_of_what_is_not_on_file() -> None:
    assert routed("escalated", reason("no-model-applies", "age-not-covered"), []) == (
        "Sent to the centre: the model was not made for patients of this age."
    )
    assert routed("escalated", [], []) == "Sent to the centre: no reason is on file."
    random = routed("escalated", reason("weights-random"), [score(weights="random")])
    assert "0.48" not in random


@given(
    st.sampled_from(sorted(LEADS)),
    st.lists(st.sampled_from(sorted(REASONS)), max_size=4),
    st.lists(st.floats(-50, 50), max_size=2),
    st.lists(st.sampled_from(["", "003Y", "034Y", "011M", "xxx"]), max_size=3),
)
def test_every_reason_gives_one_sentence_without_a_percentage_or_a_word_of_comfort(
    lane: str, codes: list[str], logits: list[float], ages: list[str]
) -> None:
    scores = [score(each, exit=at + 1) for at, each in enumerate(logits)]
    said = routed(lane, reason(*codes), scores, ages=ages, models=[CHILDREN])
    assert said.startswith(LEADS[lane])
    assert "%" not in said
    assert "normal" not in said.lower()
    assert "\n" not in said
    for each in logits:
        assert f"{each:+.2f}" in said


def test_cleared_concerns_the_named_finding_only() -> None:
    said = " ".join(not_assessed("cleared", [score()], [CHILDREN], 1))
    assert "Looked for: pneumonia, and nothing else" in said
    assert "Cleared concerns pneumonia only, and does not rule it out" in said
    assert "frames made of" not in said
    volume = {**CHILDREN, "takes": "volume", "frames": 32}
    assert "32 frames made of 300 images" in " ".join(not_assessed("escalated", [score()], [volume], 300))


@pytest.mark.parametrize(
    ("scores", "models", "words"),
    [
        ([], [CHILDREN], "nothing in it was assessed"),
        ([score()], [], "take nothing in it as assessed"),
        ([score(weights="random")], [CHILDREN], "nothing was assessed, pneumonia neither"),
        ([score(failed=["gate-blur"])], [CHILDREN], "the score counts for nothing"),
    ],
)
def test_a_study_that_nobody_scored_was_not_assessed(scores: Any, models: Any, words: str) -> None:
    assert words in " ".join(not_assessed("escalated", scores, models, 1))


def test_edge_and_centre_are_both_told_and_the_higher_urgency_stands() -> None:
    answer = {"urgency": "urgent", "opinions": [{"label": "Pneumonia", "assessment": "present"}]}
    urgency, finding = disagreements("cleared", "pneumonia", "routine", answer)
    assert urgency == "Urgency: routine here, urgent at the centre. The higher one stands: urgent."
    assert finding.startswith("pneumonia: no flagged finding here, present by the centre's draft")
    (lower,) = disagreements("flagged", "pneumonia", "critical", {"urgency": "routine", "opinions": []})
    assert lower.endswith("stands: critical.")


def test_where_they_say_the_same_nothing_is_told() -> None:
    answer = {"urgency": "urgent", "opinions": [{"label": "pneumonia", "assessment": "present"}]}
    assert disagreements("flagged", "pneumonia", "urgent", answer) == ()
    assert disagreements("cleared", "fracture", "urgent", answer) == ()
    assert disagreements("cleared", "pneumonia", "routine", None) == ()
