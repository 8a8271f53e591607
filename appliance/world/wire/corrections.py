"""Corrections in the two mailboxes: what triage sealed, and what the centre said of it.

As with cases each side writes its own database and reads the other's. A correction is one letter; it waits until the
centre has its case, and is sent until the centre has filed or refused it. Its moves are lifecycle.CORRECTION_MOVES.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, func, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.wire.tables import cases, correction_sendings, corrections, sendings

T = TypeVar("T")
Name = tuple[str, int]  # key, rev
PAGE_ROWS = 200
AT_CENTRE = ("received", "answered")  # states of a case by its receipt or verdict


# Triage's pen.


def put(c: Connection, key: str, rev: int, case_id: str, letter: bytes, at: float) -> bool:
    """Queues a correction; False when it is known: the first letter stands."""
    row = {"key": key, "rev": rev, "case_id": case_id, "letter": letter, "state": "waiting", "code": ""}
    row |= {"letter_sha256": hashlib.sha256(letter).hexdigest(), "created_at": at, "state_at": at}
    return c.execute(upsert(corrections).values(**row).on_conflict_do_nothing()).rowcount == 1


def close(c: Connection, name: Name, state: str, code: str, at: float) -> bool:
    """It is filed, refused or withdrawn, and its letter goes; False when that was so before."""
    where = (corrections.c.key == name[0], corrections.c.rev == name[1], corrections.c.state == "waiting")
    end = {"state": state, "code": code, "letter": None, "state_at": at}
    return c.execute(update(corrections).where(*where).values(**end)).rowcount == 1


# Uplink's pen.


def record_sent(c: Connection, name: Name, at: float) -> None:
    """Counts a sending before it is made."""
    row: dict[str, Any] = {"key": name[0], "rev": name[1], "state": "sending", "attempts": 1, "last_sent_at": at}
    made = upsert(correction_sendings).values(**row, code="")
    again = {"attempts": correction_sendings.c.attempts + 1, "last_sent_at": at, "code": ""}
    c.execute(made.on_conflict_do_update(index_elements=["key", "rev"], set_=again))


def record_answer(c: Connection, name: Name, code: str, at: float) -> bool:
    """What the centre said of it, code "": filed. Its first word stands; False where this is another one."""
    state = "refused" if code else "filed"
    row = {"key": name[0], "rev": name[1], "state": "sending", "attempts": 0, "code": ""}
    c.execute(upsert(correction_sendings).values(**row).on_conflict_do_nothing())
    one = (correction_sendings.c.key == name[0], correction_sendings.c.rev == name[1])
    values = {"state": state, "code": code, "answered_at": at}
    c.execute(update(correction_sendings).where(*one, correction_sendings.c.state == "sending").values(**values))
    stands: str = c.execute(select(correction_sendings.c.state).where(*one)).scalar_one()
    return stands == state


def hold(c: Connection, name: Name, code: str, at: float) -> None:
    """The centre cannot read it yet, which is no end: it stays, and is not sent again before uplink's next start.

    Nothing where the centre has filed or refused it before: then this word is an old one, heard again.
    """
    row = {"key": name[0], "rev": name[1], "state": "sending", "attempts": 0, "code": code, "answered_at": at}
    made = upsert(correction_sendings).values(**row)
    told = {"code": code, "answered_at": at}
    waits = correction_sendings.c.state == "sending"
    c.execute(made.on_conflict_do_update(index_elements=["key", "rev"], set_=told, where=waits))


# What anybody may ask.


def known(c: Connection, names: Collection[Name]) -> set[Name]:
    """Those of the given ones that triage has handed over."""
    pair = tuple_(corrections.c.key, corrections.c.rev)
    found = c.execute(select(corrections.c.key, corrections.c.rev).where(pair.in_(sorted(names))))
    return {(row.key, row.rev) for row in found}


def named(c: Connection, name: Name) -> Row[Any] | None:
    return c.execute(select(corrections).filter_by(key=name[0], rev=name[1])).one_or_none()


def waiting(c: Connection) -> list[Row[Any, Any, Any, Any]]:
    """(key, rev, case_id, state of the case) of those not filed, refused or withdrawn, the oldest first.

    They are few while there is a line, and small while there is none: no letter is read.
    """
    columns = (corrections.c.key, corrections.c.rev, corrections.c.case_id, cases.c.state.label("case_state"))
    chosen = select(*columns).outerjoin(cases, cases.c.case_id == corrections.c.case_id)
    order = (corrections.c.created_at, corrections.c.key, corrections.c.rev)
    return list(c.execute(chosen.where(corrections.c.state == "waiting").order_by(*order)))


def letter_of(c: Connection, name: Name) -> bytes | None:
    found: bytes | None = c.execute(
        select(corrections.c.letter).filter_by(key=name[0], rev=name[1])
    ).scalar_one_or_none()
    return found


def at_centre(link_c: Connection, case_ids: Collection[str]) -> set[str]:
    """Those of the given cases that the centre holds by its own word."""
    found = set[str]()
    for page in _pages(sorted(case_ids)):
        where = (sendings.c.case_id.in_(page), sendings.c.state.in_(AT_CENTRE))
        found.update(link_c.execute(select(sendings.c.case_id).where(*where)).scalars())
    return found


def answers(link_c: Connection, names: Collection[Name]) -> dict[Name, tuple[str, str]]:
    """(state, code) of the given ones that the centre has filed or refused."""
    found: dict[Name, tuple[str, str]] = {}
    for page in _pages(sorted(names)):
        pair = tuple_(correction_sendings.c.key, correction_sendings.c.rev)
        rows = link_c.execute(
            select(correction_sendings).where(pair.in_(page), correction_sendings.c.state != "sending")
        )
        found.update({(row.key, row.rev): (row.state, row.code) for row in rows})
    return found


def held(link_c: Connection, names: Collection[Name]) -> dict[Name, str]:
    """Those of the given ones that the centre cannot read yet, with the code it gave."""
    one, found = correction_sendings.c, dict[Name, str]()
    for page in _pages(sorted(names)):
        where = (tuple_(one.key, one.rev).in_(page), one.state == "sending", one.code != "")
        rows = link_c.execute(select(correction_sendings).where(*where))
        found.update({(row.key, row.rev): row.code for row in rows})
    return found


def _pages(names: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(names), PAGE_ROWS):
        yield names[start : start + PAGE_ROWS]


def handed(c: Connection) -> list[Row[Any]]:
    """(key, rev, case_id, whether that case was sealed here) of all that triage handed over."""
    columns = (corrections.c.key, corrections.c.rev, corrections.c.case_id)
    sealed = cases.c.case_id.is_not(None).label("sealed")
    return list(c.execute(select(*columns, sealed).outerjoin(cases, cases.c.case_id == corrections.c.case_id)))


def answered(link_c: Connection) -> list[Name]:
    """Those of which the centre said anything."""
    where = correction_sendings.c.state != "sending"
    found = link_c.execute(select(correction_sendings.c.key, correction_sendings.c.rev).where(where))
    return [(row.key, row.rev) for row in found]


def counts(c: Connection) -> dict[str, int]:
    """How many stand in each state, as triage has it."""
    return dict(c.execute(select(corrections.c.state, func.count()).group_by(corrections.c.state)).all())


def refused(c: Connection, limit: int) -> list[Row[Any]]:
    """(key, rev, case_id, code) of those the centre would not take, the newest first."""
    columns = (corrections.c.key, corrections.c.rev, corrections.c.case_id, corrections.c.code)
    chosen = select(*columns).where(corrections.c.state == "refused")
    return list(c.execute(chosen.order_by(corrections.c.state_at.desc()).limit(limit)))
