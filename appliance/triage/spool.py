"""Triage keeps the spool of sealed cases within its bytes, and mends what lies in it.

When the line is down for long, bulk goes first: whole series, then the pictures of routine cases, the newest of them
first and none of which the centre has a part already. Findings never go, nor anything of an urgent case. What went is
made anew from the clinical side when there is room again, as is what a disk has damaged: nothing but time is lost by
shedding. It refuses to shed a case's last way to the centre. Pictures that a policy of the centre takes away
(docs/balance.md) go the same way and come back the same way, when it takes them away no longer.
"""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core.document import URGENCIES, Urgency
from appliance.core.enclosure import Sender
from appliance.core.policy import pictures_of
from appliance.core.schedule import SERIES_TIER
from appliance.errors import Fault
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.triage.handover import Handover
from appliance.world import archive, ledger, sqlite, wire
from appliance.world.wire import freight

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 10.0
ROOM_SHARE = 0.7  # of the budget: below it what was shed comes back
PICTURES_TIER = 1


class Spool:
    """The steps shed and mend."""

    def __init__(self, config: Config, places: Places, handover: Handover) -> None:
        self.bytes_max = config.network.spool_bytes_max
        self.places, self.handover = places, handover
        self.engine, self.cases = handover.engine, handover.cases
        self.link: Engine | None = None
        self._shed_again, self._mend_again = 0.0, 0.0
        self._in_vain: set[tuple[str, int]] = set()  # (case, tier) that could not be made anew, in this life

    def shed(self, moment: Moment) -> bool:
        """Lets bulk go until the spool is within its bytes; works on a full disk, because it only takes away."""
        if moment.mono < self._shed_again:
            return False
        self._shed_again = moment.mono + LOOK_PERIOD_S
        waiting = self._waiting()
        going = self._taken_away(waiting)
        over = -sum(row.sealed_bytes for row in going)
        over += sum(row.sealed_bytes for row in waiting) - self.bytes_max
        taken = {row.transfer_id for row in going}
        for row in self._sheddable(waiting) if over > 0 else ():
            if over <= 0:
                break
            if row.transfer_id not in taken:
                going.append(row)
                over -= row.sealed_bytes
        if going:
            with self.cases.begin() as c:
                for row in going:
                    freight.shed_transfer(c, row.transfer_id, moment.wall)
            for row in going:
                archive.remove(self.places.parts / row.sha256)
            FAULTS["spool-shed"] += len(going) - len(taken)
            LOG.warning("triage.shed: %d transfers went from the spool, to be made again later", len(going))
        if over > 0:
            FAULTS["spool-full"] += 1
            LOG.warning("triage.shed: spool-full")
        return bool(going)

    def mend(self, moment: Moment) -> bool:
        """Makes one transfer anew: of those a disk has damaged, else of those shed, the most urgent first."""
        sender = self.handover.post.sender(moment)
        if moment.mono < self._mend_again or sender is None:
            return False
        waiting = self._waiting()
        damaged = self._damaged(waiting)
        used = sum(row.sealed_bytes for row in waiting)
        room = self.bytes_max * ROOM_SHARE - used
        lost = [*damaged, *(row for row in self._shed() if row.sealed_bytes <= room)]
        lost = [row for row in lost if (row.case_id, row.tier) not in self._in_vain]
        bare = self._bare() if lost else ()
        lost = [row for row in lost if row.tier != PICTURES_TIER or row.urgency not in bare]
        if not lost:
            self._mend_again = moment.mono + LOOK_PERIOD_S
            return False
        self._make_anew(lost[0], sender, moment)
        return True

    def steps(self) -> dict[str, Step]:
        return {"shed": self.shed, "mend": self.mend}

    # What lies there.

    def _waiting(self) -> list[Row[Any]]:
        """Transfers whose bytes lie in the spool and are still wanted: columns of wire.transfers."""
        with self.cases.connect() as c:
            ready = freight.open_transfers(c)
        arrived, received = self._arrived()
        return [
            row
            for row in ready
            if row.transfer_id not in arrived and (row.tier == SERIES_TIER or row.case_id not in received)
        ]

    def _sheddable(self, waiting: list[Row[Any]]) -> Iterator[Row[Any]]:
        begun = self._begun()
        series = [row for row in waiting if row.tier == SERIES_TIER]
        bare = {row.case_id for row in waiting if row.tier < PICTURES_TIER}
        pictures = [
            row for row in waiting if row.tier == PICTURES_TIER and row.urgency == "routine" and row.case_id in bare
        ]
        for crowd in (series, pictures):
            yield from sorted(crowd, key=lambda row: (row.transfer_id in begun, -row.created_at, row.id))

    def _taken_away(self, waiting: list[Row[Any]]) -> list[Row[Any]]:
        """Pictures with which no case of their urgency goes now, by the policy in force; what has begun to go, goes."""
        bare = self._bare()
        if not bare:
            return []
        begun = self._begun()
        twins = {row.case_id for row in waiting if row.tier < PICTURES_TIER}
        pictures = [row for row in waiting if row.tier == PICTURES_TIER and row.urgency in bare]
        return [row for row in pictures if row.case_id in twins and row.transfer_id not in begun]

    def _bare(self) -> set[Urgency]:
        """Urgencies whose cases go without pictures by the policy in force."""
        with self.engine.connect() as c:
            policy = self.handover.policy(c)
        return {urgency for urgency in URGENCIES if pictures_of(policy, urgency) == 0}

    def _damaged(self, waiting: list[Row[Any]]) -> list[Row[Any]]:
        """Those uplink could not send or the centre lost; a series is asked for again by whoever wants it."""
        link = self._mailbox()
        if link is None:
            return []
        with link.connect() as c:
            named = set(freight.damaged_transfers(c))
        return [row for row in waiting if row.transfer_id in named and row.tier != SERIES_TIER]

    def _shed(self) -> list[Row[Any]]:
        """Pictures that were shed of cases that still wait, without a copy made since."""
        _, received = self._arrived()
        with self.cases.connect() as c:
            return [row for row in freight.shed_pictures(c) if row.case_id not in received]

    def _arrived(self) -> tuple[set[str], set[str]]:
        link = self._mailbox()
        if link is None:
            return set(), set()
        with link.connect() as c:
            return freight.received_transfers(c), wire.received_case_ids(c)

    def _begun(self) -> set[str]:
        link = self._mailbox()
        if link is None:
            return set()
        with link.connect() as c:
            return freight.begun_transfers(c)

    def _mailbox(self) -> Engine | None:
        """Uplink's database, once uplink has made it."""
        if self.link is None and self.places.link_db.exists():
            link = sqlite.open_reader(self.places.link_db)
            with link.connect() as c:
                self.link = link if wire.is_made(c, wire.LINK) else None
        return self.link

    # Again.

    def _make_anew(self, row: Row[Any], sender: Sender, moment: Moment) -> None:
        """The same document of the same case under a new key; its old transfer counts as shed."""
        self._in_vain.add((row.case_id, row.tier))  # until it is made: whatever kills us on the way is tried no more
        with self.engine.connect() as c:
            result = ledger.result_of_case(c, row.case_id)
            study = ledger.study_by_number(c, result.study_number) if result else None
            instances = ledger.instances_of(c, study.number) if study else []
        if result is None or study is None or study.revision != result.revision:
            return
        again = partial(self.handover.leaving, row.case_id, result.revision, result, instances, row.urgency)
        leaving = guarded("triage.mend", again)
        if isinstance(leaving, Fault) or row.tier not in leaving.documents:
            return
        told, manifest = self.handover.spooled(leaving, row.tier, row.urgency, sender)
        if row.tier == max(leaving.documents):
            self.handover.keep(study.number, result.revision, leaving, manifest, moment)
        with self.cases.begin() as c:
            freight.shed_transfer(c, row.transfer_id, moment.wall)
            freight.put_transfer(c, told, moment.wall)
        self._in_vain.discard((row.case_id, row.tier))
        LOG.info("triage.mend: a transfer of case %s was made again", row.case_id[:8])
