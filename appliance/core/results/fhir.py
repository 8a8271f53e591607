"""The resources of one study for systems that speak FHIR R4: an ImagingStudy and a DiagnosticReport about it.

The report says what the structured report says, in the same codes; its status is always *preliminary*, signed or not
(docs/decisions/0040-messages-and-reports.md). Patient and study are named by their identifiers, so that nothing of the
receiver's is made or changed. Each study has one report under an id that is a digest; a later statement takes the
place of an earlier one, and its number says which is later.

source: FHIR R4 (4.0.1) DiagnosticReport, ImagingStudy, Observation; urn:dicom:uid of DICOM PS3.20 and HL7.
"""

import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydicom import Dataset

from appliance.core.results import words
from appliance.core.results.statement import (
    Finding,
    Message,
    Statement,
    day_of,
    names_of,
    order_of,
    result_name,
    statement_digest,
    text_of,
)
from appliance.core.results.words import Term
from appliance.core.study import Instance

PRELIMINARY = "preliminary"
STATEMENT = f"{words.SYSTEM}.1"  # the extension that says how far a study's statements have come
DICOM_UID = "urn:dicom:uid"
ACCESSION = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
RADIOLOGY = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "RAD"}]}
# Not in a string of FHIR (2.24.0.1): other control characters than tab and line ends, and halves of surrogates.
UNTOLD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

FINDING = Term("121071", "DCM", "Finding")

Json = dict[str, Any]


def resources(
    said: Statement, source: Dataset, instances: Sequence[Instance], *, site_key: bytes, device: str
) -> tuple[Message, ...]:
    """ImagingStudy first, then the report that names it.

    source     the header of an image of the study
    instances  all images of the study
    """
    name = result_name(site_key, "report", said.study_instance_uid)
    number = f"{order_of(said)}/{result_name(site_key, 'statement', statement_digest(said))}"
    extension = [{"url": STATEMENT, "valueString": number}]
    shared = {"id": name, "extension": extension}
    study = {"resourceType": "ImagingStudy", **shared, **_study(said, source, instances)}
    report = {
        "resourceType": "DiagnosticReport",
        **shared,
        **_report(said, source, name, f"{words.MANUFACTURER} {device}"),
    }
    return tuple(_written(each) for each in (study, report))


def later(there: Json, ours: Json) -> Literal["same", "ours", "theirs"]:
    """Which of two resources of one id tells the later statement of a study; what tells none is no statement."""
    one, other = _number(there), _number(ours)
    if one == other:
        return "same"
    return "theirs" if one is not None and other is not None and one[0] > other[0] else "ours"


def _number(made: Json) -> tuple[int, str] | None:
    told = made.get("extension")
    for each in told if isinstance(told, list) else []:
        if isinstance(each, dict) and each.get("url") == STATEMENT:
            number, _, name = str(each.get("valueString", "")).partition("/")
            return (int(number), name) if number.isascii() and number.isdigit() and len(number) < 10 else None
    return None


def _written(made: Json) -> Message:
    return Message(f"{made['resourceType']}/{made['id']}", json.dumps(made, sort_keys=True, allow_nan=False).encode())


def _study(said: Statement, source: Dataset, instances: Sequence[Instance]) -> Json:
    series: dict[str, list[Instance]] = {}
    for each in instances:
        series.setdefault(each.series_instance_uid, []).append(each)
    accession = text_of(source, "AccessionNumber")
    by = [{"type": ACCESSION, "value": _plain(accession)}] if accession else []
    return {
        "status": "available",
        "identifier": [_uid(said.study_instance_uid), *by],
        "subject": _subject(source),
        **_on("started", source),
        "modality": [_modality(each) for each in sorted({one.modality for one in instances if one.modality})],
        "numberOfSeries": len(series),
        "numberOfInstances": len(instances),
        "series": [
            {"uid": uid, "modality": _modality(held[0].modality or "OT"), "numberOfInstances": len(held)}
            for uid, held in sorted(series.items())
        ],
    }


