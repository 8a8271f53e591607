"""The loop and the one guard: counted, logged by code, and never a word of what was in the data."""

import logging
import math
import threading

import pytest

from appliance import loop
from appliance.errors import CATALOGUE, Fault, Misconfigured, Quarantined, Refused, Unavailable
from appliance.loop import FAULTS, Moment, guarded, run


def test_the_guard_hands_back_what_the_work_gives() -> None:
    assert guarded("here", lambda: 7) == 7


def test_a_fault_keeps_its_code() -> None:
    before = FAULTS["pixel-rescale"]
    fault = Quarantined("pixel-rescale", "RescaleSlope")

    def work() -> int:
        raise fault

    assert guarded("here", work) is fault
    assert FAULTS["pixel-rescale"] == before + 1


def test_what_nobody_foresaw_is_quarantined_and_its_words_stay_unsaid(caplog: pytest.LogCaptureFixture) -> None:
    def work() -> int:
        raise ValueError("PatientName is HARBOUR^ANNA")

    with caplog.at_level(logging.DEBUG):
        found = guarded("here", work)
    assert isinstance(found, Quarantined)
    assert found.code == "unexpected"
    assert "ANNA" not in caplog.text
    assert "ValueError" in caplog.text


def test_the_guard_lets_a_stop_through() -> None:
    def work() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded("here", work)


def test_a_fault_of_the_wrong_actor_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        Refused("pixel-rescale")
    with pytest.raises(KeyError):
        Refused("no-such-code")


def test_every_entry_of_the_catalogue_can_be_raised_and_says_what_to_do() -> None:
    kinds = {"sender": Refused, "person": Quarantined, "time": Unavailable, "operator": Misconfigured}
    for code, entry in CATALOGUE.items():
        fault: Fault = kinds[entry.actor](code)
        assert fault.hint.endswith((".", "key"))
        assert fault.text[0].islower()


def test_the_loop_goes_on_after_unavailable_and_ends_on_any_other_fault() -> None:
    stop, wake = threading.Event(), threading.Event()
    seen: list[str] = []

    def away(_: Moment) -> bool:
        seen.append("away")
        raise Unavailable("broker-away")

    def works(_: Moment) -> bool:
        seen.append("works")
        if len(seen) >= 6:
            stop.set()
        return True

    alive: list[int] = []
    run({"away": away, "works": works}, stop=stop, wake=wake, alive=lambda: alive.append(1))
    assert seen[:4] == ["away", "works", "away", "works"]
    assert len(alive) == len(seen)

    def breaks(_: Moment) -> bool:
        raise Misconfigured("state-folder")

    with pytest.raises(Misconfigured):
        run({"breaks": breaks}, stop=threading.Event(), wake=wake, alive=lambda: None)


def test_an_outage_is_said_once_and_again_when_it_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    stop, wake = threading.Event(), threading.Event()
    turns: list[int] = []

    def step(_: Moment) -> bool:
        turns.append(1)
        if len(turns) >= 9:
            stop.set()
        if len(turns) == 5:
            return True
        raise Unavailable("broker-away")

    def busy(_: Moment) -> bool:
        return True

    with caplog.at_level(logging.WARNING):
        run({"step": step, "busy": busy}, stop=stop, wake=wake, alive=lambda: None)
    assert caplog.text.count("broker-away") == 2


@pytest.mark.parametrize(
    ("left", "waited"),
    [(0.125, 0.125), (60.0, loop.IDLE_PERIOD_S), (math.inf, loop.IDLE_PERIOD_S), (-1.0, loop.IDLE_PERIOD_S)],
)
def test_nobody_sleeps_past_a_timer_and_one_that_is_past_turns_nobody_faster(
    left: float, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, slept = threading.Event(), list[float]()

    class Wake(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            slept.append(timeout or 0.0)
            stop.set()
            return True

    monkeypatch.setattr(loop, "moment", lambda: Moment(0.0, 100.0))
    loop.run({"idle": lambda _: False}, stop=stop, wake=Wake(), alive=lambda: None, due=lambda now: now + left)
    assert slept == [waited]
