"""`appliance rules test`: a study in, what the table says of it out, and nobody's name."""

import json
from pathlib import Path

import pytest

from appliance.cli import main

ROOT = Path(__file__).parents[1]
DRAWN = ROOT / "sample_dicom" / "drawn"
TABLE = """
[triage]
model_folder = "{models}"
trusted_keys = "{models}/trusted"
[[rules.models]]
name = "adults-elsewhere"
modality = ["CR", "DX"]
years_min = 18
models = []
[[rules.models]]
name = "children"
modality = ["CR", "DX"]
models = ["cxr-paediatric-pneumonia"]
[[results.targets]]
name = "pacs"
kind = "dimse"
host = "127.0.0.1"
port = 104
ae_title = "PACS"
[[rules.results]]
name = "urgent"
lane = ["flagged"]
decision = ["agree"]
send = ["sr"]
to = ["pacs"]
"""


@pytest.fixture
def table(tmp_path: Path) -> list[str]:
    path = tmp_path / "appliance.toml"
    path.write_text(TABLE.format(models=ROOT / "models"))
    return ["--config", str(path), "rules", "test"]


def test_a_study_in_reasons_and_destinations_out(table: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*table, str(DRAWN / "chest_child_ap.dcm"), "--json"]) == 0
    (study,) = json.loads(capsys.readouterr().out)["studies"]
    (image,) = study["kinds"]
    assert [(said["rule"], said["matched"]) for said in image["models"]] == [
        ("adults-elsewhere", "no"),
        ("children", "yes"),
    ]
    looks = {each["model"]: each["why_not"] for each in study["models"]}
    assert looks["cxr-paediatric-pneumonia/2.0.0"] != "rule-takes-model-away"
    assert study["goes"] == [{"lane": "flagged", "decision": "agree", "sends": {"sr": ["pacs"]}}]


def test_for_people_and_without_a_name(table: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*table, str(DRAWN)]) == 1, "some of the drawn files are odd on purpose"
    said = capsys.readouterr().out
    assert "models rule adults-elsewhere: does not match by patient_age" in said
    assert "flagged, agree: sr to pacs" in said
    assert "a file is not counted: file-not-dicom" in said
    assert "chest_child_ap" not in said
    assert "^" not in said


def test_nothing_named_is_said(table: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*table, str(tmp_path / "nowhere")]) == 1
    assert "no study was named" in capsys.readouterr().out
