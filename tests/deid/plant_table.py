"""Plants for the rows of Table E.1-1: at top level and two deep under sequences that the table does not name."""

import json
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.deid.answer_key import FULL_DATES, MODIFIED_DATES
from tests.deid.sheet import CT, Sheet, reference

TABLE = Path(__file__).parents[2] / "appliance" / "core" / "annex_e.json"
ROWS: list[dict] = json.loads(TABLE.read_text("utf-8"))["rows"]
NAMED = {int(row["tag"][1:5] + row["tag"][6:10], 16) for row in ROWS if "x" not in row["tag"] and "g" not in row["tag"]}
# Planted elsewhere: the object's own UIDs, file meta, what would make the object another object.
ELSEWHERE = {0x00080018, 0x0020000D, 0x0020000E, 0x00420011, 0xFFFCFFFC, 0xFFFAFFFA, 0x00020003}
UID_SEQUENCES = {0x00081140, 0x00082112, 0x00081110, 0x00081111, 0x00081120}
OUTER = (0x00540220, 0x00082218, 0x00280000 + 0x9110, 0x00540016, 0x00189321, 0x00540410, 0x00189338, 0x00540300)
assert not NAMED & set(OUTER), "an outer sequence must be none that the table names"


def plantable() -> list[dict]:
    return [row for row in ROWS if tag_of(row) > 0xFFFF and tag_of(row) not in ELSEWHERE]  # no command set in a file


def tag_of(row: dict) -> int:
    text = row["tag"][1:5] + row["tag"][6:10]
    return int(text, 16) if all(letter in "0123456789ABCDEF" for letter in text) else 0


def expectations(row: dict) -> dict[str, tuple[str, ...]]:
    """Which options let the row's value stay, and which of them want it to."""
    options = {name.replace("_", "-"): action for name, action in row["options"].items()}
    kept = {name for name, action in options.items() if action == "K"} - {FULL_DATES, MODIFIED_DATES}
    # An AE title that is cleaned may keep a part of it: the standard leaves open which.
    cleaned = {name for name in options if name == "retain-device-identity" and row["vr"] == "AE"}
    spared = kept | cleaned
    if row["vr"] not in ("DA", "DT", "TM") and MODIFIED_DATES in options:
        spared |= {FULL_DATES, MODIFIED_DATES}
    # What a patient is like is kept where its values are numbers or codes; free words may still name somebody.
    wanted = set() if "retain-patient-characteristics" in kept and row["vr"] not in ("AS", "DS", "US", "CS") else kept
    return {"spared_by": tuple(sorted(spared)), "wanted_by": tuple(sorted(wanted))}


def planted_row(sheet: Sheet, row: dict, category: str, inside: Dataset | None = None, place: str = "") -> None:
    tag = tag_of(row)
    more = expectations(row)
    if tag in UID_SEQUENCES:
        uid = sheet.words.uid()
        (sheet.dataset if inside is None else inside).add_new(tag, "SQ", Sequence([reference(CT, uid)]))
        kept = ("retain-uids",)
        sheet.expect(category, f"{place}{tag:08X}[0].00081155", "uid", uid, spared_by=kept, wanted_by=kept)
        return
    sheet.put(category, tag, row["vr"] or "LO", inside, place, **more)


def planted_deep(sheet: Sheet, row: dict, category: str) -> None:
    """Two sequences deep; one chain of items for each row."""
    outer, inner = sheet.rng.sample(OUTER, 2)
    item, wrap = Dataset(), Dataset()
    wrap.add_new(inner, "SQ", Sequence([item]))
    if outer in sheet.dataset and sheet.dataset[outer].VR == "SQ":
        number = len(sheet.dataset[outer].value)
        sheet.dataset[outer].value.append(wrap)
    else:
        number = 0
        sheet.dataset.add_new(Tag(outer), "SQ", Sequence([wrap]))
    planted_row(sheet, row, category, item, f"{outer:08X}[{number}].{inner:08X}[0].")
