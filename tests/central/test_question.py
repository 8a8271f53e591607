"""What the language model is asked: coded fields only, fenced, the same bytes for the same case."""

import json
import re

from centre_samples import a_case
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.case import Finding
from appliance.core.drafting.question import (
    IMPRESSION_LENGTH_MAX,
    IMPRESSION_SENTENCES_MAX,
    LIMITATION_LENGTH_MAX,
    UNLISTED,
    Answer,
    Question,
    answer_schema,
    case_data,
    fenced,
    question,
    repaired,
)


def user_message(asked: Question) -> str:
    message = asked.body["messages"][1]
    assert message["role"] == "user"
    return str(message["content"])


def test_nothing_but_coded_fields_and_numbers_is_said() -> None:
    case = a_case()
    said = user_message(question(case, "m"))
    data = json.loads(said.removeprefix("<case_data>\n").removesuffix("\n</case_data>"))
    assert data == case_data(case)
    assert set(data) == {
        "modality", "body_part", "view", "images", "urgency", "would_be", "reasons", "findings", "gates",
    }  # fmt: skip
    assert case.model is not None
    for silent in (case.case_id, case.model.sha256, case.model.certificate, case.model.name, "sha256"):
        assert silent is not None
        assert silent not in json.dumps(question(case, "m").body)


def test_terms_of_the_header_that_are_not_listed_are_not_said() -> None:
    data = case_data(a_case(body_part="SMITH JOHN", view="WARD 7", modality="XYZ"))
    assert (data["body_part"], data["view"], data["modality"]) == (UNLISTED,) * 3
    assert "SMITH" not in json.dumps(question(a_case(body_part="SMITH JOHN"), "m").body)


def test_the_job_is_named_by_case_prompt_and_model() -> None:
    names = {
        question(a_case(1), "m").sha256,
        question(a_case(2), "m").sha256,
        question(a_case(1), "other").sha256,
        question(a_case(1, images=2), "m").sha256,
    }
    assert len(names) == 4
    assert question(a_case(1), "m") == question(a_case(1), "m")
    assert repaired(question(a_case(1), "m"), "nonsense").sha256 == question(a_case(1), "m").sha256


@given(st.text(max_size=200))
def test_nothing_in_the_fence_ends_it(text: str) -> None:
    said = fenced({"a": text, text: ["</case_data>", "<case_data>"]})
    assert said.count("<") == said.count(">") == 2
    assert said.isascii()
    assert said.count("\n") == 2
    inside = said.removeprefix("<case_data>\n").removesuffix("\n</case_data>")
    assert json.loads(inside)["a"] == (["</case_data>", "<case_data>"] if text == "a" else text)


def test_the_schema_names_exactly_what_may_be_cited() -> None:
    schema = answer_schema(a_case())
    opinion = schema["properties"]["opinions"]["items"]["properties"]
    assert opinion["label"]["enum"] == ["pneumonia"]
    assert opinion["evidence"]["items"]["enum"] == ["F1", "entropy_bits"]
    assert set(schema["required"]) == set(Answer.model_fields) == set(schema["properties"])
    assert answer_schema(a_case(findings=()))["properties"]["opinions"]["maxItems"] == 0


def test_the_schema_holds_a_decoder_to_the_sentences_of_the_guard() -> None:
    properties = answer_schema(a_case())["properties"]
    long, short = properties["impression"]["pattern"], properties["limitations"]["items"]["pattern"]
    two = "The score speaks for pneumonia at 87.4 %. This study needs review by a radiologist."
    assert re.search(long, two)
    assert not re.search(short, two)
    for other in ("The lungs are normal.", "No pneumonia.", "The score speaks for effusion.", "Pneumonia is possible"):
        assert not re.search(long, other)
    shown = "The images shown suggest pneumonia."
    assert not re.search(long, shown)
    assert re.search(answer_schema(a_case(), images=True)["properties"]["impression"]["pattern"], shown)


def test_the_pattern_is_plain_enough_for_every_server() -> None:
    """ECMA 262 knows no backslash before a plain letter; a label that is no plain word is not in it at all."""
    findings = (Finding(id="F1", label="a.b-c_d+e/f", logit=0.5, probability=0.5),)
    listed = answer_schema(a_case(findings=findings, gates={"a.b": 1.0}))["properties"]["impression"]["pattern"]
    assert "a.b" not in listed
    listed = answer_schema(a_case())["properties"]["impression"]["pattern"]
    assert "\\" not in listed
    assert re.search(listed, "The probability of pneumonia is 87.4 %.")
    assert not re.search(listed, "The probability of pneumonia is 87x4 %.")


def test_the_schema_offers_no_opinion_that_the_scores_forbid() -> None:
    def offered(*probabilities: float | None, would_be: str = "escalated") -> list[str]:
        scored = enumerate(zip(("pneumonia", "effusion"), probabilities, strict=False), 1)
        findings = tuple(Finding(id=f"F{n}", label=label, logit=-1.0, probability=p) for n, (label, p) in scored)
        schema = answer_schema(a_case(findings=findings, would_be=would_be))
        return list(schema["properties"]["opinions"]["items"]["properties"]["assessment"]["enum"])

    assert offered(0.3) == offered(None) == ["uncertain"]
    assert offered(0.5) == ["uncertain", "present"]
    assert offered(0.04) == ["uncertain"], "the edge would not have cleared it"
    assert offered(0.04, would_be="cleared") == ["uncertain", "absent"]
    assert offered(0.9, 0.04) == ["uncertain", "present", "absent"]


def test_the_longest_text_of_the_forms_is_no_longer_than_the_schema_allows() -> None:
    """For labels of up to forty letters; with a longer one a server's answer may be refused for its length."""
    label = "x" * 40
    sentence = f"The score indicates {label} at 87.44 %."
    assert len(sentence) <= LIMITATION_LENGTH_MAX
    assert (len(sentence) + 1) * IMPRESSION_SENTENCES_MAX <= IMPRESSION_LENGTH_MAX
