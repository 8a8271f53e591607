"""Where a service's words go: into systemd's journal with fields where it listens, else to standard error.

The native protocol is spoken by libsystemd, which every machine with a journal has; nothing of it is written here.
"""

import ctypes
import logging
import os
import sys
from typing import Any

from appliance.core.journal import code_of, fields

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
LIBRARY = "libsystemd.so.0"


class Piece(ctypes.Structure):
    """One field, as struct iovec (readv(2))."""

    _fields_ = (("base", ctypes.c_char_p), ("length", ctypes.c_size_t))


class Journal(logging.Handler):
    """Sends each record by sd_journal_sendv(3); a journal that does not take one loses it, and nobody waits."""

    def __init__(self, service: str, library: Any) -> None:
        super().__init__()
        self.service, self._send = service, library.sd_journal_sendv
        self._send.argtypes, self._send.restype = (ctypes.POINTER(Piece), ctypes.c_int), ctypes.c_int

    def emit(self, record: logging.LogRecord) -> None:
        told = [f"{name}={value}".encode() for name, value in of(self.service, record).items()]
        pieces = (Piece * len(told))(*(Piece(each, len(each)) for each in told))
        self._send(pieces, len(told))


class Prefixed(logging.Formatter):
    """A line with its priority, as the journal reads standard error (sd-daemon(3)): "<4>triage: ..."."""

    def format(self, record: logging.LogRecord) -> str:
        return f"<{PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


def handler(service: str) -> logging.Handler:
    """The journal's where our standard error is the journal and libsystemd is there; else standard error's."""
    stream = logging.StreamHandler()
    plain = f"{service}: %(message)s"
    if not _is_journal():
        stream.setFormatter(logging.Formatter(plain))
        return stream
    try:
        return Journal(service, ctypes.CDLL(LIBRARY))
    except OSError:
        stream.setFormatter(Prefixed(plain))
        return stream


def of(service: str, record: logging.LogRecord) -> dict[str, str]:
    """The fields of a record."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    code = code_of(str(record.msg), arguments)
    return fields(service, code, PRIORITIES.get(record.levelno, 6), record.getMessage())


def _is_journal() -> bool:
    """Whether standard error leads into the journal: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        here = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(here.st_dev), str(here.st_ino))
