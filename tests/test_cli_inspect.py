"""`appliance inspect` as a stranger meets it: anybody's files, an identity from anywhere, no value on the screen."""

import io
import json
import shutil
from pathlib import Path

import pydicom
import pytest

from appliance.cli import inspect as verb
from appliance.cli import main
from appliance.core.deidentify import deidentify
from appliance.errors import Quarantined

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
KEY = b"a site key of thirty-two bytes: \x9c\x01"
BASIC = ["--no-pixels", "--identity-only"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clean CT and a clean MR in a folder, as somebody may have made them."""
    out = tmp_path / "out" / "deep"
    out.mkdir(parents=True)
    for name in ("CT_small.dcm", "MR_small.dcm"):
        cleaned = deidentify((SHIPPED / name).read_bytes(), KEY)
        (out / name).write_bytes(cleaned.bytes)
    return tmp_path / "out"


def test_a_clean_folder_is_clean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(folder), "--identity", str(SHIPPED / "CT_small.dcm"), *BASIC]) == 0
    told = capsys.readouterr()
    assert [line.rpartition(": ")[2] for line in told.out.splitlines()] == ["clean", "clean"]
    assert told.err == "2 files: 2 clean, 0 identity, 0 structure, 0 unreadable\n"


def test_what_is_found_is_named_by_place_and_never_by_value(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(SHIPPED / "CT_small.dcm", folder / "forgotten.dcm")
    assert main(["inspect", str(folder), "--identity", str(SHIPPED / "CT_small.dcm"), "--json", *BASIC]) == 1
    out = capsys.readouterr().out
    told = {Path(line["file"]).name: line for line in map(json.loads, out.splitlines())}
    assert told["CT_small.dcm"]["verdict"] == "clean"
    assert told["forgotten.dcm"]["verdict"] == "identity"
    assert "PatientName" in [one["place"] for one in told["forgotten.dcm"]["findings"]]
    assert "CompressedSamples" not in out


def test_another_s_structure_is_told_apart_from_identity(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "deep" / "CT_small.dcm"
    other = pydicom.dcmread(file)
    other.PatientName = other.PatientID = "SUBJECT-17"
    other.save_as(file)
    arguments = ["inspect", str(file), "--identity", str(SHIPPED / "CT_small.dcm"), "--no-pixels", "--json"]
    assert main(arguments) == 1
    line = json.loads(capsys.readouterr().out)
    assert {one["kind"] for one in line["findings"]} == {"structure"}
    assert {"PatientName", "PatientID"} <= {one["place"] for one in line["findings"]}
    assert main([*arguments, "--identity-only"]) == 0


@pytest.mark.parametrize(
    ("sought", "place"),
    [
        ({"names": ["Graf^Mina"]}, "PatientComments"),
        ({"ids": ["00-99881-7"]}, "PatientComments"),
        ({"dates": ["1931-05-07"]}, "PatientComments"),
        ({"phones": ["+49 761 2703 4010"]}, "PatientComments"),
        ({"addresses": ["Quellbrunnthal 14"]}, "PatientComments"),
        ({"institutions": ["Klinik am Weiher"]}, "PatientComments"),
        ({"texts": ["asked by Ohrwurmstein"]}, "PatientComments"),
        ({"uids": ["1.2.3.4.5.6.77"]}, "FrameOfReferenceUID"),
    ],
)
def test_an_identity_may_be_written_down(
    sought: dict[str, list[str]], place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, identity = tmp_path / "a.dcm", tmp_path / "who.json"
    dataset = pydicom.dcmread(io.BytesIO(deidentify((SHIPPED / "CT_small.dcm").read_bytes(), KEY).bytes))
    dataset.PatientComments = (
        "graf, mina; 99881-7 born 7.5.1931, call (0761) 27034010, Quellbrunnthal; KLINIK-AM-WEIHER, OHRWURMSTEIN"
    )
    dataset.FrameOfReferenceUID = "1.2.3.4.5.6.77"
    dataset.save_as(file)
    identity.write_text(json.dumps(sought))
    assert main(["inspect", str(file), "--identity", str(identity), "--json", *BASIC]) == 1
    assert [one["place"] for one in json.loads(capsys.readouterr().out)["findings"]] == [place]
    identity.write_text(json.dumps({"names": ["Somebody^Else"], "ids": ["55555"]}))
    assert main(["inspect", str(file), "--identity", str(identity), *BASIC]) == 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "JSON"),
        ("names: Zwetschgenkern", "JSON"),
        ("[]", "JSON"),
        ("{}", "nothing to look for"),
        ('{"names": "Zwetschgenkern"}', "names"),
        ('{"names": [7731904]}', "names.0"),
        ('{"Zwetschgenkern": []}', "a list beside names"),
        ('{"dates": ["13.02.1947"]}', "dates.0"),
    ],
)
def test_a_wrong_identity_file_is_said_clearly(
    text: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity = tmp_path / "who.json"
    identity.write_text(text)
    assert main(["inspect", str(SHIPPED / "CT_small.dcm"), "--identity", str(identity), *BASIC]) == 78
    told = capsys.readouterr()
    assert f"inspect-identity-file at {place}" in told.err
    assert "Zwetschgenkern" not in told.out + told.err


def test_an_identity_that_is_not_there(tmp_path: Path) -> None:
    for missing in (tmp_path / "none.json", tmp_path):
        assert main(["inspect", str(SHIPPED / "CT_small.dcm"), "--identity", str(missing), *BASIC]) == 78


def test_an_identity_may_be_a_folder(tmp_path: Path, folder: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    for name in ("CT_small.dcm", "MR_small.dcm"):
        shutil.copy(SHIPPED / name, sources)
    assert main(["inspect", str(folder), "--identity", str(sources), *BASIC]) == 0
    assert main(["inspect", str(SHIPPED / "MR_small.dcm"), "--identity", str(sources), *BASIC]) == 1


def test_what_nobody_can_read_is_not_clean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("nothing of anybody")
    (tmp_path / "cut.dcm").write_bytes((SHIPPED / "CT_small.dcm").read_bytes()[:5000])
    assert main(["inspect", str(tmp_path), "--identity", str(SHIPPED / "MR_small.dcm"), *BASIC]) == 1
    assert capsys.readouterr().out.count("unreadable at") == 2


def test_an_empty_folder_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ["inspect", str(tmp_path / "empty"), "--identity", str(SHIPPED / "MR_small.dcm"), *BASIC]
    assert main(arguments) == 1


def test_a_telling_file_name_is_a_finding(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "deep").rename(folder / "compressedsamples^ct1")
    arguments = ["inspect", str(folder), "--identity", str(SHIPPED / "CT_small.dcm"), *BASIC]
    assert main(arguments) == 1
    assert capsys.readouterr().out.count("found at file name") == 2


@pytest.mark.parametrize(
    ("code", "kind"), [("inspect-identity-found", "identity"), ("inspect-unreadable", "unreadable")]
)
def test_text_in_pictures_is_asked_for_unless_it_is_not(
    code: str, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def look(data: bytes, sought: object) -> None:
        assert data[128:132] == b"DICM"
        raise Quarantined(code, "PixelData frame 1")

    monkeypatch.setattr(verb, "_pixel_look", lambda: look)
    arguments = ["inspect", str(folder), "--identity", str(SHIPPED / "CT_small.dcm"), "--identity-only", "--json"]
    assert main(arguments) == 1
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        assert line["findings"] == [{"place": "PixelData frame 1", "kind": kind}]
    assert main([*arguments, "--no-pixels"]) == 0


def test_options_say_what_the_files_should_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", str(folder), "--identity", str(SHIPPED / "CT_small.dcm"), "--no-pixels"]
    both = ["--option", "retain-longitudinal-full-dates", "--option", "retain-longitudinal-modified-dates"]
    assert main([*arguments, *both]) == 78
    assert main([*arguments, "--option", "retain-uids"]) == 1
    assert "DeidentificationMethodCodeSequence" in capsys.readouterr().out
