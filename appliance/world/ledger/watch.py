"""What phi/studies.db keeps of the watch over certificates: who was seen, what was drawn, what the answers came to.

Triage writes it in the transaction of the move or answer that it tells of, so that no study is ever counted without
having moved, or moved without having been counted. It computes no evidence and takes nothing away by itself.
"""

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger import epochs
from appliance.world.ledger.tables import METADATA

Outcome = Literal["counted", "decoy", "again", "unknown"]

installed = Table(  # the models that triage has loaded, as the page tells them
    "installed",
    METADATA,
    Column("title", String, primary_key=True),
    Column("facts", JSON, nullable=False),
    Column("present", Boolean, nullable=False),  # among those loaded at the last start
    Column("loaded_at", Float, nullable=False),
)
monitors = Table(  # one row a certificate, for ever: another digest is another certificate and starts anew
    "monitors",
    METADATA,
    Column("certificate", String, primary_key=True),  # its digest
    Column("model", String, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("present", Boolean, nullable=False),
    Column("state", JSON, nullable=False),  # of core.monitor, as triage wrote it
    Column("stage", String, nullable=False),  # quiet | warn | revoke
    Column("stage_since", Float, nullable=False),
    Column("e_value", Float, nullable=False),
    Column("answers", Integer, nullable=False),
    Column("misses", Integer, nullable=False),
    Column("drift", JSON, nullable=False),  # measure -> value of its martingale
)
watched = Table(  # one row a study and certificate, whatever its revisions
    "watched",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("certificate", String, nullable=False),
    Column("study_number", ForeignKey("studies.number"), nullable=False),
    Column("lane", String, nullable=False),  # of the first revision seen; cleared where any was
    Column("decided_at", Float, nullable=False),
    UniqueConstraint("certificate", "study_number"),
    Index("watched_by_lane", "certificate", "lane", "decided_at"),
    Index("watched_in_order", "certificate", "id"),
    Index("watched_last", "lane", "decided_at"),
)
gauges = Table(  # what was measured of each watched study
    "gauges",
    METADATA,
    Column("watched_id", ForeignKey("watched.id"), primary_key=True),
    Column("measure", String, primary_key=True),
    Column("certificate", String, nullable=False),
    Column("value", Float, nullable=False),
    Index("gauges_by_value", "certificate", "measure", "value"),
)
audits = Table(
    "audits",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("certificate", String, nullable=False),
    Column("study_number", ForeignKey("studies.number"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("drawn_as", String, nullable=False),  # first | random | decoy
    Column("counts", Boolean, nullable=False),  # the study was cleared: the answer is evidence
    Column("rate", Float, nullable=False),  # in force when it was drawn
    Column("drawn_at", Float, nullable=False),
    Column("answer", String),  # present | absent | cannot_tell
    Column("user", String),
    Column("answered_at", Float),
    UniqueConstraint("certificate", "study_number", "counts"),
    Index("audits_open", "answer", "drawn_at"),
    sqlite_autoincrement=True,  # an answer names its audit: an id is never given twice
)
answers = Table(  # rows of review.db that were taken over, each once
    "audit_answers",
    METADATA,
    Column("answer_id", Integer, primary_key=True),
    Column("audit_id", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("answer", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String, nullable=False),
)
revocations = Table(  # never deleted: a certificate that was taken away stays away
    "revocations",
    METADATA,
    Column("certificate", String, primary_key=True),
    Column("at", Float, nullable=False),
    Column("cause", String, nullable=False),  # audits | drift | person | state
    Column("who", String, nullable=False),
    Column("because", String, nullable=False),
)
withdrawals = Table(
    "withdrawals",
    METADATA,
    Column("withdrawal_id", Integer, primary_key=True),
    Column("certificate", String, nullable=False),
    Column("user", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String, nullable=False),  # revoked | again | unknown
)


def put_installed(c: Connection, title: str, facts: dict[str, Any], at: float) -> None:
    row = {"facts": facts, "present": True, "loaded_at": at}
    made = upsert(installed).values(title=title, **row)
    c.execute(made.on_conflict_do_update(index_elements=["title"], set_=row))


def put_monitor(c: Connection, certificate: str, model: str, facts: dict[str, Any], start: dict[str, Any]) -> None:
    """A certificate's monitor, started with `start` when it is new; what it has gathered already stays."""
    made = upsert(monitors).values(certificate=certificate, model=model, facts=facts, present=True, **start)
    told = {"model": model, "facts": facts, "present": True}
    c.execute(made.on_conflict_do_update(index_elements=["certificate"], set_=told))


def forget_presence(c: Connection) -> None:
    """Before the loaded ones are filed again: whatever is not filed now is gone from the house, its history stays."""
    c.execute(update(installed).values(present=False))
    c.execute(update(monitors).values(present=False))


def monitor(c: Connection, certificate: str) -> Row[Any] | None:
    return c.execute(select(monitors).where(monitors.c.certificate == certificate)).one_or_none()


def facts_of_model(c: Connection, model: str) -> dict[str, dict[str, Any]]:
    """What is told of each certificate of a model, by digest."""
    chosen = select(monitors.c.certificate, monitors.c.facts).where(monitors.c.model == model)
    found: dict[str, dict[str, Any]] = dict(c.execute(chosen).all())
    return found


def set_monitor(c: Connection, certificate: str, **values: Any) -> None:
    c.execute(update(monitors).where(monitors.c.certificate == certificate).values(**values))


def cleared_count(c: Connection, certificate: str) -> int:
    where = (watched.c.certificate == certificate, watched.c.lane == "cleared")
    return c.execute(select(func.count()).select_from(watched).where(*where)).scalar_one()


def see(c: Connection, certificate: str, number: int, lane: str, at: float) -> tuple[int, bool, bool]:
    """Files that a certificate spoke of a study; returns (id, whether for the first time, whether newly cleared)."""
    where = (watched.c.certificate == certificate, watched.c.study_number == number)
    known = c.execute(select(watched).where(*where)).one_or_none()
    if known is None:
        row = {"certificate": certificate, "study_number": number, "lane": lane, "decided_at": at}
        made = c.execute(insert(watched).values(**row)).inserted_primary_key
        assert made is not None
        return int(made[0]), True, lane == "cleared"
    newly = lane == "cleared" and known.lane != "cleared"
    if newly:
        c.execute(update(watched).where(watched.c.id == known.id).values(lane=lane))
    return int(known.id), False, newly


def ranks(c: Connection, certificate: str, measure: str, value: float) -> tuple[int, int, int]:
    """Of the studies measured before: how many lie below a value, how many on it, how many there are."""
    same = (gauges.c.certificate == certificate, gauges.c.measure == measure)
    count = select(func.count()).select_from(gauges)
    below = c.execute(count.where(*same, gauges.c.value < value)).scalar_one()
    on = c.execute(count.where(*same, gauges.c.value == value)).scalar_one()
    return below, on, c.execute(count.where(*same)).scalar_one()


def put_gauges(c: Connection, watched_id: int, certificate: str, values: dict[str, float]) -> None:
    for measure, value in values.items():
        c.execute(insert(gauges).values(watched_id=watched_id, certificate=certificate, measure=measure, value=value))


def window(c: Connection, certificate: str, measure: str, studies: int) -> list[float]:
    """A measure of the last studies, as far as they have it."""
    last = select(watched.c.id).where(watched.c.certificate == certificate).order_by(watched.c.id.desc()).limit(studies)
    chosen = select(gauges.c.value).where(gauges.c.watched_id.in_(last), gauges.c.measure == measure)
    return list(c.execute(chosen).scalars())


def lane_counts(c: Connection, certificate: str) -> dict[str, int]:
    same = select(watched.c.lane, func.count()).where(watched.c.certificate == certificate)
    found: dict[str, int] = dict(c.execute(same.group_by(watched.c.lane)).all())
    return found


def last_in_lane(c: Connection, certificate: str, lane: str) -> float | None:
    where = (watched.c.certificate == certificate, watched.c.lane == lane)
    found: float | None = c.execute(select(func.max(watched.c.decided_at)).where(*where)).scalar_one()
    return found


def last_decided(c: Connection) -> float:
    """When a study was last cleared or flagged, 0 where none was: a clock that reads earlier has been set back.

    Escalations do not count: one made while the clock stood far ahead must not close the lanes for years.
    """
    routine = watched.c.lane.in_(("cleared", "flagged"))
    return c.execute(select(func.max(watched.c.decided_at)).where(routine)).scalar_one() or 0.0


def put_audit(
    c: Connection, *, certificate: str, number: int, revision: int, drawn_as: str, rate: float, at: float
) -> None:
    """A drawn study, once as evidence and once as a decoy at most."""
    row = {"certificate": certificate, "study_number": number, "revision": revision, "drawn_as": drawn_as}
    row |= {"counts": drawn_as != "decoy", "rate": rate, "drawn_at": at}
    where = ["certificate", "study_number", "counts"]
    number_of_audit = epochs.next_audit(c, audits.c.id)
    c.execute(upsert(audits).values(id=number_of_audit, **row).on_conflict_do_nothing(index_elements=where))


def audit(c: Connection, audit_id: int) -> Row[Any] | None:
    return c.execute(select(audits).where(audits.c.id == audit_id)).one_or_none()


def open_audits(c: Connection, limit: int) -> list[Row[Any]]:
    """Audits without an answer, the longest waiting first."""
    chosen = select(audits).where(audits.c.answer.is_(None))
    return list(c.execute(chosen.order_by(audits.c.drawn_at, audits.c.id).limit(limit)))


def audit_counts(c: Connection, certificate: str) -> tuple[int, int]:
    """Audits of a certificate that count: (answered, still open)."""
    same = (audits.c.certificate == certificate, audits.c.counts)
    count = select(func.count()).select_from(audits)
    answered = c.execute(count.where(*same, audits.c.answer.is_not(None))).scalar_one()
    return answered, c.execute(count.where(*same, audits.c.answer.is_(None))).scalar_one()


def overdue(c: Connection, drawn_before: float) -> dict[str, int]:
    """Of each certificate how many audits that count were drawn before a moment and have no answer yet."""
    where = (audits.c.answer.is_(None), audits.c.counts, audits.c.drawn_at < drawn_before)
    grouped = select(audits.c.certificate, func.count()).where(*where).group_by(audits.c.certificate)
    found: dict[str, int] = dict(c.execute(grouped).all())
    return found


def last_heard(c: Connection) -> tuple[int, int]:
    """The last answer and the last withdrawal of review.db that this ledger has taken over."""
    answer = c.execute(select(func.max(answers.c.answer_id))).scalar_one()
    withdrawal = c.execute(select(func.max(withdrawals.c.withdrawal_id))).scalar_one()
    return answer or 0, withdrawal or 0


def take_over_answer(c: Connection, row: Row[Any], outcome: Outcome) -> None:
    told = {"audit_id": row.audit_id, "user": row.user, "answer": row.answer, "at": row.at, "outcome": outcome}
    c.execute(insert(answers).values(answer_id=row.id, **told))
    if outcome in ("counted", "decoy"):
        answer_audit(c, row.audit_id, row.answer, row.user, row.at)


def answer_audit(c: Connection, audit_id: int, answer: str, user: str, at: float) -> None:
    c.execute(update(audits).where(audits.c.id == audit_id).values(answer=answer, user=user, answered_at=at))


def take_over_withdrawal(c: Connection, row: Row[Any], outcome: str) -> None:
    told = {"certificate": row.certificate, "user": row.user, "at": row.at, "outcome": outcome}
    c.execute(insert(withdrawals).values(withdrawal_id=row.id, **told))


def revoke(c: Connection, certificate: str, *, at: float, cause: str, who: str, because: str) -> bool:
    """Takes a certificate away for good; False when it was taken away before."""
    row = {"certificate": certificate, "at": at, "cause": cause, "who": who, "because": because}
    made = c.execute(upsert(revocations).values(**row).on_conflict_do_nothing())
    set_monitor(c, certificate, stage="revoke", **({"stage_since": at} if made.rowcount else {}))
    return made.rowcount == 1


def revoked(c: Connection) -> Iterable[Row[Any]]:
    """Every certificate that was taken away, the newest first."""
    return c.execute(select(revocations).order_by(revocations.c.at.desc())).all()


def under_warning(c: Connection) -> list[str]:
    return list(c.execute(select(monitors.c.certificate).where(monitors.c.stage == "warn")).scalars())
