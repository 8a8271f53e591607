"""A procedure step out of its bytes: UIDs and state or a refusal, and what it comes to over several messages."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from appliance.core import performed_step
from appliance.core.performed_step import Message, State, after, message_of, step_of
from appliance.errors import Quarantined
from tests.performed_steps import BIG, EXPLICIT, IMPLICIT, begun, encoded, ended, series_items

STUDY = "1.2.826.0.1.7"
NAMED = {"1.2.1": ["1.2.1.1", "1.2.1.2"], "1.2.2": []}
OBJECTS = (("1.2.1", ""), ("1.2.1", "1.2.1.1"), ("1.2.1", "1.2.1.2"), ("1.2.2", ""))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_studies_series_and_objects_are_read_and_nothing_else(syntax: str) -> None:
    told = message_of(syntax, encoded(begun(STUDY, STUDY, "1.2.9"), syntax), creates=True)
    assert told == Message("IN PROGRESS", (STUDY, "1.2.9"))
    told = message_of(syntax, encoded(ended(NAMED), syntax), creates=False)
    assert told == Message("COMPLETED", (), OBJECTS)
    assert message_of(syntax, encoded(ended(NAMED, ""), syntax), creates=False).state is None


def test_what_is_no_image_is_named_too() -> None:
    told = Dataset()
    told.PerformedSeriesSequence = series_items(
        {"1.2.3": ["1.2.3.1"]}, "ReferencedNonImageCompositeSOPInstanceSequence"
    )
    assert message_of(IMPLICIT, encoded(told), creates=False).objects == (("1.2.3", ""), ("1.2.3", "1.2.3.1"))


def without(keyword: str) -> Dataset:
    told = begun(STUDY)
    delattr(told, keyword)
    return told


def a_word_for_a_sequence() -> Dataset:
    told = without("PerformedSeriesSequence")
    told.add_new(0x00400340, "LO", "COMPLETED")
    return told


@pytest.mark.parametrize(
    "made",
    [
        begun,  # of no study
        partial(without, "PerformedProcedureStepStatus"),
        partial(begun, STUDY, state="COMPLETED"),  # nothing begins by its end
        partial(begun, STUDY, state="SCHEDULED"),
        partial(begun, "../x"),
        partial(begun, STUDY, named={"": []}),
        partial(begun, STUDY, named={"1.2.1": ["no uid"]}),
        partial(begun, STUDY, named={"1.2.1": ["1.2." + "3" * 70]}),
        a_word_for_a_sequence,
    ],
)
@pytest.mark.filterwarnings("ignore")  # pydicom's, of odd values
def test_what_no_modality_should_tell_is_refused(made: Callable[[], Dataset]) -> None:
    with pytest.raises(Quarantined, match="step-malformed"):
        message_of(EXPLICIT, encoded(made(), EXPLICIT), creates=True)


def test_an_unknown_state_a_wrong_syntax_and_too_much_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for syntax, told in ((IMPLICIT, ended(NAMED, "DONE")), ("1.2.840.10008.1.2.1.99", ended(NAMED))):
        with pytest.raises(Quarantined, match="step-malformed"):
            message_of(syntax, encoded(told), creates=False)
    monkeypatch.setattr(performed_step, "OBJECTS_MAX", 1)
    with pytest.raises(Quarantined, match="ReferencedImageSequence"):
        message_of(IMPLICIT, encoded(ended(NAMED)), creates=False)


@pytest.mark.filterwarnings("ignore")  # pydicom's, of odd bytes
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=200), syntax=st.sampled_from([IMPLICIT, EXPLICIT, BIG, ""]), creates=st.booleans())
def test_no_bytes_raise_anything_but_what_is_named(data: bytes, syntax: str, creates: bool) -> None:
    whole = encoded(begun(STUDY, named=NAMED))
    for told in (data, whole[: 3 * len(data)] + data):
        with suppress(Quarantined):
            message_of(syntax, told, creates=creates)


@pytest.mark.parametrize(
    ("state", "told", "comes_to"),
    [
        ("IN PROGRESS", Message(None), "IN PROGRESS"),
        ("IN PROGRESS", Message("IN PROGRESS", (), OBJECTS), "IN PROGRESS"),
        ("IN PROGRESS", Message("COMPLETED", (), OBJECTS), "COMPLETED"),
        ("IN PROGRESS", Message("DISCONTINUED"), "DISCONTINUED"),
        ("COMPLETED", Message("COMPLETED", (), OBJECTS[:2]), "COMPLETED"),  # a replay
        ("COMPLETED", Message(None), "COMPLETED"),
        ("COMPLETED", Message("COMPLETED", (), (*OBJECTS, ("1.2.1", "1.2.1.3"))), "UNCLEAR"),
        ("COMPLETED", Message("DISCONTINUED"), "UNCLEAR"),
        ("DISCONTINUED", Message("IN PROGRESS"), "UNCLEAR"),
        ("UNCLEAR", Message("COMPLETED"), "UNCLEAR"),
    ],
)
def test_what_goes_on_after_its_end_is_evidence_no_more(state: State, told: Message, comes_to: State) -> None:
    assert after(state, OBJECTS, told) == comes_to


def test_a_step_knows_its_series_and_its_objects() -> None:
    step = step_of("COMPLETED", OBJECTS)
    assert (step.series, step.objects) == ({"1.2.1", "1.2.2"}, {"1.2.1.1", "1.2.1.2"})
