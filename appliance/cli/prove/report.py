"""The report of a trial: one printable page that needs no network, and the same in JSON, for comparing boxes."""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment

from appliance.cli.prove.load import Burst, Steady
from appliance.cli.prove.trouble import Cuts, Outage
from appliance.core.chart import Chart, svg
from appliance.core.figures import Figure
from appliance.core.machine import Disk, Machine
from appliance.world import archive

SCHEMA = 1
POINTS_MAX = 400  # of a curve


@dataclass(frozen=True, slots=True)
class Trial:
    """All that was tried. Times in seconds, sizes in bytes.

    others     load average before it began: what else the machine was doing
    waits      settings of the trial that a study waits for by design, and the same in this site's configuration
    generator  whether the films came from the synthetic scanner's network
    disk_says  what the disk's facts mean for a power cut; sync: a durable write of 4 KiB
    """

    made_at: str
    version: str
    command: str
    machine: Machine
    disk: Disk
    disk_says: str
    disk_ok: bool
    others: float
    broker: str
    generator: bool
    models: tuple[str, ...]
    waits: dict[str, tuple[float, float]]
    sync: tuple[Figure, Figure]
    films: Burst
    slices: Burst
    steady: Steady
    memory: dict[str, int]
    cuts: Cuts
    outage: Outage
    took_s: float

    @property
    def broken(self) -> tuple[str, ...]:
        return (*self.cuts.broken, *self.outage.broken)


def write(trial: Trial, page: Path) -> Path:
    """Puts the page, and the JSON beside it; returns the JSON's path."""
    beside = page.with_suffix(".json")
    told = {"schema": SCHEMA, "broken": trial.broken, **asdict(trial)}
    archive.put(beside, json.dumps(told, indent=1).encode())
    archive.put(page, html(trial).encode())
    return beside


def html(trial: Trial) -> str:
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(figure=figure, gib=gib)
    text = files("appliance.cli.prove").joinpath("report.html").read_text("utf-8")
    return environment.from_string(text).render(t=trial, charts=[svg(chart) for chart in _charts(trial)])


def figure(value: Figure, digits: int = 2) -> str:
    """The value with its interval: "1.20 (1.10 to 1.31)"; an end that n is too small for is said."""
    low = "?" if value.low is None else f"{max(value.low, 0):.{digits}f}"
    high = "?" if value.high is None else f"{value.high:.{digits}f}"
    return f"{value.value:.{digits}f} ({low} to {high})"


def gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _charts(trial: Trial) -> list[Chart]:
    took = trial.steady.took_s
    shares = [(0.0, 0.0), *((at, 100 * (n + 1) / len(took)) for n, at in enumerate(took))]
    marks = [(trial.steady.p50.value, "p50"), (trial.steady.p95.value, "p95"), (trial.steady.p99.value, "p99")]
    return [
        Chart("A burst of films", "seconds since the first file", "films with a lane", _thin(trial.films.course)),
        Chart("Scan to lane", "seconds", "% of studies at most", _thin(shares), steps=True, marks=marks),
        Chart(
            "A broker that is away",
            "seconds since it was killed",
            "cases that wait here",
            _thin(trial.outage.course),
            steps=True,
            marks=[(trial.outage.back_at_s, "it comes back")],
        ),
    ]


def _thin(points: tuple[tuple[float, float], ...] | list[tuple[float, float]]) -> list[tuple[float, float]]:
    every = max(1, len(points) // POINTS_MAX)
    return [*points[:-1:every], points[-1]]
