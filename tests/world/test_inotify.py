"""Hints by the kernel itself: what wakes, what does not, and that a burst is one hint."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.world import inotify

PATIENCE_S, QUIET_S = 10.0, 0.3


class Sleeper:
    """Counts hints; `woken` is set at each."""

    def __init__(self) -> None:
        self.woken, self.hints = threading.Event(), 0

    def __call__(self) -> None:
        self.hints += 1
        self.woken.set()

    def hears(self, act: Callable[[], object]) -> bool:
        self.woken.clear()
        act()
        return self.woken.wait(PATIENCE_S)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    monkeypatch.setattr(inotify, "STOP_LOOK_MS", 50)
    told = threading.Event()
    yield told
    told.set()


def listening(folder: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Sleeper:
    """A sleeper whose folder is watched: the thread has looked through all that is there."""
    ready, plain, sleeper = threading.Event(), inotify._watch, Sleeper()

    def watch(*given: object) -> None:
        plain(*given)  # type: ignore[arg-type]
        ready.set()

    monkeypatch.setattr(inotify, "_watch", watch)
    inotify.hint(folder, stop=stop, wake=sleeper, leave_out=frozenset({"taken"}))
    assert ready.wait(PATIENCE_S)
    return sleeper


def test_a_file_that_is_closed_moved_in_or_lies_deeper_wakes(
    tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, aside = tmp_path / "scanner", tmp_path / "aside"
    (folder / "deep" / "deeper").mkdir(parents=True)
    aside.write_bytes(b"x")
    sleeper = listening(folder, stop, monkeypatch)
    assert sleeper.hears(lambda: (folder / "a").write_bytes(b"x"))
    assert sleeper.hears(lambda: aside.rename(folder / "b"))
    assert sleeper.hears(lambda: (folder / "deep" / "deeper" / "c").write_bytes(b"x"))
    assert sleeper.hears((folder / "new").mkdir)
    assert sleeper.hears(lambda: (folder / "new" / "d").write_bytes(b"x"))


def test_what_is_left_out_hidden_or_behind_a_link_does_not(
    tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "scanner", tmp_path / "elsewhere"
    for each in (folder / "taken", folder / ".hidden", elsewhere):
        each.mkdir(parents=True)
    (folder / "link").symlink_to(elsewhere)
    sleeper = listening(folder, stop, monkeypatch)
    for each in (folder / "taken", folder / ".hidden", elsewhere):
        (each / "a").write_bytes(b"x")
    assert not sleeper.woken.wait(QUIET_S)
    assert sleeper.hears(lambda: (folder / "a").write_bytes(b"x"))  # the thread lives and hears


def test_a_burst_is_a_few_hints(tmp_path: Path, stop: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeper = listening(tmp_path, stop, monkeypatch)

    def burst() -> None:
        for number in range(2000):
            (tmp_path / f"{number}").write_bytes(b"x")

    assert sleeper.hears(burst)
    assert sleeper.hints < 200


def test_the_thread_ends_when_told_and_where_there_is_no_folder(tmp_path: Path, stop: threading.Event) -> None:
    gone = inotify.hint(tmp_path / "gone", stop=stop, wake=lambda: None)
    gone.join(PATIENCE_S)
    there = inotify.hint(tmp_path, stop=stop, wake=lambda: None)
    stop.set()
    there.join(PATIENCE_S)
    assert not gone.is_alive()
    assert not there.is_alive()
