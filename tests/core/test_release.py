"""Which release is taken, what is done next at every stage, and what counts as worse: the rule, exhaustively."""

import itertools
from typing import Any, get_args

import pytest

from appliance.core.document import decode, encode
from appliance.core.lifecycle import OWNERS
from appliance.core.release import (
    AT_WORK,
    TRIES_MAX,
    Ended,
    Facts,
    Mode,
    Record,
    Stage,
    Trial,
    for_here,
    in_window,
    newest,
    next_step,
    worse,
)
from appliance.core.updates import Kind, Offer, Ring, Terms

SHA = "a" * 64
SWITCHED = ("placed", "installed", "back")


def offer(
    version: str, *, ring: Ring = "all", name: str = "", kind: Kind = "release", sha256: str = SHA, **told: Any
) -> Offer:
    path = name or f"releases/edge-diagnostic-appliance_{version}_amd64.deb"
    return Offer(path, kind, sha256, 10, Terms(kind=kind, title=version, ring=ring, **told))


def chosen(offers: list[Offer], failed: tuple[str, ...] = (), running: str = "0.9.0") -> str:
    return newest(for_here(offers, running=running, ring="all", device="edge-7"), failed)


def test_the_newest_that_is_meant_for_here_and_newer_is_taken() -> None:
    assert chosen([offer("0.9.1"), offer("0.10.0"), offer("0.2.0")]) == "0.10.0"
    assert chosen([offer("0.9.0"), offer("0.8.9")]) == ""
    assert chosen([offer("1.0.0", withdrawn=True), offer("0.9.1")]) == "0.9.1"
    assert chosen([offer("1.0.0", ring="lab")]) == ""
    assert chosen([offer("1.0.0", app_version_min="0.9.5")]) == ""
    assert chosen([offer("1.0.0", name="releases/other_1.0.0_amd64.deb")]) == ""
    assert chosen([offer("1.0.0", name="models/chest-1.0.0.tar", kind="model")]) == ""
    assert chosen([Offer("releases/edge-diagnostic-appliance_1.0.0_amd64.deb", "release", SHA, 10, None)]) == ""
    assert chosen([offer("1.0.0"), offer("0.9.1", sha256="b" * 64)], failed=(SHA,)) == "0.9.1"


@pytest.mark.parametrize(
    ("window", "minute", "inside"),
    [
        ("02:00-04:00", 119, False),
        ("02:00-04:00", 120, True),
        ("02:00-04:00", 239, True),
        ("02:00-04:00", 240, False),
        ("23:00-01:00", 1439, True),
        ("23:00-01:00", 59, True),
        ("23:00-01:00", 60, False),
        ("00:00-00:00", 0, True),
        ("08:00-08:00", 479, True),
    ],
)
def test_a_window_may_span_midnight(window: str, minute: int, inside: bool) -> None:
    assert in_window(window, minute) == inside


def test_every_state_of_everything_has_a_next_step_that_keeps_the_promises() -> None:
    flags = (False, True)
    trials: list[Trial | None] = [None]
    for stage, by_person, tries in itertools.product(get_args(Stage), flags, (0, TRIES_MAX)):
        trials.append(Trial(version="1.0.0", sha256=SHA, former="0.9.0", stage=stage, by_person=by_person, tries=tries))
    seen = set()
    every = itertools.product(get_args(Mode), flags, flags, flags, trials, (None, False, True), flags)
    for mode, ordered, window, candidate, trial, offered, busy in every:
        step = next_step(Facts(mode, ordered, window, candidate, trial, offered, busy))
        seen.add(step)
        may = ordered or (trial is not None and trial.by_person) or (mode == "install" and window)
        switched = trial is not None and trial.stage in SWITCHED
        beside = trial is not None and trial.stage == "placed" and trial.tries == 0  # nothing that runs has changed yet
        if beside and offered is False:
            assert step == "drop"  # taken back while it waited
        elif switched and step == "wait":
            assert (beside, busy) == (True, True)
        elif switched:
            assert step in ("install", "watch", "go back", "restore")  # never left half-way, whatever else is so
            assert (step in ("go back", "restore")) == (
                trial is not None and (trial.stage == "back" or trial.tries > 0)
            )
        elif not may:
            assert step in ("rest", "drop")
        if step == "place":
            assert trial is not None
            assert trial.stage == "tested"
            assert not busy
            assert offered
        if step in ("test", "choose"):
            assert may
            assert offered or trial is None
        if step == "drop":
            assert beside or not switched
            assert offered is False
    assert seen == {"rest", "choose", "drop", "test", "fail", "wait", "place", "install", "watch", "go back", "restore"}


def test_what_was_well_and_is_not_is_worse_and_nothing_else_is() -> None:
    before = {"SQLite": True, "disk": False}
    assert worse(before, before, ("triage",), ("triage", "uplink")) == ""
    assert worse(before, before, ("triage",), ("uplink",)) == "service triage"
    assert worse(before, {"SQLite": False, "disk": False}, (), ()) == "SQLite"
    assert worse(before, {"SQLite": True, "new": False}, (), ()) == "new"
    assert worse(before, {"SQLite": True, "broker": False}, (), ()) == ""
    assert worse(before, {}, (), ()) == "check"  # a version that cannot say how it stands


def test_the_machines_own_work_is_what_triage_owns_but_for_the_wait_for_the_centre() -> None:
    """And but for forgetting, which may be cut off anywhere."""
    assert {s for s, owner in OWNERS.items() if owner.startswith("triage")} - AT_WORK == {"escalated", "reviewed"}


def test_a_failure_is_said_until_something_was_installed_after_it() -> None:
    failed = Ended(version="1.0.0", former="0.9.0", sha256=SHA, at=5.0, code="release-worse")
    done = Ended(version="1.0.1", former="0.9.0", sha256="b" * 64, at=6.0)
    assert Record(failed=(failed,)).last_failed == failed
    assert Record(failed=(failed,), installed=(done,)).last_failed is None
    record = Record(failed=(failed,), trial=Trial(version="1.0.0", sha256=SHA, former="0.9.0", before={"a": True}))
    assert decode(Record, encode(record)) == record
