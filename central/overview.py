"""`central status`: who is alive, who serves what, and what waits. It reads, in one transaction, and writes nothing.

It may be asked at any time while workers run. No document of a case is read, and nothing it prints is about a patient.
"""

import argparse
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from appliance.core.document import decode
from appliance.core.messages import Status
from appliance.core.transfer import SEALED_PART_BYTES
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.world.sqlite import open_reader
from central import store
from central.balanced import balance_lines, balance_now
from central.registry import enrolled
from central.store import lives, looking
from central.store.leases import clock

LISTED_MAX = 200  # rows of each list but the devices; the numbers above the lists are of all
SHOWN_MAX = 50  # rows of each list for people: those that want looking at come first
WORDS = {
    "received": "cases waiting",
    "asked": "cases being asked about",
    "answered": "cases with a verdict",
    "refused": "cases refused",
    "ok": "verdicts that passed every check",
    "needs_human": "verdicts that only say: a person must read this",
    "verdicts_untaken": "verdicts the edge has not taken yet",
    "transfers_open": "transfers under way",
    "series_open": "series asked for that are not here",
    "corrections": "studies of which signers said what was right",
    "put_aside": "messages put aside for a person",
    "series_parts_dropped": "parts of series dropped for want of disk",
    "transfers_lost": "transfers refused because our disk lost them",
}
HEADS = {
    "devices": (
        "device",
        "life",
        "status ago",
        "heard ago",
        "critical/urgent/routine waiting",
        "oldest",
        "free",
        "runs",
    ),
    "shares": ("share", "held by", "lease left"),
    "workers": ("worker", "sign of life left"),
    "transfers": ("device", "transfer", "tier", "parts", "age", "untouched"),
    "series": ("device", "case", "asked ago"),
    "verdicts": ("device", "case", "rev", "status", "waits"),
}


def run(options: argparse.Namespace) -> int:
    """Prints it. Raises Misconfigured: nothing is there; Unavailable("store-away")."""
    path: Path = options.state / "central.db"
    if not options.store and not path.exists():
        raise Misconfigured("state-folder", "--state")
    names = enrolled(options.keys) if options.keys else None
    engine: Engine = store.open_server(options.store) if options.store else open_reader(path)
    try:
        with store.transaction(engine) as c:
            if not looking.is_made(c):
                raise Unavailable("store-away")
            found = overview(c, names, time.time())
    finally:
        engine.dispose()
    print(json.dumps(found) if options.json else "\n".join(_lines(found)))
    return 0


