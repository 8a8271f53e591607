"""When the balance moves and when it does not; that it never flaps; that it only takes away from what people say."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.document import URGENCIES, decode, encode
from appliance.core.policy import NONE, Policy, Thin, here, mark_of, pictures_of
from central.balance import FORGOTTEN_S, RUNGS, Limits, Load, Rung, Site, Standing, decided, expected_s, wanted
from tests.triage.test_policy_never_decides import POLICIES

LIMITS = Limits(first=("CT", "MR"))
START = Standing(patience=LIMITS.patience_s)
LOOK_S = 60.0
PRESSED = Load(waiting=900, arrived_s=2.0, answered_s=2.0)  # 450 s
CALM = Load(waiting=0, arrived_s=1.0, answered_s=1.0)


def after(load: Load, since: Standing = START, *, looks: int = 1, at: float = 10_000.0) -> Standing:
    for number in range(looks):
        since = decided(load, since, LIMITS, at + number * LOOK_S)
    return since


def test_what_a_case_waits_is_what_stands_before_it() -> None:
    assert expected_s(PRESSED) == 450.0
    assert expected_s(Load(0, 0.0, 0.0)) == 0.0
    assert expected_s(Load(5, 1.0, 0.0)) is None


def test_a_long_queue_moves_one_rung_and_holds() -> None:
    assert after(PRESSED).rung == 1
    assert after(PRESSED, looks=10).rung == 1
    assert after(PRESSED, looks=11).rung == 2, "600 s after the first move"
    assert after(PRESSED, looks=200).rung == len(RUNGS) - 1
    assert after(PRESSED).why == ("queue-long",)


def test_a_queue_that_grows_is_seen_before_it_is_long() -> None:
    growing = Load(waiting=200, arrived_s=3.0, answered_s=2.0)  # 100 s now, 400 s in ten minutes
    assert (after(growing).rung, after(growing).why) == (1, ("queue-grows",))
    assert after(Load(waiting=20, arrived_s=3.0, answered_s=2.0)).rung == 0, "ten seconds are no queue"


def test_a_model_that_answers_nothing_is_not_helped_by_poorer_cases() -> None:
    away = Load(waiting=5000, arrived_s=2.0, answered_s=0.0)
    assert after(away, looks=100).rung == 0
    assert after(away).why == ("nothing-answered",)
    pressed = after(PRESSED)
    assert after(away, pressed, looks=100, at=20_000.0).rung == 1, "nor does it give anything back"


def test_it_is_given_back_rung_by_rung_after_a_calm() -> None:
    top = after(PRESSED, looks=200)
    assert top.rung == 3
    at, rungs = 50_000.0, []
    for number in range(200):
        top = decided(CALM, top, LIMITS, at + number * LOOK_S)
        rungs.append(top.rung)
    assert [rungs.index(rung) for rung in (2, 1, 0)] == [30, 60, 90], "each after 1800 s of calm"


def test_a_calm_that_is_broken_begins_anew() -> None:
    now = after(PRESSED)
    for number in range(300):
        busy = number % 25 == 24
        now = decided(Load(300, 2.0, 2.0) if busy else CALM, now, LIMITS, 20_000.0 + number * LOOK_S)
    assert now.rung == 1


def test_what_was_given_back_too_early_must_be_calm_for_twice_as_long() -> None:
    """A centre that is only fast while cases are poor: each turn of the wheel takes longer, up to a limit."""
    now, at, turns = START, 0.0, []
    for _ in range(60 * 48):
        load = PRESSED if now.rung == 0 else CALM
        next_one = decided(load, now, LIMITS, at)
        if next_one.rung > now.rung:
            turns.append(at)
        now, at = next_one, at + LOOK_S
    waits = [later - earlier for earlier, later in itertools.pairwise(turns)]
    assert waits[0] < 2.1 * LIMITS.patience_s
    assert waits == sorted(waits)
    assert max(waits) > 3 * 3600
    assert now.patience <= LIMITS.patience_most_s


def test_after_a_long_calm_patience_is_as_in_the_beginning() -> None:
    nervous = START.model_copy(update={"patience": 4 * 3600.0, "gave": 9_000.0, "calm": 10_000.0})
    assert decided(CALM, nervous, LIMITS, 10_000.0 + LIMITS.patience_most_s).patience == LIMITS.patience_s


LOADS = st.builds(
    Load,
    waiting=st.integers(0, 100_000),
    arrived_s=st.floats(0, 1000),
    answered_s=st.floats(0, 1000),
    sites=st.lists(
        st.builds(
            Site,
            device_id=st.sampled_from([f"site-{number}" for number in range(5)]),
            waiting=st.integers(0, 10_000),
            oldest_s=st.floats(0, 1e6),
        ),
        max_size=5,
        unique_by=lambda site: site.device_id,
    ).map(tuple),
)
GAPS = st.floats(0.0, 3000.0)


@settings(max_examples=60, database=None, derandomize=True, deadline=None)
@given(st.lists(st.tuples(LOADS, GAPS), min_size=1, max_size=40))
def test_whatever_comes_nothing_moves_twice_within_the_hold(course: list[tuple[Load, float]]) -> None:
    now, at, moves = START, 1000.0, []
    for load, gap in course:
        at += gap
        told = decided(load, now, LIMITS, at)
        assert abs(told.rung - now.rung) <= 1
        if (told.rung, told.thin) != (now.rung, now.thin):
            moves.append(at)
        assert decode(Standing, encode(told)) == told
        now = told
    assert all(later - earlier >= LIMITS.hold_s for earlier, later in itertools.pairwise(moves))


def test_without_the_hold_that_would_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: a rule that forgets when it moved last."""
    now, moves = START, 0
    for number in range(40):
        told = decided(PRESSED if number % 2 else CALM, now.model_copy(update={"moved": 0.0}), LIMITS, 9e3 + number)
        moves += told.rung != now.rung
        now = told
    assert moves > 1


