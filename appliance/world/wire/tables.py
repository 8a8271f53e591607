"""The tables of wire/cases.db and wire/link.db. Schema only: what may be done with them stands in this package."""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint

CASES = MetaData()
LINK = MetaData()

cases = Table(
    "cases",
    CASES,
    Column("case_id", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("urgency", String, nullable=False),
    Column("part_sha256", String, nullable=False),
    Column("part_bytes", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("state", String, nullable=False),  # queued | closed | cancelled
    Column("state_at", Float, nullable=False),
    Index("cases_by_state", "state", "case_id"),
)

sendings = Table(
    "sendings",
    LINK,
    Column("case_id", String, primary_key=True),
    Column("state", String, nullable=False),  # sending | received | answered | refused
    Column("attempts", Integer, nullable=False),
    Column("last_sent_at", Float),
    Column("received_at", Float),
    Column("answered_at", Float),
    Column("code", String, nullable=False),  # why refused, or why it cannot be sent; "" otherwise
    Index("sendings_by_state", "state", "case_id"),
)
verdicts = Table(
    "verdicts",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("case_id", String, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON of the Verdict; its reader parses it strictly again
    Column("received_at", Float, nullable=False),
    UniqueConstraint("case_id", "rev"),
)
standing = Table(
    "standing",
    LINK,
    Column("case_id", String, primary_key=True),
    Column("word", String, nullable=False),
    Column("at", Float, nullable=False),
)
commands = Table(  # signed orders about models; triage believes none of them unread
    "commands",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("nonce", String, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON of the Command
    Column("received_at", Float, nullable=False),
    UniqueConstraint("body"),
    sqlite_autoincrement=True,
)
rejects = Table(
    "rejects",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("code", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("bytes_count", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
    Column("copies", Integer, nullable=False),
    UniqueConstraint("kind", "code", "sha256"),
)
