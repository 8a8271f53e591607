"""What phi/studies.db keeps of corrections: each once, never changed, and how the making of each one ended.

A correction is made of an event: a signature that moved its study, or an addendum to one. What was made is only ever
added to; the database itself refuses to change or delete it. Which is the standing one of a key says the greatest rev.
Functions take a connection, as the rest of the ledger does.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    DDL,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    UniqueConstraint,
    and_,
    event,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, signatures

BEGUN, KEPT, NOTHING = "begun", "kept", "nothing"
ENDS = (BEGUN, KEPT, NOTHING)  # any other outcome says why a correction is held back

corrections = Table(
    "corrections",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("case_id", String, nullable=False),
    Column("signature_id", Integer, nullable=False),
    Column("addendum_id", Integer, nullable=False),  # 0: of the signature itself
    Column("policy", String, nullable=False),  # keep | send: the site's, when it was signed
    Column("sha256", String, nullable=False),  # of body
    Column("body", LargeBinary, nullable=False),  # the canonical document, as it was inspected
    Column("made_at", Float, nullable=False),
    UniqueConstraint("key", "rev"),
    UniqueConstraint("signature_id", "addendum_id"),
    sqlite_autoincrement=True,
)
makings = Table(  # an attempt is counted before it is made, as everywhere
    "correction_makings",
    METADATA,
    Column("signature_id", Integer, primary_key=True),
    Column("addendum_id", Integer, primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("outcome", String, nullable=False),  # begun | kept | nothing | a code of the errors' catalogue
    Index("correction_makings_by_addendum", "addendum_id"),
)
policies = Table(  # what the site said of corrections, and since when: consent counts from then on, never back
    "correction_policies",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("policy", String, nullable=False),
    Column("since", Float, nullable=False),
)
for _table in (corrections, policies):
    for _verb in ("UPDATE", "DELETE"):
        event.listen(
            _table,
            "after_create",
            DDL(  # type: ignore[no-untyped-call]
                f"CREATE TRIGGER IF NOT EXISTS {_table.name}_no_{_verb.lower()} BEFORE {_verb} ON {_table.name} "
                "BEGIN SELECT RAISE(ABORT, 'corrections are only ever added to'); END"
            ),
        )


def is_made(c: Connection) -> bool:
    """Its tables are there; a ledger of before has them once triage was started on it."""
    return bool(inspect(c).has_table(makings.name))


def policy_since(c: Connection, policy: str, at: float) -> float:
    """Since when the site's policy is this one; from now on, where it was another one before."""
    last = c.execute(select(policies).order_by(policies.c.id.desc()).limit(1)).one_or_none()
    if last is not None and last.policy == policy:
        return float(last.since)
    c.execute(insert(policies).values(policy=policy, since=at))
    return at


def unmade_signatures(c: Connection, limit: int) -> list[Row[Any]]:
    """Rows of `signatures` that moved their study and of which nothing was made yet, the oldest first."""
    made = and_(makings.c.signature_id == signatures.c.signature_id, makings.c.addendum_id == 0)
    chosen = select(signatures).outerjoin(makings, and_(made, makings.c.outcome != BEGUN))
    where = (signatures.c.outcome == "moved", makings.c.signature_id.is_(None))
    return list(c.execute(chosen.where(*where).order_by(signatures.c.signature_id).limit(limit)))


def begin(c: Connection, signature_id: int, addendum_id: int) -> int:
    """Counts an attempt before it is made; returns its number."""
    made = upsert(makings).values(signature_id=signature_id, addendum_id=addendum_id, attempts=1, outcome=BEGUN)
    again = made.on_conflict_do_update(
        index_elements=["signature_id", "addendum_id"], set_={"attempts": makings.c.attempts + 1}
    )
    return int(c.execute(again.returning(makings.c.attempts)).scalar_one())


def give_back(c: Connection, signature_id: int, addendum_id: int) -> None:
    """An attempt that only time stood in the way of does not count."""
    where = (makings.c.signature_id == signature_id, makings.c.addendum_id == addendum_id, makings.c.attempts > 0)
    c.execute(update(makings).where(*where).values(attempts=makings.c.attempts - 1))


def end(c: Connection, signature_id: int, addendum_id: int, outcome: str) -> None:
    where = (makings.c.signature_id == signature_id, makings.c.addendum_id == addendum_id)
    c.execute(update(makings).where(*where).values(outcome=outcome))


