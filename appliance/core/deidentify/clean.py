"""One walk through one data set: what becomes of each element, by its plan and by its value.

It builds a new data set out of what may stay. What Table E.1-1 names is done as the table says; what it does not name
is kept only where its kind of value, or its very form, leaves no room for identity. It never returns an element for
want of a rule.
"""

import re
from collections.abc import Callable

from appliance.core import annex_e, pseudonym
from appliance.core.deidentify import values
from appliance.core.deidentify.codes import CODE_KEYWORDS, REMOVED, code_element, code_values, complete
from appliance.core.deidentify.content import concept_action, dropped_item
from appliance.core.deidentify.iod_types import type_of
from appliance.core.deidentify.names import encodings_of
from appliance.core.deidentify.private import kept_private
from appliance.core.deidentify.rules import Plan
from appliance.core.deidentify.walk import Walk, dates_of, gone, uids, words_of
from appliance.core.elements import Element

_PATIENT_ID, _PATIENT_NAME = 0x00100020, 0x00100010
_GRAPHIC_LAYER = 0x00700002
_AGE_MAX = 89  # ages above are folded into one, 45 CFR 164.514(b)(2)(i)(C)
_DESCRIBING = re.compile(r"(Description|Comments?|Label|Text|TextValue)$")  # outside the table
_AGE = re.compile(r"(\d{3})([DWMY])")


def cleaned(work: Walk, source: list[Element], sequence: str = "") -> list[Element]:
    """A new data set with what may stay of `source`, in tag order; `sequence` is the keyword of the one it is in."""
    here = {element.tag: element for element in source}
    outer, work.encodings = work.encodings, encodings_of(source, work.encodings)
    codes = None if work.verbatim else code_values(here)
    private = kept_private(work, here, cleaned) if "retain-safe-private" in work.rules.options else {}
    result: list[Element] = []
    plan_for, path = work.rules.plan, work.path
    for element in source:
        plan = plan_for(element.tag, sequence)
        path.append(plan.place)
        if element.tag in private:
            kept: Element | None = private[element.tag]
        elif codes is not None and plan.keyword in CODE_KEYWORDS:
            work.note("C", "code")
            kept = code_element(element, codes, plan.keyword)
        else:
            kept = _DONE[plan.does](work, plan, element, here)
        if kept is not None:
            result.append(kept)
        path.pop()
    if codes:
        complete(result, codes)
    work.encodings = outer
    return result


def _emptied(work: Walk, plan: Plan, element: Element, _: dict[int, Element]) -> Element:
    work.note("Z", plan.rule)
    return Element(element.tag, plan.vr, b"", [] if plan.vr == "SQ" else None)


def _dummy(work: Walk, plan: Plan, element: Element, here: dict[int, Element]) -> Element | None:
    if element.is_empty:
        return _emptied(work, plan, element, here)
    if plan.keyword == "EncapsulatedDocument" and not (len(work.path) == 1 and work.rules.is_document):
        return gone(work, plan.rule)
    work.note("D", plan.rule)
    if plan.vr == "SQ":
        dummy = values.dummy_items(plan.keyword, _layer(work, element), work.order)
        return _items(work, plan, element) if dummy is None else Element(element.tag, "SQ", b"", dummy)
    if plan.keyword == "EncapsulatedDocument":
        return Element(element.tag, "OB", values.blank_document(here))
    dummy_value = values.DUMMY_TERMS.get(plan.keyword, values.DUMMIES[plan.vr])
    return Element(element.tag, plan.vr, dummy_value)


def _layer(work: Walk, annotations: Element) -> bytes:
    """The pseudonym of the layer that the first graphic annotation is on."""
    items = annotations.items or [[]]
    named = next((element.value for element in items[0] if element.tag == _GRAPHIC_LAYER), b"")
    return pseudonym.term(work.site_key, named.strip(b"\0 ").decode("latin-1")).encode()


def _pseudonyms(work: Walk, plan: Plan, element: Element, _: dict[int, Element]) -> Element | None:
    return _items(work, plan, element) if plan.vr == "SQ" else uids(work, element, plan.rule)


def _patient(work: Walk, plan: Plan, element: Element, here: dict[int, Element]) -> Element:
    """Patient's Name and Patient ID bear one pseudonym, made from the ID where there is one."""
    work.note("D", plan.rule)
    known = patient_of(here)
    return Element(element.tag, plan.vr, pseudonym.patient(work.site_key, known).encode() if known else b"")


