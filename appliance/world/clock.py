"""Whether this machine's clock is held to another one, as the kernel tells it. Sets nothing."""

import ctypes
import struct
from pathlib import Path

TIMEX_BYTES = 208  # struct timex of adjtimex(2) on 64 bits, with its reserve
STATUS_OFFSET, STA_UNSYNC = 40, 0x0040
TIME_ERROR = 5
TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # touched by systemd-timesyncd, systemd-time-wait-sync(8)
LIBC = ctypes.CDLL(None, use_errno=True)


def synchronised() -> bool | None:
    """By adjtimex(2), which ntpd, chrony and timesyncd all tell; None where it may not be asked."""
    timex = ctypes.create_string_buffer(TIMEX_BYTES)  # modes 0: only asks
    state = LIBC.adjtimex(timex)
    if state < 0:
        return True if TIMESYNCD.exists() else None
    (status,) = struct.unpack_from("i", timex, STATUS_OFFSET)
    return state != TIME_ERROR and not status & STA_UNSYNC
