"""What stands in the store, for a person who looks: everything bounded, nothing locked, nothing written."""

from typing import Any

from sqlalchemy import Connection, Row, func, inspect, select

from central.store import corrections
from central.store.tables import METADATA, cases, quarantine, requests, shares, transfers, verdicts, workers

Rows = list[Row[Any]]
UNDER_WAY = transfers.c.state == "open"
WAITED_FOR = requests.c.state == "open"
UNTAKEN = verdicts.c.taken_at.is_(None)


def is_made(c: Connection) -> bool:
    """Every table is there; a store of an earlier version has them once `central run` was started on it."""
    return set(inspect(c).get_table_names()).issuperset(METADATA.tables)


def counts(c: Connection) -> dict[str, int]:
    """How many cases stand in each state, verdicts by status, and how much is still to be done."""
    found = {"received": 0, "asked": 0, "answered": 0, "refused": 0, "ok": 0, "needs_human": 0}
    for column in (cases.c.state, verdicts.c.status):
        found.update(dict(c.execute(select(column, func.count()).group_by(column)).all()))
    for name, table, where in (
        ("verdicts_untaken", verdicts, UNTAKEN),
        ("transfers_open", transfers, UNDER_WAY),
        ("series_open", requests, WAITED_FOR),
    ):
        found[name] = c.execute(select(func.count()).select_from(table).where(where)).scalar_one()
    found["corrections"] = corrections.count(c)
    found["put_aside"] = c.execute(select(func.count()).select_from(quarantine)).scalar_one()
    return found


def shares_known(c: Connection, limit: int) -> Rows:
    """(name, owner, until) of shares, free ones too."""
    return [*c.execute(select(shares).order_by(shares.c.name).limit(limit))]


def workers_known(c: Connection, limit: int) -> Rows:
    return [*c.execute(select(workers).order_by(workers.c.name).limit(limit))]


def transfers_under_way(c: Connection, limit: int) -> Rows:
    """Those that are not whole, the oldest first."""
    return [*c.execute(select(transfers).where(UNDER_WAY).order_by(transfers.c.opened_at, transfers.c.id).limit(limit))]


def series_waited_for(c: Connection, limit: int) -> Rows:
    """Series that were asked for and are not here, the oldest first."""
    return [*c.execute(select(requests).where(WAITED_FOR).order_by(requests.c.asked_at, requests.c.id).limit(limit))]


def verdicts_waiting(c: Connection, limit: int) -> Rows:
    """(device_id, case_id, rev, status, created_at) of verdicts that no edge has taken, the oldest first."""
    columns = (cases.c.device_id, cases.c.case_id, verdicts.c.rev, verdicts.c.status, verdicts.c.created_at)
    joined = select(*columns).join(cases, cases.c.id == verdicts.c.case_number).where(UNTAKEN)
    return [*c.execute(joined.order_by(verdicts.c.created_at, verdicts.c.id).limit(limit))]
