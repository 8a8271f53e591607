"""What was built for the hospital's systems, and what became of it: statements, the objects made of them, the orders.

A statement is what can be said of a study at a revision under a decision ("" before a signature); it is said once. Its
objects are known here before anything of them can be sent, so that one which comes back is known, too. Functions take
a connection, as the rest of the ledger does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    Row,
    String,
    Table,
    func,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, results, signatures, studies

statements = Table(
    "statements",
    METADATA,
    Column("study_number", ForeignKey("studies.number"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("decision", String, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("outcome", String, nullable=False),  # begun, built, nothing, or a code of the errors' catalogue
    Column("at", Float, nullable=False),
)
objects = Table(
    "result_objects",
    METADATA,
    Column("sop_instance_uid", String, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("kind", String, nullable=False),  # sr, key-image
    Column("sha256", String, nullable=False),
    Column("at", Float, nullable=False),
)
orders = Table(
    "result_orders",
    METADATA,
    Column("order_id", String, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("target", String, nullable=False),
    Column("body", JSON, nullable=False),  # the order as it lies in phi/outbox
    Column("state", String, nullable=False),  # waiting, stored, committed, refused, superseded
    Column("open", Boolean, nullable=False, index=True),  # its slip and its objects still lie in phi/
    Column("code", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("told_at", Float),
)


def to_say(c: Connection, *, early: bool, limit: int) -> list[tuple[int, int, str, str, float]]:
    """(study number, revision, decision, reader, when) of what is not said yet, the oldest first.

    early  what is decided here and flagged, or answered, is said before a signature, too
    """
    said = (
        (statements.c.study_number == signatures.c.study_number)
        & (statements.c.revision == signatures.c.revision)
        & (statements.c.decision == signatures.c.decision)
        & (statements.c.outcome != "begun")
    )
    columns = (signatures.c.study_number, signatures.c.revision, signatures.c.decision, signatures.c.user)
    signed = (
        select(*columns, signatures.c.signed_at)
        .outerjoin(statements, said)
        .where(signatures.c.outcome == "moved", statements.c.study_number.is_(None))
        .order_by(signatures.c.signature_id)
        .limit(limit)
    )
    found = [(row[0], row[1], row[2], row[3], row[4]) for row in c.execute(signed)]
    return found + (_unsigned(c, limit - len(found)) if early and len(found) < limit else [])


def _unsigned(c: Connection, limit: int) -> list[tuple[int, int, str, str, float]]:
    current = (results.c.study_number == studies.c.number) & (results.c.revision == studies.c.revision)
    said = (
        (statements.c.study_number == studies.c.number)
        & (statements.c.revision == studies.c.revision)
        & (statements.c.decision == "")
        & (statements.c.outcome != "begun")
    )
    # Never what was cleared: nothing about it leaves unsigned.
    open_now = ((studies.c.state == "routine") & (results.c.lane == "flagged")) | (studies.c.state == "answered")
    asked = (
        select(studies.c.number, studies.c.revision, studies.c.state_since)
        .join(results, current)
        .outerjoin(statements, said)
        .where(open_now, statements.c.study_number.is_(None))
        .order_by(studies.c.state_since)
        .limit(limit)
    )
    return [(row[0], row[1], "", "", row[2]) for row in c.execute(asked)]


def begin(c: Connection, number: int, revision: int, decision: str, at: float) -> int:
    """Counts an attempt before it is made; returns its number."""
    key = {"study_number": number, "revision": revision, "decision": decision}
    made = upsert(statements).values(**key, attempts=1, outcome="begun", at=at)
    again = made.on_conflict_do_update(index_elements=list(key), set_={"attempts": statements.c.attempts + 1})
    return int(c.execute(again.returning(statements.c.attempts)).scalar_one())


def end(c: Connection, number: int, revision: int, decision: str, outcome: str) -> None:
    where = (
        (statements.c.study_number == number)
        & (statements.c.revision == revision)
        & (statements.c.decision == decision)
    )
    c.execute(update(statements).where(where).values(outcome=outcome))


def give_back(c: Connection, number: int, revision: int, decision: str) -> None:
    """The attempt came to nothing for a reason outside the study."""
    where = (
        (statements.c.study_number == number)
        & (statements.c.revision == revision)
        & (statements.c.decision == decision)
    )
    c.execute(update(statements).where(where).values(attempts=statements.c.attempts - 1))


def put_object(c: Connection, sop_instance_uid: str, number: int, kind: str, sha256: str, at: float) -> None:
    made = upsert(objects).values(
        sop_instance_uid=sop_instance_uid, study_number=number, kind=kind, sha256=sha256, at=at
    )
    c.execute(made.on_conflict_do_nothing())


def is_ours(c: Connection, sop_instance_uid: str) -> bool:
    """Whether an object was made here."""
    where = objects.c.sop_instance_uid == sop_instance_uid
    return c.execute(select(objects.c.kind).where(where)).first() is not None


def last_report(c: Connection, number: int) -> str | None:
    """SOP Instance UID of the newest structured report of a study; None before the first."""
    newest = (
        select(objects.c.sop_instance_uid)
        .where(objects.c.study_number == number, objects.c.kind == "sr")
        .order_by(objects.c.at.desc())
        .limit(1)
    )
    return c.execute(newest).scalar_one_or_none()


def put_order(c: Connection, order_id: str, number: int, target: str, body: Mapping[str, Any], at: float) -> None:
    c.execute(
        upsert(orders)
        .values(
            order_id=order_id, study_number=number, target=target, body=body, state="waiting", open=True, code="",
            status=0, attempts=0, made_at=at,
        )
        .on_conflict_do_nothing()
    )  # fmt: skip


def supersede(c: Connection, number: int, target: str, at: float) -> None:
    """Closes the orders of a study that still wait for a target: what is said next takes their place."""
    where = (orders.c.study_number == number, orders.c.target == target, orders.c.open)
    c.execute(update(orders).where(*where).values(state="superseded", open=False, told_at=at))


def superseded(c: Connection) -> set[str]:
    """Ids of orders in whose place another was put before they were taken; their slips must not lie in phi/outbox."""
    return set(c.execute(select(orders.c.order_id).where(orders.c.state == "superseded")).scalars())


def open_orders(c: Connection) -> Sequence[Row[Any]]:
    """Orders whose slip must lie in phi/outbox."""
    return c.execute(select(orders).where(orders.c.open).order_by(orders.c.made_at)).all()


def order(c: Connection, order_id: str) -> Row[Any] | None:
    return c.execute(select(orders).where(orders.c.order_id == order_id)).one_or_none()


def file_receipt(c: Connection, order_id: str, values: Mapping[str, Any]) -> None:
    c.execute(update(orders).where(orders.c.order_id == order_id).values(**values))


def counts(c: Connection) -> dict[str, int]:
    """Orders by state."""
    return dict(c.execute(select(orders.c.state, func.count()).group_by(orders.c.state)).all())


def faults(c: Connection) -> list[tuple[int, str]]:
    """(study number, code) of what could not be built and of what a target refused."""
    plain = statements.c.outcome.in_(("begun", "built", "nothing"))
    unbuilt = select(statements.c.study_number, statements.c.outcome).where(~plain)
    refused = select(orders.c.study_number, orders.c.code).where(orders.c.state == "refused")
    return [(row[0], row[1]) for asked in (unbuilt, refused) for row in c.execute(asked)]


def of_study(c: Connection, number: int) -> Sequence[Row[Any]]:
    """Orders of a study, the newest first."""
    return c.execute(select(orders).where(orders.c.study_number == number).order_by(orders.c.made_at.desc())).all()
