"""Hints that something changed under a folder, by inotify(7); a thread that sleeps in the kernel until then.

It promises nothing: a queue overflows, a network file system says nothing, a folder is deeper than the limit. Whoever
is hinted looks for himself, and looks by the clock too. Links are never followed, hidden folders never entered.
"""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x8, 0x80, 0x100  # sys/inotify.h
IN_ONLYDIR, IN_DONT_FOLLOW, IN_IGNORED, IN_ISDIR = 0x01000000, 0x02000000, 0x8000, 0x40000000
MASK = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR | IN_DONT_FOLLOW
HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name behind it
READ_BYTES, READS_MAX = 64 * 1024, 64
FOLDERS_MAX = 4096  # what lies in more of them is found by the clock
GATHER_S = 0.05  # what comes within is one hint: a look goes through the whole folder
STOP_LOOK_MS = 30_000
_LIBC = ctypes.CDLL(None, use_errno=True)


def hint(
    folder: Path, *, stop: threading.Event, wake: Callable[[], None], leave_out: frozenset[str] = frozenset()
) -> threading.Thread:
    """Starts the thread; it ends by itself when stop is set, or where the kernel has no inotify for us.

    wake       called after something changed
    leave_out  names at the folder's top that are not watched
    """
    thread = threading.Thread(
        target=_listen, args=(folder, stop, wake, leave_out), name=f"hint {folder.name}", daemon=True
    )
    thread.start()
    return thread


def _listen(folder: Path, stop: threading.Event, wake: Callable[[], None], leave_out: frozenset[str]) -> None:
    descriptor = _LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    if descriptor < 0:
        return
    watched: dict[int, Path] = {}
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        _watch(descriptor, folder, watched, leave_out)
        while watched and not stop.is_set():
            if not poll.poll(STOP_LOOK_MS):
                continue
            stop.wait(GATHER_S)
            _take(descriptor, watched)
            wake()
    finally:
        os.close(descriptor)


def _watch(descriptor: int, folder: Path, watched: dict[int, Path], leave_out: frozenset[str]) -> None:
    """The folder and all below it, as far as the limit and the kernel allow."""
    stack = [(folder, leave_out)]
    while stack and len(watched) < FOLDERS_MAX:
        inside, without = stack.pop()
        watch = _LIBC.inotify_add_watch(descriptor, os.fsencode(inside), MASK)
        if watch < 0:
            continue
        watched[watch] = inside
        with suppress(OSError), os.scandir(inside) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.name not in without and entry.is_dir(follow_symlinks=False):
                    stack.append((Path(entry.path), frozenset()))


def _take(descriptor: int, watched: dict[int, Path]) -> None:
    """Reads all that waits; a folder that is new is watched, one that is gone is forgotten."""
    with suppress(BlockingIOError):
        for _ in range(READS_MAX):
            _told(descriptor, os.read(descriptor, READ_BYTES), watched)


def _told(descriptor: int, data: bytes, watched: dict[int, Path]) -> None:
    at = 0
    while at < len(data):
        watch, mask, _, length = HEAD.unpack_from(data, at)
        name = data[at + HEAD.size : at + HEAD.size + length].rstrip(b"\0")
        at += HEAD.size + length
        if mask & IN_IGNORED:
            watched.pop(watch, None)
        elif mask & IN_ISDIR and watch in watched and not name.startswith(b"."):
            _watch(descriptor, watched[watch] / os.fsdecode(name), watched, frozenset())
