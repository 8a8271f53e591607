"""The smallest DICOM objects that go the whole road, by the number."""

from io import BytesIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian


def tiny(study: str, number: int, patient: str, modality: str, value: int, priority: str = "") -> bytes:
    """A small valid object; the same arguments give the same bytes."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1" if modality == "CR" else "1.2.840.10008.5.1.4.1.1.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.7"
    dataset.SOPInstanceUID = f"{study}.7.{number}"
    dataset.PatientID, dataset.PatientName = patient, f"Simulated^{patient}"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.StudyDate = "20200102", "O", "20260301"
    dataset.Modality, dataset.BodyPartExamined, dataset.InstanceNumber = modality, "CHEST", number
    if priority:
        dataset.RequestedProcedurePriority = priority
    dataset.Rows = dataset.Columns = 8
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = bytes((value + place) % 256 for place in range(64))
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    pydicom.dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()
