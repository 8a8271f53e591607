"""What a row says: figures with their spread, or the reason why there are none. Values only; nothing is judged here."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.table.corpus import ROOT

CHILD_S_MAX = 540


@dataclass(frozen=True, slots=True)
class How:
    """How much is measured. core: to which one-core sides are pinned; folder: scratch, on the disk that is measured."""

    quick: bool
    repeats: int
    seed: int
    folder: Path
    core: int

    def count(self, quick: int, whole: int) -> int:
        return quick if self.quick else whole


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value, its least and most of n repeats, and what stood beside it.

    key     the name under which bench/budget.toml holds a promise of it
    beside  what was compared, in words: side to value and unit
    """

    key: str
    what: str
    values: tuple[float, ...]
    unit: str = "x"
    beside: dict[str, str] = field(default_factory=dict)

    @property
    def value(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. missing: key to the reason why this machine has no figure for it."""

    name: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def side(how: How, *told: str, cores: Sequence[int] | None = None) -> dict[str, Any]:
    """One side by bench.table.sides in a process of its own, pinned; what it printed."""
    return child(how, "-m", "bench.table.sides", *told, str(how.seed), cores=cores)


def child(how: How, *told: str, cores: Sequence[int] | None = None) -> dict[str, Any]:
    pinned = ",".join(map(str, cores or (how.core,)))
    command = ["taskset", "-c", pinned, sys.executable, "-W", "ignore", *told]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=CHILD_S_MAX
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(told)} ended with {done.returncode}: {done.stderr[-1500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def environment() -> dict[str, str]:
    """One thread a library, and compiled modules kept: a start that compiles its sources measures the compiler."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {"PYTHONPYCACHEPREFIX": str(ROOT / "build" / "pycache"), **kept, **threads, "PYTHONPATH": str(ROOT)}


def ms(seconds: Iterable[float]) -> str:
    return f"{1000 * statistics.median(seconds):.3g} ms"
