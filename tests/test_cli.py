"""The command line as a stranger meets it: replay, deidentify, reconcile, status, models, check, users."""

import hashlib
import json
import shutil
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from appliance.cli import main
from appliance.config import Places
from appliance.core.decide import REASONS
from appliance.errors import CATALOGUE
from appliance.world import accounts, sqlite
from tests.tiny import tiny

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
MODELS = Path(__file__).parents[1] / "models"
LANES = {"cleared", "flagged", "escalated", "quarantined"}
KEYS = {"study", "files", "lane", "would_be", "reasons", "repeat", "scores", "model", "weights", "exit"} | {
    "certificate",
    "contract",
    "timings_ms",
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "appliance.toml"
    path.write_text(
        f'[state]\nfolder = "{tmp_path}/state"\n[triage]\nmodel_folder = "{MODELS}"\n'
        f'trusted_keys = "{MODELS}/trusted"\nsite_key_file = "{tmp_path}/site.key"\n'
        f'[receive]\nwatched_folder = "{tmp_path}/scanner"\n'
    )
    return path


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_replay_prints_one_line_a_study(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.dcm").write_bytes(tiny("1.2.3", 1, "PAT-1", "MR", 1))
    (folder / "b.dcm").write_bytes(tiny("1.2.3", 2, "PAT-1", "MR", 2))
    (folder / "c.dcm").write_bytes(tiny("1.2.4", 1, "PAT-2", "CR", 3))
    (folder / "same.dcm").write_bytes(tiny("1.2.4", 1, "PAT-2", "CR", 3))
    (folder / "empty.dcm").write_bytes(b"")
    (folder / "text.txt").write_bytes(b"no DICOM" * 99)
    (folder / "link.dcm").symlink_to(folder / "a.dcm")
    assert main(["--config", str(config), "replay", str(folder), "--jobs", "1"]) == 0
    found = lines(capsys)
    assert all(set(line) == KEYS and line["lane"] in LANES for line in found)
    by_study = {line["study"]: line for line in found if line["study"]}
    assert set(by_study) == {"1.2.3", "1.2.4"}
    assert len(by_study["1.2.3"]["files"]) == 2  # type: ignore[arg-type]
    assert by_study["1.2.4"]["lane"] == "escalated"
    codes = {line["reasons"][0]["code"] for line in found if line["study"] is None}  # type: ignore[index]
    assert codes == {"file-empty", "file-not-dicom"}
    assert not (tmp_path / "state").exists(), "a replay keeps nothing"


def test_replay_in_processes_says_the_same(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(8):
        (tmp_path / f"{number}.dcm").write_bytes(tiny(f"1.2.{number}", 1, f"PAT-{number}", "CR", number))
    inputs = [str(tmp_path / f"{number}.dcm") for number in range(8)]
    said = []
    for jobs in ("1", "2"):
        assert main(["--config", str(config), "replay", *inputs, "--jobs", jobs]) == 0
        said.append([{key: line[key] for key in KEYS - {"timings_ms"}} for line in lines(capsys)])
    assert said[0] == said[1]


def test_every_code_replay_prints_is_in_a_catalogue(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "replay", str(SHIPPED / "dicomdirtests"), str(SHIPPED / "CT_small.dcm")]) == 0
    found = lines(capsys)
    assert len(found) > 3
    for line in found:
        assert line["lane"] in ("escalated", "quarantined")
        for reason in line["reasons"]:  # type: ignore[attr-defined]
            assert reason["code"] in REASONS or reason["code"] in CATALOGUE


def test_replay_of_nothing_is_said(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "replay", str(tmp_path / "nowhere")]) == 1
    assert "no file was named" in capsys.readouterr().err


def test_deidentify_keeps_paths_and_writes_only_what_passed(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in" / "ward" / "one"
    source.mkdir(parents=True)
    shutil.copy(SHIPPED / "CT_small.dcm", source / "ct.dcm")
    (source / "note.txt").write_text("Harbour^Anna" * 30)
    out = tmp_path / "out"
    assert main(["--config", str(config), "deidentify", str(tmp_path / "in"), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert "random one is used" in said.err
    assert "note.txt: refused: file-not-dicom" in said.out
    assert [path.relative_to(out) for path in out.rglob("*") if path.is_file()] == [Path("ward/one/ct.dcm")]
    cleaned = pydicom.dcmread(out / "ward" / "one" / "ct.dcm")
    assert cleaned.PatientIdentityRemoved == "YES"
    assert b"CompressedSamples" not in (out / "ward" / "one" / "ct.dcm").read_bytes()
    assert cleaned.PixelData == pydicom.dcmread(source / "ct.dcm").PixelData


@pytest.mark.parametrize(("folder", "telling"), [("CompressedSamples^CT1", True), ("ward", False)])
def test_a_kept_path_that_names_the_patient_is_told(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], folder: str, telling: bool
) -> None:
    source = tmp_path / "in" / folder
    source.mkdir(parents=True)
    shutil.copy(SHIPPED / "CT_small.dcm", source / "ct.dcm")
    arguments = ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    assert main(["--config", str(config), *arguments]) == 0
    assert ("rename it before it leaves" in capsys.readouterr().out) == telling
    assert main(["--config", str(config), *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["telling_path"] == telling


def test_a_damaged_header_is_refused_by_name(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Transfer Syntax UID with a representation that nobody knows
    whole = (SHIPPED / "CT_small.dcm").read_bytes()
    (tmp_path / "ct.dcm").write_bytes(whole.replace(b"\x02\0\x10\0UI", b"\x02\0\x10\0ZZ"))
    assert main(["--config", str(config), "deidentify", str(tmp_path / "ct.dcm"), "-o", str(tmp_path / "out")]) == 1
    assert "refused: deid-unsupported at file meta information" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_options_are_chosen_by_name_and_written_into_the_object(tmp_path: Path, config: Path) -> None:
    out = tmp_path / "out"
    arguments = ["deidentify", str(SHIPPED / "CT_small.dcm"), "-o", str(out), "--profile", "centre"]
    assert main(["--config", str(config), *arguments, "--option", "retain-uids", "--without", "clean-pixel-data"]) == 0
    found = pydicom.dcmread(out / "CT_small.dcm")
    codes = [item.CodeValue for item in found.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107", "113108", "113110"]
    assert found.SOPInstanceUID == pydicom.dcmread(SHIPPED / "CT_small.dcm").SOPInstanceUID
    assert found.LongitudinalTemporalInformationModified == "MODIFIED"
    assert "BurnedInAnnotation" not in found


def test_options_that_contradict_each_other_are_refused(tmp_path: Path, config: Path) -> None:
    arguments = ["deidentify", str(SHIPPED / "CT_small.dcm"), "-o", str(tmp_path / "o"), "--profile", "centre"]
    assert main(["--config", str(config), *arguments, "--option", "retain-longitudinal-full-dates"]) == 78
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("more", [[], ["--without", "clean-pixel-data"]], ids=["in threads", "in processes"])
def test_many_files_are_done_at_once_in_order_and_as_one_by_one(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    (tmp_path / "site.key").write_bytes(hashlib.sha256(b"one site").digest())
    (tmp_path / "in").mkdir()
    for number in range(12):
        dataset = pydicom.dcmread(SHIPPED / "CT_small.dcm")
        dataset.PatientName, dataset.PatientID = f"Zwetschgenkern{number:02}^Anna", f"BENCH{7_310_000 + number}"
        dataset.save_as(tmp_path / "in" / f"{number:02}.dcm")
    told = {}
    for jobs in ("1", "3"):
        arguments = ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / jobs), "--report", "json", *more]
        assert main(["--config", str(config), *arguments, "--jobs", jobs]) == 0
        told[jobs] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["file"]).name for line in told["3"]] == [f"{number:02}.dcm" for number in range(12)]
    for line, alone in zip(told["3"], told["1"], strict=True):
        assert hashlib.sha256(Path(line["output"]).read_bytes()).hexdigest() == line["sha256"] == alone["sha256"]
        assert line["rules"]["E.1-1 X"] > 5


def test_the_same_key_gives_the_same_pseudonyms(tmp_path: Path, config: Path) -> None:
    (tmp_path / "site.key").write_bytes(hashlib.sha256(b"one site").digest())
    (tmp_path / "other.key").write_bytes(hashlib.sha256(b"another").digest())
    told = []
    for folder, more in (("a", []), ("b", []), ("c", ["--site-key", str(tmp_path / "other.key")])):
        arguments = ["deidentify", str(SHIPPED / "CT_small.dcm"), "-o", str(tmp_path / folder), *more]
        assert main(["--config", str(config), *arguments]) == 0
        told.append(pydicom.dcmread(tmp_path / folder / "CT_small.dcm").PatientID)
    assert told[0] == told[1] != told[2]


def test_a_weak_key_is_refused(tmp_path: Path, config: Path) -> None:
    (tmp_path / "weak.key").write_bytes(b"secret")
    arguments = ["deidentify", str(SHIPPED / "CT_small.dcm"), "-o", str(tmp_path / "o"), "--site-key"]
    assert main(["--config", str(config), *arguments, str(tmp_path / "weak.key")]) == 78
    assert not (tmp_path / "o").exists()


def test_an_original_is_never_written_over(tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "ct.dcm"
    shutil.copy(SHIPPED / "CT_small.dcm", file)
    before = file.read_bytes()
    assert main(["--config", str(config), "deidentify", str(file), "-o", str(tmp_path)]) == 1
    assert file.read_bytes() == before
    assert "is in use" in capsys.readouterr().err


def test_reading_verbs_work_before_anything_came(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (["status"], ["studies"], ["reconcile"], ["config", "show"], ["models", "list"]):
        assert main(["--config", str(config), *verb, "--json"]) == 0
        json.loads(capsys.readouterr().out)
        assert main(["--config", str(config), *verb]) == 0
        capsys.readouterr()
    assert main(["--config", str(config), "studies", "1.2.3"]) == 1


def test_models_verify_runs_the_golden_films(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "models", "verify", "--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["ct-volume-demo/1.0.0", "cxr-paediatric-pneumonia/2.0.0", "synthetic-scanner/1.0.0"]
    assert all(row["damage"] == "" for row in rows.values())
    assert rows["ct-volume-demo/1.0.0"]["sites"] == []
    assert "harbour" in rows["cxr-paediatric-pneumonia/2.0.0"]["sites"]


@pytest.mark.parametrize("name", ["exit1.onnx", "exit2.onnx", "check.onnx"])
def test_a_damaged_package_is_red_and_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    shutil.copytree(MODELS / "cxr-paediatric-pneumonia", tmp_path / "models" / "cxr-paediatric-pneumonia")
    (graph,) = (tmp_path / "models").glob(f"*/*/{name}")
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    config = tmp_path / "c.toml"
    config.write_text(
        f'[triage]\nmodel_folder = "{tmp_path}/models"\ntrusted_keys = "{MODELS}/trusted"\n'
        f'[state]\nfolder = "{tmp_path}/state"\n'
    )
    assert main(["--config", str(config), "models", "list"]) == 1
    assert "model-package-damaged" in capsys.readouterr().out
    assert main(["--config", str(config), "check"]) == 1
    assert "RED" in capsys.readouterr().out


def test_check_says_what_to_do(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(config), "check", "--json"]) == 1
    found = {line["name"]: line for line in json.loads(capsys.readouterr().out)}
    assert not found["site key"]["ok"]
    assert found["site key"]["todo"]
    assert found["SQLite"]["ok"]


def test_reconcile_names_what_is_wrong(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.triage.conftest import Bench

    bench = Bench(tmp_path)
    digest = bench.put(tiny("1.2.826.0.1.7", 1, "PAT-1", "CR", 3))
    bench.step(passed=1)
    bench.step(passed=5)
    bench.triage.close()
    assert main(["--config", str(config), "reconcile", "--deep"]) == 0
    assert "1 studies seen = 1 escalated" in capsys.readouterr().out
    kept = Places(tmp_path / "state").instances / digest[:2] / f"{digest}.dcm"
    data = kept.read_bytes()
    kept.write_bytes(data[:-1] + b"X")
    assert main(["--config", str(config), "reconcile"]) == 0
    assert main(["--config", str(config), "reconcile", "--deep"]) == 1
    kept.unlink()
    capsys.readouterr()
    assert main(["--config", str(config), "reconcile"]) == 1
    said = capsys.readouterr().out
    assert f"WRONG  every file taken in is kept (1) {digest[:12]}" in said
    kept.write_bytes(data)
    for part in (tmp_path / "state" / "wire" / "parts").iterdir():
        part.unlink()
    assert main(["--config", str(config), "reconcile"]) == 1
    assert "WRONG  a case the centre does not hold has its part here" in capsys.readouterr().out


@pytest.mark.parametrize(
    "fault",
    [
        "update studies set state = 'routine'",
        "update studies set state = 'lost'",
        "delete from moves where to_state = 'complete'",
        "delete from results",
        "update results set superseded_at = 1.0",
        "update results set case_id = null",
        "update moves set from_state = 'hard' where to_state = 'complete'",
        "delete from instances",
    ],
)
def test_reconcile_catches_planted_faults(fault: str, config: Path, tmp_path: Path) -> None:
    from tests.triage.conftest import Bench

    bench = Bench(tmp_path)
    bench.put(tiny("1.2.826.0.1.7", 1, "PAT-1", "CR", 3))
    bench.step(passed=1)
    bench.step(passed=5)
    assert main(["--config", str(config), "reconcile"]) == 0
    with bench.triage.engine.begin() as c:
        c.exec_driver_sql(fault)
    bench.triage.close()
    assert main(["--config", str(config), "reconcile"]) == 1


def test_a_user_is_added_with_a_password_from_standard_input(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO("a long enough passphrase\n"))
    assert main(["--config", str(config), "user", "add", "anna"]) == 0
    engine = sqlite.open_reader(Places(tmp_path / "state").review_db)
    with engine.connect() as c:
        assert accounts.count_users(c) == 1
    engine.dispose()


def test_no_verb_prints_patient_data_on_a_fault(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = pydicom.dcmread(BytesIO(tiny("1.2.3", 1, "PAT-SECRET", "CR", 1)))
    out = BytesIO()
    dataset.save_as(out)
    (tmp_path / "cut.dcm").write_bytes(out.getvalue()[:-20])
    main(["--config", str(config), "replay", str(tmp_path / "cut.dcm")])
    said = capsys.readouterr()
    assert "SECRET" not in said.out + said.err


@pytest.mark.parametrize(
    "verb",
    [["studies"], ["status"], ["reconcile"], ["receipt", "ab" * 32], ["crosswalk", "2.25.7"]],
    ids=lambda v: v[0],
)
def test_a_torn_ledger_is_told_by_every_verb_that_reads_it(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    ledger_file = Places(tmp_path / "state").studies_db
    ledger_file.parent.mkdir(parents=True, exist_ok=True)
    ledger_file.write_bytes(b"not a database at all, " * 500)
    assert main(["--config", str(config), *verb]) == 78
    said = capsys.readouterr().err
    assert "ledger-damaged" in said
    assert "salvage" in said
