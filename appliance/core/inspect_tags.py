"""What the standard calls a tag and which value representation it gives it, for identity and inspector.

It knows names and representations only: what becomes of an attribute is nowhere said here.
"""

from pydicom._dicom_dict import DicomDictionary

# Rows of PS3.15 Table E.1-1 whose attributes are younger than pydicom's dictionary: an honest object may bear them.
YOUNGER = {
    0x00081301: ("SQ", "PrincipalDiagnosisCodeSequence"),
    0x00081302: ("SQ", "PrimaryDiagnosisCodeSequence"),
    0x00081303: ("SQ", "SecondaryDiagnosesCodeSequence"),
    0x00081304: ("SQ", "HistologicalDiagnosesCodeSequence"),
    0x00100011: ("SQ", "PersonNamesToUseSequence"),
    0x00100012: ("LT", "NameToUse"),
    0x00100013: ("UT", "NameToUseComment"),
    0x00100014: ("SQ", "ThirdPersonPronounsSequence"),
    0x00100015: ("SQ", "PronounCodeSequence"),
    0x00100016: ("UT", "PronounComment"),
    0x00100041: ("SQ", "GenderIdentitySequence"),
    0x00100042: ("UT", "SexParametersForClinicalUseCategoryComment"),
    0x00100043: ("SQ", "SexParametersForClinicalUseCategorySequence"),
    0x00100044: ("SQ", "GenderIdentityCodeSequence"),
    0x00100045: ("UT", "GenderIdentityComment"),
    0x00100046: ("SQ", "SexParametersForClinicalUseCategoryCodeSequence"),
    0x00100047: ("UR", "SexParametersForClinicalUseCategoryReference"),
    0x00102162: ("UC", "EthnicGroups"),
    0x3004007F: ("LO", "DoseCalculationModelName"),
    0x0040A034: ("DT", "EffectiveStartDateTime"),
    0x0040A035: ("DT", "EffectiveStopDateTime"),
    0x0040B034: ("DT", "AnnotationDateTime"),
    0x0040B036: ("DT", "SegmentDefinitionDateTime"),
    0x0040B03B: ("SH", "MontageName"),
    0x0040B03F: ("SH", "MontageChannelLabel"),
    0x0040E012: ("UR", "DisplayURI"),
}
_VRS: dict[int, bytes] = {tag: str(entry[0])[:2].encode() for tag, entry in DicomDictionary.items()}
_VRS |= {tag: vr.encode() for tag, (vr, _) in YOUNGER.items()}
_KEYWORDS: dict[int, str] = {tag: str(entry[4]) for tag, entry in DicomDictionary.items()}
_KEYWORDS |= {tag: keyword for tag, (_, keyword) in YOUNGER.items()}


def keyword(tag: int) -> str:
    """The attribute's keyword, or its tag in the notation of PS3.5."""
    return _KEYWORDS.get(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def known(tag: int) -> bool:
    return tag in _VRS


def vr_of(tag: int) -> bytes:
    """By the dictionary; of "US or SS" the first, UN for what it does not know."""
    if tag >> 16 & 1:
        return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"
    return _VRS.get(tag) or (b"UL" if not tag & 0xFFFF else b"UN")
