"""The tables of wire/cases.db and wire/link.db. Schema only: what may be done with them stands in this package."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

CASES = MetaData()
LINK = MetaData()

cases = Table(
    "cases",
    CASES,
    Column("case_id", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("urgency", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("state", String, nullable=False),  # queued | closed | cancelled
    Column("state_at", Float, nullable=False),
    Index("cases_by_state", "state", "case_id"),
)
transfers = Table(  # what a case may travel as; a case that is put has one of tier 0, and of tier 1 if it has pictures
    "transfers",
    CASES,
    Column("id", Integer, primary_key=True),
    Column("transfer_id", String, nullable=False, unique=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("tier", Integer, nullable=False),
    Column("urgency", String, nullable=False),
    Column("sha256", String, nullable=False),  # of the sealed bytes, under which they lie in wire/parts
    Column("sealed_bytes", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("letter", LargeBinary, nullable=False),  # the manifest, sealed to the centre
    Column("created_at", Float, nullable=False),
    Column("state", String, nullable=False),  # ready | shed
    Column("state_at", Float, nullable=False),
    Index("transfers_by_case", "case_id", "tier"),
    Index("transfers_by_sha256", "sha256"),
    sqlite_autoincrement=True,
)
corrections = Table(  # what signers said of cases, sealed; the letter goes when the centre has filed or refused it
    "corrections",
    CASES,
    Column("key", String, primary_key=True),
    Column("rev", Integer, primary_key=True),
    Column("case_id", String, nullable=False),
    Column("letter", LargeBinary),  # to the centre, made once; None when it is not sent any more
    Column("letter_sha256", String, nullable=False),
    Column("state", String, nullable=False),  # waiting | filed | refused | withdrawn
    Column("code", String, nullable=False),  # why refused; "" otherwise
    Column("created_at", Float, nullable=False),
    Column("state_at", Float, nullable=False),
    Index("corrections_by_state", "state", "created_at"),
)
bulletin = Table(  # one row: what triage says of the whole appliance, in coded numbers
    "bulletin",
    CASES,
    Column("id", Integer, primary_key=True),
    Column("body", Text, nullable=False),  # canonical JSON of the Bulletin
    Column("made_at", Float, nullable=False),
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
passages = Table(  # how far each transfer has come
    "passages",
    LINK,
    Column("transfer_id", String, primary_key=True),
    Column("case_id", String, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("state", String, nullable=False),  # sending | received | refused
    Column("have", String, nullable=False),  # hexadecimal number: bit i is part i, durable at the centre
    Column("parts_have", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),  # how often its manifest was sent
    Column("last_sent_at", Float),
    Column("received_at", Float),  # the centre's receipt
    Column("code", String, nullable=False),  # why it cannot be sent or was refused; "" otherwise
    Index("passages_by_case", "case_id"),
)
correction_sendings = Table(
    "correction_sendings",
    LINK,
    Column("key", String, primary_key=True),
    Column("rev", Integer, primary_key=True),
    Column("state", String, nullable=False),  # sending | filed | refused
    Column("attempts", Integer, nullable=False),
    Column("last_sent_at", Float),
    Column("answered_at", Float),
    Column("code", String, nullable=False),  # why refused; "" otherwise
)
requests = Table(  # what the centre wants more of a case
    "requests",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("case_id", String, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    UniqueConstraint("case_id", "tier"),
    sqlite_autoincrement=True,
)
verdicts = Table(
    "verdicts",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("case_id", String, nullable=False),
    Column("rev", Integer, nullable=False),
    Column("letter", Text, nullable=False),  # base64 of a letter to triage, which uplink cannot read
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
pulse = Table(  # one row: the number of the last status
    "pulse",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
)
line = Table(  # one row: whether the broker is reached, and that uplink lives
    "line",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("connected", Boolean, nullable=False),
    Column("since", Float, nullable=False),
    Column("said_at", Float, nullable=False),
)
update_look = Table(  # one row: how uplink's last look for updates ended
    "update_look",
    LINK,
    Column("id", Integer, primary_key=True),
    Column("looked_at", Float, nullable=False),
    Column("reached_at", Float),  # the last one that could be verified
    Column("number", Integer, nullable=False),  # of the timestamp it saw then
    Column("expires", Float),
    Column("code", String, nullable=False),  # why the last one failed; "" where it did not
)
update_files = Table(  # what of it is for this appliance, and whether it is here whole
    "update_files",
    LINK,
    Column("path", String, primary_key=True),
    Column("bytes_count", Integer, nullable=False),
    Column("have", Integer, nullable=False),
    Column("code", String, nullable=False),
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
