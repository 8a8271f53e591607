"""What the clinical ledger knows of how well the edge does: signatures beside results, and answers of blinded reads.

Read only; it counts and judges nothing. Functions take a connection, as the rest of the ledger does.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select, tuple_

from appliance.world.ledger.tables import results, signatures, studies
from appliance.world.ledger.watch import audits, monitors

NO_MODEL = "no model"


def decisions(c: Connection, since: float) -> list[tuple[str, str, str, int]]:
    """(model, lane, decision, how many) of the signatures that counted since a moment."""
    same = and_(results.c.study_number == signatures.c.study_number, results.c.revision == signatures.c.revision)
    what = (results.c.model, results.c.lane, signatures.c.decision)
    chosen = select(*what, func.count()).join(results, same)
    where = (signatures.c.outcome == "moved", signatures.c.signed_at >= since)
    found = c.execute(chosen.where(*where).group_by(*what)).all()
    return [(model or NO_MODEL, lane, decision, count) for model, lane, decision, count in found]


def answered_audits(c: Connection, begin: float, end: float) -> list[Row[Any]]:
    """Blinded reads that count as evidence and were answered within a time, with the model they speak of."""
    what = (audits.c.id, audits.c.study_number, audits.c.revision, audits.c.answer, audits.c.user, audits.c.answered_at)
    more = (monitors.c.model, studies.c.modality, studies.c.state, studies.c.revision.label("present"))
    chosen = select(*what, *more, studies.c.number).join(studies, studies.c.number == audits.c.study_number)
    joined = chosen.outerjoin(monitors, monitors.c.certificate == audits.c.certificate)
    # What a final report answered stands with the final reports.
    where = (
        audits.c.counts,
        ~audits.c.user.like("report:%"),
        audits.c.answered_at >= begin,
        audits.c.answered_at < end,
    )
    return list(c.execute(joined.where(*where).order_by(audits.c.answered_at)))


def results_at(c: Connection, states: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Row[Any]]:
    """The result of each (study, revision), with what the study is."""
    what = (results.c.study_number, results.c.lane, results.c.would_be, results.c.model)
    decided = results.c.revision.label("decided_revision")
    chosen = select(
        *what, decided, studies.c.modality, studies.c.number, studies.c.state, studies.c.revision.label("present")
    )
    joined = chosen.join(studies, studies.c.number == results.c.study_number)
    found: list[Row[Any]] = list(
        c.execute(joined.where(tuple_(results.c.study_number, results.c.revision).in_(list(states))))
    )
    return {(row.study_number, row.decided_revision): row for row in found}
