"""What stays in phi/studies.db of every case that left: its de-identification receipt, and whose pseudonyms they are.

The crosswalk is the one list that turns a pseudonym back into a person. It is written by triage, read by nobody who
has a network, and never logged. Functions take a connection, as the rest of the ledger does.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, instances, results, studies

receipts = Table(
    "receipts",
    METADATA,
    Column("case_id", String, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("sha256", String, nullable=False),  # of body
    Column("signature", String, nullable=False),
    Column("key_id", String, nullable=False),
    Column("part_sha256", String, nullable=False),  # of the sealed bytes that bear this receipt's stamp
    Column("manifest", LargeBinary, nullable=False),  # what opens them, as long as they lie here
    Column("body", LargeBinary, nullable=False),  # exactly the bytes that were signed
    Column("made_at", Float, nullable=False),
)
pseudonyms = Table(
    "pseudonyms",
    METADATA,
    Column("pseudonym", String, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), primary_key=True),  # a patient may have many studies
    Column("kind", String, nullable=False),  # patient | study | series | instance
    Column("source", String, nullable=False),
)

key_images = Table(  # what the names of pictures in a case mean here: the centre cites them, a reader wants to see them
    "key_images",
    METADATA,
    Column("case_id", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("sha256", String, nullable=False),  # of the instance as it came
    Column("frame", Integer, nullable=False),  # of it, from 1
)


def put_receipt(
    c: Connection,
    *,
    case_id: str,
    number: int,
    revision: int,
    body: bytes,
    sha256: str,
    signature: str,
    key_id: str,
    part_sha256: str,
    manifest: bytes,
    at: float,
) -> None:
    """The receipt of a case that no row of wire/cases.db names yet.

    Until then nothing can have left, so a receipt that an attempt before a crash wrote is replaced.
    """
    row: dict[str, Any] = {"sha256": sha256, "signature": signature, "key_id": key_id, "part_sha256": part_sha256}
    row |= {"manifest": manifest, "body": body, "study_number": number, "revision": revision, "made_at": at}
    made = upsert(receipts).values(case_id=case_id, **row)
    c.execute(made.on_conflict_do_update(index_elements=["case_id"], set_=row))


def put_pseudonyms(c: Connection, number: int, aliases: Iterable[tuple[str, str, str]]) -> None:
    """Rows (kind, pseudonym, source) of a study; known ones stay as they are."""
    rows = [
        {"pseudonym": pseudonym, "study_number": number, "kind": kind, "source": source}
        for kind, pseudonym, source in aliases
    ]
    if rows:
        c.execute(upsert(pseudonyms).on_conflict_do_nothing(), rows)


def put_key_images(c: Connection, case_id: str, number: int, shown: Iterable[tuple[str, str, int]]) -> None:
    """Rows (id, SHA-256 of the instance, frame) of a case; those of an attempt before a crash are replaced."""
    c.execute(delete(key_images).where(key_images.c.case_id == case_id))
    rows = [
        {"case_id": case_id, "study_number": number, "id": each, "sha256": sha256, "frame": frame}
        for each, sha256, frame in shown
    ]
    if rows:
        c.execute(insert(key_images), rows)


def key_images_of(c: Connection, case_id: str) -> list[Row[Any]]:
    """The pictures of a case in the order of their names, I1, I2, ..., I10."""
    found = c.execute(select(key_images).where(key_images.c.case_id == case_id))
    return sorted(found, key=lambda row: (len(row.id), row.id))


def receipt_of(c: Connection, case_id: str) -> Row[Any] | None:
    return c.execute(select(receipts).where(receipts.c.case_id == case_id)).one_or_none()


def receipts_of(c: Connection, number: int) -> list[Row[Any]]:
    """The receipts of a study's cases, the newest revision first."""
    order = receipts.c.revision.desc()
    return list(c.execute(select(receipts).where(receipts.c.study_number == number).order_by(order)))


def parts_told_of(c: Connection) -> dict[str, str]:
    """Every case that has a receipt, and the SHA-256 of the part that was sealed with it."""
    found: dict[str, str] = dict(c.execute(select(receipts.c.case_id, receipts.c.part_sha256)).all())
    return found


def source_digests(c: Connection, number: int) -> list[str]:
    """SHA-256 of every file of a study as it came."""
    return list(c.execute(select(instances.c.sha256).where(instances.c.study_number == number)).scalars())


def whose(c: Connection, pseudonym: str) -> list[Row[Any]]:
    """Who stands behind a pseudonym or a case id: one row for each study, with the columns of `studies`."""
    known = select(pseudonyms.c.kind, pseudonyms.c.source, studies).join(studies)
    rows = list(c.execute(known.where(pseudonyms.c.pseudonym == pseudonym).order_by(studies.c.number)))
    if rows:
        return rows
    case = select(studies).join(results).where(results.c.case_id == pseudonym)
    return list(c.execute(case))
