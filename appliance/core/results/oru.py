"""The message of one study for systems that speak HL7 version 2: an unsolicited observation, ORU^R01 of v2.5.1.

It says what the structured report says, in the same codes, and its status is always *preliminary*, signed or not: what
closes an order in a RIS is the report of the RIS (docs/decisions/0040-messages-and-reports.md). The same statement is
the same bytes under the same control id, so that a receiver that got it twice knows.

source: HL7 v2.5.1 chapter 7 (ORU^R01, OBR, OBX); study UID and accession number where IHE RAD-128 has them.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from pydicom import Dataset

from appliance.core.hl7 import ENCODING, escaped, segment
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

PRELIMINARY = "P"  # tables 0123 and 0085
STUDY_UID = Term("113014", "DCM", "DICOM Study")
FINDING = Term("121071", "DCM", "Finding")
DISCLAIMER = Term("DISCLAIMER", words.SCHEME, "What this is not")
AUTHORITY_MAX = 20  # a longer issuer is left out: cut off it would be another's name
SEXES = {"M": "M", "F": "F", "O": "O"}  # PS3.3 C.7.1.1 into table 0001


def oru(said: Statement, source: Dataset, *, site_key: bytes, device: str, version: str) -> Message:
    """The message; source is the header of an image of the study."""
    at = datetime.fromtimestamp(int(said.said_at), UTC).strftime("%Y%m%d%H%M%S+0000")
    control = result_name(site_key, "oru", statement_digest(said))
    patient_id = [escaped(text_of(source, keyword)) for keyword in ("PatientID", "IssuerOfPatientID")]
    if len(patient_id[1]) > AUTHORITY_MAX:
        patient_id[1] = ""
    head = segment(
        "MSH", ENCODING, "EDGE", escaped(device), "", "", at, "", "ORU^R01^ORU_R01", control, "P", "2.5.1",
        *("",) * 5, "UNICODE UTF-8",
    )  # fmt: skip
    patient = segment(
        "PID", "1", "", f"{patient_id[0]}^^^{patient_id[1]}".rstrip("^"), "", _name(source), "",
        day_of(source, "PatientBirthDate"), SEXES.get(text_of(source, "PatientSex"), "U"),
    )  # fmt: skip
    asked = segment(
        "OBR", "1", "", f"{result_name(site_key, 'report', said.study_instance_uid)}^EDGE", _coded(words.PROCEDURE),
        "", "", day_of(source, "StudyDate"), *("",) * 10, escaped(text_of(source, "AccessionNumber")),
        *("",) * 3, at, "", "RAD", PRELIMINARY,
    )  # fmt: skip
    rows = [
        _row(number, kind, name, group, value, unit, at, said.reader, equipment)
        for number, (kind, name, group, value, unit, equipment) in enumerate(_told(said, version), 1)
    ]
    return Message(control, "".join((head, patient, asked, *rows)).encode())


def _told(said: Statement, version: str) -> Iterator[tuple[str, Term, str, str, str, str]]:
    """Value type, what is told, group, value, unit and equipment of each observation."""
    own = f"edge^{escaped(version)}"
    yield "HD", STUDY_UID, "1", f"{escaped(said.study_instance_uid)}^^ISO", "", ""
    yield "TX", DISCLAIMER, "1", escaped(words.NOT_FOR_DIAGNOSIS), "", own
    yield "NM", words.ORDER, "1", str(order_of(said)), "", own
    yield "CWE", words.LANE, "1", _coded(words.LANES[said.lane]), "", own
    if said.decision:
        yield "CWE", words.READER, "1", _coded(words.DECISIONS[said.decision]), "", own
    for group, finding in enumerate(said.findings, 2):
        yield from _finding(finding, str(group))


def _finding(finding: Finding, group: str) -> Iterator[tuple[str, Term, str, str, str, str]]:
    model = f"{escaped(finding.model)}^{escaped(finding.version)}"
    if finding.label is not None:
        yield "CWE", FINDING, group, _coded(finding.label), "", model
    if finding.opinion:
        yield "CWE", words.OPINION, group, _coded(words.ASSESSMENTS[finding.opinion]), "", model
    elif finding.score is not None:
        yield "NM", words.SCORE, group, f"{finding.score:.4f}", _coded(words.NO_UNITS), model


def _row(
    number: int, kind: str, name: Term, group: str, value: str, unit: str, at: str, reader: str, equipment: str
) -> str:
    """One OBX; whoever signed stands only beside their own decision."""
    by = escaped(reader) if name == words.READER else ""
    return segment(
        "OBX", str(number), kind, _coded(name), group, value, unit, *("",) * 4, PRELIMINARY, "", "", at, "", by, "",
        equipment,
    )  # fmt: skip


def _coded(term: Term) -> str:
    """CWE: identifier, text, coding system (table 0396 knows DCM, SCT, UCUM and 99zzz)."""
    return "^".join(escaped(each) for each in (term.value, term.meaning, term.scheme))


def _name(source: Dataset) -> str:
    """XPN: suffix before prefix, the other way round than PN has them; one repetition for each way of writing."""
    told = []
    for kind, (family, given, middle, prefix, suffix) in names_of(source):
        parts = [escaped(each) for each in (family, given, middle, suffix, prefix)]
        told.append("^".join((*parts, "", "", kind)))
    return "~".join(told)
