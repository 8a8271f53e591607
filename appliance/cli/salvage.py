"""`appliance salvage`: when a ledger is gone or damaged and there is no backup, the appliance goes on without it.

What is damaged is set aside, never deleted; what is sound stays. Without the clinical ledger every study is taken in
anew from its kept files. Every instance goes back to incoming/ and is admitted as it came; every
study is looked at anew, is never routine, and waits for a reader. What readers wrote before names studies by numbers
that are not given again. Cases of before are withdrawn; the centre is told new ones. What the watch knew of
certificates is lost with the ledger, so all of them are taken away: only new ones open a lane.
"""

import os
import sys
import time
from pathlib import Path

from sqlalchemy import Connection, func, select

from appliance import review
from appliance.condition import books
from appliance.config import Config, Places
from appliance.core.lifecycle import State
from appliance.core.updates import ROLES
from appliance.errors import Misconfigured
from appliance.review.ledgers import new_desk
from appliance.world import archive, audit_desk, desk, ledger, reading_desk, sqlite, wire
from appliance.world.ledger import epochs
from appliance.world.ledger import watch as watching
from appliance.world.models.papers import certificates_lying

BESIDE = ("", "-wal", "-shm")
BECAUSE = "the ledger was lost, and with it what the watch knew"
SEALED: tuple[State, ...] = ("hard", "escalated")  # where a study may have had a case


def run(config: Config, places: Places, *, sure: bool) -> int:
    """Status 1 where every ledger is sound and nobody said that the clinical one is to be left all the same."""
    wrong = {*books.damaged(places, lambda: False), *books.lost(places)}
    wrong |= {path.name for path in books.paths(places) if path.exists() and not sqlite.is_whole(path)}
    if not places.instances.is_dir() and not wrong:
        raise Misconfigured("state-folder")
    if any(_in_use(path) for path in books.paths(places)):
        raise Misconfigured("services-running")
    absent = not places.studies_db.exists()
    if not (wrong or absent or sure):
        print("the ledgers are sound: nothing was done (--even-so does it all the same)", file=sys.stderr)
        return 1
    at = time.time()
    anew = places.studies_db.name in wrong or absent or sure
    if places.review_db.name in wrong:
        _new_desk(places, at, knows=not anew)
    if places.link_db.name in wrong:
        _set_aside(places.link_db, at)
        print("link.db is set aside: uplink makes a new one, and sends and asks again; the centre drops what it has")
    if places.cases_db.name in wrong:
        if not anew:
            _seal_anew(places, at)
        _set_aside(places.cases_db, at)
    if anew:
        _take_in_anew(config, places, at)
    archive.remove(places.looked)  # what it says is of before: everything is read anew
    print(f"what was there lies beside, as lost-{int(at)}-*\nnext: start the services, then appliance reconcile")
    return 0


def _take_in_anew(config: Config, places: Places, at: float) -> None:
    """A new clinical ledger; every file goes back to incoming/, and only then does the new one take its name."""
    places.instances.mkdir(parents=True, exist_ok=True)
    places.incoming.mkdir(parents=True, exist_ok=True)
    done = places.phi / "studies.db.new"
    for end in BESIDE:
        archive.remove(places.phi / f"{done.name}{end}")  # of a salvage that died
    lying = {path.stem for path in places.instances.glob("*/*.dcm")}
    digests = sorted(lying | {path.stem for path in places.incoming.glob("*.dcm")})  # some of a salvage that died
    engine = sqlite.open_writer(done, ledger.METADATA)
    with engine.begin() as c:
        cases = _begin(c, places, digests, at)
        taken = take_certificates_away(c, config, places, at, BECAUSE)
    sqlite.write_through(engine)
    engine.dispose()
    _withdraw(places, cases, at)
    _set_aside(places.studies_db, at)
    for digest in sorted(lying):
        archive.rename(archive.instance_path(places.instances, digest), places.incoming / f"{digest}.dcm")
    archive.rename(done, places.studies_db)
    print(f"{len(digests)} files are taken in anew, {len(cases)} cases of before withdrawn")
    print(f"{taken} certificates are taken away: what the watch knew of them is lost")


def _set_aside(path: Path, at: float) -> None:
    for end in BESIDE:
        there = path.with_name(f"{path.name}{end}")
        if there.exists():
            archive.rename(there, path.with_name(f"lost-{int(at)}-{there.name}"))


