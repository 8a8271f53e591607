"""A Modality Performed Procedure Step (PS3.4 Annex F) out of its bytes, and what it comes to over its messages.

The message is hostile: nothing of it is believed but its state and UIDs, and their number has a limit. What it says of
the patient is not looked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from appliance.core.admit import DAMAGE, UID, UID_LENGTH_MAX
from appliance.core.commitment import SYNTAXES
from appliance.errors import Quarantined

# Performed Procedure Step Status (0040,0252); unclear: a message of it cannot be read, or it went on after its end.
State = Literal["IN PROGRESS", "COMPLETED", "DISCONTINUED", "UNCLEAR"]
TOLD: tuple[State, ...] = ("IN PROGRESS", "COMPLETED", "DISCONTINUED")
ENDED: frozenset[State] = frozenset({"COMPLETED", "DISCONTINUED"})
OBJECTS_MAX, SERIES_MAX, STUDIES_MAX = 20_000, 2_000, 100
REFERENCES = ("ReferencedImageSequence", "ReferencedNonImageCompositeSOPInstanceSequence")


@dataclass(frozen=True, slots=True)
class Message:
    """What one N-CREATE or N-SET says. state: None where an N-SET leaves it as it is; objects: (series, SOP instance),
    each once, and (series, "") for the series itself.
    """

    state: State | None
    studies: tuple[str, ...] = ()
    objects: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PerformedStep:
    """A step as evidence for a study: its state, and all series and objects that any message of it ever named."""

    state: State
    series: frozenset[str]
    objects: frozenset[str]


def step_of(state: State, objects: Iterable[tuple[str, str]]) -> PerformedStep:
    named = list(objects)
    return PerformedStep(state, frozenset(series for series, _ in named), frozenset(uid for _, uid in named if uid))


def message_of(syntax: str, data: bytes, *, creates: bool) -> Message:
    """What a modality says of a step. Raises Quarantined("step-malformed")."""
    try:
        implicit, little = SYNTAXES[syntax]
        told = read_dataset(BytesIO(data), implicit, little)
        state = _state(told, creates)
        studies = [
            _uid(item, "StudyInstanceUID") for item in _items(told, "ScheduledStepAttributesSequence", STUDIES_MAX)
        ]
        objects = list(_objects(told))
    except (*DAMAGE, RecursionError):
        raise Quarantined("step-malformed") from None
    if creates and not studies:
        raise Quarantined("step-malformed", "ScheduledStepAttributesSequence")
    return Message(state, tuple(dict.fromkeys(studies)), tuple(dict.fromkeys(objects)))


def _state(told: Dataset, creates: bool) -> State | None:
    """PS3.4 F.7.2.1.2: a step is created in progress and no otherwise."""
    value = str(told.get("PerformedProcedureStepStatus") or "").strip("\0 ")
    if not value and not creates:
        return None
    found: State | None = next((each for each in TOLD if each == value), None)
    if found is None or (creates and found != "IN PROGRESS"):
        raise Quarantined("step-malformed", "PerformedProcedureStepStatus")
    return found


def _objects(told: Dataset) -> Iterator[tuple[str, str]]:
    left = OBJECTS_MAX
    for item in _items(told, "PerformedSeriesSequence", SERIES_MAX):
        series = _uid(item, "SeriesInstanceUID")
        yield series, ""
        for keyword in REFERENCES:
            named = _items(item, keyword, left)
            left -= len(named)
            for each in named:
                yield series, _uid(each, "ReferencedSOPInstanceUID")


def _items(dataset: Dataset, keyword: str, count_max: int) -> list[Dataset]:
    items = list(dataset.get(keyword) or ())
    if len(items) > count_max or not all(isinstance(item, Dataset) for item in items):
        raise Quarantined("step-malformed", keyword)
    return items


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword, "")).strip("\0 ")
    if not UID.fullmatch(value) or len(value) > UID_LENGTH_MAX:
        raise Quarantined("step-malformed", keyword)
    return value


def after(state: State, known: Iterable[tuple[str, str]], told: Message) -> State:
    """The state of a step once it hears one more message.

    What was unclear stays so. What ended and goes on all the same (PS3.4 F.7.2.2.3 forbids it) is unclear from then on;
    the same end told again is a replay and changes nothing.
    """
    if state not in ENDED:
        return state if state == "UNCLEAR" or told.state is None else told.state
    same = told.state in (None, state) and set(told.objects) <= set(known)
    return state if same else "UNCLEAR"
