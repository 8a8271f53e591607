"""How this appliance makes an object fit to leave.

Until pictures are cleaned here, no picture leaves: the cleaner's word on its options says so, and a picture that were
to leave all the same is refused unseen.
"""

import hashlib
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from appliance.core.account import Change, Region
from appliance.core.deidentify import deidentify
from appliance.core.identity import Identity, identity
from appliance.core.inspect import inspect
from appliance.core.options import Options
from appliance.errors import Quarantined
from appliance.triage.sealing import Cleaning


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One object that may leave, as core.account's Cleaned; options are those in force."""

    bytes: bytes = field(repr=False)
    changes: tuple[Change, ...]
    regions: tuple[Region, ...]
    options: Options
    source_sha256: str
    sha256: str


def headers_only(site_key: bytes) -> Cleaning:
    """Basic Profile on the header, pictures neither cleaned nor passed on."""

    def clean(data: bytes) -> Outgoing:
        source = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
        made = deidentify(source, site_key)
        inspect(made.bytes, identity(source))
        digests = [hashlib.sha256(each).hexdigest() for each in (data, made.bytes)]
        return Outgoing(made.bytes, made.changes, (), frozenset(), *digests)

    return Cleaning(clean, refused)


def refused(_picture: NDArray[np.uint8], _who: Identity) -> None:
    """Nobody here can read a picture."""
    raise Quarantined("inspect-unreadable", "PixelData")
