"""Triage's care for a full disk: a ballast is held in good times and given up when there is nothing left.

It is looked at before the databases are opened, too, because on a full disk they cannot be. While the ballast is
gone the disk is not well: the log says so, and it is taken on again only when there is room beyond every reserve.
"""

import logging

from appliance.config import Config, Places
from appliance.loop import Moment, Step
from appliance.world import archive, ballast

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 5.0
SPENT_SHARE = 4  # given up when less is free than a quarter of it: what a transaction and a file's fsync need


class Mending:
    """The step `ballast`."""

    def __init__(self, config: Config, places: Places) -> None:
        self.folder = places.root
        self.size_bytes = config.state.ballast_bytes
        self.room_bytes = config.receive.disk_reserve_bytes + 2 * self.size_bytes
        self.next_look = 0.0
        self.look()

    def steps(self) -> dict[str, Step]:
        return {"ballast": self.tend}

    def tend(self, moment: Moment) -> bool:
        if moment.mono >= self.next_look:
            self.next_look = moment.mono + LOOK_PERIOD_S
            self.look()
        return False

    def look(self) -> None:
        """Gives the ballast up where the disk is full, takes it on where there is plenty."""
        held, free = ballast.bytes_held(self.folder), archive.free_bytes(self.folder)
        if held and (free < self.size_bytes // SPENT_SHARE or not self.size_bytes):
            LOG.warning("disk-low: the ballast of %d bytes is given up", ballast.give_up(self.folder))
        elif self.size_bytes and held < self.size_bytes and free >= self.room_bytes:
            ballast.take_on(self.folder, self.size_bytes)
