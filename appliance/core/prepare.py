"""From modality values to the network's input: the one preparation that training and product share.

Training imports this module too, so that the network never meets an image which the appliance would have prepared
otherwise. A package names its steps; what each one does stands here, in one dict. They resize, window and orient the
grey scale; they mend nothing, crop nothing and judge nothing: whether an image is good enough is decided by the gates
of `decide`. What is not a finite image is quarantined.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from appliance.errors import Quarantined

# Raised by hand whenever a step would give another tensor for the same values: it makes every certificate void.
PREPARATION_REVISION = 1
ONE_GREY = 1e-5

Frame = NDArray[np.float32]  # [row, column], modality values
Stack = NDArray[np.float64]  # [frame, row, column]
Step = Mapping[str, Any]  # {"step": its name, its numbers by name}, as manifest.Input.steps holds them


@dataclass(frozen=True, slots=True)
class PreparationSpec:
    """The numbers of a film's preparation, in short; `steps` is what a manifest says at length.

    side_px                          the tensor is side_px x side_px: the film is squeezed to a square, as in training
    low_percentile, high_percentile  of the resized film in percent; they become 0 and 1, what lies beyond is clipped
    """

    side_px: int
    low_percentile: float
    high_percentile: float

    @property
    def steps(self) -> tuple[Step, ...]:
        return (
            {"step": "resize_area", "side_px": self.side_px},
            {"step": "percentile_window", "low": self.low_percentile, "high": self.high_percentile},
            {"step": "orient_grey"},
        )


def resize_area(stack: Sequence[Stack], _monochrome1: bool, *, side_px: int) -> Stack:
    """Each frame squeezed to a square: area averaging when shrinking (no aliasing of 2000 px and more), bilinear when
    a frame is smaller."""
    import cv2  # here and not above: who only reads manifests and certificates prepares nothing

    found = []
    for frame in stack:
        shrinking = min(frame.shape) >= side_px
        way = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        single = np.ascontiguousarray(frame, dtype=np.float32)
        found.append(cv2.resize(single, (side_px, side_px), interpolation=way).astype(np.float64))
    return np.stack(found)


def percentile_window(stack: Stack, _monochrome1: bool, *, low: float, high: float) -> Stack:
    """Two percentiles of all frames together become 0 and 1; what lies beyond is clipped. One grey becomes 0."""
    dark, bright = np.percentile(stack, [low, high])
    # Averaging leaves rounding noise on a film of one grey; stretched to 0..1 it would look like an image.
    if not bright - dark > ONE_GREY * max(abs(dark), abs(bright)):
        return np.zeros_like(stack)
    windowed: Stack = np.clip((stack - dark) / (bright - dark), 0.0, 1.0)
    return windowed


def hounsfield_window(stack: Stack, _monochrome1: bool, *, center: float, width: float) -> Stack:
    """center - width / 2 and center + width / 2, in HU, become 0 and 1; what lies beyond is clipped."""
    return np.clip((stack - (center - width / 2)) / width, 0.0, 1.0)


def orient_grey(stack: Stack, monochrome1: bool) -> Stack:
    """MONOCHROME1 turned round between its lowest and its highest value: air dark, bone bright. One grey stays."""
    return stack.min() + stack.max() - stack if monochrome1 else stack


STEPS: dict[str, Callable[..., Stack]] = {
    "resize_area": resize_area,
    "percentile_window": percentile_window,
    "hounsfield_window": hounsfield_window,
    "orient_grey": orient_grey,
}
WINDOWS = frozenset(("percentile_window", "hounsfield_window"))


def why_not_prepared(steps: Sequence[Step]) -> str | None:
    """What is wrong with a package's steps, in words; None: they end in 0..1, at one size, for any finite image."""
    names = [str(step["step"]) for step in steps]
    if not set(names) <= STEPS.keys():
        return "a step is unknown"
    if len(set(names)) != len(names):
        return "a step is named twice"
    if names[:1] != ["resize_area"]:
        return "the first step must be resize_area"
    if len(WINDOWS & set(names)) != 1:
        return "exactly one step must be a window"
    return None


def prepared(frames: Sequence[Frame], monochrome1: bool, steps: Sequence[Step]) -> NDArray[np.float32]:
    """The tensor that the steps make of some frames, which may be of different size.

    frames       float32 [row, column] each, modality values, whatever their bit depth
    monochrome1  True where the lowest value is meant to be seen white (PS3.3 C.7.6.3.1.2)
    returns      float32 [1, frames, side, side] in 0..1; all zeros for films of one grey, which no gate lets pass
    raises       Quarantined("pixel-layout"): no frames, no rows or no columns;
                 Quarantined("pixel-not-finite"): a value is NaN or infinite, or too large to be averaged
    """
    assert why_not_prepared(steps) is None, "a manifest's steps were checked when it was read"
    assert all(frame.ndim == 2 for frame in frames), "grey frames only"
    if not frames or any(frame.size == 0 for frame in frames):
        raise Quarantined("pixel-layout", "Rows")
    if not all(np.isfinite(frame).all() for frame in frames):
        raise Quarantined("pixel-not-finite", "PixelData")
    stack: Any = frames
    for step in steps:
        numbers = {name: value for name, value in step.items() if name != "step"}
        stack = STEPS[step["step"]](stack, monochrome1, **numbers)
        if not np.isfinite(stack).all():
            raise Quarantined("pixel-not-finite", "PixelData")
    tensor: NDArray[np.float32] = stack.astype(np.float32)[None]
    assert tensor.ndim == 4, "one square a frame"
    return tensor


def prepare(values: Frame, monochrome1: bool, spec: PreparationSpec) -> NDArray[np.float32]:
    """One film prepared by the numbers of `spec`: float32 [1, 1, side_px, side_px]. Raises as `prepared` does."""
    return prepared([values], monochrome1, spec.steps)


def preparation_digest(steps: Sequence[Step], frames: int = 1) -> str:
    """SHA-256 (hex) of the preparation: its revision, its steps and how many frames. A certificate holds for one."""
    told = {"revision": PREPARATION_REVISION, "frames": frames, "steps": [dict(step) for step in steps]}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
