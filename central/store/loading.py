"""How loaded centre and lines are, and the one row in which `central balance` remembers what it decided.

Everything is bounded and nothing is locked: of cases and verdicts the newest are counted, of appliances their statuses.
"""

from typing import Any

from sqlalchemy import Column, Connection, Row, func, select, update

from appliance.core.document import decode
from appliance.core.messages import Status
from appliance.errors import Quarantined
from central.balance import Load, Site
from central.store.leases import clock
from central.store.lives import devices_heard, standing_of
from central.store.opening import insert_once
from central.store.tables import WAITING, balances, cases, verdicts

COUNTED_MAX = 50_000  # of the newest rows; where more came within the window, there were at least so many
ONE = 1


def load(c: Connection, at: float, window_s: float) -> Load:
    """at, window_s  the caller's clock (PostgreSQL has its own), and how far back arrivals and answers are counted."""
    now = clock(c, at)
    waiting = c.execute(select(func.count()).select_from(cases).where(WAITING)).scalar_one()
    return Load(
        waiting=waiting,
        arrived_s=_since(c, cases.c.id, cases.c.received_at, now - window_s) / window_s,
        answered_s=_since(c, verdicts.c.id, verdicts.c.created_at, now - window_s) / window_s,
        sites=tuple(site for row in devices_heard(c) if (site := _site(row, now)) is not None),
    )


def _since(c: Connection, number: Column[Any], when: Column[Any], since: float) -> int:
    newest = select(when.label("at")).order_by(number.desc()).limit(COUNTED_MAX).subquery()
    found: int = c.execute(select(func.count()).select_from(newest).where(newest.c.at >= since)).scalar_one()
    return found


def _site(row: Row[Any], now: float) -> Site | None:
    """What its last status says of its line; None of an appliance that is not alive or not understood."""
    if standing_of(row.lived_at, row.gone_at, now) != "alive":
        return None
    try:
        said = decode(Status, row.body)
    except Quarantined:
        return None
    waiting = said.waiting.critical + said.waiting.urgent + said.waiting.routine
    return Site(row.device_id, waiting, float(said.oldest_s))


def balanced(c: Connection) -> Row[Any] | None:
    """(number, looked_at, body, policy, published_at); None before the first look."""
    return c.execute(select(balances).where(balances.c.id == ONE)).one_or_none()


def look(c: Connection, number: int, body: bytes, at: float) -> bool:
    """Files what a look decided; False where another one looked since number `number` - 1."""
    told = {"number": number, "looked_at": clock(c, at), "body": body}
    if number == 1:
        return insert_once(c, balances, {"id": ONE, "policy": 0, "published_at": None, **told})
    before = (balances.c.id == ONE, balances.c.number == number - 1)
    return c.execute(update(balances).where(*before).values(**told)).rowcount == 1


def published(c: Connection, policy: int, at: float) -> None:
    """The policy of this number was published."""
    c.execute(update(balances).where(balances.c.id == ONE).values(policy=policy, published_at=clock(c, at)))
