"""docs/wire-protocol.md says all that the models parse, in the same words every time."""

import pytest

from appliance.core import case, command, document, messages, protocol, transfer
from appliance.core.lifecycle import WIRE_MOVES


@pytest.fixture(scope="module")
def text() -> str:
    return protocol.protocol_text()


def section(text: str, name: str) -> str:
    return text.split(f"### {name}\n", 1)[1].split("\n### ", 1)[0]


def test_every_document_of_the_wire_is_described():
    found = [*vars(case).values(), *vars(command).values(), *vars(messages).values(), *vars(transfer).values()]
    every = {model for model in found if isinstance(model, type) and issubclass(model, case.Document)}
    named = {model for model in every if "schema_version" in model.model_fields}
    assert named == {*protocol.ON_TOPICS.values(), *protocol.INSIDE}
    assert {*protocol.ON_TOPICS, "part"} == {*messages.UP_KINDS, *messages.DOWN_KINDS}


@pytest.mark.parametrize(
    "model",
    [
        *protocol.ON_TOPICS.values(),
        *protocol.INSIDE,
        *(
            case.Characteristics,
            case.Finding,
            case.Guard,
            case.KeyImage,
            case.Model,
            case.Opinion,
            case.Reader,
            case.Stamp,
        ),
    ],
    ids=lambda model: model.__name__,
)
def test_every_field_stands_in_its_document(text, model):
    rows = [line for line in section(text, model.__name__).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(model.model_fields)
    assert all(row.count(" | ") == 2 for row in rows), "a stray bar breaks the table"


def test_limits_and_moves_are_those_of_the_code(text):
    assert f"at most {messages.ROLL_MAX}; each `^[0-9a-f]{{32}}$`" in section(text, "Roll")
    assert "| `rev` | integer | 1 to 10000 |" in section(text, "Verdict")
    assert "| `probability` | number or null | 0 to 1 |" in section(text, "Finding")
    assert f"more than {document.MESSAGE_BYTES_MAX} bytes" in text.replace("\n", " ")
    for (start, end), event in WIRE_MOVES.items():
        assert f"| {start} | {end} | {event} |" in text


def test_the_text_is_the_same_every_time(text):
    assert protocol.protocol_text() == text
    assert text.endswith("|\n")
    assert max(map(len, protocol.RULES.splitlines())) <= 120
