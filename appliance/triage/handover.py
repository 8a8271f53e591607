"""Triage, third part: a hard study becomes a sealed case in wire/, or stays here because identity might leave.

What the case is made of stands in sealing; here are the effects and their order: the part, then the receipt and the
crosswalk on the clinical side, then the case row by which uplink may send it, then the study's move.
"""

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Config, Places
from appliance.core import case as wire_case
from appliance.core.decide import Model
from appliance.core.document import Urgency, encode
from appliance.core.enclosure import Enclosed, Sender, enclosed
from appliance.core.policy import Policy, here, pictures_of, place
from appliance.core.schedule import SERIES_TIER
from appliance.core.study import Instance
from appliance.core.transfer import KEY_BYTES, Manifest, Tier
from appliance.core.worklist_order import case_urgency
from appliance.errors import Fault, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.triage.post import Post
from appliance.triage.sealing import Cleaning, Leaving, sealed_case
from appliance.world import archive, ledger, sqlite, wire
from appliance.world.ledger import departures, updates
from appliance.world.wire import freight

LOG = logging.getLogger("appliance.triage")
STUDIES_A_STEP = 1  # cleaning pictures takes seconds, and the watchdog hears of us only between steps
PREFERRED_AMONG = 100
CASES_A_STEP = 500
TRANSFER_ID_BYTES = 16


