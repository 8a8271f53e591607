"""Plants for the rows of Table E.1-1: at top level and two deep under sequences that the table does not name."""

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from tests.deid.sheet import CT, Sheet, reference
from tests.deid.table import ROWS, tag_of

# Planted elsewhere: the object's own UIDs, file meta, what would make the object another object.
ELSEWHERE = {0x00080018, 0x0020000D, 0x0020000E, 0x00420011, 0xFFFCFFFC, 0xFFFAFFFA, 0x00020003}
UID_SEQUENCES = {0x00081140, 0x00082112, 0x00081110, 0x00081111, 0x00081120}
OUTER = (0x00540220, 0x00082218, 0x00280000 + 0x9110, 0x00540016, 0x00189321, 0x00540410, 0x00189338, 0x00540300)
assert not {tag_of(row) for row in ROWS} & set(OUTER), "an outer sequence must be none that the table names"


def plantable() -> list[dict]:
    return [row for row in ROWS if tag_of(row) > 0xFFFF and tag_of(row) not in ELSEWHERE]  # no command set in a file


def planted_row(sheet: Sheet, row: dict, category: str, inside: Dataset | None = None, place: str = "") -> None:
    tag = tag_of(row)
    if tag in UID_SEQUENCES:
        uid = sheet.words.uid()
        (sheet.dataset if inside is None else inside).add_new(tag, "SQ", Sequence([reference(CT, uid)]))
        kept = ("retain-uids",)
        sheet.expect(category, f"{place}{tag:08X}[0].00081155", "uid", uid, spared_by=kept, wanted_by=kept)
        return
    sheet.put(category, tag, row["vr"] or "LO", inside, place)


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
