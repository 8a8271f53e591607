"""What must hold of a message or resource of ours before it leaves: a second reading, by rules that did not build it.

hl7apy and fhir.resources say whether it is what its standard calls one; the rules here, whether it is about this study,
says no more than it may, and is preliminary in every place where it could be called final. What fails stays here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from appliance.core import hl7
from appliance.core.results.check import NEVER_SAID
from appliance.core.results.statement import Message, day_of, names_of, text_of
from appliance.core.results.words import ASSESSMENTS, DECISIONS, LANES, NOT_FOR_DIAGNOSIS

LANE_CODES, DECISION_CODES, OPINION_CODES = (
    {each.value for each in terms.values()} for terms in (LANES, DECISIONS, ASSESSMENTS)
)
CONTROL = re.compile(r"[\x00-\x0c\x0e-\x1f\x7f]")


def wrong_in_oru(message: Message, source: Dataset, study_instance_uid: str, *, signed: bool) -> list[str]:
    """Names of the rules that an ORU breaks; [] where it may leave. Arguments as of `check.wrong_in`."""
    return list(_oru(message, source, study_instance_uid, signed))


def _oru(message: Message, source: Dataset, uid: str, signed: bool) -> Iterator[str]:
    text = message.data.decode()
    if CONTROL.search(text) or not text.endswith("\r") or not _is_hl7(text):
        yield "hl7-syntax"
        return
    made = hl7.read(message.data)
    names = [each[0] for each in made.segments]
    if names[:3] != ["MSH", "PID", "OBR"] or set(names[3:]) != {"OBX"} or len(names) != text.count("\r"):
        yield "segments"
        return
    head, patient, asked, *rows = made.segments
    if (head[10], made.first(head, 9, 2), head[18]) != (message.name, "R01", "UNICODE UTF-8"):
        yield "head"
    yield from _whose(made, patient, source)
    if made.first(asked, 18) != _cleaned(text_of(source, "AccessionNumber")):
        yield "identity-AccessionNumber"
    said = {made.first(row, 3): made.first(row, 5) for row in rows}
    if said.get("113014") != uid:
        yield "identity-StudyInstanceUID"
    if asked[25:26] != ("P",) or any(row[11:12] != ("P",) for row in rows):
        yield "not-preliminary"
    if said.get("DISCLAIMER") != NOT_FOR_DIAGNOSIS:
        yield "not-for-diagnosis"
    codes = [made.first(row, 5) for row in rows if row[2] == "CWE"]
    meanings = [made.first(row, 5, 2) for row in rows if row[2] == "CWE"]
    readers = [row for row in rows if made.first(row, 16)]
    yield from _said(codes, meanings, signed)
    if len(readers) != signed or any(made.first(row, 3) != "READER-DECISION" for row in readers):
        yield "person-observer"


def _is_hl7(text: str) -> bool:
    from hl7apy.consts import VALIDATION_LEVEL
    from hl7apy.exceptions import HL7apyException
    from hl7apy.parser import parse_message

    try:
        parse_message(text, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True).validate()
    except (HL7apyException, ValueError):
        return False
    return True


def _whose(made: hl7.Read, patient: tuple[str, ...], source: Dataset) -> Iterator[str]:
    if not made.first(patient, 3) or made.first(patient, 3) != _cleaned(text_of(source, "PatientID")):
        yield "identity-PatientID"
    told = []
    for each in made.repetitions(patient, 5):
        parts = [made.unescaped(part) for part in each.split(made.component)]
        parts += [""] * (8 - len(parts))
        told.append((parts[7], [*parts[:3], parts[4], parts[3]]))
    names = [(kind, [_cleaned(part) for part in parts]) for kind, parts in names_of(source)]
    if told != (names or [("", [""] * 5)]):
        yield "identity-PatientName"
    if made.first(patient, 7) != day_of(source, "PatientBirthDate"):
        yield "identity-PatientBirthDate"


def _cleaned(text: str) -> str:
    return "" if text == hl7.NULL else text


def _said(codes: list[str], meanings: list[str], signed: bool) -> Iterator[str]:
    if len([each for each in codes if each in LANE_CODES]) != 1:
        yield "lane"
    if len([each for each in codes if each in DECISION_CODES]) != signed:
        yield "decision"
    for meaning in meanings:
        lower = meaning.casefold()
        if any(word in lower for word in NEVER_SAID) and "does not rule out" not in lower:
            yield "called-well"


def wrong_in_fhir(
    messages: tuple[Message, ...], source: Dataset, study_instance_uid: str, *, signed: bool
) -> list[str]:
    """The same of an ImagingStudy and its DiagnosticReport."""
    return list(_fhir(messages, source, study_instance_uid, signed))


def _fhir(messages: tuple[Message, ...], source: Dataset, uid: str, signed: bool) -> Iterator[str]:
    made: dict[str, Any] = {}
    for each in messages:
        told = json.loads(each.data)
        made[told.get("resourceType")] = told
        if each.name != f"{told.get('resourceType')}/{told.get('id')}" or not _is_fhir(told.get("resourceType"), each):
            yield "fhir-syntax"
            return
    if len(messages) != 2 or set(made) != {"ImagingStudy", "DiagnosticReport"}:
        yield "resources"
        return
    study, report = made["ImagingStudy"], made["DiagnosticReport"]
    for each in (study, report):
        if not text_of(source, "PatientID") or each["subject"]["identifier"].get("value") != text_of(
            source, "PatientID"
        ):
            yield "identity-PatientID"
    accession = text_of(source, "AccessionNumber")
    named = [each["value"] for each in study["identifier"][1:]]
    ordered = [each["identifier"]["value"] for each in report.get("basedOn", [])]
    if (named or [""], ordered or [""]) != ([accession], [accession]):
        yield "identity-AccessionNumber"
    if {study["identifier"][0]["value"], report["imagingStudy"][0]["identifier"]["value"]} != {f"urn:oid:{uid}"}:
        yield "identity-StudyInstanceUID"
    observations = report.get("contained", [])
    if {report["status"], *(each.get("status") for each in observations)} != {"preliminary"}:
        yield "not-preliminary"
    if not report.get("conclusion", "").startswith(NOT_FOR_DIAGNOSIS):
        yield "not-for-diagnosis"
    if [each["reference"] for each in report.get("result", [])] != [f"#{each['id']}" for each in observations]:
        yield "result"
    if "resultsInterpreter" in report or "presentedForm" in report or "text" in report:
        yield "says-more"
    codings = [
        coding for each in observations for coding in each.get("valueCodeableConcept", {"coding": []})["coding"]
    ]  # fmt: skip
    yield from _said([each["code"] for each in codings], [each["display"] for each in codings], signed)
    persons = [each for each in observations if each.get("performer")]
    if len(persons) != signed or any(each["id"] != "decision" for each in persons):
        yield "person-observer"


def _is_fhir(kind: Any, message: Message) -> bool:
    # R4B is R4 for both (what changed between them: Evidence, medication definitions, subscriptions).
    from fhir.resources.R4B.diagnosticreport import DiagnosticReport
    from fhir.resources.R4B.imagingstudy import ImagingStudy
    from pydantic import ValidationError

    known: dict[Any, Any] = {"DiagnosticReport": DiagnosticReport, "ImagingStudy": ImagingStudy}
    if kind not in known:
        return False
    try:
        known[kind].model_validate_json(message.data)
    except ValidationError:
        return False
    return True
