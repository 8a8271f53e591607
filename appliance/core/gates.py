"""Is this film one of those the model was made for? Asked of the image itself, whatever its header claims.

The gates stand before the score and are part of the certified rule: a film that fails one is escalated. Three kinds of
evidence: what can be told of a film without a network, how far its features lie from those of the training films, and
what a small network of its own takes the picture for. Their bounds come from training films alone, never from a site's
labels. They know nothing of disease and mend nothing.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from appliance.core.manifest import LongText, ShortText, Strict
from appliance.core.outputs import Answer

# Raised by hand whenever `measures` would give another number for the same film: it makes every certificate void.
GATES_REVISION = 2

# as_described: the probability of the wanted kind of picture; gap: |logit of the film - logit of its mirror|.
Measure = Literal[
    "distance",
    "grey_levels",
    "aspect",
    "entropy_bits",
    "sharpness",
    "clipped_dark",
    "clipped_bright",
    "as_described",
    "gap",
    "energy",
]
# What film_measures tells of every film.
WITHOUT_NETWORK: tuple[Measure, ...] = (
    *("grey_levels", "aspect", "entropy_bits"),
    *("sharpness", "clipped_dark", "clipped_bright"),
)
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
REPEAT_CODES = frozenset(
    ("gate-turned", "gate-inverted", "gate-cropped", "gate-exposure", "gate-blur", "gate-image-quality")
)
# With these it is another film altogether: taking it again would be radiation for nothing.
NOT_OURS = frozenset(("gate-adult", "gate-not-as-described"))
GATE_REASONS: dict[str, str] = {
    "gate-out-of-distribution": "The image does not look like the films the model was made for.",
    "gate-image-quality": "The image is under- or over-exposed, noisy or blurred beyond what the model was made for.",
    "gate-not-as-described": "The image shows another body part or view than its header says.",
    "gate-adult": "The image looks like that of an adult, whatever the header says of the age.",
    "gate-turned": "The image is turned.",
    "gate-inverted": "Bright and dark of the image are exchanged.",
    "gate-cropped": "Part of the body region is cut off.",
    "gate-exposure": "The image is too dark or too bright.",
    "gate-blur": "The image is blurred.",
    "gate-flip": "The model says something else of the mirrored image.",
    "gate-energy": "The model has seen nothing like this image.",
}
HISTOGRAM_BINS = 32


class Bound(Strict):
    """What a measure may be, both ends included; null is no end. `code` is the reason when it is not.

    code_low  the reason when the measure is too low, where that is another one
    """

    low: float | None
    high: float | None
    code: GateCode
    code_low: GateCode | None = None


class Wanted(Strict):
    """The kind of picture a package is for, and what to say of each other kind that its check network knows."""

    kind: ShortText
    codes: Annotated[dict[ShortText, GateCode], Field(max_length=64)]


class Gates(Strict):
    """gates.json: where the bounds come from, and one bound for every measure that the package gives."""

    schema_version: Literal[2]
    source: LongText
    films: Annotated[int, Field(ge=1)]
    bounds: dict[Measure, Bound]
    wanted: Wanted | None

    @model_validator(mode="after")
    def _consistent(self) -> "Gates":
        if (self.wanted is None) != ("as_described" not in self.bounds):
            raise ValueError("a bound on as_described needs the wanted kind, and the other way round")
        return self


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


def failed_gates(measured: Mapping[Measure, float], gates: Gates, kinds: Mapping[str, float]) -> tuple[GateCode, ...]:
    """The codes of the gates a film fails, each once, the plainest first.

    A measure without a bound fails, and so does a bound without a measure, or a measure that is no number.
    kinds  what the check network takes the picture for: kind -> probability; {} where a package has none
    """
    failed: list[GateCode] = []
    for measure in dict.fromkeys(("as_described", *gates.bounds, *measured)):
        if measure not in gates.bounds and measure not in measured:
            continue
        code = _failed(measured.get(measure, math.nan), gates.bounds.get(measure))
        if code is not None and measure == "as_described" and gates.wanted is not None:
            code = _what_else(gates.wanted, kinds, code)
        if code is not None and code not in failed:
            failed.append(code)
    return tuple(failed)


def _failed(value: float, bound: Bound | None) -> GateCode | None:
    if bound is None or not math.isfinite(value):
        return "gate-out-of-distribution" if bound is None else bound.code
    if bound.low is not None and value < bound.low:
        return bound.code_low or bound.code
    return bound.code if bound.high is not None and value > bound.high else None


def _what_else(wanted: Wanted, kinds: Mapping[str, float], otherwise: GateCode) -> GateCode:
    """What to say of a picture that is not as described: by the likeliest of the other kinds."""
    others = {kind: share for kind, share in kinds.items() if kind != wanted.kind}
    return wanted.codes.get(max(others, key=others.__getitem__), otherwise) if others else otherwise


def mendable(codes: Iterable[str]) -> tuple[str, ...]:
    """Those of a decision's codes for which a film may be worth repeating, each once; none of a film not ours."""
    found = tuple(dict.fromkeys(codes))
    return () if NOT_OURS.intersection(found) else tuple(code for code in found if code in REPEAT_CODES)


def gate(
    values: NDArray[np.float32],
    tensor: NDArray[np.float32],
    read: Answer,
    kinds: Mapping[str, float],
    reference: GateReference,
) -> tuple[dict[Measure, float], tuple[GateCode, ...]]:
    """All measures of a film, and the codes of the gates it fails (none: it may be scored).

    values  float32 [row, column], as decoded
    tensor  float32 [1, 1, side, side] in 0..1, as prepared
    read    what the exit gave: features, and gap and energy where the package gives them
    kinds   what the check network takes the picture for; {} where the package has none
    """
    measured = film_measures(values, tensor)
    measured["distance"] = distance(read.features, reference.projection, reference.centres)
    if read.gap is not None:
        measured["gap"] = read.gap
    if read.energy is not None:
        measured["energy"] = read.energy
    if reference.gates.wanted is not None:
        measured["as_described"] = kinds.get(reference.gates.wanted.kind, math.nan)
    elif kinds:
        measured["as_described"] = math.nan  # a check that no bound speaks of: nothing can be told
    return measured, failed_gates(measured, reference.gates, kinds)
