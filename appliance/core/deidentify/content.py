"""Content items of structured reports under Clean Structured Content, PS3.15 E.3.4 and Table E.3.4-1.

The concept name of an item says what becomes of it; an item whose concept the table does not name is cleaned like any
other data set. It refuses to take an item away where others point at items by position.
"""

from functools import cache
from typing import Literal

from appliance.core import annex_e
from appliance.core.deidentify.codes import REMOVED, code_item, said_code
from appliance.core.elements import Element
from appliance.core.options import Options

ContentAction = Literal["X", "D", "K", "C"]
CONCEPT_NAME, VALUE_TYPE, RELATIONSHIP, TEXT_VALUE = 0x0040A043, 0x0040A040, 0x0040A010, 0x0040A160
BY_REFERENCE = 0x0040DB73  # Referenced Content Item Identifier
# With these value types a cleaned item says nothing of anybody: names and texts are dummies, UIDs are replaced.
_REFERENCING = frozenset(("IMAGE", "COMPOSITE", "WAVEFORM"))


@cache
def _concepts() -> dict[tuple[str, str], dict[str, str]]:
    return {(row["scheme"], row["code"]): {"basic": row["basic"], **row["options"]} for row in annex_e.CONTENT_ITEMS}


def concept_action(options: Options, item: list[Element]) -> ContentAction:
    """X the item goes, D it becomes a dummy, K its texts stay, C it is cleaned by the rules of its elements."""
    here = {element.tag: element for element in item}
    name = here.get(CONCEPT_NAME)
    if name is None or not name.items:
        return "C"
    value, designator = said_code({element.tag: element for element in name.items[0]})
    told = _concepts().get((designator, value))
    if told is None:
        return "C"
    asked = {action for column, action in told.items() if column.replace("_", "-") in options}
    if "C" in asked or "K" in asked:
        return "K" if asked == {"K"} else "C"
    kind = here[VALUE_TYPE].value.strip(b"\0 ").decode("latin-1") if VALUE_TYPE in here else ""
    # A dummy for an image is the same reference with its UIDs replaced: it still resolves.
    return "C" if kind in _REFERENCING and told["basic"] != "X" else "X" if told["basic"] == "X" else "D"


def dropped_item(item: list[Element]) -> list[Element]:
    """In place of an item that may not stay but must be there: a comment that says so."""
    kept = [element for element in item if element.tag == RELATIONSHIP]
    concept = Element(CONCEPT_NAME, "SQ", b"", [code_item("121106", "DCM", "Comment")])
    kept += [Element(VALUE_TYPE, "CS", b"TEXT"), concept, Element(TEXT_VALUE, "UT", REMOVED.encode())]
    return sorted(kept, key=lambda element: element.tag)


def points_by_position(elements: list[Element]) -> bool:
    """Some content item names another one by its position in the tree (PS3.3 C.17.3.2.5)."""
    for element in elements:
        if element.tag == BY_REFERENCE or (element.items and any(map(points_by_position, element.items))):
            return True
    return False
