"""Commitments that scanners asked for, and what they were answered. Functions take a connection."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Float, Integer, String, Table, UniqueConstraint, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.broken import broken
from appliance.world.ledger.tables import METADATA, instances

commitments = Table(
    "commitments",
    METADATA,
    Column("order_id", String, primary_key=True),  # of the order that answers it
    Column("peer", String, nullable=False),  # AE title
    Column("transaction_uid", String, nullable=False),
    Column("kept", Integer, nullable=False),  # instances that we said we keep
    Column("failed", Integer, nullable=False),
    Column("at", Float, nullable=False, index=True),
    Column("outcome", String, nullable=False),  # "" until deliver has a receipt, then what that says
    UniqueConstraint("peer", "transaction_uid"),
)
vouched = Table(  # what a scanner was told that it is kept here: it may have deleted its own
    "vouched",
    METADATA,
    Column("sop_instance_uid", String, primary_key=True),
)
BATCH = 500


def vouch(c: Connection, uids: Sequence[str]) -> None:
    for start in range(0, len(uids), BATCH):
        rows = [{"sop_instance_uid": uid} for uid in uids[start : start + BATCH]]
        c.execute(upsert(vouched).values(rows).on_conflict_do_nothing())


def promised(c: Connection, number: int) -> bool:
    """Whether any instance of a study was vouched for."""
    same = instances.c.sop_instance_uid == vouched.c.sop_instance_uid
    found = select(instances.c.id).join(vouched, same).where(instances.c.study_number == number)
    return c.execute(found.limit(1)).first() is not None


def put(c: Connection, order_id: str, peer: str, transaction_uid: str, counts: tuple[int, int], at: float) -> None:
    """Files an answer; the same one again changes nothing."""
    row = {"order_id": order_id, "peer": peer, "transaction_uid": transaction_uid, "at": at, "outcome": ""}
    row |= {"kept": counts[0], "failed": counts[1]}
    c.execute(upsert(commitments).values(**row).on_conflict_do_nothing())


def answered(c: Connection, peer: str, transaction_uid: str) -> bool:
    """Whether this request was answered before, or is being answered."""
    where = (commitments.c.peer == peer, commitments.c.transaction_uid == transaction_uid)
    return c.execute(select(commitments.c.order_id).where(*where)).one_or_none() is not None


def unsettled(c: Connection) -> list[str]:
    """Orders of which deliver has not said yet what became of them."""
    return list(c.execute(select(commitments.c.order_id).where(commitments.c.outcome == "")).scalars())


def settle(c: Connection, order_id: str, outcome: str) -> None:
    c.execute(update(commitments).where(commitments.c.order_id == order_id).values(outcome=outcome))


def prune(c: Connection, before: float) -> None:
    c.execute(delete(commitments).where(commitments.c.at < before, commitments.c.outcome != ""))


def files_of(c: Connection, uids: Sequence[str]) -> dict[str, list[Any]]:
    """Rows of sha256 and facts of every file that was admitted under these SOP Instance UIDs."""
    found: dict[str, list[Any]] = {}
    columns = (instances.c.sop_instance_uid, instances.c.sha256, instances.c.facts)
    for start in range(0, len(uids), BATCH):
        some = uids[start : start + BATCH]
        for row in c.execute(select(*columns).where(instances.c.sop_instance_uid.in_(some))):
            found.setdefault(row.sop_instance_uid, []).append(row)
    return found


def came_broken(c: Connection, uids: Sequence[str]) -> set[str]:
    """Those of these SOP Instance UIDs under which a file came that cannot be admitted."""
    found: set[str] = set()
    for start in range(0, len(uids), BATCH):
        where = broken.c.sop_instance_uid.in_(uids[start : start + BATCH])
        found |= set(c.execute(select(broken.c.sop_instance_uid).where(where)).scalars())
    return found
