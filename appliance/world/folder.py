"""The scanner's folder: what stands in it, read without trusting it.

Looking through the whole folder is the truth; hints (world.inotify) only say when. Links are never followed: files are
opened with O_NOFOLLOW and checked on the descriptor.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import Refused, Unavailable

CHUNK_BYTES = 2**20
Magic = dict[int, tuple[bytes, ...]]  # offset -> what may stand there
DICOM: Magic = {128: (b"DICM",)}  # PS3.10 7.1
HL7: Magic = {0: (b"MSH|", b"\x0bMSH|")}  # as a file has it, or with the frame of MLLP


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one name: what must hold still before a file counts as whole."""

    path: Path
    regular: bool
    size: int
    mtime_ns: int
    inode: int


def look_through(folder: Path, leave_out: frozenset[str]) -> Iterator[Look]:
    """Every file under the folder, deepest last; hidden names are not ours, nor are those in leave_out at its top.

    A name that vanishes while we look is no fault. A link to a folder is reported as what it is, never entered.
    raises  Unavailable("folder-away") when all else was looked at: one closed folder hides no other
    """
    stack, closed = [folder], False
    while stack:
        inside = stack.pop()
        try:
            with os.scandir(inside) as entries:  # names only: a backlog of 200 000 entries would fill the memory
                names = sorted(entry.name for entry in entries)
        except (FileNotFoundError, NotADirectoryError):
            closed |= inside == folder  # the watched folder itself is gone: not mounted, and somebody must hear of it
            continue
        except OSError:
            closed = True
            continue
        for name in names:
            if name.startswith(".") or (inside == folder and name in leave_out):
                continue
            path = inside / name
            try:
                about = path.lstat()
            except FileNotFoundError:
                continue
            except OSError:
                closed = True
                continue
            if stat.S_ISDIR(about.st_mode):
                stack.append(path)
            else:
                yield _look(path, about)
    if closed:
        raise Unavailable("folder-away")


def look_at(path: Path) -> Look | None:
    """One look at one name, None when it is gone. Raises Unavailable("folder-away")."""
    try:
        return _look(path, path.lstat())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        raise Unavailable("folder-away") from None


def _look(path: Path, about: os.stat_result) -> Look:
    return Look(path, stat.S_ISREG(about.st_mode), about.st_size, about.st_mtime_ns, about.st_ino)


def written_since_move(path: Path, settle_s: float) -> bool:
    """Whether a moved file was written to afterwards.

    A move changes only the inode's own time and comes at least settle_s after the last write; a write sets both.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        return False
    return about.st_ctime_ns - about.st_mtime_ns < settle_s * 0.5e9


def bears_magic(path: Path, magic: Magic = DICOM) -> bool:
    """Whether a file begins as its kind does."""
    descriptor = _open(path)
    try:
        return any(os.pread(descriptor, len(each), offset) == each for offset, known in magic.items() for each in known)
    finally:
        os.close(descriptor)


def read_whole(look: Look) -> Iterator[bytes]:
    """The bytes of a file that has not changed since the look, in chunks; Unavailable if it changes under our hands."""
    descriptor = _open(look.path)
    try:
        _same(look, os.fstat(descriptor))
        left = look.size
        while chunk := os.read(descriptor, min(CHUNK_BYTES, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise Unavailable("file-changing")
            yield chunk
        _same(look, os.fstat(descriptor))
        if left:
            raise Unavailable("file-changing")
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        # Non-blocking, so that a pipe put in place of a file cannot stop the service.
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Unavailable("file-vanished") from None
    except PermissionError:
        raise Unavailable("file-unreadable") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Refused("file-link") from None
        raise Unavailable("file-unreadable") from None


def _same(look: Look, about: os.stat_result) -> None:
    if not stat.S_ISREG(about.st_mode):
        raise Refused("file-link")
    if (about.st_size, about.st_mtime_ns, about.st_ino) != (look.size, look.mtime_ns, look.inode):
        raise Unavailable("file-changing")
