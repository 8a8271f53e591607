"""Who is enrolled stands in files: a file put there counts at the next message, one taken away, too."""

import hashlib
from pathlib import Path

import pytest

from appliance.core.document import encode
from appliance.core.keys import DeviceKeys, PrivateKeys, key_file
from appliance.errors import Misconfigured
from central.registry import Registry


def keys(name: str) -> PrivateKeys:
    return PrivateKeys(*(hashlib.sha256(f"{name} {use}".encode()).digest() for use in ("signing", "sealing")))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "devices").mkdir()
    (tmp_path / "centre-1.key").write_bytes(key_file(keys("old")))
    (tmp_path / "centre-2.key").write_bytes(key_file(keys("new")))
    return tmp_path


def enrol(folder: Path, device_id: str, name: str = "") -> DeviceKeys:
    told = DeviceKeys(device_id=device_id, triage=keys(f"{device_id} t").public, uplink=keys(f"{device_id} u").public)
    path = folder / "devices" / f"{name or device_id}.json"
    path.with_suffix(".partial").write_bytes(encode(told))
    path.with_suffix(".partial").replace(path)
    return told


def test_the_newest_key_signs_and_all_open(folder: Path) -> None:
    assert Registry(folder).own == (keys("new"), keys("old"))


def test_without_keys_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="keys-missing"):
        Registry(tmp_path)


def test_enrolled_changed_and_revoked_while_it_runs(folder: Path) -> None:
    registry = Registry(folder)
    assert registry.device("ward-1") is None
    told = enrol(folder, "ward-1")
    assert registry.device("ward-1") == told
    other = DeviceKeys(device_id="ward-1", triage=keys("a").public, uplink=keys("b").public)
    path = folder / "devices" / "ward-1.json"
    path.with_suffix(".partial").write_bytes(encode(other))
    path.with_suffix(".partial").replace(path)
    assert registry.device("ward-1") == other
    path.unlink()
    assert registry.device("ward-1") is None


@pytest.mark.parametrize("name", ["../devices/ward-1", "", "WARD", "a" * 41, "ward-1/../ward-1"])
def test_a_name_that_is_none_is_nobody(folder: Path, name: str) -> None:
    enrol(folder, "ward-1")
    assert Registry(folder).device(name) is None


def test_a_damaged_file_and_one_under_another_name_are_nobody(folder: Path) -> None:
    enrol(folder, "ward-1", name="ward-2")
    (folder / "devices" / "ward-3.json").write_bytes(b"{}")
    registry = Registry(folder)
    assert registry.device("ward-2") is None
    assert registry.device("ward-3") is None
