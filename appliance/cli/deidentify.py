"""`appliance deidentify IN… -o DIR`: de-identified copies, each passed by the inspector before it is written.

Every core works, results come in the order of the files. It writes nothing that the inspector did not pass, and
nothing over an original.
"""

import argparse
import json
import logging
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from appliance.cli import site_key
from appliance.cli.files import bears_magic, named, quiet_libraries
from appliance.config import Config
from appliance.core.identity import identity_of
from appliance.core.inspect import findings
from appliance.core.options import Options, chosen
from appliance.core.outgoing import outgoing_of
from appliance.core.pseudonym import checked_key
from appliance.errors import Fault, Misconfigured, Refused
from appliance.loop import guarded
from appliance.world import archive
from appliance.world.eyes import open_eyes

ACTION_WORDS = {  # PS3.15 E.1.1's letters, in words
    "X": "removed",
    "Z": "emptied",
    "D": "replaced by a dummy",
    "U": "UIDs replaced",
    "C": "cleaned",
    "K": "kept by an option",
    "ADD": "added",
}
TELLING = " - THE PATH ITSELF BEARS IDENTITY: rename it before it leaves"
IN_PROCESS_MAX = 8  # so few headers are done before a second process is up
CHUNK_MAX = 32


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one file: actions by number, or the code and place of the refusal.

    regions       boxes blackened in the picture: frame, row, column, rows, columns, rule
    telling_path  the kept path itself bears identity of the object: whoever passes the file on must rename it first
    """

    file: str
    code: str = ""
    place: str = ""
    output: str = ""
    sha256: str = ""
    actions: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    regions: tuple[dict[str, Any], ...] = ()
    telling_path: bool = False


def run(config: Config, told: argparse.Namespace) -> int:
    """Status 1 if any file was refused; nothing is written that the inspector did not pass."""
    options = chosen(told.profile, told.option, told.without)
    key = _site_key(config, told.site_key)
    work, refused = _planned(told.inputs, told.output)
    for path, target in refused:
        print(f"{path}: refused: {target} is in use; choose another -o or fewer inputs", file=sys.stderr)
    as_json = told.json or told.report == "json"
    counts: Counter[str] = Counter({"refused": len(refused)})
    with _Bar(len(work), shown=sys.stderr.isatty()) as step:
        for done in _done(work, told.output, options, key, max(1, told.jobs)):
            counts["refused" if done.code else "written"] += 1
            print(json.dumps(asdict(done)) if as_json else _line(done), flush=True)
            step()
    if not as_json and len(work) > 1:
        print(f"{counts['written']} written, {counts['refused']} refused", file=sys.stderr)
    return 1 if counts["refused"] else 0


def _planned(inputs: list[Path], output: Path) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]]]:
    """What is to be done, and what may not be: two sources for one target, or a target that is a source."""
    found = list(named(inputs))
    sources = {path.resolve() for path, _ in found}
    work: list[tuple[Path, Path]] = []
    refused: list[tuple[Path, Path]] = []
    taken: set[Path] = set()
    for path, relative in found:
        target = output / relative
        in_use = target in taken or target.resolve() in sources
        (refused if in_use else work).append((path, target if in_use else relative))
        taken.add(target)
    return work, refused


class _Bar:
    """A progress bar on standard error where a person looks; nothing elsewhere."""

    def __init__(self, total: int, *, shown: bool) -> None:
        columns = (TextColumn("de-identifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.progress = Progress(*columns, console=Console(stderr=True), disable=not shown or total < 2)
        self.task = self.progress.add_task("", total=total)

    def __enter__(self) -> Any:
        self.progress.start()
        return partial(self.progress.advance, self.task)

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def _line(done: Done) -> str:
    if done.code:
        return f"{done.file}: refused: {done.code}{f' at {done.place}' if done.place else ''}"
    words = [f"{done.actions[letter]} {word}" for letter, word in ACTION_WORDS.items() if letter in done.actions]
    words += [f"{len(done.regions)} texts blackened"] if done.regions else []
    return f"{done.file}: {', '.join(words) or 'nothing to change'}{TELLING if done.telling_path else ''}"


def _site_key(config: Config, file: Path | None) -> bytes:
    if file is not None:
        try:
            return checked_key(file.read_bytes())
        except OSError:
            raise Misconfigured("deid-site-key", str(file)) from None
    key, sealed = site_key.found(config)
    if key is None and sealed:  # another one would give the site's patients other pseudonyms
        raise Misconfigured("site-key-sealed", str(config.triage.site_key_file))
    if key is None:
        print("no site key: a random one is used, so the pseudonyms of this run will not come again", file=sys.stderr)
        key = secrets.token_bytes(32)
    return checked_key(key)


_HERE: dict[str, Any] = {}  # one a process: the reader of texts cannot travel


def _open(output: Path, options: Options, key: bytes) -> None:
    quiet_libraries()
    logging.getLogger("appliance").setLevel(logging.CRITICAL)  # what happens to a file is said in its own line
    eyes = open_eyes() if "clean-pixel-data" in options else None
    _HERE.update(output=output, options=options, key=key, eyes=eyes)


def _done(work: list[tuple[Path, Path]], output: Path, options: Options, key: bytes, jobs: int) -> Iterable[Done]:
    open_here = partial(_open, output, options, key)
    if "clean-pixel-data" in options and jobs > 1:
        # The networks that read pictures take nearly all of the time, and run without the interpreter's lock: threads
        # are as fast as processes, and share the networks.
        open_here()
        return _pooled(work, ThreadPoolExecutor(jobs), jobs)
    if jobs == 1 or len(work) <= IN_PROCESS_MAX:
        open_here()
        return map(_one, work)
    return _pooled(work, ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=open_here), jobs)


def _pooled(work: list[tuple[Path, Path]], pool: Executor, jobs: int) -> Iterator[Done]:
    with pool:
        yield from pool.map(_one, work, chunksize=max(1, min(CHUNK_MAX, len(work) // (4 * jobs))))


def _one(named_file: tuple[Path, Path]) -> Done:
    path, relative = named_file

    def work() -> Done:
        data = path.read_bytes()
        if not data:
            raise Refused("file-empty")
        if not bears_magic(data):
            raise Refused("file-not-dicom")
        who = identity_of(data)
        result = outgoing_of(data, who, _HERE["key"], _HERE["options"], _HERE["eyes"])
        target = _HERE["output"] / relative
        archive.cache(target, result.bytes)
        return Done(
            str(path),
            output=str(target),
            sha256=result.sha256,
            actions=dict(Counter(change.action for change in result.changes)),
            rules=dict(Counter(f"{change.rule} {change.action}" for change in result.changes)),
            regions=tuple(asdict(region) for region in result.regions),
            telling_path=bool(findings(json.dumps(relative.parts).encode(), who)),
        )

    found = guarded("deidentify", work)
    if isinstance(found, Fault):
        return Done(str(path), found.code, found.place)
    return found
