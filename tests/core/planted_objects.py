"""DICOM objects with planted identity, for the tests of the cleaner and of the inspector."""

import hashlib
import io
import zlib
from pathlib import Path

import data_store
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from appliance.core import deidentify as cleaner
from appliance.core.options import Options

SITE_KEY = hashlib.sha256(b"a site key of the tests").digest()
OTHER_KEY = hashlib.sha256(b"another site key of the tests").digest()
CT = "1.2.840.10008.5.1.4.1.1.2"
REAL_FILES = sorted(
    [
        *(Path(pydicom.__file__).parent / "data").rglob("*.dcm"),
        *(Path(data_store.__file__).parent / "data").glob("*.dcm"),
    ]
)

# Every planted text has this shape, so that a survivor is found in any spelling.
NAME = "Zwetschgenkern^Balthasar^Q"
REFERRER = "Ohrwurmstein^Kunigunde"
PATIENT_ID = "MRN-7731904"
ACCESSION = "ACC5519038"
INSTITUTION = "Klinik Quellbrunnthal"
BIRTH = "19470213"
STUDY_DAY = "20250311"
TOKENS = (
    "Zwetschgenkern",
    "Balthasar",
    "Ohrwurmstein",
    "Kunigunde",
    "7731904",
    "5519038",
    "Quellbrunnthal",
    BIRTH,
    STUDY_DAY,
)


def nested(depth: int, inner: Dataset) -> Dataset:
    """`inner` under `depth` sequences which no rule of the table names."""
    for _ in range(depth):
        outer = Dataset()
        outer.ViewCodeSequence = Sequence([inner])
        inner = outer
    return inner


def pdf_with(text: str) -> bytes:
    stream = zlib.compress(f"BT ({text}) Tj ET".encode())
    body = b"%%PDF-1.4\n1 0 obj<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream endobj\n" % (len(stream), stream)
    return body + b"\0" * (len(body) % 2)


def planted(
    syntax: str = ExplicitVRLittleEndian, charset: str = "ISO_IR 100", name: str = NAME, depth: int = 2
) -> FileDataset:
    """A small CT image with identity in every family of places, read back from its bytes."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = charset.split("\\")
    dataset.SOPClassUID = CT
    dataset.SOPInstanceUID = "1.3.12.2.1107.5.1.4.99.30000017.1"
    dataset.StudyInstanceUID = "1.3.12.2.1107.5.1.4.99.30000017.2"
    dataset.SeriesInstanceUID = "1.3.12.2.1107.5.1.4.99.30000017.3"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Modality = "CT"
    dataset.BodyPartExamined = "CHEST"
    dataset.Manufacturer = "SIEMENS"
    dataset.ManufacturerModelName = "Sensation 64"
    dataset.PatientName = name
    dataset.PatientID = PATIENT_ID
    dataset.PatientBirthDate = BIRTH
    dataset.PatientSex = "F"
    dataset.PatientAge = "078Y"
    dataset.PatientAddress = "Quellbrunnthal 14"
    dataset.StudyDate = dataset.ContentDate = dataset.AcquisitionDate = STUDY_DAY
    dataset.StudyTime = dataset.ContentTime = "142311"
    dataset.AccessionNumber = ACCESSION
    dataset.StudyID = "7731904"
    dataset.ReferringPhysicianName = REFERRER
    dataset.InstitutionName = INSTITUTION
    dataset.StudyDescription = "Thorax of Zwetschgenkern"
    dataset.SeriesNumber = 3
    dataset.InstanceNumber = 17
    dataset.BeamName = "Balthasar field 2"
    dataset.BurnedInAnnotation = "NO"
    dataset.ReferencedImageSequence = Sequence([_reference("1.3.12.2.1107.5.1.4.99.30000017.9")])
    item = Dataset()
    item.PatientName = name
    item.RequestedProcedureDescription = "asked by Ohrwurmstein"
    item.ScheduledProcedureStepStartDate = STUDY_DAY
    dataset.ViewCodeSequence = Sequence([nested(depth, item)])
    block = dataset.private_block(0x0029, "QUELLBRUNN PRIVATE", create=True)
    block.add_new(0x10, "LO", "Zwetschgenkern private")
    block.add_new(0x11, "OB", b"bytes of Zwetschgenkern")
    dataset.add_new(0x60000010, "US", 1)
    dataset.add_new(0x60000022, "LO", "Zwetschgenkern overlay")
    dataset.add_new(0x60003000, "OW", b"\x01\0")
    dataset.add_new(0x50002500, "LO", "Zwetschgenkern curve")
    dataset.add_new(0x00091001, "UN", b"Zwetschgenkern orphan ")
    dataset.Rows = dataset.Columns = 4
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "-1024", "HU"
    dataset.PixelData = bytes(range(16)) * 2 if syntax != "1.2.840.10008.1.2.2" else bytes((0, 9) * 16)
    dataset.DataSetTrailingPadding = b"Zwetschgenkern!!"
    return read(dataset, syntax)


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = uid
    return item


def read(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> FileDataset:
    """The object as it comes from a scanner: written with a talkative envelope, then read from bytes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.SourceApplicationEntityTitle = "QUELLBRUNN_CT"
    meta.PrivateInformationCreatorUID = "1.3.12.2.1107.5.1.4.99"
    meta.PrivateInformation = b"Zwetschgenkern"
    buffer = io.BytesIO()
    preamble = b"Zwetschgenkern was here".ljust(128, b"\0")
    pydicom.dcmwrite(buffer, FileDataset(buffer, dataset, file_meta=meta, preamble=preamble), enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(buffer.getvalue()))


def spelled_in(data: bytes, text: str) -> bool:
    """The text stands in the bytes, in ASCII or in two-byte characters, whatever its case."""
    lowered = data.lower()
    return any(text.lower().encode(encoding) in lowered for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def as_file(dataset: FileDataset) -> bytes:
    """The bytes of a data set that a test has changed."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True, overwrite=True)
    return buffer.getvalue()


def deidentify(
    source: FileDataset | bytes, site_key: bytes = SITE_KEY, options: Options = frozenset()
) -> cleaner.Deidentified:
    """The cleaner on a data set that a test has changed, or on bytes; the Basic Profile alone."""
    return cleaner.deidentify(source if isinstance(source, bytes) else as_file(source), site_key, options)
