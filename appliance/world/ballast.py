"""A file that takes up space for the day when there is none.

On a full disk SQLite in WAL mode cannot even delete a row. Giving up the ballast makes the room in which everything
else is put in order. Its blocks are really taken (posix_fallocate(3)), not promised.
"""

import errno
import os
from pathlib import Path

NAME = "ballast"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def bytes_held(folder: Path) -> int:
    """What the ballast in a folder takes up; 0 when there is none."""
    try:
        return (folder / NAME).stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def take_on(folder: Path, size_bytes: int) -> bool:
    """Takes the space; False, and nothing taken, where the disk has not so much."""
    path = folder / NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size_bytes)
        os.fsync(descriptor)
    except OSError as error:
        path.unlink()
        if error.errno in NO_ROOM:
            return False
        raise
    finally:
        os.close(descriptor)
    return True


def give_up(folder: Path) -> int:
    """Gives the space back; returns how many bytes."""
    held = bytes_held(folder)
    (folder / NAME).unlink(missing_ok=True)
    return held
