"""The first look at hostile bytes: a header becomes an Instance, or the file is set aside with a code.

Lenient about words, strict about names: text in a wrong character set is decoded as well as it can be, an odd age is
empty, but a UID that is no UID, an element that runs past the end, or a file that is no data set is quarantined. No
byte string makes this raise anything but Quarantined.
"""

import hashlib
import re
import struct
import zlib
from io import BytesIO
from typing import Any

import pydicom
from pydicom import uid as known_uids
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pydicom.valuerep import STANDARD_VR

from appliance.core.structure import LONG_VRS, Data, places_of
from appliance.core.study import Instance, Patient
from appliance.errors import Quarantined

# What pydicom and the standard library raise on damaged bytes, found by fuzzing; the one place that names them.
DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    OSError,
    ValueError,  # UnicodeError among them
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    AssertionError,
    OverflowError,
    RecursionError,
    LookupError,
    MemoryError,
    struct.error,
    zlib.error,
)
UID = re.compile(r"[0-2](\.[0-9]+)+")  # PS3.5 9.1; leading zeros are wrong but common, and name an object all the same
UID_LENGTH_MAX = 64
AGE = re.compile(r"[0-9]{3}[DWMY]")
TEXT_MAX = 256
COUNT_MAX = 2**31 - 1
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
PIXEL_TAGS = frozenset(int(Tag(keyword)) for keyword in PIXELS)
BULK = PIXEL_TAGS | {int(Tag("EncapsulatedDocument"))}  # long, and nothing here is asked of them
PREAMBLE_BYTES = 132
# Facts of an Instance that are kept as the header words them, and the element of each.
TOLD = {
    "photometric_interpretation": "PhotometricInterpretation",
    "presentation_lut_shape": "PresentationLUTShape",
    "pixel_intensity_relationship_sign": "PixelIntensityRelationshipSign",
    "rescale_slope": "RescaleSlope",
    "pixel_padding_value": "PixelPaddingValue",
    "image_type": "ImageType",
    "burned_in_annotation": "BurnedInAnnotation",
    "lossy_image_compression": "LossyImageCompression",
    "lossy_image_compression_ratio": "LossyImageCompressionRatio",
    "patient_orientation": "PatientOrientation",
    "presentation_intent_type": "PresentationIntentType",
    "quality_control_image": "QualityControlImage",
    "frame_of_reference_uid": "FrameOfReferenceUID",
    "image_orientation_patient": "ImageOrientationPatient",
    "image_position_patient": "ImagePositionPatient",
    "pixel_spacing": "PixelSpacing",
}
TRANSFER_SYNTAX_ELEMENT = b"\x10\x00"  # of group 0002
KNOWN_VRS = frozenset(vr.value.encode() for vr in STANDARD_VR)
# A deflated data set of a few bytes unfolds a thousandfold, and pydicom holds it twice: reports and segmentations are
# far smaller than this, and triage must live through it within its MemoryMax.
INFLATED_BYTES_MAX = 256 * 2**20
DEFLATED_HEADROOM_BYTES = 2**20  # what cannot be packed grows by five bytes in 64 KiB (RFC 1951 3.2.4)
HEAD_BYTES_MAX = 16 * 2**20  # of a file that is cut: as much is looked at to say why


def admit(data: Data, *, sha256: str = "") -> Instance:
    """What a file says it is. Of pixels and documents only the length is read, so a mapped file may have any size.

    data    a whole file as received, Part 10 with preamble (PS3.10 7.1)
    sha256  its digest in hex, where it is known
    raises  Quarantined("header-unreadable" | "header-truncated" | "header-uid-missing" | "media-directory")
    """
    try:
        return _admitted(data, sha256)
    except DAMAGE:
        raise Quarantined("header-unreadable") from None


def broken_of(data: Data) -> tuple[str, str]:
    """Study and SOP Instance UID of a file that cannot be admitted, as far as they can be read; "" where they cannot.

    It raises nothing. What it tells is only ever a reason for doubt: an image of that study came and nobody can see it.
    """
    try:
        syntax, _ = file_meta(data)
        if syntax == DeflatedExplicitVRLittleEndian:
            return "", ""  # unfolding a damaged stream is not worth its risk
        wanted = ["StudyInstanceUID", "SOPInstanceUID"]
        dataset = pydicom.dcmread(BytesIO(data[:HEAD_BYTES_MAX]), stop_before_pixels=True, specific_tags=wanted)
        study = _uid(dataset, "StudyInstanceUID")
    except (Quarantined, *DAMAGE):
        return "", ""
    try:
        return study, _uid(dataset, "SOPInstanceUID")
    except (Quarantined, *DAMAGE):
        return study, ""


