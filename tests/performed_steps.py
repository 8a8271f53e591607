"""A modality that tells of its performed procedure steps (MPPS), for tests of every room that hears of them."""

from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import ModalityPerformedProcedureStep  # type: ignore[attr-defined]

MR = "1.2.840.10008.5.1.4.1.1.4"
STEP = "1.2.826.0.1.5.1"
IMPLICIT, EXPLICIT, BIG = str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian), str(ExplicitVRBigEndian)
Named = dict[str, list[str]]  # SOP Instance UIDs by series


def series_items(named: Named, keyword: str = "ReferencedImageSequence") -> list[Dataset]:
    found = []
    for series, uids in named.items():
        item = Dataset()
        item.SeriesInstanceUID, item.PerformingPhysicianName = series, "Harbour^Berta"
        references = []
        for uid in uids:
            reference = Dataset()
            reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = MR, uid
            references.append(reference)
        setattr(item, keyword, references)
        found.append(item)
    return found


def begun(*studies: str, state: str = "IN PROGRESS", named: Named | None = None) -> Dataset:
    """The data set of an N-CREATE, with a patient in it as modalities send one."""
    told = Dataset()
    told.PatientName, told.PatientID = "Harbour^Anna", "H-1"
    told.PerformedProcedureStepStatus = state
    told.PerformedSeriesSequence = series_items(named or {})
    told.ScheduledStepAttributesSequence = []
    for study in studies:
        item = Dataset()
        item.StudyInstanceUID, item.AccessionNumber = study, "A1"
        told.ScheduledStepAttributesSequence.append(item)
    return told


def ended(named: Named, state: str = "COMPLETED") -> Dataset:
    """The data set of the last N-SET."""
    told = Dataset()
    if state:
        told.PerformedProcedureStepStatus = state
    told.PerformedSeriesSequence = series_items(named)
    return told


def encoded(told: Dataset, syntax: str = IMPLICIT) -> bytes:
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax == IMPLICIT, syntax != BIG
    write_dataset(out, told)
    return out.getvalue()


class Modality:
    """A real association that creates and changes steps."""

    def __init__(self, port: int, title: str = "CT_1", called: str = "EDGE", syntax: str = IMPLICIT) -> None:
        asking = AE(ae_title=title)
        asking.add_requested_context(ModalityPerformedProcedureStep, syntax)
        asking.add_requested_context(MR, EXPLICIT)
        self.line: Association = asking.associate("127.0.0.1", port, ae_title=called)

    def create(self, told: Dataset | None, step: str | None = STEP) -> int | None:
        status, _ = self.line.send_n_create(told, ModalityPerformedProcedureStep, step)
        return status.get("Status")

    def change(self, told: Dataset, step: str = STEP) -> Any:
        """The whole status: an error may come with its number and comment."""
        return self.line.send_n_set(told, ModalityPerformedProcedureStep, step)[0]

    def __enter__(self) -> "Modality":
        return self

    def __exit__(self, *_: object) -> None:
        self.line.release()
