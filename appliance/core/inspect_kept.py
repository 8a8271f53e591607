"""What an option in force keeps, and so what is no leak where: as narrowly as PS3.15 E.3 says it.

An option excuses kinds of things in kinds of places, never a place as a whole: a retained institution's name may
stand in Institution Name and the patient's may not. It refuses to excuse anything for options that only promise more.
"""

import re
from functools import lru_cache

from appliance.core.inspect_kinds import DEVICE, STANDING_CODES, TEXT_VRS, TRAITS, describes
from appliance.core.inspect_read import Element, Read
from appliance.core.inspect_search import BITS, WEAK
from appliance.core.inspect_tags import keyword
from appliance.core.options import Options

# An age above it is told as it: 45 CFR 164.514(b)(2)(i)(C).
AGE_YEARS_MAX = 89
AGES_BEYOND = "090Y"  # all of them, as one
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.44, "Y": 365.25}
# Attributes with coded or numeric values that tell of the patient; TRAITS are the others.
TRAIT_CODES = frozenset(
    {
        "PatientAge",
        "PatientSex",
        "PatientSexNeutered",
        "PatientSize",
        "PatientWeight",
        "PregnancyStatus",
        "SelectorASValue",
        "SmokingStatus",
    }
)
DEVICE_CODES = frozenset({"LensSpecification", "ModifyingDeviceID"})
INSTITUTION = frozenset(
    re.findall(
        r"\w+",
        """ClinicalTrialCoordinatingCenterName ClinicalTrialProtocolEthicsCommitteeName ClinicalTrialSiteID
    ClinicalTrialSiteName InstitutionAddress InstitutionName InstitutionalDepartmentName SourceOfPreviousValues""",
    )
)
NEVER_KEPT_UIDS = frozenset({"DigitalSignatureUID", "UID"})  # of a signature that is gone, and of anything at all
DEVICE_DATES = frozenset(
    re.findall(
        r"\w+",
        """BeamHoldTransitionDateTime CalibrationDate CalibrationDateTime CalibrationTime DateOfInstallation
        DateOfLastCalibration DateOfLastDetectorCalibration DateOfManufacture DateTimeOfLastCalibration
        TimeOfLastCalibration TimeOfLastDetectorCalibration""",
    )
)
STAMPS = frozenset({"FrameOriginTimestamp", "CertifiedTimestamp"})  # dates in bytes
# Sequences that an option keeps with what is in them.
_SEQUENCES = {
    "retain-device-identity": frozenset(
        re.findall(
            r"\w+",
            """PerformedStationGeographicLocationCodeSequence PerformedStationNameCodeSequence
        ScheduledStationGeographicLocationCodeSequence ScheduledStationNameCodeSequence
        TransducerIdentificationSequence UDISequence""",
        )
    ),
    "retain-institution-identity": frozenset({"InstitutionCodeSequence", "InstitutionalDepartmentTypeCodeSequence"}),
    "retain-patient-characteristics": frozenset(
        re.findall(
            r"\w+",
            """EthnicGroupCodeSequence SexParametersForClinicalUseCategoryCodeSequence
        SexParametersForClinicalUseCategorySequence""",
        )
    ),
    "clean-structured-content": frozenset(
        {"AcquisitionContextSequence", "ContentSequence", "SpecimenPreparationSequence", "WaveformAnnotationSequence"}
    ),
    "clean-graphics": frozenset({"GraphicAnnotationSequence"}),
}
_DEVICE_BITS = BITS["device"] | WEAK
_INSTITUTION_BITS = BITS["institution"] | BITS["address"] | WEAK
# What a value that an option keeps whole may share with other values: words of places, of houses, of machines.
KEPT_WHOLE = BITS["institution"] | BITS["address"] | BITS["device"] | WEAK
_DATES = (b"DA", b"DT", b"TM")
# Identifiers are often made of the date and the time of the study: where those may stand, so may their digits.
NUMBERED = BITS["id"] | WEAK
FULL_DATES, MODIFIED_DATES = "retain-longitudinal-full-dates", "retain-longitudinal-modified-dates"


def excused_at(whole: Read, element: Element, kept: Options) -> int:
    """Bits of inspect_search.BITS that may stay in an element, by itself and by the sequences around it."""
    bits, item = _excused(element.tag, element.vr, kept), element.item
    while item > 0:
        place = whole.items[item]
        bits |= _excused_inside(place.tag, kept)
        item = place.around
    return bits


@lru_cache(4096)
def _excused(tag: int, vr: bytes, kept: Options) -> int:
    word, bits = keyword(tag), 0
    if "clean-descriptors" in kept and (word in STANDING_CODES or (vr in TEXT_VRS and describes(word))):
        bits |= WEAK
    if "retain-safe-private" in kept and tag >> 16 & 1:
        bits |= WEAK
    if word == "EncapsulatedDocument":
        bits |= WEAK  # the words of a page with nothing on it stand in every page
    if "retain-uids" in kept and vr == b"UI" and word not in NEVER_KEPT_UIDS:
        bits |= BITS["uid"]
    if "retain-device-identity" in kept and word in DEVICE:
        bits |= _DEVICE_BITS | (BITS["uid"] if vr == b"UI" else 0)
    if "retain-device-identity" in kept and word in DEVICE_DATES:
        bits |= BITS["date"] | BITS["time"] | NUMBERED
    if "retain-institution-identity" in kept and word in INSTITUTION:
        bits |= _INSTITUTION_BITS
    if "retain-patient-characteristics" in kept and word in TRAITS:
        bits |= WEAK
    if FULL_DATES in kept and (vr in _DATES or word in STAMPS) and "Birth" not in word:
        bits |= BITS["date"] | BITS["time"] | NUMBERED
    if MODIFIED_DATES in kept and vr in (b"DT", b"TM") and "Birth" not in word:
        bits |= BITS["time"] | NUMBERED
    return bits


@lru_cache(4096)
def _excused_inside(tag: int, kept: Options) -> int:
    word, bits = keyword(tag), 0
    for option, sequences in _SEQUENCES.items():
        if option in kept and word in sequences:
            bits |= WEAK
            bits |= _DEVICE_BITS if option == "retain-device-identity" else 0
            bits |= _INSTITUTION_BITS if option == "retain-institution-identity" else 0
    if "retain-safe-private" in kept and tag >> 16 & 1:
        bits |= WEAK
    return bits


def too_old(age: str) -> bool:
    """An age that hardly anybody reaches, PS3.5 6.2 AS: nnnD, nnnW, nnnM, nnnY. What is no age is too old."""
    if age == AGES_BEYOND:
        return False
    if len(age) != 4 or not age[:3].isdigit() or age[3] not in _DAYS:
        return True
    return int(age[:3]) * _DAYS[age[3]] >= (AGE_YEARS_MAX + 1) * 365.25
