"""Final reports of the RIS that were taken in, and the studies they speak of. Only ever added to.

A report is known by its file's digest and its number in it. It belongs to a study when accession number and patient ID
both say so and no other study could be meant; that may turn out later than it comes. Of several reports of one study
the last one counts. Functions take a connection, as the rest of the ledger does.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import DDL, JSON, Column, Connection, Float, ForeignKey, Integer, Row, String, Table, event, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.core.final_report import FinalReport
from appliance.world.ledger.tables import METADATA, results, studies
from appliance.world.ledger.watch import audits, installed, monitors

UNMATCHED_MAX = 2_000  # the newest that belong to no study yet are looked at again

final_reports = Table(
    "final_reports",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sha256", String, nullable=False),
    Column("part", Integer, nullable=False),
    Column("sender", String, nullable=False),
    Column("control_id", String, nullable=False),
    Column("accession_number", String, nullable=False, index=True),
    Column("patient_ids", JSON, nullable=False),
    Column("status", String, nullable=False),
    Column("told", JSON, nullable=False),  # label -> present, absent, undecided; {} where it is not final
    Column("received_at", Float, nullable=False, index=True),
    sqlite_autoincrement=True,
)
report_matches = Table(
    "report_matches",
    METADATA,
    Column("report_id", ForeignKey("final_reports.id"), primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("at", Float, nullable=False),
)
for _table in (final_reports, report_matches):
    for _verb in ("UPDATE", "DELETE"):
        event.listen(
            _table,
            "after_create",
            DDL(  # type: ignore[no-untyped-call]
                f"CREATE TRIGGER IF NOT EXISTS {_table.name}_no_{_verb.lower()} BEFORE {_verb} ON {_table.name} "
                "BEGIN SELECT RAISE(ABORT, 'final reports are only ever added to'); END"
            ),
        )


def put(c: Connection, sha256: str, report: FinalReport, at: float) -> bool:
    """Files a report; False when the same file came before."""
    where = (final_reports.c.sha256 == sha256, final_reports.c.part == report.part)
    if c.execute(select(final_reports.c.id).where(*where)).first() is not None:
        return False
    row = {name: getattr(report, name) for name in ("part", "sender", "control_id", "accession_number", "status")}
    row |= {"patient_ids": list(report.patient_ids), "told": dict(report.told)}
    c.execute(final_reports.insert().values(sha256=sha256, received_at=at, **row))
    return True


def match(c: Connection, at: float) -> int:
    """Ties reports to the one study that accession number and patient ID name; how many were tied."""
    told = (
        select(final_reports.c.id, final_reports.c.accession_number, final_reports.c.patient_ids)
        .outerjoin(report_matches)
        .where(report_matches.c.report_id.is_(None), final_reports.c.status.in_(("F", "C")))
        .order_by(final_reports.c.id.desc())
        .limit(UNMATCHED_MAX)
    ).subquery()
    known = select(told.c.id, told.c.patient_ids, studies.c.number, studies.c.patient_id)
    found: dict[int, list[int]] = {}
    for row in c.execute(known.join(studies, studies.c.accession_number == told.c.accession_number)):
        # Another patient's study under this accession number makes the report doubtful, and it is tied to none.
        found.setdefault(row.id, []).append(row.number if row.patient_id in row.patient_ids else 0)
    tied = {report: numbers[0] for report, numbers in found.items() if len(numbers) == 1 and numbers[0]}
    for report, number in tied.items():
        c.execute(upsert(report_matches).values(report_id=report, study_number=number, at=at).on_conflict_do_nothing())
    return len(tied)


def speaking(c: Connection) -> Sequence[Row[Any]]:
    """Audits that chance drew and nobody has answered, whose study's last final report says that the finding is there.

    Decoys are none of them: chance drew those for the reader's sake, and they count for nothing.
    """
    columns = (audits.c.id, monitors.c.facts, final_reports.c.id.label("report"), final_reports.c.told)
    joined = (
        select(*columns)
        .join(monitors, monitors.c.certificate == audits.c.certificate)
        .join(report_matches, report_matches.c.study_number == audits.c.study_number)
        .join(final_reports, final_reports.c.id == report_matches.c.report_id)
        .where(audits.c.counts, audits.c.answer.is_(None))
        .order_by(final_reports.c.id)
    )
    rows: list[Row[Any]] = list(c.execute(joined))
    last = {row.id: row for row in rows}
    return [row for row in last.values() if row.told.get(row.facts["label"]) == "present"]


def missed(c: Connection, begin: float, end: float) -> Sequence[Row[Any]]:
    """Studies that were cleared here, or would have been, whose last final report says that the finding is there.

    It was received within the time; the finding is that of the model that decided.
    """
    current = (results.c.study_number == studies.c.number) & (results.c.revision == studies.c.revision)
    columns = (studies.c.number, studies.c.modality, studies.c.state, studies.c.revision.label("present"))
    more = (results.c.lane, results.c.would_be, results.c.model, installed.c.facts)
    told = (final_reports.c.told, final_reports.c.sender, final_reports.c.received_at)
    joined = (
        select(*columns, *more, *told)
        .join(report_matches, report_matches.c.study_number == studies.c.number)
        .join(final_reports, final_reports.c.id == report_matches.c.report_id)
        .join(results, current)
        .join(installed, installed.c.title == results.c.model)
        .where(final_reports.c.received_at < end)
        .order_by(final_reports.c.id)
    )
    in_time = select(report_matches.c.study_number).join(final_reports).where(final_reports.c.received_at >= begin)
    rows: list[Row[Any]] = list(c.execute(joined.where(studies.c.number.in_(in_time))))
    last = {row.number: row for row in rows}
    return [
        row
        for row in last.values()
        if row.received_at >= begin
        and "cleared" in (row.lane, row.would_be)
        and row.told.get(row.facts["label"]) == "present"
    ]


def counts(c: Connection, begin: float, end: float) -> dict[str, int]:
    """Of the final reports received within a time: all, those of no study yet, those that decide nothing."""
    within = (final_reports.c.received_at >= begin, final_reports.c.received_at < end)
    final = final_reports.c.status.in_(("F", "C"))
    chosen = select(final_reports.c.told, report_matches.c.report_id).outerjoin(report_matches).where(*within, final)
    rows = list(c.execute(chosen))
    return {
        "all": len(rows),
        "unmatched": sum(row.report_id is None for row in rows),
        "undecided": sum(set(row.told.values()) <= {"undecided"} for row in rows),
    }
