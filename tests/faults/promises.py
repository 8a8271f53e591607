"""What must hold in a town after everything that was done to it: nothing lost, nothing doubled, nobody named.

Read off the disks of both sides and the driver's own book, once all processes have ended.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, create_engine, select, text

from appliance.cli.reconcile import reconcile
from appliance.core.case import Verdict
from appliance.core.document import decode
from appliance.core.transfer import Manifest
from appliance.world import ledger, sqlite, wire
from appliance.world.wire import freight
from central import store
from tests.faults.capture import Heard, listened
from tests.faults.town import Edge, Town

TELLTALE = ("Traceback", "unexpected")


def rows(engine: Engine, table: Any) -> list[Any]:
    with engine.connect() as c:
        if engine.dialect.name == "sqlite":
            assert c.execute(text("pragma integrity_check")).scalar_one() == "ok", "a database is damaged"
        return list(c.execute(select(table)))


def centre_engine(town: Town) -> Engine:
    return create_engine(town.postgres.url) if town.postgres else sqlite.open_reader(town.central / "central.db")


def judged(town: Town) -> tuple[list[str], Heard]:
    """Every promise; what is broken, in words, and what an eavesdropper has got."""
    centre = centre_engine(town)
    far, said = rows(centre, store.cases), rows(centre, store.verdicts)
    aside = rows(centre, store.quarantine)
    corrected = rows(centre, store.tables.corrections)
    centre.dispose()
    broken: list[str] = []
    for place, edge in enumerate(town.edges, 1):
        own = [row for row in far if row.device_id == edge.name]
        numbers = {row.id: row.case_id for row in own}
        told = {numbers[row.case_number]: row for row in said if row.case_number in numbers}
        broken += [f"{edge.name}: {each}" for each in _edge(town, place, edge, own, told)]
    broken += ["the centre has a case of nobody"] if {r.device_id for r in far} - {e.name for e in town.edges} else []
    twice = [count for count in Counter((row.case_number, row.rev) for row in said).values() if count > 1]
    broken += ["the centre said something twice"] if twice else []
    named = Counter((row.device_id, row.key, row.rev) for row in corrected)
    broken += ["the centre has a correction twice"] if any(count > 1 for count in named.values()) else []
    needles = town.book.needles()
    heard = listened([town.folder / f"line-{place}" for place in range(1, len(town.edges) + 1)], town.keys, needles)
    for place, edge in enumerate(town.edges, 1):
        broken += [f"{edge.name}: {each}" for each in _order(town, place, edge, list(heard.manifests.values()))]
    for row in (*far, *said, *corrected):
        broken += ["an identity at the centre" for needle in needles if row.body is not None and needle in row.body]
    codes = Counter(f"{row.kind} {row.code}" for row in aside)
    broken += [f"put aside by the centre: {dict(codes)}"] if codes else []
    broken += sorted(set(heard.wrong))
    broken += ["client ids beyond the appliances' names"] if heard.clients - {e.name for e in town.edges} else []
    fallen = [line for line in town.log_lines() if any(word in line for word in TELLTALE)]
    broken += [f"a service broke by itself {len(fallen)} times: {fallen[0][:300]}"] if fallen else []
    return broken, heard


def _edge(town: Town, place: int, edge: Edge, far: list[Any], said: dict[str, Any]) -> list[str]:
    broken = [f"{check.name}: {check.wrong}" for check in reconcile(edge.places, deep=True)[0] if not check.holds]
    scans = town.book.of(place)
    engines = {path.name: sqlite.open_reader(path) for path in (edge.places.studies_db, edge.places.cases_db)}
    engines["link.db"] = sqlite.open_reader(edge.places.link_db)
    studies = {row.study_instance_uid: row for row in rows(engines["studies.db"], ledger.studies)}
    filed = rows(engines["studies.db"], ledger.instances)
    told, moves = rows(engines["studies.db"], ledger.verdicts), rows(engines["studies.db"], ledger.moves)
    here = {row.case_id: row for row in rows(engines["cases.db"], wire.cases)}
    rejects = Counter(f"{row.kind} {row.code}" for row in rows(engines["link.db"], wire.rejects))
    with engines["cases.db"].connect() as c:
        sealed_as = freight.digests_of(c)
    for engine in engines.values():
        engine.dispose()

    kept = {path.stem for path in edge.places.instances.glob("*/*.dcm")}
    dropped = {scan.sha256 for scan in scans}
    broken += [f"{len(dropped - kept)} files lost"] if dropped - kept else []
    broken += ["files that nobody sent"] if kept - dropped else []
    broken += ["an instance counted twice"] if len({row.sha256 for row in filed}) != len(filed) else []
    broken += ["studies are not what was dropped"] if studies.keys() != {scan.study for scan in scans} else []
    wrong = Counter(row.state for row in studies.values() if row.state != "answered")
    broken += [f"not answered: {dict(wrong)}"] if wrong else []
    twice = [
        key
        for key, count in Counter((m.study_number, m.revision) for m in moves if m.event == "verdict").items()
        if count > 1
    ]
    broken += [f"answered twice: {len(twice)}"] if twice else []

    held = Counter(row.case_id for row in far)
    closed = {name for name, row in here.items() if row.state == "closed"}
    broken += ["the centre has a case twice"] if any(count > 1 for count in held.values()) else []
    broken += ["the centre has a case that was never made"] if held.keys() - here.keys() else []
    broken += ["closed here, unknown at the centre"] if closed - held.keys() else []
    broken += [
        "the centre holds other bytes than were sealed"
        for row in far
        if row.sha256 not in sealed_as.get(row.case_id, ())
    ]
    told_of = Counter(row.case_id for row in told)
    broken += ["a closed case without exactly one verdict"] if any(told_of[name] != 1 for name in closed) else []
    differ = [row for row in told if row.case_id not in said or not _same(row.body, said[row.case_id].body)]
    broken += [f"{len(differ)} verdicts differ from what the centre said"] if differ else []
    broken += [f"put aside by uplink: {dict(rejects)}"] if rejects else []
    wanted = {digest for name in here for digest in sealed_as.get(name, ())}
    left = [path.name for path in edge.places.parts.iterdir() if path.name in wanted]
    return broken + ([f"{len(left)} parts not freed"] if left else [])


def _order(town: Town, place: int, edge: Edge, heard: list[Manifest]) -> list[str]:
    """Every case travels as soon as its study was asked for, and no critical one behind another that came later."""
    ledgers = {path.name: sqlite.open_reader(path) for path in (edge.places.studies_db, edge.places.cases_db)}
    results, filed = rows(ledgers["studies.db"], ledger.results), rows(ledgers["studies.db"], ledger.studies)
    sent = rows(ledgers["cases.db"], wire.transfers)
    for engine in ledgers.values():
        engine.dispose()
    asked = {scan.study: scan.urgency for scan in town.book.of(place)}
    uids = {row.number: row.study_instance_uid for row in filed}
    wanted = {row.case_id: asked.get(uids[row.study_number]) for row in results if row.case_id}
    own = [manifest for manifest in heard if manifest.case_id in wanted]
    wrong = {manifest.case_id for manifest in own if manifest.urgency != wanted[manifest.case_id]}
    sealed: dict[str, int] = {}
    for row in sent:
        sealed[row.case_id] = min(row.id, sealed.get(row.case_id, row.id))
    late = overtaken([(each.case_id, each.urgency) for each in own], sealed)
    broken = [f"{len(wrong)} cases travelled otherwise than asked for"] if wrong else []
    return broken + ([f"{len(late)} critical cases went behind others that were sealed later"] if late else [])


def overtaken(heard: Sequence[tuple[str, str]], sealed: Mapping[str, int]) -> set[str]:
    """Critical cases that were ready and yet went behind another.

    heard   case id and urgency of each manifest as it went over the line; a case's first one counts
    sealed  case id to its place in the order of sealing: who was sealed before another was ready when that one went
    """
    newest, found, met = -1, set(), set()
    for case_id, urgency in heard:
        if case_id in met or case_id not in sealed:
            continue
        met.add(case_id)
        if urgency == "critical":
            found |= {case_id} if sealed[case_id] < newest else set()
        else:
            newest = max(newest, sealed[case_id])
    return found


def _same(body: Any, sent: bytes) -> bool:
    return bool(decode(Verdict, sent).model_dump(mode="json") == body)
