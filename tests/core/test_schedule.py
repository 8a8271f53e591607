"""Order, window and budgets: what goes next, how much may be under way, and how fast."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.document import AGEING_S, URGENCIES
from appliance.core.schedule import (
    PART_MESSAGE_BYTES,
    TARGET_S,
    Window,
    class_of,
    exempt,
    per_hour,
    per_second,
)

URGENCY, TIER = st.sampled_from(URGENCIES), st.sampled_from((0, 1, 2))


@given(URGENCY, TIER, st.floats(0, 1e9), st.floats(0, 1e9))
def test_who_waits_never_falls_back_and_never_passes_a_critical_case(urgency, tier, waited_s, more_s):
    now, later = class_of(urgency, tier, waited_s), class_of(urgency, tier, waited_s + more_s)
    assert now <= later
    if not exempt(urgency, tier):
        assert later < class_of("critical", 0, 0.0)


def test_nobody_starves():
    """After some hours everything but what is critical stands in one class, where the oldest goes first."""
    long = 3 * AGEING_S
    assert {class_of(u, t, long) for u, t in itertools.product(URGENCIES, (0, 1, 2)) if not exempt(u, t)} == {2}


def test_a_clock_that_jumped_back_lowers_nobody():
    assert class_of("urgent", 1, -1e9) == class_of("urgent", 1, 0.0)


@given(st.lists(st.tuples(st.integers(1, PART_MESSAGE_BYTES), st.floats(0, 600)), max_size=200))
def test_the_window_stays_within_one_part_and_its_most(answers):
    window, now = Window(10 * PART_MESSAGE_BYTES), 0.0
    for count_bytes, delay_s in answers:
        now += delay_s
        window = window.answered(count_bytes, delay_s, now)
        assert PART_MESSAGE_BYTES <= window.size_bytes <= 10 * PART_MESSAGE_BYTES


@pytest.mark.parametrize("bytes_per_s", [8_000, 32_000, 250_000, 2_000_000, 50_000_000])
def test_on_a_line_of_any_speed_the_queue_is_short_and_the_line_is_full(bytes_per_s):
    """A line with a queue before it, as a modem has: what is handed over waits for all that was before it."""
    window, now, free_at, sent = Window(64 * PART_MESSAGE_BYTES), 0.0, 0.0, 0
    under_way: list[tuple[float, float]] = []  # (acknowledged at, handed over at)
    delays = []
    while now < 400.0:
        while window.fits(PART_MESSAGE_BYTES, len(under_way) * PART_MESSAGE_BYTES):
            free_at = max(free_at, now) + PART_MESSAGE_BYTES / bytes_per_s
            under_way.append((free_at + 0.02, now))
            sent += PART_MESSAGE_BYTES
        done, handed = under_way.pop(0)
        now = done
        delays.append(now - handed)
        window = window.answered(PART_MESSAGE_BYTES, now - handed, now)
    alone_s = PART_MESSAGE_BYTES / bytes_per_s
    assert sorted(delays)[len(delays) // 2] <= max(1.5 * TARGET_S, 2.5 * alone_s + 0.1)
    bound_by_window = 64 * PART_MESSAGE_BYTES / (0.02 + 64 * alone_s)
    assert sent / 400.0 >= 0.6 * min(bytes_per_s, bound_by_window)


def test_a_broken_line_starts_small_again():
    window = Window(64 * PART_MESSAGE_BYTES)
    for _ in range(5000):
        window = window.answered(PART_MESSAGE_BYTES, 0.01, 0.0)
    assert window.size_bytes == 64 * PART_MESSAGE_BYTES
    assert window.broken().size_bytes == 2 * PART_MESSAGE_BYTES


@given(st.integers(1, 10**7), st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_no_more_leaves_a_bucket_than_fell_into_it(rate, pauses):
    now, left, bucket = 0.0, 0, per_second(rate, 0.0)
    for pause_s in pauses:
        now += pause_s
        bucket = bucket.filled(now)
        while bucket.open:
            bucket, left = bucket.without(1000 + rate // 3), left + 1000 + rate // 3
    assert left <= rate * (now + 1) + 1000 + rate // 3


def test_without_a_budget_there_is_none():
    bucket = per_hour(0, 0.0)
    assert bucket.without(10**12).filled(1.0).open


def test_a_clock_that_does_not_move_fills_nothing():
    bucket = per_hour(3600, 5.0).without(3600)
    assert not bucket.filled(5.0).open
    assert not bucket.filled(4.0).open
    assert bucket.filled(6.0).open
