"""How results stand on their way out, as files say it: what waits in phi/outbox/, and which target is not reached.

Deliver keeps one small file beside its receipts; the page, `status` and the metrics read it. It is a hint and no truth:
what is not understood is as if it were not there.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import CATALOGUE

FILE = "targets.standing"
FILE_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Away:
    """A target that is not reached, or not known. code: of the catalogue; since: wall seconds, None: never known."""

    name: str
    code: str
    since: float | None


def said(away: Mapping[str, tuple[str, float | None]]) -> bytes:
    """What the file says: code and since by the names of the targets that are away."""
    told = {name: {"code": code, "since": since} for name, (code, since) in away.items()}
    return json.dumps({"schema": "standing/1", "targets": told}, sort_keys=True).encode()


def away(receipts: Path) -> list[Away]:
    """Targets that are not reached, by name."""
    try:
        with (receipts / FILE).open("rb") as file:
            told = json.loads(file.read(FILE_BYTES_MAX))["targets"]
        found = [
            Away(str(name), str(each["code"]), None if each["since"] is None else float(each["since"]))
            for name, each in told.items()
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return sorted((each for each in found if each.code in CATALOGUE), key=lambda each: each.name)


def waiting(outbox: Path) -> tuple[int, float | None]:
    """How many orders wait, and since when the oldest (wall seconds, None: none waits)."""
    times = []
    try:
        with os.scandir(outbox) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    times.append(entry.stat().st_mtime)
    except OSError:  # not there yet, or one went in the midst of it: looked at again
        return len(times), min(times, default=None)
    return len(times), min(times, default=None)