def is_done(c: Connection, addendum_id: int) -> bool:
    """Whether the making of an addendum's correction ended, however."""
    where = (makings.c.addendum_id == addendum_id, makings.c.outcome != BEGUN)
    return c.execute(select(makings.c.addendum_id).where(*where).limit(1)).first() is not None


def last_signature(c: Connection, number: int) -> Row[Any] | None:
    """The last signature that moved a study; what is added to a study is added to this one."""
    chosen = select(signatures).where(signatures.c.study_number == number, signatures.c.outcome == "moved")
    return c.execute(chosen.order_by(signatures.c.signature_id.desc()).limit(1)).one_or_none()


def put(
    c: Connection,
    number: int,
    made_of: tuple[int, int],
    *,
    key: str,
    rev: int,
    case_id: str,
    policy: str,
    body: bytes,
    at: float,
) -> bool:
    """Files a correction of a study; False where one stands under this key and rev, or of this event.

    made_of  signature and addendum, 0 where it is of the signature itself
    """
    row: dict[str, Any] = {"key": key, "rev": rev, "study_number": number, "case_id": case_id, "policy": policy}
    row |= {"signature_id": made_of[0], "addendum_id": made_of[1], "sha256": hashlib.sha256(body).hexdigest()}
    row |= {"body": body, "made_at": at}
    return c.execute(upsert(corrections).values(**row).on_conflict_do_nothing()).rowcount == 1


def last_of(c: Connection, key: str) -> Row[Any] | None:
    """The standing correction of a key."""
    chosen = select(corrections).where(corrections.c.key == key)
    return c.execute(chosen.order_by(corrections.c.rev.desc()).limit(1)).one_or_none()


def last_of_study(c: Connection, number: int) -> Row[Any] | None:
    """The standing correction of a study."""
    chosen = select(corrections).where(corrections.c.study_number == number)
    return c.execute(chosen.order_by(corrections.c.rev.desc()).limit(1)).one_or_none()


def to_send(c: Connection, after: int, limit: int) -> list[Row[Any]]:
    """Corrections with a higher id than `after` of what was signed while the policy was to send, in order."""
    where = (corrections.c.id > after, corrections.c.policy == "send")
    return list(c.execute(select(corrections).where(*where).order_by(corrections.c.id).limit(limit)))


def standing(c: Connection, *, every: bool = False) -> Iterator[Row[Any]]:
    """Of each key the last one, in the order in which they were made; every: the former ones too."""
    last = select(func.max(corrections.c.id)).group_by(corrections.c.key)
    chosen = select(corrections) if every else select(corrections).where(corrections.c.id.in_(last))
    yield from c.execute(chosen.order_by(corrections.c.id)).yield_per(1000)


def signatures_and_makings(c: Connection) -> tuple[list[int], set[int]]:
    """Signatures that moved their study, and those of which the making of a correction began."""
    moved = c.execute(select(signatures.c.signature_id).where(signatures.c.outcome == "moved")).scalars()
    begun = c.execute(select(makings.c.signature_id).where(makings.c.addendum_id == 0)).scalars()
    return list(moved), set(begun)


def names(c: Connection) -> dict[tuple[str, int], str]:
    """(key, rev) of every correction here: the case it speaks of."""
    columns = (corrections.c.key, corrections.c.rev, corrections.c.case_id)
    return {(row.key, row.rev): row.case_id for row in c.execute(select(*columns))}


def counts(c: Connection) -> dict[str, int]:
    """How many studies have a correction here, and how many are held back; for `appliance status`."""
    kept = c.execute(select(func.count(corrections.c.key.distinct()))).scalar_one()
    held = c.execute(select(func.count()).select_from(makings).where(makings.c.outcome.not_in(ENDS)))
    return {"kept": kept, "held back": held.scalar_one()}


def faults(c: Connection, limit: int) -> list[tuple[int, str]]:
    """(study number, code) of what was held back, the newest first."""
    joined = select(signatures.c.study_number, makings.c.outcome).join(
        signatures, signatures.c.signature_id == makings.c.signature_id
    )
    chosen = joined.where(makings.c.outcome.not_in(ENDS)).order_by(makings.c.signature_id.desc())
    return [(number, code) for number, code in c.execute(chosen.limit(limit))]
