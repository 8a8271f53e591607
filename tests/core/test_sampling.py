"""Draws that nobody can foresee, choose or repeat, and the evidence that grows from them: alarms, true and false."""

import math
import random
from bisect import bisect_left, bisect_right, insort

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import gauges
from appliance.core.monitor import AUDIT_FIRST, audit_rate, audits_to_detect
from appliance.core.sampling import DECOY_SHARE, draw, uniform
from appliance.core.watch import p_value, read_back, started, told, with_answer, with_ranks

KEY, OTHER_KEY = b"a key of thirty-two bytes or so.", b"another key of thirty-two bytes!"
DIGEST = "c" * 64
STREAMS, STREAM_STUDIES = 200, 2_000


def drawn(
    n: int, *, key: bytes = KEY, digest: str = DIGEST, lane: str = "cleared", before: int = 300, rate: float = 0.2
):
    return draw(key, digest, f"1.2.{n}", lane=lane, cleared_before=before, first=AUDIT_FIRST, rate=rate)  # type: ignore[arg-type]


def test_the_dice_are_even_and_the_same_again() -> None:
    thrown = [uniform(KEY, "audit", DIGEST, f"1.2.{n}") for n in range(5_000)]
    assert all(0 <= each < 1 for each in thrown)
    assert thrown == [uniform(KEY, "audit", DIGEST, f"1.2.{n}") for n in range(5_000)]
    counts = [sum(low / 10 <= each < (low + 1) / 10 for each in thrown) for low in range(10)]
    assert sum((count - 500) ** 2 / 500 for count in counts) < 27.9  # chi-square, 9 degrees of freedom, p = 0.001


def test_another_key_purpose_certificate_or_study_is_another_throw() -> None:
    usual = uniform(KEY, "audit", DIGEST, "1.2.3")
    others = [uniform(OTHER_KEY, "audit", DIGEST, "1.2.3"), uniform(KEY, "decoy", DIGEST, "1.2.3")]
    others += [uniform(KEY, "audit", "d" * 64, "1.2.3"), uniform(KEY, "audit", DIGEST, "1.2.4")]
    assert len({usual, *others}) == 5


def test_names_do_not_run_into_each_other() -> None:
    assert uniform(KEY, "audit", "ab", "c") != uniform(KEY, "audit", "a", "bc")


def test_every_one_of_the_first_is_audited_then_a_share() -> None:
    assert all(drawn(n, before=n).drawn_as == "first" for n in range(AUDIT_FIRST))
    later = [drawn(n) for n in range(4_000)]
    assert {each.drawn_as for each in later} == {"random", "no"}
    assert sum(each.drawn for each in later) == pytest.approx(800, abs=100)
    assert {each.rate for each in later} == {0.2}


def test_a_decoy_hides_what_the_list_would_tell() -> None:
    for lane in ("flagged", "escalated"):
        decoys = [drawn(n, lane=lane, before=0) for n in range(2_000)]
        assert {each.drawn_as for each in decoys} == {"decoy", "no"}
        assert sum(each.drawn for each in decoys) == pytest.approx(2_000 * DECOY_SHARE, abs=80)
        assert sum(drawn(n, lane=lane).drawn for n in range(2_000)) < 2_000 * DECOY_SHARE * 0.4


@given(rate=st.one_of(st.floats(), st.just(math.nan)))
def test_an_odd_rate_audits_more_never_less(rate: float) -> None:
    found = drawn(7, rate=rate)
    assert found.drawn or (0 <= rate <= 1 and uniform(KEY, "audit", DIGEST, "1.2.7") >= rate)


def test_the_share_follows_from_a_stated_time() -> None:
    needed = audits_to_detect(0.01)
    assert audit_rate(0.01, cleared_a_day=20, days=90) == pytest.approx(needed / 1_800)
    assert needed / (0.05 * 20 * 365) > 3  # five in a hundred takes years in one room


# What the audits come to


def answered(rate: float, bound: float, studies: int, seed: int) -> int | None:
    """After how many audits an alarm is raised where `rate` of the cleared have the finding; None: never."""
    dice, monitor = random.Random(seed), started(())
    for n in range(studies):
        monitor = with_answer(monitor, "present" if dice.random() < rate else "absent", rate_max=bound)
        if monitor.stage == "revoke":
            assert monitor.cause == "audits"
            return n + 1
    return None


def test_no_alarm_is_false_in_two_hundred_streams_at_the_promised_rate() -> None:
    """At delta 1 % two of 200 are expected at most, for ever; ten would be far outside of it."""
    for bound in (0.01, 0.1):
        false = [seed for seed in range(STREAMS) if answered(bound, bound, STREAM_STUDIES, seed)]
        assert len(false) <= 4, f"bound {bound}: {len(false)} false alarms"
    assert not [seed for seed in range(STREAMS) if answered(0.005, 0.01, STREAM_STUDIES, seed)]


