"""`appliance reconcile`: proves that every study ever seen is in exactly one place and both sides of the wire agree.

It reads every database and folder and writes nothing. Each check says in a line what it compared; the exit status is
0 only if all hold. Running services may be between two effects, so a check that fails is looked at twice.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, func, inspect, select

from appliance.condition.books import lost as lost_ledgers
from appliance.config import Places
from appliance.core import lifecycle
from appliance.core.schedule import SERIES_TIER
from appliance.errors import Misconfigured
from appliance.world import archive, desk, ledger, sqlite, wire
from appliance.world.ledger import corrections, departures, epochs, forgetting
from appliance.world.wire import corrections as mail
from appliance.world.wire import freight

NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: what was compared, over how many, and which do not agree (study numbers, case ids, digests)."""

    name: str
    looked_at: int
    wrong: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.wrong


@dataclass(frozen=True, slots=True)
class Books:
    """One reading of every database, made in the order in which no running step can look like a fault."""

    places: Places
    studies: Connection
    cases: Connection
    link: Connection | None
    desk: Connection | None


def reconcile(places: Places, *, deep: bool = False) -> tuple[list[Check], dict[str, int]]:
    """All checks, and where the studies are: count by state, and files still waiting in incoming/.

    deep  reads every archived file and compares its digest
    """
    first = _once(places, deep)
    if all(check.holds for check in first[0]):
        return first
    return _once(places, deep)


def show(places: Places, deep: bool, as_json: bool) -> int:
    """Prints every check and the balance; status 0 only if all hold. Raises Misconfigured("ledger-damaged", names)."""
    if gone := lost_ledgers(places):  # nothing to compare the rest with
        raise Misconfigured("ledger-damaged", ", ".join(gone))
    checks, counts = reconcile(places, deep=deep)
    well = all(check.holds for check in checks)
    seen = sum(count for state, count in counts.items() if state != "incoming")
    balance = " + ".join(f"{count} {state}" for state, count in counts.items() if count and state != "incoming")
    if as_json:
        print(json.dumps({"holds": well, "studies": seen, "where": counts, "checks": [asdict(c) for c in checks]}))
        return 0 if well else 1
    for check in checks:
        print(f"{'holds' if check.holds else 'WRONG'}  {check.name} ({check.looked_at}) {' '.join(check.wrong)}")
    print(f"{seen} studies seen = {balance or '0'}; {counts['incoming']} files not yet admitted")
    return 0 if well else 1


def _once(places: Places, deep: bool) -> tuple[list[Check], dict[str, int]]:
    engines: list[Engine] = []
    connections: list[Connection] = []

    def opened(path: Path, made: Callable[[Connection], bool]) -> Connection | None:
        if not path.exists():
            return None
        engines.append(sqlite.open_reader(path))
        connections.append(engines[-1].connect())
        return connections[-1] if made(connections[-1]) else None

    try:
        studies = opened(places.studies_db, lambda c: inspect(c).has_table(ledger.studies.name))
        cases = opened(places.cases_db, lambda c: wire.is_made(c, wire.CASES))
        link = opened(places.link_db, lambda c: wire.is_made(c, wire.LINK))
        signed = opened(places.review_db, desk.is_made)
        waiting = sum(1 for path in places.incoming.glob("*.dcm")) if places.incoming.is_dir() else 0
        if studies is None or cases is None:
            return [Check("nothing was ever taken in", 0, ())], {"incoming": waiting}
        books = Books(places, studies, cases, link, signed)
        counts = {**ledger.counts(studies), "incoming": waiting}
        checks = [
            *_ledger(books),
            *_archive(books, deep),
            *_forgotten(books),
            *_wire(books),
            *_desk(books),
            *_corrections(books),
        ]
        return checks, counts
    finally:
        for connection in connections:
            connection.close()
        for engine in engines:
            engine.dispose()


