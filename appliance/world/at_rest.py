"""What the kernel says of the disk under a folder: its stack of block devices, and its policy of fscrypt.

sources: Documentation/ABI/{stable/sysfs-block,testing/sysfs-block-dm} and filesystems/fscrypt.rst of Linux.
"""

import fcntl
import os
import struct
from pathlib import Path

from appliance.core.at_rest import is_encrypted

SYS, MOUNTS = Path("/sys"), Path("/proc/self/mountinfo")
FS_IOC_GET_ENCRYPTION_POLICY_EX = 0xC0096616  # _IOWR('f', 22, __u8[9])
POLICY_BYTES = 24
DEVICES_MAX = 256


def encrypted_by(folder: Path) -> str:
    """dm-crypt, fscrypt, or "" for neither, or where it cannot be told."""
    if _policy(folder):
        return "fscrypt"
    number = _device(folder)
    if number is None:
        return ""
    beneath, uuids = stack(SYS / "dev" / "block" / number)
    return "dm-crypt" if is_encrypted(number, beneath, uuids) else ""


def _policy(folder: Path) -> bool:
    """Whether fscrypt says that the folder has a policy: no policy and no fscrypt are both an error of the ioctl."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        told = bytearray(struct.pack("=Q", POLICY_BYTES) + bytes(POLICY_BYTES))
        fcntl.ioctl(descriptor, FS_IOC_GET_ENCRYPTION_POLICY_EX, told, True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _device(folder: Path) -> str | None:
    """MAJOR:MINOR of the block device; one with a number of its own (btrfs) is looked up where it is mounted."""
    number = folder.stat().st_dev
    if os.major(number):
        return f"{os.major(number)}:{os.minor(number)}"
    mine = f"{os.major(number)}:{os.minor(number)}"
    for line in MOUNTS.read_text("utf-8", "replace").splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == mine and rest.split()[1].startswith("/dev/"):
            try:
                source = Path(rest.split()[1]).stat().st_rdev
            except OSError:
                return None
            return f"{os.major(source)}:{os.minor(source)}"
    return None


def stack(block: Path) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """(what each device is made of, uuids of mappings) from one entry of /sys/dev/block downwards."""
    beneath: dict[str, tuple[str, ...]] = {}
    uuids: dict[str, str] = {}
    todo = [block]
    while todo and len(beneath) < DEVICES_MAX:
        here = todo.pop()
        name = _read(here / "dev") or block.name
        if name in beneath:
            continue
        under = sorted((here / "slaves").iterdir()) if (here / "slaves").is_dir() else []
        if not under and (here / "partition").exists():
            under = [here.resolve().parent]  # the disk of a partition
        beneath[name] = tuple(_read(each / "dev") for each in under)
        uuids[name] = _read(here / "dm" / "uuid")
        todo += under
    return beneath, uuids


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return ""
