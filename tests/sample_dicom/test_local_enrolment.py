"""Both sides of a local enrolment know each other, and doing it again changes no key."""

from pathlib import Path

from appliance.config import Keys
from appliance.world import keyring
from central.registry import Registry
from sample_dicom.enrolment import enrol_locally


def test_both_sides_know_each_other_and_again_changes_nothing(tmp_path: Path) -> None:
    here, there = tmp_path / "keys", tmp_path / "central-keys"
    enrol_locally(here, there, "appliance-1")
    enrol_locally(tmp_path / "second", there, "appliance-2")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    enrol_locally(here, there, "appliance-1")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    registry, settings = Registry(there), Keys(folder=here)
    assert keyring.centre(settings).keys == (registry.own[0].public,)
    device = registry.device("appliance-1")
    assert device is not None
    assert (device.triage, device.uplink) == tuple(keyring.own(settings, who).public for who in ("triage", "uplink"))
    other = registry.device("appliance-2")
    assert other is not None
    assert other.triage != device.triage
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*.key")} == {0o600}
