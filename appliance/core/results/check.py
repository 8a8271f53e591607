"""What must hold of an object of ours before it leaves: a second reading by rules that do not know how it was built.

Whose it is must be word for word what the source says; a structured report must be a TID 1500 document with everything
that makes it useful elsewhere, and nothing that it must not say; a picture must say that it is not for diagnosis. What
fails stays here, with the name of the rule and no value.
"""

import io
from collections.abc import Iterator, Sequence

import pydicom
from pydicom import Dataset
from pydicom.uid import ComprehensiveSRStorage, SecondaryCaptureImageStorage

from appliance.core.results.words import ASSESSMENTS, DECISIONS, LANES, MANUFACTURER, NOT_FOR_DIAGNOSIS, SCHEME

# Read off the standard's element numbers, not off the builder's list.
IDENTITY = {
    "PatientName": 0x00100010,
    "PatientID": 0x00100020,
    "PatientBirthDate": 0x00100030,
    "PatientSex": 0x00100040,
    "StudyInstanceUID": 0x0020000D,
    "AccessionNumber": 0x00080050,
    "StudyDate": 0x00080020,
    "StudyTime": 0x00080030,
    "StudyID": 0x00200010,
}
OURS = {each.value for terms in (LANES, DECISIONS, ASSESSMENTS) for each in terms.values()}
REPORT, LANGUAGE, PROCEDURE = "126000", "121049", "121058"
MEASUREMENTS, GROUP = "126010", "125007"
OBSERVER_TYPE, PERSON, DEVICE = "121005", "121006", "121007"
PERSON_NAME, DEVICE_UID, DEVICE_NAME = "121008", "121012", "121013"
TRACKING, TRACKING_UID, ALGORITHM, ALGORITHM_VERSION = "112039", "112040", "111001", "111003"
DEPTH_MAX = 8
NEVER_SAID = ("normal", "no finding", "healthy", "unremarkable")


def wrong_in(data: bytes, source: Dataset, images: Sequence[tuple[str, str]], *, signed: bool) -> list[str]:
    """Names of the rules that an object breaks; [] where it may leave.

    source  the header of an image of the study
    images  SOP Class and Instance UID of every image of the study
    signed  whether a reader has signed: then their decision must be in a report, else it must not
    """
    made = pydicom.dcmread(io.BytesIO(data))
    broken = list(_common(made, source))
    match made.get("SOPClassUID"):
        case str(kind) if kind == ComprehensiveSRStorage:
            broken += _report(made, set(images), signed)
        case str(kind) if kind == SecondaryCaptureImageStorage:
            broken += _picture(made, set(images))
        case _:
            broken.append("sop-class")
    return broken


def _common(made: Dataset, source: Dataset) -> Iterator[str]:
    for name, tag in IDENTITY.items():
        if _told(source, tag) != _told(made, tag):
            yield f"identity-{name}"
    if made.get("Manufacturer") != MANUFACTURER:
        yield "manufacturer"
    if made.file_meta.MediaStorageSOPInstanceUID != made.SOPInstanceUID:
        yield "file-meta"
    own = [str(made.SOPInstanceUID), str(made.SeriesInstanceUID)]
    if len(set(own)) != 2 or not all(each.startswith("2.25.") and len(each) <= 64 for each in own):
        yield "own-uids"
    if str(made.SeriesInstanceUID) == str(source.get("SeriesInstanceUID", "")):
        yield "own-series"


def _told(header: Dataset, tag: int) -> str:
    """A value as text; absent and empty are the same statement."""
    element = header.get(tag)
    return "" if element is None or element.is_empty else str(element.value)


