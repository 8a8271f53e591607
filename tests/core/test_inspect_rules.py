"""Take back any single rule of the cleaner, and the inspector refuses; take back none, and it does not."""

import pytest
from undone_rules import Row, rows, source, undone, written

from appliance.core.inspect import findings
from appliance.core.inspect_tags import keyword

BY_REPRESENTATION = sorted({row.vr for row in rows()})


def test_the_table_is_whole() -> None:
    assert len(rows()) == 657
    assert len({row.tag for row in rows()}) == 657


@pytest.mark.parametrize("plain", [False, True])
def test_the_untampered_object_goes(plain: bool) -> None:
    _, cleaned, who = source(plain)
    assert findings(written(cleaned), who) == ()


def place_of(row: Row, depth: int) -> str:
    return "ViewCodeSequence[0]." * 2 * bool(depth) + keyword(row.tag)


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("vr", BY_REPRESENTATION)
@pytest.mark.parametrize("plain", [False, True])
def test_any_row_of_the_table_taken_back_is_refused(vr: str, depth: int, plain: bool) -> None:
    whole, cleaned, who = source(plain)
    missed = []
    for row in rows():
        if row.vr == vr and row.tag >> 16 > 2:
            found = findings(written(undone(cleaned, whole, row.tag, depth)), who)
            if not any(one.place.startswith(place_of(row, depth)) for one in found):
                missed.append(row.name)
    assert missed == []
