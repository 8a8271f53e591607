"""The Basic Application Level Confidentiality Profile of PS3.15 Annex E on one object, at every nesting level.

A new data set is built out of what may stay: nothing is kept because no rule named it. What the table names is done
as the table says; what it does not name is kept only where its kind of value cannot hold identity. It refuses, as
Quarantined("deid-unsupported"), an object that it cannot read to the end, that is not one of the standard's own SOP
classes, or whose content it cannot clean. It does not look at the picture: burned-in text is another module's work,
so a received word that nothing is burned in is not passed on as ours.
"""

import io
import struct
from dataclasses import dataclass, field

from pydicom import config
from pydicom._uid_dict import UID_dictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from appliance.core import annex_e, pseudonym
from appliance.core import deidentify_values as values
from appliance.core.deidentify_elements import Change, Walk, cleaned, owners, str_values
from appliance.core.deidentify_pixels import cleaned_pixels
from appliance.errors import Quarantined

IMPLEMENTATION_CLASS_UID = "2.25.183596621636410266847430990424106517494"
IMPLEMENTATION_VERSION_NAME = "EDGE_DEID_1"
METHOD = f"PS3.15 {annex_e.EDITION} Basic Profile, edge diagnostic appliance"
METHOD_EARLIER = "Earlier method, its text removed"
# All that pydicom raises on a damaged header, by name. It converts values when they are first looked at.
DAMAGE = (
    ValueError,  # and UnicodeError
    TypeError,
    LookupError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    EOFError,
    OSError,
    struct.error,
    BytesLengthException,
    InvalidDicomError,
)


@dataclass(frozen=True, slots=True)
class Deidentified:
    """A complete Part 10 file and what was done to make it."""

    bytes: bytes = field(repr=False)
    changes: tuple[Change, ...] = field(repr=False)


def deidentify(dataset: FileDataset, site_key: bytes) -> Deidentified:
    """One object without its identity, same transfer syntax, pixel values kept.

    dataset   as read by pydicom.dcmread; not changed
    site_key  at least 32 random bytes; the same key gives the same pseudonyms
    raises    Misconfigured("deid-site-key"), Quarantined("deid-unsupported", path)
    source    PS3.15 2026d E.1 to E.3 (Basic Profile), PS3.10 7.1 (file meta information)
    """
    work = Walk(pseudonym.checked_key(site_key))
    try:
        # Dirty values are read as they are: pydicom's own complaints would quote them.
        with config.disable_value_validation():
            return _deidentified(work, dataset)
    except DAMAGE:
        # The cause quotes values, so it is not kept.
        raise Quarantined("deid-unsupported", ".".join(work.path)) from None


def _deidentified(work: Walk, dataset: FileDataset) -> Deidentified:
    syntax = _transfer_syntax(dataset)
    _known_object(dataset)
    found = set(owners(dataset))
    work.people = frozenset(word for of_house, word in found if not of_house and len(word) >= 3)
    work.houses = frozenset(word for of_house, word in found if of_house and len(word) >= 3)
    result = cleaned(work, dataset)
    _pixels(work, result, syntax)
    _inserted(work, dataset, result)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = result.SOPClassUID
    meta.MediaStorageSOPInstanceUID = result.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = io.BytesIO()
    file = FileDataset(buffer, result, file_meta=meta, preamble=bytes(128))
    work.changes.append(Change("preamble", "D", "E.1.1"))
    work.changes.append(Change("file meta information", "D", "E.1.1"))
    dcmwrite(buffer, file, enforce_file_format=True)
    return Deidentified(buffer.getvalue(), tuple(work.changes))