def _ledger(books: Books) -> Iterator[Check]:
    c, studies, moves, results = books.studies, ledger.studies, ledger.moves, ledger.results
    rows = list(c.execute(select(studies)))
    yield _check("each study is in exactly one state", rows, lambda r: r.state in lifecycle.STATES)
    last: dict[int, str] = dict(c.execute(select(moves.c.study_number, moves.c.to_state).order_by(moves.c.seq)).all())
    count: dict[int, int] = dict(
        c.execute(select(moves.c.study_number, func.count()).group_by(moves.c.study_number)).all()
    )
    yield _check(
        "its moves lead to that state, none missing",
        rows,
        lambda r: last.get(r.number, "received") == r.state and count.get(r.number, 0) == r.seq,
    )
    legal = list(c.execute(select(moves)))
    yield _check(
        "every move is in the table of moves",
        legal,
        lambda r: (r.from_state, r.to_state) in lifecycle.MOVES,
        lambda r: str(r.study_number),
    )
    lanes = {(r.study_number, r.revision): r.lane for r in c.execute(select(results))}
    decided = {"routine": {"cleared", "flagged"}, "hard": {"escalated"}, "escalated": {"escalated"}}
    decided["answered"] = {"escalated"}
    yield _check(
        "a decided study has the result of its revision",
        [r for r in rows if r.state in decided],
        lambda r: lanes.get((r.number, r.revision)) in decided[r.state],
    )
    old = list(c.execute(select(results, studies.c.revision.label("current")).join(studies)))
    yield _check(
        "a result is superseded if, and only if, a later revision exists",
        old,
        lambda r: (r.superseded_at is not None) == (r.revision < r.current),
        lambda r: str(r.study_number),
    )


def _archive(books: Books, deep: bool) -> Iterator[Check]:
    digests = sorted(set(ledger.known_digests(books.studies)))
    root, incoming = books.places.instances, books.places.incoming

    def kept(digest: str) -> bool:
        path = archive.instance_path(root, digest)
        if not path.exists():
            path = incoming / f"{digest}.dcm"  # its row is committed, its move is next
        if not path.exists():
            return False
        return not deep or archive.digest_of(path) == digest

    files = [digest for digest in digests if digest not in set(ledger.refused_digests(books.studies))]
    yield _check("every file taken in is kept", files, kept, lambda digest: digest[:12])
    lying = [path.stem for path in root.glob("*/*.dcm")] if root.is_dir() else []
    known = set(digests) | {row.name for row in forgetting.to_wipe(books.studies, -1)}
    yield _check("every file kept is in the ledger", lying, lambda stem: stem in known, lambda stem: stem[:12])


def _forgotten(books: Books) -> Iterator[Check]:
    c, studies = books.studies, ledger.studies
    if not forgetting.is_made(c):
        return
    rows = list(c.execute(select(studies).where(studies.c.state == "forgotten")))
    yield _check("what was forgotten has a record, and names nobody", rows, lambda r: forgetting.is_nameless(c, r))
    broken = forgetting.first_broken_record(c)
    yield Check("the records of what was forgotten are whole", 1, () if broken is None else (f"record {broken}",))


