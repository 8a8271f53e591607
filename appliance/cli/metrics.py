"""`appliance metrics`: how it stands as Prometheus reads it, to standard output or into a textfile collector's folder.

Numbers only, under names that end in their unit; the labels are words of ours (a state, an urgency, a code), never
anything of a patient, a person or a place.
"""

from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from appliance.cli.standing import Standing, standing
from appliance.config import Config, Places
from appliance.core.alarms import Queue
from appliance.core.document import URGENCIES
from appliance.core.lifecycle import STATES, WIRE_STATES
from appliance.errors import CATALOGUE
from appliance.world import archive

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
    "alarm": ("Whether an alarm of this code stands.", "code"),
}
ALARM_CODES = (
    *("not-enrolled", "disk-low", "verdict-overdue", "centre-silent", "spool-full", "spool-filling", "spool-shed"),
    *("case-refused", "part-damaged", "scanner-silent", "model-silent"),
    *("target-away", "target-unknown", "result-waiting"),
)
assert set(ALARM_CODES) <= set(CATALOGUE), "an alarm's code is in the catalogue"


def exposition(now: Standing, disk_free_bytes: int) -> bytes:
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
    gauges["disk_free_bytes"].set(disk_free_bytes)
    gauges["results_waiting"].set(now.condition.results_waiting)
    gauges["results_oldest_seconds"].set(now.condition.results_oldest_s)
    for target in now.condition.targets:
        if target.since_s is not None:
            gauges["target_away_seconds"].labels(target.name).set(target.since_s)
    for silent in now.condition.silent:
        gauges["source_silent_seconds"].labels(silent.source).set(silent.since_s)
    standing_now = {alarm.code for alarm in now.alarms}
    for code in ALARM_CODES:
        gauges["alarm"].labels(code).set(code in standing_now)
    found: bytes = generate_latest(registry)
    return found


def show(config: Config, places: Places, textfile: Path | None) -> int:
    """Prints the metrics, or puts them whole under a name for the node exporter's textfile collector."""
    free = archive.free_bytes(places.root if places.root.exists() else Path("/"))
    text = exposition(standing(config, places), free)
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
