"""PS3.15 Table E.1-1 as data: which attribute is removed, emptied, replaced, at every nesting level.

The table is read from annex_e.json, made by docs/make_annex_e.py; edition and digest name its content. This module
answers what the table says and nothing else: what happens to attributes that it does not name is decided in
deidentify_values. It refuses to load a table whose rows do not give the digest that it bears.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR

Action = Literal["X", "Z", "D", "U", "K"]

# What a compound code means for each Type (PS3.15 E.1.1, Table E.1-1a): the first where the attribute may be absent
# (Type 3), then where it may be empty (2), then where it needs a value (1).
COMPOUND: dict[str, dict[int, Action]] = {
    "X/Z": {3: "X", 2: "Z", 1: "D"},
    "X/D": {3: "X", 2: "D", 1: "D"},
    "X/Z/D": {3: "X", 2: "Z", 1: "D"},
    "Z/D": {3: "Z", 2: "Z", 1: "D"},
    "X/Z/U*": {3: "U", 2: "U", 1: "U"},
}
# Where the table removes or empties what an object must have: without it the object would be none (PS3.3).
REQUIRED: dict[str, dict[int, Action]] = {"X": {2: "Z", 1: "D"}, "Z": {1: "D"}}
# Where an object is not one that PS3.3 lists: the choice that is valid whatever the Type.
WHATEVER: dict[str, Action] = {"X/Z": "Z", "X/D": "D", "X/Z/D": "D", "Z/D": "D", "X/Z/U*": "U"}
# Where the rule above is the wrong one, and why.
CHOSEN: dict[str, tuple[Action, str]] = {
    "ReferencedStudySequence": (
        "U",
        "its items hold UIDs only, and an empty sequence would be invalid where it is optional",
    ),
    "ReferencedPerformedProcedureStepSequence": ("U", "its items hold UIDs only: they are replaced and still resolve"),
    "WaveformAnnotationSequence": ("X", "its module is optional: without the sequence the module is absent"),
    "SelectorUNValue": ("X", "no dummy can be told apart from a value of unknown representation"),
}
REFERENCES_STAY = "X/Z/U*: items stay with their UIDs replaced whatever the Type, so that references resolve"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of Table E.1-1. tag is eight hex digits, "50xxxxxx" for a repeating group or "private"."""

    tag: str
    keyword: str
    vr: str
    name: str
    basic_profile: str
    options: tuple[tuple[str, str], ...]

    def action(self, attribute_type: int | None) -> Action:
        """What the Basic Profile does here; attribute_type 1, 2 or 3 in its object, None where that is unknown."""
        chosen = CHOSEN.get(self.keyword)
        if chosen:
            return chosen[0]
        if self.basic_profile in REQUIRED and attribute_type in REQUIRED[self.basic_profile]:
            return REQUIRED[self.basic_profile][attribute_type]
        if self.basic_profile not in COMPOUND:
            return self.basic_profile  # type: ignore[return-value]
        if attribute_type is None:
            return WHATEVER[self.basic_profile]
        return COMPOUND[self.basic_profile][attribute_type]


def _rule(row: dict[str, Any]) -> Rule:
    tag = "private" if "odd" in row["tag"] else row["tag"][1:5] + row["tag"][6:10]
    options = tuple(sorted(row["options"].items()))
    return Rule(tag, row["keyword"], row["vr"], row["name"], row["basic_profile"], options)


def rows_sha256(rows: list[dict[str, Any]]) -> str:
    """Digest of the standard's own columns: canonical JSON, UTF-8, SHA-256, hex."""
    keys = ("name", "tag", "retired", "in_standard_iod", "basic_profile", "options")
    bare = [{key: row[key] for key in keys} for row in rows]
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


_DATA: dict[str, Any] = json.loads(resources.files("appliance.core").joinpath("annex_e.json").read_text("utf-8"))
EDITION: str = _DATA["edition"]
CONTENT_SHA256: str = _DATA["content_sha256"]
CID_7050: dict[str, str] = _DATA["cid_7050"]
CONTENT_ITEMS: list[dict[str, Any]] = _DATA["sr_codes"]  # Table E.3.4-1
assert rows_sha256(_DATA["rows"]) == CONTENT_SHA256, "annex_e.json does not bear the digest of its own rows"

RULES: tuple[Rule, ...] = tuple(_rule(row) for row in _DATA["rows"])
_BY_TAG: dict[str, Rule] = {rule.tag: rule for rule in RULES}


def rule_for(tag: int) -> Rule | None:
    """The row for a tag, repeating groups and private attributes included; None where the table is silent."""
    if (tag >> 16) & 1:
        return _BY_TAG["private"]
    text = f"{tag:08X}"
    if text[:2] == "50":
        return _BY_TAG["50xxxxxx"]
    return _BY_TAG.get(text) or (_BY_TAG.get(f"60xx{text[4:]}") if text[:2] == "60" else None)


def vr_for(tag: int) -> str | None:
    """The value representation of a standard attribute ("US or SS" where PS3.6 leaves it open); None if unknown."""
    rule = _BY_TAG.get(f"{tag:08X}")
    if rule is not None:
        return rule.vr
    return str(dictionary_VR(tag)) if dictionary_has_tag(tag) else None
