"""A clock that can be turned by hours in either direction under running processes: libfaketime on the wall clock.

The clock that never jumps (CLOCK_MONOTONIC) is left alone, as it is when an operator or NTP sets a real machine.
"""

from pathlib import Path

CACHE_S = 1
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1",)


def library() -> Path:
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    assert found, "libfaketime is missing; tests/system_packages.sh names the package"
    return found[0]


class Clock:
    """How far the wall clock of some processes is from the true one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.turn(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_CACHE_DURATION": str(CACHE_S),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def turn(self, offset_s: int) -> None:
        """From now on (within a second) the wall clock says true time plus so many seconds."""
        partial = self.path.with_suffix(".partial")
        partial.write_text(f"{offset_s:+d}\n")
        partial.replace(self.path)