def _wire(books: Books) -> Iterator[Check]:
    c, results, studies = books.studies, ledger.results, ledger.studies
    lost = epochs.lost(c)
    states = {name: s for name, s in wire.wire_states(books.cases, books.link).items() if name not in lost}
    rows = list(c.execute(select(results, studies.c.state, studies.c.revision.label("current")).join(studies)))
    here = {r.case_id: r for r in rows if r.case_id}
    yield _check(
        "an escalated study has its case, open; an answered one has it closed, with its verdict",
        [r for r in rows if r.revision == r.current and r.state in ("escalated", "answered")],
        lambda r: states.get(r.case_id) in _CASE_OF[r.state],
        lambda r: str(r.study_number),
    )
    yield _check("every case belongs to a result", list(states), lambda name: name in here, lambda name: name[:12])
    receipts, sealed_as = departures.parts_told_of(c), freight.digests_of(books.cases)
    yield _check(
        "every case has the receipt of what was taken out of it",
        list(states),
        lambda name: receipts.get(name) in sealed_as.get(name, ()),
        lambda name: name[:12],
    )
    told = set(c.execute(select(ledger.verdicts.c.case_id)).scalars())
    told |= {r.case_id for r in rows if forgetting.was_forgotten(c, r.study_number, r.revision)}
    closed = [name for name, state in states.items() if state == "closed"]
    yield _check("a closed case has its verdict in the ledger", closed, lambda name: name in told, lambda n: n[:12])
    waiting = [name for name, state in states.items() if state in ("queued", "sending")]
    arrived = freight.received_transfers(books.link) if books.link is not None else set()
    ready = [row for row in freight.open_transfers(books.cases) if row.transfer_id not in arrived]
    ways = {row.case_id for row in ready if row.tier < SERIES_TIER}
    yield _check(
        "a case the centre does not hold can be sent in one way at least",
        waiting,
        lambda name: name in ways,
        lambda name: name[:12],
    )
    kept = set(waiting)
    yield _check(
        "a case the centre does not hold has its part here, whole",
        [row for row in ready if row.tier == SERIES_TIER or row.case_id in kept],
        lambda row: _digest(books.places.parts / row.sha256) == row.sha256,
        lambda row: row.case_id[:12],
    )
    if books.link is not None:
        missing = set(wire.missing_at_centre(books.link))
        held = [name for name, state in states.items() if state in ("received", "answered")]
        yield _check(
            "the centre still knows every case it gave a receipt for (last roll call)",
            held,
            lambda name: name not in missing,
            lambda name: name[:12],
        )


def _corrections(books: Books) -> Iterator[Check]:
    """Between a signature and the centre no correction is lost, doubled or somebody else's."""
    c = books.studies
    if not corrections.is_made(c):
        return
    signed, begun = corrections.signatures_and_makings(c)
    yield _check(
        "every signature up to the last one made a correction of has one, or the reason why not",
        [number for number in signed if number < max(begun, default=0)],
        lambda number: number in begun,
    )
    made, handed = corrections.names(c), mail.handed(books.cases)
    yield _check(
        "every correction handed over was made here, and its case was sealed here",
        handed,
        lambda row: (row.key, row.rev) in made and row.case_id == made[row.key, row.rev] and row.sealed,
        lambda row: str(row.case_id[:12]),
    )
    if books.link is not None:
        known = {(row.key, row.rev) for row in handed}
        yield _check(
            "the centre files only corrections that were handed over",
            mail.answered(books.link),
            lambda name: name in known,
            lambda name: name[0][:12],
        )


_CASE_OF = {
    "escalated": {"queued", "sending", "received", "answered", "refused"},
    "answered": {"closed", "answered", "received", "sending", "queued"},
}


def _desk(books: Books) -> Iterator[Check]:
    if books.desk is None:
        return
    broken = desk.first_broken_audit_row(books.desk)
    yield Check("the audit chain is whole", 1, () if broken is None else (f"row {broken}",))
    signed, _ = ledger.last_taken_over(books.studies)
    taken = set(books.studies.execute(select(ledger.signatures.c.signature_id)).scalars())
    yield Check(
        "every signature up to the last one taken over is in the ledger",
        signed,
        tuple(str(number) for number in range(1, signed + 1) if number not in taken)[:NAMED_MAX],
    )


T = TypeVar("T")


def _check(name: str, rows: list[T], holds: Callable[[T], bool], label: Callable[[T], str] | None = None) -> Check:
    named = label or (lambda row: str(getattr(row, "number", row)))
    wrong = [named(row) for row in rows if not holds(row)]
    return Check(name, len(rows), tuple(wrong[:NAMED_MAX]) if len(wrong) <= NAMED_MAX else (*wrong[:NAMED_MAX], "…"))


def _digest(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
