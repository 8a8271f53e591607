"""Results for the PACS: valid by two judges that did not build them, the same bytes again, and nobody called well."""

import dataclasses
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from appliance.core.admit import admit
from appliance.core.key_images import chosen
from appliance.core.pixels import decode
from appliance.core.results.check import wrong_in
from appliance.core.results.key_image import key_image
from appliance.core.results.report import report
from appliance.core.results.statement import Built, Finding, Statement
from appliance.core.results.words import Term
from appliance.core.study import LANES, Instance

DRAWN = Path(__file__).parents[2] / "sample_dicom" / "drawn"
JUDGE = Path(sys.executable).with_name("dciodvfy")
KEY = bytes(range(7, 60))
PNEUMONIA = Term("233604007", "SCT", "Pneumonia")
EDGE = Finding("cxr-paediatric-pneumonia", "2.0.0", "a" * 64, PNEUMONIA, 1.23)
CENTRE = Finding("a-model", "1", "b" * 64, PNEUMONIA, None, "absent")


class Study:
    """One or several files as a study of ours, with changes to the header."""

    def __init__(self, *names: str, **changed: object) -> None:
        self.files = [changed_file(name, changed) for name in names]
        self.instances = [admit(data) for data in self.files]
        self.source = pydicom.dcmread(io.BytesIO(self.files[0]), stop_before_pixels=True)
        self.images = [(each.sop_class_uid, each.sop_instance_uid) for each in self.instances]

    def said(self, **changed: object) -> Statement:
        uid = self.instances[0].study_instance_uid
        plain = Statement(uid, 1, "flagged", (EDGE, CENTRE), "agree", "reader", 1.79e9)
        return dataclasses.replace(plain, **changed)  # type: ignore[arg-type]

    def report(self, before: str | None = None, **changed: object) -> Built:
        shown = [(place.instance, place.frame) for place in chosen(self.instances)]
        return report(
            self.said(**changed), self.source, self.instances, shown, site_key=KEY, device="unit-1", version="1",
            before=before,
        )  # fmt: skip

    def key_image(self, **changed: object) -> Built:
        place = chosen(self.instances)[0]
        data = self.files[self.instances.index(place.instance)]
        source = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
        image = decode(data, pixels_max=2**28)
        return key_image(self.said(**changed), source, image, place, site_key=KEY, device="unit-1")

    def wrong(self, data: bytes, *, signed: bool = True) -> list[str]:
        return wrong_in(data, self.source, self.images, signed=signed)


def changed_file(name: str, changed: dict[str, object]) -> bytes:
    header = pydicom.dcmread(DRAWN / name)
    for keyword, value in changed.items():
        setattr(header, keyword, value)
    out = io.BytesIO()
    header.save_as(out)
    return out.getvalue()


def errors(data: bytes, folder: Path) -> list[str]:
    """What dciodvfy calls an error; status and all of its lines."""
    path = folder / "object.dcm"
    path.write_bytes(data)
    done = subprocess.run([JUDGE, path], capture_output=True, text=True, timeout=60)
    return [line for line in done.stderr.splitlines() if "Error" in line]