def overview(c: Connection, names: Collection[str] | None, at: float) -> dict[str, Any]:
    """Everything that `--json` prints: plain numbers by name, then lists of rows.

    names  of the devices that are enrolled, to be listed though they never said anything; None: not known
    at     the caller's clock, for SQLite; PostgreSQL has its own
    """
    now = clock(c, at)
    found: dict[str, Any] = looking.counts(c)
    found["series_parts_dropped"], dropped_at = lives.tally(c, "series-parts-dropped")
    found["series_parts_dropped_ago_s"] = _ago(dropped_at, now)
    found["transfers_lost"], _ = lives.tally(c, "spool-damaged")
    found["devices"] = _devices(c, names, now)
    found["balance"], _ = balance_now(c, now)
    found["shares"] = [
        {"share": row.name, "worker": row.owner if row.until >= now else "", "left_s": _left(row.until, now)}
        for row in looking.shares_known(c, LISTED_MAX)
    ]
    found["workers"] = [
        {"worker": row.name, "left_s": _left(row.until, now)} for row in looking.workers_known(c, LISTED_MAX)
    ]
    found["transfers"] = [
        {
            "device": row.device_id,
            "transfer": row.transfer_id,
            "tier": row.tier,
            "have": int(row.have, 16).bit_count(),
            "parts": -(-row.sealed_bytes // SEALED_PART_BYTES),
            "age_s": _ago(row.opened_at, now),
            "untouched_s": _ago(row.touched_at, now),
        }
        for row in looking.transfers_under_way(c, LISTED_MAX)
    ]
    found["series"] = [
        {"device": row.device_id, "case": row.case_id, "asked_s": _ago(row.asked_at, now)}
        for row in looking.series_waited_for(c, LISTED_MAX)
    ]
    found["verdicts"] = [
        {
            "device": row.device_id,
            "case": row.case_id,
            "rev": row.rev,
            "status": row.status,
            "age_s": _ago(row.created_at, now),
        }
        for row in looking.verdicts_waiting(c, LISTED_MAX)
    ]
    return found


def _devices(c: Connection, names: Collection[str] | None, now: float) -> list[dict[str, Any]]:
    """Every device that is enrolled or was ever heard; who wants looking at comes first."""
    rows = {row.device_id: row for row in lives.devices_heard(c)}
    found = [_device(name, rows.get(name), now) for name in sorted(rows.keys() | set(names or ()))]
    if names is not None:
        for device in found:
            device["enrolled"] = device["device"] in names
    return sorted(found, key=lambda device: lives.LIVES.index(device["life"]))


def _device(name: str, row: Any, now: float) -> dict[str, Any]:
    lived_at = row.lived_at if row is not None else None
    device: dict[str, Any] = {
        "device": name,
        "life": lives.standing_of(lived_at, row.gone_at if row is not None else None, now),
        "status_ago_s": _ago(lived_at, now),
        "heard_ago_s": _ago(row.heard_at, now) if row is not None else None,
    }
    if lived_at is not None:
        device["held_back_s"] = round(row.status_at - lived_at, 1)  # or its clock is so far behind
        try:
            said = decode(Status, row.body)
        except Quarantined:  # filed by a worker of another version
            return device
        device |= {
            "waiting": said.waiting.model_dump(),
            "oldest_s": said.oldest_s,
            "free_bytes": said.free_bytes,
            "product": said.product,
        }
    return device


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else round(max(now - at, 0.0), 1)


def _left(until: float, now: float) -> float:
    return round(max(until - now, 0.0), 1)


# For people.


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for name, words in WORDS.items():
        yield f"{found[name]:>8}  {words}"
    if found["series_parts_dropped_ago_s"] is not None:
        yield f"{'':>8}  the last of them dropped {length_of_time(found['series_parts_dropped_ago_s'])} ago"
    yield from balance_lines(found["balance"])
    rows: dict[str, list[Sequence[str]]] = {
        "devices": [_device_row(each) for each in found["devices"]],
        "shares": [
            (each["share"], each["worker"] or "nobody", length_of_time(each["left_s"])) for each in found["shares"]
        ],
        "workers": [(each["worker"], length_of_time(each["left_s"])) for each in found["workers"]],
        "transfers": [
            (
                each["device"],
                each["transfer"],
                str(each["tier"]),
                f"{each['have']}/{each['parts']}",
                length_of_time(each["age_s"]),
                length_of_time(each["untouched_s"]),
            )
            for each in found["transfers"]
        ],
        "series": [(each["device"], each["case"], length_of_time(each["asked_s"])) for each in found["series"]],
        "verdicts": [
            (each["device"], each["case"], str(each["rev"]), each["status"], length_of_time(each["age_s"]))
            for each in found["verdicts"]
        ],
    }
    for name, told in rows.items():
        yield from _table(name, told)


def _device_row(device: Mapping[str, Any]) -> Sequence[str]:
    waiting, free = device.get("waiting"), device.get("free_bytes")
    queue = "-" if waiting is None else "/".join(str(waiting[word]) for word in ("critical", "urgent", "routine"))
    return (
        device["device"],
        device["life"] + ("" if device.get("enrolled", True) else " (not enrolled)"),
        length_of_time(device["status_ago_s"]) + (" (said late)" if device.get("held_back_s") else ""),
        length_of_time(device["heard_ago_s"]),
        queue,
        length_of_time(device.get("oldest_s")),
        "-" if free is None else f"{free / 2**20:.0f} MiB",
        device.get("product", "-"),
    )


def _table(name: str, rows: list[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    shown = [HEADS[name], *rows[:SHOWN_MAX]]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    yield f"\n{name}"
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if len(rows) > SHOWN_MAX:
        yield f"and {len(rows) - SHOWN_MAX} more; --json lists them"


def length_of_time(seconds: float | None) -> str:
    """A length of time in two units at most: 4 s, 12 min, 3 h 20 min, 5 d 2 h."""
    if seconds is None:
        return "-"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
