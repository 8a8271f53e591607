"""One walk through one object: its key and rules, where it is, what it did, and the changes that several rooms make.

What is noted are keywords, tags and item numbers, never a value.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from pydicom._uid_dict import UID_dictionary

from appliance.core import pseudonym
from appliance.core.deidentify import values
from appliance.core.deidentify.dates import shifted
from appliance.core.deidentify.names import Owned, decoded
from appliance.core.deidentify.rules import Rules
from appliance.core.deidentify.words import clinical_words
from appliance.core.elements import Element


class Change(NamedTuple):
    """What was done in one place. path holds keywords, tags and item numbers, never a value."""

    path: str
    action: str  # X removed, Z emptied, D dummy, U pseudonym, C cleaned, K kept by an option, ADD inserted
    rule: str


@dataclass(slots=True)
class Walk:
    """One walk through one object: the key, the rules, where we are, what was done so far."""

    site_key: bytes
    rules: Rules
    owned: Owned
    offset_days: int = 0
    encapsulated: bool = False
    order: str = "<"
    encodings: tuple[str, ...] = ("ascii",)
    path: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    verbatim: bool = False  # inside what an option keeps: codes and texts stay as they are
    by_reference: bool = False  # content items point at each other by position: none may go

    def note(self, action: str, rule: str) -> None:
        path = self.path
        self.changes.append(Change(path[0] if len(path) == 1 else ".".join(path), action, rule))

    def keeps_dates(self) -> bool:
        return not self.rules.options.isdisjoint(
            ("retain-longitudinal-full-dates", "retain-longitudinal-modified-dates")
        )


def gone(work: Walk, rule: str) -> Element | None:
    """Nothing stays of an element, and that is noted."""
    work.note("X", rule)
    return None


def uids(work: Walk, element: Element, rule: str) -> Element | None:
    """UIDs of the source under the site key; those that the standard registers stay."""
    texts = values.texts(element.value)
    if texts is None:
        return gone(work, "form")
    replaced = [text if text in UID_dictionary or not text else pseudonym.uid(work.site_key, text) for text in texts]
    if replaced != list(texts):
        work.note("U", rule)
    return Element(element.tag, "UI", "\\".join(replaced).encode())


def dates_of(vr: str, value: bytes, days: int) -> bytes | None:
    """Dates and times of one element moved by `days`; None where one is in no known form."""
    found = [each and shifted(vr, each, days) for each in values.texts(value) or (None,)]
    return None if None in found else "\\".join(each or "" for each in found).encode()


def words_of(work: Walk, value: bytes) -> str:
    """The clinical words of a text, in ASCII."""
    return values.plain(clinical_words(decoded(value, work.encodings), work.owned.words))
