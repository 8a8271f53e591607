"""How this appliance makes an object fit to leave.

Until pictures are cleaned here, no picture leaves: the cleaner's word on its options says so, and a picture that were
to leave all the same is refused unseen.
"""

import numpy as np
from numpy.typing import NDArray

from appliance.core.identity import Identity
from appliance.core.options import chosen
from appliance.core.outgoing import outgoing
from appliance.errors import Quarantined
from appliance.triage.sealing import Cleaning


def headers_only(site_key: bytes) -> Cleaning:
    """The centre's profile on the header; pictures neither cleaned nor passed on."""
    options = chosen("centre", left_out=["clean-pixel-data"])
    return Cleaning(lambda data: outgoing(data, site_key, options), refused)


def refused(_picture: NDArray[np.uint8], _who: Identity) -> None:
    """Nobody here can read a picture."""
    raise Quarantined("inspect-unreadable", "PixelData")
