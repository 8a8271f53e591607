"""The reading verbs: status, studies, check, models, config. Each prints for people, or one JSON document."""

import json
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pysqlite3.dbapi2 as dbapi
from sqlalchemy import Connection, Row, func, select

from appliance.cli import site_key
from appliance.cli.standing import standing
from appliance.cli.surroundings import surroundings
from appliance.cli.verbs import SERVICES
from appliance.config import Config, Places, knobs
from appliance.core.pseudonym import checked_key
from appliance.core.selftest import Line, all_well
from appliance.core.study import LANE_WORDS
from appliance.errors import CATALOGUE, Fault
from appliance.review.selftest import self_test
from appliance.world import archive, at_rest, ledger, models, sqlite, units
from appliance.world.ledger import corrections, drafts, reports, stray_files, watch

STRAYS_SHOWN = 20
SHOWN = 20  # of what was held back or refused
CONNECT_TIMEOUT_S = 1.0


def show(document: Any, as_json: bool, lines: list[str]) -> None:
    """Prints the document as JSON, or its lines for people."""
    print(json.dumps(document, ensure_ascii=False, default=str) if as_json else "\n".join(lines))


def status(config: Config, places: Places, as_json: bool) -> int:
    """How it stands: studies by state, cases by state, files waiting, what a person must look at."""
    free = archive.free_bytes(places.root if places.root.exists() else Path("/"))
    incoming = sum(1 for _ in places.incoming.glob("*.dcm")) if places.incoming.is_dir() else 0
    told: dict[str, Any] = {
        "studies": {},
        "cases": {},
        "look": [],
        "drafts": {},
        "results": {},
        "corrections": {},
        "incoming": incoming,
        "free_bytes": free,
    }
    if places.studies_db.exists():
        engine = sqlite.open_reader(places.studies_db)
        with engine.connect() as c:
            told["studies"] = ledger.counts(c)
            set_aside = c.execute(select(ledger.studies).where(ledger.studies.c.state == "quarantined")).all()
            told["look"] += [_named(f"study {row.number}", row.fault_code) for row in set_aside]
            strays = stray_files.waiting(c, STRAYS_SHOWN)
            told["look"] += [_named(f"file {row.sha256[:16]}", row.code) for row in strays]
            told["look"] += [_named(what, code) for what, code in _watched(c, config)]
            told["results"] = reports.counts(c)
            told["look"] += [_named(f"result of study {number}", code) for number, code in reports.faults(c)]
            if corrections.is_made(c):
                told["corrections"] = corrections.counts(c)
                told["look"] += [_named(f"correction of study {n}", code) for n, code in corrections.faults(c, SHOWN)]
            told["drafts"] = drafts.counts(c) if config.draft.weights else {}
        engine.dispose()
    now = standing(config, places)
    told["cases"] = now.cases
    told["corrections"] |= now.corrections
    told["look"] += [_named(f"correction of case {case[:8]}", code) for case, code in now.refused_corrections]
    told["alarms"] = [asdict(alarm) for alarm in now.alarms]
    if free < config.receive.disk_reserve_bytes:
        told["look"].append(_named("disk", "disk-low"))
    ended = [unit.service for unit in units.units(SERVICES) if unit.result == "watchdog"]
    told["look"] += [_named(f"service {name}", "service-watchdog") for name in ended]
    if not _broker(config).ok:
        told["look"].append(_named("broker", "broker-away"))
    lines = [
        "studies   " + _counted(told["studies"]),
        "cases     " + _counted(told["cases"]),
        *(["drafts    " + _counted(told["drafts"])] if config.draft.weights else []),
        *(["results   " + _counted(told["results"])] if config.results.targets else []),
        *([f"signers   {said} (corrections)"] if (said := _counted(told["corrections"])) != "none" else []),
        f"incoming  {incoming} files not yet admitted",
        f"disk      {free / 2**30:.1f} GiB free",
        *(f"{alarm.severity:<9} {alarm.said} {_named('', alarm.code)['hint']}" for alarm in now.alarms),
        *(f"look at   {each['what']}: {each['code']}: {each['text']}. {each['hint']}" for each in told["look"]),
    ]
    show(told, as_json, lines)
    return 0


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "none"


