"""The whole de-identified series of a case, when the centre asks for it and the site allows it (tier 2).

Every object of the study goes the way of all that leaves (cleaned, then inspected by the checker that did not clean),
one at a time, into a gzipped tar that is sealed part by part in the end: a series of any size takes the memory of one
object. If one object may not leave, nothing of the series does. A step does one object, so that a long series starves
nothing; after a crash it begins again from the request, which lies with uplink until the series is sealed.
"""

import gzip
import io
import logging
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core.document import Urgency
from appliance.core.enclosure import Sender, announced
from appliance.core.schedule import SERIES_TIER
from appliance.core.study import Instance
from appliance.core.transfer import KEY_BYTES, SEALED_PART_BYTES, Manifest, sealed_parts
from appliance.core.worklist_order import case_urgency
from appliance.errors import Fault
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.triage.handover import TRANSFER_ID_BYTES, Handover
from appliance.world import archive, ledger, sqlite, wire
from appliance.world.wire import freight

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 5.0
REQUESTS_MAX = 1000  # looked at; the newest beyond them wait
READ_BYTES = 1 << 20
GZIP_LEVEL = 6


class Series:
    """The step series."""

    def __init__(self, config: Config, places: Places, handover: Handover) -> None:
        self.allowed = config.network.full_series == "on-request"
        self.places, self.handover = places, handover
        self.link: Engine | None = None
        self._making: _Making | None = None
        self._look_again = 0.0
        self._stays: set[str] = set()  # cases whose series may not leave, in this life

    def steps(self) -> dict[str, Step]:
        return {"series": self.series}

    def series(self, moment: Moment) -> bool:
        """One object of the series that is being made; else looks whether one is asked for."""
        if self._making is None:
            self._making = self._next(moment)
            return self._making is not None
        making = self._making
        told = guarded("triage.series", making.step)
        if told is None:
            return True
        self._making = None
        if isinstance(told, Fault):
            FAULTS["series-stays"] += 1
            LOG.warning("triage.series: the series of case %s stays here: %s", making.case_id[:8], told.code)
            self._stays.add(making.case_id)
            making.drop()
            return True
        with self.handover.cases.begin() as c:
            freight.put_transfer(c, announced(told, making.sender), moment.wall)
        making.drop()
        LOG.info("triage.series: %d objects of case %s are sealed", making.place, making.case_id[:8])
        return True

    def close(self) -> None:
        """Lets go of a series that is half made; it begins again after the next start."""
        if self._making is not None:
            self._making.drop()

    def _next(self, moment: Moment) -> "_Making | None":
        sender = self.handover.post.sender(moment)
        if not self.allowed or sender is None or moment.mono < self._look_again:
            return None
        for row in self._asked():
            if not self._policy_allows():
                break
            if row.case_id in self._stays or self._made(row.case_id):
                continue
            with self.handover.engine.connect() as c:
                result = ledger.result_of_case(c, row.case_id)
                study = ledger.study_by_number(c, result.study_number) if result else None
                instances = ledger.instances_of(c, study.number) if study else []
            if result is not None and study is not None and instances:
                urgency = case_urgency(result.priority, study.request_rank)
                return _Making(row.case_id, urgency, instances, self.handover, sender)
        self._look_again = moment.mono + LOOK_PERIOD_S
        return None

    def _asked(self) -> list[Row[Any]]:
        if self.link is None and self.places.link_db.exists():
            link = sqlite.open_reader(self.places.link_db)
            with link.connect() as c:
                self.link = link if wire.is_made(c, wire.LINK) else None
        if self.link is None:
            return []
        with self.link.connect() as c:
            return freight.requests_after(c, 0, REQUESTS_MAX)

    def _policy_allows(self) -> bool:
        """What the site allows a policy of the centre may still take away."""
        with self.handover.engine.connect() as c:
            return self.handover.policy(c).full_series == "on-request"

    def _made(self, case_id: str) -> bool:
        """Sealed already. One that went from a full spool is not made again by itself: whoever wants it still waits."""
        with self.handover.cases.connect() as c:
            return any(row.tier == SERIES_TIER for row in freight.transfers_of(c, case_id))


class _Making:
    """One series on its way into the spool: cleaned objects in a file of phi/, then sealed."""

    def __init__(
        self, case_id: str, urgency: Urgency, instances: list[Instance], handover: Handover, sender: Sender
    ) -> None:
        self.case_id, self.urgency, self.instances = case_id, urgency, instances
        self.handover, self.sender = handover, sender
        self.place = 0
        self.path = handover.places.phi / f"series{archive.PARTIAL}"
        self.path.unlink(missing_ok=True)
        self.file: BinaryIO = self.path.open("wb")
        # No name and no time in the frame: nothing in it tells when or where it was made.
        self.packed = gzip.GzipFile("", "wb", GZIP_LEVEL, self.file, mtime=0)
        self.tar = tarfile.TarFile(fileobj=self.packed, mode="w", format=tarfile.USTAR_FORMAT)

    def step(self) -> Manifest | None:
        """Adds the next object; after the last one the manifest of what lies sealed in the spool.

        raises  Quarantined where an object may not leave, Unavailable where there is no room
        """
        instance = self.instances[self.place]
        data = archive.read_instance(self.handover.places.instances, instance.sha256)
        cleaned = self.handover.cleaning.clean(data, None).bytes
        self.place += 1
        member = tarfile.TarInfo(f"{self.place:06d}.dcm")  # in the order in which they came: no name out of a data set
        member.size = len(cleaned)
        self.tar.addfile(member, io.BytesIO(cleaned))
        if self.place < len(self.instances):
            return None
        self._end()
        return self._sealed()

    def drop(self) -> None:
        """Lets go of the file of cleaned objects."""
        self._end()
        archive.remove(self.path)

    def _end(self) -> None:
        for each in (self.tar, self.packed, self.file):
            each.close()

    def _sealed(self) -> Manifest:
        transfer_id, key = self.handover.draw(TRANSFER_ID_BYTES).hex(), self.handover.draw(KEY_BYTES)
        parts = sealed_parts(_pieces(self.path), transfer_id=transfer_id, key=key)
        sha256, size = archive.put_stream(self.handover.places.parts, parts, f"series-{transfer_id}", "")
        return Manifest(
            transfer_id=transfer_id,
            case_id=self.case_id,
            tier=SERIES_TIER,
            urgency=self.urgency,
            codec="tar+gzip",
            parts=-(-size // SEALED_PART_BYTES),
            sealed_bytes=size,
            sha256=sha256,
            key=key.hex(),
        )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece
