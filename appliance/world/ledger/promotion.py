"""What models beside the deciding one came to, and how the last orders about a name left it. Triage writes it.

One row a shadow: its figures, and why it is not offered to decide yet. It is told anew at every look; what it stands on
are the rows of shadows, results and audits, which stay.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Column, Connection, Float, Row, String, Table, and_, delete, inspect, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.promotion import Beside, Ran
from appliance.world.ledger.roles import orders
from appliance.world.ledger.shadows import shadows
from appliance.world.ledger.tables import METADATA, results, studies
from appliance.world.ledger.watch import audits

ROWS_MAX = 5000  # the newest; more would tell nothing else
SOURCE = "promotion"

promotions = Table(
    "promotions",
    METADATA,
    Column("title", String, primary_key=True),
    Column("present", String),  # beside whom; null where nobody decides
    Column("code", String, nullable=False),  # of core.promotion.WAITS; "" where it is offered
    Column("figures", JSON, nullable=False),  # of core.promotion.Figures; all that holds it up; how many are asked for
    Column("at", Float, nullable=False),
)


def is_made(c: Connection) -> bool:
    return inspect(c).has_table(promotions.name)


def put(c: Connection, title: str, present: str | None, code: str, figures: Mapping[str, Any], at: float) -> None:
    row = {"present": present, "code": code, "figures": dict(figures), "at": at}
    made = upsert(promotions).values(title=title, **row)
    c.execute(made.on_conflict_do_update(index_elements=["title"], set_=row))


def keep_only(c: Connection, titles: list[str]) -> None:
    """Forgets those that run beside no more."""
    c.execute(delete(promotions).where(promotions.c.title.not_in(titles)))


def everything(c: Connection) -> list[Row[Any]]:
    return list(c.execute(select(promotions).order_by(promotions.c.title))) if is_made(c) else []


def offered(c: Connection) -> list[str]:
    """Titles that may be activated now."""
    return [row.title for row in everything(c) if row.code == ""]


def beside(c: Connection, title: str, present: str | None) -> list[Beside]:
    """What a model said beside one deciding model, with what that said of the same studies; the newest ROWS_MAX."""
    same = and_(results.c.study_number == shadows.c.study_number, results.c.revision == shadows.c.revision)
    chosen = (
        select(shadows.c.study_number, shadows.c.reasons, shadows.c.lane, results.c.lane.label("present_lane"))
        .join(results, same)
        .where(shadows.c.model == title, shadows.c.decided_by == present)
        .order_by(shadows.c.at.desc())
        .limit(ROWS_MAX)
    )
    answers = _answers(c)
    return [
        Beside(frozenset(_codes(row.reasons)), row.lane, row.present_lane, answers.get(row.study_number))
        for row in c.execute(chosen)
    ]


def ran(c: Connection, title: str, present: str, since: float) -> list[tuple[int, Ran]]:
    """The same for the watch over a former version: study number and what was measured, oldest first."""
    chosen = (
        select(shadows.c.study_number, shadows.c.scores, shadows.c.lane, studies.c.study_instance_uid)
        .join(studies, studies.c.number == shadows.c.study_number)
        .where(shadows.c.model == title, shadows.c.decided_by == present, shadows.c.at >= since)
        .order_by(shadows.c.at.desc())
        .limit(ROWS_MAX)
    )
    answers = _answers(c)
    found: dict[int, Ran] = {}
    for row in c.execute(chosen):
        first = next((each for each in row.scores if int(each.get("exit", 1)) == 1), None)
        if first is not None and row.study_number not in found:  # once a study, whatever its revisions
            values = {"logit": float(first["logit"]), **{k: float(v) for k, v in first["gates"].items()}}
            answer = answers.get(row.study_number)
            found[row.study_number] = Ran(row.study_instance_uid, values, row.lane, answer)
    return list(reversed(found.items()))


def last_reasons(c: Connection, title: str, since: float, studies_max: int) -> list[frozenset[str]]:
    """Reasons of the last studies that a deciding model was asked about, newest first."""
    chosen = select(results.c.reasons).where(results.c.model == title, results.c.decided_at >= since)
    chosen = chosen.order_by(results.c.decided_at.desc()).limit(studies_max)
    return [frozenset(_codes(each)) for each in c.execute(chosen).scalars()]


def activation(c: Connection, title: str) -> Row[Any] | None:
    """The order by which a version came to decide; None where it was shipped so."""
    where = (orders.c.kind == "model-activate", orders.c.subject == title, orders.c.outcome == "done")
    return c.execute(select(orders).where(*where).order_by(orders.c.id.desc()).limit(1)).first()


def fallen(c: Connection) -> list[str]:
    """Names whose deciding version was left by itself, until somebody activates or goes back anew."""
    return sorted(name for name, (_, row) in taken_back(c).items() if row.source == SOURCE) if is_made(c) else []


def taken_back(c: Connection) -> dict[str, tuple[str, Row[Any]]]:
    """Of each name whose last step was one back: the title that decided until then, and the order."""
    where = (orders.c.kind.in_(("model-activate", "model-rollback")), orders.c.outcome == "done")
    deciding: dict[str, list[str]] = {}
    found: dict[str, tuple[str, Row[Any]]] = {}
    for row in c.execute(select(orders).where(*where).order_by(orders.c.id)):
        name = row.subject.partition("/")[0]
        titles = deciding.setdefault(name, [])
        if row.kind == "model-rollback":
            found[name] = (titles.pop() if titles else "", row)
        else:
            found.pop(name, None)
            titles += [] if titles[-1:] == [row.subject] else [row.subject]
    return found


def _answers(c: Connection) -> dict[int, str]:
    """Of each study its blinded read, decoys too: those were read as blindly."""
    chosen = select(audits.c.study_number, audits.c.answer).where(audits.c.answer.is_not(None))
    found: dict[int, str] = {}
    for number, answer in c.execute(chosen.order_by(audits.c.id.desc())):
        found[number] = answer
    return found


def _codes(reasons: list[dict[str, Any]]) -> list[str]:
    return [str(each["code"]) for each in reasons]
