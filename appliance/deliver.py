"""The deliver service: results out of phi/outbox/ to the hospital's systems, answers into phi/receipts/.

No target can be configured yet, so it has nothing to dial and says so; it is here so that its user, its network and
its paths stand in the units from the first day. It never opens the ledger.
"""

import logging

from appliance.config import Places
from appliance.loop import Moment, Step

LOG = logging.getLogger("appliance.deliver")


class Deliver:
    """Counts what waits for a target and reports a change, so that a result can never wait unseen."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.waiting = 0

    def steps(self) -> dict[str, Step]:
        return {"survey": self.survey}

    def survey(self, _: Moment) -> bool:
        waiting = sum(1 for _ in self.places.outbox.iterdir()) if self.places.outbox.is_dir() else 0
        if waiting != self.waiting:
            LOG.warning("%d results wait: no target is configured", waiting)
        self.waiting = waiting
        return False