def test_a_clock_that_is_put_back_holds_nothing_for_ever() -> None:
    ahead = after(PRESSED, at=1e9)
    assert after(PRESSED, ahead, at=10_000.0, looks=11).rung == 2


# Thin lines.


def slow(oldest_s: float, waiting: int, *others: Site) -> Load:
    return Load(0, 1.0, 1.0, (Site("far-away", waiting, oldest_s), *others))


def test_a_line_is_thin_when_its_oldest_case_has_waited_long_and_goes_on_waiting() -> None:
    assert after(slow(3000, 40)).thin == ()
    assert after(slow(3000, 40), looks=11).thin == ("far-away",)
    assert after(slow(3000, 40), looks=11).why[-1] == "line-thin"
    assert after(slow(600, 40), looks=100).thin == ()


def test_a_site_that_comes_back_from_a_week_and_is_soon_home_has_no_thin_line() -> None:
    now = START
    for number in range(20):
        waiting = max(3500 - 400 * number, 0)
        now = decided(slow(6e5 if waiting else 0, waiting), now, LIMITS, 10_000.0 + number * LOOK_S)
        assert now.thin == ()


def test_a_thin_line_gets_its_pictures_back_after_a_calm_and_another_is_not_touched() -> None:
    near = Site("near", 0, 0.0)
    now = after(slow(3000, 40, near), looks=11)
    now = after(slow(10, 1, near), now, at=20_000.0, looks=30)
    assert now.thin == ("far-away",)
    assert after(slow(10, 1, near), now, at=20_000.0 + 30 * LOOK_S).thin == ()


def test_a_site_that_is_not_alive_keeps_what_it_had() -> None:
    now = after(slow(3000, 40), looks=11)
    assert after(CALM, now, at=20_000.0, looks=500).thin == ("far-away",)
    assert after(CALM, now, at=20_000.0 + FORGOTTEN_S).lines == {}, "not for ever: it may have been taken down"


# The policy of it.


def test_each_rung_takes_more_away_and_a_critical_case_keeps_a_picture() -> None:
    for lower, higher in itertools.pairwise(RUNGS):
        policies = [Policy(number=1, key_images=r.key_images, pictures_from=r.pictures_from) for r in (lower, higher)]
        for urgency in URGENCIES:
            assert pictures_of(policies[1], urgency) <= pictures_of(policies[0], urgency)
        assert pictures_of(policies[1], "critical") >= 1
    assert len({rung.word for rung in RUNGS}) == len(RUNGS)
    assert RUNGS[0] == Rung("whole")


def test_nothing_is_moved_on_the_first_rung() -> None:
    assert wanted(START, NONE, LIMITS).policy == NONE
    own = Policy(number=7, key_images=2, first=("MG",), drafts=0.5)
    assert wanted(START, own, LIMITS).policy == own.model_copy(update={"number": 1})


STANDINGS = st.builds(
    lambda rung, names: START.model_copy(
        update={"rung": rung, "lines": after(slow(3000, 40), looks=11).lines if names else {}}
    ),
    st.integers(0, len(RUNGS) - 1),
    st.booleans(),
)


@settings(max_examples=200, database=None, derandomize=True, deadline=None)
@given(STANDINGS, POLICIES)
def test_it_only_takes_away_from_what_people_published(standing: Standing, base: Policy) -> None:
    made = wanted(standing, base, LIMITS).numbered(9)
    assert decode(Policy, encode(made)) == made, "what is published is read by the strict form"
    for device in ("far-away", "site-1", "another"):
        mine, theirs = here(made, device), here(base, device)
        for urgency in URGENCIES:
            assert pictures_of(mine, urgency) <= pictures_of(theirs, urgency)
        assert mine.full_series == "never" or theirs.full_series == "on-request"
    assert (made.drafts, made.shadows) == (base.drafts, base.shadows)
    assert made.first == (base.first or (LIMITS.first if standing.rung else ()))


def test_people_s_own_thin_lines_are_never_left_out_for_ours() -> None:
    theirs = tuple(f"{number:016x}" for number in range(2000))
    base = Policy(number=1, thin=Thin(lines=theirs, key_images=0))
    made = wanted(after(slow(3000, 40), looks=11), base, LIMITS).policy
    assert made.thin is not None
    assert set(theirs) <= set(made.thin.lines)
    assert made.thin.key_images == 0


def test_a_name_stands_in_no_policy() -> None:
    made = wanted(after(slow(3000, 40), looks=11), NONE, LIMITS).numbered(3)
    assert b"far-away" not in encode(made)
    assert mark_of("far-away").encode() in encode(made)


def test_a_centre_too_small_comes_to_rest() -> None:
    """The loop closed over a toy of a centre whose cases cost less without pictures: it ends on one rung and stays."""
    dice, now, queue, rungs = random.Random(9), START, 0.0, []
    answered = [0.0] * 5
    for minute in range(60 * 24):
        rung = RUNGS[now.rung]
        capacity = 60 * 2 / (0.15 + 0.15 * rung.key_images * (1.0 if rung.pictures_from == "routine" else 0.3))
        came = 60 * 2.4 * dice.uniform(0.9, 1.1)
        done = min(queue + came, capacity)
        queue += came - done
        answered = [*answered[1:], done]
        load = Load(int(queue), came / 60, sum(answered) / 300)
        now = decided(load, now, LIMITS, 1000.0 + minute * 60)
        rungs.append(now.rung)
    moves = sum(a != b for a, b in itertools.pairwise(rungs))
    assert moves <= 24, "a day of it, and no more than one move an hour"
    assert queue < 60 * 2.4 * 5
