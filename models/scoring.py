"""Scores films through the product's own path: prepare, bench, the gates of each exit. No labels pass through here."""

import os
import re
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from appliance.core.gates import GateReference, gate  # noqa: E402
from appliance.core.outputs import answer, kinds  # noqa: E402
from appliance.core.prepare import prepared  # noqa: E402
from appliance.world.inference import Bench  # noqa: E402
from appliance.world.models import load_package, trusted_keys  # noqa: E402

FOLDER = ROOT / "models/cxr-paediatric-pneumonia/2.0.0"


class Scored(NamedTuple):
    """One film at every exit: logits, whether all gates let it pass, codes of those that did not, measures of the last.

    kinds  what the check takes the picture for
    """

    logits: tuple[float, ...]
    passed: tuple[bool, ...]
    failed: tuple[str, ...]
    measures: dict[str, float]
    kinds: dict[str, float]


class Scorer:
    """The package on the product's bench. Every exit is run, whatever the one before it said."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.package = load_package(folder, trusted_keys(ROOT / "models/trusted")[0])
        self.bench = Bench([self.package])

    def __enter__(self) -> "Scorer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.bench.close()

    def child_bytes(self) -> int:
        """Resident memory of the bench's child processes (proc(5), Linux)."""
        own = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        told = [Path(f"/proc/{pid}/status").read_text() for pid in own]
        return sum(1024 * int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0]) for text in told)

    def scored(self, values: NDArray[np.float32], reference: GateReference, monochrome1: bool = False) -> Scored:
        """One film [row, column] as `replay` would score it, whatever its header says."""
        manifest, title = self.package.model.manifest, self.package.title
        steps = manifest.input.plain_steps
        into, checked = prepared([values], monochrome1, steps), dict[str, float]()
        if manifest.check is not None:
            resized = {"step": "resize_area", "side_px": manifest.check.side_px}
            small = prepared([values], monochrome1, [resized if s["step"] == "resize_area" else s for s in steps])
            told = kinds(manifest.check, self.bench.check(title, small))
            assert not isinstance(told, str), told
            checked = told
        tensor, logits, passed, failed = into, [], [], dict[str, None]()
        measures: dict[str, float] = {}
        for number, expected in enumerate(manifest.exits, 1):
            outputs = self.bench.run(title, number, into)
            read = answer(expected, outputs)
            assert not isinstance(read, str), read
            found, codes = gate(values, tensor, read, checked, reference)
            measures = {str(name): value for name, value in found.items()}
            logits.append(read.logit)
            passed.append(not codes)
            failed.update(dict.fromkeys(codes))
            into = outputs.get(expected.trunk or "", into)
        return Scored(tuple(logits), tuple(passed), tuple(failed), measures, checked)