def _report(said: Statement, source: Dataset, name: str, device: str) -> Json:
    accession = text_of(source, "AccessionNumber")
    order = [{"type": "ServiceRequest", "identifier": {"type": ACCESSION, "value": _plain(accession)}}]
    observations = list(_observations(said, device))
    return {
        "identifier": [{"system": words.SYSTEM, "value": name}],
        **({"basedOn": order} if accession else {}),
        "status": PRELIMINARY,
        "category": [RADIOLOGY],
        "code": _concept(words.PROCEDURE),
        "subject": _subject(source),
        **_on("effectiveDateTime", source),
        "issued": _moment(said.said_at),
        "contained": observations,
        "result": [{"reference": f"#{each['id']}"} for each in observations],
        "imagingStudy": [{"type": "ImagingStudy", "identifier": _uid(said.study_instance_uid)}],
        "conclusion": f"{words.NOT_FOR_DIAGNOSIS}. {words.LANES[said.lane].meaning}",
    }


def _observations(said: Statement, device: str) -> Iterator[Json]:
    by = {"device": {"type": "Device", "display": _plain(device)}}
    yield {**_observation("lane", words.LANE, value=_concept(words.LANES[said.lane])), **by}
    if said.decision:
        who = {"performer": [{"type": "Practitioner", "display": _plain(said.reader)}]}
        yield {**_observation("decision", words.READER, value=_concept(words.DECISIONS[said.decision])), **who}
    for number, finding in enumerate(said.findings, 1):
        yield _finding(f"finding-{number}", finding)


def _finding(name: str, finding: Finding) -> Json:
    """What one model said of one label: an opinion, or a score that is no probability."""
    method = {"method": {"text": _plain(f"{finding.model} {finding.version}")}}
    about = words.OPINION if finding.opinion else words.SCORE
    if finding.opinion:
        made = _observation(name, about, value=_concept(words.ASSESSMENTS[finding.opinion]))
    else:
        made = _observation(name, about)
        if finding.score is not None:
            made["valueQuantity"] = {"value": round(finding.score, 4), "system": words.SYSTEMS["UCUM"], "code": "1"}
        else:
            made["dataAbsentReason"] = {"text": "no score"}
    if finding.label is not None:
        made["component"] = [{"code": _concept(FINDING), "valueCodeableConcept": _concept(finding.label)}]
    return {**made, **method}


def _observation(name: str, about: Term, value: Json | None = None) -> Json:
    made: Json = {"resourceType": "Observation", "id": name, "status": PRELIMINARY, "code": _concept(about)}
    return made if value is None else {**made, "valueCodeableConcept": value}


def _concept(term: Term) -> Json:
    system = words.SYSTEMS.get(term.scheme)
    coding = {"code": term.value, "display": term.meaning}
    return {"coding": [coding if system is None else {"system": system, **coding}]}


def _subject(source: Dataset) -> Json:
    issuer = text_of(source, "IssuerOfPatientID")
    by = {"assigner": {"display": _plain(issuer)}} if issuer else {}
    names = [text for _, parts in names_of(source)[:1] if (text := " ".join(each for each in parts if each))]
    told: Json = {"type": "Patient", "identifier": {"value": _plain(text_of(source, "PatientID")), **by}}
    return {**told, "display": _plain(names[0])} if names else told


def _uid(uid: str) -> Json:
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def _modality(code: str) -> Json:
    return {"system": words.SYSTEMS["DCM"], "code": code}


def _on(name: str, source: Dataset) -> Json:
    day = day_of(source, "StudyDate")
    return {name: f"{day[:4]}-{day[4:6]}-{day[6:]}"} if day else {}


def _moment(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(text: str) -> str:
    """Text as FHIR allows it: what no string may hold becomes the sign for that."""
    return UNTOLD.sub("\ufffd", text)
