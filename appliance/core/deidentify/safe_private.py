"""Private attributes that are known to hold no identity, for Retain Safe Private of PS3.15 E.3.10.

The data are made by docs/make_safe_private.py. An attribute is known by group, creator and the element's last two
digits, whatever block the creator reserved (PS3.5 7.8.1).
"""

import json
from importlib import resources
from typing import Any, Literal, NamedTuple

_DATA: dict[str, Any] = json.loads(
    resources.files("appliance.core.deidentify").joinpath("safe_private.json").read_text("utf-8")
)
TABLE: str = _DATA["table"]
COUNT: int = sum(_DATA["counts"].values())
_CREATORS: dict[str, dict[str, str]] = _DATA["creators"]


Action = Literal["K", "U", "C"]
_ACTIONS: dict[str, Action] = {"K": "K", "U": "U", "C": "C"}


class Safe(NamedTuple):
    """Its VR ("UN" where nobody says), and K: kept, U: its UIDs replaced, C: its dates moved."""

    vr: str
    action: Action


def safe(creator: str, tag: int) -> Safe | None:
    """What is known of a private attribute; None: nothing, so it goes."""
    told = _CREATORS.get(creator, {}).get(f"{tag >> 16:04X}xx{tag & 0xFF:02X}")
    if told is None:
        return None
    vr, action = told.split()
    return Safe(vr, _ACTIONS[action])


def known_creator(creator: str) -> bool:
    return creator in _CREATORS
