"""Which frames of a study a network sees, and in which order: a film, some key frames, or a volume.

The order of a volume's slices comes from where they lie in the patient, never from the order in which files came. A
series in which a slice is missing, doubled, off the common plane or out of its order is named by a code and seen by no
network: a stack with a hole would look like a body with one. Nothing is interpolated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.core.study import Instance

Takes = Literal["frame", "key_frames", "volume"]

COSINE_SLACK = 1e-3  # of each direction cosine between slices: headers round to six digits, some to four
UNIT_SLACK = 1e-2  # of the length of a direction, and of the right angle between two
GAP_SLACK = 0.1  # of the distance between neighbours, as a share of the middle one
SHIFT_SLACK_MM = 1.0  # across the axis of the stack: more is a tilted gantry or another series

SERIES_REASONS: dict[str, str] = {
    "several-series": "The study has more than one series; the model was made for one.",
    "frames-too-few": "The study has fewer images than the model needs.",
    "frames-unordered": "The header does not tell the order of the images.",
    "slices-without-geometry": "The header does not tell where each slice lies.",
    "slices-differ": "The slices differ in size, in spacing, in their grey scale or in their frame of reference.",
    "slices-off-plane": "A slice lies in another plane than the others.",
    "slices-off-axis": "The slices do not lie straight above each other.",
    "slices-doubled": "Two slices lie in the same place.",
    "slices-missing": "A slice is missing, or the slices are not evenly spaced.",
    "slices-shuffled": "The slices are numbered in another order than that in which they lie.",
}


@dataclass(frozen=True, slots=True)
class FrameOf:
    """One frame of an instance, from 0."""

    instance: Instance
    frame: int


def frames_to_see(instances: Sequence[Instance], takes: Takes, count: int) -> tuple[FrameOf, ...] | str:
    """The frames that make a tensor, in its order, or the code of why there is none.

    count  how many the network takes. Where there are more they are chosen evenly, each from the middle of its share.
    """
    if takes == "frame":
        lone = len(instances) == 1 and instances[0].number_of_frames == 1
        return (FrameOf(instances[0], 0),) if lone else "several-images"
    if len({each.series_instance_uid for each in instances}) > 1:
        return "several-series"
    if not instances or not all(each.has_pixels for each in instances):
        return "no-image"
    ordered = _in_space(instances) if takes == "volume" else _by_number(instances)
    if isinstance(ordered, str):
        return ordered
    row = [FrameOf(each, frame) for each in ordered for frame in range(each.number_of_frames)]
    if len(row) < count:
        return "frames-too-few"
    return tuple(row[(2 * at + 1) * len(row) // (2 * count)] for at in range(count))


def _by_number(instances: Sequence[Instance]) -> list[Instance] | str:
    """By Instance Number, which must then be told and different in each (PS3.3 C.7.6.1)."""
    numbers = [each.instance_number for each in instances]
    if len(instances) > 1 and (None in numbers or len(set(numbers)) < len(numbers)):
        return "frames-unordered"
    return sorted(instances, key=lambda each: each.instance_number or 0)


def _in_space(instances: Sequence[Instance]) -> list[Instance] | str:
    """Slices of one frame each along the normal of their common plane (PS3.3 C.7.6.2.1.1), or what is wrong."""
    planes = [plane_of(each) for each in instances]
    if any(plane is None for plane in planes):
        return "slices-without-geometry"
    if len({_grid(each) for each in instances}) > 1:
        return "slices-differ"
    orientations = np.array([plane[0] for plane in planes if plane is not None])
    positions = np.array([plane[1] for plane in planes if plane is not None])
    if np.abs(orientations - orientations[0]).max() > COSINE_SLACK:
        return "slices-off-plane"
    normal = np.cross(*orientations[0])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    across = positions - np.outer(heights, normal)
    checks = (
        (len(gaps) == 0 or gaps.min() > 0.01, "slices-doubled"),
        (np.ptp(across, axis=0).max() <= SHIFT_SLACK_MM, "slices-off-axis"),
        (len(gaps) == 0 or np.abs(gaps - np.median(gaps)).max() <= GAP_SLACK * np.median(gaps), "slices-missing"),
    )
    wrong = next((code for holds, code in checks if not holds), None)
    ordered = [instances[at] for at in order]
    return wrong or _why_numbered_otherwise(ordered) or ordered


def _grid(instance: Instance) -> tuple[object, ...]:
    told = (instance.pixel_spacing, instance.frame_of_reference_uid, instance.photometric_interpretation)
    return (instance.rows, instance.columns, *told)


def plane_of(instance: Instance) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Directions [row, column] and position of a slice; None where it is not told or makes no plane."""
    directions, position = _numbers(instance.image_orientation_patient), _numbers(instance.image_position_patient)
    if len(directions) != 6 or len(position) != 3 or instance.number_of_frames != 1:
        return None
    pair = np.array(directions).reshape(2, 3)
    if np.abs(pair @ pair.T - np.eye(2)).max() > UNIT_SLACK:
        return None
    return pair, np.array(position)


def _why_numbered_otherwise(ordered: Sequence[Instance]) -> str | None:
    """Instance numbers, where told, run one by one with the slices or against them; and as many as were acquired."""
    numbers = [each.instance_number for each in ordered if each.instance_number is not None]
    steps = {after - before for before, after in pairwise(numbers)}
    promised = {each.images_in_acquisition for each in ordered if each.images_in_acquisition}
    if len(numbers) not in (0, len(ordered)):
        return "frames-unordered"
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        return "slices-shuffled"
    if len({abs(step) for step in steps}) > 1 or any(each != len(ordered) for each in promised):
        return "slices-missing"
    return None


def _numbers(told: str) -> list[float]:
    """The finite numbers of a multi-valued decimal string; empty where any is none."""
    try:
        found = [float(each) for each in told.split("\\")]
    except ValueError:
        return []
    return found if all(map(math.isfinite, found)) else []
