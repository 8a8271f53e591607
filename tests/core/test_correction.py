"""A correction says what a signer said, in codes, without a day; and no such document can ever certify anything."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import correction
from appliance.core.correction import (
    Correction,
    Judged,
    Label,
    Named,
    Scorer,
    decode_correction,
    is_code,
    judged,
    key_of,
    label_of,
    with_addendum,
    year_of,
)
from appliance.core.decision_reasons import FINDING_SAID, OF_DECISION
from appliance.core.document import encode
from appliance.core.labels import read_labels, read_scores
from appliance.errors import Quarantined, Refused

PNEUMONIA = Label(scheme="SCT", code="233604007")
SCORER = Scorer(title="cxr/1.0.0", graphs_sha256="5" * 64, exit=2, logit=0.62, certificate_plan="7" * 64)


def a_correction(**changes: Any) -> Correction:
    fields: dict[str, Any] = {
        "key": "a" * 32,
        "rev": 1,
        "case_id": "c" * 32,
        "revision": 1,
        "decision": "disagree",
        "reason": "missed-finding",
        "lane": "cleared",
        "urgency": "urgent",
        "saw_ai": True,
        "impression": None,
        "findings": (Judged(label=PNEUMONIA, said="wrong", scorer=SCORER),),
        "uncoded": 0,
        "addenda": 0,
        "year": 2026,
    }
    return Correction(**{**fields, **changes})


def test_it_comes_back_as_it_went_and_in_one_spelling_only() -> None:
    made = a_correction()
    assert decode_correction(encode(made)) == made
    for other in (json.dumps(json.loads(encode(made)), indent=1).encode(), b"{}", encode(made)[:-1]):
        with pytest.raises(Quarantined, match="message-invalid"):
            decode_correction(other)


@pytest.mark.parametrize(
    "changes",
    [
        {"note": "Frau Z. had a fall"},
        {"user": "anna"},
        {"study_instance_uid": "1.2.3"},
        {"study_date": "20260117"},
        {"selection": "random"},
        {"decision": "correct"},
        {"reason": "she fell"},
        {"reason": "image-quality"},  # of another decision
        {"year": 20260117},
        {"year": "2026"},
        {"impression": "pneumonia"},
        {"key": "PAT-1"},
    ],
)
def test_nothing_else_fits_in(changes: dict[str, Any]) -> None:
    plain = {**json.loads(encode(a_correction())), **changes}
    with pytest.raises(Quarantined, match="message-invalid"):
        decode_correction(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())


def test_every_field_is_a_number_a_code_or_of_a_closed_list() -> None:
    """Free text has no place: a string field has a pattern that holds no blank, or a list of words."""
    for model in (Correction, Judged, Scorer, Label):
        for name, field in model.model_json_schema()["properties"].items():
            for each in field.get("anyOf", [field]):
                free = each.get("type") == "string" and not ("enum" in each or "const" in each or "pattern" in each)
                assert not free, name
                assert " " not in each.get("pattern", "").replace(r"[ ]", " "), name


def test_all_reasons_and_judgements_of_the_page_can_be_said() -> None:
    assert set(correction.DECIDED) == set(OF_DECISION)
    assert set(get_args(correction.Judgement)) == set(FINDING_SAID)
    for given_decision, reasons in OF_DECISION.items():
        for reason in ("", *reasons):
            a_correction(decision=correction.DECIDED[given_decision], reason=reason)


def test_a_code_is_known_by_its_shape() -> None:
    assert is_code("SCT", "233604007")
    assert is_code("SCT", "73211009")
    assert is_code("RADLEX", "RID5350")
    assert [
        code for code in ("4471182", "19840213", "0233604007", "233604008", "12345", "") if is_code("SCT", code)
    ] == []
    assert not is_code("RADLEX", "4471182")
    assert label_of("SCT", "233604007") == PNEUMONIA
    assert label_of("99SITE", "1") is None
    with pytest.raises(ValueError, match="no code"):
        Label(scheme="SCT", code="4471182")


@given(st.integers(10**5, 10**12))
def test_of_numbers_at_most_one_in_ten_is_a_code(number: int) -> None:
    """One check digit for each stem, and any single wrong digit is noticed."""
    right = [last for last in range(10) if is_code("SCT", f"{number}{last}")]
    assert len(right) == 1


def test_the_findings_of_the_page_become_codes_and_what_has_none_is_counted() -> None:
    known = [Named("pneumonia", PNEUMONIA, SCORER), Named("mass", label_of("RADLEX", "RID3874"))]
    said = {"Pneumonia": "wrong", "mass": "right", "something-else": "right", "odd": "perhaps"}
    found, uncoded = judged(known, said)
    assert found == (
        Judged(label=PNEUMONIA, said="wrong", scorer=SCORER),
        Judged(label=Label(scheme="RADLEX", code="RID3874"), said="right", scorer=None),
    )
    assert uncoded == 1
    assert judged(known, {})[0] == (Judged(label=PNEUMONIA, said=None, scorer=SCORER),)
    assert judged([Named("pneumonia", None, SCORER)], {"pneumonia": "right"}) == ((), 1)


def test_a_key_stays_with_the_study_and_tells_nobody_whose_it_is() -> None:
    assert key_of(b"k" * 32, "1.2.3") == key_of(b"k" * 32, "1.2.3")
    assert len({key_of(b"k" * 32, "1.2.3"), key_of(b"l" * 32, "1.2.3"), key_of(b"k" * 32, "1.2.4")}) == 3


def test_an_addendum_makes_a_new_rev_and_says_that_there_were_words() -> None:
    after = with_addendum(a_correction())
    assert (after.rev, after.addenda) == (2, 1)
    assert after.model_copy(update={"rev": 1, "addenda": 0}) == a_correction()
    assert year_of(1_767_225_599.0) == 2025
    assert year_of(1_767_225_600.0) == 2026


LINES = encode(a_correction()) + b"\n" + encode(a_correction(key="b" * 32)) + b"\n"
TABLE = b"film,finding,selection\nf1,1,worklist\nf2,0,worklist\n"


@pytest.mark.parametrize(
    "data", [LINES, b"\xef\xbb\xbf" + LINES, b"[" + LINES.replace(b"}\n{", b"},{") + b"]", TABLE, TABLE.upper()]
)
def test_no_certificate_is_made_of_corrections(data: bytes) -> None:
    for read in (read_labels, lambda each: read_scores(each, 1)):
        with pytest.raises(Refused) as told:
            read(data)
        assert told.value.code == "labels-selected"


def test_what_chance_drew_may_have_a_column_that_says_so() -> None:
    assert len(read_labels(b"film,finding,selection\nf1,1,random\nf2,0,random\n").rows) == 2
