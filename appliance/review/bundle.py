"""The support bundle: how this appliance is made, set and stands, for people who may never learn of a patient.

It is built out of fields named here and of nothing else: numbers, states, codes, names of settings. Texts, paths,
names of people, sites and files are left out, also those that are harmless today. Whether it may be handed out says
bundle_check, which knows nothing of how it was built.
"""

import io
import json
import platform
import tarfile
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, get_origin

from sqlalchemy import Connection, func, select

from appliance import __version__
from appliance.condition import condition
from appliance.config import Config, Places
from appliance.config.section import Section
from appliance.core.alarms import Condition, alarms
from appliance.core.lifecycle import STATES, WIRE_STATES
from appliance.errors import CATALOGUE
from appliance.review.selftest import self_test
from appliance.world import desk, ledger, sqlite, wire
from appliance.world.ledger import moves, stray_files, strays, studies, watch

LIBRARIES = (
    *("cryptography", "imagecodecs", "jinja2", "numpy", "onnx", "onnxruntime", "opencv-python-headless", "paho-mqtt"),
    *("pydantic", "pydicom", "pynetdicom", "pysqlite3", "sqlalchemy", "starlette", "uvicorn"),
)
CODES_MAX = 200
HOUR_S = 3600


def bundle(config: Config, places: Places, now: float) -> bytes:
    """The bundle as a tar of JSON documents, not yet looked at by anybody.

    now  wall clock, s since 1970
    """
    documents: dict[str, Any] = {"versions": _versions(now), "settings": _settings(config)}
    with ExitStack() as held:
        named = {"studies": places.studies_db, "cases": places.cases_db, "link": places.link_db}
        opened = {name: _opened(held, path) for name, path in {**named, "review": places.review_db}.items()}
        documents["schemas"] = {name: _schema(c) for name, c in opened.items() if c is not None}
        root = places.root if places.root.exists() else Path("/")
        found = condition(config, root, now, opened["studies"], opened["cases"], opened["link"])
        documents["alarms"] = [{"code": each.code, "severity": each.severity} for each in alarms(found)]
        documents["metrics"] = _metrics(found)
        documents["counts"] = _counts(opened["studies"], opened["cases"], opened["link"], opened["review"])
        if opened["studies"] is not None:
            documents["codes"] = _codes(opened["studies"])
            documents["models"] = _models(opened["studies"])
    lines = self_test(config, places, now)
    documents["selftest"] = [{"name": _line_name(each.name), "ok": each.ok} for each in lines]
    return _packed(documents, now)


def _line_name(name: str) -> str:
    """Which model it is says the list of models."""
    return "model" if name.startswith("model ") else name


def _opened(held: ExitStack, path: Path) -> Connection | None:
    if not path.exists():
        return None
    engine = sqlite.open_reader(path)
    held.callback(engine.dispose)
    c = held.enter_context(engine.connect())
    return c if c.exec_driver_sql("PRAGMA user_version").scalar_one() else None


def _versions(now: float) -> dict[str, Any]:
    return {
        "product": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
        "made_at_s": int(now),
    }


def _settings(config: Config) -> dict[str, Any]:
    """Numbers, switches and choices as they are; of anything else only whether it is as by default."""
    told: dict[str, Any] = {}
    for section, outer in Config.model_fields.items():
        model = outer.annotation
        assert isinstance(model, type)
        assert issubclass(model, Section)
        for key, field in model.model_fields.items():
            value = getattr(getattr(config, section), key)
            plain = field.annotation in (int, float, bool) or get_origin(field.annotation) is Literal
            told[f"{section}.{key}"] = value if plain else "default" if value == field.default else "set"
    return told


def _schema(c: Connection) -> dict[str, Any]:
    """Version, size, and rows of each table."""
    names = c.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    return {
        "version": c.exec_driver_sql("PRAGMA user_version").scalar_one(),
        "pages": c.exec_driver_sql("PRAGMA page_count").scalar_one(),
        "rows": {each: c.exec_driver_sql(f'SELECT count(*) FROM "{each}"').scalar_one() for each in names.scalars()},  # noqa: S608 - a table's own name
    }


def _metrics(now: Condition) -> dict[str, Any]:
    return {
        "enrolled": now.enrolled,
        "disk_low": now.disk_low,
        "heard_s": None if now.heard_s is None else int(now.heard_s),
        "spool_bytes": now.spool_bytes,
        "spool_bytes_max": now.spool_bytes_max,
        "shed": now.shed,
        "refused": now.refused,
        "damaged": now.damaged,
        "silent_sources": len(now.silent),
        "queues": {
            urgency: {"waiting": each.waiting, "unanswered": each.unanswered, "overdue": each.overdue}
            for urgency, each in now.queues.items()
        },
    }


def _counts(
    own: Connection | None, cases: Connection | None, link: Connection | None, review: Connection | None
) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if own is not None:
        told["studies"] = {state: count for state, count in ledger.counts(own).items() if state in STATES}
        aside = select(studies.c.fault_code, func.count()).where(studies.c.state == "quarantined")
        told["faults"] = _known(dict(own.execute(aside.group_by(studies.c.fault_code)).all()))
        told["files"] = _known(dict(own.execute(select(strays.c.code, func.count()).group_by(strays.c.code)).all()))
        told["files_waiting"] = stray_files.count(own)
    if cases is not None:
        states = list(wire.wire_states(cases, link).values())
        told["cases"] = {state: states.count(state) for state in WIRE_STATES}
    if link is not None:
        codes = list(wire.fault_codes(link).values())
        told["line"] = _known({code: codes.count(code) for code in set(codes)})
    if review is not None:
        told["audit_broken"] = desk.first_broken_audit_row(review)
    return told


def _known(counts: dict[str, int]) -> dict[str, int]:
    """Counts by code; what is no code of ours is counted together, whatever it says."""
    told = {code: count for code, count in counts.items() if code in CATALOGUE}
    others = sum(count for code, count in counts.items() if code not in CATALOGUE)
    return {**told, **({"others": others} if others else {})}


def _codes(c: Connection) -> list[dict[str, Any]]:
    """The newest moves that bear a code of the catalogue, to the hour and without the study."""
    newest = select(moves.c.at, moves.c.event, moves.c.code).where(moves.c.code.in_(list(CATALOGUE)))
    rows = c.execute(newest.order_by(moves.c.id.desc()).limit(CODES_MAX))
    return [{"hour": int(row.at // HOUR_S), "event": row.event, "code": row.code} for row in rows]


def _models(c: Connection) -> list[dict[str, Any]]:
    """Models in force by their packages' names, and how many certificates each has in which stage."""
    stages = select(watch.monitors.c.stage, func.count()).where(watch.monitors.c.present)
    return [
        {
            "title": row.title,
            "role": row.facts.get("role", ""),
            "stages": dict(
                c.execute(stages.where(watch.monitors.c.model == row.title).group_by(watch.monitors.c.stage)).all()
            ),
        }
        for row in c.execute(select(watch.installed).where(watch.installed.c.present))
    ]


def _packed(documents: dict[str, Any], now: float) -> bytes:
    """Names, times and owners in the tar are ours: nothing of this machine's users."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, document in documents.items():
            data = json.dumps(document, indent=1, sort_keys=True).encode()
            member = tarfile.TarInfo(f"{name}.json")
            member.size, member.mtime = len(data), int(now)
            tar.addfile(member, io.BytesIO(data))
    return made.getvalue()