def patient_of(here: dict[int, Element]) -> str:
    """Whose data set this is: its Patient ID, else its Patient's Name, as written; "" where it says neither."""
    for tag in (_PATIENT_ID, _PATIENT_NAME):
        text = here[tag].value.strip(b"\0 ").decode("latin-1") if tag in here else ""
        if text.strip("^= \\"):
            return text
    return ""


def _kept_by_option(work: Walk, plan: Plan, element: Element, here: dict[int, Element]) -> Element | None:
    """Kept, if it is what its VR says and names nobody: an option keeps characteristics, never a name."""
    if not values.agrees(element.vr, plan.vr):
        return gone(work, "representation")
    if element.is_empty:
        return element
    if plan.vr == "SQ":
        before, work.verbatim = work.verbatim, True
        kept = _items(work, plan, element)
        work.verbatim = before
        return kept
    if plan.vr == "UI":
        return element
    if plan.vr in ("DA", "DT", "TM"):
        return _dates(work, plan, element, here, days=0)
    text = values.texts(element.value) if plan.vr in values.TEXT_VRS else None
    if plan.vr == "AS" and text:
        work.note("K", plan.rule)
        return Element(element.tag, "AS", _folded(text[0]).encode())
    if plan.vr in values.BINARY_NUMBERS and not (values.counted(element) and values.reads_as_numbers(element.value)):
        return _otherwise(work, plan, element, here)
    traits = plan.rule == "retain-patient-characteristics" and text is not None
    if traits and not values.fits(work.owned, plan.keyword, plan.vr, text or ()):
        return _otherwise(work, plan, element, here)
    if plan.vr == "AE" and (text is None or any(work.owned.bears(each) for each in text)):
        return _otherwise(work, plan, element, here)
    if plan.vr in values.TEXT_VRS and (
        not values.well_formed(plan.vr, element.value) or work.owned.bears_person(element.value.decode("latin-1"))
    ):
        return _otherwise(work, plan, element, here)
    work.note("K", plan.rule)
    return Element(element.tag, plan.vr, element.value)


def _folded(age: str) -> str:
    match = _AGE.fullmatch(age)
    if match is None:
        return ""
    return "090Y" if match[2] == "Y" and int(match[1]) > _AGE_MAX else age


def _otherwise(work: Walk, plan: Plan, element: Element, here: dict[int, Element]) -> Element | None:
    """What the Basic Profile does where an option cannot be honoured."""
    rule = annex_e.rule_for(element.tag)
    sequence = work.path[-2].partition("[")[0] if len(work.path) > 1 else ""
    action = rule.action(type_of(work.rules.sop_class_uid, sequence, plan.keyword)) if rule else "D"
    plan = plan._replace(rule="E.1-1" if rule else "text")
    if action == "X":
        return gone(work, plan.rule)
    return _emptied(work, plan, element, here) if action == "Z" else _dummy(work, plan, element, here)


def _dates(
    work: Walk, plan: Plan, element: Element, here: dict[int, Element], days: int | None = None
) -> Element | None:
    if element.is_empty:
        return Element(element.tag, plan.vr, b"")
    days = work.offset_days if days is None else days
    moved = dates_of(plan.vr, element.value, days)
    if moved is None:
        return _otherwise(work, plan, element, here)
    work.note("C" if days else "K", plan.rule or "dates")
    return Element(element.tag, plan.vr, moved)


def _words(work: Walk, plan: Plan, element: Element, here: dict[int, Element]) -> Element | None:
    if plan.vr not in values.TEXT_VRS or plan.vr == "PN":
        return _otherwise(work, plan, element, here)
    kept = words_of(work, element.value)
    if not kept:
        return _otherwise(work, plan, element, here)
    work.note("C", plan.rule)
    return Element(element.tag, plan.vr, kept[: values.LENGTH_MAX.get(plan.vr, 1024)].encode())


def _items(work: Walk, plan: Plan, element: Element) -> Element | None:
    """A sequence with every item cleaned by the same rules."""
    if element.items is None:
        return gone(work, "representation") if element.value else Element(element.tag, "SQ", b"", [])
    items = []
    for number, item in enumerate(element.items):
        work.path[-1] = f"{plan.keyword}[{number}]"
        action = concept_action(work.rules.options, item) if plan.keyword == "ContentSequence" else "C"
        if action == "X" and not work.by_reference:
            work.note("X", "E.3.4-1")
        elif action in ("X", "D"):
            work.note("D", "E.3.4-1")
            items.append(dropped_item(item))
        else:
            before, work.verbatim = work.verbatim, work.verbatim or action == "K"
            items.append(cleaned(work, item, plan.keyword))
            work.verbatim = before
    return Element(element.tag, "SQ", b"", items)


