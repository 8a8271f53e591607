"""What stands in place of a value: dummies by VR, known codes, and the allow-list for what Table E.1-1 does not name.

An attribute outside the table is kept only if its kind of value cannot hold free text, or its value has the form
that the standard or a public vocabulary gives it. Everything else is replaced. It refuses to guess: an unknown code
becomes a dummy code, an unlisted text a dummy text.
"""

import re
from functools import cache
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

REMOVED = "REMOVED"
# A date that is valid and that no living patient or machine bears, so that a dummy is never taken for a leak.
DUMMY_DATE = "18991230"
DUMMY_TIME = "000000"
DUMMIES: dict[str, str | bytes] = {
    "AE": REMOVED,
    "AS": "000Y",
    "CS": REMOVED,
    "DA": DUMMY_DATE,
    "DT": DUMMY_DATE + DUMMY_TIME,
    "LO": REMOVED,
    "LT": REMOVED,
    "OB": b"\0\0",
    "OW": b"\0\0",
    "PN": REMOVED,
    "SH": REMOVED,
    "ST": REMOVED,
    "TM": DUMMY_TIME,
    "UC": REMOVED,
    "UR": "urn:removed",
    "UT": REMOVED,
}
# Enumerated values: any other dummy would be invalid.
DUMMY_TERMS = {"ReasonForTheAttributeModification": "CORRECT"}

BINARY_NUMBERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
NUMBER_ARRAYS = frozenset({"OF", "OD", "OL", "OV"})
# Bulk data that decoding or measuring needs; every other OB or OW is removed. ICC profiles hold text and are not here.
BULK = frozenset(
    {
        "AirCounts",
        "AlphaPaletteColorLookupTableData",
        "BluePaletteColorLookupTableData",
        "ChannelMaximumValue",
        "ChannelMinimumValue",
        "DarkCurrentCounts",
        "EdgePointIndexList",
        "GreenPaletteColorLookupTableData",
        "LUTData",
        "PixelData",
        "PrimitivePointIndexList",
        "RedPaletteColorLookupTableData",
        "SegmentedAlphaPaletteColorLookupTableData",
        "SegmentedBluePaletteColorLookupTableData",
        "SegmentedGreenPaletteColorLookupTableData",
        "SegmentedRedPaletteColorLookupTableData",
        "TrianglePointIndexList",
        "VertexPointIndexList",
        "WaveformData",
        "WaveformPaddingValue",
    }
)
# The picture itself: in an item of a sequence it would be an icon, which no rule and no reader looks at.
PIXELS = frozenset({"PixelData", "FloatPixelData", "DoubleFloatPixelData"})

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")  # DS and IS of PS3.5 6.2
TERM = re.compile(r"[A-Z0-9_ ]{0,16}")  # CS of PS3.5 6.2
CHARACTER_SET = re.compile(r"|ISO_IR \d{1,3}|ISO 2022 IR \d{1,3}|GB18030|GBK")
# Code strings whose text the user chooses. The first two are references: equal text must stay equal.
CHOSEN_TERMS = frozenset({"GraphicLayer", "AnnotationDisplayFormatID"})
CHOSEN_LABELS = frozenset({"ContentLabel", "CarrierIDAssigningAuthority", "DataPathID", "ModifiedImageID"})

