"""`appliance metrics`: how it stands as Prometheus reads it, to standard output or into a textfile collector's folder.

Numbers only, under names that end in their unit; the labels are words of ours (a state, an urgency, a code), never
anything of a patient, a person or a place.
"""

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from appliance.cli import watching
from appliance.cli.standing import Standing, standing
from appliance.cli.verbs import SERVICES
from appliance.config import Config, Places
from appliance.core.alarms import Queue
from appliance.core.document import URGENCIES
from appliance.core.lifecycle import STATES, WIRE_STATES
from appliance.errors import CATALOGUE
from appliance.world import archive, clock, units
from appliance.world.units import Unit

PREFIX = "appliance"
# name: (what it counts, label)
GAUGES: dict[str, tuple[str, str]] = {
    "studies": ("Studies in each state of the clinical ledger.", "state"),
    "cases": ("Cases in each state of the wire.", "state"),
    "cases_waiting": ("Cases that the centre does not hold yet.", "urgency"),
    "cases_unanswered": ("Cases that the centre holds and has not answered.", "urgency"),
    "cases_overdue": ("Cases past the deadline of their urgency without a verdict.", "urgency"),
    "queue_oldest_seconds": ("Age of the oldest case that the centre does not hold.", "urgency"),
    "cases_shed": ("Cases of which pictures or a series went from the full spool.", ""),
    "spool_bytes": ("Sealed bytes that wait.", ""),
    "spool_bytes_max": ("Room for them (network.spool_bytes_max).", ""),
    "centre_heard_seconds": ("Seconds since the centre's last word; -1 when it never said one.", ""),
    "enrolled": ("Whether this appliance knows its centre.", ""),
    "disk_free_bytes": ("Free space of the state folder.", ""),
    "source_silent_seconds": ("Seconds since a modality's last study, where that is unusual.", "modality"),
    "results_waiting": ("Orders to deliver a result or an answer that have no receipt.", ""),
    "results_oldest_seconds": ("Age of the oldest of them.", ""),
    "target_away_seconds": ("Seconds since a target was last reached, where it is not.", "target"),
    "clock_synchronised": ("Whether the clock is held to another one; -1 where that is not told.", ""),
    "clock_ahead_seconds": ("How far the newest row on file lies ahead of the clock.", ""),
    "certificate_days_left": ("Days until the first certificate of a kind ends; below 0 it has ended.", "kind"),
    "certificates": ("Certificates of models in each standing.", "standing"),
    "audits_waiting": ("Blinded reads that wait for an answer.", ""),
    "drift_psi": ("Population stability index, the highest over all certificates.", "gauge"),
    "drift_martingale": ("Evidence of drift, the highest over all certificates.", "gauge"),
    "service_restarts": ("How often systemd started a service again since its unit was loaded.", "service"),
    "service_watchdog": ("Whether a service's last end was its watchdog's doing.", "service"),
    "alarm": ("Whether an alarm of this code stands.", "code"),
}
ALARM_CODES = (
    *("not-enrolled", "disk-low", "verdict-overdue", "centre-silent", "spool-full", "spool-filling", "spool-shed"),
    *("case-refused", "part-damaged", "scanner-silent", "model-silent"),
    *("target-away", "target-unknown", "result-waiting", "line-gone", "uplink-silent"),
    *("clock-behind", "page-certificate", "line-certificate", "watch-revoked", "watch-warned", "watch-unanswered"),
    *("service-watchdog", "updates-stale", "updates-refused", "release-failed", "release-waits"),
)
STANDINGS = {"in force": "", "warned": "watch-warned", "unanswered": "watch-unanswered", "taken away": "watch-revoked"}
assert set(ALARM_CODES) <= set(CATALOGUE), "an alarm's code is in the catalogue"


@dataclass(frozen=True, slots=True)
class Around:
    """What stands in no ledger, or in the watch's. certificates: documents of watching.certificate."""

    disk_free_bytes: int
    clock: bool | None
    certificates: tuple[dict[str, Any], ...] = ()
    units: tuple[Unit, ...] = ()
    today: date = date.max


