"""A generator of films is checked like any package, is listed, and is never among those that may decide."""

import json
import shutil
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.core.generator import PAPER
from appliance.errors import Misconfigured
from appliance.world.models import generators, load_generator, load_package, load_packages, trusted_keys
from appliance.world.models.making import sign_package
from tests.world.drawn_packages import KEYS, SECRET, trust

MODELS = Path(__file__).parents[2] / "models"
TRUSTED = MODELS / "trusted"
TITLE = "synthetic-scanner/1.0.0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the scanner to break, with small files in place of the network."""
    copy = tmp_path / "models" / TITLE
    shutil.copytree(MODELS / TITLE, copy)
    for name in ("decoder.onnx", "codes.npz"):
        (copy / name).write_bytes(b"small")
    sign_package(copy, SECRET)
    return copy


def changed(folder: Path, **fields: object) -> None:
    told = json.loads((folder / PAPER).read_text())
    (folder / PAPER).write_text(json.dumps({**told, **fields}))
    sign_package(folder, SECRET)


def fault_of(folder: Path) -> tuple[str, str]:
    with pytest.raises(Misconfigured) as caught:
        load_generator(folder, KEYS)
    return caught.value.code, caught.value.place


def test_the_committed_scanner_is_sound_and_no_model() -> None:
    (told,) = generators([MODELS], TRUSTED)
    assert told.title == TITLE
    assert told.purpose == "for demonstration and load, never for measuring"
    packages, damaged = load_packages([MODELS], TRUSTED)
    assert TITLE not in {package.title for package in packages}
    assert TITLE not in {f"{each.folder.parent.name}/{each.folder.name}" for each in damaged}
    with pytest.raises(Misconfigured, match="model-package-damaged"):
        load_package(MODELS / TITLE, trusted_keys(TRUSTED)[0])


def test_its_licence_names_its_source() -> None:
    assert "doi:10.17632/rscbjbr9sj.2" in (MODELS / TITLE / "LICENSE").read_text()
    assert "never for measuring" in (MODELS / TITLE / "CARD.md").read_text()


def test_a_file_that_was_changed_is_damage_and_named(folder: Path, tmp_path: Path) -> None:
    trusted = trust(tmp_path / "trusted")
    assert [each.title for each in generators([tmp_path / "models"], trusted)] == [TITLE]
    (folder / "decoder.onnx").write_bytes(b"other")
    assert fault_of(folder) == ("model-package-damaged", "decoder.onnx")
    assert generators([tmp_path / "models"], trusted) == []
    packages, damaged = load_packages([tmp_path / "models"], trusted)
    assert packages == []
    assert [(each.folder, each.fault.code) for each in damaged] == [(folder, "model-package-damaged")]


def test_a_stranger_s_signature_is_none(folder: Path) -> None:
    with pytest.raises(Misconfigured, match="model-unsigned"):
        load_generator(folder, {})


@pytest.mark.parametrize(
    "fields",
    [
        {"purpose": "for measuring"},
        {"schema_version": 2},
        {"certificate": "none"},
        {"codes": "absent.npz"},
        {"side_px": 128},
        {"name": "another"},
        {"classes": []},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_paper_that_is_not_understood_is_refused(folder: Path, fields: dict[str, object]) -> None:
    changed(folder, **fields)
    assert fault_of(folder)[0] == "model-manifest-invalid"


def test_a_digest_of_another_file_is_damage(folder: Path) -> None:
    told = json.loads((folder / PAPER).read_text())
    told["files"]["codes.npz"], told["files"]["decoder.onnx"] = "0" * 64, "1" * 64
    (folder / PAPER).write_text(json.dumps(told))
    assert fault_of(folder)[0] == "model-package-damaged"


def test_a_folder_with_both_papers_is_no_generator(folder: Path, tmp_path: Path) -> None:
    """What calls itself both is read as a triage package, in full, and here is none."""
    (folder / "manifest.json").write_text('{"files": {}}')
    sign_package(folder, SECRET)
    trusted = trust(tmp_path / "trusted")
    assert generators([tmp_path / "models"], trusted) == []
    packages, damaged = load_packages([tmp_path / "models"], trusted)
    assert packages == []
    assert [each.fault.code for each in damaged] == ["model-manifest-invalid"]


def test_the_list_calls_it_what_it_is(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trust(tmp_path / "trusted")
    config = tmp_path / "appliance.toml"
    config.write_text(
        f'[state]\nfolder = "{tmp_path}/state"\n[triage]\nmodel_folder = "{folder.parents[1]}"\n'
        f'trusted_keys = "{tmp_path}/trusted"\n'
    )
    (tmp_path / "state").mkdir()
    assert main(["--config", str(config), "models", "list"]) == 0
    assert capsys.readouterr().out == f"{TITLE}  ok  generator: it draws films and decides nothing\n"
    assert main(["--config", str(config), "models", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["role"], row["damage"]) == (TITLE, "generator", "")