def _report(made: Dataset, images: set[tuple[str, str]], signed: bool) -> Iterator[str]:
    if made.get("VerificationFlag") != "UNVERIFIED" or "VerifyingObserverSequence" in made:
        yield "verified"
    if made.get("CompletionFlag") != "COMPLETE":
        yield "not-complete"
    if made.get("PreliminaryFlag") != ("FINAL" if signed else "PRELIMINARY"):
        yield "preliminary"
    template = made.get("ContentTemplateSequence")
    if not template or template[0].get("TemplateIdentifier") != "1500" or _name(made) != REPORT:
        yield "template-1500"
    evidence = {
        (str(each.ReferencedSOPClassUID), str(each.ReferencedSOPInstanceUID))
        for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
        for study in made.get(keyword) or ()
        for series in study.ReferencedSeriesSequence
        for each in series.ReferencedSOPSequence
    }
    if evidence != images:
        yield "evidence"
    rows = list(made.get("ContentSequence") or ())
    if [each for each in (LANGUAGE, PROCEDURE) if not _rows(rows, each)]:
        yield "language-or-procedure"
    yield from _observers(rows, signed)
    groups = [group for each in _rows(rows, MEASUREMENTS) for group in _rows(each.ContentSequence, GROUP)]
    if not groups:
        yield "no-group"
    for group in groups:
        yield from _group(group, evidence)
    said = [item for row in rows for item in _under(row)]
    decided = {_code(each) for each in said} & {each.value for each in DECISIONS.values()}
    if bool(decided) != signed or len(decided) > 1:
        yield "decision"
    if len({_code(each) for each in said} & {each.value for each in LANES.values()}) != 1:
        yield "lane"
    yield from _words(said)


def _observers(rows: Sequence[Dataset], signed: bool) -> Iterator[str]:
    kinds = {_code(each) for each in _rows(rows, OBSERVER_TYPE)}
    if DEVICE not in kinds or not _rows(rows, DEVICE_UID) or not _rows(rows, DEVICE_NAME):
        yield "device-observer"
    if (PERSON in kinds) != signed or bool(_rows(rows, PERSON_NAME)) != signed:
        yield "person-observer"


def _group(group: Dataset, evidence: set[tuple[str, str]]) -> Iterator[str]:
    """TID 1501: what it tracks, by which algorithm (TID 4019), on which images."""
    rows = group.get("ContentSequence") or ()
    if not _rows(rows, TRACKING) or not _rows(rows, TRACKING_UID):
        yield "tracking"
    if not _rows(rows, ALGORITHM) or not _rows(rows, ALGORITHM_VERSION):
        yield "algorithm"
    shown = [
        (str(each.ReferencedSOPClassUID), str(each.ReferencedSOPInstanceUID))
        for row in rows
        if row.get("ValueType") == "IMAGE"
        for each in row.ReferencedSOPSequence
    ]
    if not set(shown) <= evidence:
        yield "source-image"
    if not any(row.get("ValueType") in ("CODE", "NUM") for row in rows):
        yield "empty-group"


def _words(said: Sequence[Dataset]) -> Iterator[str]:
    """No code of ours that is not on the list, no meaning without a code, nothing that calls a patient well."""
    for each in said:
        for told in (*(each.get("ConceptCodeSequence") or ()), *(each.get("ConceptNameCodeSequence") or ())):
            meaning = str(told.get("CodeMeaning", "")).casefold()
            if not told.get("CodeValue") or not meaning or len(meaning) > 64:
                yield "code"
            if any(word in meaning for word in NEVER_SAID) and "does not rule out" not in meaning:
                yield "called-well"
        for told in each.get("ConceptCodeSequence") or ():
            if told.get("CodingSchemeDesignator") == SCHEME and told.CodeValue not in OURS | {"TRIAGE"}:
                yield "unknown-code"


def _picture(made: Dataset, images: set[tuple[str, str]]) -> Iterator[str]:
    if made.get("BurnedInAnnotation") != "YES":
        yield "burned-in"
    if list(made.get("ImageType") or ())[:2] != ["DERIVED", "SECONDARY"]:
        yield "image-type"
    if made.get("DerivationDescription") != NOT_FOR_DIAGNOSIS or made.get("ImageComments") != NOT_FOR_DIAGNOSIS:
        yield "not-for-diagnosis"
    shows = made.get("SourceImageSequence") or ()
    if {(str(each.ReferencedSOPClassUID), str(each.ReferencedSOPInstanceUID)) for each in shows} - images or not shows:
        yield "source-image"
    size = made.Rows * made.Columns * made.SamplesPerPixel
    if made.BitsAllocated != 8 or len(made.PixelData) != size + size % 2:
        yield "pixels"


def _under(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    yield item
    if depth < DEPTH_MAX:
        for each in item.get("ContentSequence") or ():
            yield from _under(each, depth + 1)


def _rows(rows: Sequence[Dataset], name: str) -> list[Dataset]:
    return [each for each in rows if _name(each) == name]


def _name(item: Dataset) -> str:
    told = item.get("ConceptNameCodeSequence")
    return str(told[0].get("CodeValue", "")) if told else ""


def _code(item: Dataset) -> str:
    told = item.get("ConceptCodeSequence")
    return str(told[0].get("CodeValue", "")) if told else ""
