"""What a search is answered with, in DICOM's JSON model (PS3.18 F.2): out of the ledger, no file is opened for it.

Only what the ledger knows is told: an attribute that it does not keep is left out, because empty would be a statement.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from appliance.core.study import Instance

Json = dict[str, Any]


class Study(Protocol):
    """A row of the ledger."""

    @property
    def study_instance_uid(self) -> str: ...
    @property
    def patient_id(self) -> str: ...
    @property
    def patient_name(self) -> str: ...
    @property
    def patient_birth_date(self) -> str: ...
    @property
    def patient_sex(self) -> str: ...
    @property
    def accession_number(self) -> str: ...
    @property
    def study_date(self) -> str: ...
    @property
    def study_description(self) -> str: ...


class Counted(NamedTuple):
    """What lies in a study."""

    modalities: tuple[str, ...]
    series: int
    instances: int


def study_json(study: Study, counted: Counted, root: str) -> Json:
    """PS3.18 Table 10.6.3-3, as far as the ledger knows it. root: the address of the service."""
    return _json(
        StudyDate=study.study_date,
        AccessionNumber=study.accession_number,
        InstanceAvailability="ONLINE",
        ModalitiesInStudy=counted.modalities,
        StudyDescription=study.study_description,
        RetrieveURL=f"{root}/studies/{study.study_instance_uid}",
        PatientName=study.patient_name,
        PatientID=study.patient_id,
        PatientBirthDate=study.patient_birth_date,
        PatientSex=study.patient_sex,
        StudyInstanceUID=study.study_instance_uid,
        NumberOfStudyRelatedSeries=counted.series,
        NumberOfStudyRelatedInstances=counted.instances,
    )


def series_json(members: Sequence[Instance], root: str) -> Json:
    """PS3.18 Table 10.6.3-4."""
    first = members[0]
    return _json(
        Modality=first.modality,
        RetrieveURL=f"{root}/studies/{first.study_instance_uid}/series/{first.series_instance_uid}",
        StudyInstanceUID=first.study_instance_uid,
        SeriesInstanceUID=first.series_instance_uid,
        BodyPartExamined=first.body_part_examined,
        NumberOfSeriesRelatedInstances=len(members),
    )


def instance_json(instance: Instance, root: str) -> Json:
    """PS3.18 Table 10.6.3-5."""
    series = f"{root}/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
    pixels = {"Rows": instance.rows, "Columns": instance.columns, "NumberOfFrames": instance.number_of_frames}
    return _json(
        SOPClassUID=instance.sop_class_uid,
        SOPInstanceUID=instance.sop_instance_uid,
        InstanceAvailability="ONLINE",
        Modality=instance.modality,
        RetrieveURL=f"{series}/instances/{instance.sop_instance_uid}",
        StudyInstanceUID=instance.study_instance_uid,
        SeriesInstanceUID=instance.series_instance_uid,
        InstanceNumber=instance.instance_number,
        AvailableTransferSyntaxUID=instance.transfer_syntax_uid,
        **(pixels if instance.has_pixels else {}),
    )


def _json(**told: str | int | Sequence[str] | None) -> Json:
    """Attributes by keyword, in the order of their tags; one without a value is there and empty, None is not there."""
    # Here and not above: the review page starts in half the time and memory without the library.
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    made: Json = {}
    for keyword, value in told.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, "keywords of ours are the dictionary's"
        if value is not None:
            vr = dictionary_VR(tag)
            values = [value] if isinstance(value, str | int) else list(value)
            shown = [_name(str(each)) if vr == "PN" else each for each in values if each != ""]
            made[f"{tag:08X}"] = {"vr": vr, "Value": shown} if shown else {"vr": vr}
    return dict(sorted(made.items()))


def _name(text: str) -> dict[str, str]:
    """A person's name by its component groups (PS3.18 F.2.2)."""
    groups = ("Alphabetic", "Ideographic", "Phonetic")
    return {group: part for group, part in zip(groups, text.split("="), strict=False) if part}


def newest(instances: Iterable[Instance]) -> list[Instance]:
    """One object a SOP Instance UID, the last that came, in order of first arrival: an address names a UID."""
    found: dict[tuple[str, str], Instance] = {}
    for each in instances:
        found[each.series_instance_uid, each.sop_instance_uid] = each
    return list(found.values())


def by_series(instances: Iterable[Instance]) -> list[list[Instance]]:
    """The series of a study in order of arrival."""
    found: dict[str, list[Instance]] = {}
    for each in instances:
        found.setdefault(each.series_instance_uid, []).append(each)
    return list(found.values())
