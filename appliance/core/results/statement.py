"""What is said of a study to the hospital's own systems, and what every object that says it has in common."""

import hashlib
import hmac
import io
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom import Dataset
from pydicom.multival import MultiValue

from appliance.core.pseudonym import uid
from appliance.core.results import words
from appliance.core.results.words import Term
from appliance.core.strict import canonical_sha256
from appliance.core.study import Instance, Lane

# Comprehensive SR and Secondary Capture: PS3.6 A.
OWN_CLASSES = frozenset(("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.7"))
# Copied as they stand in the source: PS3.3 C.7.1.1, C.7.2.1 and what finds a study in a PACS.
INHERITED = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("StudyDescription",),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one model said of one label; opinion is the centre's, "" from the edge; label None: the package is gone."""

    model: str
    version: str
    digest: str
    label: Term | None
    score: float | None
    opinion: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything that a report says. decision and reader are "" before a signature; said_at is seconds since 1970."""

    study_instance_uid: str
    revision: int
    lane: Lane
    findings: tuple[Finding, ...]
    decision: str
    reader: str
    said_at: float


@dataclass(frozen=True, slots=True)
class Built:
    """A finished object: its bytes (PS3.10) and what a slip says of it."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """A finished message or resource: what it is called in its own world (MSH-10, or TYPE/ID), and its bytes."""

    name: str
    data: bytes


def statement_digest(said: Statement) -> str:
    """What two statements that say the same have in common; when it was said does not count."""
    told = [
        (each.model, each.version, each.digest, each.label.value if each.label else "", each.score, each.opinion)
        for each in said.findings
    ]
    return canonical_sha256([said.study_instance_uid, said.revision, said.lane, told, said.decision, said.reader])


def result_uid(site_key: bytes, *parts: object) -> str:
    """A UID of ours under 2.25 (PS3.5 B.2): the same parts, the same UID, at this site only."""
    return uid(site_key, "result\0" + "\0".join(map(str, parts)))


def result_name(site_key: bytes, *parts: object) -> str:
    """A name of ours where a UID does not fit: 20 letters and digits, as many as MSH-10 of HL7 v2.5.1 holds."""
    return "e" + hmac.digest(site_key, "\0".join(map(str, ("result-name", *parts))).encode(), hashlib.sha256).hex()[:19]


def order_of(said: Statement) -> int:
    """How far a study's statements have come, from 1: each revision is said once unsigned, and once signed, at most."""
    return 2 * said.revision + bool(said.decision) - 1


def text_of(source: Dataset, keyword: str) -> str:
    """An element's value as the text that stood there, whatever it holds; "" where it is absent or empty."""
    value = source.get(keyword)
    if value is None:
        return ""
    return "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)


def names_of(source: Dataset) -> list[tuple[str, list[str]]]:
    """The patient's name (PS3.5 6.2.1): of each group that is there A, I or P as HL7 calls it, and five components."""
    groups = zip("AIP", text_of(source, "PatientName").split("="), strict=False)
    return [(kind, [*text.split("^"), "", "", "", "", ""][:5]) for kind, text in groups if text]


def day_of(source: Dataset, keyword: str) -> str:
    """A date as YYYYMMDD; "" where the header has none, or what is none."""
    told = text_of(source, keyword).strip()
    try:
        return datetime.strptime(told, "%Y%m%d").replace(tzinfo=UTC).strftime("%Y%m%d") if len(told) == 8 else ""
    except ValueError:
        return ""


def is_result(instance: Instance) -> bool:
    """Whether an appliance made this object, this one or another: it is no image to look at."""
    return instance.manufacturer == words.MANUFACTURER and instance.sop_class_uid in OWN_CLASSES


def dress(made: Dataset, source: Dataset, said_at: float, device: str, version: str, description: str) -> None:
    """What every object of ours has: whose it is, word for word, who made it, and the time of its statement."""
    for keyword in INHERITED:
        if keyword in source:
            made[keyword] = source[keyword]
    at = datetime.fromtimestamp(int(said_at), UTC)
    for name in ("Content", "InstanceCreation", "Series"):
        setattr(made, f"{name}Date", at.strftime("%Y%m%d"))
        setattr(made, f"{name}Time", at.strftime("%H%M%S"))
    made.TimezoneOffsetFromUTC = "+0000"
    made.Manufacturer = words.MANUFACTURER
    made.ManufacturerModelName = "edge"
    made.DeviceSerialNumber = device
    made.SoftwareVersions = version
    made.SeriesDescription = description
    for each in made.get("ContributingEquipmentSequence", ()):  # the library's own, dated by the clock
        del each.ContributionDateTime


def written(made: Dataset) -> bytes:
    """Part 10 bytes (PS3.10 7)."""
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()
