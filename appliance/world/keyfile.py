"""Writes a file of an enrolment: durably, whole or not at all, and a key so that nobody else can ever read it."""

import contextlib
import os
from pathlib import Path

PARTIAL = ".partial"


def put(path: Path, data: bytes, *, private: bool = False) -> None:
    """When this returns the file survives a power cut.

    private  mode 0600 from the moment it exists, in a folder that this makes with mode 0700
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o755)
    partial = path.with_name(f"{path.name}{PARTIAL}")
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()  # of a process that was ended; whoever may write here could as well have written the file
    opened = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if private else 0o644)
    with os.fdopen(opened, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Removes a file durably; one that is not there is no fault."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
