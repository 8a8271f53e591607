"""`appliance salvage`: when the clinical ledger is gone or damaged, every study is taken in anew from its kept files.

The damaged file is set aside, never deleted. Every instance goes back to incoming/ and is admitted as it came; every
study is looked at anew, is never routine, and waits for a reader. What readers wrote before names studies by numbers
that are not given again. Cases of before are withdrawn; the centre is told new ones. What the watch knew of
certificates is lost with the ledger, so all of them are taken away: only new ones open a lane.
"""

import os
import sys
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from appliance import review
from appliance.config import Config, Places
from appliance.core.updates import ROLES
from appliance.errors import Misconfigured
from appliance.world import archive, audit_desk, desk, ledger, reading_desk, sqlite, wire
from appliance.world.ledger import epochs
from appliance.world.ledger import watch as watching
from appliance.world.models.papers import certificates_lying

PENS = ("studies.db", "studies.db-wal", "studies.db-shm")
BECAUSE = "the ledger was lost, and with it what the watch knew"


def run(config: Config, places: Places, *, sure: bool) -> int:
    """Status 1 where the ledger is sound and nobody said that it is to be left all the same."""
    if not places.instances.is_dir():
        raise Misconfigured("state-folder")
    if _in_use(places.studies_db):
        raise Misconfigured("services-running")
    done = places.phi / "studies.db.new"
    sound = places.studies_db.exists() and sqlite.is_sound(places.studies_db, lambda: False)
    if sound and not sure:
        print("the ledger is sound: nothing was done (--even-so does it all the same)", file=sys.stderr)
        return 1
    at = time.time()
    for name in (done.name, f"{done.name}-wal", f"{done.name}-shm"):
        archive.remove(places.phi / name)  # of a salvage that died
    lying = {path.stem for path in places.instances.glob("*/*.dcm")}
    digests = sorted(lying | {path.stem for path in places.incoming.glob("*.dcm")})  # some of a salvage that died
    engine = sqlite.open_writer(done, ledger.METADATA)
    with engine.begin() as c:
        cases = _begin(c, places, digests, at)
        taken = take_certificates_away(c, config, places, at, BECAUSE)
    sqlite.write_through(engine)
    engine.dispose()
    _withdraw(places, cases, at)
    for name in PENS:
        if (places.phi / name).exists():
            archive.rename(places.phi / name, places.phi / f"lost-{int(at)}-{name}")
    for digest in sorted(lying):
        archive.rename(archive.instance_path(places.instances, digest), places.incoming / f"{digest}.dcm")
    archive.rename(done, places.studies_db)
    print(f"{len(digests)} files are taken in anew, {len(cases)} cases of before withdrawn")
    print(f"{taken} certificates are taken away: what the watch knew of them is lost")
    print(
        f"what was there lies in {places.phi} as lost-{int(at)}-*\nnext: start the services, then appliance reconcile"
    )
    return 0


def _begin(c: Connection, places: Places, digests: list[str], at: float) -> list[str]:
    """The new ledger above all that is known of the former one; returns the cases of before."""
    revisions, numbers, audits, cases = [0], [0], [0], []
    own = _reader(places.cases_db)
    if own is not None:
        with own.connect() as other:
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


def _reader(path: Path) -> Engine | None:
    return sqlite.open_reader(path) if path.exists() else None


def _in_use(path: Path) -> bool:
    """Whether any other process that we may look at has the file open."""
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if entry.parts[2] != str(os.getpid()) and entry.readlink() == path.absolute():
                return True
        except OSError:
            continue
    return False
