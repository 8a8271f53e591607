"""What becomes of an attribute, before its value is looked at: the table, its options, its Type; else its kind.

One plan a tag, made when the tag is first met and kept: a series asks the same few hundred questions again and again.
It refuses to plan by anything but the standard's own columns; the values are deidentify_elements' business.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

from pydicom._uid_dict import UID_dictionary
from pydicom.datadict import keyword_for_tag

from appliance.core import annex_e
from appliance.core.deidentify import values
from appliance.core.deidentify.iod_types import type_of
from appliance.core.elements import vr_of
from appliance.core.options import Option, Options

Does = Literal[
    "X",  # removed
    "Z",  # emptied
    "D",  # a dummy
    "U",  # UIDs replaced, here or in the items
    "K",  # kept by an option
    "dates",  # moved
    "words",  # clinical words kept
    "items",  # its items cleaned
    "patient",  # the patient's pseudonym
    "kind",  # not in the table: judged by its kind of value
]
PLANS_MAX = 20_000


class Plan(NamedTuple):
    """What to do with one attribute, and what the receipt calls the rule."""

    does: Does
    rule: str
    vr: str
    keyword: str
    place: str = ""  # the keyword, or the tag of an attribute that has none


# The columns of the table, by our names of the options.
_COLUMNS: dict[Option, str] = {
    "retain-safe-private": "retain_safe_private",
    "retain-uids": "retain_uids",
    "retain-device-identity": "retain_device_identity",
    "retain-institution-identity": "retain_institution_identity",
    "retain-patient-characteristics": "retain_patient_characteristics",
    "retain-longitudinal-full-dates": "retain_longitudinal_full_dates",
    "retain-longitudinal-modified-dates": "retain_longitudinal_modified_dates",
    "clean-descriptors": "clean_descriptors",
    "clean-structured-content": "clean_structured_content",
    "clean-graphics": "clean_graphics",
}
# Dates that are not the patient's: PS3.16 prints them, and those of a device stand on its plate and in its log. Moved,
# they would tell by how much the patient's were moved.
PUBLIC_DATES = frozenset({"ContextGroupVersion", "ContextGroupLocalVersion", "TemplateVersion", "TemplateLocalVersion"})
# The same text for every removal that no row of the table asks for.
_GROUPS = frozenset((0x0000, 0x0002, 0x0004, 0xFFFC))
_BITMAPS = frozenset((0x50, 0x60))  # curves and overlays


class Rules:
    """The plans for one kind of object under one set of options."""

    def __init__(self, options: Options, sop_class_uid: str) -> None:
        self.options = options
        self.sop_class_uid = sop_class_uid
        self._columns = {_COLUMNS[option]: option for option in options if option in _COLUMNS}
        # Only there is an encapsulated document what the object is (PS3.3 A.45).
        self.is_document = str(UID_dictionary.get(sop_class_uid, ("",))[0]).startswith("Encapsulated")
        self._plans: dict[tuple[int, str], Plan] = {}

    def plan(self, tag: int, sequence: str) -> Plan:
        """For a tag in an item of `sequence`, "" at the top level."""
        found = self._plans.get((tag, sequence))
        if found is None:
            if len(self._plans) > PLANS_MAX:
                self._plans.clear()
            found = self._made(tag, sequence)
            found = found._replace(place=found.keyword or f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
            self._plans[tag, sequence] = found
        return found

    def _made(self, tag: int, sequence: str) -> Plan:
        group, high = tag >> 16, tag >> 24
        rule = annex_e.rule_for(tag)
        vr = vr_of(tag)
        if rule is not None and rule.tag == "private":
            return Plan("X", "private", "UN", "")
        keyword = (rule.keyword if rule else "") or keyword_for_tag(tag)
        if not tag & 0xFFFF or group in _GROUPS or high in _BITMAPS:
            return Plan("X", "E.1-1" if rule is not None else "group", vr or "UN", keyword)
        if vr is None or vr in ("UN", "NONE") or (high == 0x7F and group != 0x7FE0):
            return Plan("X", "unknown", "UN", keyword)
        if rule is None:
            return Plan("kind", "", vr, keyword)
        if keyword in ("PatientName", "PatientID"):
            return Plan("patient", "E.1-1", vr, keyword)
        return self._by_table(rule, vr, sequence)

    def _by_table(self, rule: annex_e.Rule, vr: str, sequence: str) -> Plan:
        asked = {action: self._columns[column] for column, action in rule.options if column in self._columns}
        public = rule.keyword in PUBLIC_DATES or "retain_device_identity" in dict(rule.options)
        if public and asked.get("C") == "retain-longitudinal-modified-dates":
            del asked["C"]
        if "C" in asked:  # where one option keeps and another cleans, it is cleaned
            option = asked["C"]
            does: Does = "items" if vr == "SQ" else "dates" if vr in ("DA", "DT", "TM") else "words"
            if vr == "AE":
                does = "K"
            return Plan(does, option, vr, rule.keyword)
        if "K" in asked:
            return Plan("K", asked["K"], vr, rule.keyword)
        needed = type_of(self.sop_class_uid, sequence, rule.keyword)
        action = rule.action(needed)
        if action == "D" and vr not in values.DUMMIES and vr not in ("SQ", "UI"):
            action = "X"  # numbers: nothing stands for one
        return Plan("U" if action == "D" and vr == "UI" else action, "E.1-1", vr, rule.keyword)


@lru_cache(maxsize=64)
def rules(options: Options, sop_class_uid: str) -> Rules:
    """The rules for one kind of object; shared by all objects of the kind."""
    return Rules(options, sop_class_uid)
