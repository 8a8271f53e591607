"""One walk through one data set: what becomes of each element, by the table or by its kind.

It builds a new data set out of what may stay. What Table E.1-1 names is done as the table says; what it does not name
is kept only where its kind of value, or its very form, leaves no room for identity. It refuses nesting and counts
beyond any honest object, and it never returns an element for want of a rule.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import dictionary_has_tag, dictionary_VM, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.values import convert_SQ

from appliance.core import annex_e, pseudonym
from appliance.core import deidentify_values as values
from appliance.errors import Quarantined

DEPTH_MAX = 32
ELEMENTS_MAX = 500_000
_OWNERS = re.compile(r"^PatientID$|^OtherPatientIDs$|Institution|Organization")
_WORD = re.compile(r"[^\W_]{3,}")
_INSIDE_MIN = 6  # letters of a name that are looked for inside longer words too: Philip in Philips


@dataclass(frozen=True, slots=True)
class Change:
    """What was done in one place. path holds keywords, tags and item numbers, never a value."""

    path: str
    action: str  # X removed, Z emptied, D dummy, U pseudonym, C cleaned, ADD inserted
    rule: str


@dataclass(slots=True)
class Walk:
    """One walk through one object: the key, where we are, what was done so far."""

    site_key: bytes
    people: frozenset[str] = frozenset()
    houses: frozenset[str] = frozenset()
    path: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    elements: int = 0

    def note(self, action: str, rule: str) -> None:
        self.changes.append(Change(".".join(self.path), action, rule))


def owners(dataset: Dataset, depth: int = 0) -> Iterator[tuple[bool, str]]:
    """Words of names, patient identifiers and institutions in the source, folded; True where an institution's.

    Harmless values lose them too: a patient's name typed into a code string, a hospital's into Manufacturer.
    """
    for tag in sorted(dataset.keys()):
        if tag.is_private:
            continue
        vr, keyword = annex_e.vr_for(tag), keyword_for_tag(tag)
        if vr == "SQ" and depth < DEPTH_MAX:
            for item in _sequence(dataset, tag):
                yield from owners(item, depth + 1)
        elif vr == "PN" or (vr not in ("UI", "SQ") and _OWNERS.search(keyword)):
            text = "\\".join(str_values(dataset[tag])).casefold()
            yield from ((vr != "PN" and "ID" not in keyword, word) for word in {*_WORD.findall(text), text})


def cleaned(work: Walk, source: Dataset) -> Dataset:
    """A new data set with what may stay of `source`, in tag order."""
    if len(work.path) > DEPTH_MAX:
        raise Quarantined("deid-unsupported", ".".join(work.path[:2]))
    result = Dataset()
    codes = _code_values(source)
    for tag in sorted(source.keys()):
        work.elements += 1
        if work.elements > ELEMENTS_MAX:
            raise Quarantined("deid-unsupported", work.path[0] if work.path else "")
        work.path.append(_place(tag))
        element = _kept(work, source, tag, codes)
        if element is not None:
            result.add(element)
        work.path.pop()
    for keyword, text in (codes or {}).items():
        if keyword not in result:
            setattr(result, keyword, text)
    return result


def _place(tag: BaseTag) -> str:
    rule = None if tag.is_private else annex_e.rule_for(tag)
    return (rule.keyword if rule else "") or keyword_for_tag(tag) or f"({tag.group:04X},{tag.element:04X})"


def _kept(work: Walk, source: Dataset, tag: BaseTag, codes: dict[str, str] | None) -> DataElement | None:
    """The element that stands at `tag` in the result: as it was, cleaned, a dummy, or None."""
    rule = annex_e.rule_for(tag)
    vr = annex_e.vr_for(tag)
    if rule is not None and rule.action == "X":
        return _removed(work, "private" if rule.tag == "private" else "E.1-1")
    if tag.element == 0 or tag.group in (0x0000, 0x0002, 0x0004, 0xFFFC) or tag.group >> 8 in (0x50, 0x60):
        return _removed(work, "group")
    if vr is None or vr in ("UN", "NONE") or (tag.group >> 8 == 0x7F and tag.group != 0x7FE0):
        return _removed(work, "unknown")
    if codes is not None and _place(tag) in values.CODE_KEYWORDS:
        return _code_element(work, tag, vr, codes)
    if rule is not None:
        return _by_table(work, source, tag, vr, rule)
    return _by_kind(work, source, tag, vr)


def _removed(work: Walk, rule: str) -> DataElement | None:
    work.note("X", rule)
    return None


def _by_table(work: Walk, source: Dataset, tag: BaseTag, vr: str, rule: annex_e.Rule) -> DataElement | None:
    if rule.keyword in ("PatientName", "PatientID"):
        return _patient(work, source, tag, vr)
    if rule.action == "U":
        return _items(work, source, tag) if vr == "SQ" else _uids(work, source, tag)
    work.note(rule.action, "E.1-1")
    if rule.action == "Z" or is_empty(source, tag):
        return DataElement(tag, vr, Sequence() if vr == "SQ" else None)
    if vr == "SQ":
        dummy = values.dummy_items(rule.keyword)
        return DataElement(tag, vr, dummy) if dummy is not None else _items(work, source, tag)
    if rule.keyword == "EncapsulatedDocument":
        return DataElement(tag, "OB", values.BLANK_PDF)
    if vr == "UI":
        return _uids(work, source, tag)
    return DataElement(tag, vr, values.DUMMY_TERMS.get(rule.keyword, values.DUMMIES[vr]))


def _by_kind(work: Walk, source: Dataset, tag: BaseTag, vr: str) -> DataElement | None:
    """What the table does not name: kept if its kind of value, or its very form, leaves no room for identity."""
    if not _agrees(source, tag, vr):
        return _removed(work, "representation")
    if vr == "SQ":
        return _items(work, source, tag)
    if vr == "UI":
        return _uids(work, source, tag)
    keyword = keyword_for_tag(tag)
    if len(work.path) > 1 and keyword in values.PIXELS:
        return _removed(work, "icon")
    if vr in values.NUMBER_ARRAYS or keyword in values.BULK:
        return source[tag] if not keyword.startswith("Selector") else _removed(work, "bulk")
    if vr in values.BINARY_NUMBERS or vr == "US or SS":
        return source[tag] if _counted(source[tag]) else _removed(work, "count")
    if vr in ("OB", "OW", "OB or OW", "US or OW", "UR"):
        return _removed(work, "bulk" if vr != "UR" else "text")
    if is_empty(source, tag):
        return DataElement(tag, vr, None)
    texts = _texts(source, tag)
    if texts is not None and _harmless(work, keyword, vr, texts):
        return source[tag]
    if tag == 0x00080005:
        return _removed(work, "form")
    if keyword in values.CHOSEN_TERMS:
        work.note("U", "chosen")
        return DataElement(tag, vr, pseudonym.term(work.site_key, str(source[tag].value)))
    if vr == "CS" and texts is not None and values.is_term(keyword, texts):
        # A term that is also the patient's name: the other values of the element stay.
        work.note("D", "name")
        return DataElement(tag, vr, [values.REMOVED if _bears(text, work.people) else text for text in texts])
    if vr in ("CS", "DS", "IS") and keyword not in values.CHOSEN_LABELS:
        work.note("Z", "form")
        return DataElement(tag, vr, None)
    work.note("D", "text")
    return DataElement(tag, vr, values.DUMMIES[vr])


def _agrees(source: Dataset, tag: BaseTag, vr: str) -> bool:
    """The file's own VR is the standard's, one of them, or a kin that reads alike."""
    declared = source.get_item(tag).VR
    if declared is None or declared in ("UN", vr) or declared in vr.split(" or "):
        return True
    return any({declared, vr} <= kin for kin in ({"OB", "OW"}, {"LO", "SH"}, {"US", "SS"}, {"UL", "SL"}))


def _harmless(work: Walk, keyword: str, vr: str, texts: tuple[str, ...]) -> bool:
    if keyword == "SpecificCharacterSet":
        return all(values.CHARACTER_SET.fullmatch(text) for text in texts)
    if vr in ("DS", "IS"):
        return all(not text or values.NUMBER.fullmatch(text) for text in texts)
    if vr == "CS":
        return values.is_term(keyword, texts) and not any(_bears(text, work.people) for text in texts)
    form = values.TEXTS.get(keyword)
    if form is None or not all(not text or form.fullmatch(text) for text in texts):
        return False
    return not any(_bears(text, work.people | work.houses) for text in texts)


def _bears(text: str, owned: frozenset[str]) -> bool:
    """The text bears a word of somebody's name, whole or inside a longer one."""
    squeezed = re.sub(r"[\W_]+", "", text.casefold())
    return bool(_words(text) & owned) or any(len(word) >= _INSIDE_MIN and word in squeezed for word in owned)


