"""Files that must not be lost: written, fsynced, renamed, and the folder fsynced, in that order.

A reader sees the whole file or none. Names are digests or numbers, never anything out of a data set.
"""

import errno
import hashlib
import mmap
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import Quarantined, Unavailable

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PARTIAL = ".partial"  # what a crash leaves; swept at start


@contextmanager
def _room() -> Iterator[None]:
    """A disk, quota or limit that is full is a matter of time: Unavailable("disk-low"), and nothing is judged by it."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise Unavailable("disk-low") from None
        raise


def put(path: Path, data: bytes) -> None:
    """Writes a file durably; when this returns it survives a power cut. The same content again is no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{PARTIAL}")
    with _room(), partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    rename(partial, path)


def rename(source: Path, target: Path) -> None:
    """Moves a file within one file system, durably on both sides."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def remove(path: Path) -> None:
    """Removes a file; one that is already gone is no fault."""
    path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable (fsync on the directory, open(2))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def instance_path(root: Path, sha256: str) -> Path:
    """Where the bytes with this digest lie under phi/instances."""
    return root / sha256[:2] / f"{sha256}.dcm"


def read_instance(root: Path, sha256: str, bytes_max: int | None = None) -> bytes:
    """An archived file, compared with its name: a disk that changed a film must not change what is decided on it.

    bytes_max  a larger one is not read: whoever reads holds it whole in memory
    raises  Quarantined("instance-damaged"): it is gone, cannot be read, or holds other bytes than came;
            ("pixel-too-large")
    """
    path = instance_path(root, sha256)
    try:
        if bytes_max is not None and path.stat().st_size > bytes_max:
            raise Quarantined("pixel-too-large")
        data = path.read_bytes()
    except OSError:
        raise Quarantined("instance-damaged") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Quarantined("instance-damaged")
    return data


def is_whole(root: Path, sha256: str) -> bool:
    """Whether an archived file still holds the bytes that came; a file of any size, in pieces."""
    try:
        return digest_of(instance_path(root, sha256)) == sha256
    except OSError:
        return False


def digest_of(path: Path) -> str:
    """SHA-256 of a file in hex, read in pieces. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def mapped(path: Path) -> Iterator[bytes | mmap.mmap]:
    """A file that nobody writes to any more, as bytes that are read where they are asked for. Raises OSError."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:  # nothing to map
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def sweep(folder: Path) -> int:
    """Removes what a crash left half-written; returns how many."""
    left = list(folder.rglob(f"*{PARTIAL}"))
    for path in left:
        remove(path)
    return len(left)


def put_stream(folder: Path, chunks: Iterable[bytes], partial_name: str, suffix: str) -> tuple[str, int]:
    """Writes a stream durably under the name of its SHA-256; returns (digest in hex, bytes).

    partial_name  what it is called until it is whole; a second writer of the same name would be our mistake
    """
    digest, size = hashlib.sha256(), 0
    partial = folder / f"{partial_name}{PARTIAL}"
    try:
        with _room(), partial.open("wb") as file:
            for chunk in chunks:
                digest.update(chunk)
                size += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        rename(partial, folder / f"{digest.hexdigest()}{suffix}")
    except BaseException:
        remove(partial)
        raise
    return digest.hexdigest(), size


def adopt(path: Path, folder: Path, name: Callable[[], str]) -> None:
    """Takes a whole file of the same file system over into a folder.

    name  asked for when the bytes are on the disk, so that a digest can be made in the time that takes

    The bytes are there before the name is: whoever finds the name finds all of them. That the old name is gone is not
    waited for: it lies where everything is removed at the next start.
    """
    with _room(), path.open("rb+") as file:
        os.fsync(file.fileno())
    path.replace(folder / name())
    sync_folder(folder)


def free_bytes(folder: Path) -> int:
    """What is free for this process on the folder's file system."""
    return shutil.disk_usage(folder).free


def cache(path: Path, data: bytes) -> None:
    """Writes a file that can be made again: whole or not at all, but not fsynced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}{PARTIAL}")
    with _room():
        partial.write_bytes(data)
    partial.replace(path)


def trim(folder: Path, bytes_max: int) -> int:
    """Removes the oldest subfolders of a cache until it fits; returns how many."""
    kept: list[tuple[float, int, Path]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            size = sum(file.stat().st_size for file in entry.iterdir())
            kept.append((entry.stat().st_mtime, size, entry))
    total, removed = sum(size for _, size, _ in kept), 0
    for _, size, entry in sorted(kept):
        if total <= bytes_max:
            break
        shutil.rmtree(entry)
        total, removed = total - size, removed + 1
    return removed
