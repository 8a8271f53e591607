"""Which appliances are alive, by their own last status; and what the centre had to leave undone, counted.

Only a status whose number is greater than the last one proves life. All times here are of the clock that leases go by.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, Row, or_, select, update

from appliance.core.document import encode
from appliance.core.messages import STATUS_PERIOD_S, Status
from central.store.leases import clock
from central.store.opening import insert_once
from central.store.tables import devices, statuses, tallies

SILENT_S = 3 * STATUS_PERIOD_S + 60.0  # three were missed, and one might have been slow
LATE_S = 60.0  # a status may take so long, or the clocks differ by that, before it counts from when it was said

Life = Literal["alive", "away", "silent", "never"]
LIVES: tuple[Life, ...] = ("silent", "away", "never", "alive")  # who wants looking at comes first


def file_status(c: Connection, device_id: str, key_id: str, status: Status, at: float) -> bool:
    """Files a sign of life; False for one that is not newer than the last: a copy, or an old one again."""
    at = clock(c, at)
    held_back = at - status.said_at > LATE_S
    row: Mapping[str, Any] = {
        "key_id": key_id,
        "life": status.life,
        "number": status.number,
        "lived_at": float(status.said_at) if held_back else at,
        "heard_at": at,
        "gone_at": None,
        "body": encode(status),
    }
    if insert_once(c, statuses, {"device_id": device_id, **row}):
        return True
    newer = or_(statuses.c.number < status.number, statuses.c.key_id != key_id)
    return c.execute(update(statuses).where(statuses.c.device_id == device_id, newer).values(**row)).rowcount == 1


def file_gone(c: Connection, device_id: str, key_id: str, life: str, at: float) -> bool:
    """The last will of a life came; False when it is not of the life that was heard last."""
    same = (statuses.c.device_id == device_id, statuses.c.key_id == key_id, statuses.c.life == life)
    return c.execute(update(statuses).where(*same).values(gone_at=clock(c, at))).rowcount == 1


def standing_of(lived_at: float | None, gone_at: float | None, now: float) -> Life:
    """How a device stands: away by its will, silent when its last sign of life is old, never heard."""
    if lived_at is None:
        return "never"
    if now - lived_at > SILENT_S:
        return "silent"
    return "alive" if gone_at is None else "away"


def devices_heard(c: Connection) -> list[Row[Any]]:
    """(device_id, heard_at, lived_at, status_at, gone_at, body) of every device that was ever heard, by name.

    heard_at is of anything that came from it; the others are None for one that never said a status.
    """
    told = (statuses.c.lived_at, statuses.c.heard_at.label("status_at"), statuses.c.gone_at, statuses.c.body)
    joined = select(devices, *told).outerjoin(statuses, statuses.c.device_id == devices.c.device_id)
    return [*c.execute(joined.order_by(devices.c.device_id))]


def count_up(c: Connection, name: str, more: int, at: float) -> None:
    """Counts what was left undone."""
    if not insert_once(c, tallies, {"name": name, "times": more, "at": at}):
        c.execute(update(tallies).where(tallies.c.name == name).values(times=tallies.c.times + more, at=at))


def tally(c: Connection, name: str) -> tuple[int, float | None]:
    """How often, and when last by the wall clock."""
    row = c.execute(select(tallies).where(tallies.c.name == name)).one_or_none()
    return (0, None) if row is None else (row.times, row.at)