class Handover:
    """The steps seal, withdraw and free."""

    def __init__(
        self,
        config: Config,
        places: Places,
        site_key: bytes,
        engine: Engine,
        cases: Engine,
        models: Callable[[], Sequence[Model]],
        cleaning: Cleaning,
        post: Post,
    ) -> None:
        self.knobs, self.device = config.triage, config.site.device_id
        self.post = post
        self.places = places
        self.site_key = site_key
        self.models = models
        self.cleaning = cleaning
        self.engine = engine
        self.cases = cases
        self.link: Engine | None = None
        self.draw: Callable[[int], bytes] = os.urandom  # transfer ids and keys: never the same twice, whatever the seed

    def steps(self) -> dict[str, Step]:
        return {"seal": self.seal, "withdraw": self.withdraw, "free": self.free}

    def seal(self, moment: Moment) -> bool:
        """Hard studies to the wire: part, case row, then the move; each again is no harm."""
        sender = self.post.sender(moment)
        if sender is None:
            return False
        with self.engine.connect() as c:
            hard = self._next(c)
        for study in hard:
            self._seal_one(study, sender, moment)
        return bool(hard)

    def _next(self, c: Connection) -> list[Row[Any]]:
        """The hard studies that are sealed now: the longest waiting, unless a policy of the centre prefers others."""
        policy = self.policy(c)
        if not policy.first:
            return ledger.in_state(c, "hard", STUDIES_A_STEP)

        def where(study: Row[Any]) -> tuple[int, bool, int]:
            result = ledger.result_of(c, study.number, study.revision)
            urgency = case_urgency("routine" if result is None else result.priority, study.request_rank)
            return place(policy, attempts=study.attempts, urgency=urgency, modality=study.modality)

        return sorted(ledger.in_state(c, "hard", PREFERRED_AMONG), key=where)[:STUDIES_A_STEP]

    def policy(self, c: Connection) -> Policy:
        """What the policy in force says for this appliance."""
        return here(updates.policy(c), self.device)

    def _seal_one(self, study: Row[Any], sender: Sender, moment: Moment) -> None:
        case_id = wire_case.case_id(self.site_key, study.study_instance_uid, study.revision)
        with self.engine.begin() as c:
            if ledger.count_attempt(c, study) > self.knobs.attempts_max:
                ledger.move(c, study, "quarantined", who="triage.seal", at=moment.wall, code="study-attempts-spent")
                return
            # Before the case exists, so that a case can never outlive what the ledger knows of it.
            ledger.set_case(c, study.number, study.revision, case_id)
            result = ledger.result_of(c, study.number, study.revision)
            instances = ledger.instances_of(c, study.number)
        assert result is not None, "a hard study was decided"
        with self.cases.connect() as c:
            sealed_before = bool(wire.known_cases(c, [case_id]))
        # A case that may have left is never made again: another version of us might give it other bytes.
        if not sealed_before and not self._make(study, case_id, result, instances, sender, moment):
            return
        with self.engine.begin() as c:
            ledger.move(c, study, "escalated", who="triage.seal", at=moment.wall)
        LOG.info("study %d: sealed as case %s", study.number, case_id[:8])

    def _make(
        self,
        study: Row[Any],
        case_id: str,
        result: Row[Any],
        instances: Sequence[Instance],
        sender: Sender,
        moment: Moment,
    ) -> bool:
        """Seals one case and writes all that belongs to it; False when the study was set aside instead."""
        urgency = case_urgency(result.priority, study.request_rank)
        leaving = guarded("triage.seal", partial(self.leaving, case_id, study.revision, result, instances, urgency))
        if isinstance(leaving, Fault) and not isinstance(leaving, Unavailable):
            with self.engine.begin() as c:
                ledger.move(c, study, "quarantined", who="triage.seal", at=moment.wall, code=leaving.code)
            return False
        try:
            if isinstance(leaving, Unavailable):
                raise leaving
            ways = [self.spooled(leaving, tier, urgency, sender) for tier in sorted(leaving.documents)]
            self.keep(study.number, study.revision, leaving, ways[-1][1], moment)
            with self.cases.begin() as c:
                made = [each for each, _ in ways]
                wire.put_case(c, case_id, made, revision=study.revision, urgency=urgency, at=moment.wall)
        except Unavailable:  # a full disk judges no study
            with self.engine.begin() as c:
                ledger.give_back_attempt(c, study)
            raise
        return True

    def leaving(
        self, case_id: str, revision: int, result: Row[Any], instances: Sequence[Instance], urgency: Urgency
    ) -> Leaving:
        """What would leave of a study, cleaned and inspected. Raises Quarantined where in doubt."""
        with self.engine.connect() as c:
            most = pictures_of(self.policy(c), urgency)
        return sealed_case(
            case_id,
            revision,
            dict(result._mapping),
            instances,
            self._read,
            site_key=self.site_key,
            models=self.models(),
            cleaning=self.cleaning,
            pixels_max=self.knobs.pixels_max,
            answer_within_s=self.knobs.deadline_s(urgency),
            key_images_max=most,
        )

    def spooled(self, leaving: Leaving, tier: Tier, urgency: Urgency, sender: Sender) -> tuple[Enclosed, Manifest]:
        """One document of a case sealed and in wire/parts; nothing names it yet."""
        told, manifest, data = enclosed(
            leaving.documents[tier],
            case_id=leaving.case_id,
            tier=tier,
            urgency=urgency,
            transfer_id=self.draw(TRANSFER_ID_BYTES).hex(),
            key=self.draw(KEY_BYTES),
            sender=sender,
        )
        archive.put(self.places.parts / told.sha256, data)
        return told, manifest

    def keep(self, number: int, revision: int, leaving: Leaving, manifest: Manifest, moment: Moment) -> None:
        """Receipt and crosswalk, before the case row: no case may leave of which nobody here can give account.

        manifest  of the fullest of its transfers
        """
        stamp = leaving.receipt.stamp
        with self.engine.begin() as c:
            departures.put_receipt(
                c,
                case_id=leaving.case_id,
                number=number,
                revision=revision,
                body=leaving.receipt.data,
                sha256=stamp.sha256,
                signature=stamp.signature,
                key_id=stamp.key_id,
                part_sha256=manifest.sha256,
                manifest=encode(manifest),
                at=moment.wall,
            )
            aliases = [(each.kind, each.pseudonym, each.source) for each in leaving.aliases]
            departures.put_pseudonyms(c, number, aliases)
            shown = [(each.id, each.sha256, each.frame) for each in leaving.shown]
            departures.put_key_images(c, leaving.case_id, number, shown)

    def _read(self, instance: Instance) -> bytes:
        return archive.read_instance(self.places.instances, instance.sha256, self.knobs.object_bytes_max)

    def withdraw(self, moment: Moment) -> bool:
        """Cases of superseded results are taken back; what the centre still says of them becomes an addendum."""
        with self.cases.connect() as c:
            still_open = [row.case_id for row in wire.open_cases(c)]
        with self.engine.connect() as c:
            # All of them, page by page: behind a centre that is silent for long the first ones stay the same.
            pages = (still_open[start : start + CASES_A_STEP] for start in range(0, len(still_open), CASES_A_STEP))
            old = [case_id for page in pages for case_id in ledger.superseded_cases(c, page)]
        if old:
            with self.cases.begin() as c:
                for case_id in old:
                    wire.cancel_case(c, case_id, moment.wall)
        return bool(old)

    def free(self, _: Moment) -> bool:
        """Parts the centre holds, or nobody wants any more, are removed: the receipt frees them, never the broker."""
        lying = {path.name: path for path in self.places.parts.iterdir() if not path.name.endswith(archive.PARTIAL)}
        if not lying or not self.places.link_db.exists():
            return False
        if self.link is None:
            self.link = sqlite.open_reader(self.places.link_db)
        with self.link.connect() as c:
            made = wire.is_made(c, wire.LINK)
            received = wire.received_case_ids(c) if made else set()
            arrived = freight.received_transfers(c) if made else set()
        with self.cases.connect() as c:
            wanted = {
                row.sha256
                for row in freight.open_transfers(c)
                if row.transfer_id not in arrived and (row.tier == SERIES_TIER or row.case_id not in received)
            }
            known = freight.known_parts(c, lying)
        for name, path in sorted(lying.items()):
            # A part without a case row was written just before a crash; sealing again makes the row or the same part.
            if name in known and name not in wanted:
                archive.remove(path)
        return False
