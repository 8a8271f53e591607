"""The list of sentences: the schema's expression and the guard take the same texts, and each says what is so."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.case import Case, Finding, Opinion
from appliance.core.drafting.findings import KINDS, PLACES, absent_opposed, foremost, speaks_for, understood
from appliance.core.drafting.forms import MEASURES, Form, forms, pattern, unlisted
from appliance.core.drafting.guard import RULES_OUT, SIDE, verdict_on
from appliance.core.drafting.question import IMPRESSION_SENTENCES_MAX, Answer, Answered, answer_schema
from appliance.core.gates import Measure
from tests.central.centre_samples import a_case, a_picture
from tests.central.hostile_forms import DENYING

MODELS = Path(__file__).parents[2] / "models"
PICTURE = a_picture(1)

words = st.sampled_from(sorted(KINDS | PLACES))
labels = st.one_of(
    st.builds("-".join, st.lists(words, min_size=1, max_size=3)),
    st.builds("_".join, st.lists(words.map(str.capitalize), min_size=1, max_size=3)),
    st.sampled_from(DENYING),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,12}", fullmatch=True),
)
probabilities = st.one_of(
    st.none(),
    st.floats(0, 1),
    st.integers(0, 1000).map(lambda each: each / 1000),
    st.sampled_from(
        (0.0, 1.0, 1e-12, 5e-5, 0.00005, 0.0004, 0.005, 0.025, 0.145, 0.4999, 0.5, 0.9995, 0.99995, 0.9999999)
    ),
)
measured = st.one_of(
    st.floats(-1e9, 1e9), st.floats(-2, 2), st.sampled_from((0.0, -0.0, 1.0, 0.96, 0.9996, 256.0, -1e-9))
)
names = st.one_of(
    st.sampled_from(sorted(MEASURES)), st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,12}", fullmatch=True)
)


@st.composite
def cases(draw: Any) -> Case:
    told = draw(st.lists(st.tuples(labels, st.floats(-9, 9), probabilities), max_size=4))
    return a_case(
        findings=tuple(Finding(id=f"F{n}", label=a, logit=b, probability=c) for n, (a, b, c) in enumerate(told, 1)),
        gates=draw(st.dictionaries(names, measured, max_size=3)),
        would_be=draw(st.sampled_from(("cleared", "flagged", "escalated", None))),
        urgency=draw(st.sampled_from(("routine", "urgent", "critical"))),
        key_images=(PICTURE,),
        frames=1,
    )


def ecma(expression: str) -> re.Pattern[str]:
    """As ECMA 262 reads it, where `$` is the very end and not also the place before a last line feed."""
    assert expression.endswith("$")
    return re.compile(expression.removesuffix("$") + r"\Z", re.ASCII)


def whole_text(form: Form, data: st.DataObject) -> str:
    return str(data.draw(st.from_regex(re.compile(form.expression, re.ASCII), fullmatch=True))) + "."


@given(cases(), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_schema_and_guard_take_the_same_texts(case: Case, images: bool, data: st.DataObject) -> None:
    """Whatever the expression takes, the guard takes; and of texts near it or far from it, none is one's alone."""
    count = data.draw(st.sampled_from((1, IMPRESSION_SENTENCES_MAX)))
    listed, every = ecma(pattern(case, count, images=images)), forms(case, images=images)
    said = " ".join(
        whole_text(form, data) for form in data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=4))
    )
    assert (listed.search(said) is None) == (said.count(". ") >= count) == unlisted(said, case, count, images=images)
    place = data.draw(st.integers(0, len(said)))
    wrong = data.draw(
        st.one_of(st.sampled_from(["", " ", ".", ". ", "\n", "\u00a0", "0", "not ", "P", said]), st.characters())
    )
    for other in (
        said[:place] + wrong + said[place + 1 :],
        said[:place] + wrong + said[place:],
        said.swapcase(),
        wrong,
    ):
        assert (listed.search(other) is None) == unlisted(other, case, count, images=images), repr(other)


