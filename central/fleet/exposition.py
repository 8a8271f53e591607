"""How every appliance stands, as Prometheus reads it: numbers, under labels that central.fleet.view lets out."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from central.store.lives import LIVES

PREFIX = "central"
# name: (what it counts, labels)
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "appliances": ("Appliances by how they stand.", ("life",)),
    "appliances_former": ("Revoked and silent ones, which nothing else here counts.", ()),
    "appliances_not_shown": ("Names on file that no appliance can have.", ()),
    "count": ("Cases, verdicts and what waits at the centre.", ("what",)),
    "balance_rung": ("How far pictures are taken away of every case while the centre is pressed; 0: not.", ()),
    "balance_thin_lines": ("Appliances whose line counts as thin.", ()),
    "balance_policy": ("Number of the policy that should be in force by the balance; 0: none.", ()),
    "balance_look_seconds": ("Age of its last look; absent where it never ran.", ()),
    "appliance_life": ("1 for how it stands, 0 for the others.", ("device", "life")),
    "appliance_needs_person": ("1 where an alarm stands there, or it is silent or was never heard.", ("device",)),
    "appliance_status_seconds": ("Age of its last status; absent before the first.", ("device",)),
    "appliance_finding": ("What the centre itself finds amiss.", ("device", "finding")),
    "appliance_alarm": ("Alarms that stand there by its own word.", ("device", "code", "severity")),
    "appliance_alarms_unknown": ("Alarms with codes that this centre does not know.", ("device",)),
    "appliance_waiting": ("Cases there that the centre does not hold.", ("device", "urgency")),
    "appliance_queue_oldest_seconds": ("Age of the oldest of them.", ("device",)),
    "appliance_spool_free_bytes": ("What its spool still takes.", ("device",)),
    "appliance_line_days": ("Days until the certificate of its line ends.", ("device",)),
    "appliance_studies_day": ("Studies that came there in the last 24 hours.", ("device", "lane")),
    "appliance_version": ("1 under the edition that runs there.", ("device", "version")),
    "appliance_policy": ("Number of the policy in force there; 0: none.", ("device",)),
    "appliance_model": ("1 for each model there.", ("device", "title", "sha256", "part")),
    "appliance_certificate": ("1 for each certificate that may open a lane there.", ("device", "title", "certificate")),
    "appliance_updates": ("Targets of updates there by state.", ("device", "state")),
    "appliance_updates_days": ("Days until its list of updates ends.", ("device",)),
}


def exposition(now: Mapping[str, Any]) -> bytes:
    """The text format; what an appliance does not say is absent, never 0."""
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(f"{PREFIX}_{name}", said, labels, registry=registry) for name, (said, labels) in GAUGES.items()
    }
    for life, count in now["lives"].items():
        gauges["appliances"].labels(life).set(count)
    gauges["appliances_former"].set(now["former"])
    gauges["appliances_not_shown"].set(now["not_shown"])
    for what, count in now["centre"].items():
        gauges["count"].labels(what).set(count)
    for gauge, field in (("rung", "rung"), ("thin_lines", "thin"), ("policy", "policy"), ("look_seconds", "looked_s")):
        if now["balance"] is None:
            registry.unregister(gauges[f"balance_{gauge}"])
        else:
            gauges[f"balance_{gauge}"].set(now["balance"][field])
    for each in now["devices"]:
        _device(gauges, each)
        if each["bulletin"]:
            _bulletin(gauges, each)
    found: bytes = generate_latest(registry)
    return found


def _device(gauges: Mapping[str, Gauge], each: Mapping[str, Any]) -> None:
    name = each["device"]
    for life in LIVES:
        gauges["appliance_life"].labels(name, life).set(each["life"] == life)
    gauges["appliance_needs_person"].labels(name).set(each["level"] in ("alarm", "silent"))
    for finding in each["found"]:
        gauges["appliance_finding"].labels(name, finding).set(1)
    for gauge, field in (
        ("status_seconds", "status_ago_s"),
        ("queue_oldest_seconds", "oldest_s"),
        ("spool_free_bytes", "free_bytes"),
        ("line_days", "line_days"),
    ):
        if each[field] is not None:
            gauges[f"appliance_{gauge}"].labels(name).set(each[field])
    for urgency, count in (each["waiting"] or {}).items():
        gauges["appliance_waiting"].labels(name, urgency).set(count)
    if each["version"]:
        gauges["appliance_version"].labels(name, each["version"]).set(1)


def _bulletin(gauges: Mapping[str, Gauge], each: Mapping[str, Any]) -> None:
    name = each["device"]
    for alarm in each["alarms"]:
        gauges["appliance_alarm"].labels(name, alarm["code"], alarm["severity"]).set(1)
    gauges["appliance_alarms_unknown"].labels(name).set(each["alarms_unknown"])
    for lane, count in each["day"].items():
        gauges["appliance_studies_day"].labels(name, lane).set(count)
    gauges["appliance_policy"].labels(name).set(each["policy"])
    for model in each["models"]:
        gauges["appliance_model"].labels(name, model["title"], model["sha256"], model["part"]).set(1)
        for digest in model["certificates"]:
            gauges["appliance_certificate"].labels(name, model["title"], digest).set(1)
    updates = each["updates"]
    if updates is not None:
        for state in ("held", "awaited", "refused", "left", "withdrawn"):
            gauges["appliance_updates"].labels(name, state).set(updates[state])
        if updates["days_left"] is not None:
            gauges["appliance_updates_days"].labels(name).set(updates["days_left"])
