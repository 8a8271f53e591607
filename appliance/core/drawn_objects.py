"""Writes DICOM objects as a scanner would: whole headers, invented people, the same bytes for the same seed.

Every name, number, date and place here is made up. Nothing is taken from a clock or from chance: whatever varies is
drawn from a digest of what the object is called, so that the same call gives the same file anywhere.
"""

import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import date, timedelta
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    RLELossless,
    UltrasoundImageStorage,
)

IMPLEMENTATION_CLASS_UID = UID("2.25.303184187318476190442153214811932301224")
FAMILY_NAMES = ("Slipway", "Quayside", "Lantern", "Mooring", "Tideway", "Breakwater", "Gangway", "Seawall", "Anchorage")
GIVEN_NAMES = ("Testa", "Demo", "Example", "Specimen", "Fictive", "Sample", "Trial", "Mock", "Placeholder")
FIRST_STUDY_DATE = date(2026, 3, 2)
STUDY_DAYS = 180


@dataclass(frozen=True, slots=True)
class Person:
    """An invented patient; born the given number of years and some days before the first study date."""

    patient_id: str
    patient_name: str
    patient_birth_date: str
    patient_sex: str
    patient_age: str


@dataclass(frozen=True, slots=True)
class Device:
    """What took the picture, as the header names it."""

    manufacturer: str
    manufacturer_model_name: str
    station_name: str
    institution_name: str


HARBOUR = Device("Harbour Imaging", "PX-224", "PX224-ROOM1", "Invented Hospital for Children")
SYNTHETIC = Device("Synthetic Scanner", "SX-224", "SX224-ROOM0", "No Hospital, Synthetic Films")
DRAWN = Device("Drawn Samples", "PENCIL-1", "DESK", "No Hospital")


def number(*parts: object) -> int:
    """A number of 128 bits that depends on the parts and on nothing else."""
    return int.from_bytes(hashlib.sha256("|".join(map(str, parts)).encode()).digest()[:16], "big")


def uid(*parts: object) -> str:
    """A UID of the UUID form (PS3.5 B.2)."""
    return f"2.25.{uuid.UUID(int=number('uid', *parts), version=4).int}"


