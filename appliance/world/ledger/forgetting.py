"""What phi/studies.db does to forget a study: in one transaction nothing in it names anybody any more.

What stays of a study is its number, its moves, what was decided and signed by number, what the watch over certificates
counted, and a row in `forgotten`. Its files are named in `condemned` until each is gone. A row of `forgotten` holds a
digest over the one before it, so that none can be changed or taken out unseen. Functions take a connection.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    Row,
    String,
    Table,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.schema import DDL

from appliance.core.study import Patient
from appliance.world.ledger import departures, drafts, final_reports, glances, overlays, performed, released, reports
from appliance.world.ledger import watch as watching
from appliance.world.ledger.broken import broken
from appliance.world.ledger.commitments import vouched
from appliance.world.ledger.corrections import BEGUN, makings
from appliance.world.ledger.tables import METADATA, instances, results, signatures, strays, studies, verdicts

START = "0" * 64
NAMELESS = "forgotten:"  # before the pseudonym that stands where the Study Instance UID stood
BATCH = 500

forgotten = Table(
    "forgotten",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False),
    Column("pseudonym", String, nullable=False),  # of its Study Instance UID, under the site key
    Column("revision", Integer, nullable=False),
    Column("rule", String, nullable=False),  # retention, or order
    Column("evidence", String, nullable=False),  # committed, scanner, or none
    Column("order_id", Integer, nullable=False),  # of review.db; 0 where the retention says so
    Column("files", Integer, nullable=False),
    Column("bytes_count", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
    Index("forgotten_by_study", "study_number"),
    sqlite_autoincrement=True,
)
condemned = Table(  # files whose rows are gone and that may still lie here
    "condemned",
    METADATA,
    Column("name", String, primary_key=True),  # SHA-256, in hex
    Column("place", String, primary_key=True),  # instance, report
)
looks = Table(  # one row: when triage last looked for what is to be forgotten
    "retention_looks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
)
for _verb in ("UPDATE", "DELETE"):
    event.listen(
        forgotten,
        "after_create",
        DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER IF NOT EXISTS forgotten_no_{_verb.lower()} BEFORE {_verb} ON forgotten "
            "BEGIN SELECT RAISE(ABORT, 'what was forgotten is only ever added to'); END"
        ),
    )


def is_made(c: Connection) -> bool:
    return bool(inspect(c).has_table(forgotten.name))


def is_nameless(c: Connection, study: Row[Any]) -> bool:
    """Whether a forgotten study has its record, and no row of this ledger that names somebody."""
    named = [getattr(study, field.name) for field in fields(Patient)]
    if any(named) or not study.study_instance_uid.startswith(NAMELESS):
        return False
    tables = (instances, departures.pseudonyms, departures.key_images, reports.orders, reports.objects, verdicts)
    left = [table for table in tables if _any(c, select(table).where(table.c.study_number == study.number))]
    return not left and was_forgotten(c, study.number, study.revision)


def last_look(c: Connection) -> float | None:
    found: float | None = c.execute(select(looks.c.at)).scalar_one_or_none()
    return found


def looked(c: Connection, at: float) -> None:
    c.execute(upsert(looks).values(id=1, at=at).on_conflict_do_update(index_elements=["id"], set_={"at": at}))


def candidates(c: Connection, after: int, reviewed_before: float, ordered: Iterable[int], limit: int) -> list[Row[Any]]:
    """Reviewed studies with a greater number whose time may be over, or that an order names."""
    due = (studies.c.state_since <= reviewed_before) | studies.c.number.in_(list(ordered))
    where = (studies.c.state == "reviewed", studies.c.number > after, due)
    return list(c.execute(select(studies).where(*where).order_by(studies.c.number).limit(limit)))


def open_ends(c: Connection, study: Row[Any], *, results_go: bool) -> set[str]:
    """What is open about a study in this ledger: codes of core.retention.KEPT. results_go: a target is configured."""
    number, found = study.number, set()
    orders = reports.orders
    undelivered = orders.c.open | (orders.c.state == "refused")
    ours = orders.c.body["kind"].as_string() != "commit-ask"
    if _any(c, select(orders.c.order_id).where(orders.c.study_number == number, undelivered, ours)):
        found.add("result-open")
    signed = (signatures.c.study_number == number, signatures.c.outcome == "moved")
    said = reports.statements
    same = (said.c.study_number == number) & (said.c.revision == signatures.c.revision)
    same &= (said.c.decision == signatures.c.decision) & (said.c.outcome.in_(("built", "nothing")))
    unsaid = select(signatures.c.signature_id).outerjoin(said, same).where(*signed, said.c.outcome.is_(None))
    if results_go and _any(c, unsaid):
        found.add("result-open")
    audits = watching.audits
    if _any(c, select(audits.c.id).where(audits.c.study_number == number, audits.c.answer.is_(None))):
        found.add("audit-open")
    made = (makings.c.signature_id == signatures.c.signature_id) & (makings.c.addendum_id == 0)
    unmade = makings.c.outcome.is_(None) | (makings.c.outcome == BEGUN)
    if _any(c, select(signatures.c.signature_id).outerjoin(makings, made).where(*signed, unmade)):
        found.add("correction-open")
    waits = (broken.c.study_instance_uid == study.study_instance_uid, strays.c.rejected_by == "")
    if _any(c, select(broken.c.sha256).join(strays, strays.c.sha256 == broken.c.sha256).where(*waits)):
        found.add("file-beside")
    twice = select(instances.c.sop_instance_uid).where(instances.c.study_number == number)
    if _any(c, twice.group_by(instances.c.sop_instance_uid).having(func.count() > 1)):
        found.add("two-files")
    return found


def _any(c: Connection, chosen: Any) -> bool:
    return c.execute(chosen.limit(1)).first() is not None


def files_of(c: Connection, number: int) -> Sequence[Any]:
    """sha256, sop_instance_uid and facts of every file of a study."""
    columns = (instances.c.sha256, instances.c.sop_instance_uid, instances.c.facts)
    return c.execute(select(*columns).where(instances.c.study_number == number).order_by(instances.c.sha256)).all()


def case_ids(c: Connection, number: int) -> list[str]:
    where = (results.c.study_number == number, results.c.case_id.is_not(None))
    return list(c.execute(select(results.c.case_id).where(*where)).scalars())


def questions(c: Connection, number: int, about: str) -> list[Row[Any]]:
    """Times a PACS was asked whether it keeps exactly these files, the newest first. about: the order's own mark."""
    orders = reports.orders
    where = (orders.c.study_number == number, orders.c.body["kind"].as_string() == "commit-ask")
    found = c.execute(select(orders).where(*where).order_by(orders.c.made_at.desc()))
    return [row for row in found if row.body["transaction_uid"] == about]


