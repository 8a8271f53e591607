"""Rows of transfers on their way up, and of series that were asked for. The parts themselves lie in the spool."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, or_, select, tuple_, update

from appliance.core.messages import partition
from central.store.opening import insert_once
from central.store.tables import cases, requests, transfers

TransferRow = Row[Any]
CASE_TIERS = (0, 1)
OPEN_MAX = 512  # transfers of one device that are not whole; the one untouched longest is forgotten first
OPEN_BYTES_MAX = 4 * 2**30


def transfers_named(
    c: Connection, keys: Collection[tuple[str, str]], *, to_write: bool = False
) -> dict[tuple[str, str], TransferRow]:
    """The rows of those transfers, by (device, transfer id); to_write: locked where the database locks rows."""
    if not keys:
        return {}
    found = _named(keys).order_by(transfers.c.id)
    if to_write:
        found = found.with_for_update()
    return {(row.device_id, row.transfer_id): row for row in c.execute(found)}


def _named(keys: Collection[tuple[str, str]]) -> Select[Any]:
    return select(transfers).where(tuple_(transfers.c.device_id, transfers.c.transfer_id).in_(sorted(keys)))


def open_transfer(
    c: Connection,
    device_id: str,
    transfer_id: str,
    *,
    case_id: str,
    tier: int,
    sealed_bytes: int,
    manifest: bytes,
    manifest_sha256: str,
    at: float,
) -> bool:
    """Files a manifest; False when one stands there under this transfer id."""
    row = {"device_id": device_id, "transfer_id": transfer_id, "case_id": case_id, "tier": tier}
    told = {"sealed_bytes": sealed_bytes, "manifest": manifest, "manifest_sha256": manifest_sha256}
    state = {"have": "0", "state": "open", "code": "", "resets": 0, "opened_at": at, "touched_at": at}
    return insert_once(c, transfers, {**row, **told, **state})


def forget_overdrawn(c: Connection, device_id: str, keep: str) -> list[str]:
    """Forgets open transfers of a device beyond its limits, `keep` apart; their edge is told and sends them again."""
    mine = (transfers.c.device_id == device_id, transfers.c.state == "open")
    count, size = c.execute(select(func.count(), func.sum(transfers.c.sealed_bytes)).where(*mine)).one()
    forgotten: list[str] = []
    if count <= OPEN_MAX and int(size or 0) <= OPEN_BYTES_MAX:
        return forgotten
    size = int(size)
    for row in c.execute(select(transfers).where(*mine).order_by(transfers.c.touched_at, transfers.c.id)).all():
        if count <= OPEN_MAX and size <= OPEN_BYTES_MAX:
            break
        if row.transfer_id != keep:
            c.execute(transfers.delete().where(transfers.c.id == row.id))
            forgotten.append(row.transfer_id)
            count, size = count - 1, size - row.sealed_bytes
    return forgotten


def record_parts(c: Connection, number: int, have: int, at: float) -> None:
    """Which parts are durable now."""
    c.execute(update(transfers).where(transfers.c.id == number).values(have=f"{have:x}", touched_at=at))


def reset_transfer(c: Connection, number: int, at: float) -> None:
    """What lies in the spool is not what came: all of it is needed again."""
    again = {"have": "0", "resets": transfers.c.resets + 1, "touched_at": at}
    c.execute(update(transfers).where(transfers.c.id == number).values(**again))


def end_transfer(c: Connection, number: int, state: str, code: str, *, keep_manifest: bool, at: float) -> None:
    """A transfer is whole, refused or passed; without its ciphertext nobody needs its key."""
    end: dict[str, Any] = {"state": state, "code": code, "touched_at": at}
    if not keep_manifest:
        end["manifest"] = None
    c.execute(update(transfers).where(transfers.c.id == number).values(**end))


def pass_others(c: Connection, device_id: str, case_id: str, at: float) -> list[str]:
    """The case has come: its other transfers, still open, are needed no more. Returns their ids."""
    where = (
        transfers.c.device_id == device_id,
        transfers.c.case_id == case_id,
        transfers.c.state == "open",
        transfers.c.tier.in_(CASE_TIERS),
    )
    ids = list(c.execute(select(transfers.c.transfer_id).where(*where)).scalars())
    if ids:
        c.execute(update(transfers).where(*where).values(state="passed", manifest=None, touched_at=at))
    return ids


def forget_stale(c: Connection, before: float) -> None:
    """Forgets open transfers that nobody touched since; whoever still sends one is told and begins again."""
    c.execute(transfers.delete().where(transfers.c.state == "open", transfers.c.touched_at < before))


def prune_ended(c: Connection, after: int, limit: int, before: float) -> int:
    """Deletes rows of transfers that ended before then, among the next `limit` rows with an id greater than `after`.

    Returns the last id looked at, 0 when there are no more. Copies of what they brought are still refused: only rows go
    whose case is on file, and the row of a case stands for ever. A manifest that comes again is then answered with the
    receipt or the refusal of its case and opens nothing, and a part of a transfer without a row is not taken in. The
    rows of series stay: no case row would hold back a copy of a series that was asked for once. So do those of a
    transfer that was refused alone and whose case never came.
    """
    looked = select(transfers.c.id).where(transfers.c.id > after).order_by(transfers.c.id).limit(limit)
    ids = list(c.execute(looked).scalars())
    if not ids:
        return 0
    same = (cases.c.device_id == transfers.c.device_id, cases.c.case_id == transfers.c.case_id)
    where = (
        transfers.c.id.in_(ids),
        transfers.c.tier.in_(CASE_TIERS),
        transfers.c.state != "open",
        transfers.c.touched_at < before,
        exists().where(*same),
    )
    c.execute(transfers.delete().where(*where))
    last: int = ids[-1]
    return last


def needs_file(c: Connection, device_id: str, transfer_ids: Iterable[str]) -> set[str]:
    """Which of these transfers still need their file in the spool."""
    where = (transfers.c.device_id == device_id, transfers.c.transfer_id.in_(list(transfer_ids)))
    lying = or_(transfers.c.state == "open", (transfers.c.state == "whole") & transfers.c.manifest.is_not(None))
    return set(c.execute(select(transfers.c.transfer_id).where(*where, lying)).scalars())


# Series on request.


def request_series(c: Connection, device_id: str, case_id: str, at: float) -> None:
    """Asks for the whole series of a case; what is not here yet is asked for anew."""
    place = int(partition(device_id), 16)
    row = {"device_id": device_id, "partition": place, "case_id": case_id, "asked_at": at, "state": "open"}
    if not insert_once(c, requests, row):
        mine = (requests.c.device_id == device_id, requests.c.case_id == case_id, requests.c.state != "whole")
        c.execute(update(requests).where(*mine).values(state="open", asked_at=at))


def is_requested(c: Connection, device_id: str, case_id: str) -> bool:
    found = select(requests.c.id).filter_by(device_id=device_id, case_id=case_id)
    return c.execute(found).scalar_one_or_none() is not None


def settle_request(c: Connection, device_id: str, case_id: str, state: str) -> None:
    c.execute(update(requests).filter_by(device_id=device_id, case_id=case_id).values(state=state))


def open_requests(c: Connection, partitions: Collection[int], since: float, limit: int) -> list[Row[Any]]:
    """(id, device_id, case_id) of series still waited for and asked for since then."""
    where = (
        requests.c.state == "open",
        requests.c.partition.in_(sorted(partitions)),
        requests.c.asked_at >= since,
    )
    columns = select(requests.c.id, requests.c.device_id, requests.c.case_id)
    return [*c.execute(columns.where(*where).order_by(requests.c.id).limit(limit))]


def series_of(c: Connection, case_id: str) -> list[TransferRow]:
    """The whole series that are here of a case, the newest last."""
    where = (transfers.c.case_id == case_id, transfers.c.tier == 2, transfers.c.state == "whole")
    return list(c.execute(select(transfers).where(*where).order_by(transfers.c.id)).all())
