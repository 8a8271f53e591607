"""Scores films through the product's own path: prepare, the runtime, the gates. No labels pass through here."""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from appliance.core.gates import gate  # noqa: E402
from appliance.core.prepare import prepared  # noqa: E402
from appliance.world.inference import Bench  # noqa: E402
from appliance.world.models import Package, load_package, trusted_keys  # noqa: E402

FOLDER = ROOT / "models/cxr-paediatric-pneumonia/1.0.0"


class Scored(NamedTuple):
    """One film: the logit, its distance from the training films, the codes of the gates it failed."""

    logit: float
    distance: float
    failed: tuple[str, ...]


def opened() -> tuple[Package, Bench]:
    package = load_package(FOLDER, trusted_keys(ROOT / "models/trusted")[0])
    return package, Bench([package])


def scored(package: Package, bench: Bench, values: NDArray[np.float32], monochrome1: bool = False) -> Scored:
    """One film [row, column] as `replay` would score it, whatever its header says."""
    manifest = package.model.manifest
    tensor = prepared([values], monochrome1, manifest.input.plain_steps)
    outputs, last = bench.run(package.title, 1, tensor), manifest.exits[0]
    features = outputs[last.features][0].astype(np.float64)
    measured, failed = gate(values, tensor, features, package.model.references["default"])
    return Scored(float(outputs[last.logit][0]), measured["distance"], failed)
