"""Sentences that keep how they were made, so that whoever shows them can say them in a reader's language.

Here all is English, and a sentence is a str that reads as such wherever it goes: a log, a test, the command line. The
review room (review/language.py) takes it apart again and looks its msgid up in a catalogue. Pure; no catalogue here.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Self


class Figure(str):
    """A number in ASCII digits with a point: a reader's language may want a comma there."""

    __slots__ = ()


class Said(str):
    """A sentence with its values: msgid and plural are gettext's, in %(name)s form; values may be sentences again.

    clause  it stands in the middle of another sentence: no full stop, and no capital letter of a sentence's beginning
    """

    __slots__ = ("clause", "msgid", "number", "plural", "values")
    msgid: str
    plural: str
    number: int
    values: dict[str, object]
    clause: bool

    def __new__(
        cls,
        msgid: str,
        plural: str = "",
        number: int = 1,
        values: dict[str, object] | None = None,
        clause: bool = False,
    ) -> Self:
        worded = plural if plural and number != 1 else msgid
        text = worded % values if values else worded
        made = super().__new__(cls, inner(text) if clause else text)
        made.msgid, made.plural, made.number, made.values, made.clause = msgid, plural, number, values or {}, clause
        return made


def say(msgid: str, /, **values: object) -> Said:
    """A sentence; %(name)s in it takes a value. Without values it is taken as it stands, per cent signs too."""
    return Said(msgid, values=values)


def say_n(msgid: str, plural: str, count: int, /, **values: object) -> Said:
    """A sentence about so many things; %(count)s is their number."""
    return Said(msgid, plural, count, {"count": count, **values})


def kept(text: str) -> dict[str, object]:
    """A sentence as JSON can keep it, with how it was made; a ledger's words can then be said in any language."""
    if not isinstance(text, Said):
        return {"text": str(text)}
    values = {name: kept(value) if isinstance(value, Said) else value for name, value in text.values.items()}
    figures = [name for name, value in text.values.items() if isinstance(value, Figure)]
    made = {"msgid": text.msgid, "plural": text.plural, "number": text.number, "values": values, "figures": figures}
    return {"text": str(text), **made}


def again(told: object) -> str:
    """A kept sentence with how it was made; its plain text where that is not known, or is not of this version."""
    if not isinstance(told, dict):
        return ""
    text = str(told.get("text", ""))
    try:
        figures = told["figures"]
        values = {
            name: again(value) if isinstance(value, dict) else Figure(value) if name in figures else value
            for name, value in told["values"].items()
        }
        made = Said(told["msgid"], told["plural"], told["number"], values)
    except (AttributeError, KeyError, TypeError, ValueError):
        return text
    return made if made == text else text


def clause_of(text: str) -> Said:
    """A whole sentence, ours or out of a ledger, as a clause of another one."""
    return Said(text, clause=True)


def joined(parts: Iterable[str]) -> str:
    """Clauses after each other; "" for none."""
    told = list(parts)
    return reduce(lambda one, other: say("%(one)s; %(other)s", one=one, other=other), told) if told else ""


def inner(text: str) -> str:
    """A sentence as a clause of another one."""
    whole = text.strip().rstrip(".")
    return whole if whole[1:2].isupper() else whole[:1].lower() + whole[1:]
