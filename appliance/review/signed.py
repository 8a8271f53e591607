"""What is signed of a study, as the case page shows it: signatures with what stands beside them, and addenda."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from appliance.core.decision_reasons import FINDING_SAID, words_of
from appliance.errors import CATALOGUE
from appliance.review import words
from appliance.world import reading_desk

IMPRESSION_WORDS = {"finding": "saw something", "nothing": "saw nothing", "cannot_tell": "could not tell"}


def signature(row: Row[Any], facts: Row[Any] | None, stale: bool) -> dict[str, Any]:
    findings: Mapping[str, str] = facts.findings if facts is not None else {}
    return {
        "user": row.user,
        "decision": words.DECISION_WORDS[row.decision],
        "reason": words_of(facts.reason) if facts is not None and facts.reason else "",
        "findings": [(label, FINDING_SAID.get(said, said)) for label, said in findings.items()],
        "correction": row.correction,
        "at": words.clock_time(row.signed_at),
        "revision": row.revision,
        "stale": stale,
    }


def addendum(row: Row[Any]) -> dict[str, Any]:
    return {"user": row.user, "at": words.clock_time(row.at), "revision": row.revision, "text": row.text}


ORDER_WORDS = {
    "waiting": "waits to be sent",
    "stored": "sent and stored",
    "committed": "sent, kept for good there",
    "refused": "refused",
    "superseded": "not sent: a later one takes its place",
}


def order(row: Row[Any]) -> dict[str, Any]:
    """What goes to one of the systems beside the page, and what that answered."""
    return {
        "target": row.target,
        "state": ORDER_WORDS.get(row.state, row.state),
        "code": row.code,
        "hint": CATALOGUE[row.code].hint if row.code in CATALOGUE else "",
        "at": words.clock_time(row.told_at or row.made_at),
    }


def findings(label: str, answer: Mapping[str, Any] | None, most: int) -> tuple[str, ...]:
    """What a reader may call right or wrong one by one: the model's finding, then those of the centre's draft."""
    opinions: Sequence[Mapping[str, Any]] = (answer or {}).get("opinions") or ()
    found: dict[str, str] = {}
    for each in (label, *(str(opinion.get("label", "")) for opinion in opinions)):
        if each:
            found.setdefault(each.casefold().replace("-", " ").replace("_", " "), each)
    return tuple(found.values())[:most]


def impression(row: Row[Any]) -> dict[str, Any]:
    """What a reader saw before the machine's word was shown."""
    told = {"user": row.user, "at": words.clock_time(row.at), "revision": row.revision, "text": row.text}
    return {**told, "said": IMPRESSION_WORDS.get(row.said, row.said)}


def call(row: Any) -> dict[str, Any]:
    """One row of the log of critical results."""
    return {
        "number": row.study_number,
        "result": row.result,
        "told": row.told,
        "how": reading_desk.HOW.get(row.how, row.how),
        "told_at": words.clock_time(row.told_at),
        "read_back": row.read_back,
        "user": row.user,
    }
