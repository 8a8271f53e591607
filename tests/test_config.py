"""A wrong configuration: every mistake at once, with file, key and reason; exit status 78."""

import gc
import sys
from pathlib import Path

import pytest

from appliance.cli import main
from appliance.config import Config, ConfigMistakes, knobs, load, secret

WRONG = """
[site]
name = "Not A Site"
[receive]
settle_s = -1.0
colour = "green"
[triage]
attempts_max = "three"
[network]
broker_host = "192.0.2.7"
"""


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(WRONG)
    with pytest.raises(ConfigMistakes) as caught:
        load(path)
    keys = {key for _, key, _ in caught.value.mistakes}
    assert keys == {"site.name", "receive.settle_s", "receive.colour", "triage.attempts_max", "network"}
    assert all(file == str(path) and reason for file, _, reason in caught.value.mistakes)


def test_the_command_ends_with_78_and_names_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(WRONG)
    assert main(["--config", str(path), "status"]) == 78
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5
    assert any("receive.colour: no such setting" in line for line in said)


def test_a_broker_on_another_machine_is_dialled_with_tls_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "network.toml"
    path.write_text('[network]\nbroker_host = "broker.example"\n')
    assert main(["--config", str(path), "status"]) == 78
    assert "network: a broker on another machine is dialled with TLS only: set network.broker_tls" in (
        capsys.readouterr().err
    )
    path.write_text('[network]\nbroker_host = "broker.example"\nbroker_tls = true\n')
    assert load(path).network.broker_tls
    for host in ("127.0.0.1", "::1", "localhost"):
        path.write_text(f'[network]\nbroker_host = "{host}"\n')
        assert not load(path).network.broker_tls
    for host in ("127.0.0.1.example", "localhost.", "0.0.0.0", "127.0.0.2"):
        path.write_text(f'[network]\nbroker_host = "{host}"\n')
        with pytest.raises(ConfigMistakes):
            load(path)


@pytest.mark.parametrize("text", ["not toml at all [", "\x00", 'a = "\\ud800"'])
def test_what_is_no_toml_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    assert main(["--config", str(path), "run", "triage"]) == 78


def test_a_start_that_was_refused_leaves_its_process_as_it_was(tmp_path: Path) -> None:
    path, hidden = tmp_path / "broken.toml", {name for name, module in sys.modules.items() if module is None}
    path.write_text("not toml at all [")
    assert main(["--config", str(path), "run", "deliver"]) == 78
    assert gc.isenabled()
    assert {name for name, module in sys.modules.items() if module is None} == hidden


def test_a_missing_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "none.toml"), "check"]) == 78
    assert "none.toml" in capsys.readouterr().err


def test_every_knob_has_a_sentence_and_a_unit_where_it_measures() -> None:
    rows = knobs()
    assert len(rows) > 20
    for key, kind, _, bounds, sentence in rows:
        assert sentence.endswith("."), key
        if kind in ("float", "int"):
            assert bounds, f"{key} has no bounds"
            assert key.endswith(("_s", "_bytes", "_max", "_port", "port", "_days", "_per_day", "_studies")), (
                f"{key} names no unit"
            )


def test_defaults_are_valid() -> None:
    assert Config.model_validate({}) == Config()


def test_a_credential_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "site.key"
    file.write_bytes(b"file")
    assert secret("site-key", file) == b"file"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert secret("site-key", file) == b"file"
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "site-key").write_bytes(b"credential")
    assert secret("site-key", file) == b"credential"
    assert secret("site-key", tmp_path / "none") == b"credential"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    assert secret("site-key", tmp_path / "none") is None


def test_triage_without_a_site_key_is_the_operators(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'[state]\nfolder = "{tmp_path}/state"\n[triage]\nsite_key_file = "{tmp_path}/none.key"\n')
    assert main(["--config", str(path), "run", "triage"]) == 78
    assert "deid-site-key" in capsys.readouterr().err
