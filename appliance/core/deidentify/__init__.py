"""The Basic Application Level Confidentiality Profile of PS3.15 Annex E, with its options, on one object.

A new data set is built out of what may stay: nothing is kept because no rule named it. What the table names is done
as the table says; what it does not name is kept only where its kind of value cannot hold identity. It refuses, as
Quarantined("deid-unsupported"), an object that it cannot read to the end, that is not one of the standard's own SOP
classes, or whose content it cannot clean. It does not look at the picture: burned-in text is core.redact's work, faces
are core.deface's.
"""

from dataclasses import dataclass, field

from pydicom._uid_dict import UID_dictionary

from appliance.core import annex_e, elements_pydicom, pseudonym
from appliance.core.deidentify import values
from appliance.core.deidentify.cells import cells_of
from appliance.core.deidentify.clean import cleaned, patient_of
from appliance.core.deidentify.codes import code_item
from appliance.core.deidentify.content import points_by_position
from appliance.core.deidentify.dates import offset_days
from appliance.core.deidentify.names import owned_by
from appliance.core.deidentify.pixels import cleaned_pixels
from appliance.core.deidentify.rules import rules
from appliance.core.deidentify.walk import Change as Change
from appliance.core.deidentify.walk import Walk
from appliance.core.elements import PIXEL_DATA, Element, Object, Odd, is_encapsulated, meta_information, read, written
from appliance.core.options import BASIC_CODE, CODES, PROFILES, Options
from appliance.errors import Quarantined

