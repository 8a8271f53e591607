"""Is this film one of those the model was made for? Asked of the image itself, whatever its header claims.

The gates stand before the score and are part of the certified rule: a film that fails one is escalated. Their bounds
come from training films alone, never from a site's labels. They know nothing of disease and mend nothing.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from appliance.core.manifest import LongText, Strict

# Raised by hand whenever `measures` would give another number for the same film: it makes every certificate void.
GATES_REVISION = 1

Measure = Literal["distance", "grey_levels", "aspect", "entropy_bits", "sharpness", "clipped_dark", "clipped_bright"]
GateCode = Literal[
    "gate-out-of-distribution",
    "gate-image-quality",
    "gate-not-as-described",
    "gate-adult",
    "gate-turned",
    "gate-inverted",
    "gate-cropped",
    "gate-exposure",
    "gate-blur",
    "gate-flip",
    "gate-energy",
]
# What a radiographer could mend while the patient is still there.
REPEAT_CODES = frozenset(("gate-turned", "gate-inverted", "gate-cropped", "gate-exposure", "gate-blur"))
GATE_REASONS: dict[str, str] = {
    "gate-out-of-distribution": "The image does not look like the films the model was made for.",
    "gate-image-quality": "Exposure, sharpness or shape of the image is outside what the model was made for.",
    "gate-not-as-described": "The image shows another body part or view than its header says.",
    "gate-adult": "The image looks like that of an adult, whatever the header says of the age.",
    "gate-turned": "The image is turned or mirrored.",
    "gate-inverted": "Bright and dark of the image are exchanged.",
    "gate-cropped": "Part of the body region is cut off.",
    "gate-exposure": "The image is too dark or too bright.",
    "gate-blur": "The image is blurred.",
    "gate-flip": "The model says something else of the mirrored image.",
    "gate-energy": "The model has seen nothing like this image.",
}
HISTOGRAM_BINS = 32


class Bound(Strict):
    """What a measure may be, both ends included; null is no end. `code` is the reason when it is not."""

    low: float | None
    high: float | None
    code: GateCode


class Gates(Strict):
    """gates.json: where the bounds come from, and one bound for every measure."""

    schema_version: Literal[1]
    source: LongText
    films: Annotated[int, Field(ge=1)]
    bounds: dict[Measure, Bound]


@dataclass(frozen=True, slots=True)
class GateReference:
    """Bounds with the arrays of gates.npz.

    projection  float [k, features]: whitens the features by the training classes' shared covariance
    centres     float [class, k]: projected means of the training classes
    digest      SHA-256 (hex) of revision, gates.json and gates.npz
    """

    gates: Gates
    projection: NDArray[np.float64]
    centres: NDArray[np.float64]
    digest: str


def gates_digest(gates_sha256: str, arrays_sha256: str) -> str:
    """SHA-256 (hex) of all that the gates depend on. A certificate holds for one digest only."""
    return hashlib.sha256(f"{GATES_REVISION} {gates_sha256} {arrays_sha256}".encode()).hexdigest()


def distance(features: NDArray[np.float64], projection: NDArray[np.float64], centres: NDArray[np.float64]) -> float:
    """Mahalanobis distance, squared, of features [f] to the nearest training class (Lee et al., arXiv:1807.03888)."""
    offsets = centres - projection @ features
    return float(np.square(offsets).sum(axis=1).min())


def film_measures(values: NDArray[np.float32], tensor: NDArray[np.float32]) -> dict[Measure, float]:
    """What can be told of a film without a network.

    values   float32 [row, column], as decoded
    tensor   float32 [1, 1, side, side] in 0..1, as prepared
    returns  grey_levels  distinct values, counted up to 256
             aspect       columns / rows
             entropy_bits of the prepared film's histogram
             sharpness    mean absolute Laplacian of the prepared film; noise is high, blur is low
             clipped_dark, clipped_bright  share of the prepared film at its very ends
    """
    film = tensor[0, 0].astype(np.float64)
    counts = np.histogram(film, bins=HISTOGRAM_BINS, range=(0.0, 1.0))[0]
    shares = counts[counts > 0] / film.size
    middle = film[1:-1, 1:-1]
    laplacian = film[:-2, 1:-1] + film[2:, 1:-1] + film[1:-1, :-2] + film[1:-1, 2:] - 4 * middle
    return {
        "grey_levels": float(min(256, np.unique(values).size)),
        "aspect": values.shape[1] / values.shape[0],
        "entropy_bits": float(-(shares * np.log2(shares)).sum()),
        "sharpness": float(np.abs(laplacian).mean()),
        "clipped_dark": float((film <= 0.0).mean()),
        "clipped_bright": float((film >= 1.0).mean()),
    }


def failed_gates(measured: dict[Measure, float], gates: Gates) -> tuple[GateCode, ...]:
    """The codes of the gates a film fails, each once. A measure or bound that is missing or no number fails too."""
    failed: list[GateCode] = []
    for measure in get_args(Measure):
        bound = gates.bounds.get(measure)
        value = measured.get(measure, math.nan)
        code: GateCode = "gate-out-of-distribution" if bound is None else bound.code
        passes = (
            bound is not None
            and math.isfinite(value)
            and (bound.low is None or value >= bound.low)
            and (bound.high is None or value <= bound.high)
        )
        if not passes and code not in failed:
            failed.append(code)
    return tuple(failed)


def gate(
    values: NDArray[np.float32],
    tensor: NDArray[np.float32],
    features: NDArray[np.float64],
    reference: GateReference,
) -> tuple[dict[Measure, float], tuple[GateCode, ...]]:
    """All measures of a film, and the codes of the gates it fails (none: it may be scored)."""
    measured = film_measures(values, tensor)
    measured["distance"] = distance(features, reference.projection, reference.centres)
    return measured, failed_gates(measured, reference.gates)
