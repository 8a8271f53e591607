"""The readers' third part of the desk, also in review/review.db: what surrounds a signature and outlasts it.

Reasons and confirmations beside a signature, addenda to it, alerts seen, who has a case open. Signatures themselves
stay in desk, as triage reads them; nothing here moves a study, and only the review service writes it. What is signed or
added to is never changed: the database itself refuses. Nothing in it names a patient: a study is its number.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    inspect,
    select,
)
from sqlalchemy.dialects.sqlite import insert as upsert

ADDENDUM_CHARACTERS_MAX = 2_000
IMPRESSION_CHARACTERS_MAX = 1_000
CALL_CHARACTERS_MAX = 200
HOW = {"phone": "by telephone", "person": "in person", "message": "by message"}
IMPRESSIONS = ("finding", "nothing", "cannot_tell")
BECAUSE_CHARACTERS_MAX = 200
METADATA = MetaData()

signature_facts = Table(
    "signature_facts",
    METADATA,
    Column("signature_id", Integer, primary_key=True),  # of desk.signatures
    Column("reason", String, nullable=False),  # a code of core.decision_reasons, "" where the reader agreed
    Column("findings", JSON, nullable=False),  # finding -> right | wrong | cannot_tell, as far as the reader said so
    Column("confirmed", String, nullable=False),  # which identifiers the reader confirmed, by name and never by value
)
addenda = Table(
    "addenda",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),
    Column("study_number", Integer, nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("text", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
late_seen = Table(  # signers who have said that they know of the images that came after their signature
    "late_seen",
    METADATA,
    Column("study_number", Integer, primary_key=True),
    Column("revision", Integer, primary_key=True),  # the revision that the late image made
    Column("user", String, primary_key=True),
    Column("at", Float, nullable=False),
)
impressions = Table(  # what readers saw before they were shown what the machine said
    "impressions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),
    Column("study_number", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("said", String, nullable=False),  # finding | nothing | cannot_tell
    Column("text", String, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("study_number", "revision", "user"),
    sqlite_autoincrement=True,
)
critical_calls = Table(
    "critical_calls",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False, unique=True),
    Column("study_number", Integer, nullable=False, index=True),
    Column("user", String, nullable=False),
    Column("result", String, nullable=False),
    Column("told", String, nullable=False),
    Column("how", String, nullable=False),  # a key of HOW
    Column("told_at", Float, nullable=False),
    Column("read_back", Boolean, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
holds = Table(  # who has a study open; it ends by itself when nobody has moved a hand for a while
    "holds",
    METADATA,
    Column("study_number", Integer, primary_key=True),
    Column("user", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
)
takeovers = Table(
    "takeovers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study_number", Integer, nullable=False, index=True),
    Column("taken_from", String, nullable=False),
    Column("user", String, nullable=False),
    Column("because", String, nullable=False),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)
APPEND_ONLY = (signature_facts, addenda, late_seen, takeovers, impressions, critical_calls)


def make(c: Connection) -> None:
    """Makes what is not there yet, and the guards of what is only ever added to; for the writer."""
    METADATA.create_all(c)
    for table in APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            c.exec_driver_sql(
                f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                "BEGIN SELECT RAISE(ABORT, 'what was signed is only ever added to'); END"
            )


def put_facts(c: Connection, signature_id: int, *, reason: str, findings: dict[str, str], confirmed: str) -> None:
    row = {"signature_id": signature_id, "reason": reason, "findings": findings, "confirmed": confirmed}
    c.execute(upsert(signature_facts).values(**row).on_conflict_do_nothing())


def facts_of(c: Connection, signature_ids: Iterable[int]) -> dict[int, Row[Any]]:
    """What stands beside each signature; nothing for those of before it was kept."""
    chosen = select(signature_facts).where(signature_facts.c.signature_id.in_(list(signature_ids)))
    return {row.signature_id: row for row in c.execute(chosen)}


def add(c: Connection, *, nonce: str, study_number: int, revision: int, user: str, text: str, at: float) -> bool:
    """Files an addendum; False when this form was posted before."""
    assert 0 < len(text) <= ADDENDUM_CHARACTERS_MAX
    row = {"nonce": nonce, "study_number": study_number, "revision": revision, "user": user, "text": text, "at": at}
    return c.execute(upsert(addenda).values(**row).on_conflict_do_nothing()).rowcount == 1


def addenda_of(c: Connection, study_number: int, limit: int = 100) -> list[Row[Any]]:
    chosen = select(addenda).where(addenda.c.study_number == study_number)
    return list(c.execute(chosen.order_by(addenda.c.id).limit(limit)))


def is_made(c: Connection) -> bool:
    """Whether there are such tables: a desk of before has none."""
    return inspect(c).has_table(addenda.name)


def addenda_after(c: Connection, last_id: int, limit: int) -> list[Row[Any]]:
    """Addenda to any study with a higher id than last_id, in order."""
    return list(c.execute(select(addenda).where(addenda.c.id > last_id).order_by(addenda.c.id).limit(limit)))


def see_late(c: Connection, *, study_number: int, revision: int, user: str, at: float) -> bool:
    """Files that a signer knows of a late image; False when it was said before."""
    row = {"study_number": study_number, "revision": revision, "user": user, "at": at}
    return c.execute(upsert(late_seen).values(**row).on_conflict_do_nothing()).rowcount == 1


def late_seen_by(c: Connection, user: str, numbers: Iterable[int]) -> dict[int, int]:
    """Of these studies the highest revision that a user has seen the late image of."""
    where = (late_seen.c.user == user, late_seen.c.study_number.in_(list(numbers)))
    order = late_seen.c.revision
    chosen = select(late_seen.c.study_number, late_seen.c.revision).where(*where).order_by(order)
    return {row.study_number: row.revision for row in c.execute(chosen)}


def holders(c: Connection, numbers: Iterable[int], seen_after: float) -> dict[int, Row[Any]]:
    """Who has each of these studies open, as far as a hand has moved there since a moment."""
    where = (holds.c.study_number.in_(list(numbers)), holds.c.seen_at > seen_after)
    return {row.study_number: row for row in c.execute(select(holds).where(*where))}


def held_by(c: Connection, user: str, seen_after: float, most: int) -> list[int]:
    """Numbers of the studies that a reader has open."""
    where = (holds.c.user == user, holds.c.seen_at > seen_after)
    return list(c.execute(select(holds.c.study_number).where(*where).limit(most)).scalars())


def hold(c: Connection, number: int, user: str, *, at: float, seen_after: float) -> Row[Any]:
    """Opens a study for a user unless somebody else has it open; returns whoever has it now."""
    there = c.execute(select(holds).where(holds.c.study_number == number)).one_or_none()
    if there is not None and there.user != user and there.seen_at > seen_after:
        return there
    kept = there is not None and there.user == user and there.seen_at > seen_after
    return _put(c, number, user, since=there.since if kept and there is not None else at, at=at)


def take_over(c: Connection, number: int, user: str, *, because: str, at: float, seen_after: float) -> str:
    """Takes a study from whoever has it open, and keeps why; returns from whom, "" where nobody else had it."""
    assert 0 < len(because) <= BECAUSE_CHARACTERS_MAX
    there = holders(c, [number], seen_after).get(number)
    before = there.user if there is not None and there.user != user else ""
    if before:
        row = {"study_number": number, "taken_from": before, "user": user, "because": because, "at": at}
        c.execute(insert(takeovers).values(**row))
    _put(c, number, user, since=at, at=at)
    return before


def _put(c: Connection, number: int, user: str, *, since: float, at: float) -> Row[Any]:
    row = {"user": user, "since": since, "seen_at": at}
    made = upsert(holds).values(study_number=number, **row)
    c.execute(made.on_conflict_do_update(index_elements=["study_number"], set_=row))
    return c.execute(select(holds).where(holds.c.study_number == number)).one()


def release(c: Connection, number: int, user: str) -> None:
    """The study is signed: nobody need wait for it any more."""
    c.execute(delete(holds).where(holds.c.study_number == number, holds.c.user == user))


def impress(
    c: Connection, *, nonce: str, study_number: int, revision: int, user: str, said: str, text: str, at: float
) -> bool:
    """Files a reader's own impression of a revision, once; False when there is one already."""
    assert said in IMPRESSIONS
    assert len(text) <= IMPRESSION_CHARACTERS_MAX
    row = {"nonce": nonce, "study_number": study_number, "revision": revision, "user": user, "said": said}
    made = upsert(impressions).values(**row, text=text, at=at)
    return c.execute(made.on_conflict_do_nothing()).rowcount == 1


