"""Which worker holds what, and until when: shares of the wire, and cases that are being asked about.

A lease is a row with an owner and an end by one clock: PostgreSQL's own, whatever the machines of the workers think of
the time; with SQLite all workers run on one machine and share its clock. Should two hold one share or case all the same
(a worker that was stopped and went on), every effect has a unique key, so that nothing counts twice.
"""

from collections.abc import Collection

from sqlalchemy import Connection, Float, cast, delete, extract, func, or_, select, update

from central.store.opening import insert_once
from central.store.tables import cases, shares, workers

LEASE_S = 12.0  # of a share and of a worker's sign of life
CLAIM_S = 30.0  # of a case that is being asked about


def clock(c: Connection, at: float) -> float:
    """Seconds since 1970 by the clock that leases go by. at: the caller's own reading, for SQLite."""
    if c.dialect.name != "postgresql":
        return at
    now: float = c.execute(select(cast(extract("epoch", func.clock_timestamp()), Float))).scalar_one()
    return now


def worker_lives(c: Connection, worker: str, at: float) -> None:
    """Renews a worker's sign of life; whoever gave none for long is struck off."""
    at = clock(c, at)
    if not insert_once(c, workers, {"name": worker, "until": at + LEASE_S}):
        c.execute(update(workers).filter_by(name=worker).values(until=at + LEASE_S))
    c.execute(delete(workers).where(or_(workers.c.until < at - 10 * LEASE_S, workers.c.until > at + 2 * LEASE_S)))


def worker_ends(c: Connection, worker: str) -> None:
    c.execute(delete(workers).where(workers.c.name == worker))


def live_workers(c: Connection, at: float) -> set[str]:
    at = clock(c, at)
    return set(c.execute(select(workers.c.name).where(workers.c.until >= at)).scalars())


def shares_held(c: Connection, names: Collection[str], at: float) -> dict[str, str]:
    """Who holds each of these shares now; free ones are left out."""
    at = clock(c, at)
    where = (shares.c.name.in_(sorted(names)), shares.c.until >= at, shares.c.until <= at + 2 * LEASE_S)
    return {row.name: row.owner for row in c.execute(select(shares).where(*where))}


def claim_share(c: Connection, name: str, worker: str, at: float) -> bool:
    """Takes a share that is free, or renews one's own; False when another worker holds it."""
    at = clock(c, at)
    if insert_once(c, shares, {"name": name, "owner": worker, "until": at + LEASE_S}):
        return True
    # An end far in the future was written by a clock that has been put right since.
    free = or_(shares.c.owner == worker, shares.c.until < at, shares.c.until > at + 2 * LEASE_S)
    taken = update(shares).where(shares.c.name == name, free).values(owner=worker, until=at + LEASE_S)
    return c.execute(taken).rowcount == 1


def holds_share(c: Connection, name: str, worker: str) -> bool:
    """Whether this share is still this worker's, and stays so until this transaction ends.

    By its owner, not by its end: a lease that ran out and that nobody took is nobody else's. Its row is locked where
    the database locks rows, so that a worker that takes it over does so after this commit, or before it is looked at.
    """
    found = select(shares.c.owner).where(shares.c.name == name).with_for_update(read=True)
    return c.execute(found).scalar_one_or_none() == worker


def shares_of_former_times(c: Connection, names: Collection[str], at: float) -> list[str]:
    """Shares that nobody holds and that are none of these: another number of shares was configured once."""
    at = clock(c, at)
    where = (shares.c.name.not_in(sorted(names)), shares.c.until < at)
    return list(c.execute(select(shares.c.name).where(*where).order_by(shares.c.name)).scalars())


def forget_share(c: Connection, name: str, worker: str) -> None:
    """A share that is no more and of which no broker keeps anything."""
    c.execute(delete(shares).where(shares.c.name == name, shares.c.owner == worker))


def release(c: Connection, name: str, worker: str) -> None:
    """Lets go of a share."""
    c.execute(update(shares).where(shares.c.name == name, shares.c.owner == worker).values(until=0.0))


def renew_claims(c: Connection, worker: str, case_numbers: Collection[int], at: float) -> None:
    """The worker still asks about these cases."""
    if case_numbers:
        at = clock(c, at)
        mine = (cases.c.claimed_by == worker, cases.c.id.in_(sorted(case_numbers)))
        c.execute(update(cases).where(*mine).values(claimed_until=at + CLAIM_S))
