"""Where on a study's frames a model's answer comes from, as the model says itself, and who may be shown it.

A map on a picture directs attention, which is another intended use than sorting studies. So it is the signed manifest
that says whether there may be one (`overlay`), a site can only take that away, and the server holds a map back from
whoever may not see it: nothing is hidden by a style sheet. Nothing is decided, and nothing leaves, by a map.
"""

from dataclasses import dataclass
from typing import Literal

Policy = Literal["none", "on_request", "after_first_read"]
LEVEL_MAX = 255
STOP_LEVEL = 128  # a frame whose highest level is lower is no place to go to


@dataclass(frozen=True, slots=True)
class HeatMap:
    """What one exit said of where its answer comes from.

    model, label  name/version of the model, and the finding it looked for
    frames        (SHA-256 of the instance, frame from 0) of each map
    levels        a byte for 0..1 in LEVEL_MAX steps, map by map, row by row; each map lies over the whole of its frame
    """

    model: str
    label: str
    policy: Policy
    exit: int
    frames: tuple[tuple[str, int], ...]
    rows: int
    columns: int
    levels: bytes


def may_be_shown(policy: str, *, allowed_here: bool, first_read: bool, stands: bool) -> bool:
    """Whether a reader may be shown a map.

    allowed_here  the site has not taken it away
    first_read    this reader has put on file what they saw themselves in this very revision
    stands        nothing stands against what the model said of this study
    """
    if not allowed_here or not stands:
        return False
    return policy == "on_request" or (policy == "after_first_read" and first_read)


def stops(levels: bytes, maps: int) -> list[int]:
    """The maps worth going to, the strongest first: places among the maps."""
    size = len(levels) // maps
    peaks = [max(levels[at * size : (at + 1) * size]) for at in range(maps)]
    return sorted((at for at in range(maps) if peaks[at] >= STOP_LEVEL), key=lambda at: -peaks[at])
