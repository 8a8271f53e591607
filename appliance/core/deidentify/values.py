"""What stands in place of a value: dummies by VR, known codes, and the allow-list for what Table E.1-1 does not name.

An attribute outside the table is kept only if its kind of value cannot hold free text, or its value has the form
that the standard or a public vocabulary gives it. Everything else is replaced. It refuses to guess: an unknown code
becomes a dummy code, an unlisted text a dummy text.
"""

import re
import struct
import unicodedata

from pydicom.charset import python_encoding
from pydicom.datadict import dictionary_VM

from appliance.core.deidentify.codes import code_item
from appliance.core.deidentify.colour import SRGB_PROFILE as SRGB_PROFILE
from appliance.core.deidentify.names import Owned
from appliance.core.deidentify.terms import is_word_of_terms
from appliance.core.elements import Element
from appliance.errors import Quarantined

REMOVED = b"REMOVED"
# A date that is valid and that no living patient or machine bears, so that a dummy is never taken for a leak.
DUMMY_DATE = b"18991230"
DUMMY_TIME = b"000000"
DUMMIES: dict[str, bytes] = {
    "AE": REMOVED,
    "AS": b"000Y",
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
    "UR": b"urn:removed",
    "UT": REMOVED,
}
# Enumerated values: any other dummy would be invalid.
DUMMY_TERMS = {"ReasonForTheAttributeModification": b"CORRECT", "TimezoneOffsetFromUTC": b"+0000"}

TEXT_VRS = frozenset({"AE", "AS", "CS", "DS", "IS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
LENGTH_MAX = {"SH": 16, "LO": 64, "AE": 16, "CS": 16}  # characters, PS3.5 6.2
_KIN = ({"OB", "OW"}, {"LO", "SH"}, {"US", "SS"}, {"UL", "SL"}, {"LT", "ST"}, {"UT", "LT"}, {"UT", "ST"})
_NUMBER_BYTES = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "FD": 8, "UV": 8, "SV": 8}
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "AE", "Ö": "OE", "Ü": "UE"})

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

# DS and IS of PS3.5 6.2; twice their length, because scanners write more digits than they may.
NUMBER = re.compile(r"(?=.{1,32}$)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
TERM = re.compile(r"[A-Z0-9_ ]{0,16}")  # CS of PS3.5 6.2
CHARACTER_SETS = frozenset(python_encoding)  # the defined terms of PS3.3 C.12.1.1.2
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
    "ImagedNucleus": re.compile(r"\d{0,3}[A-Z][a-z]?"),
    "Radionuclide": re.compile(r"\^?\d{1,3}\^?[A-Z][a-z]?"),
    "RescaleType": re.compile(r"HU|US|OD|MGML|Z_EFF|ED|EDW|HU_MOD|PCT"),
    "ModalityLUTType": re.compile(r"HU|US|OD|MGML|Z_EFF|ED|EDW|HU_MOD|PCT"),
    "CodingSchemeVersion": re.compile(r"[0-9.]{1,16}"),
    "MIMETypeOfEncapsulatedDocument": re.compile(r"application/pdf|(text|application)/xml", re.IGNORECASE),
    "StackID": re.compile(r"\d{1,4}"),
}
CHARACTERISTICS = {
    "PatientSex": re.compile(r"[MFO]?"),
    "PatientSexNeutered": re.compile(r"(UN)?ALTERED|"),
    "SmokingStatus": re.compile(r"YES|NO|UNKNOWN|"),
}
# Among few numbers seven letters in a row are a word; among many, and in tables that rise by one, only a phrase is.
_SHORT_WRITING, _SHORT_BYTES_MAX = re.compile(rb"[A-Za-z]{7}"), 128
_LONG_WRITING = re.compile(rb"[A-Za-z]{3,}[ ,.^'-][A-Za-z ,.^'-]{9,}")
# Makers of imaging equipment, word by word.
_MAKERS = (
    "acuson agfa aloka canon carestream elekta fuji fujifilm fujitsu general electric ge gems healthcare hitachi "
    "hologic kodak konica medical medison minolta mindray philips picker samsung shimadzu siemens sony systems toshiba "
    "varian healthineers imaging corporation united uih nec"
)
MAKERS = frozenset(_MAKERS.split())
# Texts of equipment parts outside the table that are kept if every word is a known one.
PHYSICS_WORDS = frozenset({"FilterType", "CollimatorGridName", "TransducerType"})


