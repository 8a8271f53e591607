"""What every de-identified object has, and what none has, whatever the patient: PS3.15 E.1 to E.3 as demands.

It knows no source. Where the search finds only what it knows to look for, these demands close whole kinds of places:
private and unknown attributes, overlays, icons, bytes of no known meaning. It refuses and mends nothing.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from pydicom._uid_dict import UID_dictionary

from appliance.core.identity import NOBODYS
from appliance.core.inspect_kept import (
    DEVICE_CODES,
    FULL_DATES,
    MODIFIED_DATES,
    STAMPS,
    TRAIT_CODES,
    too_old,
)
from appliance.core.inspect_read import Element, Read
from appliance.core.inspect_tags import keyword, known, vr_of
from appliance.core.options import BASIC_CODE, CODES, Options

How = Literal["text", "number", "binary", "uid", "date", "time", "opaque", "bulk", "items"]
FILE_META_ALLOWED = frozenset({0x0000, 0x0001, 0x0002, 0x0003, 0x0010, 0x0012, 0x0013})
PIXEL_KEYWORDS = frozenset({"PixelData", "FloatPixelData", "DoubleFloatPixelData"})
# Tables that decoding or measuring needs. ICC profiles hold text and are not here.
BULK = re.compile(
    r"PaletteColorLookupTableData$|LUTData$|WaveformPaddingValue$|(Air|DarkCurrent)Counts$|"
    r"Channel(Maximum|Minimum)Value$|(Edge|Vertex|Primitive|Triangle)PointIndexList$"
)
PATIENT_ID = re.compile(rb"ANON[A-Z2-7]{16}|")
PERSON = re.compile(rb"ANON[A-Z2-7]{16}|REMOVED|")
FORBIDDEN = re.compile(
    r"GPS(?!DateStamp)|IconImageSequence$|InstanceOriginStatus$|DigitalSignaturesSequence$|MACParametersSequence$"
)
CHECKED = (
    TRAIT_CODES
    | DEVICE_CODES
    | {
        *(
            "PatientID",
            "TimezoneOffsetFromUTC",
            "BurnedInAnnotation",
            "RecognizableVisualFeatures",
            "EncapsulatedDocument",
        ),
        *("ContentSequence", "TextObjectSequence", "CompoundGraphicSequence"),
    }
)
# A page with nothing on it, in the words of PDF: no stream, no string, no comment.
_BLANK_PDF = re.compile(
    rb"%PDF-1\.\d\s+(?:(?>/(?:Type|Catalog|Pages|Page|Kids|Count|Parent|MediaBox|Size|Root|Resources|Contents)\b|"
    rb"\d{1,10}(?!\d)|obj|endobj|xref|trailer|startxref|%%EOF|[nfR]\b|<<|>>|[\[\]\s\0]))*+"
)
_BLANK_PDF_BYTES_MAX = 4096
# A clinical document of which nothing is left but its title, in the words of HL7 CDA.
_BLANK_CDA = re.compile(
    rb'<\?xml version="1.0"( encoding="UTF-8")?\?>\s*<ClinicalDocument xmlns="urn:hl7-org:v3">\s*'
    rb'<typeId root="2\.16\.840\.1\.113883\.1\.3" extension="POCD_HD000040"/>\s*<title>REMOVED</title>\s*'
    rb"</ClinicalDocument>\s*\0?"
)
# All that a plain colour profile says in words, ICC.1:2001-04.
_PROFILE_WORDS = frozenset((b"scnrRGB XYZ ", b"`cprt", b"No copyright", b"-XYZ "))
_PROFILE_BYTES_MAX = 1024
_WORDS = re.compile(rb"[\x20-\x7e]{5,}")
_HOW: dict[bytes, How] = {
    b"SQ": "items",
    b"UI": "uid",
    b"DA": "date",
    b"DT": "date",
    b"TM": "time",
    **dict.fromkeys((b"DS", b"IS"), "number"),
    **dict.fromkeys((b"US", b"SS", b"UL", b"SL", b"UV", b"SV", b"FL", b"FD", b"AT"), "binary"),
    **dict.fromkeys((b"OF", b"OD", b"OL", b"OV"), "bulk"),
    **dict.fromkeys((b"OB", b"OW", b"UN"), "opaque"),
}
_KIN = ({b"OB", b"OW"}, {b"LO", b"SH"}, {b"US", b"SS", b"OW"}, {b"UL", b"SL"}, {b"LT", b"ST", b"UT"})
# Characters of PS3.5 6.2, and the padding.
DATE_FORM = re.compile(rb"[\d.:+\- \\]*\0?")
UID_FORM = re.compile(rb"[\d.\\]*\0?(?:\\[\d.\\]*\0?)*")
_NUMBER_FORM = re.compile(rb"[\d.+\-eE \\]*")
_TERM_FORM = re.compile(rb"[A-Z\d_ \\]*")


class Role(NamedTuple):
    """How the value of an attribute is searched, and why it may not be there at all ("" if it may)."""

    how: How
    reason: str
    checked: bool


@lru_cache(1 << 14)
def role_of(tag: int, vr: bytes, nested: bool, kept: Options) -> Role:
    """What is to be done with an attribute of this tag and representation."""
    word = keyword(tag)
    how = _HOW.get(vr, "text")
    if how == "opaque" and (word in PIXEL_KEYWORDS or word == "WaveformData"):
        how = "bulk"
    reason = "structure" if _misplaced(tag, vr, word, nested, kept) else ""
    checked = word in CHECKED or "Birth" in word or vr in (b"PN", b"AS") or (how == "opaque" and not BULK.search(word))
    return Role(how, reason, checked)


def _misplaced(tag: int, vr: bytes, word: str, nested: bool, kept: Options) -> bool:
    """Attributes that no de-identified object bears, whatever their value."""
    group = tag >> 16
    if group & 1:
        return "retain-safe-private" not in kept
    if not tag & 0xFFFF or group >> 8 in (0x50, 0x60) or group in (0x0000, 0x0002, 0x0004, 0xFFFA, 0xFFFC):
        return True
    if vr == b"UN" or not known(tag) or FORBIDDEN.match(word):
        return True
    if nested and word in PIXEL_KEYWORDS:
        return True  # a picture inside an item is an icon, PS3.3 F.7: nobody looks at it
    standard = vr_of(tag)
    return vr != standard and not any({vr, standard} <= kin for kin in _KIN)


def malformed(whole: Read, kinds: Mapping[How, list[Element]]) -> Iterator[Element]:
    """Words where the standard has only digits, or capitals: nobody would look for them there."""
    terms = [one for one in kinds["text"] if one.vr == b"CS"]
    for elements, form in (
        (kinds["uid"], UID_FORM),
        (kinds["number"], _NUMBER_FORM),
        (terms, _TERM_FORM),
        ([*kinds["date"], *kinds["time"]], DATE_FORM),
    ):
        values = [whole.body[one.start : one.end] for one in elements]
        if not form.fullmatch(b"\\".join(values)):
            yield from (one for one, value in zip(elements, values, strict=True) if not form.fullmatch(value))


def misfit(whole: Read, element: Element, kept: Options) -> bool:
    """A value that no de-identified object has in a checked place."""
    word, value = keyword(element.tag), whole.body[element.start : element.end]
    if element.vr == b"PN":
        return not all(PERSON.fullmatch(name.strip(b" \0")) for name in value.split(b"\\"))
    text = value.strip(b"\0 ")
    if "Birth" in word:
        return text not in NOBODYS  # no option of the standard keeps it, nor shifts it
    match word:
        case "PatientID":
            return not all(PATIENT_ID.fullmatch(part.strip()) for part in text.split(b"\\"))
        case "BurnedInAnnotation":
            return text == b"NO" and "clean-pixel-data" not in kept and not _enhanced(whole)
        case "RecognizableVisualFeatures":
            return text == b"NO" and "clean-recognizable-visual-features" not in kept
        case "EncapsulatedDocument":
            blank = _BLANK_PDF.fullmatch(value) or _BLANK_CDA.fullmatch(value)
            return len(value) > _BLANK_PDF_BYTES_MAX or not blank
        case "ICCProfile":
            return len(value) > _PROFILE_BYTES_MAX or not _PROFILE_WORDS.issuperset(_WORDS.findall(value))
        case "ContentSequence":
            return "clean-structured-content" not in kept and not _one_item(whole, element)
        case "TextObjectSequence" | "CompoundGraphicSequence":
            return "clean-graphics" not in kept and bool(value)
        case "TimezoneOffsetFromUTC":
            return not {FULL_DATES, MODIFIED_DATES} & kept and bool(text)
    if word in DEVICE_CODES:
        return "retain-device-identity" not in kept and bool(text)
    if element.vr == b"AS" or word in TRAIT_CODES:
        return _telling_trait(element, value, kept)
    if element.vr in (b"OB", b"OW", b"UN") and not element.tag >> 16 & 1:
        dates = {FULL_DATES, MODIFIED_DATES} & kept
        return any(value) and not (word in STAMPS and dates) and "clean-descriptors" not in kept
    return False


def _telling_trait(element: Element, value: bytes, kept: Options) -> bool:
    """Age, sex, size, weight and the like: nothing without the option, and with it no age that few reach."""
    text = value.strip(b"\0 ")
    if "retain-patient-characteristics" not in kept:
        return text not in (b"", b"000Y") if element.vr != b"US" else any(value)
    return element.vr == b"AS" and any(too_old(age) for age in text.decode("latin-1").split("\\") if age)


def _enhanced(whole: Read) -> bool:
    """Multi-frame classes whose Burned In Annotation may be NO only (PS3.3 C.8.13.1.1.1 and kin)."""
    return UID_dictionary.get(first(whole, 0x00080016), ("",))[0].startswith("Enhanced ")


def _one_item(whole: Read, element: Element) -> bool:
    """The dummy: one comment, with nothing below it."""
    mine = [number for number, place in enumerate(whole.items) if number and place.tag == element.tag]
    here = [number for number in mine if whole.items[number].around == element.item]
    return len(here) <= 1 and element.item not in mine


def first(whole: Read, tag: int) -> str:
    """The value of an element of the data set itself, as text; "" where there is none."""
    for element in whole.elements:
        if element.tag == tag and not element.item:
            return whole.body[element.start : element.end].decode("latin-1").strip("\0 ")
        if element.tag > tag and not element.item:
            break
    return ""


def demanded(whole: Read, kept: Options) -> Iterator[str]:
    """Places where a de-identified object says something else than this one, PS3.15 E.1.1 and PS3.10 7.1."""
    if whole.body[:128] != bytes(128):
        yield "preamble"
    for element in whole.meta:
        value = whole.body[element.start : element.end]
        if element.tag & 0xFFFF not in FILE_META_ALLOWED or (element.tag == 0x00020001 and value != b"\0\1"):
            yield keyword(element.tag)
        elif element.tag == 0x00020003 and value.decode("latin-1").strip("\0 ") != first(whole, 0x00080018):
            yield "MediaStorageSOPInstanceUID"
    if first(whole, 0x00120062) != "YES":
        yield "PatientIdentityRemoved"
    modified = "UNMODIFIED" if FULL_DATES in kept else "MODIFIED" if MODIFIED_DATES in kept else "REMOVED"
    if first(whole, 0x00280303) != modified:
        yield "LongitudinalTemporalInformationModified"
    if {BASIC_CODE, *(CODES[option] for option in kept)} - _method_codes(whole):
        yield "DeidentificationMethodCodeSequence"


def _method_codes(whole: Read) -> set[str]:
    return {
        whole.body[element.start : element.end].decode("latin-1").strip("\0 ")
        for element in whole.elements
        if element.tag == 0x00080100 and element.item and whole.items[element.item].tag == 0x00120064
    }
