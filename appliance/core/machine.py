"""What a machine says of itself, and whether its disk keeps what it has acknowledged when the power goes.

Pure: `world.machine` reads it. No serial number is read: it would name one buyer's box.
"""

from dataclasses import dataclass

from appliance.core.selftest import Line

JOURNALLED = ("ext4", "xfs", "btrfs", "zfs")
LYING_OPTIONS = ("nobarrier", "barrier=0", "data=writeback", "async_commit")  # acknowledged before it is safe
SYNC_LEAST_S = 50e-6  # no flash writes and flushes 4 KiB faster without a cache that survives power loss


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk under a folder, as the kernel tells it.

    filesystem   of /proc/self/mountinfo: ext4, xfs, overlay, tmpfs, ...
    options      of the mount and of the file system
    device       name under /sys/block, "" where there is none (network, memory)
    write_cache  "write back": volatile, flushed on demand; "write through": none, or one that survives; "": unknown
    """

    filesystem: str
    options: tuple[str, ...]
    device: str
    model: str
    write_cache: str
    rotational: bool | None


@dataclass(frozen=True, slots=True)
class Machine:
    """The box: memory_bytes as the kernel has it; virtual: "" on bare metal, else whose machine it says it is."""

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    system: str
    product: str
    virtual: bool


def disk_line(disk: Disk, sync_s: float | None = None) -> Line:
    """Whether what is fsynced on this disk may be believed after a power cut. sync_s: what a durable write took."""
    name = "disk: power loss"
    told = f"{disk.filesystem} on {disk.model or disk.device or 'no block device'}"
    lying = [option for option in disk.options if option in LYING_OPTIONS]
    if lying:
        return Line(name, False, f"{told}, mounted with {', '.join(lying)}", f"Mount it without {', '.join(lying)}.")
    if disk.filesystem not in JOURNALLED:
        todo = f"Put the state folder on a local disk with {', '.join(JOURNALLED[:2])}."
        return Line(name, False, f"{told}: not one that is known to keep what was acknowledged", todo)
    if sync_s is not None and sync_s < SYNC_LEAST_S and disk.write_cache != "write through":
        todo = "Find out who says *written* too early: a controller, a hypervisor, or the disk."
        return Line(name, False, f"{told}; a durable write in {sync_s * 1e6:.0f} microseconds is not believable", todo)
    if not disk.write_cache:
        todo = "Ask the maker whether its cache survives power loss; behind a RAID controller look at the battery."
        return Line(name, True, f"{told}; whether it has a volatile cache cannot be seen. {todo}", "")
    cached = "its volatile cache is flushed with each acknowledgement"
    if disk.write_cache == "write through":
        cached = "no volatile write cache"
    return Line(name, True, f"{told}; {cached}", "")
