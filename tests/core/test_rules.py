"""The site's table: it only takes models away, whatever a header leaves open; a certificate speaks for one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from appliance.config import Config
from appliance.core.certificate import own_digest
from appliance.core.decide import Decision, Model, chosen
from appliance.core.rules import ModelRule, ResultRule, may_look, selection_sha256, sent
from appliance.core.study import Instance
from tests.core.test_decide import CHILD, MANIFEST, MODEL, REFERENCES, a_certificate, codes, judged

TITLE = MANIFEST.title
NAME = MANIFEST.name
EVERYTHING = {"sr": ("pacs", "archive"), "key-image": ("pacs",)}


def rule(**told: Any) -> ModelRule:
    return ModelRule.model_validate({"name": "a", "models": [], **told})


def result(**told: Any) -> ResultRule:
    return ResultRule.model_validate({"name": "a", "send": ["sr"], "to": ["pacs"], **told})


def described(words: str) -> Instance:
    return replace(CHILD, patient=replace(CHILD.patient, study_description=words))


@pytest.mark.parametrize(
    ("rules", "looks"),
    [
        ([], True),
        ([rule(modality=["CR"], models=[NAME])], True),
        ([rule(modality=["CR"], models=[TITLE])], True),
        ([rule(modality=["CR"], models=["another"])], False),
        ([rule(modality=["MR"])], True),
        ([rule()], False),
        ([rule(modality=["CR"], models=[NAME]), rule(name="b")], True),
        ([rule(name="b"), rule(modality=["CR"], models=[NAME])], False),
        ([rule(years_max=5)], False),
        ([rule(years_min=18)], True),
        ([rule(manufacturer_model_name=["PX-*"])], True),  # a name of a device is no pattern
        ([rule(manufacturer_model_name=["PX-224"])], False),
    ],
)
def test_the_first_rule_that_matches_counts(rules: list[ModelRule], looks: bool) -> None:
    assert may_look(rules, TITLE, [CHILD]) is looks


@pytest.mark.parametrize(("words", "looks"), [("Thorax INTENSIV bett", False), ("Thorax ap", True), ("", False)])
def test_words_of_a_description_in_any_case_and_silence_is_no_permission(words: str, looks: bool) -> None:
    assert may_look([rule(study_description=["*intensiv*"])], TITLE, [described(words)]) is looks


def test_what_a_header_does_not_tell_must_be_allowed_either_way() -> None:
    ageless = replace(CHILD, patient_age="")
    assert not may_look([rule(years_min=18)], TITLE, [ageless]), "it may be an adult"
    assert may_look([rule(years_min=18, models=[NAME])], TITLE, [ageless])
    assert not may_look([rule(years_max=17, models=[NAME]), rule(name="b")], TITLE, [ageless])


def test_one_image_that_is_not_allowed_is_enough() -> None:
    other = replace(CHILD, view_position="LL")
    assert not may_look([rule(view_position=["LL"])], TITLE, [CHILD, other])


HEADERS = st.builds(
    replace,
    st.just(CHILD),
    modality=st.sampled_from(["CR", "MR", ""]),
    body_part_examined=st.sampled_from(["CHEST", "HEAD", ""]),
    patient_age=st.sampled_from(["004Y", "040Y", "", "odd"]),
)
RULES = st.lists(
    st.builds(
        rule,
        modality=st.lists(st.sampled_from(["CR", "MR"]), max_size=2),
        body_part_examined=st.lists(st.sampled_from(["CHEST", "HEAD"]), max_size=2),
        years_max=st.sampled_from([None, 5, 80]),
        models=st.lists(st.sampled_from([NAME, "another"]), max_size=2),
    ),
    max_size=4,
)


@given(RULES, HEADERS, st.sampled_from(["modality", "body_part_examined", "patient_age"]))
def test_a_blank_header_never_gains_a_model(rules: list[ModelRule], image: Instance, key: str) -> None:
    """What is allowed with a value left out is allowed with every value that could have stood there."""
    if may_look(rules, TITLE, [replace(image, **{key: ""})]):
        for value in {"modality": ("CR", "MR"), "body_part_examined": ("CHEST", "HEAD")}.get(key, ("004Y", "040Y")):
            assert may_look(rules, TITLE, [replace(image, **{key: value})])


def decided(rules: Sequence[ModelRule], *, certified_under: Sequence[ModelRule] = ()) -> Decision:
    """What comes of a film far inside the cleared lane."""
    plan = a_certificate().plan.model_copy(
        update={"selection_sha256": selection_sha256(certified_under, MANIFEST.applies_to.modality)}
    )
    certificate = a_certificate(plan=plan, plan_digest=plan.digest)
    model = Model(MANIFEST, REFERENCES, (certificate,), tuple(rules))
    return judged(-3.0, model=model)


def test_a_certificate_speaks_for_the_rules_it_was_made_under() -> None:
    allowing = [rule(modality=["CR"], models=[NAME])]
    assert decided([]).lane == "cleared"
    assert decided(allowing, certified_under=allowing).lane == "cleared"
    for rules, under in ((allowing, []), ([], allowing), ([*allowing, rule(name="b")], allowing)):
        found = decided(rules, certified_under=under)
        assert (found.lane, codes(found)) == ("escalated", ["certificate-other-rules"])
        assert found.would_be != "flagged"


def test_rules_of_other_modalities_and_names_of_rules_close_nothing() -> None:
    assert decided([rule(modality=["MR"])]).lane == "cleared"
    allowing = rule(modality=["CR"], models=[NAME])
    assert decided([allowing.model_copy(update={"name": "new"})], certified_under=[allowing]).lane == "cleared"


def test_plans_made_before_there_were_rules_keep_their_digest() -> None:
    certificate = a_certificate()
    assert "selection_sha256" not in certificate.plan.model_dump(mode="json")
    assert certificate.digest == own_digest(certificate)


def test_a_study_that_no_model_may_look_at_is_hard_and_says_why() -> None:
    found = chosen([CHILD], [replace(MODEL, rules=(rule(),))])
    assert isinstance(found, Decision)
    assert (found.lane, codes(found)) == ("escalated", ["rule-takes-model-away"])
    ruled = decided([rule()], certified_under=[rule()])
    assert (ruled.lane, ruled.scores) == ("escalated", ())


def test_without_rules_everything_goes_everywhere() -> None:
    assert sent([], [CHILD], lane="flagged", decision="agree", everything=EVERYTHING) == EVERYTHING


def test_rules_for_results_add_up_within_what_there_is() -> None:
    rules = [
        result(lane=["flagged"], send=["sr", "key-image"], to=["pacs", "unknown"]),
        result(name="b", modality=["CR"], decision=["disagree"], to=["archive"]),
        result(name="c", modality=["MR"], to=["archive"]),
    ]

    def where(lane: Any, decision: Any) -> dict[Any, tuple[str, ...]]:
        return sent(rules, [CHILD], lane=lane, decision=decision, everything=EVERYTHING)

    assert where("flagged", "agree") == {"sr": ("pacs",), "key-image": ("pacs",)}
    assert where("flagged", "disagree") == EVERYTHING
    assert where("escalated", "disagree") == {"sr": ("archive",)}
    assert where("cleared", "agree") == {}


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"models": [{"name": "a", "models": [], "modalty": ["CR"]}]}, "modalty"),
        ({"models": [{"name": "a", "models": [], "years_min": 9, "years_max": 3}]}, "years_min"),
        (
            {"models": [{"name": "a", "models": []}], "results": [{"name": "a", "send": ["sr"], "to": ["x"]}]},
            "twice|two",
        ),
        ({"models": [{"name": "a", "models": ["Not A Name"]}]}, "pattern"),
    ],
)
def test_a_wrong_table_is_named(told: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Config.model_validate({"rules": told})