def impressed(c: Connection, user: str, numbers: Iterable[int]) -> set[tuple[int, int]]:
    """Of these studies (number, revision) of which a user has written down an impression."""
    where = (impressions.c.user == user, impressions.c.study_number.in_(list(numbers)))
    found = c.execute(select(impressions.c.study_number, impressions.c.revision).where(*where))
    return {(row.study_number, row.revision) for row in found}


def impression_of(c: Connection, study_number: int, revision: int, user: str) -> str | None:
    """What a user wrote down of a revision before the machine's word was shown, as a code."""
    key = {"study_number": study_number, "revision": revision, "user": user}
    found: str | None = c.execute(select(impressions.c.said).filter_by(**key)).scalar_one_or_none()
    return found


def impressions_of(c: Connection, study_number: int) -> list[Row[Any]]:
    chosen = select(impressions).where(impressions.c.study_number == study_number)
    return list(c.execute(chosen.order_by(impressions.c.id).limit(100)))


def call(
    c: Connection,
    *,
    nonce: str,
    study_number: int,
    user: str,
    result: str,
    told: str,
    how: str,
    told_at: float,
    read_back: bool,
    at: float,
) -> bool:
    """Files that a critical result was told to somebody; False when this form was posted before."""
    assert how in HOW
    row: dict[str, Any] = {
        "nonce": nonce,
        "study_number": study_number,
        "user": user,
        "result": result,
        "told": told,
        "how": how,
    }
    row |= {"told_at": told_at, "read_back": read_back, "at": at}
    return c.execute(upsert(critical_calls).values(**row).on_conflict_do_nothing()).rowcount == 1


def calls(c: Connection, limit: int, study_number: int | None = None) -> list[Row[Any]]:
    """The newest rows of the log, of one study or of all."""
    chosen = select(critical_calls).order_by(critical_calls.c.id.desc()).limit(limit)
    return list(
        c.execute(chosen if study_number is None else chosen.where(critical_calls.c.study_number == study_number))
    )