def _watched(c: Connection, config: Config) -> list[tuple[str, str]]:
    """Certificates in force that open fewer lanes than they say, or none, and why."""
    late = watch.overdue(c, time.time() - config.audit.answer_days * 86_400)
    found = []
    for row in c.execute(select(watch.monitors).where(watch.monitors.c.present)):
        codes = {"revoke": "watch-revoked", "warn": "watch-warned"}
        code = codes.get(row.stage, "watch-unanswered" if late.get(row.certificate) else "")
        found += [(f"certificate {row.certificate[:16]}", code)] if code else []
    return found


def _named(what: str, code: str) -> dict[str, str]:
    entry = CATALOGUE.get(code)
    return {"what": what, "code": code, "text": entry.text if entry else "", "hint": entry.hint if entry else ""}


def studies(places: Places, uid: str | None, as_json: bool) -> int:
    """All studies, a line each; or one, whole, with every move. Status 1 when the study is not known."""
    if not places.studies_db.exists():
        show([], as_json, ["no study was ever taken in"])
        return 1 if uid else 0
    engine = sqlite.open_reader(places.studies_db)
    with engine.connect() as c:
        if uid is None:
            rows = list(c.execute(select(ledger.studies).order_by(ledger.studies.c.number)))
            lanes = {row.number: _lane(c, row) for row in rows}
            document = [_row(row, lanes[row.number]) for row in rows]
            lines = [f"{r.number:>5}  {r.state:<12} {lanes[r.number] or '':<12} {r.study_instance_uid}" for r in rows]
            show(document, as_json, lines or ["no study was ever taken in"])
            return 0
        study = ledger.study_by_uid(c, uid)
        if study is None:
            print(f"no study {uid} was ever taken in", file=sys.stderr)
            return 1
        result = ledger.result_of(c, study.number, study.revision)
        files = c.execute(select(func.count()).where(ledger.instances.c.study_number == study.number)).scalar_one()
        whole: dict[str, Any] = {
            **_row(study, _lane(c, study)),
            "files": files,
            "completeness": {name: study.completeness.get(name, "") for name in ("code", "text")},
            "result": dict(result._mapping) if result else None,
            "moves": [dict(row._mapping) for row in ledger.moves_of(c, study.number)],
            "verdicts": [dict(row._mapping) for row in ledger.verdicts_of(c, study.number)],
        }
    lines = [f"study {study.number}: {study.state}, revision {study.revision}, {files} files"]
    if lane := whole["lane"]:
        lines.append(f"lane {lane}: {LANE_WORDS[lane]}")
    if result:
        lines += [f"  because {reason['code']}: {reason['text']}" for reason in result.reasons]
    lines += [f"  {m['from_state']} -> {m['to_state']} ({m['event']}, {m['who']}) {m['code']}" for m in whole["moves"]]
    lines += [f"  verdict {v['rev']}: {v['body']['impression']}" for v in whole["verdicts"]]
    show(whole, as_json, lines)
    return 0


def _lane(c: Any, study: Row[Any]) -> Any:
    if study.state == "quarantined":
        return "quarantined"
    result = ledger.result_of(c, study.number, study.revision)
    return result.lane if result else None


def _row(study: Row[Any], lane: str | None) -> dict[str, Any]:
    names = ("number", "study_instance_uid", "state", "revision", "fault_code", "modality", "last_received_at")
    return {**{name: getattr(study, name) for name in names}, "lane": lane}


