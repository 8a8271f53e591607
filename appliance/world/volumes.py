"""Small file systems of our own in a file, loop-mounted: they can be filled to the last block and lose power (root).

A power cut is the kernel's own: FS_IOC_SHUTDOWN without flushing the log (xfs_io(8), `shutdown`). What was not synced
is gone when the file system is mounted again. An fsync that races the cut may claim success although its journal
commit died with the rest; so only what was acknowledged before the cut counts, by the clock that never jumps.
"""

import contextlib
import fcntl
import gc
import os
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal

FS_IOC_SHUTDOWN = 0x8004587D  # linux/fs.h: _IOR('X', 125, __u32)
NOLOGFLUSH = 2
MIB = 2**20
Kind = Literal["ext4", "xfs"]
MAKE: dict[Kind, tuple[str, ...]] = {"ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"), "xfs": ("mkfs.xfs", "-q", "-f")}
LEAST_BYTES: dict[Kind, int] = {"ext4": 16 * MIB, "xfs": 300 * MIB}
UNMOUNT_TRIES, UNMOUNT_WAIT_S = 100, 0.05
TOOL_TIMEOUT_S = 20.0
SBIN = "/usr/sbin:/sbin"


def tool(*command: str, said: str | None = None) -> str:
    """Runs mkfs, mount, ip and the like; what is missing or fails is an OSError that quotes it, never a skip."""
    path = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + ":" + SBIN}
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, env=path)  # noqa: S603
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


class Volume:
    """One file system under a folder, mounted while the object is entered."""

    def __init__(self, folder: Path, kind: Kind, size_bytes: int) -> None:
        assert size_bytes >= LEAST_BYTES[kind], f"{kind} is not made smaller than {LEAST_BYTES[kind]} bytes"
        folder.mkdir(parents=True, exist_ok=True)
        self.kind, self.image, self.root = kind, folder / "disk.img", folder / "disk"
        self.root.mkdir(exist_ok=True)
        with self.image.open("wb") as file:
            file.truncate(size_bytes)
        tool(*MAKE[kind], str(self.image))
        self.mounted = False

    def __enter__(self) -> "Volume":
        self.mount()
        return self

    def __exit__(self, _k: type[BaseException] | None, _f: BaseException | None, _t: TracebackType | None) -> None:
        if self.mounted:
            self.unmount()
        self.image.unlink()

    def mount(self) -> None:
        tool("mount", "-o", "loop", str(self.image), str(self.root))
        self.mounted = True

    def unmount(self) -> None:
        """Within a bound: a process on its way out, or a database nobody has collected here, may still hold a file."""
        gc.collect()
        for _ in range(UNMOUNT_TRIES):
            try:
                tool("umount", str(self.root))
            except OSError:
                time.sleep(UNMOUNT_WAIT_S)
            else:
                self.mounted = False
                return
        raise OSError(f"{self.root} is still in use: {self._users()}")

    def _users(self) -> list[str]:
        """Which processes hold a file there."""
        found = []
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with contextlib.suppress(OSError):
                if (target := str(link.readlink())).startswith(str(self.root)):
                    found.append(f"{link.parts[2]} {target}")
        return found[:10]

    def cut(self) -> float:
        """The power goes. Returns the last moment (time.monotonic) before which an acknowledgement counts."""
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            last = time.monotonic()
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(descriptor)
        return last

    def power(self) -> None:
        """The power comes back: a fresh mount, which replays the journal. Whoever used it must have ended."""
        self.unmount()
        self.mount()

    @contextmanager
    def full(self, leave_bytes: int = 0) -> Iterator[Path]:
        """Filled to the last block, or all but some, by a file that is removed at the end."""
        filler = self.root / "filler"
        with filler.open("wb") as file:
            free = os.statvfs(self.root)
            size = free.f_bavail * free.f_frsize - leave_bytes
            while size > 0:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError:
                    size //= 2
                else:
                    free = os.statvfs(self.root)
                    size = free.f_bavail * free.f_frsize - leave_bytes
        try:
            yield filler
        finally:
            filler.unlink(missing_ok=True)
            self._settle()  # else a power cut soon after brings the filler back, and the disk is full for good

    def _settle(self) -> None:
        """The folder's entries are on the disk."""
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
