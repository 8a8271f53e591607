"""The tables of the centre's store: portable, SQLite or PostgreSQL. Nothing here reads or writes."""

from sqlalchemy import (
    DDL,
    BigInteger,
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
    event,
    text,
)

METADATA = MetaData()

UNANSWERED = ("received", "asked")
# In letters and not in bound values: only so a database sees that a partial index serves.
WAITING = text(f"state in {UNANSWERED!r}")
cases = Table(
    "cases",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),  # the device's: whose share speaks to it
    Column("case_id", String(32), nullable=False),
    Column("transfer_id", String(32), nullable=False),  # which brought it
    Column("sha256", String(64), nullable=False),  # of all sealed bytes of that transfer
    Column("tier", Integer, nullable=False),
    Column("body", LargeBinary),  # the case document; None where it bears what looks like identity
    Column("urgency", String(16), nullable=False),
    Column("urgency_rank", Integer, nullable=False),
    Column("turn", Integer, nullable=False),  # among its urgency, so that devices take turns
    Column("received_at", Float, nullable=False),
    Column("state", String(16), nullable=False),  # received | asked | answered | refused
    Column("state_at", Float, nullable=False),
    Column("code", String(80), nullable=False),  # why refused; "" otherwise
    Column("claimed_by", String(64), nullable=False),  # the worker that asks about it; "" nobody
    Column("claimed_until", Float, nullable=False),  # by the wall clock
    UniqueConstraint("device_id", "case_id"),
    Index("cases_by_state", "state", "id"),
    Index("cases_by_turn", "urgency_rank", "turn", "id", sqlite_where=WAITING, postgresql_where=WAITING),
    Index("cases_by_age", "urgency_rank", "received_at", "id", sqlite_where=WAITING, postgresql_where=WAITING),
    Index("cases_of_device", "device_id", "urgency_rank", "turn", sqlite_where=WAITING, postgresql_where=WAITING),
)
transfers = Table(
    "transfers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("transfer_id", String(32), nullable=False),
    Column("case_id", String(32), nullable=False),
    Column("tier", Integer, nullable=False),
    Column("sealed_bytes", BigInteger, nullable=False),
    # The manifest bears the key: it is kept as long as the ciphertext is, its digest for ever.
    Column("manifest", LargeBinary),
    Column("manifest_sha256", String(64), nullable=False),
    Column("have", Text, nullable=False),  # hexadecimal, bit i stands for part i; only what is durable
    Column("state", String(16), nullable=False),  # open | whole | refused | passed (another brought the case)
    Column("code", String(80), nullable=False),  # why refused; "" otherwise
    Column("resets", Integer, nullable=False),  # how often the bytes on our disk were not what had come
    Column("opened_at", Float, nullable=False),
    Column("touched_at", Float, nullable=False),
    UniqueConstraint("device_id", "transfer_id"),
    Index("transfers_open", "device_id", "state", "touched_at"),
    Index("transfers_by_case", "device_id", "case_id"),
)
requests = Table(
    "requests",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("partition", Integer, nullable=False),
    Column("case_id", String(32), nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("state", String(16), nullable=False),  # open | whole | refused
    UniqueConstraint("device_id", "case_id"),
    Index("requests_open", "state", "id"),
)
asks = Table(
    "asks",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("case_number", ForeignKey("cases.id"), nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_at", Float, nullable=False),
    UniqueConstraint("case_number", "request_hash"),
)
verdicts = Table(
    "verdicts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("case_number", ForeignKey("cases.id"), nullable=False),
    Column("rev", Integer, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("body", LargeBinary, nullable=False),  # the canonical document
    Column("letter", LargeBinary),  # to the device's triage, made once; None while the device is not enrolled
    Column("created_at", Float, nullable=False),
    Column("taken_at", Float),
    UniqueConstraint("case_number", "rev"),
    UniqueConstraint("case_number", "request_hash"),
    Index("verdicts_by_taken", "taken_at", "id"),
)
corrections = Table(  # what signers said of cases; the guards in this file's last lines refuse any change
    "corrections",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("case_number", ForeignKey("cases.id"), nullable=False),
    Column("key", String(32), nullable=False),  # of the study, at its site
    Column("rev", Integer, nullable=False),  # the greatest one of a key stands
    Column("sha256", String(64), nullable=False),  # of body
    Column("body", LargeBinary, nullable=False),  # the canonical document
    Column("received_at", Float, nullable=False),
    UniqueConstraint("device_id", "key", "rev"),
    Index("corrections_by_case", "case_number"),
)
quarantine = Table(
    "quarantine",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("device_id", String(40), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("code", String(80), nullable=False),
    Column("sha256", String(64), nullable=False),  # "" for all those beyond the number kept apart
    Column("bytes_count", Integer, nullable=False),
    Column("body", LargeBinary),  # None where it is ciphertext or bears what looks like identity
    Column("at", Float, nullable=False),
    Column("copies", Integer, nullable=False),
    UniqueConstraint("device_id", "kind", "code", "sha256"),
)
devices = Table(
    "devices",
    METADATA,
    Column("device_id", String(40), primary_key=True),
    Column("heard_at", Float, nullable=False),  # anything of its own, a copy too: no proof of life
)
statuses = Table(  # the last sign of life of each device; a table of its own: older stores have `devices` without it
    "statuses",
    METADATA,
    Column("device_id", String(40), primary_key=True),
    Column("key_id", String(32), nullable=False),  # who signed it: under another key numbers begin anew
    Column("life", String(32), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("lived_at", Float, nullable=False),  # by our clock: when it was said, at the latest when it came
    Column("heard_at", Float, nullable=False),  # by our clock: when it came
    Column("gone_at", Float),  # by our clock: when the will of this life came; None after any later status
    Column("body", LargeBinary, nullable=False),  # the canonical document
)
tallies = Table(  # what this centre had to leave undone, counted
    "tallies",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("times", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
shares = Table(
    "shares",
    METADATA,
    Column("name", String(40), primary_key=True),  # also the MQTT client id
    Column("owner", String(64), nullable=False),
    Column("until", Float, nullable=False),  # by the wall clock
)
workers = Table(
    "workers",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("until", Float, nullable=False),
)
balances = Table(  # one row: how `central balance` stands, and what it published last
    "balances",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),  # of the look; who writes says which it has seen
    Column("looked_at", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),  # central.balance.Standing
    Column("policy", BigInteger, nullable=False),  # the number of what was published last; 0: nothing yet
    Column("published_at", Float),
)

# Append-only by the database itself: SQLite by triggers, PostgreSQL by one that raises.
APPEND_ONLY = {
    "sqlite": tuple(
        f"CREATE TRIGGER IF NOT EXISTS corrections_no_{verb.lower()} BEFORE {verb} ON corrections "
        "BEGIN SELECT RAISE(ABORT, 'corrections are only ever added to'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "postgresql": (
        "CREATE OR REPLACE FUNCTION corrections_stay() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'corrections are only ever added to'; END $$",
        "CREATE TRIGGER corrections_no_change BEFORE UPDATE OR DELETE ON corrections "
        "FOR EACH ROW EXECUTE FUNCTION corrections_stay()",
    ),
}
for dialect, guards in APPEND_ONLY.items():
    for guard in guards:
        made = DDL(guard)  # type: ignore[no-untyped-call]
        event.listen(corrections, "after_create", made.execute_if(dialect=dialect))