def was_forgotten(c: Connection, number: int, revision: int) -> bool:
    """Whether this revision of a study was forgotten: what still comes for it is not kept."""
    if not is_made(c):
        return False
    return _any(c, select(forgotten.c.id).where(forgotten.c.study_number == number, forgotten.c.revision >= revision))


def obeyed(c: Connection) -> set[int]:
    """Orders of review.db that were carried out."""
    return set(c.execute(select(forgotten.c.order_id).where(forgotten.c.order_id > 0)).scalars())


def forget(
    c: Connection, study: Row[Any], pseudonym: str, *, rule: str, evidence: str, order_id: int, at: float
) -> tuple[int, int]:
    """Takes out of every row what names somebody, condemns the files, writes the record; (files, bytes).

    The move to `forgotten` is the caller's, in the same transaction.
    """
    number, files = study.number, files_of(c, study.number)
    sizes = sum(int(row.facts["bytes_count"]) for row in files)
    _condemn(c, [row.sha256 for row in files], "instance")
    _forget_reports(c, number)
    for start in range(0, len(files), BATCH):
        some = files[start : start + BATCH]
        c.execute(delete(released.together).where(released.together.c.sha256.in_([row.sha256 for row in some])))
        c.execute(delete(vouched).where(vouched.c.sop_instance_uid.in_([row.sop_instance_uid for row in some])))
    steps = select(performed.step_studies.c.step).where(
        performed.step_studies.c.study_instance_uid == study.study_instance_uid
    )
    named = list(c.execute(steps).scalars())
    c.execute(delete(performed.step_objects).where(performed.step_objects.c.step.in_(named)))
    c.execute(delete(performed.step_studies).where(performed.step_studies.c.step.in_(named)))
    c.execute(delete(performed.steps).where(performed.steps.c.uid.in_(named)))
    for table in (
        departures.pseudonyms, departures.key_images, glances.glances, overlays.overlays, drafts.drafts,
        reports.orders, reports.objects, verdicts, instances,
    ):  # fmt: skip
        c.execute(delete(table).where(table.c.study_number == number))
    c.execute(update(departures.receipts).where(departures.receipts.c.study_number == number).values(manifest=b""))
    blank: dict[str, Any] = dict.fromkeys((field.name for field in fields(Patient)), "")
    blank |= {"study_instance_uid": f"{NAMELESS}{pseudonym}", "completeness": {}, "doubt": "", "released": False}
    c.execute(update(studies).where(studies.c.number == number).values(**blank))
    _record(
        c,
        {
            "study_number": number, "pseudonym": pseudonym, "revision": study.revision, "rule": rule,
            "evidence": evidence, "order_id": order_id, "files": len(files), "bytes_count": sizes, "at": at,
        },
    )  # fmt: skip
    return len(files), sizes