def exposition(now: Standing, around: Around) -> bytes:
    """The text format of Prometheus."""
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(f"{PREFIX}_{name}", said, [label] if label else [], registry=registry)
        for name, (said, label) in GAUGES.items()
    }
    for state in STATES:
        gauges["studies"].labels(state).set(now.studies.get(state, 0))
    for wire_state in WIRE_STATES:
        gauges["cases"].labels(wire_state).set(now.cases.get(wire_state, 0))
    for urgency in URGENCIES:
        queue = now.condition.queues.get(urgency, Queue())
        gauges["cases_waiting"].labels(urgency).set(queue.waiting)
        gauges["cases_unanswered"].labels(urgency).set(queue.unanswered)
        gauges["cases_overdue"].labels(urgency).set(queue.overdue)
        gauges["queue_oldest_seconds"].labels(urgency).set(queue.oldest_s)
    gauges["cases_shed"].set(now.condition.shed)
    gauges["spool_bytes"].set(now.condition.spool_bytes)
    gauges["spool_bytes_max"].set(now.condition.spool_bytes_max)
    gauges["centre_heard_seconds"].set(-1 if now.condition.heard_s is None else now.condition.heard_s)
    gauges["enrolled"].set(now.condition.enrolled)
    gauges["disk_free_bytes"].set(around.disk_free_bytes)
    gauges["results_waiting"].set(now.condition.results_waiting)
    gauges["results_oldest_seconds"].set(now.condition.results_oldest_s)
    for target in now.condition.targets:
        if target.since_s is not None:
            gauges["target_away_seconds"].labels(target.name).set(target.since_s)
    for silent in now.condition.silent:
        gauges["source_silent_seconds"].labels(silent.source).set(silent.since_s)
    _machine(gauges, now, around)
    _watch(gauges, around)
    standing_now = {alarm.code for alarm in now.alarms}
    standing_now |= {"service-watchdog" for unit in around.units if unit.result == "watchdog"}
    standing_now |= {STANDINGS[each["standing"]] for each in around.certificates}
    for code in ALARM_CODES:
        gauges["alarm"].labels(code).set(code in standing_now)
    found: bytes = generate_latest(registry)
    return found


def _machine(gauges: dict[str, Gauge], now: Standing, around: Around) -> None:
    """Clock, certificates that end, and what systemd says of the services."""
    gauges["clock_synchronised"].set(-1 if around.clock is None else around.clock)
    gauges["clock_ahead_seconds"].set(now.condition.clock_ahead_s)
    days = {"page": now.condition.page_days, "line": now.condition.line_days}
    ends = [each["expires"] for each in around.certificates if each["expires"] and each["standing"] != "taken away"]
    days["model"] = min(((date.fromisoformat(end) - around.today).days for end in ends), default=None)
    for kind, left in days.items():
        if left is not None:
            gauges["certificate_days_left"].labels(kind).set(left)
    for unit in around.units:
        gauges["service_restarts"].labels(unit.service).set(unit.restarts)
        gauges["service_watchdog"].labels(unit.service).set(unit.result == "watchdog")


def _watch(gauges: dict[str, Gauge], around: Around) -> None:
    """Standing, audits and drift of the models' certificates."""
    for standing_word in STANDINGS:
        count = sum(each["standing"] == standing_word for each in around.certificates)
        gauges["certificates"].labels(standing_word).set(count)
    gauges["audits_waiting"].set(sum(each["audits"]["waiting"] for each in around.certificates))
    for metric, field in (("drift_psi", "psi"), ("drift_martingale", "martingale")):
        highest: dict[str, float] = {}
        for each in around.certificates:
            for name, told in each["gauges"].items():
                if told[field] is not None:
                    highest[name] = max(highest.get(name, 0.0), float(told[field]))
        for name, value in highest.items():
            gauges[metric].labels(name).set(value)


def show(config: Config, places: Places, textfile: Path | None) -> int:
    """Prints the metrics, or puts them whole under a name for the node exporter's textfile collector."""
    around = Around(
        disk_free_bytes=archive.free_bytes(places.root if places.root.exists() else Path("/")),
        clock=clock.synchronised(),
        certificates=tuple(watching.certificates(config, places, time.time())),
        units=tuple(units.units(SERVICES)),
        today=datetime.now(UTC).date(),
    )
    text = exposition(standing(config, places), around)
    if textfile is None:
        print(text.decode(), end="")
    else:
        archive.put(textfile, text)
    return 0


def page() -> str:
    """docs/metrics.md: every name, as it is exposed."""
    lines = [
        "# Metrics",
        "",
        "Printed by `appliance.cli.metrics`; do not edit.",
        "",
        "`appliance metrics` prints them; called by a timer, `appliance metrics --textfile FILE` hands them to the",
        "textfile collector of Prometheus' node exporter, whole or not at all. Nothing in them tells of a patient.",
        "",
        "| name | label | what |",
        "|---|---|---|",
    ]
    lines += [f"| `{PREFIX}_{name}` | {label} | {said} |" for name, (said, label) in GAUGES.items()]
    lines += ["", "Codes of `appliance_alarm`, with what to do: [errors](errors.md).", ""]
    lines += [f"- `{code}`" for code in ALARM_CODES]
    return "\n".join(lines) + "\n"
