"""The synthetic scanner: same seed same bytes, honest headers, true stories, files written as scanners write them."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, RLELossless

from appliance.core.admit import admit
from appliance.core.drawn_objects import person, radiograph
from appliance.errors import Quarantined
from sample_dicom import make_samples, scanner
from sample_dicom.make_samples import chest_phantom, ct_phantom, samples, us_phantom
from sample_dicom.scanner import ADULT_ZIP, SITE_ZIP, File, Story, drop, stories

DRAWN = Path(scanner.__file__).parent / "drawn"
DCIODVFY = Path(sys.executable).parent / "dciodvfy"


def film(grey: int) -> bytes:
    """A JPEG of one grey with a corner that tells left from right."""
    image = np.full((128, 130), grey, np.uint8)
    image[:40, :40] = 250
    return cv2.imencode(".jpg", image)[1].tobytes()


def archive(path: Path, rows: list[dict[str, str]]) -> None:
    with zipfile.ZipFile(path, "w") as out:
        told = io.StringIO()
        writer = csv.DictWriter(told, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
        out.writestr("manifest.csv", told.getvalue())
        for n, row in enumerate(rows):
            out.writestr(row["path"], film(20 + 30 * n))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder like the labelled one, of drawn squares: three children with four films, three adults."""
    children = [("P/1", "PNEUMONIA", "virus", "a"), ("P/2", "PNEUMONIA", "virus", "a"), ("N/1", "NORMAL", "", "b")]
    children.append(("N/2", "NORMAL", "", "c"))
    keys = ("path", "label", "subtype", "patient_id")
    archive(tmp_path / SITE_ZIP, [dict(zip(keys, row, strict=True)) for row in children])
    adults = [("A/1", "Pneumonia", "7", "61", "M", "PA"), ("A/2", "No_findings", "8", "35", "F", "AP")]
    keys = ("path", "subset", "patient_id", "age", "sex", "view")
    archive(tmp_path / ADULT_ZIP, [dict(zip(keys, row, strict=True)) for row in adults])
    return tmp_path


def header(file: File) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(file.data))


def harbour(seed: int, data: Path | None, films: int) -> list[Story]:
    return stories(seed, data, films, "harbour")


def labelled(told: list[Story], expect: str) -> list[Story]:
    return [story for story in told if story.truth is not None and story.expect == expect]


def test_the_committed_samples_are_what_the_script_draws() -> None:
    made = samples()
    assert {path.name for path in DRAWN.iterdir()} == made.keys()
    assert {name for name, data in made.items() if (DRAWN / name).read_bytes() != data} == set()
    assert sum(map(len, made.values())) < 500_000


def test_a_changed_sample_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(DRAWN, tmp_path / "drawn")
    monkeypatch.setattr(make_samples, "FOLDER", tmp_path / "drawn")
    monkeypatch.setattr(sys, "argv", ["make_samples", "--check"])
    assert make_samples.main() == 0
    changed = tmp_path / "drawn" / "ct_slice_1.dcm"
    data = bytearray(changed.read_bytes())
    data[-1] ^= 1
    changed.write_bytes(data)
    assert make_samples.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 of 7 differ ct_slice_1.dcm"


@pytest.mark.parametrize("name", ["chest_child_ap.dcm", "ct_slice_1.dcm", "ct_slice_2.dcm", "us_colour.dcm"])
def test_another_validator_finds_no_error(name: str) -> None:
    said = subprocess.run([DCIODVFY, DRAWN / name], capture_output=True, text=True, check=False)
    assert not [line for line in (said.stdout + said.stderr).splitlines() if line.startswith("Error")]


def test_that_validator_does_find_errors(tmp_path: Path) -> None:
    broken = pydicom.dcmread(DRAWN / "ct_slice_1.dcm")
    del broken.ImagePositionPatient
    broken.save_as(tmp_path / "broken.dcm")
    said = subprocess.run([DCIODVFY, tmp_path / "broken.dcm"], capture_output=True, text=True, check=False)
    assert "ImagePositionPatient" in said.stdout + said.stderr


def test_drawn_pixels_come_back_exactly() -> None:
    made = {name: pydicom.dcmread(io.BytesIO(data)) for name, data in samples().items() if not name.startswith("odd")}
    assert np.array_equal(made["chest_child_ap.dcm"].pixel_array, chest_phantom(0))
    assert np.array_equal(made["ct_slice_2.dcm"].pixel_array.astype(int) - 1024, ct_phantom(2))
    assert made["us_colour.dcm"].file_meta.TransferSyntaxUID == RLELossless
    assert np.array_equal(made["us_colour.dcm"].pixel_array, us_phantom())


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(data: Path) -> None:
    assert harbour(3, data, 4) == harbour(3, data, 4)
    assert harbour(3, None, 4) == harbour(3, None, 4)
    assert harbour(3, None, 4) != harbour(4, None, 4)


@pytest.mark.parametrize("source", ["films", "phantoms", "synthetic"])
def test_every_story_says_which_study_its_files_are(data: Path, source: str) -> None:
    told = (
        stories(1, None, 3, "synthetic")
        if source == "synthetic"
        else harbour(1, data if source == "films" else None, 6)
    )
    studies = [story for story in told if story.study_instance_uid]
    assert len({story.study_instance_uid for story in studies}) == len(studies)
    names = [file.name for story in told for file in story.files]
    assert len(set(names)) == len(names)
    instances = [(story, admit(file.data)) for story in studies for file in story.files]
    for story, instance in instances:
        assert instance.study_instance_uid == story.study_instance_uid
        assert UID(instance.sop_instance_uid).is_valid
        assert instance.patient.patient_name not in story.what or not instance.patient.patient_name
    assert len({instance.sop_instance_uid for _, instance in instances}) == len(instances)
    assert {instance.modality for _, instance in instances} >= {"CR", "CT", "MR", "US", "NM"}
    assert any(story.truth for story in studies) == (source != "phantoms")


