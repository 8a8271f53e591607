"""One transfer on its way: what was handed to the connection, and what the centre says it has. No clock, no socket."""

from dataclasses import dataclass

from appliance.core.enclosure import Enclosed
from appliance.core.transfer import missing

AHEAD_PARTS_MAX = 64  # of one transfer, sent and not yet in what the centre says it has; then its word is waited for
MANIFEST = -1


@dataclass(slots=True)
class Flight:
    """A transfer of which something went out in this life.

    have   parts the centre holds by its own word; flown: parts handed over and not given up
    due    when all of it has flown and nothing was heard, it goes again then (s, monotonic); after which wait
    """

    load: Enclosed
    have: int
    wait_s: float
    flown: int = 0
    announced: bool = False
    due: float = 0.0
    sent: float = 0.0

    @property
    def ahead(self) -> int:
        return (self.flown & ~self.have).bit_count()

    def next(self) -> int | None:
        """The next message of it: MANIFEST or a part's index; None when all has flown, or enough for now."""
        if not self.announced:
            return MANIFEST
        if self.ahead >= AHEAD_PARTS_MAX:
            return None
        return next(missing(self.have | self.flown, self.load.parts), None)

    def again(self) -> None:
        """Whatever the centre does not have counts as never sent."""
        self.flown, self.announced = 0, False
