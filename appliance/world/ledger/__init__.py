"""The clinical ledger, phi/studies.db: studies, instances, moves, results, verdicts, signatures taken over.

Triage writes it; the review page and the command line read it. It knows the table of moves and refuses any other;
it decides nothing. Functions take a connection, so that one transaction holds everything one step must do at once.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core import lifecycle
from appliance.core.lifecycle import State
from appliance.core.study import Instance, instance_of
from appliance.core.worklist_order import request_rank
from appliance.world.ledger import attempts, broken, departures, drafts, epochs, glances, reports, roles, shadows, watch
from appliance.world.ledger import overlays as overlays
from appliance.world.ledger import updates as updates
from appliance.world.ledger.tables import (
    METADATA,
    arrivals,
    commands,
    instances,
    moves,
    results,
    signatures,
    strays,
    studies,
    verdicts,
)

__all__ = [
    "METADATA",
    "arrivals",
    "attempts",
    "broken",
    "commands",
    "departures",
    "drafts",
    "glances",
    "instances",
    "moves",
    "overlays",
    "reports",
    "results",
    "roles",
    "shadows",
    "signatures",
    "strays",
    "studies",
    "verdicts",
    "watch",
]

REFUSED_PLACE = "refused/ of the watched folder"  # where a stray lies that receive would not take


def count_arrivals(c: Connection, names: list[str]) -> dict[str, int]:
    """Counts one attempt at each file before it is made; returns how many each has now."""
    for name in names:
        c.execute(
            upsert(arrivals)
            .values(name=name, attempts=1)
            .on_conflict_do_update(index_elements=["name"], set_={"attempts": arrivals.c.attempts + 1})
        )
    return dict(c.execute(select(arrivals.c.name, arrivals.c.attempts).where(arrivals.c.name.in_(names))).all())


def suspects(c: Connection) -> set[str]:
    """Files whose reading began and never ended: each is read alone from now on, so that it costs no other."""
    return set(c.execute(select(arrivals.c.name)).scalars())


def forget_arrivals(c: Connection, names: list[str]) -> None:
    c.execute(delete(arrivals).where(arrivals.c.name.in_(names)))


def add_instance(c: Connection, instance: Instance, at: float) -> tuple[int, bool]:
    """Files one instance; returns (study number, whether it is new).

    Same bytes again are counted and change nothing. Anything new makes a study `received`; when the study had gone
    past that, this is a late instance: revision + 1, and the former result is marked superseded.
    """
    known = c.execute(select(instances).where(instances.c.sha256 == instance.sha256)).one_or_none()
    if known is not None:
        c.execute(update(instances).where(instances.c.id == known.id).values(copies=instances.c.copies + 1))
        return known.study_number, False
    uid = instance.study_instance_uid
    made: dict[str, Any] = {
        "number": epochs.next_number(c),
        "study_instance_uid": uid,
        "revision": epochs.next_revision(c, 0),
        "state": "received",
        "seq": 0,
        "attempts": 0,
        "first_received_at": at,
        "last_received_at": at,
        "state_since": at,
        "fault_code": "",
        "released": False,
        "completeness": {},
        "modality": instance.modality,
    }
    c.execute(
        upsert(studies).on_conflict_do_nothing(index_elements=["study_instance_uid"]), made | asdict(instance.patient)
    )
    study = c.execute(select(studies).where(studies.c.study_instance_uid == uid)).one()
    late = study.state != "received"
    revision = epochs.next_revision(c, study.revision) if late else study.revision
    if late:
        moved = move(c, study, "received", who="triage.admit", at=at, revision=revision)
        assert moved, "the row was read in this transaction"
        supersede_results(c, study.number, at)
    row = {
        "study_number": study.number,
        "sop_instance_uid": instance.sop_instance_uid,
        "sha256": instance.sha256,
        "revision": revision,
        "received_at": at,
        "copies": 1,
        "facts": asdict(instance),
    }
    c.execute(insert(instances), row)
    rank = func.min(studies.c.request_rank, request_rank(instance.request_priority))
    where = studies.c.number == study.number
    c.execute(update(studies).where(where).values(last_received_at=at, request_rank=rank))
    return study.number, True


def supersede_results(c: Connection, number: int, at: float) -> None:
    """A new revision of a study began: what was decided before is history, and its case is withdrawn."""
    where = (results.c.study_number == number, results.c.superseded_at.is_(None))
    c.execute(update(results).where(*where).values(superseded_at=at))


def add_stray(c: Connection, sha256: str, bytes_count: int, code: str, place: str, at: float) -> None:
    """A file that belongs to no study: kept, named, waiting for a person."""
    c.execute(
        upsert(strays)
        .values(sha256=sha256, bytes_count=bytes_count, code=code, place=place, received_at=at, copies=1)
        .on_conflict_do_update(index_elements=["sha256"], set_={"copies": strays.c.copies + 1})
    )


def move(
    c: Connection,
    study: Row[Any],
    to: State,
    *,
    who: str,
    at: float,
    code: str = "",
    revision: int | None = None,
    released: bool = False,
) -> bool:
    """Moves a study from the state and sequence number of the row as read; False when another step was first.

    The move must stand in lifecycle.MOVES. Every move is kept; attempts start again at zero.
    """
    name = lifecycle.event(study.state, to)
    swapped = c.execute(
        update(studies)
        .where(studies.c.number == study.number, studies.c.state == study.state, studies.c.seq == study.seq)
        .values(
            state=to,
            seq=study.seq + 1,
            attempts=0,
            state_since=at,
            revision=revision or study.revision,
            fault_code=code if to == "quarantined" else "",
            released=released,
        )
    )
    if swapped.rowcount != 1:
        return False
    row = {
        "study_number": study.number,
        "revision": revision or study.revision,
        "seq": study.seq + 1,
        "from_state": study.state,
        "to_state": to,
        "event": name,
        "who": who,
        "at": at,
        "code": code,
    }
    c.execute(insert(moves), row)
    return True


def count_attempt(c: Connection, study: Row[Any]) -> int:
    """Counts an attempt before it is made, in its own committed transaction; returns how many that makes."""
    attempts: int = study.attempts + 1
    c.execute(
        update(studies).where(studies.c.number == study.number, studies.c.seq == study.seq).values(attempts=attempts)
    )
    return attempts


def give_back_attempt(c: Connection, study: Row[Any]) -> None:
    """An attempt that only time stood in the way of does not count."""
    where = (studies.c.number == study.number, studies.c.seq == study.seq, studies.c.attempts > 0)
    c.execute(update(studies).where(*where).values(attempts=studies.c.attempts - 1))


def in_state(c: Connection, state: State, limit: int = 100) -> list[Row[Any]]:
    """Studies in a state, the longest waiting first, those tried less often before the others."""
    order = (studies.c.attempts, studies.c.last_received_at, studies.c.number)
    return list(c.execute(select(studies).where(studies.c.state == state).order_by(*order).limit(limit)))


def study_by_number(c: Connection, number: int) -> Row[Any] | None:
    return c.execute(select(studies).where(studies.c.number == number)).one_or_none()


def study_by_uid(c: Connection, uid: str) -> Row[Any] | None:
    return c.execute(select(studies).where(studies.c.study_instance_uid == uid)).one_or_none()


def instances_of(c: Connection, number: int) -> list[Instance]:
    """The instances of a study in the order in which they came."""
    rows = c.execute(select(instances.c.facts).where(instances.c.study_number == number).order_by(instances.c.id))
    return [instance_of(facts) for (facts,) in rows]


def instance_counts(c: Connection, numbers: list[int]) -> dict[int, int]:
    """How many different files each study has."""
    grouped = select(instances.c.study_number, func.count()).where(instances.c.study_number.in_(numbers))
    found: dict[int, int] = dict(c.execute(grouped.group_by(instances.c.study_number)).all())
    return {number: found.get(number, 0) for number in numbers}


def set_completeness(c: Connection, number: int, reason: dict[str, object]) -> None:
    c.execute(update(studies).where(studies.c.number == number).values(completeness=reason))


def put_result(c: Connection, number: int, revision: int, values: dict[str, Any]) -> None:
    """The result of one revision; deciding again gives the same answer, so the first one stands."""
    c.execute(upsert(results).on_conflict_do_nothing(), {"study_number": number, "revision": revision, **values})


def set_case(c: Connection, number: int, revision: int, case_id: str) -> None:
    where = (results.c.study_number == number, results.c.revision == revision)
    c.execute(update(results).where(*where).values(case_id=case_id))


def result_of(c: Connection, number: int, revision: int) -> Row[Any] | None:
    where = (results.c.study_number == number, results.c.revision == revision)
    return c.execute(select(results).where(*where)).one_or_none()


def result_of_case(c: Connection, case_id: str) -> Row[Any] | None:
    return c.execute(select(results).where(results.c.case_id == case_id)).one_or_none()


def put_verdict(
    c: Connection, *, case_id: str, rev: int, number: int, revision: int, at: float, addendum: bool, body: Any
) -> None:
    """A verdict, once: the same one again changes nothing."""
    row = {"case_id": case_id, "rev": rev, "study_number": number, "revision": revision}
    c.execute(upsert(verdicts).values(**row, received_at=at, addendum=addendum, body=body).on_conflict_do_nothing())


def mark_addenda(c: Connection, number: int, revision: int) -> None:
    """The verdicts of this revision were not before the reader's eyes when the study was signed."""
    where = (verdicts.c.study_number == number, verdicts.c.revision == revision)
    c.execute(update(verdicts).where(*where).values(addendum=True))


