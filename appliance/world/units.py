"""What systemd says of our units: how often each was started again, and how it ended last. Changes nothing."""

import shutil
import subprocess
from dataclasses import dataclass

TIMEOUT_S = 10.0
PROPERTIES = ("Id", "LoadState", "ActiveState", "Result", "NRestarts")


@dataclass(frozen=True, slots=True)
class Unit:
    """result: of systemd.service(5): success, watchdog, exit-code, oom-kill, ...; restarts since it was loaded."""

    service: str
    active: str
    result: str
    restarts: int


def units(services: tuple[str, ...]) -> list[Unit]:
    """Those that are installed; none where systemd is not there or does not answer."""
    program = shutil.which("systemctl")
    if program is None:
        return []
    names = [f"appliance-{service}.service" for service in services]
    command = [program, "show", f"--property={','.join(PROPERTIES)}", *names]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parsed(done.stdout)


def parsed(text: str) -> list[Unit]:
    """systemctl show prints `name=value` lines, a blank line between units."""
    found = []
    for block in text.strip().split("\n\n"):
        told = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if told.get("LoadState") == "loaded":
            service = told.get("Id", "").removeprefix("appliance-").removesuffix(".service")
            restarts = told.get("NRestarts", "0")
            found.append(Unit(service, told["ActiveState"], told["Result"], int(restarts) if restarts.isdigit() else 0))
    return found
