"""`appliance replay IN…`: the pipeline on files, without side effects, one JSON line a study.

It keeps nothing, sends nothing, draws no audit sample. A hard study goes all the way to the sealed and inspected case,
because a case that may not leave is quarantined and not escalated.
"""

import argparse
import hashlib
import json
import logging
import secrets
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from appliance.cli.files import bears_magic, named, quiet_libraries
from appliance.config import Config
from appliance.core.admit import admit
from appliance.core.assemble import conflicts
from appliance.core.study import Instance
from appliance.errors import CATALOGUE, Fault, Refused
from appliance.loop import guarded
from appliance.triage.cleaning import for_the_centre
from appliance.triage.judge import Court, judge, open_court
from appliance.triage.sealing import sealed_case

IN_PROCESS_MAX = 4  # so few studies are done before a second process is up
File = tuple[Path, Instance]


def run(config: Config, told: argparse.Namespace) -> int:
    """Prints the lines; status 0 whatever the lanes, 1 when nothing was named that could be read."""
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)
    site = told.site or config.site.name
    studies: dict[str, list[File]] = {}
    found = 0
    for path, _ in named(told.inputs):
        found += 1
        instance = guarded("replay.admit", partial(_admitted, path))
        if isinstance(instance, Fault):
            _print(None, [path], "quarantined", instance)
        else:
            studies.setdefault(instance.study_instance_uid, []).append((path, instance))
    if not found:
        print("no file was named", file=sys.stderr)
        return 1
    today = datetime.now(UTC).date()
    for line in _lines(list(studies.values()), config, site, today, max(1, told.jobs)):
        print(json.dumps(line), flush=True)
    return 0


def _admitted(path: Path) -> Instance:
    data = path.read_bytes()
    if not data:
        raise Refused("file-empty")
    if not bears_magic(data):
        raise Refused("file-not-dicom")
    return admit(data)


def _lines(studies: list[list[File]], config: Config, site: str, today: date, jobs: int) -> Iterator[dict[str, Any]]:
    open_here = partial(
        _open, config.triage.model_folder, config.triage.trusted_keys, site, config.triage.pixels_max, today
    )
    if jobs == 1 or len(studies) <= IN_PROCESS_MAX:
        open_here()
        yield from map(_line, studies)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=open_here) as pool:
        yield from pool.map(_line, studies, chunksize=max(1, min(16, len(studies) // (4 * jobs))))


_HERE: dict[str, Any] = {}  # one a process: sessions cannot travel


def _open(models: Path, trusted: Path, site: str, pixels_max: int, today: date) -> None:
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)
    _HERE.update(
        court=open_court(models, site, trusted), pixels_max=pixels_max, today=today, key=secrets.token_bytes(32)
    )


def _line(files: list[File]) -> dict[str, Any]:
    began = time.perf_counter()
    line = guarded("replay", partial(_study, files))
    if isinstance(line, Fault):
        line = _document(files[0][1].study_instance_uid, [path for path, _ in files], "quarantined", line)
    line["timings_ms"]["total"] = round((time.perf_counter() - began) * 1000, 3)
    return line


def _study(files: list[File]) -> dict[str, Any]:
    court: Court = _HERE["court"]
    paths = [path for path, _ in files]
    once = {instance.sha256: (path, instance) for path, instance in files}
    instances = [instance for _, instance in once.values()]
    uid = instances[0].study_instance_uid
    conflict = conflicts(instances)
    if conflict is not None:
        return _document(uid, paths, "quarantined", conflict)

    def read(instance: Instance) -> bytes:
        data = once[instance.sha256][0].read_bytes()
        assert hashlib.sha256(data).hexdigest() == instance.sha256, "the file changed while it was replayed"
        return data

    found = judge(court, instances, read, pixels_max=_HERE["pixels_max"], today=_HERE["today"])
    decision = found.decision
    result = {**asdict(decision), "priority": decision.priority, "decided_at": 0.0}
    if decision.lane == "escalated":
        began = time.perf_counter()
        sealed_case(
            "0" * 32,
            1,
            result,
            instances,
            read,
            site_key=_HERE["key"],
            models=court.models,
            cleaning=for_the_centre(_HERE["key"]),
            pixels_max=_HERE["pixels_max"],
        )
        found.timings_ms["seal"] = round((time.perf_counter() - began) * 1000, 3)
    return {
        "study": uid,
        "files": [str(path) for path in paths],
        "lane": decision.lane,
        "would_be": decision.would_be,
        "reasons": result["reasons"],
        "scores": result["scores"],
        "model": decision.model,
        "certificate": decision.certificate,
        "timings_ms": found.timings_ms,
    }


def _document(study: str | None, paths: list[Path], lane: str, fault: Fault) -> dict[str, Any]:
    place = f" ({fault.place})" if fault.place else ""
    return {
        "study": study,
        "files": [str(path) for path in paths],
        "lane": lane,
        "would_be": None,
        "reasons": [{"code": fault.code, "text": f"{CATALOGUE[fault.code].text}{place}"}],
        "scores": [],
        "model": None,
        "certificate": None,
        "timings_ms": {},
    }


def _print(study: str | None, paths: list[Path], lane: str, fault: Fault) -> None:
    print(json.dumps(_document(study, paths, lane, fault)), flush=True)