def _admitted(data: Data, sha256: str) -> Instance:
    syntax, start = file_meta(data)
    if syntax == DeflatedExplicitVRLittleEndian:
        places = places_of(_inflated(data, start), big_endian=False)
        dataset = pydicom.dcmread(BytesIO(data[:]), defer_size=None)
    else:
        places = places_of(data, big_endian=syntax == ExplicitVRBigEndian, start=start)
        dataset = pydicom.dcmread(BytesIO(_without_bulk(data, places)), defer_size=None)
    if "DirectoryRecordSequence" in dataset:  # PS3.3 F.3: it names files and is none of a study
        raise Quarantined("media-directory")
    # pydicom reads what is left of a cut file and says nothing.
    if places is None or not len(dataset):
        raise Quarantined("header-truncated")
    return Instance(
        study_instance_uid=_uid(dataset, "StudyInstanceUID"),
        series_instance_uid=_uid(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_uid(dataset, "SOPInstanceUID"),
        sop_class_uid=_text(dataset, "SOPClassUID").strip("\0 "),
        transfer_syntax_uid=syntax,
        sha256=sha256 or hashlib.sha256(data).hexdigest(),
        bytes_count=len(data),
        patient=Patient(
            patient_id=_text(dataset, "PatientID"),
            patient_name=_text(dataset, "PatientName"),
            patient_birth_date=_text(dataset, "PatientBirthDate"),
            patient_sex=_text(dataset, "PatientSex"),
            accession_number=_text(dataset, "AccessionNumber"),
            study_date=_text(dataset, "StudyDate"),
            study_description=_text(dataset, "StudyDescription"),
        ),
        modality=_text(dataset, "Modality"),
        body_part_examined=_text(dataset, "BodyPartExamined"),
        view_position=_text(dataset, "ViewPosition"),
        patient_age=age if AGE.fullmatch(age := _text(dataset, "PatientAge")) else "",
        manufacturer=_text(dataset, "Manufacturer"),
        manufacturer_model_name=_text(dataset, "ManufacturerModelName"),
        instance_number=_count(dataset, "InstanceNumber"),
        images_in_acquisition=_count(dataset, "ImagesInAcquisition"),
        number_of_frames=_count(dataset, "NumberOfFrames") or 1,
        rows=_count(dataset, "Rows") or 0,
        columns=_count(dataset, "Columns") or 0,
        has_pixels=not PIXEL_TAGS.isdisjoint(places),
        bits_stored=_count(dataset, "BitsStored"),
        pixel_representation=_count(dataset, "PixelRepresentation"),
        request_priority=_text(dataset, "RequestedProcedurePriority") or _text(dataset, "StudyPriorityID"),
        **{name: _text(dataset, keyword) for name, keyword in TOLD.items()},
    )


def _without_bulk(data: Data, places: dict[int, tuple[int, int]] | None) -> bytes:
    """The file without what is long and not asked for; of one that is cut, its first bytes."""
    if places is None:
        return data[:HEAD_BYTES_MAX]
    lean, at = [], 0
    for begin, end in sorted(places[tag] for tag in BULK & places.keys()):
        lean.append(data[at:begin])
        at = end
    return b"".join((*lean, data[at:]))


def announces_image(instance: Instance) -> bool:
    """Whether an object should bear pixels by its class or its size: one that does not was cut or stripped."""
    return instance.rows > 0 or "Image Storage" in known_uids.UID(instance.sop_class_uid).name


def file_meta(data: Data) -> tuple[str, int]:
    """What must be known before pydicom may see a file, as pydicom would unfold it whole.

    returns  its transfer syntax ("" where it says none), and where its data set begins: behind the elements of
             group 2, whatever group length they claim (PS3.10 7.1)
    raises   Quarantined("header-unreadable"): a group 2 that is not explicit little endian, which two readers would
             read in two ways; ("header-truncated"): it ends within
    """
    at, syntax = PREAMBLE_BYTES, b""
    while data[at : at + 2] == b"\x02\x00":
        vr = data[at + 4 : at + 6]
        if vr not in KNOWN_VRS:
            raise Quarantined("header-unreadable", "file meta")
        start = at + (12 if vr in LONG_VRS else 8)
        end = start + int.from_bytes(data[start - 4 : start] if vr in LONG_VRS else data[start - 2 : start], "little")
        if end > len(data):
            raise Quarantined("header-truncated", "file meta")
        if data[at + 2 : at + 4] == TRANSFER_SYNTAX_ELEMENT:
            syntax = data[start:end]
        at = end
    return syntax.decode("latin-1").strip("\0 "), at


def _inflated(data: Data, start: int) -> bytes:
    """The data set of a deflated file (PS3.5 A.5), within the limit."""
    if len(data) - start > INFLATED_BYTES_MAX + DEFLATED_HEADROOM_BYTES:
        raise Quarantined("header-unreadable", "deflated data set")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    found = inflater.decompress(data[start:], INFLATED_BYTES_MAX)
    if inflater.eof:
        return found
    if inflater.unconsumed_tail:
        raise Quarantined("header-unreadable", "deflated data set")
    raise Quarantined("header-truncated")


def _uid(dataset: pydicom.Dataset, keyword: str) -> str:
    value = _text(dataset, keyword).strip("\0 ")
    if not UID.fullmatch(value) or len(value) > UID_LENGTH_MAX:
        raise Quarantined("header-uid-missing", keyword)
    return value


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    """A value as one short line, whatever its character set claims; "" when absent or no text."""
    try:
        value: Any = dataset.get(keyword, "")
        told = "" if value is None else "\\".join(map(str, value)) if _many(value) else str(value)
    except DAMAGE:
        raw = dataset.get_item(keyword)
        told = raw.value.decode("latin-1") if raw is not None and isinstance(raw.value, bytes) else ""
    # What cannot be printed is marked, not left out: a value that holds it is not the one it would look like.
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in told.strip(" \0")).strip()[:TEXT_MAX]


def _many(value: Any) -> bool:
    return isinstance(value, pydicom.multival.MultiValue | list)


def _count(dataset: pydicom.Dataset, keyword: str) -> int | None:
    """A number that counts something, None when it is absent, odd or negative."""
    try:
        value = int(str(dataset.get(keyword, "")))
    except DAMAGE:
        return None
    return value if 0 <= value <= COUNT_MAX else None
