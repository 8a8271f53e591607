"""Whether a support bundle may be handed out: the finished bytes against every patient that the ledger knows.

It is handed bytes and not the builder's word, and shares no code with it. What it looks for comes out of the clinical
ledger itself: names, ids, accession numbers, birth dates and UIDs, in the spellings that the inspector of what leaves
for the centre knows. A finding names the place, never the value. It mends nothing: one finding, no bundle.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from functools import cache

from sqlalchemy import Connection, Row, select

from appliance.config import Config, Places, knobs
from appliance.core.document import URGENCIES
from appliance.core.identity import Identity, Item
from appliance.core.inspect import inspect
from appliance.core.lifecycle import MOVES, STATES, WIRE_MOVES, WIRE_STATES
from appliance.core.roles import ORDER_KINDS
from appliance.errors import CATALOGUE, Quarantined
from appliance.world import (
    accounts,
    audit_desk,
    desk,
    display_desk,
    file_desk,
    ledger,
    reading_desk,
    sqlite,
    viewers,
    wire,
)
from appliance.world.ledger import instances, studies

STUDIES_A_LOOK = 5_000
BYTES_MAX = 8 << 20
MEMBERS_MAX = 40
MEMBER = re.compile(r"[a-z]{1,20}\.json")
UID = re.compile(r"[0-2](?:\.\d+){2,}")
DIGEST = re.compile(r"[0-9a-f]{64}")


def check(data: bytes, places: Places) -> None:
    """Returns if this bundle may be handed out.

    raises  Quarantined("bundle-identity", place), ("bundle-unreadable", place)
    """
    documents = dict(_members(data))
    if not places.studies_db.exists():
        return
    engine = sqlite.open_reader(places.studies_db)
    try:
        with engine.connect() as c:
            if c.exec_driver_sql("PRAGMA user_version").scalar_one():
                _against(c, documents)
    finally:
        engine.dispose()


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Every member: a plain file of a plain name, and JSON."""
    if len(data) > BYTES_MAX:
        raise Quarantined("bundle-unreadable", "size")
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            members = tar.getmembers()
            if not 0 < len(members) <= MEMBERS_MAX:
                raise Quarantined("bundle-unreadable", "members")
            for number, member in enumerate(members):
                file = tar.extractfile(member) if member.isreg() and MEMBER.fullmatch(member.name) else None
                if file is None or member.uname or member.gname or member.pax_headers:
                    raise Quarantined("bundle-unreadable", f"member {number}")
                found = file.read()
                json.loads(found)
                yield member.name.removesuffix(".json"), found
    except (tarfile.TarError, ValueError, RecursionError):
        raise Quarantined("bundle-unreadable") from None


def _against(c: Connection, documents: dict[str, bytes]) -> None:
    columns = ("patient_name", "patient_id", "accession_number", "patient_birth_date", "study_instance_uid")
    chosen = select(studies.c.number, *(studies.c[name] for name in columns)).order_by(studies.c.number)
    rows = c.execution_options(yield_per=STUDIES_A_LOOK).execute(chosen)
    words = vocabulary()
    for page in rows.partitions(STUDIES_A_LOOK):
        identity = Identity(tuple(item for row in page for item in _items(row)))
        short = {word for row in page for word in _whole(row)} - words
        for name, data in documents.items():
            try:
                inspect(data, identity, words)
            except Quarantined as fault:
                code = "bundle-identity" if fault.code == "inspect-identity-found" else "bundle-unreadable"
                raise Quarantined(code, f"{name}: {fault.place}") from None
            if short & {each.casefold().strip() for each in _texts(json.loads(data))}:
                raise Quarantined("bundle-identity", name)
    _no_object(c, documents)


def _items(row: Row[tuple[object, ...]]) -> Iterator[Item]:
    yield Item("name", str(row.patient_name), "PatientName")
    yield Item("id", str(row.patient_id), "PatientID")
    yield Item("id", str(row.accession_number), "AccessionNumber")
    yield Item("uid", str(row.study_instance_uid), "StudyInstanceUID")
    if re.fullmatch(r"\d{8}", str(row.patient_birth_date)):
        yield Item("date", str(row.patient_birth_date), "PatientBirthDate")


def _whole(row: Row[tuple[object, ...]]) -> Iterator[str]:
    """Identifiers as they stand, also those too short to be looked for inside a text."""
    for value in (row.patient_name, row.patient_id, row.accession_number):
        if len(str(value).strip()) > 1:
            yield str(value).casefold().strip()


def _texts(value: object) -> Iterator[str]:
    """Every key and every text of a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _no_object(c: Connection, documents: dict[str, bytes]) -> None:
    """No UID or digest of an archived object. The bundle is small, the archive is not: the bundle's are asked for."""
    for name, data in documents.items():
        text = data.decode("utf-8", "replace")
        uids, digests = set(UID.findall(text)), set(DIGEST.findall(text.lower()))
        series = instances.c.facts["series_instance_uid"].as_string()
        where = instances.c.sop_instance_uid.in_(uids) | series.in_(uids) | instances.c.sha256.in_(digests)
        kept = ledger.strays.c.sha256.in_(digests)
        if (uids or digests) and (
            c.execute(select(instances.c.id).where(where).limit(1)).first() is not None
            or c.execute(select(ledger.strays.c.id).where(kept).limit(1)).first() is not None
        ):
            raise Quarantined("bundle-identity", name)


@cache
def vocabulary() -> frozenset[str]:
    """Whole words that such a document bears whoever the patients are: names of ours, each from where it is defined."""
    tables = {
        table
        for each in (
            ledger.METADATA, wire.CASES, wire.LINK, desk.METADATA, audit_desk.METADATA, reading_desk.METADATA,
            accounts.METADATA, viewers.METADATA, file_desk.METADATA, display_desk.METADATA,
        )
        for table in each.tables
    }  # fmt: skip
    sections = {*Config.model_fields, *(key for key, *_ in knobs())}
    moved = {*STATES, *WIRE_STATES, *MOVES.values(), *WIRE_MOVES.values(), *URGENCIES, *ORDER_KINDS}
    return frozenset(CATALOGUE) | tables | sections | moved | _PLAIN


# Whole keys and values of such a document that may be somebody's name as well; inside any other text they are found.
_PLAIN = frozenset(
    {
        *(
            "alarm",
            "alarms",
            "audit_broken",
            "cases",
            "centre",
            "clock",
            "code",
            "codes",
            "counts",
            "damaged",
            "decides",
        ),
        *(
            "default",
            "disk_low",
            "enrolled",
            "escalates",
            "event",
            "faults",
            "files",
            "files_waiting",
            "heard_s",
            "hour",
        ),
        *("libraries", "line", "link", "machine", "made_at_s", "metrics", "model", "models", "name", "notice", "ok"),
        *("others", "overdue", "page", "pages", "product", "python", "queues", "quiet", "refused", "review", "revoke"),
        *("role", "rows", "scanners", "set", "severity", "shadow", "shed", "silent_sources", "spool", "spool_bytes"),
        *("spool_bytes_max", "stages", "studies", "system", "title", "unanswered", "version", "waiting", "warn"),
        *("warning", "audit trail", "disk of the state", "ledger: clinical ledger", "ledger: line"),
        *("ledger: review desk", "ledger: sealed cases", "page certificate"),
    }
)