def _blank_page() -> bytes:
    objects: tuple[bytes, ...] = (b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>")
    objects += (b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]>>",)
    text, table = b"%PDF-1.4\n", b"0000000000 65535 f \n"
    for number, content in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(text)
        text += b"%d 0 obj%sendobj\n" % (number, content)
    tail = b"xref\n0 4\n%strailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (table, len(text))
    return text + tail + b"\n" * ((len(text) + len(tail)) % 2)


# The smallest document that readers open, in place of an encapsulated one; of even length.
BLANK_PDF = _blank_page()
_CDA = b"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<title>REMOVED</title></ClinicalDocument>
"""
BLANK_CDA = _CDA + b"\n" * (len(_CDA) % 2)
BLANK_DOCUMENTS = {"application/pdf": BLANK_PDF, "text/xml": BLANK_CDA, "application/xml": BLANK_CDA}
MIME_TYPE = 0x00420012


def is_term(keyword: str, texts: tuple[str, ...]) -> bool:
    """Code strings in the form of PS3.5 6.2, of an attribute whose terms the standard or the equipment defines."""
    return keyword not in CHOSEN_TERMS | CHOSEN_LABELS and all(TERM.fullmatch(text) for text in texts)


def texts(value: bytes) -> tuple[str, ...] | None:
    """The values of a text element; None if they are not plain ASCII."""
    bare = value.rstrip(b"\0 ")
    if not bare.isascii():
        return None
    text = bare.decode("ascii")
    if not text.isprintable():
        return None
    return tuple(part.strip() for part in text.split("\\"))


def plain(text: str) -> str:
    """A text in ASCII: marks taken off letters, German ones spelled out."""
    spelled = text.translate(_SPELLED)
    return unicodedata.normalize("NFKD", spelled).encode("ascii", "ignore").decode()


def agrees(declared: str, vr: str) -> bool:
    """The file's own VR is the standard's, one of them, or a kin that reads alike."""
    if declared == vr or declared in vr.split(" or ") or declared == "UN":
        return True
    return any({declared, vr} <= kin for kin in _KIN)


def counted(element: Element) -> bool:
    """No more numbers than the standard gives this attribute: text could be spelled with the surplus."""
    allowed = dictionary_VM(element.tag)
    return not allowed.isdigit() or len(element.value) <= int(allowed) * _NUMBER_BYTES.get(element.vr[:2], 8)


def reads_as_numbers(value: bytes) -> bool:
    """No word is spelled with the bytes of the numbers; of two-byte characters every list that counts up is made."""
    return (_SHORT_WRITING if len(value) <= _SHORT_BYTES_MAX else _LONG_WRITING).search(value) is None


def well_formed(vr: str, value: bytes) -> bool:
    """A text within the length of its VR and without control characters (PS3.5 6.2): else it swallowed others.

    Twice the length, because bytes are counted and characters meant; ESC belongs to ISO 2022.
    """
    limit = 2 * LENGTH_MAX.get(vr, 5120)
    allowed = b"\x1b\t\n\f\r" if vr in ("LT", "ST", "UT", "UC") else b"\x1b"
    return len(value) <= limit and not any(byte < 32 and byte not in allowed for byte in value.rstrip(b"\0"))


def fits(owned: Owned, keyword: str, vr: str, said: tuple[str, ...]) -> bool:
    """A characteristic has one of its terms, or one number (PS3.3 C.7.1.1, C.7.2.2)."""
    terms = CHARACTERISTICS.get(keyword)
    if terms is not None:
        return len(said) == 1 and terms.fullmatch(said[0]) is not None
    if vr in ("DS", "IS"):
        return len(said) == 1 and NUMBER.fullmatch(said[0]) is not None
    return vr != "CS" or (is_term(keyword, said) and all(is_harmless_term(owned, text) for text in said))


def harmless(owned: Owned, keyword: str, vr: str, said: tuple[str, ...]) -> bool:
    """Every value has the form that the standard gives it, and bears nobody's name."""
    if keyword == "SpecificCharacterSet":
        return CHARACTER_SETS.issuperset(said)
    if vr in ("DS", "IS"):
        return all(not text or NUMBER.fullmatch(text) for text in said)
    if vr == "CS":
        return is_term(keyword, said) and all(is_harmless_term(owned, text) for text in said)
    form = TEXTS.get(keyword)
    if keyword == "ConvolutionKernel" and not all(is_word_of_terms(text.upper()) for text in said):
        return False
    if keyword in PHYSICS_WORDS:
        return all(is_word_of_terms(text.upper()) for text in said) and not any(owned.bears(text) for text in said)
    if form is None or not all(not text or form.fullmatch(text) for text in said):
        return False
    return not any(owned.bears(text) and not _makers_own(owned, text) for text in said)


def _makers_own(owned: Owned, text: str) -> bool:
    """A maker's name that is on the institution's too, as where it was tested at home; never a person's."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    return bool(words) and all(word in MAKERS for word in words) and not owned.bears_person(text)


def is_harmless_term(owned: Owned, text: str) -> bool:
    """One value of a code string: words that the standard or the clinic defines, and nobody's name."""
    return is_word_of_terms(text) and not owned.bears_person(text)


def _point(order: str) -> list[Element]:
    units, dimensions, count = b"PIXEL", struct.pack(f"{order}H", 2), struct.pack(f"{order}H", 1)
    return [
        Element(0x00700005, "CS", units),
        Element(0x00700020, "US", dimensions),
        Element(0x00700021, "US", count),
        Element(0x00700022, "FL", struct.pack(f"{order}2f", 1.0, 1.0)),
        Element(0x00700023, "CS", b"POINT"),
    ]


def dummy_items(keyword: str, layer: bytes, order: str) -> list[list[Element]] | None:
    """The one dummy item of a sequence with action D; None where the sequence keeps its cleaned items instead.

    layer  the pseudonym of a graphic layer that the object has
    order  byte order of its numbers, as struct writes it
    """
    nobody = [code_item("0", "99REMOVED", REMOVED.decode())]
    if keyword == "ContentSequence":
        item = [
            Element(0x0040A010, "CS", b"CONTAINS"),
            Element(0x0040A040, "CS", b"TEXT"),
            Element(0x0040A043, "SQ", b"", [code_item("121106", "DCM", "Comment")]),
            Element(0x0040A160, "UT", REMOVED),
        ]
        return [item]
    if keyword in ("PersonIdentificationCodeSequence", "InstitutionCodeSequence"):
        return nobody
    if keyword == "OperatorIdentificationSequence":
        return [[Element(0x00080080, "LO", REMOVED), Element(0x00401101, "SQ", b"", nobody)]]
    if keyword == "GraphicAnnotationSequence":
        return [[Element(0x00700002, "CS", layer), Element(0x00700009, "SQ", b"", [_point(order)])]]
    return None


def blank_document(here: dict[int, Element]) -> bytes:
    """An empty document of the kind that stood in an encapsulated one.

    raises  Quarantined("deid-unsupported", "EncapsulatedDocument"): a kind of which there is no empty one, such as a
            surface that may be somebody's face
    """
    told = here[MIME_TYPE].value.strip(b"\0 ").decode("latin-1").casefold() if MIME_TYPE in here else ""
    if told not in BLANK_DOCUMENTS:
        raise Quarantined("deid-unsupported", "EncapsulatedDocument")
    return BLANK_DOCUMENTS[told]