def _transfer_syntax(dataset: FileDataset) -> str:
    named = getattr(dataset.file_meta, "TransferSyntaxUID", None) if hasattr(dataset, "file_meta") else None
    if named:
        syntax = UID(named)
        if syntax not in UID_dictionary or not syntax.is_transfer_syntax:
            raise Quarantined("deid-unsupported", "TransferSyntaxUID")
        return str(syntax)
    # A file without meta information is in the encoding that it was read with, PS3.10 7 notwithstanding.
    syntaxes = {(True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian}
    syntaxes[(False, False)] = ExplicitVRBigEndian
    if dataset.original_encoding not in syntaxes:
        raise Quarantined("deid-unsupported", "TransferSyntaxUID")
    return str(syntaxes[dataset.original_encoding])


def _known_object(dataset: Dataset) -> None:
    """Only storage objects of the standard: a private SOP class or a DICOMDIR follows rules that are not ours."""
    sop_class = UID(str(dataset.get("SOPClassUID", "")))
    entry = UID_dictionary.get(sop_class)
    if entry is None or entry[1] != "SOP Class":
        raise Quarantined("deid-unsupported", "SOPClassUID")
    if not str(dataset.get("SOPInstanceUID", "")):
        raise Quarantined("deid-unsupported", "SOPInstanceUID")


def _pixels(work: Walk, result: Dataset, syntax: str) -> None:
    """Clears what stands beside the picture; icons went with the table, overlays with their groups."""
    if "PixelData" not in result:
        return
    work.path.append("PixelData")
    pixels = cleaned_pixels(result, syntax)
    if pixels is not None:
        work.note("C", "beside the picture")
    if pixels is not None or UID(syntax).is_encapsulated:
        vr = "OB" if UID(syntax).is_encapsulated else result["PixelData"].VR  # PS3.5 A.4
        result["PixelData"] = DataElement(result["PixelData"].tag, vr, pixels or result.PixelData)
        result["PixelData"].is_undefined_length = UID(syntax).is_encapsulated
    if pixels is not None:
        for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
            if keyword in result:
                del result[keyword]
    work.path.pop()


def _inserted(work: Walk, dataset: Dataset, result: Dataset) -> None:
    """Says in the object what was done to it, PS3.15 E.1.1: added to what earlier de-identifiers said."""
    # An earlier method's own words may hold identity; that there was one stays on record.
    earlier = [] if _empty_keyword(dataset, "DeidentificationMethod") else str_values(dataset["DeidentificationMethod"])
    result.DeidentificationMethod = [text if text == METHOD else METHOD_EARLIER for text in earlier] + [METHOD]
    codes = list(result.get("DeidentificationMethodCodeSequence") or [])
    codes.append(values.code("113100", "DCM", annex_e.CID_7050["113100"]))
    result.DeidentificationMethodCodeSequence = Sequence(codes)
    result.PatientIdentityRemoved = "YES"
    result.LongitudinalTemporalInformationModified = "REMOVED"
    for keyword in (
        "PatientIdentityRemoved",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "LongitudinalTemporalInformationModified",
    ):
        work.changes.append(Change(keyword, "ADD", "E.1.1"))
    # Nobody here looked at the picture: a received NO is not passed on under our name, except where the standard
    # forbids the class any other value.
    enhanced = UID_dictionary[str(result.SOPClassUID)][0].startswith("Enhanced ")
    for keyword in ("BurnedInAnnotation", "RecognizableVisualFeatures"):
        if str(result.get(keyword, "")) == "NO" and not (enhanced and keyword == "BurnedInAnnotation"):
            del result[keyword]
            work.changes.append(Change(keyword, "X", "not verified"))
    if "EncapsulatedDocument" in result:
        if str(result.get("MIMETypeOfEncapsulatedDocument", "")) != "application/pdf":
            raise Quarantined("deid-unsupported", "EncapsulatedDocument")
        if "EncapsulatedDocumentLength" in result:
            result.EncapsulatedDocumentLength = len(values.BLANK_PDF)


def _empty_keyword(dataset: Dataset, keyword: str) -> bool:
    return keyword not in dataset or dataset[keyword].is_empty
