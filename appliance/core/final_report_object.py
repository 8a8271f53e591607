"""Final reports of the PACS as truth: what a verified structured report says of a finding, by the table of HL7's.

Only codes count, and only where nothing beside them could turn them round: a code under a heading that is not of
findings, one that is modified, one of another subject or by a device is *undecided*, as is what the table does not
know. Whose report it is must be said by accession number and patient ID both.

source: PS3.3 C.17 for what is final and for the tree; PS3.16 TID 2000, TID 1500 and CID 7001 for headings.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset

from appliance.core.admit import DAMAGE, admit
from appliance.core.final_report import PARTS_MAX, VALUE_MAX, FinalReport, Reading, Truth, meaning
from appliance.core.results.statement import is_result
from appliance.errors import Quarantined

BASIC, ENHANCED, COMPREHENSIVE = (f"1.2.840.10008.5.1.4.1.1.88.{kind}" for kind in (11, 22, 33))
COMPREHENSIVE_3D, EXTENSIBLE = "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.88.35"
CLASSES = frozenset((BASIC, ENHANCED, COMPREHENSIVE, COMPREHENSIVE_3D, EXTENSIBLE))
HEADINGS = frozenset(
    (
        *("59776-5^LN", "19005-8^LN", "55110-1^LN", "55112-7^LN", "55107-7^LN"),  # CID 7001, of today's findings
        *("121070^DCM", "121072^DCM", "121076^DCM"),  # the same before LOINC took their place
        *("126010^DCM", "125007^DCM", "C0034375^UMLS"),  # measurements, a group of them, qualitative evaluations
    )
)
HARMLESS = frozenset(("121049^DCM", "121046^DCM", "363698007^SCT"))  # language, its country, finding site
PERSONS = {"121024^DCM": "121025^DCM", "121005^DCM": "121006^DCM"}  # subject class: patient; observer type: person
CONTEXT, MODIFIES = "HAS OBS CONTEXT", frozenset(("HAS CONCEPT MOD", "HAS PROPERTIES"))
ITEMS_MAX = 10_000


def report_in(data: bytes, readings: Sequence[Reading], senders: Sequence[str]) -> FinalReport:
    """The report that an object is.

    data     a whole file, Part 10
    senders  who is believed, as Manufacturer@InstitutionName
    raises   Quarantined: "report-malformed", "report-stranger", "report-kind", "own-result-returned"
    """
    try:
        instance = admit(data)
        found = pydicom.dcmread(BytesIO(data))
        if instance.sop_class_uid in CLASSES and not is_result(instance):
            return _read(found, readings, senders, instance.sop_instance_uid)
    except Quarantined as fault:
        raise fault if fault.code.startswith("report-") else Quarantined("report-malformed") from None
    except DAMAGE:
        raise Quarantined("report-malformed") from None
    if is_result(instance):
        raise Quarantined("own-result-returned", "Manufacturer")
    raise Quarantined("report-kind", "SOPClassUID")


def _read(found: Dataset, readings: Sequence[Reading], senders: Sequence[str], control_id: str) -> FinalReport:
    sender = f"{_text(found, 'Manufacturer')}@{_text(found, 'InstitutionName')}"
    if sender not in senders:
        raise Quarantined("report-stranger", "Manufacturer")
    requests = found.get("ReferencedRequestSequence") or ()
    accessions = {_text(each, "AccessionNumber") for each in (found, *requests)} - {""}
    patient = _text(found, "PatientID")
    if len(accessions) != 1 or len(requests) > PARTS_MAX:
        raise Quarantined("report-malformed", "AccessionNumber")
    (accession,) = accessions
    if max(len(accession), len(patient)) > VALUE_MAX or not patient:
        raise Quarantined("report-malformed", "PatientID")
    final = _final(found)
    items = list(_items(found.get("ContentSequence") or (), _undisturbed(found)))
    told = {each.label: _truth(items, each) for each in readings} if final else {}
    return FinalReport(1, sender, control_id, accession, (patient,), "F" if final else "P", told)


def _final(found: Dataset) -> bool:
    """Complete, and verified by a person with a name (PS3.3 C.17.2)."""
    flags = _text(found, "CompletionFlag"), _text(found, "VerificationFlag"), _text(found, "PreliminaryFlag")
    names = [_text(each, "VerifyingObserverName") for each in found.get("VerifyingObserverSequence") or ()]
    return flags in (("COMPLETE", "VERIFIED", ""), ("COMPLETE", "VERIFIED", "FINAL")) and any(names)


def _items(content: Sequence[Dataset], sure: bool) -> Iterator[tuple[Dataset, bool]]:
    """Every item below, and whether it stands under headings of findings where nothing can turn it round."""
    waiting, count = [(each, sure, False) for each in content], 0
    while waiting:
        item, here, headed = waiting.pop()
        count += 1
        if count > ITEMS_MAX:
            raise Quarantined("report-malformed", "ContentSequence")
        here = here and _text(item, "RelationshipType") == "CONTAINS"
        yield item, here and headed
        inside = item.get("ContentSequence") or ()
        heading = _concepts(item, "ConceptNameCodeSequence") & HEADINGS
        below = here and _text(item, "ValueType") == "CONTAINER" and bool(heading) and _undisturbed(item)
        below = below and all(_concepts(each, "ConceptNameCodeSequence") & HARMLESS for each in _modifiers(item))
        waiting += [(each, below, True) for each in inside]


def _truth(items: Sequence[tuple[Dataset, bool]], reading: Reading) -> Truth:
    said: set[str] = set()
    for item, sure in items:
        if reading.observation not in _concepts(item, "ConceptNameCodeSequence"):
            continue
        sure = sure and _text(item, "ValueType") == "CODE" and _undisturbed(item) and not _modifiers(item)
        said |= meaning(_concepts(item, "ConceptCodeSequence") if sure else set(), reading)
    return "present" if said == {"present"} else "absent" if said == {"absent"} else "undecided"


def _undisturbed(item: Dataset) -> bool:
    """Whether an item's observation context names no other subject than the patient, and no device as observer."""
    for each in item.get("ContentSequence") or ():
        if _text(each, "RelationshipType") != CONTEXT:
            continue
        for name in _concepts(each, "ConceptNameCodeSequence") & PERSONS.keys():
            if PERSONS[name] not in _concepts(each, "ConceptCodeSequence"):
                return False
    return True


def _modifiers(item: Dataset) -> list[Dataset]:
    return [each for each in item.get("ContentSequence") or () if _text(each, "RelationshipType") in MODIFIES]


def _concepts(item: Dataset, keyword: str) -> set[str]:
    """The codes of a coded concept and its equivalents (PS3.3 8.8), as CODE^SYSTEM."""
    found = set()
    for code in item.get(keyword) or ():
        for each in (code, *(code.get("EquivalentCodeSequence") or ())):
            value = next(
                (told for name in ("CodeValue", "LongCodeValue", "URNCodeValue") if (told := _text(each, name))), ""
            )
            found.add(f"{value}^{_text(each, 'CodingSchemeDesignator')}")
    return found


def _text(item: Dataset, keyword: str) -> str:
    value = item.get(keyword)
    return "" if value is None else str(value).strip(" \0")