def _condemn(c: Connection, names: Sequence[str], place: str) -> None:
    for start in range(0, len(names), BATCH):
        rows = [{"name": name, "place": place} for name in names[start : start + BATCH]]
        c.execute(upsert(condemned).values(rows).on_conflict_do_nothing())


def _forget_reports(c: Connection, number: int) -> None:
    """Final reports tied to this study lose whom they name; what they said of the finding stays for the watch.

    Their table lets nothing be changed, so its guard is off within this transaction.
    """
    table, ties = final_reports.final_reports, final_reports.report_matches
    mine = list(c.execute(select(ties.c.report_id).where(ties.c.study_number == number)).scalars())
    if not mine:
        return
    guard = c.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'final_reports_no_update'").scalar_one()
    files = set(c.execute(select(table.c.sha256).where(table.c.id.in_(mine))).scalars())
    # One file may hold reports of several patients: it stays until the last of them is forgotten.
    names = (table.c.accession_number != "") | (table.c.control_id != "")
    others = select(table.c.sha256).where(table.c.sha256.in_(files), table.c.id.not_in(mine), names)
    c.exec_driver_sql("DROP TRIGGER final_reports_no_update")
    blank = {"control_id": "", "accession_number": "", "patient_ids": []}
    c.execute(update(table).where(table.c.id.in_(mine)).values(**blank))
    c.exec_driver_sql(guard)
    _condemn(c, sorted(files - set(c.execute(others).scalars())), "report")


def _record(c: Connection, row: dict[str, Any]) -> None:
    last = c.execute(select(forgotten.c.hash).order_by(forgotten.c.id.desc()).limit(1)).scalar_one_or_none() or START
    c.execute(insert(forgotten).values(**row, previous_hash=last, hash=_hash(row, last)))


def _hash(row: dict[str, Any], previous: str) -> str:
    names = [column.name for column in forgotten.c if column.name not in ("id", "previous_hash", "hash")]
    return hashlib.sha256(json.dumps([previous, *(row[name] for name in names)]).encode()).hexdigest()


def first_broken_record(c: Connection) -> int | None:
    """The id of the first record that does not follow from the one before it; None while the chain holds."""
    previous, last = START, 0
    for row in c.execute(select(forgotten).order_by(forgotten.c.id)):
        if row.previous_hash != previous or row.hash != _hash(dict(row._mapping), previous):
            return int(row.id)
        previous, last = row.hash, int(row.id)
    given = c.exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'forgotten'").scalar_one_or_none() or 0
    return last + 1 if given > last else None


def records(c: Connection, limit: int) -> list[Row[Any]]:
    """What was forgotten, the newest first."""
    return list(c.execute(select(forgotten).order_by(forgotten.c.id.desc()).limit(limit)))


def to_wipe(c: Connection, limit: int) -> list[Row[Any]]:
    """limit: -1 for all of them."""
    if not is_made(c):
        return []
    return list(c.execute(select(condemned).limit(limit)))


def is_known(c: Connection, sha256: str) -> bool:
    """Whether the same bytes came again since: then the file is theirs."""
    kept = select(instances.c.id).where(instances.c.sha256 == sha256)
    return _any(c, kept) or _any(c, select(strays.c.id).where(strays.c.sha256 == sha256))


def wiped(c: Connection, row: Row[Any]) -> None:
    c.execute(delete(condemned).where(condemned.c.name == row.name, condemned.c.place == row.place))


def come_again(c: Connection, pseudonym: str, uid: str, patient: dict[str, str]) -> bool:
    """A forgotten study whose images come again is the same study, gets back its name, and is never routine.

    Admitting the image then moves it on under a new revision, so that it has no case id of before.
    """
    where = (studies.c.study_instance_uid == f"{NAMELESS}{pseudonym}", studies.c.state == "forgotten")
    again = update(studies).where(*where).values(study_instance_uid=uid, doubt="study-came-again", **patient)
    return c.execute(again).rowcount == 1
