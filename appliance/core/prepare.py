"""From modality values to the network's input: the one preparation that training and product share.

Training imports this module too, so that the network never meets an image which the appliance would have prepared
otherwise. It resizes, windows and orients the grey scale; it mends nothing, crops nothing and judges nothing:
whether an image is good enough is decided by the gates of `decide`. What is not a finite image is quarantined.
"""

import hashlib
import json
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from appliance.errors import Quarantined

# Raised by hand whenever `prepare` would give another tensor for the same values: it makes every certificate void.
PREPARATION_REVISION = 1
ONE_GREY = 1e-5


@dataclass(frozen=True, slots=True)
class PreparationSpec:
    """How one package wants its input; the numbers of its manifest.

    side_px                          the tensor is side_px x side_px: the film is squeezed to a square, as in training
    low_percentile, high_percentile  of the resized film in percent; they become 0 and 1, what lies beyond is clipped
    """

    side_px: int
    low_percentile: float
    high_percentile: float


def prepare(values: NDArray[np.float32], monochrome1: bool, spec: PreparationSpec) -> NDArray[np.float32]:
    """The tensor a network of `spec` takes.

    values       float32 [row, column], modality values, whatever their bit depth
    monochrome1  True where the lowest value is meant to be seen white (PS3.3 C.7.6.3.1.2); the film is then inverted
    returns      float32 [1, 1, side_px, side_px] in 0..1, air dark, bone bright; all zeros for a film of one grey,
                 which no gate lets pass
    raises       Quarantined("pixel-layout"): no rows or no columns;
                 Quarantined("pixel-not-finite"): a value is NaN or infinite, or too large to be averaged
    source       area averaging when shrinking (no aliasing of 2000 px and more), bilinear when a film is smaller
    """
    assert values.ndim == 2, "one grey frame at a time"
    if values.size == 0:
        raise Quarantined("pixel-layout", "Rows")
    if not np.isfinite(values).all():
        raise Quarantined("pixel-not-finite", "PixelData")
    shrinking = min(values.shape) >= spec.side_px
    resized = cv2.resize(
        np.ascontiguousarray(values, dtype=np.float32),
        (spec.side_px, spec.side_px),
        interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR,
    ).astype(np.float64)
    if not np.isfinite(resized).all():
        raise Quarantined("pixel-not-finite", "PixelData")
    low, high = np.percentile(resized, [spec.low_percentile, spec.high_percentile])
    # Averaging leaves rounding noise on a film of one grey; stretched to 0..1 it would look like an image.
    if high - low > ONE_GREY * max(abs(low), abs(high)):
        windowed = np.clip((resized - low) / (high - low), 0.0, 1.0)
        windowed = 1.0 - windowed if monochrome1 else windowed
    else:
        windowed = np.zeros_like(resized)
    tensor: NDArray[np.float32] = windowed.astype(np.float32)[None, None]
    assert np.isfinite(tensor).all()
    return tensor


def preparation_digest(spec: PreparationSpec) -> str:
    """SHA-256 (hex) of the preparation: its revision and its numbers. A certificate holds for one digest only."""
    told = {"revision": PREPARATION_REVISION, **asdict(spec)}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