STUDIES = {
    "film": lambda: Study("chest_child_ap.dcm"),
    "slices": lambda: Study("ct_slice_1.dcm", "ct_slice_2.dcm"),
    "colour": lambda: Study("us_colour.dcm"),
    "names of Japan": lambda: Study(
        "chest_child_ap.dcm", SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎"
    ),
    "nothing told": lambda: Study(
        "chest_child_ap.dcm", PatientName="", PatientID="", AccessionNumber="", StudyDate="", StudyTime="",
        ReferringPhysicianName="", PatientBirthDate="",
    ),
    "long and odd": lambda: Study("chest_child_ap.dcm", PatientName="A" * 62 + "^B", StudyDescription="x" * 64),
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_two_judges_find_nothing_wrong(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]()
    for built in (study.report(), study.key_image()):
        assert study.wrong(built.data) == []
        assert errors(built.data, tmp_path) == []
        made = pydicom.dcmread(io.BytesIO(built.data))
        assert (made.SOPInstanceUID, made.SOPClassUID) == (built.sop_instance_uid, built.sop_class_uid)
        assert str(made.get("PatientName", "")) == str(study.source.get("PatientName", ""))


@pytest.mark.parametrize("lane", LANES)
def test_every_lane_signed_and_not(lane: str, tmp_path: Path) -> None:
    study = STUDIES["film"]()
    for decision in ("agree", "correct", "cannot_tell"):
        assert study.wrong(study.report(lane=lane, decision=decision, findings=()).data) == []
    plain = study.report(lane=lane, decision="", reader="")
    assert study.wrong(plain.data, signed=False) == []
    assert errors(plain.data, tmp_path) == []
    assert b"UNVERIFIED" in plain.data


def test_the_same_statement_is_the_same_bytes_and_another_names_it() -> None:
    study = STUDIES["film"]()
    first, again = study.report(), study.report()
    assert first == again
    assert study.key_image() == study.key_image()
    other = study.report(before=first.sop_instance_uid, decision="correct")
    assert other.sop_instance_uid != first.sop_instance_uid
    made = pydicom.dcmread(io.BytesIO(other.data))
    named = made.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid
    assert named.SeriesInstanceUID == made.SeriesInstanceUID
    elsewhere = report(
        study.said(), study.source, study.instances, [], site_key=KEY[::-1], device="unit-1", version="1", before=None
    )
    assert elsewhere.sop_instance_uid != first.sop_instance_uid, "another site's report has another UID"


def test_the_picture_is_whole_between_its_bars() -> None:
    study = STUDIES["film"]()
    made = pydicom.dcmread(io.BytesIO(study.key_image().data)).pixel_array
    rows = study.instances[0].rows
    bar = (made.shape[0] - rows) // 2
    assert bar > 0
    assert made.shape[0] == rows + 2 * bar
    for part in (made[:bar], made[-bar:]):
        assert part.max() > 150, "the bar bears words"
        assert np.count_nonzero(part[:, 0]) == 0, "and they are not cut off"


def row(made: Dataset, name: str) -> Dataset:
    """The first content item under any container that has this concept name."""
    stack = list(made.ContentSequence)
    while stack:
        item = stack.pop(0)
        if item.ConceptNameCodeSequence[0].CodeValue == name:
            return item
        stack += item.get("ContentSequence", [])
    raise AssertionError(name)


def without(name: str) -> Callable[[Dataset], None]:
    """A change that takes every content item of a concept name away."""

    def take(item: Dataset) -> None:
        item.ContentSequence = [
            each for each in item.ContentSequence if each.ConceptNameCodeSequence[0].CodeValue != name
        ]
        for each in item.ContentSequence:
            if "ContentSequence" in each:
                take(each)

    return take


def evidence(made: Dataset) -> None:
    made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[
        0
    ].ReferencedSOPInstanceUID = generate_uid()


def says_normal(made: Dataset) -> None:
    row(made, "LANE").ConceptCodeSequence[0].CodeMeaning = "normal"


def of_own_making(made: Dataset) -> None:
    row(made, "LANE").ConceptCodeSequence[0].CodeValue = "WELL"


def second_lane(made: Dataset) -> None:
    group = row(made, "125007")
    other = pydicom.dcmread(io.BytesIO(STUDIES["film"]().report(lane="cleared").data))
    group.ContentSequence.append(row(other, "LANE"))


FAULTS: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "another patient": (lambda made: setattr(made, "PatientID", "X"), "identity-PatientID"),
    "a name lost": (lambda made: delattr(made, "PatientName"), "identity-PatientName"),
    "another study": (lambda made: setattr(made, "StudyInstanceUID", generate_uid()), "identity-StudyInstanceUID"),
    "another maker": (lambda made: setattr(made, "Manufacturer", "X"), "manufacturer"),
    "a stranger's UID": (lambda made: setattr(made, "SeriesInstanceUID", "1.2.3"), "own-uids"),
    "verified": (lambda made: setattr(made, "VerificationFlag", "VERIFIED"), "verified"),
    "partial": (lambda made: setattr(made, "CompletionFlag", "PARTIAL"), "not-complete"),
    "preliminary": (lambda made: setattr(made, "PreliminaryFlag", "PRELIMINARY"), "preliminary"),
    "another template": (
        lambda made: setattr(made.ContentTemplateSequence[0], "TemplateIdentifier", "2000"),
        "template-1500",
    ),
    "no evidence": (lambda made: delattr(made, "CurrentRequestedProcedureEvidenceSequence"), "evidence"),
    "other evidence": (evidence, "evidence"),
    "no language": (without("121049"), "language-or-procedure"),
    "no procedure": (without("121058"), "language-or-procedure"),
    "no device": (without("121012"), "device-observer"),
    "no person": (without("121008"), "person-observer"),
    "no group": (without("125007"), "no-group"),
    "no tracking": (without("112040"), "tracking"),
    "no algorithm": (without("111003"), "algorithm"),
    "no decision": (without("READER-DECISION"), "decision"),
    "no lane": (without("LANE"), "lane"),
    "two lanes": (second_lane, "lane"),
    "called well": (says_normal, "called-well"),
    "a code of its own": (of_own_making, "unknown-code"),
}
PICTURE_FAULTS: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "text denied": (lambda made: setattr(made, "BurnedInAnnotation", "NO"), "burned-in"),
    "original": (lambda made: setattr(made, "ImageType", ["ORIGINAL", "PRIMARY"]), "image-type"),
    "no mark": (lambda made: delattr(made, "ImageComments"), "not-for-diagnosis"),
    "no source": (lambda made: delattr(made, "SourceImageSequence"), "source-image"),
    "cut off": (lambda made: setattr(made, "PixelData", made.PixelData[:-4]), "pixels"),
    "another class": (lambda made: setattr(made, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.1"), "sop-class"),
}


@pytest.mark.parametrize("name", [*FAULTS, *PICTURE_FAULTS])
def test_a_planted_fault_is_named(name: str) -> None:
    study = STUDIES["film"]()
    built = study.key_image() if name in PICTURE_FAULTS else study.report()
    plant, rule = {**FAULTS, **PICTURE_FAULTS}[name]
    made = pydicom.dcmread(io.BytesIO(built.data))
    plant(made)
    out = io.BytesIO()
    made.save_as(out)
    assert rule in study.wrong(out.getvalue())


def test_a_report_of_a_signature_is_none_before_it() -> None:
    study = STUDIES["film"]()
    assert {"decision", "person-observer", "preliminary"} <= set(study.wrong(study.report().data, signed=False))
    assert "decision" in study.wrong(study.report(decision="", reader="").data)


def test_dciodvfy_sees_what_is_planted(tmp_path: Path) -> None:
    made = pydicom.dcmread(io.BytesIO(STUDIES["film"]().report().data))
    del made.CompletionFlag
    out = io.BytesIO()
    made.save_as(out)
    assert errors(out.getvalue(), tmp_path)


def test_no_word_of_a_model_and_no_name_but_the_patients() -> None:
    study = STUDIES["film"]()
    instance: Instance = study.instances[0]
    texts = [str(each.value) for each in pydicom.dcmread(io.BytesIO(study.report().data)).iterall() if each.VR == "UT"]
    assert instance.patient.patient_name not in " ".join(texts)
    assert all(len(each) < 80 for each in texts)