_PRODUCT = r"[A-Za-z0-9 .,:;/_()+&*#'-]{1,64}"
# Text outside the table that is kept if the whole value has this form: equipment makers and closed vocabularies.
TEXTS: dict[str, re.Pattern[str]] = {
    "Manufacturer": re.compile(_PRODUCT),
    "ManufacturerModelName": re.compile(_PRODUCT),
    "SoftwareVersions": re.compile(_PRODUCT),
    "ConvolutionKernel": re.compile(r"[A-Za-z0-9 ._+/-]{1,16}"),
    "ImagedNucleus": re.compile(r"\d{1,3}[A-Z][a-z]?"),
    "Radionuclide": re.compile(r"\^?\d{1,3}\^?[A-Z][a-z]?"),
    "RescaleType": re.compile(r"HU|US|OD|MGML|Z_EFF|ED|EDW|HU_MOD|PCT"),
    "ModalityLUTType": re.compile(r"HU|US|OD|MGML|Z_EFF|ED|EDW|HU_MOD|PCT"),
    "CodingSchemeVersion": re.compile(r"[0-9.]{1,16}"),
    "MIMETypeOfEncapsulatedDocument": re.compile(r"application/pdf"),
    "StackID": re.compile(r"\d{1,4}"),
}
CODE_KEYWORDS = frozenset(
    {"CodeValue", "LongCodeValue", "URNCodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"}
)


def _blank_page() -> bytes:
    objects: tuple[bytes, ...] = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>")
    objects += (b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",)
    text, table = b"%PDF-1.4\n", b"0000000000 65535 f \n"
    for number, content in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(text)
        text += b"%d 0 obj%sendobj\n" % (number, content)
    tail = b"xref\n0 4\n%strailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (table, len(text))
    return text + tail + b"\n" * ((len(text) + len(tail)) % 2)


# The smallest document that PDF readers open, in place of an encapsulated one.
BLANK_PDF = _blank_page()


def is_term(keyword: str, texts: tuple[str, ...]) -> bool:
    """Code strings in the form of PS3.5 6.2, of an attribute whose terms the standard or the equipment defines."""
    return keyword not in CHOSEN_TERMS | CHOSEN_LABELS and all(TERM.fullmatch(text) for text in texts)


def code(value: str, designator: str, meaning: str) -> Dataset:
    """One item of a code sequence, PS3.3 8.8."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = designator
    item.CodeMeaning = meaning
    return item


def dummy_items(keyword: str) -> Sequence | None:
    """The one dummy item of a sequence with action D; None where the sequence keeps its cleaned items instead."""
    item = Dataset()
    if keyword == "ContentSequence":
        item.RelationshipType = "CONTAINS"
        item.ValueType = "TEXT"
        item.ConceptNameCodeSequence = Sequence([code("121106", "DCM", "Comment")])
        item.TextValue = REMOVED
    elif keyword in ("PersonIdentificationCodeSequence", "InstitutionCodeSequence"):
        item = code("0", "99REMOVED", REMOVED)
    elif keyword == "OperatorIdentificationSequence":
        item.InstitutionName = REMOVED
        item.PersonIdentificationCodeSequence = Sequence([code("0", "99REMOVED", REMOVED)])
    elif keyword == "GraphicAnnotationSequence":
        point = Dataset()
        point.GraphicAnnotationUnits = "PIXEL"
        point.GraphicDimensions = 2
        point.NumberOfGraphicPoints = 1
        point.GraphicData = [1.0, 1.0]
        point.GraphicType = "POINT"
        item.GraphicObjectSequence = Sequence([point])
    else:
        return None
    return Sequence([item])


@cache
def _vocabularies() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    # pydicom's own copy of the codes of PS3.16; private module names, but the version is pinned and half a second of
    # import is spent only by a program that meets a code.
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    meanings: dict[str, dict[str, str]] = {}
    vocabularies: dict[str, Any] = concepts
    for scheme, by_keyword in vocabularies.items():
        codes = meanings.setdefault(scheme, {})
        for entries in by_keyword.values():
            codes.update({str(value): str(entry[0]) for value, entry in entries.items()})
    return meanings, {str(srt): str(sct) for srt, sct in mapping["SRT"].items()}


def known_meaning(value: str, designator: str) -> str | None:
    """What PS3.16 calls a code, or None: then nobody can say that the code names no person."""
    meanings, sct_of_srt = _vocabularies()
    if designator in ("SRT", "SNM3", "99SDM"):
        value, designator = sct_of_srt.get(value, ""), "SCT"
    return meanings.get(designator, {}).get(value)
