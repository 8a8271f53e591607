"""The clinicians' desk, review/review.db: signatures, commands and the chained audit trail; accounts are beside it.

Only the review service (and the command line) writes it; triage reads signatures and commands and moves the studies
itself. The desk never touches a study. Nothing in it names a patient: a study is its number.
"""

import hashlib
import json
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, Literal, get_args

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Result,
    Row,
    String,
    Table,
    insert,
    inspect,
    literal,
    select,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.roles import Order, why_malformed

Decision = Literal["agree", "correct", "cannot_tell"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
CommandKind = Literal["release", "reject"]
COMMAND_KINDS: tuple[CommandKind, ...] = get_args(CommandKind)

CORRECTION_CHARACTERS_MAX = 2_000
BECAUSE_CHARACTERS_MAX = 200
OPENED_BY = ("case-opened", "case-printed", "receipt-opened", "dicomweb-opened")
AUDIT_START = "0" * 64
# Which class of address the act under way came from. It is a fact of the request and not of the act, and every row
# must have it: the page's outer wall sets it once, so that no act can forget it.
ORIGIN: ContextVar[str] = ContextVar("origin", default="console")

METADATA = MetaData()

signatures = Table(
    "signatures",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),  # of the form: posted twice, signed once
    Column("study_number", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("seq_seen", Integer, nullable=False),  # the study's sequence number as the reader saw it
    Column("user", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("correction", String, nullable=False),
    Column("signed_at", Float, nullable=False),
    Column("saw_ai", Boolean, nullable=False),  # a machine's result was on the page before the decision
    Index("signatures_by_study", "study_number", "seq_seen"),
    sqlite_autoincrement=True,  # triage remembers the last id it took over: an id is never given twice
)
commands = Table(
    "commands",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("study_number", Integer, nullable=False),
    Column("seq_seen", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("because", String, nullable=False, server_default=""),  # why a study was set aside for good
    Index("commands_by_study", "study_number", "seq_seen"),
    sqlite_autoincrement=True,
)
model_orders = Table(  # of readers and of the command line about models; triage carries them out
    "model_orders",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),  # name/version, or a name
    Column("share", Float, nullable=False),  # of studies that a shadow sees
    Column("user", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
audit = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("user", String, nullable=False),
    Column("act", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Column(
        "origin", String, nullable=False, server_default=""
    ),  # class of address; empty in rows of before it was kept
    sqlite_autoincrement=True,
)


def is_made(c: Connection) -> bool:
    """Whether the review service has made its tables: a file without them is a database just being made."""
    return inspect(c).has_table(audit.name)


def sign(
    c: Connection,
    *,
    nonce: str,
    study_number: int,
    revision: int,
    seq_seen: int,
    user: str,
    decision: Decision,
    correction: str,
    at: float,
    saw_ai: bool,
) -> bool:
    """Files one signature; False when this form was posted before or this very state of the study is signed already.

    correction  what is right instead, or a note; at most CORRECTION_CHARACTERS_MAX. Why it is not right stands beside
                the signature, as a code
    """
    assert decision in DECISIONS
    assert len(correction) <= CORRECTION_CHARACTERS_MAX
    if signature_on(c, study_number, seq_seen) is not None:
        return False
    row = {"nonce": nonce, "study_number": study_number, "revision": revision, "seq_seen": seq_seen, "user": user}
    row |= {"decision": decision, "correction": correction, "signed_at": at, "saw_ai": saw_ai}
    return c.execute(upsert(signatures).values(**row).on_conflict_do_nothing()).rowcount == 1


def signature_on(c: Connection, study_number: int, seq_seen: int) -> Row[Any] | None:
    """The signature given on this state of a study, if any; triage may not have taken it over yet."""
    where = (signatures.c.study_number == study_number, signatures.c.seq_seen == seq_seen)
    return c.execute(select(signatures).where(*where).limit(1)).one_or_none()


def signature_with(c: Connection, nonce: str) -> Row[Any] | None:
    """The signature that this form made, if it was posted before."""
    return c.execute(select(signatures).where(signatures.c.nonce == nonce)).one_or_none()


def signature_numbered(c: Connection, number: int) -> Row[Any] | None:
    return c.execute(select(signatures).where(signatures.c.id == number)).one_or_none()


def signed_states(c: Connection, states: list[tuple[int, int]]) -> set[tuple[int, int]]:
    """Of these (study, sequence number) the ones that bear a signature; triage may not have taken it over yet."""
    numbers = [number for number, _ in states]
    chosen = select(signatures.c.study_number, signatures.c.seq_seen).where(signatures.c.study_number.in_(numbers))
    return {(row.study_number, row.seq_seen) for row in c.execute(chosen)} & set(states)


def signatures_of(c: Connection, study_number: int, limit: int = 100) -> list[Row[Any]]:
    chosen = select(signatures).where(signatures.c.study_number == study_number)
    return list(c.execute(chosen.order_by(signatures.c.id).limit(limit)))


def signatures_between(c: Connection, begin: float, end: float) -> list[Row[Any]]:
    """Signatures given within a time, in order."""
    where = (signatures.c.signed_at >= begin, signatures.c.signed_at < end)
    return list(c.execute(select(signatures).where(*where).order_by(signatures.c.id)))


def signatures_after(c: Connection, last_id: int, limit: int = 100) -> list[Row[Any]]:
    """Signatures with a higher id than last_id, in order: what triage takes over next."""
    return list(c.execute(select(signatures).where(signatures.c.id > last_id).order_by(signatures.c.id).limit(limit)))


def command(
    c: Connection,
    *,
    nonce: str,
    kind: CommandKind,
    study_number: int,
    seq_seen: int,
    user: str,
    at: float,
    because: str = "",
) -> bool:
    """Files a release or a rejection of a quarantined study; False when one stands on this state of it already."""
    assert kind in COMMAND_KINDS
    assert len(because) <= BECAUSE_CHARACTERS_MAX
    if command_on(c, study_number, seq_seen) is not None:
        return False
    row = {"nonce": nonce, "kind": kind, "study_number": study_number, "seq_seen": seq_seen, "user": user, "at": at}
    return c.execute(upsert(commands).values(**row, because=because).on_conflict_do_nothing()).rowcount == 1


def command_on(c: Connection, study_number: int, seq_seen: int) -> Row[Any] | None:
    where = (commands.c.study_number == study_number, commands.c.seq_seen == seq_seen)
    return c.execute(select(commands).where(*where).limit(1)).one_or_none()


def command_with(c: Connection, nonce: str) -> Row[Any] | None:
    """The command that this form made, if it was posted before."""
    return c.execute(select(commands).where(commands.c.nonce == nonce)).one_or_none()


def commands_after(c: Connection, last_id: int, limit: int = 100) -> list[Row[Any]]:
    """Commands with a higher id than last_id, in order: what triage carries out next; the reason is none of its."""
    columns = [each for each in commands.c if each.name != "because"]  # a desk of before has no such column yet
    return list(c.execute(select(*columns).where(commands.c.id > last_id).order_by(commands.c.id).limit(limit)))


def order(c: Connection, given: Order, *, nonce: str, user: str, at: float) -> bool:
    """Files an order about a model and notes it; False when this form was posted before.

    Whether it can be carried out is triage's to say; a malformed one is our own mistake.
    """
    assert why_malformed(given) is None
    row = {"nonce": nonce, "kind": given.kind, "subject": given.subject, "share": given.share, "user": user, "at": at}
    if c.execute(upsert(model_orders).values(**row).on_conflict_do_nothing()).rowcount != 1:
        return False
    note(c, at=at, user=user, act=given.kind, subject=f"model {given.subject}")
    return True


def orders_after(c: Connection, last_id: int, limit: int = 100) -> list[Row[Any]]:
    """Orders with a higher id than last_id, in order; none where the desk was made before there were any."""
    if not inspect(c).has_table(model_orders.name):
        return []
    chosen = select(model_orders).where(model_orders.c.id > last_id)
    return list(c.execute(chosen.order_by(model_orders.c.id).limit(limit)))


def note(c: Connection, *, at: float, user: str, act: str, subject: str) -> None:
    """Appends one act to the audit trail; each row's hash covers the row before it, so none can be changed unseen."""
    last = c.execute(select(audit.c.hash).order_by(audit.c.id.desc()).limit(1)).scalar_one_or_none() or AUDIT_START
    row = {"at": at, "user": user, "act": act, "subject": subject, "previous_hash": last, "origin": ORIGIN.get()}
    c.execute(insert(audit).values(**row, hash=_audit_hash(at, user, act, subject, last, ORIGIN.get())))


def guard_trail(c: Connection) -> None:
    """Lets the database itself refuse to change or delete a row; whoever drops this guard meets the chain."""
    for verb in ("UPDATE", "DELETE"):
        c.exec_driver_sql(
            f"CREATE TRIGGER IF NOT EXISTS audit_no_{verb.lower()} BEFORE {verb} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )


def opened_by(c: Connection, user: str, numbers: list[int]) -> set[int]:
    """Which of these studies a user has opened: who saw what the machine said of them cannot read them blindly.

    The page of what left for the centre says it too: only what was escalated left. Whoever fetched the study by
    DICOMweb knows whose it is and may have read it elsewhere.
    """
    subjects = {f"study {number}": number for number in numbers}
    where = (audit.c.user == user, audit.c.act.in_(OPENED_BY), audit.c.subject.in_(subjects))
    return {subjects[subject] for subject in c.execute(select(audit.c.subject).where(*where).distinct()).scalars()}


def trail(c: Connection, *, after: int = 0) -> Iterator[Row[Any]]:
    """The rows of the trail after an id, in order; also of a database of before that nobody has opened since."""
    columns = [each for each in audit.c if each.name != "origin"]
    kept = any(each["name"] == "origin" for each in inspect(c).get_columns(audit.name))
    chosen = select(*columns, audit.c.origin if kept else literal("").label("origin"))
    rows: Result[Any] = c.execute(chosen.where(audit.c.id > after).order_by(audit.c.id)).yield_per(1000)
    yield from rows


def first_broken_audit_row(c: Connection) -> int | None:
    """The id of the first row that does not follow from the one before it; None while the chain holds.

    Rows cut off the end leave a chain that holds: SQLite's own count of the ids it has given says that they were there.
    """
    previous, last = AUDIT_START, 0
    for row in trail(c):
        made = _audit_hash(row.at, row.user, row.act, row.subject, previous, row.origin)
        if row.previous_hash != previous or row.hash != made:
            return int(row.id)
        previous, last = row.hash, int(row.id)
    given = c.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").scalar_one_or_none() or 0
    return last + 1 if given > last else None


def _audit_hash(at: float, user: str, act: str, subject: str, previous: str, origin: str) -> str:
    """SHA-256 over a list in JSON; rows of before the origin was kept have none, and a shorter list."""
    said = [previous, at, user, act, subject, *([origin] if origin else [])]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
