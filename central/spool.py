"""Where the ciphertext of transfers lies until they are whole: one file each, written at offsets, never read as text.

`write` returns when the bytes are on the disk. A file without its row is rubbish of a crash and is swept away.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.core.transfer import span
from appliance.errors import Unavailable

READ_BYTES = 1 << 20
SUFFIX = ".part"
SWEEP_AGE_S = 86_400.0


class Spool:
    """A folder; workers on several machines need it on a file system they share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, device_id: str, transfer_id: str) -> Path:
        """Both names have been held against their patterns: neither can lead out of the folder."""
        return self.folder / device_id / f"{transfer_id}{SUFFIX}"

    def write(self, device_id: str, transfer_id: str, sealed_bytes: int, parts: Mapping[int, bytes]) -> None:
        """Writes sealed parts where they belong and syncs once. Raises Unavailable("store-away"), e.g. disk full."""
        path = self.path(device_id, transfer_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = not path.exists()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                for index, data in sorted(parts.items()):
                    _write_at(descriptor, data, span(index, sealed_bytes)[0])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                _sync_folder(path.parent)
                _sync_folder(self.folder)
        except OSError:
            raise Unavailable("store-away") from None

    def read(self, device_id: str, transfer_id: str) -> bytes:
        """All of a small transfer; nothing where the file is gone. Raises Unavailable("store-away")."""
        try:
            return self.path(device_id, transfer_id).read_bytes()
        except FileNotFoundError:
            return b""
        except OSError:
            raise Unavailable("store-away") from None

    def digest(self, device_id: str, transfer_id: str) -> str:
        """SHA-256 (hex) of the whole file; "" where it is gone. Raises Unavailable("store-away")."""
        digest = hashlib.sha256()
        try:
            with self.path(device_id, transfer_id).open("rb") as file:
                while piece := file.read(READ_BYTES):
                    digest.update(piece)
        except FileNotFoundError:
            return ""
        except OSError:
            raise Unavailable("store-away") from None
        return digest.hexdigest()

    def remove(self, device_id: str, transfer_id: str) -> None:
        """Removes what nobody needs any more; what cannot be removed now is swept away later."""
        try:
            self.path(device_id, transfer_id).unlink(missing_ok=True)
        except OSError:
            return

    def free_bytes(self) -> int:
        """How much still fits on its disk. Raises Unavailable("store-away")."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.folder).free
        except OSError:
            raise Unavailable("store-away") from None

    def sweep(self, needed: Callable[[str, list[str]], set[str]], now: float) -> int:
        """Removes files that no transfer needs and nobody touched for a day; returns how many.

        needed  of a device and transfer ids, those whose file is needed
        """
        removed = 0
        for folder in self.folder.iterdir() if self.folder.exists() else ():
            old = [path for path in folder.glob(f"*{SUFFIX}") if now - path.stat().st_mtime > SWEEP_AGE_S]
            wanted = needed(folder.name, [path.stem for path in old])
            for path in old:
                if path.stem not in wanted:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
