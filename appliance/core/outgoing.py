"""One object on its way out: known, cleaned, looked at, and proven clean by a checker that did not do the cleaning.

The order is the promise: whose it is comes from the source, the cleaner works on a copy, the inspector sees only the
finished bytes. It refuses by raising; there is no half result.
"""

import hashlib
from dataclasses import dataclass, field

from appliance.core.deface import deface
from appliance.core.deidentify import Change, deidentify
from appliance.core.eyes import Eyes
from appliance.core.identity import Identity, identity_of
from appliance.core.inspect import inspect
from appliance.core.inspect_pixels import inspect_pixels
from appliance.core.options import Options
from appliance.core.redact import Frames, Region, redact

NOT_SHOWN = Change("PixelData", "D", "frame not shown")  # counted in a receipt, once for each


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The finished bytes of one object, their SHA-256 in hex, what was done to make them, and whose the source is."""

    bytes: bytes = field(repr=False)
    changes: tuple[Change, ...] = field(repr=False)
    regions: tuple[Region, ...]
    options: Options
    sha256: str
    who: Identity = field(repr=False)


def outgoing(
    data: bytes, site_key: bytes, options: Options, eyes: Eyes | None = None, shown: Frames = None
) -> Outgoing:
    """One object as it may leave.

    data   a whole Part 10 file as received
    eyes   reads text in pictures; None only where clean-pixel-data is not among the options
    shown  the frames, from 0, that leave as pictures; every other one is blackened whole. None: all of them
    raises Misconfigured("deid-site-key"); Quarantined with a code of "deid-unsupported", "inspect-identity-found",
           "inspect-unreadable", "header-unreadable" or "header-truncated"
    source PS3.15 Annex E
    """
    return outgoing_of(data, identity_of(data), site_key, options, eyes, shown)


def outgoing_of(
    data: bytes, who: Identity, site_key: bytes, options: Options, eyes: Eyes | None = None, shown: Frames = None
) -> Outgoing:
    """The same where the identity is known already, as that of a whole study."""
    clean = deidentify(data, site_key, options)
    finished, changes, regions = clean.bytes, clean.changes, tuple[Region, ...]()
    if "clean-recognizable-visual-features" in options:
        finished = deface(finished)
    if "clean-pixel-data" in options:
        assert eyes is not None, "clean-pixel-data needs eyes"
        looked = redact(finished, eyes, shown)
        finished, regions = looked.bytes, looked.regions
        changes += (NOT_SHOWN,) * looked.hidden
    inspect(finished, who, kept=options)
    if "clean-pixel-data" in options and eyes is not None:
        inspect_pixels(finished, who, eyes)
    return Outgoing(finished, changes, regions, options, hashlib.sha256(finished).hexdigest(), who)