def verdicts_of(c: Connection, number: int) -> list[Row[Any]]:
    order = (verdicts.c.revision, verdicts.c.rev)
    return list(c.execute(select(verdicts).where(verdicts.c.study_number == number).order_by(*order)))


def moves_of(c: Connection, number: int) -> list[Row[Any]]:
    return list(c.execute(select(moves).where(moves.c.study_number == number).order_by(moves.c.seq)))


def superseded_cases(c: Connection, case_ids: list[str]) -> list[str]:
    """Of these cases the ones whose result a later revision took the place of."""
    where = (results.c.case_id.in_(case_ids), results.c.superseded_at.is_not(None))
    return list(c.execute(select(results.c.case_id).where(*where)).scalars())


def last_taken_over(c: Connection) -> tuple[int, int]:
    """The last signature and the last command of review.db that this ledger has taken over."""
    signature = c.execute(select(func.max(signatures.c.signature_id))).scalar_one()
    command = c.execute(select(func.max(commands.c.command_id))).scalar_one()
    return signature or 0, command or 0


def take_over_signature(c: Connection, row: Row[Any], outcome: str) -> None:
    """Files a signature; outcome "moved", or "stale" when the study had changed since the reader saw it."""
    told = {name: getattr(row, name) for name in ("study_number", "revision", "user", "decision", "signed_at")}
    c.execute(upsert(signatures).values(signature_id=row.id, outcome=outcome, **told).on_conflict_do_nothing())


def take_over_command(c: Connection, row: Row[Any], outcome: str) -> None:
    told = {name: getattr(row, name) for name in ("study_number", "kind", "user", "at")}
    c.execute(upsert(commands).values(command_id=row.id, outcome=outcome, **told).on_conflict_do_nothing())


def counts(c: Connection) -> dict[str, int]:
    """Studies in each state, zeros included."""
    found: dict[str, int] = dict(c.execute(select(studies.c.state, func.count()).group_by(studies.c.state)).all())
    return {state: found.get(state, 0) for state in lifecycle.STATES}


def known_digests(c: Connection) -> Iterable[str]:
    """The digest of every file that stands in the archive by this ledger."""
    yield from c.execute(select(instances.c.sha256)).scalars()
    yield from c.execute(select(strays.c.sha256)).scalars()


def refused_digests(c: Connection) -> Iterable[str]:
    """Names of strays that receive refused: they lie in refused/ of the watched folder, not in the archive."""
    yield from c.execute(select(strays.c.sha256).where(strays.c.place == REFUSED_PLACE)).scalars()
