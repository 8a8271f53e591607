"""The one place that calls the product: its command line, as a user has it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SITE_KEY = hashlib.sha512(b"a site key of the benchmark").digest()
TIMEOUT_S = 7200
HOUSE = Path(__file__).parents[2]
OPTIONS = (
    *("clean-recognizable-visual-features", "clean-graphics", "clean-structured-content", "clean-descriptors"),
    *("retain-longitudinal-full-dates", "retain-longitudinal-modified-dates", "retain-patient-characteristics"),
    *("retain-device-identity", "retain-institution-identity", "retain-uids", "retain-safe-private"),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile and options on top; `options` is what is then in force."""

    name: str
    profile: str = "basic"
    added: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def options(self) -> Collection[str]:
        of_profile = {
            "basic": {"clean-pixel-data"},
            "centre": {
                "clean-pixel-data",
                "retain-patient-characteristics",
                "retain-longitudinal-modified-dates",
            },
        }
        return (of_profile[self.profile] | set(self.added)) - set(self.without)


@dataclass(frozen=True, slots=True)
class Told:
    """What the product said of one file; an empty code says that it was delivered."""

    file: str
    code: str
    place: str


def _house() -> Path:
    """DEID_HOUSE names another checkout to measure."""
    return Path(os.environ.get("DEID_HOUSE", HOUSE))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_house())}


def deidentified(
    inputs: Path, output: Path, choice: Choice, site_key: bytes = SITE_KEY, jobs: int = 0
) -> dict[str, Told]:
    """Cleans a folder with so many processes, 0 as the product likes; what was said of each file, by its path."""
    key = output.with_name(output.name + ".key")
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_bytes(site_key)
    command = [sys.executable, "-m", "appliance", "deidentify", str(inputs), "-o", str(output), "--site-key", str(key)]
    command += ["--profile", choice.profile]
    for option in choice.added:
        command += ["--option", option]
    for option in choice.without:
        command += ["--without", option]
    command += ["--jobs", str(jobs)] if jobs else []
    command += ["--report", "json"]
    done = subprocess.run(
        command, cwd=_house(), capture_output=True, text=True, check=False, env=_environment(), timeout=TIMEOUT_S
    )
    told: dict[str, Told] = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            name = str(Path(row["file"]).resolve().relative_to(inputs.resolve()))
            told[name] = Told(name, row["code"], row["place"])
    if done.returncode not in (0, 1) or not told:
        raise RuntimeError(f"deidentify ended with {done.returncode}: {done.stderr[-2000:]}")
    return told
