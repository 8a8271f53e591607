"""What a language model's server answers: its envelope and, within, an answer of the asked-for shape or none.

Pure. Servers add fields of their own, so of the envelope only what is used is looked at, strictly; the answer itself is
a stranger's document and read whole.
"""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.core.drafting.question import NO_MODEL_ID, Answer, Answered
from appliance.errors import Quarantined

CUT = ("length", "content_filter")  # reasons for which an answer is not whole
NAME_LENGTH_MAX = 120
NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.:@/+-]{{0,{NAME_LENGTH_MAX - 1}}}")
VERSION = re.compile(r"(?:[-:@]v?[0-9]{1,4}(?:[.-][0-9]{1,2}){0,2})?")
# Between triage and its own small model's process: exit codes are all that is believed of one that gave no reply.
REPLY_BYTES_MAX = 48 * 1024  # less than a pipe holds, so that nobody waits for the other
NO_RUNTIME, WRONG_WEIGHTS, NO_REPLY = 3, 4, 5


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Said(_Lenient):
    content: str | None = None


class _Choice(_Lenient):
    finish_reason: str | None = None
    message: _Said


class Completion(_Lenient):
    """The envelope of a chat completion (the protocol that OpenAI made common)."""

    model: str = ""
    system_fingerprint: str | None = None
    choices: Annotated[tuple[_Choice, ...], Field(min_length=1, max_length=8)]

    @property
    def said(self) -> str:
        """Whatever it said, whole or not."""
        return self.choices[0].message.content or ""

    def answered(self, server: str, model: str, *, enforced: bool) -> Answered | None:
        """The answer, if it is whole and of the right shape.

        server    what the server is called, by itself (`named`) or by us
        model     the name it was asked under, where it tells none
        enforced  the server was seen to hold an answer to its schema
        """
        answer = None if self.choices[0].finish_reason in CUT else _answer(self.said)
        if answer is None:
            return None
        told = f"{server} {named(self.system_fingerprint or '')}".strip()
        return Answered(answer, _believed(self.model, model), told[:NAME_LENGTH_MAX], enforced)


def completion_of(data: bytes) -> Completion:
    """The envelope in a reply's body. Raises Quarantined("llm-answer-invalid")."""
    try:
        return Completion.model_validate_json(data)
    except ValidationError:
        raise Quarantined("llm-answer-invalid", "envelope") from None


def named(text: str) -> str:
    """A stranger's name for itself, or "" where it is none: one with blanks would be read as a sentence."""
    return text if NAME.fullmatch(text) else ""


def _believed(told: str, asked: str) -> str:
    """What the model is called: as the operator asked for it, with the server's own version behind it at most.

    Any other name is a stranger's words on the page: "read-by-Dr-Miller". That no model is connected is believed.
    """
    same = told.startswith(asked) and VERSION.fullmatch(told[len(asked) :]) and len(told) <= NAME_LENGTH_MAX
    return told if same or told == NO_MODEL_ID else asked


def _answer(said: str) -> Answer | None:
    try:
        return Answer.model_validate_json(said)
    except ValidationError:
        return None
