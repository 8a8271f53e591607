"""`appliance prove`: tries this machine in a house of its own beside whatever runs; a page says how it did.

Nothing of the running appliance is opened but its configuration. The trial takes processor and disk from it while it
lasts, and says so. What it measures and what not: docs/prove.md.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from appliance import __version__
from appliance.cli.files import quiet_libraries
from appliance.cli.prove import load, scans, trouble
from appliance.cli.prove.house import SETTINGS, House
from appliance.cli.prove.report import Trial, figure, gib, write
from appliance.cli.prove.synthetic import Source
from appliance.config import Config
from appliance.core.figures import quantile
from appliance.core.machine import disk_line
from appliance.errors import Misconfigured
from appliance.world import archive, machine, models

ROOM_BYTES = 2 * 2**30
SITE = "synthetic"  # whose certificate of the shipped model lets films be decided here
OUTAGE_HOLD_S = 3.0
SEED = 8


@dataclass(frozen=True, slots=True)
class Size:
    """How much is tried."""

    films: int
    slices: int
    steady: int
    cuts: int
    cases: int
    syncs: int


QUICK = Size(films=30, slices=60, steady=20, cuts=3, cases=5, syncs=100)
WHOLE = Size(films=400, slices=1000, steady=400, cuts=30, cases=60, syncs=1000)


def run(config: Config, told: argparse.Namespace) -> int:
    """Tries, writes the report, says the gist; status 1 where a promise was broken."""
    quiet_libraries()
    size = QUICK if told.quick else WHOLE
    beside = told.folder or (config.state.folder.parent if config.state.folder.parent.is_dir() else Path("/var/tmp"))  # noqa: S108
    with _folder(beside) as folder:
        trial = _try(config, folder, size)
        data = write(trial, told.out)
    for line in gist(trial):
        print(line)
    print(f"report {told.out}, figures {data}")
    return 1 if trial.broken else 0


@contextmanager
def _folder(beside: Path) -> Iterator[Path]:
    """A folder of its own on the disk of the state; kept where something failed, for its logs."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="appliance-prove-", dir=beside))
    except OSError:
        raise Misconfigured("prove-room", "--folder") from None
    if archive.free_bytes(folder) < ROOM_BYTES:
        folder.rmdir()
        raise Misconfigured("prove-room", "--folder")
    ended = False
    try:
        yield folder
        ended = True
    finally:
        if ended:
            shutil.rmtree(folder)
        else:
            print(f"the trial's folder is kept: {folder}", file=sys.stderr)


def _try(config: Config, folder: Path, size: Size) -> Trial:
    began, others = time.monotonic(), os.getloadavg()[0]
    dice = random.Random(SEED)  # noqa: S311 - moments, no secrets
    source = Source(config.triage.model_folder, config.triage.trusted_keys)
    columns = (TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:

        def bar(words: str, total: int) -> load.Tell:
            task = progress.add_task(words, total=total)
            return lambda done: progress.update(task, completed=done)

        sync = machine.sync_times(folder, size.syncs)
        bar("durable writes", size.syncs)(size.syncs)
        drawn = scans.films(size.films + size.steady, source)
        bar("films drawn", len(drawn))(len(drawn))
        settings: dict[str, dict[str, object]] = {
            "site": {"name": SITE},
            "triage": {"model_folder": str(source.models), "trusted_keys": str(source.trusted)},
        }
        with House(folder / "house", settings=settings) as house:
            ready = bar("services up", 1)
            house.wait_ready()
            ready(1)
            memory = load.Memory(house)
            films = load.burst(house, drawn[: size.films], load.studies_decided, bar("burst of films", size.films))
            memory.look()
            _rest(house)
            ct = scans.slices(size.slices, "burst")
            slices = load.burst(house, ct, load.files_kept, bar("burst of CT slices", size.slices))
            memory.look()
            _rest(house)
            offered = load.STEADY_SHARE * films.rate.value
            steady = load.steady(house, drawn[size.films :], offered, dice, bar("steady load", size.steady))
            _rest(house)
            outage = trouble.outage(house, size.cases, OUTAGE_HOLD_S, bar("outage of the broker", 2 * size.cases))
            kind = house.pipe.kind if house.pipe else ""
            memory.look()
        cuts = trouble.cuts(folder, size.cuts, dice, bar("power cuts", size.cuts))
    disk = machine.disk(folder)
    line = disk_line(disk, quantile(sync, 0.5).value)
    packages, _ = models.load_packages([source.models], source.trusted, folder)
    return Trial(
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=__version__,
        command="appliance prove --quick" if size is QUICK else "appliance prove",
        machine=machine.machine(),
        disk=disk,
        disk_says=line.found,
        disk_ok=line.ok,
        others=others,
        broker=kind,
        generator=scans.is_drawn(source),
        models=tuple(package.title for package in packages),
        waits=_waits(config),
        sync=(quantile(sync, 0.5), quantile(sync, 0.99)),
        films=films,
        slices=slices,
        steady=steady,
        memory=memory.peak,
        cuts=cuts,
        outage=outage,
        took_s=time.monotonic() - began,
    )


def _rest(house: House) -> None:
    house.until(house.at_rest, "it does not come to rest after a load", load.PATIENCE_S)


def _waits(config: Config) -> dict[str, tuple[float, float]]:
    """What a study waits for by design: (in the trial, at this site)."""
    return {
        "receive.settle_s": (float(str(SETTINGS["receive"]["settle_s"])), config.receive.settle_s),
        "triage.quiet_period_s": (float(str(SETTINGS["triage"]["quiet_period_s"])), config.triage.quiet_period_s),
    }


def gist(trial: Trial) -> list[str]:
    """What a person wants to know at once."""
    lines = [
        f"{trial.machine.cpu}, {trial.machine.cores} cores, {gib(trial.machine.memory_bytes)}",
        f"saturates at {figure(trial.films.rate)} films a second, {figure(trial.slices.rate, 1)} CT slices a second",
        f"scan to lane p50 {figure(trial.steady.p50)} s, p95 {figure(trial.steady.p95)} s",
        f"{trial.cuts.times} times: {trial.cuts.how}",
    ]
    return (
        lines
        + [f"BROKEN  {each}" for each in trial.broken]
        + ([] if trial.broken else ["nothing lost, nothing doubled"])
    )
