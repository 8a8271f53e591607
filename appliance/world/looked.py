"""When the ledgers were last read whole, and which of them are not as they should be: one small file beside them.

Triage writes it, because it alone may look everywhere; the page reads it, and `appliance salvage` removes it. What is
not understood is as if it were not there: then everything is read again.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE_BYTES_MAX = 4_096
NAMES = frozenset({"studies.db", "cases.db", "link.db", "review.db"})


@dataclass(frozen=True, slots=True)
class Looked:
    """whole_at: wall seconds of the end of the last whole reading, None: never; damaged: names of NAMES."""

    whole_at: float | None = None
    damaged: tuple[str, ...] = ()


def said(whole_at: float | None, damaged: Sequence[str]) -> bytes:
    """What the file says."""
    told = {"schema": "looked/1", "whole_at": whole_at, "damaged": sorted(set(damaged))}
    return json.dumps(told, sort_keys=True).encode()


def read(path: Path) -> Looked:
    """The last look, as far as it can be read and understood."""
    try:
        with path.open("rb") as file:
            told = json.loads(file.read(FILE_BYTES_MAX))
        at = None if told["whole_at"] is None else float(told["whole_at"])
        damaged = tuple(name for name in told["damaged"] if name in NAMES)
    except (OSError, ValueError, KeyError, TypeError):
        return Looked()
    return Looked(at if at is None or math.isfinite(at) else None, damaged)
