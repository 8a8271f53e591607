"""An independent validator finds nothing wrong with cleaned objects that it did not find with their sources."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pydicom
import pytest
from planted_objects import REAL_FILES, SITE_KEY, deidentify, planted

DCIODVFY = Path(sys.executable).with_name("dciodvfy")
# One of each kind of object that pydicom's own wheel carries; the truncated ones are missing for cause.
NAMES = (
    "693_J2KI.dcm",
    "CT_small.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_RLE.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "examples_overlay.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtdose_1frame.dcm",
    "rtplan.dcm",
    "rtstruct.dcm",
    "test-SR.dcm",
    "waveform_ecg.dcm",
)


def errors(path: Path) -> set[str]:
    told = subprocess.run([DCIODVFY, path], capture_output=True, check=False, timeout=60)
    lines = (told.stderr + told.stdout).decode("utf-8", "replace").splitlines()
    return {re.sub(r"\d{6,}", "", line) for line in lines if line.startswith("Error")}


def test_the_validator_is_there_and_sees_faults(tmp_path: Path) -> None:
    source = planted()
    del source.StudyInstanceUID
    source.save_as(tmp_path / "faulty.dcm")
    assert any("StudyInstanceUID" in line for line in errors(tmp_path / "faulty.dcm"))


@pytest.mark.parametrize("name", NAMES)
def test_cleaning_adds_no_error(name: str, tmp_path: Path) -> None:
    path = next((path for path in REAL_FILES if path.name == name), None)
    assert path is not None
    with warnings.catch_warnings():
        # pydicom warns of what is odd in its own test files as it opens them.
        warnings.simplefilter("ignore")
        try:
            source = pydicom.dcmread(path)
        except pydicom.errors.InvalidDicomError:
            source = pydicom.dcmread(path, force=True)
    (tmp_path / "cleaned.dcm").write_bytes(deidentify(source, SITE_KEY).bytes)
    assert errors(tmp_path / "cleaned.dcm") - errors(path) == set()