def check(config: Config, places: Places, as_json: bool) -> int:
    """Looks at what the appliance needs; status 1 when a line is red."""
    lines = [_sqlite(), _site_key(config), _folder("watched folder", config.receive.watched_folder)]
    lines += [_folder("state folder", places.root), at_rest_line(config, places), _broker(config)]
    lines += [*_packages(config, places), *self_test(config, places, time.time())]
    lines += surroundings(config, places, time.time())
    shown = [f"{'ok ' if line.ok else 'RED'}  {line.name}: {line.found}" for line in lines]
    todo = [f"     {line.name}: {line.todo}" for line in lines if not line.ok]
    show([asdict(line) for line in lines], as_json, [*shown, *(["to do:", *todo] if todo else [])])
    return 0 if all_well(lines) else 1


def _sqlite() -> Line:
    ok = dbapi.sqlite_version_info >= sqlite.SAFE_VERSION
    return Line("SQLite", ok, dbapi.sqlite_version, CATALOGUE["sqlite-unsafe"].hint)


def _site_key(config: Config) -> Line:
    key, sealed = site_key.found(config)
    if key is None and sealed:
        return Line("site key", False, "sealed, and does not open here", CATALOGUE["site-key-sealed"].hint)
    try:
        checked_key(key or b"")
    except Fault as fault:
        return Line("site key", False, "missing" if key is None else "weak", fault.hint)
    if sealed and config.triage.site_key_file.exists():
        todo = f"Remove {config.triage.site_key_file} once a copy is in a safe: whoever takes the disk reads it there."
        return Line("site key", False, "sealed, and the plain file is still there", todo)
    return Line("site key", True, "sealed to this machine, and opens" if sealed else "present", "")


def _folder(name: str, path: Path) -> Line:
    return Line(name, path.is_dir(), str(path) if path.is_dir() else f"{path} is no folder", f"Make the folder {path}.")


def at_rest_line(config: Config, places: Places) -> Line:
    """Whether the state folder's disk is encrypted, or why the operator says that it need not be (docs/at-rest.md)."""
    found, why = at_rest.encrypted_by(places.root) if places.root.is_dir() else "", config.state.unencrypted_because
    if not found and why:
        return Line("encryption at rest", True, f"not seen; the operator says: {why}", "")
    todo = "Put the state folder on LUKS or fscrypt, or say in state.unencrypted_because why it is safe as it is."
    return Line("encryption at rest", bool(found), found or "none that can be seen", todo)


def _broker(config: Config) -> Line:
    address = (config.network.broker_host, config.network.broker_port)
    try:
        socket.create_connection(address, CONNECT_TIMEOUT_S).close()
    except OSError:
        return Line("broker", False, f"{address[0]}:{address[1]} does not answer", CATALOGUE["broker-away"].hint)
    return Line("broker", True, f"{address[0]}:{address[1]} answers", "")


def _packages(config: Config, places: Places) -> list[Line]:
    folders = [config.triage.model_folder, *places.beside]
    packages, damaged = models.load_packages(folders, config.triage.trusted_keys, *places.site_certificates)
    lines = [Line(f"package {package.title}", True, "signed, and checksums agree", "") for package in packages]
    lines += [Line(f"package {each.folder.name}", False, each.fault.code, each.fault.hint) for each in damaged]
    todo = "Install a model package; until then every study is escalated."
    return lines or [Line("packages", False, f"none in {config.triage.model_folder}", todo)]


def show_config(config: Config, as_json: bool) -> int:
    """Every knob: what it is set to, its bounds, its sentence."""
    dumped: Mapping[str, Any] = config.model_dump(mode="json")
    rows = []
    for key, kind, default, bounds, sentence in knobs():
        section, name = key.split(".")
        told = {"key": key, "value": dumped[section][name], "default": default, "type": kind}
        rows.append({**told, "bounds": bounds, "description": sentence})
    show(rows, as_json, [f"{row['key']} = {row['value']}   # {row['description']}" for row in rows])
    return 0
