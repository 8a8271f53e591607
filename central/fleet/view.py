"""How every appliance stands, as plain values: the only thing that page, metrics and JSON are made from.

Taken from the store are names of devices, times, counts and the last status of each; no table that holds a case's
document, a verdict or a message put aside is read but to be counted. Every word that comes out is one of ours, the name
of an enrolled device, a model's title, a version or a digest: what else an appliance might say is counted, not shown.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from sqlalchemy import Connection

from appliance.core.bulletin import Bulletin
from appliance.core.document import URGENCIES, decode
from appliance.core.messages import Status
from appliance.errors import CATALOGUE, Quarantined
from central.balanced import balance_now
from central.overview import WORDS
from central.registry import DEVICE_ID
from central.store import lives, looking
from central.store.leases import clock

PRODUCT = re.compile(r"edge-diagnostic-appliance/([0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}(?:[a-z0-9.+-]{0,20}))")
SILENT_PERIODS_S = 900.0  # by which a bulletin may be older than the status that brings it
QUEUE_OLD_S = 3600.0
LINE_DAYS_MIN = 14.0
DAY_S = 86_400.0

Level = Literal["alarm", "silent", "warning", "well"]
LEVELS: tuple[Level, ...] = get_args(Level)  # who needs a person first
Order = Literal["need", "queue", "name", "version"]
ORDERS: tuple[Order, ...] = get_args(Order)
# What the centre itself finds, in the words of the page; of the appliance's own alarms the catalogue has the words.
FOUND: Mapping[str, str] = {
    "silent": "nothing heard for longer than three statuses",
    "never-heard": "enrolled and never heard",
    "line-broke": "the broker says that its line broke",
    "triage-silent": "triage there has said nothing of late: is it running?",
    "queue-old": "a case waits there for more than an hour",
    "line-thin": "its line is thin: until it is well, pictures go of critical cases only",
    "line-ends": "the certificate of its line ends within two weeks",
    "updates-ended": "its list of updates has ended",
    "not-enrolled": "revoked, and heard a short while ago",
    "not-understood": "its last status is of a version that this centre does not read",
}
GRAVE = frozenset({"silent", "never-heard"})


def fleet_now(c: Connection, names: Collection[str] | None, at: float) -> dict[str, Any]:
    """Everything that may be shown. names: of the devices that are enrolled; None: not known."""
    now = clock(c, at)
    rows = {row.device_id: row for row in lives.devices_heard(c)}
    every = sorted(rows.keys() | set(names or ()))
    shown = [name for name in every if DEVICE_ID.fullmatch(name)]
    balance, thin = balance_now(c, now)
    devices = [_device(name, rows.get(name), names, now, thin=name in thin) for name in shown]
    former = [each for each in devices if each["enrolled"] is False and each["life"] != "alive"]
    devices = [each for each in devices if each not in former]
    counted = looking.counts(c)
    return {
        "at": int(now),
        "devices": in_order(devices, "need"),
        "former": len(former),
        "not_shown": len(every) - len(shown),
        "lives": {life: sum(each["life"] == life for each in devices) for life in lives.LIVES},
        "levels": {level: sum(each["level"] == level for each in devices) for level in LEVELS},
        "versions": dict(sorted(Counter(each["version"] or "not said" for each in devices).items())),
        "balance": balance,
        "centre": {word: counted[word] for word in WORDS if word in counted},
    }


def in_order(devices: Sequence[Mapping[str, Any]], order: Order) -> list[Any]:
    """By need: alarms, then who is silent, then warnings; within each the oldest queue first."""
    keys: Mapping[Order, Any] = {
        "need": lambda each: (LEVELS.index(each["level"]), -(each["oldest_s"] or 0), each["device"]),
        "queue": lambda each: (-(each["oldest_s"] or 0), each["device"]),
        "name": lambda each: each["device"],
        "version": lambda each: (each["version"] or "", each["device"]),
    }
    return sorted(devices, key=keys[order])


def _device(name: str, row: Any, names: Collection[str] | None, now: float, *, thin: bool) -> dict[str, Any]:
    lived_at = None if row is None else row.lived_at
    life = lives.standing_of(lived_at, None if row is None else row.gone_at, now)
    found = {"silent": {"silent"}, "never": {"never-heard"}, "away": {"line-broke"}}.get(life, set())
    found |= {"line-thin"} if thin else set()
    if names is not None and name not in names:
        found |= {"not-enrolled"}
    said = None
    if lived_at is not None:
        try:
            said = decode(Status, row.body)
        except Quarantined:
            found |= {"not-understood"}
    told = _said(said, found, now)
    levels = {each["severity"] for each in told["alarms"]}
    level = "alarm" if "alarm" in levels else "silent" if found & GRAVE else "warning"
    quiet = not found and not levels - {"notice"} and not told["alarms_unknown"]
    return {
        "device": name,
        "level": "well" if quiet else level,
        "life": life,
        "found": [code for code in FOUND if code in found],
        "enrolled": None if names is None else name in names,
        "status_ago_s": _ago(lived_at, now),
        "heard_ago_s": _ago(None if row is None else row.heard_at, now),
        **told,
    }


def _said(said: Status | None, found: set[str], now: float) -> dict[str, Any]:
    """What a status says; None for each thing that it does not. Adds to `found`."""
    version = None if said is None else PRODUCT.fullmatch(said.product)
    told: dict[str, Any] = {
        "version": version and version[1],
        "waiting": None if said is None else {urgency: getattr(said.waiting, urgency) for urgency in URGENCIES},
        "oldest_s": None if said is None else said.oldest_s,
        "free_bytes": None if said is None else said.free_bytes,
        "line_days": None,
    }
    if said is not None and said.oldest_s > QUEUE_OLD_S:
        found.add("queue-old")
    if said is not None and said.line_ends is not None:
        told["line_days"] = int((said.line_ends - now) // DAY_S)
        if told["line_days"] < LINE_DAYS_MIN:
            found.add("line-ends")
    bulletin = None if said is None else said.bulletin
    if said is not None and bulletin is not None and said.said_at - bulletin.made_at > SILENT_PERIODS_S:
        found.add("triage-silent")
    return {**told, **_bulletin(bulletin, found, now)}


def _bulletin(bulletin: Bulletin | None, found: set[str], now: float) -> dict[str, Any]:
    if bulletin is None:
        nothing = dict.fromkeys(("day", "models", "policy", "updates"))
        return {"bulletin": False, "alarms": [], "alarms_unknown": 0, **nothing}
    known = {code: severity for code, severity in bulletin.alarms.items() if code in CATALOGUE}
    updates = bulletin.updates
    if updates is not None and updates.expires is not None and updates.expires < now:
        found.add("updates-ended")
    return {
        "bulletin": True,
        "alarms": [{"code": code, "severity": severity} for code, severity in sorted(known.items())],
        "alarms_unknown": len(bulletin.alarms) - len(known),
        "day": bulletin.day.model_dump(),
        "models": [
            {
                "title": each.title,
                "sha256": each.sha256[:16],
                "part": each.part,
                "certificates": [digest[:16] for digest in each.certificates],
            }
            for each in bulletin.models
        ],
        "policy": bulletin.policy,
        "updates": None
        if updates is None
        else {
            "number": updates.number,
            "days_left": None if updates.expires is None else int((updates.expires - now) // DAY_S),
            "code": None if updates.code is None else updates.code if updates.code in CATALOGUE else "unknown-code",
            **{state: getattr(updates, state) for state in ("held", "awaited", "refused", "left", "withdrawn")},
        },
    }


def _ago(at: float | None, now: float) -> int | None:
    return None if at is None else int(max(now - at, 0.0))
