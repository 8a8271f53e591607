"""In which order a person scrolls through a study's images: by place in the patient where the header tells it.

Unlike core.series, which feeds a network and refuses what is in doubt, this always gives an order: a reader sees every
image, and sees its number beside it.
"""

from collections.abc import Sequence

import numpy as np

from appliance.core.series import COSINE_SLACK, plane_of
from appliance.core.study import Instance

SAME_PLACE_MM = 0.01
NO_NUMBER = 2**31  # what bears no Instance Number comes last


def reading_order(instances: Sequence[Instance]) -> list[list[int]]:
    """Series in the order in which they came, each a list of positions in `instances`, in reading order."""
    series: dict[str, list[int]] = {}
    for at, each in enumerate(instances):
        series.setdefault(each.series_instance_uid, []).append(at)
    return [_ordered(instances, members) for members in series.values()]


def _ordered(instances: Sequence[Instance], members: list[int]) -> list[int]:
    """Along the normal of the common plane (PS3.3 C.7.6.2.1.1), else by Instance Number, else as they came.

    The normal tells the order and not its beginning: a stack begins at the end at which its numbers begin. Slices that
    share a place (a dynamic series) have no order in space.
    """
    numbers = np.array([_number(instances[at]) for at in members], np.float64)
    numbered = [members[at] for at in np.argsort(numbers, kind="stable")]
    planes = [plane_of(instances[at]) for at in numbered]
    if len(planes) < 2 or any(plane is None for plane in planes):
        return numbered
    directions = np.array([plane[0] for plane in planes if plane is not None])
    positions = np.array([plane[1] for plane in planes if plane is not None])
    if np.abs(directions - directions[0]).max() > COSINE_SLACK:
        return numbered
    heights = positions @ np.cross(*directions[0])
    order = np.argsort(heights, kind="stable")
    if np.diff(heights[order]).min() < SAME_PLACE_MM:
        return numbered
    places = np.empty(len(order))
    places[order] = np.arange(len(order))
    ranks = np.unique(numbers, return_inverse=True)[1][np.argsort(numbers, kind="stable")]
    along = float((places - places.mean()) @ ranks)  # numbers rise with the height, or fall
    return [numbered[at] for at in (order if along >= 0 else order[::-1])]


def _number(instance: Instance) -> int:
    return NO_NUMBER if instance.instance_number is None else instance.instance_number
