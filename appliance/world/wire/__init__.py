"""The two mailboxes of the wire: wire/cases.db, which triage writes, and wire/link.db, which uplink writes.

Each side reads the other's database and answers in its own, so nothing needs to be atomic across the two: where a
case stands is derived from both rows whenever somebody asks. Nothing here knows a patient, a study or a file.
Functions take a connection, so that one transaction holds everything one step must do at once.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast

from sqlalchemy import Connection, MetaData, Row, case, delete, func, inspect, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.command import Command
from appliance.core.document import URGENCIES, Urgency, encode
from appliance.core.enclosure import Enclosed
from appliance.core.lifecycle import WireState
from appliance.world.wire import freight
from appliance.world.wire.tables import (
    CASES,
    LINK,
    cases,
    commands,
    passages,
    rejects,
    requests,
    sendings,
    standing,
    transfers,
    verdicts,
)

__all__ = [
    "CASES",
    "LINK",
    "cases",
    "commands",
    "freight",
    "passages",
    "rejects",
    "requests",
    "sendings",
    "standing",
    "transfers",
    "verdicts",
]

PAGE_ROWS = 500  # rows of one query; far below SQLite's limit of bound values
COMMANDS_MAX = 500  # signed or not: the oldest goes first
REJECTS_MAX = 200  # messages kept aside; the oldest goes first
REJECT_BYTES_MAX = 4096  # of each message kept aside; its digest is over all of it


# Triage's pen: wire/cases.db.


def put_case(
    c: Connection, case_id: str, ways: Sequence[Enclosed], *, revision: int, urgency: Urgency, at: float
) -> bool:
    """Queues a case whose sealed bytes already lie in wire/parts; False when the case is known: the first row stands.

    at  wall clock, s since 1970
    """
    row = {"case_id": case_id, "revision": revision, "urgency": urgency}
    row |= {"created_at": at, "state": "queued", "state_at": at}
    if c.execute(upsert(cases).on_conflict_do_nothing(), row).rowcount != 1:
        return False
    for each in ways:
        freight.put_transfer(c, each, at)
    return True


def close_case(c: Connection, case_id: str, at: float) -> bool:
    """The verdict is absorbed: the case is done. False when it was closed or cancelled before."""
    return _end(c, case_id, "closed", at)


def cancel_case(c: Connection, case_id: str, at: float) -> bool:
    """The case is superseded: it is not sent any more. False when it was closed or cancelled before."""
    return _end(c, case_id, "cancelled", at)


def _end(c: Connection, case_id: str, state: Literal["closed", "cancelled"], at: float) -> bool:
    where = (cases.c.case_id == case_id, cases.c.state == "queued")
    return c.execute(update(cases).where(*where).values(state=state, state_at=at)).rowcount == 1


def open_cases(c: Connection) -> Iterator[Row[Any]]:
    """Rows of cases neither closed nor cancelled: the most urgent first, the oldest first among equals."""
    weakest_first = case(
        {word: rank for rank, word in enumerate(URGENCIES)}, value=cases.c.urgency, else_=len(URGENCIES)
    )
    order = (weakest_first.desc(), cases.c.created_at, cases.c.case_id)
    found = c.execute(select(cases).where(cases.c.state == "queued").order_by(*order))
    while page := found.fetchmany(PAGE_ROWS):  # whoever needs only the first few reads only those
        yield from page


def newest_row(c: Connection) -> int:
    """A number that grows with every case put: whether there is anything new, without reading it."""
    return c.execute(select(func.max(literal_column("rowid"))).select_from(cases)).scalar_one() or 0


def open_case_ids(c: Connection, after: str, limit: int) -> list[str]:
    """Up to `limit` open case ids greater than `after`, in order: one page of a roll call."""
    where = (cases.c.state == "queued", cases.c.case_id > after)
    return list(c.execute(select(cases.c.case_id).where(*where).order_by(cases.c.case_id).limit(limit)).scalars())


def states_here(c: Connection, case_ids: Iterable[str]) -> dict[str, str]:
    """Of the given cases, what triage's own side says: queued, closed or cancelled."""
    found: dict[str, str] = {}
    for page in _pages(case_ids):
        found.update(c.execute(select(cases.c.case_id, cases.c.state).where(cases.c.case_id.in_(page))).all())
    return found


def known_cases(c: Connection, case_ids: Iterable[str]) -> set[str]:
    """Those of the given cases that triage has made, whatever their state."""
    found: set[str] = set()
    for page in _pages(case_ids):
        found.update(c.execute(select(cases.c.case_id).where(cases.c.case_id.in_(page))).scalars())
    return found


