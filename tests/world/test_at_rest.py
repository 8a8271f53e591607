"""Is the disk under the state folder encrypted: over stacks as /sys draws them, and on this very machine."""

import fcntl
import os
import struct
from pathlib import Path

import pytest

from appliance.config import Config, Places
from appliance.core.at_rest import is_encrypted
from appliance.world import at_rest
from appliance.world.volumes import LEAST_BYTES, Volume, tool
from tests.faults.network import told_to_skip

FS_IOC_SET_ENCRYPTION_POLICY = 0x800C6613  # linux/fscrypt.h: _IOR('f', 19, struct fscrypt_policy_v1)
AES_256_XTS, AES_256_CTS = 1, 4
CRYPT = "CRYPT-LUKS2-0123456789abcdef-luks"


class Sys:
    """Block devices as the kernel draws them under /sys."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, number: str, *, on: tuple[str, ...] = (), uuid: str = "", partition_of: str = "") -> Path:
        made = self.root / "block" / (f"{partition_of}/{name}" if partition_of else name)
        (made / "slaves").mkdir(parents=True)
        (made / "dev").write_text(f"{number}\n")
        if uuid:
            (made / "dm").mkdir()
            (made / "dm" / "uuid").write_text(f"{uuid}\n")
        if partition_of:
            (made / "partition").write_text("1\n")
        for each in on:
            (made / "slaves" / Path(each).name).symlink_to(self.root / "block" / each)
        entry = self.root / "dev" / "block" / number
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.symlink_to(made)
        return entry

    def encrypted(self, number: str) -> bool:
        return is_encrypted(number, *at_rest.stack(self.root / "dev" / "block" / number))


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    """A disk with two partitions, one of them under LUKS, LVM on top; and a second, plain disk."""
    made = Sys(tmp_path)
    made.add("sda", "8:0")
    made.add("sda1", "8:1", partition_of="sda")
    made.add("sda2", "8:2", partition_of="sda")
    made.add("sdb", "8:16")
    made.add("dm-0", "253:0", on=("sda/sda2",), uuid=CRYPT)
    made.add("dm-1", "253:1", on=("dm-0",), uuid="LVM-abc")
    made.add("dm-2", "253:2", on=("sdb",), uuid="LVM-def")
    made.add("dm-3", "253:3", on=("dm-0", "sdb"), uuid="LVM-over-both")
    made.add("md0", "9:0", on=("dm-0", "dm-1"))
    return made


@pytest.mark.parametrize(
    ("number", "well"),
    [
        ("8:1", False), ("8:2", False), ("8:16", False), ("253:0", True), ("253:1", True), ("253:2", False),
        ("253:3", False), ("9:0", True), ("7:7", False),
    ],
)  # fmt: skip
def test_every_way_down_goes_through_dm_crypt_or_it_is_not_encrypted(sys: Sys, number: str, well: bool) -> None:
    assert sys.encrypted(number) == well


def test_a_stack_without_an_end_is_not_encrypted() -> None:
    assert not is_encrypted("1:1", {"1:1": ("1:2",), "1:2": ("1:1",)}, {})


def test_this_very_machine_can_be_asked(tmp_path: Path) -> None:
    """Memory and overlays lie on no device of their own: what cannot be told is not called encrypted."""
    assert at_rest.encrypted_by(tmp_path) in ("", "dm-crypt", "fscrypt")
    if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.R_OK):
        assert at_rest.encrypted_by(Path("/dev/shm")) == ""


@pytest.mark.skipif(told_to_skip(), reason="loop mounts need root")
@pytest.mark.skipif(not Path("/sys/fs/ext4/features/encryption").exists(), reason="this kernel has no fscrypt")
def test_a_folder_under_fscrypt_is_known_and_the_one_above_it_is_not(tmp_path: Path) -> None:
    volume = Volume(tmp_path, "ext4", LEAST_BYTES["ext4"])
    tool("tune2fs", "-O", "encrypt", str(volume.image))
    with volume:
        state = volume.root / "state"
        state.mkdir()
        assert at_rest.encrypted_by(state) == ""
        descriptor = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
        policy = struct.pack("=BBBB8s", 0, AES_256_XTS, AES_256_CTS, 0, b"no key...")
        fcntl.ioctl(descriptor, FS_IOC_SET_ENCRYPTION_POLICY, policy)
        os.close(descriptor)
        assert at_rest.encrypted_by(state) == "fscrypt"
        assert at_rest.encrypted_by(volume.root) == ""


def test_the_row_is_red_until_the_operator_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from appliance.cli.look import at_rest_line

    places = Places(tmp_path)
    monkeypatch.setattr(at_rest, "encrypted_by", lambda _: "")
    assert not at_rest_line(Config(), places).ok
    said = Config.model_validate({"state": {"unencrypted_because": "the disks encrypt themselves"}})
    line = at_rest_line(said, places)
    assert line.ok
    assert "the disks encrypt themselves" in line.found
    monkeypatch.setattr(at_rest, "encrypted_by", lambda _: "dm-crypt")
    assert at_rest_line(Config(), places).found == "dm-crypt"
