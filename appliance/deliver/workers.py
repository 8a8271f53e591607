"""One thread a target, so that a dead target holds up no other, and what is known of how each target stands."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from appliance.core.delivery import wait_s
from appliance.deliver.carriers import Carrier, Told
from appliance.deliver.orders import Job
from appliance.errors import Fault
from appliance.loop import guarded

BATCH_MAX = 50  # orders on one association: a more pressing one waits no longer than for these


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker is through with its batch. code: what was wrong with the target, "" when nothing was."""

    target: str
    code: str


@dataclass(slots=True)
class Target:
    """A target's carrier, and how it stands: since when nothing reaches it (wall seconds), and why."""

    name: str
    carrier: Carrier
    thread: threading.Thread | None = None
    failures: int = 0
    due: float = 0.0
    moved: float = 0.0  # when its worker last said anything, mono seconds
    away_since: float | None = None
    code: str = ""
    batch: list[str] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        return self.thread is not None

    def start(self, batch: Sequence[Job], say: Callable[[Told | Ended], None], now: float) -> None:
        """Sends a batch in a thread of its own; everything it finds out is said."""
        self.batch = [each.order.id for each in batch]
        self.moved = now
        self.thread = threading.Thread(target=self._run, args=(batch, say), name=f"deliver-{self.name}", daemon=True)
        self.thread.start()

    def _run(self, batch: Sequence[Job], say: Callable[[Told | Ended], None]) -> None:
        found = guarded("deliver.carry", partial(self.carrier.carry, batch, say))
        say(Ended(self.name, found.code if isinstance(found, Fault) else ""))

    def ended(self, code: str, now: float, wall: float, waits: tuple[float, float], draw: float) -> None:
        """After a batch: a target that could not be reached is left alone for a while, longer each time."""
        self.thread, self.batch, self.code = None, [], code
        if not code:
            self.failures, self.due, self.away_since = 0, 0.0, None
            return
        self.failures += 1
        self.away_since = wall if self.away_since is None else self.away_since
        self.due = now + wait_s(self.failures, *waits, draw)
