"""A cleaner whose word is that it cleaned pictures too, so that they may leave; and eyes that note what they saw.

Header and envelope are cleaned by the product's own cleaner. Pictures are not: the files of these tests have nothing
written into them.
"""

import hashlib
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pydicom
from numpy.typing import NDArray

from appliance.core.compose import folded
from appliance.core.deidentify import deidentify
from appliance.core.identity import Identity
from appliance.core.options import PROFILES
from appliance.triage.cleaning import Outgoing
from appliance.triage.sealing import Cleaning

KEPT = ("PatientSex", "PatientSize", "PatientWeight")


@dataclass(frozen=True)
class Box:
    """A region that was blackened, as core.redact tells of it."""

    frame: int = 0
    row: int = 2
    column: int = 3
    rows: int = 4
    columns: int = 5
    rule: str = "text found"


@dataclass
class StandIn:
    """cleaning is what triage takes; seen is what was looked at, cleaned how often clean was called."""

    site_key: bytes
    boxes: tuple[Box, ...] = ()
    seen: list[NDArray[np.uint8]] = field(default_factory=list)
    cleaned: int = 0

    @property
    def cleaning(self) -> Cleaning:
        return Cleaning(self.clean, self.look, {"text-detector": "ab" * 32})

    def clean(self, data: bytes) -> Outgoing:
        self.cleaned += 1
        source = pydicom.dcmread(BytesIO(data))
        made = deidentify(source, self.site_key)
        cleaned = pydicom.dcmread(BytesIO(made.bytes))
        for keyword in KEPT:
            if keyword in source:
                cleaned[keyword] = source[keyword]
        if "PatientAge" in source:
            cleaned.PatientAge = folded(str(source.PatientAge))
        out = BytesIO()
        cleaned.save_as(out, enforce_file_format=True)
        digests = [hashlib.sha256(each).hexdigest() for each in (data, out.getvalue())]
        return Outgoing(out.getvalue(), made.changes, self.boxes, PROFILES["centre"], *digests)

    def look(self, picture: NDArray[np.uint8], _who: Identity) -> None:
        self.seen.append(picture)