def _by_kind(work: Walk, plan: Plan, element: Element, here: dict[int, Element]) -> Element | None:
    """What the table does not name: kept if its kind of value, or its very form, leaves no room for identity."""
    tag, vr, keyword = element.tag, plan.vr, plan.keyword
    if not values.agrees(element.vr, vr):
        return gone(work, "representation")
    if vr == "SQ":
        return _items(work, plan, element)
    if vr == "UI":
        return element if "retain-uids" in work.rules.options else uids(work, element, "UI")
    if len(work.path) > 1 and keyword in values.PIXELS:
        return gone(work, "icon")
    if keyword == "ICCProfile":
        work.note("D", "colour")
        return Element(tag, "OB", values.SRGB_PROFILE)
    if vr in values.NUMBER_ARRAYS or keyword in values.BULK:
        return element if _honest_bulk(work, plan, element) else gone(work, "bulk")
    if vr in values.BINARY_NUMBERS or vr == "US or SS":
        return element if values.counted(element) and values.reads_as_numbers(element.value) else gone(work, "count")
    if vr in ("OB", "OW", "OB or OW", "US or OW", "UR"):
        return gone(work, "bulk" if vr != "UR" else "text")
    if element.is_empty:
        return Element(tag, vr, b"")
    if vr in ("DA", "DT", "TM") and "retain-longitudinal-full-dates" in work.rules.options:
        # Never moved: a date that is not the patient's may be printed somewhere, as a Context Group Version is in
        # PS3.16, and moved it would tell by how much the patient's were.
        return _dates(work, plan, element, here)
    return _text_by_kind(work, plan, element)


def _honest_bulk(work: Walk, plan: Plan, element: Element) -> bool:
    """Numbers where such numbers belong, that do not read as writing."""
    if plan.keyword.startswith("Selector"):
        return False
    if plan.keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        return work.encapsulated and len(element.value) % 8 == 0
    if plan.keyword == "WaveformData" and len(work.path) < 2:
        return False
    return plan.vr not in values.NUMBER_ARRAYS or values.reads_as_numbers(element.value)


def _text_by_kind(work: Walk, plan: Plan, element: Element) -> Element | None:
    tag, vr, keyword = element.tag, plan.vr, plan.keyword
    texts = values.texts(element.value)
    if texts is not None and values.harmless(work.owned, keyword, vr, texts):
        return element
    if tag == 0x00080005:
        return gone(work, "form")
    if keyword in values.CHOSEN_TERMS:
        work.note("U", "chosen")
        return Element(tag, vr, pseudonym.term(work.site_key, element.value.strip(b"\0 ").decode("latin-1")).encode())
    if vr == "CS" and texts is not None and values.is_term(keyword, texts):
        # A term that nobody defined, or that is also the patient's name: the other values of the element stay.
        work.note("D", "term")
        terms = (text if values.is_harmless_term(work.owned, text) else REMOVED for text in texts)
        return Element(tag, vr, "\\".join(terms).encode())
    if vr in ("CS", "DS", "IS") and keyword not in values.CHOSEN_LABELS:
        work.note("Z", "form")
        return Element(tag, vr, b"")
    if vr in ("LO", "SH", "ST", "LT", "UT", "UC"):
        if work.verbatim and not work.owned.bears_person(element.value.decode("latin-1")):
            work.note("K", "kept with its sequence")
            return element
        describes = "clean-descriptors" in work.rules.options and _DESCRIBING.search(keyword)
        if describes and (kept := words_of(work, element.value)):
            work.note("C", "clean-descriptors")
            return Element(tag, vr, kept[: values.LENGTH_MAX.get(vr, 1024)].encode())
    work.note("D", "text")
    return Element(tag, vr, values.DUMMIES[vr])


_DONE: dict[str, Callable[[Walk, Plan, Element, dict[int, Element]], Element | None]] = {
    "X": lambda work, plan, _, __: gone(work, plan.rule),
    "Z": _emptied,
    "D": _dummy,
    "U": _pseudonyms,
    "K": _kept_by_option,
    "dates": _dates,
    "words": _words,
    "items": lambda work, plan, element, _: _items(work, plan, element),
    "patient": _patient,
    "kind": _by_kind,
}
