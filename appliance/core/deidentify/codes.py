"""Code items (PS3.3 8.8): a code that PS3.16 lists stays, with the meaning that it gives; any other becomes a dummy.

A local code or a typed meaning can spell a name. It refuses to guess: what no vocabulary here knows is not kept.
"""

from functools import cache
from typing import Any

from appliance.core.elements import Element, vr_of

REMOVED = "REMOVED"
CODE_KEYWORDS = frozenset(
    {"CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"}
)
_VALUE, _DESIGNATOR, _MEANING, _LONG, _URN = 0x00080100, 0x00080102, 0x00080104, 0x00080119, 0x00080120
_PARTS = {_VALUE: "CodeValue", _DESIGNATOR: "CodingSchemeDesignator", _MEANING: "CodeMeaning"}


def code_item(value: str, designator: str, meaning: str) -> list[Element]:
    """The elements of one code item."""
    texts = ((_VALUE, "SH", value), (_DESIGNATOR, "SH", designator), (_MEANING, "LO", meaning))
    return [Element(tag, vr, text.encode()) for tag, vr, text in texts]


def said_code(here: dict[int, Element]) -> tuple[str, str]:
    """Value and coding scheme designator of a code item, as written."""
    value, designator = (
        here[tag].value.strip(b"\0 ").decode("latin-1") if tag in here else "" for tag in (_VALUE, _DESIGNATOR)
    )
    return value, designator


def code_values(here: dict[int, Element]) -> dict[str, str] | None:
    """What a code item says after cleaning, by keyword; None if this is no code item."""
    if here.keys().isdisjoint((_VALUE, _LONG, _URN, _MEANING)):
        return None
    value, designator = said_code(here)
    meaning = known_meaning(value, designator)
    if meaning is None:
        return {"CodeValue": "0", "CodingSchemeDesignator": "99REMOVED", "CodeMeaning": REMOVED}
    plain = meaning.encode("ascii", "replace").decode("ascii")[:64]
    return {"CodeValue": value, "CodingSchemeDesignator": designator, "CodeMeaning": plain}


def code_element(element: Element, codes: dict[str, str], keyword: str) -> Element | None:
    """One element of a code item after cleaning; a version or a long form goes."""
    if keyword not in codes:
        return None
    return Element(element.tag, str(vr_of(element.tag)), codes[keyword].encode())


def complete(result: list[Element], codes: dict[str, str]) -> None:
    """A code item names value, scheme and meaning, whatever it came with."""
    there = {element.tag for element in result}
    result.extend(
        Element(tag, str(vr_of(tag)), codes[keyword].encode()) for tag, keyword in _PARTS.items() if tag not in there
    )
    result.sort(key=lambda element: element.tag)


@cache
def _vocabularies() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    # pydicom's own copy of the codes of PS3.16; private module names, but the version is pinned and half a second of
    # import is spent only by a program that meets a code.
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    meanings: dict[str, dict[str, str]] = {}
    vocabularies: dict[str, Any] = concepts
    for scheme, by_keyword in vocabularies.items():
        codes = meanings.setdefault(scheme, {})
        for entries in by_keyword.values():
            codes.update({str(value): str(entry[0]) for value, entry in entries.items()})
    return meanings, {str(srt): str(sct) for srt, sct in mapping["SRT"].items()}


def known_meaning(value: str, designator: str) -> str | None:
    """What PS3.16 calls a code, or None: then nobody can say that the code names no person."""
    meanings, sct_of_srt = _vocabularies()
    if designator in ("SRT", "SNM3", "99SDM"):
        value, designator = sct_of_srt.get(value, ""), "SCT"
    return meanings.get(designator, {}).get(value)
