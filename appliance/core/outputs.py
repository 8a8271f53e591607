"""What a package's graphs gave for one study, held to be what its manifest says: names, shapes, numbers in range.

A graph that gives something else has not answered; nothing is mended, guessed or taken from where it does not belong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.core.manifest import Check, Exit, Manifest
from appliance.core.overlay import LEVEL_MAX, HeatMap

Outputs = Mapping[str, NDArray[np.float32]]
SHARE_SLACK = 1e-3  # of the sum of probabilities, and of their ends

OUTPUT_REASONS: dict[str, str] = {
    "model-output-missing": "The model gave no answer.",
    "model-output-odd": "The model's answer has an unexpected form or size.",
    "score-not-finite": "The model's answer is not a number.",
}


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A well-formed answer of one exit.

    features  float64 [feature]
    gap       |logit of the image - logit of its mirror|; None where the package gives none
    energy    of the logits; None where the package gives none
    """

    logit: float
    features: NDArray[np.float64]
    gap: float | None
    energy: float | None


def answer(expected: Exit, outputs: Outputs | None) -> Answer | str:
    """The answer of an exit, or the code of what is wrong with it."""
    arrays = _arrays(expected.shapes, outputs)
    if isinstance(arrays, str):
        return arrays
    logit = float(arrays[expected.logit][0])
    gap = None if expected.gap is None else float(arrays[expected.gap][0])
    energy = None if expected.energy is None else float(arrays[expected.energy][0])
    if not expected.logit_low <= logit <= expected.logit_high or (gap is not None and gap < 0):
        return "model-output-odd"
    heat = None if expected.heat is None else arrays[expected.heat.output]
    if heat is not None and (heat.min() < 0 or heat.max() > 1):
        return "model-output-odd"
    return Answer(logit, arrays[expected.features][0].astype(np.float64), gap, energy)


def heat_map(manifest: Manifest, exit: int, outputs: Outputs, frames: Sequence[tuple[str, int]]) -> HeatMap | None:
    """The map of an exit, counted from 1; None where its package gives none, or where the answer is not well-formed.

    frames  those of the network's input, in its order
    """
    heat = manifest.exits[exit - 1].heat
    values = None if heat is None else outputs.get(heat.output)
    if heat is None or manifest.weights == "random" or values is None or values.shape != heat.shape:
        return None
    if len(frames) != heat.frames or not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        return None
    levels = np.rint(values[0].astype(np.float64) * LEVEL_MAX).astype(np.uint8)
    told = manifest.title, manifest.label.name, manifest.overlay
    return HeatMap(*told, exit, tuple(frames), heat.rows, heat.columns, levels.tobytes())


def kinds(expected: Check | None, outputs: Outputs | None) -> dict[str, float] | str:
    """What the check network takes the picture for: kind -> probability, {} where a package has none; or a code."""
    if expected is None:
        return {}
    arrays = _arrays({expected.output: (1, len(expected.kinds))}, outputs)
    if isinstance(arrays, str):
        return arrays
    shares = arrays[expected.output][0].astype(np.float64)
    if shares.min() < -SHARE_SLACK or abs(shares.sum() - 1) > SHARE_SLACK:
        return "model-output-odd"
    return {kind: float(share) for kind, share in zip(expected.kinds, shares, strict=True)}


def _arrays(shapes: Mapping[str, tuple[int, ...]], outputs: Outputs | None) -> dict[str, NDArray[np.float32]] | str:
    """The named arrays, each of its shape and all finite; else the code of the first thing that is wrong."""
    found = {name: (outputs or {}).get(name) for name in shapes}
    arrays = {name: array for name, array in found.items() if isinstance(array, np.ndarray)}
    if len(arrays) < len(found):
        return "model-output-missing"
    if any(arrays[name].shape != shape or arrays[name].dtype.kind != "f" for name, shape in shapes.items()):
        return "model-output-odd"
    if not all(np.isfinite(array).all() for array in arrays.values()):
        return "score-not-finite"
    return arrays