def _words(text: str) -> frozenset[str]:
    return frozenset((*_WORD.findall(text.casefold()), text.casefold()))


def _texts(source: Dataset, tag: BaseTag) -> tuple[str, ...] | None:
    """The values of a text element, from the bytes where they are still raw; None if they are not plain ASCII."""
    item = source.get_item(tag)
    if isinstance(item, RawDataElement):
        text = (item.value or b"").decode("ascii", "replace")
    else:
        value = item.value
        text = "\\".join(str(part) for part in value) if item.VM > 1 else str(value)
    text = text.rstrip("\0 ")
    return None if not text.isascii() or not text.isprintable() else tuple(part.strip() for part in text.split("\\"))


def is_empty(source: Dataset, tag: BaseTag) -> bool:
    item = source.get_item(tag)
    if isinstance(item, RawDataElement):
        return not (item.value or b"").strip(b"\0 ")
    return item.is_empty


def _counted(element: DataElement) -> bool:
    """No more numbers than the standard gives this attribute: text could be spelled with the surplus."""
    allowed = dictionary_VM(element.tag)
    return not allowed.isdigit() or int(allowed) >= element.VM


def _items(work: Walk, source: Dataset, tag: BaseTag) -> DataElement:
    """A sequence with every item cleaned by the same rules."""
    sequence = _sequence(source, tag)
    items = []
    for number, item in enumerate(sequence):
        work.path[-1] = f"{_place(tag)}[{number}]"
        items.append(cleaned(work, item))
    return DataElement(tag, "SQ", Sequence(items))


