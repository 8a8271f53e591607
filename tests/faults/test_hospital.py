"""A short day in the hospital in the suite, and proof that its judge sees what it is there to see."""

import io
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.deliver.orthanc import PASSWORD, USER
from tests.faults.hospital import REPORT, Hospital, judged


@pytest.mark.timeout(400)
def test_every_study_comes_home_with_one_report_and_one_key_image(tmp_path: Path) -> None:
    with Hospital(tmp_path / "h", seed=5) as hospital:
        day = hospital.day(2, kills=3)
        assert not day.broken, day.table()
        assert (len(day.signed), sum(day.kills.values())) == (2, 3)
        sees_what_is_wrong(hospital)


def sees_what_is_wrong(hospital: Hospital) -> None:
    pacs, study = hospital.pacs, next(iter(hospital.day_.studies))

    def sees(words: str) -> bool:
        return any(words in each for each in judged(hospital))

    def send(data: bytes) -> str:
        told = {"auth": (USER, PASSWORD), "trust_env": False, "content": data, "timeout": 30.0}
        return str(httpx.post(f"{pacs.url}/instances", **told).json()["ID"])

    held = {each["MainDicomTags"]["SOPInstanceUID"]: each["ID"] for each in pacs.get("/instances?expand")}
    with httpx.Client(base_url=pacs.url, auth=(USER, PASSWORD), trust_env=False) as web:
        files = {uid: web.get(f"/instances/{name}/file").content for uid, name in held.items()}
    mine = [pydicom.dcmread(io.BytesIO(data)) for data in files.values()]
    report = next(each for each in mine if each.StudyInstanceUID == study and each.SOPClassUID == REPORT)
    uid = str(report.SOPInstanceUID)

    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    second = send(written(report))
    assert sees("study 1: 2 reports, 1 key images, 3 objects")
    pacs.drop(f"/instances/{second}")

    pacs.drop(f"/instances/{held[uid]}")
    assert sees("study 1: 0 reports, 1 key images, 1 objects")
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = uid
    report.VerificationFlag = "VERIFIED"
    wrong = send(written(report))
    assert sees("study 1, Comprehensive SR Storage: ")
    pacs.drop(f"/instances/{wrong}")
    send(files[uid])
    assert not judged(hospital)

    hospital.scanner.kept.clear()
    assert sees("of which the scanner was not told")


def written(dataset: pydicom.Dataset) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()
