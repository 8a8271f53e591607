"""The loop every service runs in, and the one guard under which hostile bytes and callbacks run.

A service is a few named steps. A step takes the moment and says whether it did anything; it is idempotent, so it is
woken by a hint or by the clock and may be killed anywhere. The loop catches nothing but `Unavailable`: any other
fault of a step ends the service, whose supervisor starts it again.
"""

import logging
import math
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from appliance.errors import Fault, Quarantined, Unavailable

LOG = logging.getLogger("appliance")
IDLE_PERIOD_S = 0.5
SAY_AGAIN_S = 60.0  # an outage of days must not fill the journal
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks: wall for people (s since 1970), mono for every duration (s, never jumps)."""

    wall: float
    mono: float


Step = Callable[[Moment], bool]
Due = Callable[[float], float]


def moment() -> Moment:
    return Moment(time.time(), time.monotonic())


FAULTS: Counter[str] = Counter()


def guarded(where: str, work: Callable[[], T]) -> T | Fault:
    """The one guard: runs work on one item and turns whatever it raises into a counted fault.

    where    the stage, for the log
    returns  what work returns, or the fault. An exception nobody foresaw becomes Quarantined("unexpected"); its
             message is not logged, because it may quote a data set, only its type and the line of code.
    """
    try:
        return work()
    except Fault as fault:
        FAULTS[fault.code] += 1
        LOG.warning("%s: %s", where, fault)
        return fault
    except Exception as error:
        FAULTS["unexpected"] += 1
        lines = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
        LOG.error("%s: unexpected %s at %s", where, type(error).__name__, " < ".join(reversed(lines)))
        return Quarantined("unexpected", where)


def run(
    steps: Mapping[str, Step],
    *,
    stop: threading.Event,
    wake: threading.Event,
    alive: Callable[[], object],
    due: Due = lambda _: math.inf,
) -> None:
    """Runs the steps in order until stop is set; after a round in which none did anything, waits for wake or time.

    due  asked with mono seconds: when the next timer of the service runs out, so that nobody sleeps past it. One that
         has run out and did not help makes nobody turn faster

    An `Unavailable` that lasts is said once a minute. alive is called after every step that returned: the watchdog
    hears of progress, not of a living thread.
    """
    said: dict[str, tuple[str, float]] = {}
    while not stop.is_set():
        wake.clear()
        busy = False
        for name, step in steps.items():
            if stop.is_set():
                return
            now = moment()
            try:
                busy |= step(now)
                said.pop(name, None)
            except Unavailable as fault:
                FAULTS[fault.code] += 1
                code, at = said.get(name, ("", 0.0))
                if code != fault.code or now.mono - at >= SAY_AGAIN_S:
                    said[name] = (fault.code, now.mono)
                    LOG.warning("%s: %s (tried again)", name, fault)
            alive()
        if not busy:
            now = moment()
            left = due(now.mono) - now.mono
            wake.wait(min(left, IDLE_PERIOD_S) if left > 0 else IDLE_PERIOD_S)
