"""When a study may be forgotten: a pure rule over what the ledgers say. Every doubt keeps.

A study goes when a person has reviewed it, its time is over, nothing about it is open, and somebody else is known to
keep the images. An administrator's order goes before time and proof, and before nothing else.
"""

from dataclasses import dataclass
from typing import Literal

Evidence = Literal["pacs", "scanner"]
DAY_S = 86_400.0
CLOCK_JUMP_S = 2 * DAY_S  # of the wall clock between two looks: switched off, or wrong
CLOCK_WAIT_S = DAY_S  # of running before a clock that jumped is believed

# Why a study is kept, by a stable code. What stands in LIFTED an order of an administrator goes before.
KEPT: dict[str, str] = {
    "not-reviewed": "nobody has signed or rejected it",
    "held": "a person holds it",
    "result-open": "a result for the hospital is not delivered, or was refused",
    "case-open": "the centre still owes an answer",
    "audit-open": "a blinded read of it waits for a reader",
    "correction-open": "what its signer said is not taken over for learning yet",
    "file-beside": "a file that says it belongs to it waits for a person",
    "two-files": "two different files bear one UID, and a PACS keeps one of them",
    "retention-off": "no retention is set",
    "too-young": "its time is not over",
    "promised-to-scanner": "a scanner was promised that it is kept here, and no PACS has committed to it",
    "no-copy": "the PACS has not committed to its images",
}
LIFTED = frozenset({"retention-off", "too-young", "promised-to-scanner", "no-copy", "two-files"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one study. since: when it was reviewed, wall clock, s; open: codes of KEPT found in ledgers."""

    reviewed: bool
    since: float
    open: frozenset[str]
    committed: bool
    promised: bool
    ordered: bool


def why_kept(facts: Facts, *, days: int, evidence: Evidence, now: float) -> tuple[str, ...]:
    """Codes of KEPT in the order of that table; none: it is to be forgotten. now: wall clock, s since 1970."""
    found = set(facts.open)
    if not facts.reviewed:
        found.add("not-reviewed")
    if days < 1:
        found.add("retention-off")
    elif not now - facts.since >= days * DAY_S:  # a time that is no number keeps, too
        found.add("too-young")
    if not facts.committed:
        found |= {"no-copy"} if evidence == "pacs" else {"promised-to-scanner"} if facts.promised else set()
    if facts.ordered:
        found -= LIFTED
    return tuple(code for code in KEPT if code in found)


def to_ask(kept: tuple[str, ...]) -> bool:
    """Whether a PACS' word is all that is missing."""
    return bool(kept) and set(kept) <= {"no-copy", "promised-to-scanner"}
