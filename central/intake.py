"""Transfers in: manifests and parts of one batch of messages become files, rows and, when whole, cases.

A part is opened when it comes, so that nothing lies in the spool that its sender did not seal; it is on the disk before
its bit is committed, and committed before the broker is told. A transfer whose parts all come in one batch never
touches the spool. The first whole document of a case stands for ever, whichever transfer brought it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine

from appliance.core.case import CASE_BYTES_MAX
from appliance.core.document import decode, encode
from appliance.core.transfer import (
    PART_BYTES,
    SEALED_PART_BYTES,
    Manifest,
    Part,
    all_parts,
    opened_part,
    span,
    unpacked,
)
from appliance.errors import Fault, Quarantined, Unavailable
from appliance.loop import LOG, guarded
from central import store
from central.answers import SERIES, Answer, case_answer, ended_answer, have, receipt, refusal
from central.inbound import CaseRead, Inbound, read_case
from central.spool import Spool
from central.store import freight, lives

CASE_SEALED_BYTES_MAX = (CASE_BYTES_MAX // PART_BYTES + 2) * SEALED_PART_BYTES
RESETS_MAX = 3  # of a transfer whose bytes on our disk are not what came; then it is refused
SAY_AGAIN_S = 60.0  # that parts are dropped, while they are
RESERVE_BYTES = 2 * 2**30  # of the disk, for cases: below it the parts of series are dropped, and sent again later

Key = tuple[str, str]  # device, transfer id


@dataclass(slots=True)
class Draft:
    """What one batch brings of one transfer.

    row    as it stood before, None for a new one; have: the parts that row says are durable
    fresh  sealed parts of this batch, opened and found to be what they say
    ended  "": parts are missing still; "whole"; "damaged": our disk does not hold what came
    """

    device_id: str
    manifest: Manifest
    row: Any = None
    have: int = 0
    fresh: dict[int, bytes] = field(default_factory=dict)
    asks: bool = False  # what was sent again wants an answer
    ended: str = ""
    found: CaseRead | None = None
    body: bytes | None = None

    @property
    def bits(self) -> int:
        return sum(1 << index for index in self.fresh)


@dataclass(slots=True)
class Batch:
    """What a batch of messages comes to: what is owed, what is put aside (by place in it), files not needed any more.

    open  transfers that are not whole: how many new parts, and what is durable
    """

    drafts: dict[Key, Draft] = field(default_factory=dict)
    settled: set[Key] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    aside: dict[int, str] = field(default_factory=dict)
    remove: list[Key] = field(default_factory=list)
    open: dict[Key, tuple[int, int]] = field(default_factory=dict)
    new_case: bool = False
    dropped: int = 0  # parts of series for which the disk has no room


class Intake:
    """Takes transfers in: `prepare` outside any transaction that writes, `commit` within one, `clear` after it."""

    def __init__(self, engine: Engine, spool: Spool) -> None:
        self.engine, self.spool = engine, spool
        self._dropped, self._say_due = 0, 0.0

    def prepare(self, heard: Sequence[Inbound]) -> Batch:
        """Opens, checks and stores parts. Raises Unavailable("store-away"): nothing of it may be acknowledged."""
        batch = Batch()
        told = [(place, each, each.said) for place, each in enumerate(heard)]
        manifests = [(place, each.device_id, said) for place, each, said in told if isinstance(said, Manifest)]
        parts = [(place, each.device_id, said) for place, each, said in told if isinstance(said, Part)]
        keys = {(device_id, said.transfer_id) for _, device_id, said in manifests}
        keys |= {(device_id, said.transfer_id) for _, device_id, said in parts}
        if not keys:
            return batch
        with store.transaction(self.engine) as c:
            rows = freight.transfers_named(c, keys)
            names = {(device_id, said.case_id) for _, device_id, said in manifests}
            names |= {(row.device_id, row.case_id) for row in rows.values()}
            held = {name: store.cases_of(c, name[0], [name[1]]).get(name[1]) for name in names}
            series = [(device_id, said.case_id) for _, device_id, said in manifests if said.tier == SERIES]
            requested = {name for name in series if freight.is_requested(c, *name)}
        for place, device_id, manifest in manifests:
            key = (device_id, manifest.transfer_id)
            case = held[device_id, manifest.case_id]
            self._announce(batch, place, device_id, manifest, rows.get(key), case, requested)
        crowded = any(part_rows.tier == SERIES for part_rows in rows.values()) and self._crowded()
        for place, device_id, part in parts:
            row = rows.get((device_id, part.transfer_id))
            case = held.get((device_id, row.case_id)) if row is not None else None
            self._part(batch, place, device_id, part, row, case, crowded)
        for draft in batch.drafts.values():
            self._settle(draft)
        return batch

    def _crowded(self) -> bool:
        return self.spool.free_bytes() < RESERVE_BYTES

    def _announce(
        self, batch: Batch, place: int, device_id: str, manifest: Manifest, row: Any, case: Any, requested: set[Key]
    ) -> None:
        key = (device_id, manifest.transfer_id)
        known = row.manifest_sha256 if row is not None else None
        if known is None and key in batch.drafts:
            known = _digest(batch.drafts[key].manifest)
        if known is not None:
            if known != _digest(manifest):
                batch.aside[place] = "case-conflict"
            elif row is not None and row.state != "open":
                batch.answers.append(ended_answer(device_id, row, case))
            elif key not in batch.drafts:
                batch.drafts[key] = Draft(device_id, manifest, row, int(row.have, 16), asks=True)
            return
        if manifest.tier != SERIES and case is not None:
            batch.answers.append(case_answer(device_id, case, manifest.transfer_id))
            batch.settled.add(key)
            return
        unasked = manifest.tier == SERIES and (device_id, manifest.case_id) not in requested
        if unasked or (manifest.tier != SERIES and manifest.sealed_bytes > CASE_SEALED_BYTES_MAX):
            batch.aside[place] = code = "message-unasked" if unasked else "case-invalid"
            batch.answers.append(refusal(device_id, manifest.case_id, manifest.transfer_id, code))
            batch.settled.add(key)
            return
        batch.drafts[key] = Draft(device_id, manifest)

    def _part(self, batch: Batch, place: int, device_id: str, part: Part, row: Any, case: Any, crowded: bool) -> None:
        key = (device_id, part.transfer_id)
        if key in batch.settled:
            return
        draft = batch.drafts.get(key)
        if draft is None:
            if row is None:
                batch.answers.append(have(device_id, part.transfer_id, None))
                return
            if row.state != "open":
                batch.answers.append(ended_answer(device_id, row, case))
                return
            draft = batch.drafts[key] = Draft(device_id, decode(Manifest, row.manifest), row, int(row.have, 16))
        if draft.manifest.tier == SERIES and crowded:
            batch.dropped += 1
            return
        if (draft.have | draft.bits) >> part.index & 1:
            draft.asks = True
            return
        try:
            opened_part(draft.manifest, part.index, part.ciphertext)
            draft.fresh[part.index] = part.ciphertext
        except Quarantined as fault:
            batch.aside[place] = fault.code

    def _settle(self, draft: Draft) -> None:
        """Puts new parts on the disk, and looks at the whole when nothing is missing."""
        manifest, device_id = draft.manifest, draft.device_id
        missing = all_parts(manifest.parts) & ~(draft.have | draft.bits)
        at_once = not missing and not draft.have and manifest.tier != SERIES
        if draft.fresh and not at_once:
            self.spool.write(device_id, manifest.transfer_id, manifest.sealed_bytes, draft.fresh)
        if missing:
            return
        if manifest.tier == SERIES:
            digest = self.spool.digest(device_id, manifest.transfer_id)
            draft.ended = "whole" if digest == manifest.sha256 else "damaged"
            return
        if at_once:
            data = b"".join(draft.fresh[index] for index in range(manifest.parts))
        else:
            data = self.spool.read(device_id, manifest.transfer_id)
        if hashlib.sha256(data).hexdigest() != manifest.sha256:
            draft.ended = "whole" if at_once else "damaged"
            # At once: nothing of ours lay between, the sender's own digest is wrong. Else our disk has lost it, and of
            # the case itself nothing is known.
            draft.found = CaseRead(None, "case-invalid", False) if at_once else None
            return
        draft.ended = "whole"
        found = guarded("centre.intake", partial(_disclosed, manifest, data))
        if isinstance(found, Unavailable):
            raise found
        if isinstance(found, Fault):
            draft.found = CaseRead(None, "case-invalid", False)
        else:
            draft.body, draft.found = found

    # Within the transaction that writes.

    def commit(self, c: Connection, batch: Batch, at: float) -> None:
        """Everything one batch changes, in one order on every worker."""
        if batch.dropped:
            lives.count_up(c, "series-parts-dropped", batch.dropped, at)
        for key, draft in sorted(batch.drafts.items(), key=lambda each: each[0]):
            manifest = draft.manifest
            new = draft.row is None and freight.open_transfer(
                c,
                draft.device_id,
                manifest.transfer_id,
                case_id=manifest.case_id,
                tier=manifest.tier,
                sealed_bytes=manifest.sealed_bytes,
                manifest=encode(manifest),
                manifest_sha256=_digest(manifest),
                at=at,
            )
            row = freight.transfers_named(c, [key], to_write=True).get(key)
            if row is None or row.manifest_sha256 != _digest(manifest):
                continue  # forgotten or taken by another worker meanwhile: the edge asks again
            if row.state != "open":
                case = store.cases_of(c, draft.device_id, [manifest.case_id]).get(manifest.case_id)
                batch.answers.append(ended_answer(draft.device_id, row, case))
                continue
            self._record(c, batch, draft, row, at)
            if new and not draft.ended:
                forgotten = freight.forget_overdrawn(c, draft.device_id, manifest.transfer_id)
                batch.remove += [(draft.device_id, each) for each in forgotten]

    def _record(self, c: Connection, batch: Batch, draft: Draft, row: Any, at: float) -> None:
        key, manifest = (draft.device_id, draft.manifest.transfer_id), draft.manifest
        if draft.ended == "damaged" and row.resets < RESETS_MAX:
            LOG.warning("centre: a transfer in the spool is not what came and is asked for again")
            freight.reset_transfer(c, row.id, at)
            batch.answers.append(have(draft.device_id, manifest.transfer_id, None))
        elif not draft.ended:
            held = int(row.have, 16) | draft.bits
            if draft.fresh:
                freight.record_parts(c, row.id, held, at)
            if draft.fresh or draft.asks:
                batch.open[key] = (len(draft.fresh), held)
        elif draft.ended == "damaged":
            self._lose(c, batch, draft, row, at)
        elif manifest.tier == SERIES:
            freight.end_transfer(c, row.id, "whole", "", keep_manifest=True, at=at)
            freight.settle_request(c, draft.device_id, manifest.case_id, "whole")
            batch.answers.append(receipt(draft.device_id, manifest.case_id, manifest.transfer_id, manifest.sha256))
        else:
            self._end_case(c, batch, draft, row, at)

    def _lose(self, c: Connection, batch: Batch, draft: Draft, row: Any, at: float) -> None:
        """Our disk lost a transfer again and again: this one is refused, and nothing is said against its case.

        The edge seals a case anew, under another transfer id and so into another file here.
        """
        manifest, code = draft.manifest, "part-invalid"
        LOG.warning("centre: a transfer that the spool lost again and again is refused")
        lives.count_up(c, "spool-damaged", 1, at)
        freight.end_transfer(c, row.id, "refused", code, keep_manifest=False, at=at)
        if manifest.tier == SERIES:
            freight.settle_request(c, draft.device_id, manifest.case_id, "refused")
        batch.remove.append((draft.device_id, manifest.transfer_id))
        batch.answers.append(refusal(draft.device_id, manifest.case_id, manifest.transfer_id, code))

    def _end_case(self, c: Connection, batch: Batch, draft: Draft, row: Any, at: float) -> None:
        """The whole document of a case: it stands unless another one was quicker."""
        manifest, found = draft.manifest, draft.found
        assert found is not None, "what came whole was looked at"
        case, new = store.file_case(
            c,
            draft.device_id,
            manifest.case_id,
            transfer_id=manifest.transfer_id,
            sha256=manifest.sha256,
            tier=manifest.tier,
            body=draft.body if found.case is not None else None,
            urgency=manifest.urgency,
            code=found.code,
            at=at,
        )
        if new and found.code:
            LOG.warning("centre: a case is refused: %s", found.code)
            text = draft.body or b""
            store.put_aside(c, draft.device_id, "case", found.code, text, keep_body=not found.identity, at=at)
        state = "passed" if not new else "refused" if found.code else "whole"
        freight.end_transfer(c, row.id, state, found.code, keep_manifest=False, at=at)
        others = freight.pass_others(c, draft.device_id, manifest.case_id, at) if new else []
        batch.remove += [(draft.device_id, each) for each in (manifest.transfer_id, *others)]
        batch.answers.append(case_answer(draft.device_id, case, manifest.transfer_id))
        batch.new_case |= new and not found.code

    def clear(self, batch: Batch, mono: float) -> None:
        """After the commit: files that nobody needs any more go, and what was dropped is said, once a minute.

        mono  s, of the clock that never jumps
        """
        self._dropped += batch.dropped
        if self._dropped and mono >= self._say_due:
            LOG.warning(
                "centre: the spool's disk has less than %d MiB free: %d parts of series dropped, to be sent again",
                RESERVE_BYTES // 2**20,
                self._dropped,
            )
            self._dropped, self._say_due = 0, mono + SAY_AGAIN_S
        for device_id, transfer_id in batch.remove:
            self.spool.remove(device_id, transfer_id)


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(encode(manifest)).hexdigest()


def _disclosed(manifest: Manifest, data: bytes) -> tuple[bytes, CaseRead]:
    """The case document in sealed bytes. Raises Quarantined."""
    pieces = []
    for index in range(manifest.parts):
        offset, length = span(index, manifest.sealed_bytes)
        pieces.append(opened_part(manifest, index, data[offset : offset + length]))
    document = unpacked(b"".join(pieces), CASE_BYTES_MAX)
    return document, read_case(document, manifest)
