"""Where known devices write who the patient is: rules as data (device_regions.json), applied before anything is read.

A rule holds only where the object's own regions bear it out; a picture that was cut or scaled after its header was
written follows none.
"""

import json
import re
from importlib import resources

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from appliance.core.pixel_header import value_of

RULES = json.loads(resources.files("appliance.core").joinpath("device_regions.json").read_text("utf-8"))
_CORNERS = ("RegionLocationMinX0", "RegionLocationMinY0", "RegionLocationMaxX1", "RegionLocationMaxY1")


def banner_rows(dataset: Dataset, rows: int, columns: int) -> int:
    """How many rows at the top are the device's banner: text in one of them takes the whole width with it; 0 for none.

    source  PS3.3 C.8.5.5.1.1: regions are calibrated image areas; coordinates count from 0, ends included
    """
    maker = " ".join(re.findall(r"\w+", str(value_of(dataset, "Manufacturer") or "").lower()))
    regions = value_of(dataset, "SequenceOfUltrasoundRegions")
    if not any(known in maker for known in RULES["banner_above_regions"]) or not isinstance(regions, Sequence):
        return 0
    tops = []
    for region in regions:
        corners = [value_of(region, each) for each in _CORNERS]
        if not all(isinstance(each, int) for each in corners):
            return 0
        left, top, right, bottom = corners
        # One past the last pixel is how some write the end.
        if not (0 <= left < right <= columns and 0 <= top < bottom <= rows):
            return 0
        tops.append(top)
    above = min(tops, default=0)
    return above if above <= RULES["banner_rows_part_max"] * rows else 0
