"""Rows of corrections: only ever added to, and which one of a study stands."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, func, select

from central.store.opening import insert_once
from central.store.tables import cases, corrections


def digest_of(c: Connection, device_id: str, key: str, rev: int) -> str | None:
    """SHA-256 of the document that stands under this name; None where none does."""
    chosen = select(corrections.c.sha256).filter_by(device_id=device_id, key=key, rev=rev)
    found: str | None = c.execute(chosen).scalar_one_or_none()
    return found


def count_of_case(c: Connection, case_number: int) -> int:
    """How many are filed of one case."""
    found: int = c.execute(
        select(func.count()).select_from(corrections).filter_by(case_number=case_number)
    ).scalar_one()
    return found


def put(
    c: Connection, device_id: str, case_number: int, *, key: str, rev: int, sha256: str, body: bytes, at: float
) -> bool:
    """Files one; False where one stands under this name: the first one stays."""
    row: dict[str, Any] = {"device_id": device_id, "case_number": case_number, "key": key, "rev": rev}
    return insert_once(c, corrections, {**row, "sha256": sha256, "body": body, "received_at": at})


def standing(c: Connection, device_id: str = "", *, every: bool = False) -> Iterator[Row[Any]]:
    """(device_id, body, state of the case) of each study's last one, as they came; every: the former ones too."""
    chosen = select(corrections.c.device_id, corrections.c.body, cases.c.state).join(
        cases, cases.c.id == corrections.c.case_number
    )
    if device_id:
        chosen = chosen.where(corrections.c.device_id == device_id)
    if not every:
        last = (
            select(corrections.c.device_id, corrections.c.key, func.max(corrections.c.rev).label("rev"))
            .group_by(corrections.c.device_id, corrections.c.key)
            .subquery()
        )
        same = (last.c.device_id == corrections.c.device_id) & (last.c.key == corrections.c.key)
        chosen = chosen.join(last, same & (last.c.rev == corrections.c.rev))
    rows: Any = c.execute(chosen.order_by(corrections.c.id)).yield_per(1000)
    yield from rows


def count(c: Connection) -> int:
    """Of how many studies there is one."""
    named = select(corrections.c.device_id, corrections.c.key).distinct().subquery()
    found: int = c.execute(select(func.count()).select_from(named)).scalar_one()
    return found
