"""What kind of thing an attribute holds: a name, a number, a place, a product. By its keyword, not by any rule of the
cleaner: the lists are read off PS3.6 once more, so that a mistake there is not one here.
"""

import re
from functools import lru_cache
from typing import Literal

from appliance.core.inspect_tags import keyword

Kind = Literal[
    "name", "id", "date", "time", "uid", "address", "phone", "institution", "device", "trait", "text", "private"
]

TEXT_VRS = frozenset((b"AE", b"LO", b"LT", b"SH", b"ST", b"UC", b"UR", b"UT"))
OPAQUE_VRS = frozenset((b"OB", b"OW", b"UN"))
MANY_VALUED = frozenset((b"AE", b"DA", b"DT", b"LO", b"PN", b"SH", b"TM", b"UC", b"UI", b"CS"))
# Text that names products, vocabularies or formats. It identifies nobody, and an honest output keeps it.
PRODUCTS = frozenset(
    {
        "CodingSchemeDesignator",
        "CodingSchemeName",
        "CodingSchemeVersion",
        "ConvolutionKernel",
        "DeidentificationMethod",
        "CollimatorGridName",
        "FilterType",
        "ImagedNucleus",
        "TransducerType",
        "ImplementationClassUID",
        "ImplementationVersionName",
        "MIMETypeOfEncapsulatedDocument",
        "Manufacturer",
        "ManufacturerModelName",
        "ModalityLUTType",
        "Radionuclide",
        "RescaleType",
        "SoftwareVersions",
        "StackID",
        "TimezoneOffsetFromUTC",
    }
)
CODES = frozenset({"CodeMeaning", "CodeValue", "LongCodeValue", "URNCodeValue"})
# Code strings that a rule of the table changes though the standard defines them: they must not stand where they did.
STANDING_CODES = frozenset({"ReasonForTheAttributeModification"})
# Standard bulk data: pictures and tables of numbers. What is written into a picture is another module's matter.
NOT_TEXT = re.compile(r"PixelData|PaletteColorLookupTableData|LUTData|WaveformData|OverlayData|ICCProfile")
# What tells of the machine and not of a person: PS3.15 E.3.8 lets it stay when a study needs it.
DEVICE = frozenset(
    re.findall(
        r"\w+",
        """CassetteID DestinationAE DetectorID DeviceDescription DeviceLabel DeviceSerialNumber DeviceUID GantryID
    GeneratorID HardcopyCreationDeviceID LensMake LensModel LensSerialNumber LensSpecification
    ManufacturerDeviceClassUID ManufacturerDeviceIdentifier ModifyingDeviceID ModifyingSystem NetworkID Originator
    PerformedStationAETitle PerformedStationName PlateID ReceivingAE RequestingAE RetrieveAETitle
    ScheduledProcedureStepLocation ScheduledStationAETitle ScheduledStationName ScheduledStudyLocation
    ScheduledStudyLocationAETitle SecondaryCaptureDeviceID SelectorAEValue SourceManufacturer SourceSerialNumber
    StationAETitle StationName TreatmentMachineName UniqueDeviceIdentifier XRayDetectorID XRayDetectorLabel
    XRaySourceID""",
    )
)
# What describes in words what was done, seen or asked: PS3.15 E.3.4 lets clinical words stay there.
_DESCRIPTOR = re.compile(
    r"Description$|Comments?$|Label$|Text$|UnformattedTextValue$|Notes$|Narrative$|^CommentsOn|Reason|Diagnos|History|Impressions"
    r"|Agent$|^Selector(L[OT]|S[HT]|UT)Value$|^Treatment(Technique|Sites?$)|(Model|Montage|ROI|RTPlan|StructureSet|Template)Name$"
)
_DESCRIPTORS = frozenset(
    re.findall(
        r"\w+",
        """Allergies EntityName MedicalAlerts Occupation PatientState ProtocolName RequestingService""",
    )
)
_NO_DESCRIPTORS = frozenset(
    re.findall(
        r"\w+",
        """ConfidentialityConstraintOnPatientDataDescription ImagePresentationComments ManufacturerModelName
        ModifiedImageDescription NameToUseComment OverlayComments TextComments""",
    )
)
# What tells of the patient without naming one, as text: PS3.15 E.3.5.
TRAITS = frozenset(
    re.findall(
        r"\w+",
        """Allergies EthnicGroup EthnicGroups PatientState PreMedication SexParametersForClinicalUseCategoryComment
    SexParametersForClinicalUseCategoryReference SpecialNeeds""",
    )
)
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "institution",
        re.compile(
            r"Institution|Department|Organization|Sponsor|SiteName|SiteID|CenterName|CommitteeName|SourceOfPrevious"
        ),
    ),
    ("address", re.compile(r"Address|Residence|Location|Country|Region")),
    ("phone", re.compile(r"Telephone|Telecom")),
    ("id", re.compile(r"ID$|IDs$|Number|Identifier|Serial|ProcedureStepID|AccessionNumber|SiteID")),
    ("institution", re.compile(r"Station")),
)


@lru_cache(1 << 13)
def describes(place: str) -> bool:
    """Whether an attribute of text is a descriptor."""
    return place not in _NO_DESCRIPTORS and (place in _DESCRIPTORS or bool(_DESCRIPTOR.search(place)))


@lru_cache(1 << 13)
def attribute_kind(place: str, vr: bytes) -> Kind:
    if vr == b"PN":
        return "name"
    if place.startswith("("):
        return "private"
    if place in DEVICE:
        return "device"
    if place in TRAITS:
        return "trait"
    return next((kind for kind, pattern in _KINDS if pattern.search(place)), "text")


def kind_of(tag: int, vr: bytes) -> Kind:
    """What kind of thing an attribute of text holds."""
    return "time" if vr == b"TM" else "date" if vr in (b"DA", b"DT") else attribute_kind(keyword(tag), vr)
