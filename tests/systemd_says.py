"""systemd's own opinion of the units, asked of a folder that looks like a machine's root; nothing is started."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

UNITS = Path(__file__).parents[1] / "systemd"
SERVICES = ("receive", "triage", "uplink", "review", "deliver")
EXPOSURE_MAX = {"receive": 1.5, "triage": 1.0, "uplink": 1.5, "review": 1.0, "deliver": 1.5}
PLACE = Path("etc/systemd/system")
ENVIRONMENT = {"LANG": "C.UTF-8", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def a_root(folder: Path) -> Path:
    """A root with our units, Debian's, and a program that they may call."""
    shutil.copytree(UNITS, folder / "root" / PLACE)
    shutil.copytree("/lib/systemd/system", folder / "root/usr/lib/systemd/system", symlinks=True)
    program = folder / "root/usr/bin/appliance"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return folder / "root"


def exposure(root: Path, name: str) -> float:
    """How exposed a service is, from 0 to 10, as `systemd-analyze security` counts."""
    command = ["systemd-analyze", "security", "--offline=true", f"--root={root}", f"appliance-{name}.service"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    match = re.search(r"exposure level for \S+: ([0-9.]+)", said.stdout)
    assert match, said.stderr
    return float(match[1])


def complaints(root: Path, units: Iterable[str]) -> list[str]:
    """Lines about units of ours that `systemd-analyze verify` prints."""
    command = ["systemd-analyze", "verify", "--man=no", f"--root={root}", *units]
    said = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    return [line for line in (said.stdout + said.stderr).splitlines() if "appliance" in line]
