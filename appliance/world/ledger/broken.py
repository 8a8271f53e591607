"""Images that came broken, by the study they say they belong to: a reason for doubt about what came whole.

The file itself is a stray and waits for a person. A study beside which one lies is never routine, unless the same
instance came whole as well. Functions take a connection, as the rest of the ledger does.
"""

from sqlalchemy import Column, Connection, Float, String, Table, select
from sqlalchemy.dialects.sqlite import insert as upsert

from appliance.world.ledger.tables import METADATA, instances

broken = Table(
    "broken",
    METADATA,
    Column("sha256", String, primary_key=True),  # of the file's bytes
    Column("study_instance_uid", String, nullable=False, index=True),
    Column("sop_instance_uid", String, nullable=False),  # "" where it could not be read
    Column("at", Float, nullable=False),
)


def put(c: Connection, sha256: str, study_instance_uid: str, sop_instance_uid: str, at: float) -> bool:
    """Files one broken image; False when the same bytes were filed before."""
    row = {"sha256": sha256, "study_instance_uid": study_instance_uid, "sop_instance_uid": sop_instance_uid, "at": at}
    return c.execute(upsert(broken).values(**row).on_conflict_do_nothing()).rowcount == 1


def beside(c: Connection, number: int, study_instance_uid: str) -> bool:
    """Whether an image of this study came broken and never whole."""
    whole = select(instances.c.id).where(
        instances.c.study_number == number, instances.c.sop_instance_uid == broken.c.sop_instance_uid
    )
    found = select(broken.c.sha256).where(broken.c.study_instance_uid == study_instance_uid, ~whole.exists())
    return c.execute(found.limit(1)).one_or_none() is not None