@pytest.mark.parametrize(("ratio", "most"), [(2.0, 3_600), (5.0, 330), (10.0, 110)])
def test_a_higher_rate_raises_the_alarm_near_the_stated_count(ratio: float, most: int) -> None:
    after = sorted(answered(0.01 * ratio, 0.01, 6_000, seed) or 6_001 for seed in range(60))
    middle = after[30]
    stated = audits_to_detect(0.01, ratio)
    assert stated / 2 <= middle <= stated * 1.5, (middle, stated)
    assert after[54] <= most


def test_cannot_tell_counts_like_a_miss() -> None:
    one, other = (with_answer(started(()), said, rate_max=0.01) for said in ("cannot_tell", "present"))
    assert one == other
    assert with_answer(started(()), "absent", rate_max=0.01).risk.misses == 0


# What the films come to


def films(reference: int, studies: int, seed: int, shift: float = 0.0, ties: bool = False) -> int | None:
    """After how many studies of films moved by `shift` standard deviations an alarm is raised; None: never."""
    dice = random.Random(seed)

    def one(moved: float) -> float:
        return float(round(dice.gauss(moved, 1))) if ties else dice.gauss(moved, 1)

    sample, before, monitor = sorted(one(0) for _ in range(reference)), list[float](), started(("logit",))
    for n in range(studies):
        value = one(shift)
        low, high = bisect_left(before, value), bisect_right(before, value)
        rank = p_value(sample, (low, high - low, len(before)), value, dice.random())
        monitor = with_ranks(monitor, {"logit": rank})
        insort(before, value)
        if monitor.stage == "revoke":
            assert monitor.cause == "drift"
            return n + 1
    return None


@pytest.mark.parametrize("ties", [False, True])
def test_no_drift_is_seen_in_two_hundred_streams_without_one(ties: bool) -> None:
    """Also against few reference films: their own sampling error must not look like a drift."""
    assert [films(178, STREAM_STUDIES, seed, ties=ties) for seed in range(STREAMS)].count(None) >= STREAMS - 1


@pytest.mark.parametrize(("shift", "most"), [(0.5, 400), (1.0, 110), (2.0, 60), (-1.0, 110)])
def test_a_shifted_scanner_raises_the_alarm(shift: float, most: int) -> None:
    after = sorted(films(512, 800, seed, shift) or 801 for seed in range(20))
    assert after[18] <= most


@given(
    st.lists(st.floats(-5, 5), max_size=30).map(sorted),
    st.lists(st.floats(-5, 5), max_size=30),
    st.floats(-5, 5),
    st.floats(0, 1, exclude_max=True),
)
def test_a_rank_lies_between_nothing_and_all(
    sample: list[float], before: list[float], value: float, dice: float
) -> None:
    counted = (sum(each < value for each in before), before.count(value), len(before))
    rank = p_value(sample, counted, value, dice)
    assert 0 <= rank <= 1
    everything = [*sample, *before]
    assert rank >= sum(each < value for each in everything) / (len(everything) + 1)


# What is kept


def test_what_is_kept_is_read_back_as_it_was() -> None:
    monitor = with_ranks(with_answer(started(("logit", "blur")), "present", rate_max=0.1), {"logit": 0.25})
    columns = told(monitor)
    assert read_back(columns["state"], ("blur", "logit")) == monitor
    assert (columns["answers"], columns["misses"]) == (1, 1)
    assert set(columns["drift"]) == {"logit", "blur"}


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        [],
        {"risk": {}, "drift": {}},
        {"risk": {"log_wealth": [0.0], "n": 1, "misses": 0}, "drift": {}},
        {"risk": {"log_wealth": [math.nan] * 4, "n": 1, "misses": 0}, "drift": {}},
        {**told(started(("logit",)))["state"]},
    ],
)
def test_what_cannot_be_read_back_is_no_calm(state: object) -> None:
    assert read_back(state, ()) is None


# Gauges for eyes


def test_a_gauge_stands_still_moves_and_knows_too_little() -> None:
    dice = random.Random(1)
    sample = sorted(dice.gauss(0, 1) for _ in range(300))
    same, moved = ([dice.gauss(shift, 1) for _ in range(500)] for shift in (0, 1))
    assert gauges.gauge(gauges.psi(sample, same), 300, 500) == "stable"
    assert gauges.gauge(gauges.psi(sample, moved), 300, 500) == "shifted"
    assert gauges.gauge(gauges.psi(sample, moved[:50]), 300, 50) == "too few"
    assert gauges.psi(sample, []) is None
    assert gauges.psi(sample[:5], moved) is None
    index = gauges.psi([1.0] * 300, [1.0] * 500)
    assert index == pytest.approx(0, abs=0.01)