@given(cases(), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_listed_sentence_beside_an_opinion_it_agrees_with_passes_every_check(
    case: Case, images: bool, data: st.DataObject
) -> None:
    """What the schema lets a model write is not withheld for its words: no check of the guard knows better."""
    form = data.draw(st.sampled_from(forms(case, images=images)))
    said = whole_text(form, data)
    known = {named.label for named in understood(case)}
    opinions = []
    for label in dict.fromkeys(finding.label for finding in case.findings):
        own = [finding for finding in case.findings if finding.label == label]
        may = {
            "uncertain": True,
            "present": label in known and any(speaks_for(case, finding) for finding in own),
            "absent": label in known and not absent_opposed(case, label),
        }
        may = {word: may[word] and (label != form.label or word in form.beside) for word in may}
        if not any(may.values()):
            return
        word: Any = data.draw(st.sampled_from([word for word, sound in may.items() if sound]))
        opinions.append(Opinion(label=label, assessment=word, evidence=tuple(finding.id for finding in own)))
    urgency = "critical" if form.pressing else case.urgency
    if form.label and form.label not in foremost(case):
        return
    answer = Answer(opinions=tuple(opinions), impression=said, urgency=urgency, limitations=())
    verdict = verdict_on(case, Answered(answer, "some-model", "server"), images)
    assert [guard for guard in verdict.guards if not guard.passed] == []
    assert verdict.impression == said


@given(cases())
@settings(max_examples=200, deadline=None)
def test_a_number_said_of_a_finding_is_its_highest(case: Case) -> None:
    for form in forms(case, images=True):
        for share in re.findall(r"(\d+(?:\[[.]\]\d+)?) %", form.expression):
            own = [finding.probability for finding in case.findings if finding.label == form.label]
            assert None not in own
            said = float(share.replace("[.]", "."))
            assert 0 < said < 100
            assert abs(said - 100 * max(each for each in own if each is not None)) <= 0.5 + 1e-6


def test_no_opinion_leaves_a_label_that_can_be_named_without_a_sentence() -> None:
    """Every word an opinion may be has sentences beside it, so that a model that is held to the list is not stuck."""
    case = a_case(findings=(Finding(id="F1", label="pneumonia", logit=1.0, probability=0.7),))
    beside = [form.beside for form in forms(case, images=False) if form.label]
    assert all(any(word in each for each in beside) for word in ("present", "uncertain", "absent"))


@pytest.mark.parametrize("label", DENYING)
def test_a_label_that_is_not_understood_is_not_said(label: str) -> None:
    case = a_case(findings=(Finding(id="F1", label=label, logit=3.0, probability=0.9),))
    assert understood(case) == []
    assert label not in str(answer_schema(case)["properties"]["impression"]["pattern"]).split("(?:")
    assert not any(form.label for form in forms(case, images=True))


def test_the_labels_of_the_packages_here_and_of_known_collections_are_understood() -> None:
    shipped = [json.loads(path.read_text()) for path in MODELS.glob("*/*/manifest.json")]
    named = [each["label"]["name"] for each in shipped if each["weights"] != "random"]
    assert named
    known = ("Pleural_Effusion", "lung-opacity", "Lung_Lesion", "rib-fracture", "PleuralThickening", "midline-shift")
    for label in (*named, *known, "pneumothorax", "haemorrhage", "Edema"):
        case = a_case(findings=(Finding(id="F1", label=label, logit=3.0, probability=0.9),))
        assert [each.label for each in understood(case)] == [label]


def test_no_word_of_a_label_rules_out_or_names_a_side() -> None:
    denying = "no non not none nothing without free normal negative absent absence clear healthy benign old other low"
    assert not (KINDS | PLACES) & set(denying.split())
    assert not KINDS & PLACES
    for word in KINDS | PLACES:
        assert re.fullmatch("[a-z]{3,}", word)
        assert not RULES_OUT.search(word)
        assert not SIDE.search(word)


def test_the_measures_are_those_of_the_gates() -> None:
    assert set(get_args(Measure)) == MEASURES


def test_the_fullest_case_gives_a_pattern_without_repetition() -> None:
    """So there is nothing to backtrack in: no star, no plus, and one bounded count."""
    pairs = [f"{place}-{kind}" for place in sorted(PLACES)[:4] for kind in sorted(KINDS)[:5]]
    findings = tuple(
        Finding(id=f"F{n}", label=label, logit=1.0, probability=0.87654) for n, label in enumerate(pairs, 1)
    )
    case = a_case(findings=findings, gates=dict.fromkeys(MEASURES, 1.2345), key_images=(PICTURE,), frames=1)
    listed = pattern(case, IMPRESSION_SENTENCES_MAX, images=True)
    assert len(listed) < 30_000
    assert not set("*+\\") & set(listed)
    assert re.findall(r"\{[^}]*\}", listed) == ["{0,2}"]
    assert unlisted("The probability of acute-abscess is 87.65 %. " * 500 + "!", case, 3, images=True)


def test_beside_a_higher_label_that_cannot_be_named_none_is() -> None:
    findings = (
        Finding(id="F1", label="effusion", logit=-3.0, probability=0.02),
        Finding(id="F2", label="scaphoid-something", logit=3.0, probability=0.9),
    )
    assert [form.label for form in forms(a_case(findings=findings), images=True) if form.label] == []
    assert any(form.label for form in forms(a_case(findings=findings[:1]), images=True))


@pytest.mark.parametrize(("value", "said"), [(123456.5, False), (-99999.5, True), (0.0, False), (0.9996, False)])
def test_a_measure_that_looks_like_a_number_of_a_person_is_not_said(value: float, said: bool) -> None:
    listed = forms(a_case(gates={"distance": value}), images=False)
    assert any(form.expression.startswith("The measure") for form in listed) is said
