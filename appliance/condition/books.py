"""Which ledger is gone, emptied or made anew, by what the other ledgers and the folders still tell. Read only.

A missing database is no fault on a new appliance, and a disaster on one that has been at work: a new clinical ledger
would give the numbers of studies again beside signatures that name them, and open lanes that the watch had closed. So
nobody makes one where anything tells that there was one (docs/decisions/0064-lost-ledgers.md). A service that may not
look somewhere is told nothing from there; triage may look everywhere.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import DatabaseError

from appliance.config import Places
from appliance.errors import Unavailable
from appliance.world import archive, audit_desk, desk, file_desk, ledger, reading_desk, sqlite, wire
from appliance.world.ledger import epochs, stray_files, watch

T = TypeVar("T")
BEGUN = (ledger.studies, ledger.strays, ledger.signatures, ledger.commands, stray_files.file_commands, epochs.epochs)
NAMING = (desk.signatures, desk.commands, reading_desk.holds, reading_desk.addenda)  # rows that name a study


def paths(places: Places) -> tuple[Path, ...]:
    """The four ledgers, in the order in which pens are taken."""
    return places.studies_db, places.cases_db, places.link_db, places.review_db


def damaged(places: Places, enough: Callable[[], bool]) -> tuple[str, ...]:
    """Names of ledgers whose pages do not agree, or that cannot be opened; `enough` ends the look at one of them."""
    return tuple(path.name for path in paths(places) if _there(path) and sqlite.is_sound(path, enough) is False)


def lost(places: Places) -> tuple[str, ...]:
    """Names of ledgers that are not what they were: gone, empty, or made anew beside what a former one left.

    link.db is never one: uplink makes it anew, and asks for and sends again what stood in it.
    """
    found = []
    # Asked once more: between the two looks triage may have taken the first study in, the row before the file.
    if not _begun(places.studies_db) and _was_at_work(places) and not _begun(places.studies_db):
        found.append(places.studies_db.name)
    if _asked(places.studies_db, _waits_for_a_case, False) and not _asked(places.cases_db, _has_cases, False, True):
        found.append(places.cases_db.name)
    if _forgot(places):
        found.append(places.review_db.name)
    return tuple(found)


def was_at_work(places: Places) -> bool:
    """Whether studies were ever taken in here, by the clinical ledger or by what one left."""
    return _begun(places.studies_db) or _was_at_work(places)


def last_taken_over(c: Connection) -> dict[str, int]:
    """By table of review.db, the last row that this clinical ledger took over: no later one may bear its number."""
    signature, command = ledger.last_taken_over(c)
    found = {desk.signatures.name: signature, desk.commands.name: command}
    if inspect(c).has_table(stray_files.file_commands.name):
        found[file_desk.file_commands.name] = stray_files.last_taken_over(c)
    if inspect(c).has_table(watch.withdrawals.name):
        found[audit_desk.answers.name], found[audit_desk.withdrawals.name] = watch.last_heard(c)
    return found


def _there(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _asked(path: Path, question: Callable[[Connection], T], absent: T, unsure: T | None = None) -> T:
    """What a ledger says: absent where there is none yet, unsure where it is damaged, which is found elsewhere."""
    if not _there(path):
        return absent
    engine = sqlite.open_reader(path)
    try:
        with engine.connect() as c:
            return question(c)
    except (DatabaseError, Unavailable):
        return absent if unsure is None else unsure
    finally:
        engine.dispose()


def _begun(path: Path) -> bool:
    """Whether the clinical ledger has ever held anything; one that was salvaged or restored says so by its epoch."""

    def question(c: Connection) -> bool:
        there = set(inspect(c).get_table_names())
        return any(c.execute(select(table).limit(1)).first() for table in BEGUN if table.name in there)

    return _asked(path, question, False, True)


def _waits_for_a_case(c: Connection) -> bool:
    """Whether a study is with the centre by this ledger: its case's row was committed before."""
    return inspect(c).has_table(ledger.studies.name) and bool(ledger.in_state(c, "escalated", 1))


def _has_cases(c: Connection) -> bool:
    return (
        inspect(c).has_table(wire.cases.name) and c.execute(select(wire.cases.c.case_id).limit(1)).first() is not None
    )


def _was_at_work(places: Places) -> bool:
    """Whether anything tells of studies that were taken in; each was written after the ledger's own row."""
    return any(_files(places)) or _asked(places.cases_db, _has_cases, False) or _asked(places.review_db, _names, False)


def _files(places: Places) -> Iterator[Path]:
    yield from _glob(places.phi, "studies.db.new")  # of a salvage that died
    yield from _glob(places.phi, "lost-*-studies.db")
    yield from _glob(places.instances, "*/*.dcm")
    yield from _glob(places.outbox, "*.json")
    yield from _glob(places.receipts, "*.json")
    yield from _glob(places.frames, "*/*")
    yield from _glob(places.parts, "*")


def _glob(folder: Path, pattern: str) -> Iterator[Path]:
    """Nothing where the folder is not there, or behind a wall."""
    try:
        yield from (path for path in folder.glob(pattern) if not path.name.endswith(archive.PARTIAL))
    except OSError:
        return


def _names(c: Connection) -> bool:
    """Whether a reader signed, ordered or opened a study."""
    there = set(inspect(c).get_table_names())
    if any(c.execute(select(table.c.study_number).limit(1)).first() for table in NAMING if table.name in there):
        return True
    if desk.audit.name not in there:
        return False
    subject = desk.audit.c.subject
    return c.execute(select(subject).where(subject.like("study %")).limit(1)).first() is not None


def _forgot(places: Places) -> bool:
    """Whether triage has taken over rows of review.db that it does not know: its next ones would never be read."""
    nothing: dict[str, int] = {}
    taken = _asked(places.studies_db, lambda c: last_taken_over(c) if _made(c) else nothing, nothing)
    if not any(taken.values()):
        return False

    def question(c: Connection) -> bool:
        there = inspect(c)
        if not there.has_table("sqlite_sequence"):
            return True
        given: dict[str, int] = dict(c.exec_driver_sql("SELECT name, seq FROM sqlite_sequence").all())
        return any(given.get(name, 0) < last for name, last in taken.items())

    return _asked(places.review_db, question, True, False)


def _made(c: Connection) -> bool:
    return inspect(c).has_table(ledger.signatures.name) and inspect(c).has_table(ledger.commands.name)