# Uplink's pen: wire/link.db.


def record_sent(c: Connection, case_id: str, at: float) -> None:
    """Counts one sending before it is made. A case that has moved on since is left as it is."""
    again = {"attempts": sendings.c.attempts + 1, "last_sent_at": at, "code": ""}
    _put_sending(c, case_id, {"attempts": 1, "last_sent_at": at, "code": ""}, again)


def record_unsendable(c: Connection, case_id: str, code: str) -> None:
    """The case cannot be sent as it lies here: the code is shown until a sending succeeds."""
    _put_sending(c, case_id, {"attempts": 0, "code": code}, {"code": code})


def _put_sending(c: Connection, case_id: str, first: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    statement = upsert(sendings).values(case_id=case_id, state="sending", **first)
    where = sendings.c.state == "sending"
    c.execute(statement.on_conflict_do_update(index_elements=["case_id"], set_=dict(again), where=where))


def record_receipt(c: Connection, case_id: str, at: float) -> bool:
    """The centre holds the case; the caller has compared the digest. False when the centre had refused it."""
    _ensure(c, case_id)
    state = case((sendings.c.state == "sending", "received"), else_=sendings.c.state)
    values = {"state": state, "code": "", "received_at": func.coalesce(sendings.c.received_at, at)}
    where = (sendings.c.case_id == case_id, sendings.c.state != "refused")
    return c.execute(update(sendings).where(*where).values(**values)).rowcount == 1


def record_refusal(c: Connection, case_id: str, code: str) -> bool:
    """The centre will not take the case. False when it had taken it before: then the refusal is not believed."""
    _ensure(c, case_id)
    where = (sendings.c.case_id == case_id, sendings.c.state.in_(("sending", "refused")))
    return c.execute(update(sendings).where(*where).values(state="refused", code=code)).rowcount == 1


def record_verdict(
    c: Connection, case_id: str, rev: int, letter: str, at: float
) -> Literal["new", "held", "conflict", "refused"]:
    """Keeps a verdict's letter once per (case, rev).

    held      the same letter is here already: nothing changed
    conflict  another one stands under this rev: the first one stays
    refused   the centre had refused the case, so nothing it says of it is believed
    """
    _ensure(c, case_id)
    where = sendings.c.case_id == case_id
    if c.execute(select(sendings.c.state).where(where)).scalar_one() == "refused":
        return "refused"
    key = {"case_id": case_id, "rev": rev}
    known = c.execute(select(verdicts.c.letter).filter_by(**key)).scalar_one_or_none()
    if known is not None:
        return "held" if known == letter else "conflict"
    c.execute(upsert(verdicts).values(**key, letter=letter, received_at=at))
    answered_at = func.coalesce(sendings.c.answered_at, at)
    c.execute(update(sendings).where(where).values(state="answered", code="", answered_at=answered_at))
    return "new"


def record_standing(c: Connection, words: Mapping[str, str], at: float) -> None:
    """How cases stand at the centre, by its own last word."""
    for case_id, word in words.items():
        statement = upsert(standing).values(case_id=case_id, word=word, at=at)
        c.execute(statement.on_conflict_do_update(index_elements=["case_id"], set_={"word": word, "at": at}))


def record_command(c: Connection, command: Command, at: float) -> None:
    """Keeps an order about a model for triage; the same one again changes nothing."""
    row = {"nonce": command.nonce, "body": encode(command).decode(), "received_at": at}
    c.execute(upsert(commands).values(**row).on_conflict_do_nothing())
    newest = select(commands.c.id).order_by(commands.c.id.desc()).limit(COMMANDS_MAX)
    c.execute(delete(commands).where(commands.c.id.not_in(newest)))


def record_request(c: Connection, case_id: str, tier: int, at: float) -> None:
    """Keeps what the centre asks for; the same again changes nothing."""
    row = {"case_id": case_id, "tier": tier, "received_at": at}
    c.execute(upsert(requests).values(**row).on_conflict_do_nothing())


def record_reject(c: Connection, kind: str, code: str, data: bytes, at: float) -> None:
    """Keeps a message that is not believed aside for a person: its head, its digest, and how often it came."""
    row = {"kind": kind, "code": code, "sha256": hashlib.sha256(data).hexdigest(), "bytes_count": len(data)}
    statement = upsert(rejects).values(**row, head=data[:REJECT_BYTES_MAX], at=at, copies=1)
    again = {"copies": rejects.c.copies + 1, "at": at}
    c.execute(statement.on_conflict_do_update(index_elements=["kind", "code", "sha256"], set_=again))
    newest = select(rejects.c.id).order_by(rejects.c.at.desc(), rejects.c.id.desc()).limit(REJECTS_MAX)
    c.execute(delete(rejects).where(rejects.c.id.not_in(newest)))


def _ensure(c: Connection, case_id: str) -> None:
    """A row for a case whose sending is not on file: the answer came, so it was sent."""
    row = {"case_id": case_id, "state": "sending", "attempts": 0, "code": ""}
    c.execute(upsert(sendings).values(**row).on_conflict_do_nothing())


# What anybody may ask.


def is_made(c: Connection, mailbox: MetaData) -> bool:
    """Its writer has made this mailbox's tables; before that, there is nothing to read."""
    return set(inspect(c).get_table_names()).issuperset(mailbox.tables)


def received_case_ids(link_c: Connection) -> set[str]:
    """Cases the centre holds by its own receipt or verdict: only their bytes may be let go."""
    where = sendings.c.state.in_(("received", "answered"))
    return set(link_c.execute(select(sendings.c.case_id).where(where)).scalars())


def refused_case_ids(link_c: Connection) -> list[str]:
    """Cases the centre will not take; also those triage has cancelled since."""
    return list(link_c.execute(select(sendings.c.case_id).where(sendings.c.state == "refused")).scalars())


def verdicts_of(link_c: Connection, after: int = 0) -> Iterator[Row[Any]]:
    """Rows (id, case_id, rev, letter, received_at) of verdicts with a higher id than `after`, in order."""
    yield from link_c.execute(select(verdicts).where(verdicts.c.id > after).order_by(verdicts.c.id))


def commands_after(link_c: Connection, last_id: int, limit: int) -> list[Row[Any]]:
    """Orders with a higher id than last_id, in order of arrival."""
    chosen = select(commands).where(commands.c.id > last_id)
    return list(link_c.execute(chosen.order_by(commands.c.id).limit(limit)))


def missing_at_centre(link_c: Connection) -> list[str]:
    """Cases the centre once acknowledged and now says it does not know: reconcile names them."""
    held = sendings.c.state.in_(("received", "answered"))
    where = (standing.c.case_id == sendings.c.case_id, held, standing.c.word == "unknown")
    return list(link_c.execute(select(standing.c.case_id).where(*where).order_by(standing.c.case_id)).scalars())


def fault_codes(link_c: Connection) -> dict[str, str]:
    """Why cases were refused or cannot be sent: case id to code."""
    return dict(link_c.execute(select(sendings.c.case_id, sendings.c.code).where(sendings.c.code != "")).all())


def wire_states(
    cases_c: Connection, link_c: Connection | None, case_ids: Iterable[str] | None = None
) -> dict[str, WireState]:
    """Where cases stand, from both mailboxes: those given, else all. link_c is None while uplink has no database yet.

    Read cases.db before link.db: what triage did was an answer to what uplink had written, so a row that is older
    on triage's side never contradicts a newer one on uplink's. Successive answers follow lifecycle.WIRE_MOVES.
    """
    own: dict[str, str] = {}
    sent: dict[str, tuple[str, str]] = {}
    for page in [None] if case_ids is None else _pages(case_ids):
        mine, other = select(cases.c.case_id, cases.c.state), select(sendings)
        if page is not None:
            mine, other = mine.where(cases.c.case_id.in_(page)), other.where(sendings.c.case_id.in_(page))
        own.update(cases_c.execute(mine).all())
        if link_c is not None:
            sent.update({row.case_id: (row.state, row.code) for row in link_c.execute(other)})
    return {case_id: _wire_state(state, sent.get(case_id)) for case_id, state in own.items()}


def _wire_state(own: str, sent: tuple[str, str] | None) -> WireState:
    if own != "queued":
        return cast(WireState, own)
    if sent is None:
        return "queued"
    state, code = sent
    # A case that cannot be sent is not on its way, whatever was tried before.
    return "queued" if state == "sending" and code else cast(WireState, state)


def _pages(case_ids: Iterable[str]) -> Iterator[Sequence[str]]:
    ids = sorted(set(case_ids))
    for start in range(0, len(ids), PAGE_ROWS):
        yield ids[start : start + PAGE_ROWS]
