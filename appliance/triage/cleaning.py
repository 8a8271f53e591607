"""How this appliance makes an object fit to leave: the centre's profile, its picture cleaned, and looked at again."""

from functools import cache

from appliance.core.inspect_pixels import inspect_picture
from appliance.core.options import PROFILES, Options
from appliance.core.outgoing import outgoing
from appliance.triage.sealing import Cleaning
from appliance.world.eyes import DETECTORS, open_eyes


def for_the_centre(site_key: bytes, options: Options = PROFILES["centre"]) -> Cleaning:
    """What leaves for the centre. Where there is nothing to read pictures with, each study that needs it stays.

    clean and look raise Misconfigured("ocr-models") then: whoever decides locally goes on.
    """
    eyes = cache(open_eyes)
    return Cleaning(
        clean=lambda data, shown: outgoing(
            data, site_key, options, eyes() if "clean-pixel-data" in options else None, shown
        ),
        look=lambda picture, who: inspect_picture(picture, who, eyes()),
        detectors=DETECTORS,
    )
