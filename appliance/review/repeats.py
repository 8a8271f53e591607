"""*Repeat?*: films that a radiographer could take again while the patient is still there. A hint, never an order.

Before a study is decided the hint comes from the first glance, afterwards from the decision's reasons; a new film makes
a new revision, which is hinted at anew or not at all. It decides nothing and moves nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, select

from appliance.core.gates import mendable
from appliance.review import words
from appliance.review.language import tr
from appliance.world.ledger import glances as first_glances
from appliance.world.ledger import instances, results, studies
from appliance.world.ledger.glances import glances

FRESH_S = 900.0  # afterwards the patient has left, and the row's own mark is enough
SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Repeat:
    """One hint above the worklist."""

    number: int
    name: str
    modality: str
    words: str
    ago: str


def said(codes: Iterable[str]) -> str:
    """The codes that can be mended, in words; "" for none."""
    return "; ".join(tr(words.REPEAT_WORDS[code]) for code in mendable(codes))


def hints(c: Connection, rows: Sequence[Row[Any]]) -> dict[int, str]:
    """Of worklist rows the ones whose film might be repeated: study number -> words."""
    glanced = first_glances.of_many(c, [row.number for row in rows if row.lane is None])
    decided = {row.number: [each["code"] for each in row.reasons] for row in rows if row.lane is not None}
    found = {number: said(codes) for number, codes in {**glanced, **decided}.items()}
    return {number: text for number, text in found.items() if text}


def fresh(c: Connection, now: float) -> list[Repeat]:
    """Hints of the last minutes about studies that nobody has signed, the newest first."""
    who = (studies.c.number, studies.c.patient_name, studies.c.modality)
    glanced = (
        select(*who, glances.c.looked_at.label("at"), glances.c.hints.label("reasons"))
        .join(instances, instances.c.sha256 == glances.c.sha256)
        .join(studies, and_(studies.c.number == instances.c.study_number, studies.c.revision == instances.c.revision))
        .where(glances.c.looked_at > now - FRESH_S, studies.c.state.in_(first_glances.OPEN_STATES))
    )
    same = and_(results.c.study_number == studies.c.number, results.c.revision == studies.c.revision)
    decided = (
        select(*who, results.c.decided_at.label("at"), results.c.reasons)
        .join(studies, same)
        .where(results.c.decided_at > now - FRESH_S, studies.c.state != "reviewed")
        .where(studies.c.state.not_in(first_glances.OPEN_STATES))
    )
    found = [*c.execute(glanced), *c.execute(decided)]
    found.sort(key=lambda row: -row.at)
    told = {row.number: _told(row, now) for row in reversed(found) if said(each["code"] for each in row.reasons)}
    return sorted(told.values(), key=lambda each: -each.number)[:SHOWN_MAX]


def _told(row: Row[Any], now: float) -> Repeat:
    codes = [each["code"] for each in row.reasons]
    return Repeat(row.number, words.person_name(row.patient_name), row.modality, said(codes), words.span(now - row.at))
