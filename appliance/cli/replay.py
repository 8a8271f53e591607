"""`appliance replay IN…`: the pipeline on files, without side effects, one JSON line a study, or a table for people.

It keeps nothing, sends nothing, draws no audit sample, and asks no ledger: a kill switch or an alarm of this house does
not count here. A hard study goes all the way to the sealed and inspected case,
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
from appliance.cli.table import table_lines
from appliance.config import Config
from appliance.core.admit import admit, broken_of
from appliance.core.assemble import conflicts
from appliance.core.standing import Standing
from appliance.core.study import Instance
from appliance.errors import CATALOGUE, Fault, Refused
from appliance.loop import guarded
from appliance.triage.cleaning import for_the_centre
from appliance.triage.glance import hints, repeats
from appliance.triage.judge import columns, open_court, own_contract
from appliance.triage.looking import Court, doubted, judge
from appliance.triage.sealing import sealed_case

IN_PROCESS_MAX = 4  # so few studies are done before a second process is up
File = tuple[Path, Instance]
Study = tuple[list[File], bool]  # and whether another image of it came broken
Line = dict[str, Any]


def run(config: Config, told: argparse.Namespace) -> int:
    """Prints the lines; status 0 whatever the lanes, 1 when nothing was named that could be read."""
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)
    site = told.site or config.site.name
    studies: dict[str, list[File]] = {}
    broken: dict[str, set[str]] = {}  # by study: instances that came broken
    lines: list[Line] = []
    found = 0

    def out(line: Line) -> None:
        if told.table:
            lines.append(line)
        else:
            print(json.dumps(line), flush=True)

    for path, _ in named(told.inputs):
        found += 1
        instance = guarded("replay.admit", partial(_admitted, path))
        if isinstance(instance, Fault):
            out(_set_aside(None, [path], instance))
            whose = guarded("replay.broken", partial(_broken, path))
            if not isinstance(whose, Fault):
                broken.setdefault(whose[0], set()).add(whose[1])
        else:
            studies.setdefault(instance.study_instance_uid, []).append((path, instance))
    if not found:
        print("no file was named", file=sys.stderr)
        return 1
    today = datetime.now(UTC).date()
    whole = {uid: {instance.sop_instance_uid for _, instance in files} for uid, files in studies.items()}
    work = [(files, bool(broken.get(uid, set()) - whole[uid])) for uid, files in studies.items()]
    for line in _lines(work, config, site, today, max(1, told.jobs)):
        out(line)
    if told.table:
        print("\n".join(table_lines(lines)))
    return 0


def _admitted(path: Path) -> Instance:
    data = path.read_bytes()
    if not data:
        raise Refused("file-empty")
    if not bears_magic(data):
        raise Refused("file-not-dicom")
    return admit(data)


def _broken(path: Path) -> tuple[str, str]:
    return broken_of(path.read_bytes())


def _lines(studies: list[Study], config: Config, site: str, today: date, jobs: int) -> Iterator[Line]:
    open_here = partial(_open, config, site, today)
    if jobs == 1 or len(studies) <= IN_PROCESS_MAX:
        open_here()
        try:
            yield from map(_line, studies)
        finally:
            _HERE["court"].bench.close()
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=open_here) as pool:
        yield from pool.map(_line, studies, chunksize=max(1, min(16, len(studies) // (4 * jobs))))


_HERE: dict[str, Any] = {}  # one a process: sessions cannot travel


def _open(config: Config, site: str, today: date) -> None:
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)
    knobs = config.triage
    court = open_court(knobs.model_folder, site, knobs.trusted_keys, config.rules.models)
    _HERE.update(court=court, pixels_max=knobs.pixels_max, today=today, key=secrets.token_bytes(32))


def _line(study: Study) -> Line:
    began, (files, _) = time.perf_counter(), study
    line = guarded("replay", partial(_study, *study))
    if isinstance(line, Fault):
        line = _set_aside(files[0][1].study_instance_uid, [path for path, _ in files], line)
    line["timings_ms"]["total"] = round((time.perf_counter() - began) * 1000, 3)
    return line


def _study(files: list[File], broken_beside: bool) -> Line:
    court: Court = _HERE["court"]
    paths = [path for path, _ in files]
    once = {instance.sha256: (path, instance) for path, instance in files}
    instances = [instance for _, instance in once.values()]
    uid = instances[0].study_instance_uid
    conflict = conflicts(instances)
    if conflict is not None:
        return _set_aside(uid, paths, conflict)

    def read(instance: Instance) -> bytes:
        data = once[instance.sha256][0].read_bytes()
        assert hashlib.sha256(data).hexdigest() == instance.sha256, "the file changed while it was replayed"
        return data

    pixels_max, today, standing = _HERE["pixels_max"], _HERE["today"], Standing()
    found = judge(court, instances, read, pixels_max=pixels_max, today=today, standing=standing)
    if broken_beside:
        found = doubted(found, "image-broken-beside")
    result = columns(court, found, 0.0)
    films = [
        hints(court, each, read, pixels_max=pixels_max, today=today, standing=standing)
        for each in (instances if len(instances) > 1 else ())
    ]
    repeat = dict.fromkeys((*repeats(found.decision.reasons), *(hint for film in films for hint in film)))
    if found.decision.lane == "escalated":
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
            answer_within_s=1,
        )
        found.timings_ms["seal"] = round((time.perf_counter() - began) * 1000, 3)
    line = {name: result[name] for name in ("lane", "would_be", "reasons", "scores", "model", "certificate")}
    return _document(
        uid,
        paths,
        exit=found.decision.exit,
        contract=own_contract(court, found.decision),
        weights=next((each.weights for each in found.decision.scores), None),
        repeat=[asdict(hint) for hint in repeat],
        timings_ms=found.timings_ms,
        **line,
    )


def _set_aside(study: str | None, paths: list[Path], fault: Fault) -> Line:
    place = f" ({fault.place})" if fault.place else ""
    reason = {"code": fault.code, "text": f"{CATALOGUE[fault.code].text}{place}"}
    return _document(study, paths, lane="quarantined", reasons=[reason])


def _document(study: str | None, paths: list[Path], **told: Any) -> Line:
    """One line: the same keys whatever became of the study.

    exit      of the network, that decided; null where none did
    contract  what the certificate promises, where that is not the product's own contract
    weights   "random" where the model says nothing of the patient
    repeat    what a radiographer could mend, were the patient still there
    """
    return {
        "study": study,
        "files": [str(path) for path in paths],
        "lane": None,
        "would_be": None,
        "reasons": [],
        "repeat": [],
        "scores": [],
        "model": None,
        "weights": None,
        "exit": None,
        "certificate": None,
        "contract": None,
        "timings_ms": {},
        **told,
    }
