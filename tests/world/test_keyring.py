"""Keys come from the folder of the configuration or from a systemd credential, and are never guessed."""

from pathlib import Path

import pytest

from appliance.config import Keys
from appliance.errors import Misconfigured
from appliance.world import keyring
from sample_dicom.enrolment import enrol_locally


def test_an_appliance_that_never_enrolled_says_so(tmp_path: Path) -> None:
    settings = Keys(folder=tmp_path)
    for look in (lambda: keyring.own(settings, "triage"), lambda: keyring.centre(settings)):
        with pytest.raises(Misconfigured, match="not-enrolled"):
            look()


def test_damaged_files_are_named_and_their_content_is_not(tmp_path: Path) -> None:
    (tmp_path / "uplink.key").write_bytes(b"signing secret\n")
    (tmp_path / "centre.json").write_bytes(b"{}")
    settings = Keys(folder=tmp_path)
    for look in (lambda: keyring.own(settings, "uplink"), lambda: keyring.centre(settings)):
        with pytest.raises(Misconfigured, match="keys-invalid") as raised:
            look()
        assert "secret" not in str(raised.value)


def test_a_credential_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enrol_locally(tmp_path / "keys", tmp_path / "far", "appliance-1")
    enrol_locally(tmp_path / "other", tmp_path / "far", "appliance-2")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "triage-key").write_bytes((tmp_path / "other" / "triage.key").read_bytes())
    settings, other = Keys(folder=tmp_path / "keys"), Keys(folder=tmp_path / "other")
    assert keyring.own(settings, "uplink") != keyring.own(other, "uplink")
    assert keyring.own(settings, "triage") == keyring.own(other, "triage")
