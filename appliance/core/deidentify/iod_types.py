"""The Type (PS3.5 7.4) of attributes whose action in Table E.1-1 depends on it, by object and by sequence.

The data are made by docs/make_iod_types.py. It answers for compound actions only, and says None for an object that
PS3.3 does not list: then the choice must be one that is valid whatever the Type.
"""

import json
from importlib import resources
from typing import Any

_DATA: dict[str, Any] = json.loads(
    resources.files("appliance.core.deidentify").joinpath("iod_types.json").read_text("utf-8")
)
SOURCE: str = _DATA["source"]
_OBJECTS: dict[str, dict[str, int]] = _DATA["objects"]
_ITEMS: dict[str, dict[str, int]] = _DATA["items"]


def type_of(sop_class_uid: str, sequence: str, keyword: str) -> int | None:
    """1, 2 or 3; None where the object is not one that PS3.3 lists.

    sequence  keyword of the sequence in whose item the attribute stands, "" at the top level
    """
    known = _OBJECTS.get(sop_class_uid)
    if known is None:
        return None
    return (_ITEMS.get(sequence, {}) if sequence else known).get(keyword, 3)
