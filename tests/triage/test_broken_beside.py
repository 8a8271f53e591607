"""A study of which another image came broken is never routine: nobody has seen what that image shows."""

import dataclasses
from datetime import date

import pytest

from appliance.core.admit import broken_of
from appliance.core.decide import Model
from appliance.triage.looking import Court
from tests.core.test_decide import MODEL, a_certificate
from tests.triage.conftest import Bench
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA, ELEMENTS, Clearing, file_of

SECOND_UID = "1.2.826.0.1.99"
SECOND = file_of(
    each._replace(value=SECOND_UID.encode()) if each.name == "SOPInstanceUID" else each for each in ELEMENTS
)
BROKEN = SECOND[:-200]


def clearing(bench: Bench) -> None:
    """A court that clears whatever it sees."""
    certificate = a_certificate(created=date(1970, 1, 1), expires=date(1971, 1, 1))
    model: Model = dataclasses.replace(MODEL, certificates=(certificate,))
    bench.start(Court((model,), Clearing(), "harbour"))


def settled(bench: Bench) -> tuple[str, str, list[str]]:
    """State, lane and reasons once everything that arrived was decided."""
    bench.step("admit", "assemble")
    bench.step("assemble", "judge", passed=9)
    result = bench.result(FILM_UID)
    return bench.study(FILM_UID).state, result.lane, [reason["code"] for reason in result.reasons]


def test_a_film_alone_is_cleared(bench: Bench) -> None:
    clearing(bench)
    bench.put(DATA)
    assert settled(bench)[:2] == ("routine", "cleared")


@pytest.mark.parametrize("first", ["broken", "whole"])
def test_a_broken_image_beside_it_makes_it_hard_whichever_came_first(bench: Bench, first: str) -> None:
    clearing(bench)
    for data in (BROKEN, DATA) if first == "broken" else (DATA, BROKEN):
        bench.put(data)
        bench.step("admit")
    assert settled(bench) == ("hard", "escalated", ["image-broken-beside"])


def test_a_broken_image_that_comes_late_takes_the_decision_back(bench: Bench) -> None:
    clearing(bench)
    bench.put(DATA)
    assert settled(bench)[:2] == ("routine", "cleared")
    bench.put(BROKEN)
    assert settled(bench) == ("hard", "escalated", ["image-broken-beside"])
    assert bench.study(FILM_UID).revision == 2
    bench.put(BROKEN)  # the same bytes again change nothing
    bench.step("admit")
    assert bench.study(FILM_UID).revision == 2


def test_an_image_that_came_whole_after_all_is_no_doubt(bench: Bench) -> None:
    clearing(bench)
    bench.put(DATA[:-200])
    bench.put(DATA)
    assert settled(bench)[:2] == ("routine", "cleared")


def test_what_cannot_be_read_belongs_to_nobody_and_nothing_is_raised() -> None:
    study, image = broken_of(BROKEN)
    assert (study, image) == (FILM_UID, SECOND_UID)
    for length in range(0, len(SECOND), 97):
        told = broken_of(SECOND[:length])
        assert told[0] in ("", FILM_UID)
        assert told[1] in ("", SECOND_UID)
    assert broken_of(b"") == broken_of(b"no film" * 99) == ("", "")
