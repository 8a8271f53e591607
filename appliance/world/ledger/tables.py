"""The tables of phi/studies.db. Schema only: what may be done with them stands in this package's __init__."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

from appliance.core.study import Patient
from appliance.core.worklist_order import REQUEST_USUAL

METADATA = MetaData()

# What an index of a part of a table is for: whoever asks must say the very same words, or SQLite does not take it.
STRAY_WAITS = text("rejected_by = ''")
# Events of core.lifecycle; not as a list, which SQLite would build anew for every move that is filed.
NEW_REVISION = text("(event = 'late instance' OR event = 'came again' OR event = 'released')")

studies = Table(
    "studies",
    METADATA,
    Column("number", Integer, primary_key=True),  # the study's name in logs and addresses: says nothing of a patient
    Column("study_instance_uid", String, nullable=False, unique=True),
    Column("revision", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("seq", Integer, nullable=False),  # counts every change of the row: what compare-and-swap compares
    Column("attempts", Integer, nullable=False),
    Column("first_received_at", Float, nullable=False),
    Column("last_received_at", Float, nullable=False),
    Column("state_since", Float, nullable=False),
    Column("fault_code", String, nullable=False),  # why quarantined; "" otherwise
    Column("released", Boolean, nullable=False),  # a person said: try again, whatever the attempts
    Column("completeness", JSON, nullable=False),  # why it was taken as complete, as a reason; {} before
    Column("modality", String, nullable=False),
    # The most pressing that any header says the request was; 0 at once, 1 soon, 2 usual (core.worklist_order).
    Column("request_rank", Integer, nullable=False, server_default=str(REQUEST_USUAL)),
    Column("doubt", String, nullable=False, server_default=""),  # a key of REASONS that keeps it hard; "" for none
    *(Column(name, String, nullable=False) for name in Patient.__dataclass_fields__),
    Index("studies_by_state", "state", "last_received_at"),
    Index("studies_in_order", "state", "first_received_at"),
    Index("studies_by_arrival", "first_received_at"),
    Index("studies_by_source", "modality", "first_received_at"),
)
instances = Table(
    "instances",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("sop_instance_uid", String, nullable=False, index=True),
    Column("sha256", String, nullable=False, unique=True),
    Column("revision", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("copies", Integer, nullable=False),  # how often the same bytes came
    Column("facts", JSON, nullable=False),
)
arrivals = Table(  # files in incoming/ whose reading began and did not end: a crash leaves its count here
    "arrivals",
    METADATA,
    Column("name", String, primary_key=True),
    Column("attempts", Integer, nullable=False),
)
strays = Table(
    "strays",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sha256", String, nullable=False, unique=True),
    Column("bytes_count", Integer, nullable=False),
    Column("code", String, nullable=False),
    Column("place", String, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("copies", Integer, nullable=False),
    Column("rejected_by", String, nullable=False, server_default=""),  # who set it aside for good; "": it waits
    Index("strays_waiting", "received_at", sqlite_where=STRAY_WAITS),
)
moves = Table(
    "moves",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("from_state", String, nullable=False),
    Column("to_state", String, nullable=False),
    Column("event", String, nullable=False),
    Column("who", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("code", String, nullable=False),
    UniqueConstraint("study_number", "seq"),
    Index("moves_to_a_revision", "study_number", "revision", "event", sqlite_where=NEW_REVISION),
)
results = Table(
    "results",
    METADATA,
    Column("study_number", ForeignKey("studies.number"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("lane", String, nullable=False),
    Column("would_be", String),
    Column("priority", String, nullable=False),
    Column("reasons", JSON, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("model", String),
    Column("certificate", String),
    Column("case_id", String, index=True),
    Column("timings_ms", JSON, nullable=False),
    Column("decided_at", Float, nullable=False),
    Column("superseded_at", Float),
    Index("results_by_decision", "decided_at"),
)
verdicts = Table(
    "verdicts",
    METADATA,
    Column("case_id", String, primary_key=True),
    Column("rev", Integer, primary_key=True),
    Column("study_number", ForeignKey("studies.number"), nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("addendum", Boolean, nullable=False),  # came after the signature or for a superseded revision
    Column("body", JSON, nullable=False),
)
signatures = Table(
    "signatures",
    METADATA,
    Column("signature_id", Integer, primary_key=True),  # the row of review.db it was taken over from
    Column("study_number", Integer, nullable=False, index=True),
    Column("revision", Integer, nullable=False),
    Column("user", String, nullable=False),
    Column("decision", String, nullable=False),
    Column("signed_at", Float, nullable=False),
    Column("outcome", String, nullable=False),  # moved | stale: the study had changed since the reader saw it
    Index("signatures_by_reader", "user", "study_number", "revision"),
)
commands = Table(
    "commands",
    METADATA,
    Column("command_id", Integer, primary_key=True),
    Column("study_number", Integer, nullable=False),
    Column("kind", String, nullable=False),
    Column("user", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", String, nullable=False),  # moved | stale
)
