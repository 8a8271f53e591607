"""What a first glance told of each film while the patient may still be there: hints to repeat it, or none.

A glance decides nothing: it never moves a study, and a film without one is judged all the same. Each attempt is counted
before it is made, so that a film which kills the process is not glanced at again. Functions take a connection, as the
rest of the ledger does.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import JSON, Column, Connection, Float, ForeignKey, Integer, Row, String, Table, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.study import Reason
from appliance.world.ledger.tables import METADATA, instances, studies

OPEN_STATES = ("received", "complete")  # afterwards the decision itself tells the same

glances = Table(
    "glances",
    METADATA,
    Column("sha256", String, primary_key=True),  # of the instance's bytes
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("looked_at", Float),  # null: begun and not ended
    Column("hints", JSON, nullable=False),  # reasons: [{code, text}]
)


def waiting(c: Connection, *, attempts_max: int, limit: int) -> list[Row[Any]]:
    """Instances of undecided studies that nobody glanced at, the newest first: columns sha256, study_number, facts.

    The newest first, because only that patient may still be there.
    """
    begun = (glances.c.looked_at.is_not(None)) | (glances.c.attempts >= attempts_max)
    done = select(glances.c.sha256).where(glances.c.sha256 == instances.c.sha256, begun).exists()
    wanted = (
        select(instances.c.sha256, instances.c.study_number, instances.c.facts)
        .join(studies, studies.c.number == instances.c.study_number)
        .where(studies.c.state.in_(OPEN_STATES), instances.c.revision == studies.c.revision, ~done)
        .order_by(instances.c.id.desc())
    )
    return list(c.execute(wanted.limit(limit)))


def begin(c: Connection, sha256: str, number: int) -> None:
    """Counts an attempt before it is made."""
    made = upsert(glances).values(sha256=sha256, study_number=number, attempts=1, hints=[])
    again = {"attempts": glances.c.attempts + 1}
    c.execute(made.on_conflict_do_update(index_elements=["sha256"], set_=again))


def end(c: Connection, sha256: str, hints: Sequence[Reason], at: float) -> None:
    told = [{"code": hint.code, "text": hint.text} for hint in hints]
    c.execute(update(glances).where(glances.c.sha256 == sha256).values(looked_at=at, hints=told))


def pass_over(c: Connection, films: Iterable[tuple[str, int]], at: float) -> None:
    """Instances, digest and study number, that need no look."""
    for sha256, number in films:
        row = {"sha256": sha256, "study_number": number, "attempts": 0, "looked_at": at, "hints": []}
        c.execute(upsert(glances).values(**row).on_conflict_do_nothing())


def of(c: Connection, number: int) -> tuple[Reason, ...]:
    """Why the films of a study may be worth repeating, each reason once, in the order of the films; else ()."""
    rows = c.execute(
        select(glances.c.hints)
        .join(instances, instances.c.sha256 == glances.c.sha256)
        .where(glances.c.study_number == number)
        .order_by(instances.c.id)
    ).scalars()
    return tuple(dict.fromkeys(Reason(hint["code"], hint["text"]) for hints in rows for hint in hints))


def of_many(c: Connection, numbers: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The codes of the hints of several studies, for a worklist; a study without any is not in it."""
    rows = c.execute(
        select(glances.c.study_number, glances.c.hints)
        .where(glances.c.study_number.in_(numbers))
        .order_by(glances.c.study_number)
    )
    found: dict[int, dict[str, None]] = {}
    for number, hints in rows:
        for hint in hints:
            found.setdefault(number, {})[hint["code"]] = None
    return {number: tuple(codes) for number, codes in found.items()}