def test_a_film_of_the_site_is_of_the_group_the_certificate_names(data: Path) -> None:
    told = labelled(harbour(1, data, 4), "decided")
    assert sorted(story.truth or "" for story in told) == ["normal", "normal", "pneumonia", "pneumonia"]
    for story in told:
        facts = admit(story.files[0].data)
        assert (facts.manufacturer, facts.manufacturer_model_name) == ("Harbour Imaging", "PX-224")
        assert (facts.modality, facts.body_part_examined, facts.view_position) == ("CR", "CHEST", "AP")
        assert re.fullmatch("00[1-5]Y", facts.patient_age)
        image = header(story.files[0])
        assert (image.Rows, image.Columns, image.BitsStored) == (128, 130, 8)
        assert image.PhotometricInterpretation == "MONOCHROME2"
        assert image.pixel_array[10, 10] > 230
        assert image.pixel_array[100, 100] < 200


def test_the_label_belongs_to_the_picture(data: Path) -> None:
    """The archive's films differ in grey: pneumonia below 60, normal above."""
    for story in labelled(harbour(1, data, 4), "decided"):
        grey = int(header(story.files[0]).pixel_array[100, 100])
        assert (grey < 65) == (story.truth == "pneumonia")


def test_one_patient_is_one_person_in_every_study(data: Path) -> None:
    """Six pneumonia films of one patient who has two: the third is another study of the same pixels."""
    told = [story for story in labelled(harbour(1, data, 12), "decided") if story.truth == "pneumonia"]
    headers = [header(story.files[0]) for story in told]
    assert len(headers) == 6
    who = {(h.PatientID, str(h.PatientName), h.PatientBirthDate, h.PatientSex, h.PatientAge) for h in headers}
    assert len(who) == 1
    assert len({h.StudyInstanceUID for h in headers}) == 6
    assert len({h.pixel_array.tobytes() for h in headers}) == 2


def test_an_adult_keeps_age_sex_and_view_and_is_not_for_the_model(data: Path) -> None:
    told = labelled(harbour(1, data, 0), "escalated")
    facts = sorted((h.PatientAge, h.PatientSex, h.ViewPosition) for h in (header(story.files[0]) for story in told))
    assert facts == [("035Y", "F", "AP"), ("061Y", "M", "PA")]


@pytest.mark.parametrize("age", [1, 2, 5, 17, 90])
def test_birth_date_and_age_agree_on_the_day_of_the_study(age: int) -> None:
    for n in range(40):
        told = header(File("", radiograph(chest_phantom(0), person(f"p{n}", age), f"k{n}", view="AP")))
        born, day = int(told.PatientBirthDate), int(told.StudyDate)
        assert (day - born) // 10_000 == int(told.PatientAge[:3]) == age


def test_odd_files_are_odd(data: Path) -> None:
    odd = {story.expect: story.files[0].data for story in harbour(1, data, 0) if not story.study_instance_uid}
    assert odd.keys() == {"file-empty", "file-not-dicom", "header-truncated"}
    assert odd["file-empty"] == b""
    assert odd["file-not-dicom"][128:132] != b"DICM"
    with pytest.raises(Quarantined, match="header-truncated"):
        admit(odd["header-truncated"])


STORY = Story("1.2", (File("a.dcm", bytes(range(256)) * 40), File("b.dcm", b"short")), "", None, "escalated")


def test_a_renamed_file_is_whole_when_it_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_rename: list[tuple[str, bytes]] = []
    whole = Path.replace

    def replace(self: Path, target: Path) -> Path:
        at_rename.append((target.name, self.read_bytes()))
        assert not target.exists()
        return whole(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    drop(STORY, tmp_path)
    assert at_rename == [(file.name, file.data) for file in STORY.files]
    assert {path.name for path in tmp_path.iterdir()} == {"a.dcm", "b.dcm"}


def test_a_slow_file_grows_under_its_own_name(tmp_path: Path) -> None:
    seen: list[int] = []
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        seen.append((tmp_path / "a.dcm").stat().st_size)

    drop(STORY, tmp_path, pieces=4, pause_s=0.5, sleep=sleep)
    assert len(seen) == 3
    assert all(a < b for a, b in pairwise([0, *seen, len(STORY.files[0].data)]))
    assert waited == [0.5] * 3
    assert [(tmp_path / file.name).read_bytes() for file in STORY.files] == [file.data for file in STORY.files]


def test_the_tool_tells_the_truth_of_what_it_drops(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    typed = ["--site", "harbour", "--data", str(data), "--films", "2", "--studies", "5", "--seed", "2"]
    assert scanner.main(["--out", str(out), *typed]) == 0
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert told == [scanner.record(story) for story in harbour(2, data, 2)[:5]]
    assert {path.name for path in out.iterdir()} == {name for record in told for name in record["files"]}


def test_a_missing_package_is_named_and_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanner, "REAL", (("no such object", ("693_J2KR_and_more.dcm",)),))
    with pytest.raises(FileNotFoundError, match="pydicom-data"):
        harbour(1, None, 0)
