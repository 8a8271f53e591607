"""The codes of our own that a result speaks in, beside those of DICOM and SNOMED (PS3.16 8.3: a private scheme).

No code says that a patient is well: *cleared* is worded as what it is.
"""

from dataclasses import dataclass

from appliance.core.study import LANE_WORDS

SCHEME = "99EDGE"
MANUFACTURER = "Edge diagnostic appliance"  # also by which an object of ours is known when it comes back
NOT_FOR_DIAGNOSIS = "NOT FOR DIAGNOSIS - triage aid only"
SERIES_SR, SERIES_KEY_IMAGE = 9901, 9902  # far from the numbers that scanners give


@dataclass(frozen=True, slots=True)
class Term:
    """A coded concept of PS3.3 8.8: value, scheme designator, meaning of at most 64 characters."""

    value: str
    scheme: str
    meaning: str


LANE = Term("LANE", SCHEME, "Triage lane")
LANES = {lane: Term(lane.upper(), SCHEME, words[:64]) for lane, words in LANE_WORDS.items()}
READER = Term("READER-DECISION", SCHEME, "Reader's decision on the triage result")
DECISIONS = {
    "agree": Term("AGREE", SCHEME, "Reader agrees"),
    "correct": Term("DISAGREE", SCHEME, "Reader disagrees"),
    "cannot_tell": Term("CANNOT-TELL", SCHEME, "Reader cannot tell"),
}
OPINION = Term("CENTRAL-OPINION", SCHEME, "Opinion of the central model (draft)")
ASSESSMENTS = {
    "present": Term("PRESENT", SCHEME, "Assessed as present"),
    "absent": Term("NOT-FLAGGED", SCHEME, "Not flagged (does not rule out)"),
    "uncertain": Term("UNCERTAIN", SCHEME, "Uncertain"),
}
SCORE = Term("SCORE", SCHEME, "Score of the model (no probability)")
PROCEDURE = Term("TRIAGE", SCHEME, "Imaging triage by algorithm")
ORDER = Term("STATEMENT", SCHEME, "Number of this statement in its study")
NO_UNITS = Term("1", "UCUM", "no units")

# Where the code systems of FHIR live (HL7 terminology); ours is a UID of PS3.5 B.2 that was drawn once.
SYSTEM = "urn:oid:2.25.5317559096453404993865501735071674349"
SYSTEMS = {
    SCHEME: SYSTEM,
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
}
