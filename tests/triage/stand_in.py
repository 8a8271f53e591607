"""The product's own cleaning with eyes that see nothing: the files of these tests have nothing written into them, and
looking costs more than all the rest. The real eyes are in test_leaving's last test, tests/e2e and tests/core.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from appliance.core.eyes import Likelihood, Picture, Reading
from appliance.core.identity import Identity
from appliance.core.options import PROFILES
from appliance.core.outgoing import Outgoing, outgoing
from appliance.core.redact import Frames, Region
from appliance.triage.sealing import Cleaning


class BlindEyes:
    """No text anywhere."""

    def find(self, picture: Picture) -> Likelihood:
        return np.zeros(picture.shape[:2], np.float32)

    def read(self, line: Picture) -> Reading:
        raise AssertionError("there was nothing to read")

    find_again, read_again = find, read


@dataclass
class StandIn:
    """cleaning is what triage takes; seen is what was looked at, cleaned how often clean was called.

    boxes  regions said to have been blackened
    """

    site_key: bytes
    boxes: tuple[Region, ...] = ()
    seen: list[NDArray[np.uint8]] = field(default_factory=list)
    cleaned: int = 0

    @property
    def cleaning(self) -> Cleaning:
        return Cleaning(self.clean, self.look, {"text-detector": "ab" * 32})

    def clean(self, data: bytes, shown: Frames) -> Outgoing:
        self.cleaned += 1
        return replace(outgoing(data, self.site_key, PROFILES["centre"], BlindEyes(), shown), regions=self.boxes)

    def look(self, picture: NDArray[np.uint8], _who: Identity) -> None:
        self.seen.append(picture)
