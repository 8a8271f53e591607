"""Triage as if a decoder of it were broken: a file with one mark ends the process while its header is read, a file
with the other mark while its image is decoded. No handler runs, as in a segmentation fault.

Started by the end-to-end tests in the place of `appliance run triage`.
"""

import os
import sys
from typing import Any

from appliance.cli import main
from appliance.core import admit, pixels
from appliance.core.structure import Data
from appliance.triage import intake, looking

HEADER_MARK, IMAGE_MARK = b"ENDS THE READER", b"ENDS THE DECODER"
SEGMENTATION_FAULT = 139


def fragile_admit(data: Data, **known: str) -> Any:
    if data.find(HEADER_MARK) >= 0:
        os._exit(SEGMENTATION_FAULT)
    return admit.admit(data, **known)


def fragile_decode(data: bytes, **limits: Any) -> Any:
    if IMAGE_MARK in data:
        os._exit(SEGMENTATION_FAULT)
    return pixels.decode(data, **limits)


if __name__ == "__main__":
    intake.admit, looking.decode = fragile_admit, fragile_decode
    sys.exit(main())
