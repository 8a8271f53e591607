"""PS3.15 Table E.1-1 as the benchmark reads it: the project's own copy, as plain JSON."""

import json
from pathlib import Path

from tests.deid.answer_key import FULL_DATES, MODIFIED_DATES

TABLE = Path(__file__).parents[2] / "appliance" / "core" / "annex_e.json"
ROWS: list[dict] = json.loads(TABLE.read_text("utf-8"))["rows"]
TIMES = ("DA", "DT", "TM")
PUBLIC = (0x00080106, 0x00080107, 0x0040DB06, 0x0040DB07)  # versions of context groups and templates


def tag_of(row: dict) -> int:
    """0 for repeating groups and for private attributes."""
    text = row["tag"][1:5] + row["tag"][6:10]
    return int(text, 16) if all(letter in "0123456789ABCDEF" for letter in text) else 0


BY_TAG = {tag_of(row): row for row in ROWS if tag_of(row)}
BY_KEYWORD = {row["keyword"]: row for row in ROWS}


def expectations(tag: int) -> dict[str, tuple[str, ...]]:
    """Which options let a value at this tag stay, which want it to, which want it moved; {} without a row."""
    row = BY_TAG.get(tag)
    if row is None:
        return {}
    options = {name.replace("_", "-"): action for name, action in row["options"].items()}
    kept = {name for name, action in options.items() if action == "K"} - {FULL_DATES, MODIFIED_DATES}
    # An AE title that is cleaned may keep a part of it: the standard leaves open which.
    spared = kept | {name for name in options if name == "retain-device-identity" and row["vr"] == "AE"}
    moved: tuple[str, ...] = ()
    if FULL_DATES in options:
        spared.add(FULL_DATES)
        # A date that stands on the machine or in PS3.16 would tell by how much those of the patient were moved.
        public = tag in PUBLIC or "retain-device-identity" in options
        moved = (MODIFIED_DATES,) if row["vr"] in TIMES and not public else ()
        spared |= set() if moved else {MODIFIED_DATES}
    # What a patient is like is kept where its values are numbers or codes; free words may still name somebody. Group
    # 0004 has no place outside a DICOMDIR.
    free = "retain-patient-characteristics" in kept and row["vr"] not in ("AS", "DS", "US", "CS")
    wanted = set() if free or tag >> 16 == 4 else kept
    return {"spared_by": tuple(sorted(spared)), "wanted_by": tuple(sorted(wanted)), "moved_by": moved}