def _sequence(source: Dataset, tag: BaseTag) -> Sequence:
    item = source.get_item(tag)
    if isinstance(item, RawDataElement) and item.value:
        if item.VR == "UN":
            # PS3.5 6.2.2: the value of UN is Implicit VR Little Endian whatever surrounds it.
            return convert_SQ(item.value, True, True)
        if item.VR is None and not dictionary_has_tag(tag):  # one of the table's that pydicom does not know
            return convert_SQ(item.value, True, item.is_little_endian)
    value = source[tag].value
    if not isinstance(value, Sequence):
        raise Quarantined("deid-unsupported", _place(tag))
    return value


def _uids(work: Walk, source: Dataset, tag: BaseTag) -> DataElement:
    texts = [] if is_empty(source, tag) else str_values(source[tag])
    replaced = [text if text in UID_dictionary or not text else pseudonym.uid(work.site_key, text) for text in texts]
    if replaced != texts:
        work.note("U", "E.1-1" if annex_e.rule_for(tag) else "UI")
    return DataElement(tag, "UI", replaced if len(replaced) > 1 else (replaced[0] if replaced else None))


def str_values(element: DataElement) -> list[str]:
    """The values of an element as plain text, trailing padding removed."""
    parts = element.value if element.VM > 1 else [element.value]
    return [str(part).strip("\0 ") for part in parts]


def _patient(work: Walk, source: Dataset, tag: BaseTag, vr: str) -> DataElement:
    """Patient's Name and Patient ID bear one pseudonym, made from the ID where there is one."""
    work.note("D", "E.1-1")
    known = [str_values(source[name]) for name in ("PatientID", "PatientName") if name in source]
    named = next(
        (text for texts in known for text in ("\\".join(texts),) if text.strip("^= \\") and text != "None"), ""
    )
    return DataElement(tag, vr, pseudonym.patient(work.site_key, named) if named else None)


def _code_values(source: Dataset) -> dict[str, str] | None:
    """What a code item says after cleaning, by keyword; None if this is no code item."""
    if not any(name in source for name in ("CodeValue", "LongCodeValue", "URNCodeValue", "CodeMeaning")):
        return None
    value, designator = (str(source.get(name, "")).strip() for name in ("CodeValue", "CodingSchemeDesignator"))
    meaning = values.known_meaning(value, designator)
    if meaning is None:
        return {"CodeValue": "0", "CodingSchemeDesignator": "99REMOVED", "CodeMeaning": values.REMOVED}
    plain = meaning.encode("ascii", "replace").decode("ascii")[:64]
    return {"CodeValue": value, "CodingSchemeDesignator": designator, "CodeMeaning": plain}


def _code_element(work: Walk, tag: BaseTag, vr: str, codes: dict[str, str]) -> DataElement | None:
    work.note("C", "code")
    keyword = keyword_for_tag(tag)
    if keyword == "CodingSchemeVersion" or keyword not in codes:
        return None
    return DataElement(tag, vr, codes[keyword])
