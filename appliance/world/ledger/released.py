"""What scanners sent together and released, as receive noted it: evidence of completeness, and who splits studies.

Functions take a connection, as the rest of the ledger does.
"""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Float, String, Table, delete, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, instances

together = Table(
    "released_together",
    METADATA,
    Column("sha256", String, primary_key=True),  # of an object's bytes
    Column("burst", String, nullable=False, index=True),  # the same for all that came together last
    Column("peer", String, nullable=False),  # AE title and address
    Column("at", Float, nullable=False, index=True),
)
splitters = Table(  # peers that sent one study in several goes: their releases say nothing of a study
    "splitters",
    METADATA,
    Column("peer", String, primary_key=True),
    Column("at", Float, nullable=False),
)
BATCH = 500  # values in one statement


def put(c: Connection, burst: str, peer: str, digests: Sequence[str], at: float) -> None:
    """Files what came together; remembers a peer some study of which came in another burst of its own as well."""
    found: set[int] = set()
    for start in range(0, len(digests), BATCH):
        some = digests[start : start + BATCH]
        values = [{"sha256": digest, "burst": burst, "peer": peer, "at": at} for digest in some]
        stated = upsert(together).values(values)
        c.execute(
            stated.on_conflict_do_update(
                index_elements=["sha256"], set_={"burst": stated.excluded.burst, "peer": stated.excluded.peer, "at": at}
            )
        )
        found |= set(c.execute(select(instances.c.study_number).where(instances.c.sha256.in_(some))).scalars())
    for number in found:
        other = (
            select(together.c.sha256)
            .join(instances, instances.c.sha256 == together.c.sha256)
            .where(instances.c.study_number == number, together.c.peer == peer, together.c.burst != burst)
        )
        if c.execute(other.limit(1)).first() is not None:
            c.execute(upsert(splitters).values(peer=peer, at=at).on_conflict_do_nothing())


def known(c: Connection, digests: Sequence[str]) -> int:
    """How many of these files are instances of studies."""
    count = 0
    for start in range(0, len(digests), BATCH):
        some = digests[start : start + BATCH]
        count += c.execute(select(func.count()).where(instances.c.sha256.in_(some))).scalar_one()
    return count


def bursts_of(c: Connection, number: int) -> set[str]:
    """The bursts in which a study's instances came, "" among them for those of which no release is known."""
    found = (
        select(together.c.burst, together.c.peer, splitters.c.peer)
        .select_from(instances)
        .outerjoin(together, together.c.sha256 == instances.c.sha256)
        .outerjoin(splitters, splitters.c.peer == together.c.peer)
        .where(instances.c.study_number == number)
        .distinct()
    )
    return {burst if burst and not splits else "" for burst, _, splits in c.execute(found)}


def prune(c: Connection, before: float) -> None:
    c.execute(delete(together).where(together.c.at < before))