def person(key: str, age_years: int, sex: str = "") -> Person:
    """The invented patient of a key: the same key is the same patient in every study."""
    told = number("person", key)
    born = FIRST_STUDY_DATE.replace(year=FIRST_STUDY_DATE.year - age_years) - timedelta(days=1 + told % STUDY_DAYS)
    family, given = FAMILY_NAMES[told % len(FAMILY_NAMES)], GIVEN_NAMES[told // 97 % len(GIVEN_NAMES)]
    return Person(
        patient_id=f"HBR{told % 10**7:07d}",
        patient_name=f"{family}^{given}",
        patient_birth_date=f"{born:%Y%m%d}",
        patient_sex=sex or "FM"[told // 10_007 % 2],
        patient_age=f"{age_years:03d}Y",
    )


def synthetic_person(key: str, age_years: int) -> Person:
    """The same, of somebody of whom even the film is invented: name and number say so."""
    plain = person(key, age_years)
    return replace(
        plain, patient_id=f"SYNTHETIC-{plain.patient_id[3:]}", patient_name=f"SYNTHETIC {plain.patient_name}"
    )


def radiograph(pixels: NDArray[np.uint8], who: Person, key: str, *, view: str, device: Device = HARBOUR) -> bytes:
    """A chest film as Computed Radiography Image Storage (PS3.3 A.2).

    pixels  uint8 [row, column], MONOCHROME2
    key     names the study: UIDs, accession number and times follow from it
    """
    return written(_radiograph(pixels, who, key, view, device))


def synthetic_radiograph(pixels: NDArray[np.uint8], who: Person, key: str) -> bytes:
    """The same from the synthetic scanner, said wherever a reader or a program may look.

    Image Type stays ORIGINAL, PRIMARY (PS3.3 C.7.6.1.1.2), as this plays a device that took its picture: of a derived
    image the appliance decides nothing. Burned In Annotation asks for what identifies (PS3.3 C.7.6.1), and the word
    SYNTHETIC does not.
    """
    dataset = _radiograph(pixels, who, key, "AP", SYNTHETIC)
    dataset.SyntheticData = "YES"
    dataset.StudyDescription = "SYNTHETIC chest film"
    dataset.SeriesDescription = "SYNTHETIC chest AP"
    dataset.ImageComments = (
        "SYNTHETIC: drawn by a network, shows nobody. For demonstration and load, never for measuring"
    )
    dataset.BurnedInAnnotation = "NO"
    return written(dataset)


def _radiograph(pixels: NDArray[np.uint8], who: Person, key: str, view: str, device: Device) -> Dataset:
    dataset = _study(who, key, device, "CR", "Chest on the ward")
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = view
    dataset.PatientOrientation = ["L", "F"]
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.ProtocolName = f"Chest {view}"
    dataset.SeriesDescription = f"Chest {view}"
    dataset.PlateID = f"P{number('plate', key) % 100:02d}"
    dataset.KVP = "65"
    dataset.ImagerPixelSpacing = ["1.5", "1.5"]
    dataset.WindowCenter, dataset.WindowWidth = "127.5", "255"
    dataset.LossyImageCompression = "00"
    _grey(dataset, pixels, bits_stored=8)
    return dataset


def slice_of_ct(values: NDArray[np.int16], who: Person, key: str, *, position: int, count: int) -> bytes:
    """One slice of an axial CT series (PS3.3 A.3).

    values    int16 [row, column], Hounsfield units
    position  from 1 to count
    """
    dataset = _study(who, key, DRAWN, "CT", "Drawn chest CT", instance=position)
    dataset.SOPClassUID = CTImageStorage
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesDescription = "Thorax 5 mm"
    dataset.ProtocolName = "Thorax"
    dataset.KVP = "100"
    dataset.AcquisitionNumber = 1
    dataset.PatientPosition = "HFS"
    dataset.ImagesInAcquisition = count
    dataset.SliceThickness = "5"
    dataset.PixelSpacing = ["4", "4"]
    dataset.ImagePositionPatient = ["-128", "-128", str(5 * position)]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.FrameOfReferenceUID = uid(key, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "-1024", "1", "HU"
    dataset.WindowCenter, dataset.WindowWidth = ["-600", "40"], ["1500", "400"]
    _grey(dataset, (values + 1024).astype(np.uint16), bits_stored=12)
    return written(dataset)


def ultrasound(pixels: NDArray[np.uint8], who: Person, key: str) -> bytes:
    """An ultrasound still in colour (PS3.3 A.6), RLE Lossless (PS3.5 annex G).

    pixels  uint8 [row, column, 3], RGB
    """
    dataset = _study(who, key, DRAWN, "US", "Drawn ultrasound")
    dataset.SOPClassUID = UltrasoundImageStorage
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL"]
    dataset.SeriesDescription = "Abdomen"
    dataset.PatientOrientation = ""
    dataset.LossyImageCompression = "00"
    dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
    dataset.PhotometricInterpretation = "RGB"
    _matrix(dataset, pixels, bits_stored=8)
    return written(dataset, RLELossless)


def _study(who: Person, key: str, device: Device, modality: str, description: str, instance: int = 1) -> Dataset:
    """The modules every image shares: patient, study, series, equipment, SOP common."""
    told = number("study", key)
    day = FIRST_STUDY_DATE + timedelta(days=told % STUDY_DAYS)
    seconds = 7 * 3600 + told // 211 % (12 * 3600)
    clock = f"{seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}"
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientID = who.patient_name, who.patient_id
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = (
        who.patient_birth_date,
        who.patient_sex,
        who.patient_age,
    )
    dataset.StudyInstanceUID = uid(key, "study")
    dataset.SeriesInstanceUID = uid(key, "series")
    dataset.SOPInstanceUID = uid(key, "instance", instance)
    dataset.StudyID, dataset.AccessionNumber = f"{told % 10**6}", f"A{told // 7 % 10**8:08d}"
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = f"{day:%Y%m%d}"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = clock
    dataset.ReferringPhysicianName = f"{FAMILY_NAMES[told // 13 % len(FAMILY_NAMES)]}^Referrer"
    dataset.OperatorsName = f"{FAMILY_NAMES[told // 17 % len(FAMILY_NAMES)]}^Operator"
    dataset.StudyDescription = description
    dataset.Modality = modality
    dataset.SeriesNumber, dataset.InstanceNumber = 1, instance
    dataset.Manufacturer, dataset.ManufacturerModelName = device.manufacturer, device.manufacturer_model_name
    dataset.StationName, dataset.InstitutionName = device.station_name, device.institution_name
    dataset.DeviceSerialNumber = f"SN{number('serial', device.station_name) % 10**5:05d}"
    dataset.SoftwareVersions = "1.0"
    return dataset


def _grey(dataset: Dataset, pixels: NDArray[np.uint8] | NDArray[np.uint16], bits_stored: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    _matrix(dataset, pixels, bits_stored)


def _matrix(dataset: Dataset, pixels: NDArray[np.uint8] | NDArray[np.uint16], bits_stored: int) -> None:
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits_stored, bits_stored - 1, 0
    raw = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)


def written(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    """The object as a Part 10 file (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian  # compress() below sets its own
    meta.ImplementationClassUID, meta.ImplementationVersionName = IMPLEMENTATION_CLASS_UID, "HARBOUR_DRAWN_1"
    dataset.file_meta = meta
    if syntax == RLELossless:
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()
