"""Performed procedure steps as modalities told of them: state and UIDs, and nothing of a patient beyond these.

Functions take a connection, as the rest of the ledger does.
"""

from collections.abc import Sequence

from sqlalchemy import Column, Connection, Float, String, Table, delete, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.performed_step import Message, PerformedStep, State, after, step_of
from appliance.world.ledger.tables import METADATA

steps = Table(
    "performed_steps",
    METADATA,
    Column("uid", String, primary_key=True),  # SOP Instance UID of the step
    Column("state", String, nullable=False),
    Column("at", Float, nullable=False, index=True),  # when its state last changed
)
step_studies = Table(
    "performed_step_studies",
    METADATA,
    Column("study_instance_uid", String, primary_key=True),  # one may never come
    Column("step", String, primary_key=True),
)
step_objects = Table(
    "performed_step_objects",
    METADATA,
    Column("step", String, primary_key=True),
    Column("series_instance_uid", String, primary_key=True),
    Column("sop_instance_uid", String, primary_key=True),  # "": the series itself
)
BATCH = 300  # rows in one statement


def put(c: Connection, uid: str, told: Message | None, at: float, *, creates: bool) -> State | None:
    """Files a message; None: one that cannot be read. The state it comes to, or None where no such step is known.

    The same message again changes nothing: it adds what is there, and its state was heard before.
    """
    if creates:
        begins: State = "IN PROGRESS" if told is not None else "UNCLEAR"
        c.execute(upsert(steps).values(uid=uid, state=begins, at=at).on_conflict_do_nothing())
    was: State | None = c.execute(select(steps.c.state).where(steps.c.uid == uid)).scalar_one_or_none()
    if was is None:
        return None
    if told is None:
        state: State = "UNCLEAR"
    else:
        # Creating is heard once: a file read twice, by a kill in between, must not look like going on after the end.
        state = was if creates else after(was, _named(c, uid), told)
        _add(c, uid, told)
    if state != was:
        c.execute(update(steps).where(steps.c.uid == uid).values(state=state, at=at))
    return state


def _add(c: Connection, uid: str, told: Message) -> None:
    if told.studies:
        rows = [{"study_instance_uid": study, "step": uid} for study in told.studies]
        c.execute(upsert(step_studies).values(rows).on_conflict_do_nothing())
    for start in range(0, len(told.objects), BATCH):
        some = told.objects[start : start + BATCH]
        named = [{"step": uid, "series_instance_uid": series, "sop_instance_uid": sop} for series, sop in some]
        c.execute(upsert(step_objects).values(named).on_conflict_do_nothing())


def _named(c: Connection, uid: str) -> list[tuple[str, str]]:
    columns = (step_objects.c.series_instance_uid, step_objects.c.sop_instance_uid)
    return [(series, sop) for series, sop in c.execute(select(*columns).where(step_objects.c.step == uid))]


def steps_of(c: Connection, study_instance_uid: str) -> list[PerformedStep]:
    """Every step that is known for a study."""
    found = (
        select(steps.c.uid, steps.c.state)
        .join(step_studies, step_studies.c.step == steps.c.uid)
        .where(step_studies.c.study_instance_uid == study_instance_uid)
        .order_by(steps.c.uid)
    )
    return [step_of(state, _named(c, uid)) for uid, state in c.execute(found).all()]


def old(c: Connection, before: float, limit: int) -> list[str]:
    """Steps of which nothing was heard since."""
    return list(c.execute(select(steps.c.uid).where(steps.c.at < before).limit(limit)).scalars())


def forget(c: Connection, uids: Sequence[str]) -> None:
    for table, column in (
        (step_objects, step_objects.c.step),
        (step_studies, step_studies.c.step),
        (steps, steps.c.uid),
    ):
        c.execute(delete(table).where(column.in_(uids)))
