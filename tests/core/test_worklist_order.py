"""The reading order: total, never starving a lane, and never letting anything overtake what is critical."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.worklist_order import (
    GROUP_CRITICAL,
    GROUP_OVERDUE,
    REQUEST_USUAL,
    STANDINGS,
    Waiting,
    Waits,
    case_urgency,
    due_at,
    order_key,
    request_rank,
    standing,
)

WAITS = Waits(flagged=3600.0, escalated=14_400.0, cleared=86_400.0)
NOW = 1_000_000.0
STUDIES = st.builds(
    Waiting,
    number=st.integers(1, 10**6),
    received_at=st.floats(NOW - 200_000, NOW),
    request=st.integers(0, REQUEST_USUAL),
    urgency=st.sampled_from(["routine", "urgent", "critical"]),
    lane=st.sampled_from(["flagged", "escalated", "cleared", None]),
    raised=st.booleans(),
    doubted=st.booleans(),
)
LISTS = st.lists(STUDIES, max_size=30, unique_by=lambda study: study.number)


def read(studies: list[Waiting], now: float = NOW) -> list[Waiting]:
    return sorted(studies, key=lambda study: order_key(study, now, WAITS))


@given(LISTS)
def test_the_order_is_total_and_loses_nobody(studies: list[Waiting]) -> None:
    keys = [order_key(study, NOW, WAITS) for study in studies]
    assert len(set(keys)) == len(keys)
    assert sorted(read(studies), key=lambda s: s.number) == sorted(studies, key=lambda s: s.number)
    assert read(studies[::-1]) == read(studies)


@given(LISTS)
def test_request_then_lane_while_nobody_has_waited_too_long(studies: list[Waiting]) -> None:
    usual = [s for s in read(studies) if order_key(s, NOW, WAITS)[0] > GROUP_OVERDUE]
    ranks = [(s.request, STANDINGS.index(standing(s))) for s in usual]
    assert ranks == sorted(ranks)


@given(LISTS)
def test_of_what_is_alike_the_older_goes_first(studies: list[Waiting]) -> None:
    last: dict[tuple[object, ...], float] = {}
    for study in read(studies):
        kind = (study.request, study.urgency == "critical", standing(study))
        assert last.get(kind, 0.0) <= study.received_at
        last[kind] = study.received_at


@given(LISTS, STUDIES, st.floats(0, 500_000))
def test_no_lane_waits_longer_than_the_site_allows(studies: list[Waiting], study: Waiting, later: float) -> None:
    """Once its time is over, only the critical and what was due before it stand before a study; nothing new does."""
    now = NOW + later
    if due_at(study, WAITS) > now:
        return
    others = [s for s in studies if s.number != study.number]
    for each in others:
        if order_key(each, now, WAITS) < order_key(study, now, WAITS):
            assert order_key(each, now, WAITS)[0] == GROUP_CRITICAL or due_at(each, WAITS) <= due_at(study, WAITS)


@given(STUDIES, st.floats(0, 500_000))
def test_waiting_never_sets_a_study_back(study: Waiting, later: float) -> None:
    assert order_key(study, NOW + later, WAITS) <= order_key(study, NOW, WAITS)


@given(LISTS, STUDIES)
def test_nothing_that_is_not_critical_overtakes_what_is(studies: list[Waiting], study: Waiting) -> None:
    if study.urgency != "critical":
        return
    for each in studies:
        if each.urgency != "critical" and each.request:
            assert order_key(study, NOW, WAITS) < order_key(each, NOW, WAITS)


@pytest.mark.parametrize(
    ("study", "stands"),
    [
        (Waiting(1, NOW, lane="cleared"), "cleared"),
        (Waiting(1, NOW, lane="cleared", doubted=True), "escalated"),
        (Waiting(1, NOW, lane="cleared", raised=True), "flagged"),
        (Waiting(1, NOW, lane="escalated", urgency="urgent"), "flagged"),
        (Waiting(1, NOW, lane=None), "escalated"),
    ],
)
def test_doubt_is_never_read_as_cleared(study: Waiting, stands: str) -> None:
    assert standing(study) == stands


@pytest.mark.parametrize(("told", "rank"), [("STAT", 0), (" high ", 1), ("ROUTINE", 2), ("", 2), ("soon!", 2)])
def test_a_request_s_priority_is_known_or_usual(told: str, rank: int) -> None:
    assert request_rank(told) == rank


@pytest.mark.parametrize(
    ("found", "told", "urgency"),
    [
        ("routine", "", "routine"),
        ("routine", "LOW", "routine"),
        ("routine", "HIGH", "urgent"),
        ("urgent", "", "urgent"),
        ("routine", "STAT", "critical"),
        ("critical", "LOW", "critical"),
        (None, "stat ", "critical"),
        (None, "", "routine"),
    ],
)
def test_a_case_travels_as_soon_as_found_or_asked_for(found: str | None, told: str, urgency: str) -> None:
    assert case_urgency(found, request_rank(told)) == urgency