IMPLEMENTATION_CLASS_UID = "2.25.183596621636410266847430990424106517494"
IMPLEMENTATION_VERSION_NAME = "EDGE_DEID_2"
METHOD = f"PS3.15 {annex_e.EDITION} Basic Profile, edge diagnostic appliance"
METHOD_EARLIER = "Earlier method, its text removed"
_CLASS, _INSTANCE = 0x00080016, 0x00080018
_METHOD, _METHOD_CODES = 0x00120063, 0x00120064
_OFFSET_TABLES = frozenset((0x7FE00001, 0x7FE00002))
_DOCUMENT, _DOCUMENT_LENGTH = 0x00420011, 0x00420015


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A complete Part 10 file and what was done to make it."""

    bytes: bytes = field(repr=False)
    changes: tuple[Change, ...] = field(repr=False)


def deidentify(data: bytes, site_key: bytes, options: Options = PROFILES["basic"]) -> Deidentified:
    """One object without its identity, same transfer syntax, pixel values kept.

    data      a whole Part 10 file as received
    site_key  at least 32 random bytes; the same key gives the same pseudonyms
    options   of Annex E; clean-pixel-data and clean-recognizable-visual-features are only said here, done elsewhere
    raises    Misconfigured("deid-site-key"); Quarantined("deid-unsupported", path), ("header-unreadable"),
              ("header-truncated")
    source    PS3.15 2026d E.1 to E.3, PS3.10 7.1 (file meta information)
    """
    try:
        found = read(data)
    except Odd:
        found = elements_pydicom.read(data)
    return deidentified(found, site_key, options)


def deidentified(found: Object, site_key: bytes, options: Options) -> Deidentified:
    """The same for an object that has been read."""
    key = pseudonym.checked_key(site_key)
    sop_class = _known_object(found)
    work = Walk(key, rules(options, sop_class), owned_by(found.elements))
    work.encapsulated, work.order = is_encapsulated(found.syntax), found.order
    if "retain-longitudinal-modified-dates" in options:
        here = {element.tag: element for element in found.elements}
        work.offset_days = offset_days(key, patient_of(here))
    work.by_reference = points_by_position(found.elements)
    result = cleaned(work, found.elements)
    result, syntax = _pixels(work, result, found)
    result = _inserted(work, found.elements, result)
    work.changes.append(Change("preamble", "D", "E.1.1"))
    work.changes.append(Change("file meta information", "D", "E.1.1"))
    made = Object(syntax, result)
    instance = next((element.value for element in result if element.tag == _INSTANCE), b"")
    if not instance:  # it came as something else than a UID
        raise Quarantined("deid-unsupported", "SOPInstanceUID")
    return Deidentified(written(made, _meta(sop_class, instance, syntax)), tuple(work.changes))


def _meta(sop_class: str, instance: bytes, syntax: str) -> bytes:
    return meta_information(
        [
            Element(0x00020001, "OB", b"\0\1"),
            Element(0x00020002, "UI", sop_class.encode()),
            Element(0x00020003, "UI", instance.strip(b"\0 ")),
            Element(0x00020010, "UI", syntax.encode()),
            Element(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
            Element(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode()),
        ]
    )


def _known_object(found: Object) -> str:
    """Only storage objects of the standard: a private SOP class or a DICOMDIR follows rules that are not ours."""
    if UID_dictionary.get(found.syntax, ("", ""))[1] != "Transfer Syntax":
        raise Quarantined("deid-unsupported", "TransferSyntaxUID")
    said = {
        element.tag: values.texts(element.value) for element in found.elements if element.tag in (_CLASS, _INSTANCE)
    }
    sop_class = (said.get(_CLASS) or ("",))[0]
    entry = UID_dictionary.get(sop_class)
    if entry is None or entry[1] != "SOP Class":
        raise Quarantined("deid-unsupported", "SOPClassUID")
    if not (said.get(_INSTANCE) or ("",))[0]:
        raise Quarantined("deid-unsupported", "SOPInstanceUID")
    return sop_class


def _pixels(work: Walk, result: list[Element], found: Object) -> tuple[list[Element], str]:
    """Clears what stands beside the picture, and says in which syntax it is now.

    Icons went with the table, overlays with their groups.
    """
    picture = next((element for element in result if element.tag == PIXEL_DATA), None)
    if picture is None:
        return result, found.syntax
    work.path.append("PixelData")
    try:
        changed = cleaned_pixels(picture.value, cells_of(result, found.order), found.syntax)
    except elements_pydicom.DAMAGE:
        # The cause quotes values, so it is not kept.
        raise Quarantined("deid-unsupported", "PixelData") from None
    syntax = found.syntax if changed is None else changed[1]
    if is_encapsulated(syntax):  # PS3.5 A.4
        picture.vr = "OB"
    elif syntax != found.syntax:
        picture.vr = "OW"
    if changed is not None:
        work.note("C", "beside the picture")
        picture.value = changed[0]
        result = [element for element in result if element.tag not in _OFFSET_TABLES]
    work.path.pop()
    return result, syntax


def _inserted(work: Walk, source: list[Element], result: list[Element]) -> list[Element]:
    """Says in the object what was done to it, PS3.15 E.1.1: added to what earlier de-identifiers said."""
    options, here = work.rules.options, {element.tag: element for element in result}
    # An earlier method's own words may hold identity; that there was one stays on record.
    earlier = next((values.texts(e.value) or ("?",) for e in source if e.tag == _METHOD and not e.is_empty), ())
    said = [text if text == METHOD else METHOD_EARLIER for text in earlier if text] + [METHOD]
    before = here[_METHOD_CODES].items or [] if _METHOD_CODES in here else []
    wanted = {BASIC_CODE} | {CODES[option] for option in options}
    codes = [code_item(code, "DCM", annex_e.CID_7050[code]) for code in sorted(wanted)]
    modified = "REMOVED"
    if "retain-longitudinal-full-dates" in options:
        modified = "UNMODIFIED"
    elif "retain-longitudinal-modified-dates" in options:
        modified = "MODIFIED"
    added = [
        Element(0x00120062, "CS", b"YES"),  # Patient Identity Removed
        Element(_METHOD, "LO", "\\".join(said).encode()),
        Element(_METHOD_CODES, "SQ", b"", before + codes),
        Element(0x00280303, "CS", modified.encode()),  # Longitudinal Temporal Information Modified
    ]
    flags = {0x00280301: "clean-pixel-data", 0x00280302: "clean-recognizable-visual-features"}
    for tag, option in flags.items():
        _flagged(work, result, here, added, tag, option)
    for keyword in ("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"):
        work.changes.append(Change(keyword, "ADD", "E.1.1"))
    work.changes.append(Change("LongitudinalTemporalInformationModified", "ADD", "E.1.1"))
    if _DOCUMENT in here and _DOCUMENT_LENGTH in here:
        here[_DOCUMENT_LENGTH].value = len(here[_DOCUMENT].value).to_bytes(4, "little" if work.order == "<" else "big")
    replaced = {element.tag for element in added}
    return sorted([e for e in result if e.tag not in replaced] + added, key=lambda element: element.tag)


def _flagged(
    work: Walk, result: list[Element], here: dict[int, Element], added: list[Element], tag: int, option: str
) -> None:
    """Burned In Annotation and Recognizable Visual Features: NO only where this product looked (PS3.15 E.3.1, E.3.2).

    A received NO is not passed on under our name, except where the standard forbids the class any other value.
    """
    keyword = "BurnedInAnnotation" if tag == 0x00280301 else "RecognizableVisualFeatures"
    received = here[tag].value.strip(b"\0 ") if tag in here else b""
    if option in work.rules.options and PIXEL_DATA in here:
        added.append(Element(tag, "CS", b"NO"))
        work.changes.append(Change(keyword, "ADD", option))
        return
    enhanced = UID_dictionary[work.rules.sop_class_uid][0].startswith("Enhanced ")
    if received == b"NO" and not (enhanced and keyword == "BurnedInAnnotation"):
        result.remove(here[tag])
        work.changes.append(Change(keyword, "X", "not verified"))