def _new_desk(places: Places, at: float, *, knows: bool) -> None:
    """A new book of the page in the place of one that is lost: no user, no signature, no trail.

    knows  the clinical ledger is sound: no row of the new book may bear a number that it has taken over, because it
           would pass over it
    """
    taken: dict[str, int] = {}
    if knows:
        engine = sqlite.open_reader(places.studies_db)
        with engine.connect() as c:
            taken = books.last_taken_over(c)
        engine.dispose()
    _set_aside(places.review_db, at)
    new_desk(places, taken)
    print("review.db is set aside, a new one has no users: appliance users add NAME --role administrator, as its user")
    print("signatures and orders that triage had not taken over are lost: those studies wait for a reader again")


def _seal_anew(places: Places, at: float) -> None:
    """Studies that may have had a case become received again above every revision of before: the centre may hold one
    under each, with other bytes."""
    engine = sqlite.open_writer(places.studies_db, ledger.METADATA)
    count = 0
    with engine.begin() as c:
        highest = c.execute(select(func.max(ledger.studies.c.revision))).scalar_one() or 0
        epochs.begin(c, "salvaged", revision=highest, at=at)
        for state in SEALED:
            for study in ledger.in_state(c, state, -1):
                revision = epochs.next_revision(c, study.revision)
                ledger.move(c, study, "received", who="salvage", at=at, code="restored", revision=revision)
                ledger.supersede_results(c, study.number, at)
                count += 1
    engine.dispose()
    print(f"cases.db is set aside: {count} studies are decided and sealed anew, under new ids")


def _begin(c: Connection, places: Places, digests: list[str], at: float) -> list[str]:
    """The new ledger above all that is known of the former one; returns the cases of before."""
    revisions, numbers, audits, cases = [0], [0], [0], []
    if places.cases_db.exists():
        own = sqlite.open_reader(places.cases_db)
        with own.connect() as other:
            if wire.is_made(other, wire.CASES):
                cases = list(other.execute(select(wire.cases.c.case_id)).scalars())
                revisions += other.execute(select(wire.cases.c.revision)).scalars()
        own.dispose()
    if places.review_db.exists():
        with review.opened(places) as ledgers, ledgers.eyes().begin() as other:
            for table in (desk.signatures, desk.commands, reading_desk.holds, reading_desk.addenda):
                numbers.append(other.execute(select(func.max(table.c.study_number))).scalar_one() or 0)
            subjects = other.execute(select(desk.audit.c.subject).where(desk.audit.c.subject.like("study %"))).scalars()
            numbers += [int(each[6:]) for each in subjects if each[6:].isdigit()]
            for row in other.execute(select(desk.signatures)):
                ledger.take_over_signature(c, row, "stale")
                revisions.append(row.revision)
            for row in other.execute(select(desk.commands)):
                ledger.take_over_command(c, row, "stale")
            for row in other.execute(select(audit_desk.answers)):
                audits.append(row.audit_id)
                told = {"answer_id": row.id, "audit_id": row.audit_id, "user": row.user, "answer": row.answer}
                c.execute(watching.answers.insert().values(**told, at=row.at, outcome="unknown"))
    # A study that no reader ever met is unknown there, and has a file here: above all of those, too.
    epochs.begin(c, "salvaged", revision=max(revisions), number=max(numbers) + len(digests), audit=max(audits), at=at)
    epochs.put_salvaged(c, digests, cases)
    return cases


def take_certificates_away(c: Connection, config: Config, places: Places, at: float, because: str) -> int:
    """Every certificate that lies here or that the watch ever met, so that only new ones open a lane; how many.

    Those too that no package can use today, and those that uplink has fetched and triage has not taken in.
    """
    from appliance.world.updates import mirror  # and with it the library that verifies: not for every verb

    fetched = places.mirror / mirror.TARGETS / ROLES["certificate"]
    papers = certificates_lying([config.triage.model_folder, *places.beside], places.site_certificates, [fetched])
    papers |= set(c.execute(select(watching.monitors.c.certificate)).scalars())
    who = f"command-line:{os.getuid()}"
    return sum(watching.revoke(c, each, at=at, cause="state", who=who, because=because) for each in sorted(papers))


def _withdraw(places: Places, cases: list[str], at: float) -> None:
    if cases:
        engine = sqlite.open_writer(places.cases_db, wire.CASES)
        with engine.begin() as c:
            for case_id in cases:
                wire.cancel_case(c, case_id, at)
        engine.dispose()


def _in_use(path: Path) -> bool:
    """Whether any other process that we may look at has the file open."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.parts[2] != str(os.getpid()) and entry.readlink() == path.absolute():
                return True
        except OSError:
            continue
    return False
