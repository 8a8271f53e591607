"""`appliance watch` and `appliance withdraw`: how each certificate stands, what auditing costs, and taking one away.

It reads the ledger that triage writes. A withdrawal is a row in review.db that triage obeys; nothing here gives a
certificate back.
"""

import os
import sys
import time
from typing import Any

from sqlalchemy import Connection, Row, select

from appliance import review
from appliance.cli.look import show
from appliance.config import Audit, Config, Places
from appliance.core.gauges import GAUGE_WORDS, WINDOW, gauge, psi
from appliance.core.monitor import audit_table
from appliance.world import sqlite
from appliance.world.ledger import watch

DAY_S = 86_400.0
PREFIX_MIN = 8
SHARES = (0.05, 0.25, 1.0)


def run(config: Config, places: Places, as_json: bool) -> int:
    """Every certificate in force with standing, audits and drift; status 1 where one is warned, late or taken away."""
    if not places.studies_db.exists():
        show([], as_json, ["no study was ever taken in"])
        return 0
    told = certificates(config, places, time.time())
    show(told, as_json, [line for each in told for line in _lines(each)] or ["no certificate: everything is escalated"])
    return 1 if any(each["standing"] != "in force" for each in told) else 0


def certificates(config: Config, places: Places, now: float) -> list[dict[str, Any]]:
    """Every certificate in force as a document; none before there is a ledger."""
    if not places.studies_db.exists():
        return []
    engine = sqlite.open_reader(places.studies_db)
    try:
        with engine.connect() as c:
            if not c.exec_driver_sql("PRAGMA user_version").scalar_one():
                return []
            rows = list(c.execute(select(watch.monitors).where(watch.monitors.c.present)))
            return [certificate(c, row, config.audit, now) for row in rows]
    finally:
        engine.dispose()


def certificate(c: Connection, row: Row[Any], knobs: Audit, now: float) -> dict[str, Any]:
    """One certificate as a document."""
    facts = row.facts
    answered, waiting = watch.audit_counts(c, row.certificate)
    late = watch.overdue(c, now - knobs.answer_days * DAY_S).get(row.certificate, 0)
    taken = next((each for each in watch.revoked(c) if each.certificate == row.certificate), None)
    standing = "taken away" if taken else "warned" if row.stage == "warn" else "unanswered" if late else "in force"
    gauges = {}
    for name, reference in facts["reference"].items():
        recent = watch.window(c, row.certificate, name, WINDOW)
        index = psi(reference, recent)
        gauges[name] = {
            "martingale": row.drift.get(name),
            "psi": index,
            "says": gauge(index, len(reference), len(recent)),
        }
    bound = facts["contract"]["false_omission_max"]
    table = audit_table(bound, cleared_a_day=knobs.cleared_per_day, shares=SHARES, ratios=(2.0,))
    return {
        "certificate": row.certificate,
        "name": facts["name"],
        "model": row.model,
        "standing": standing,
        "expires": str(facts.get("expires", "")),
        "because": taken.because if taken else "",
        "who": taken.who if taken else "",
        "audits": {
            "answered": answered,
            "waiting": waiting,
            "late": late,
            "misses": row.misses,
            "e_value": row.e_value,
        },
        "share": facts["audit_rate"],
        "lanes": watch.lane_counts(c, row.certificate),
        "last_flagged": watch.last_in_lane(c, row.certificate, "flagged"),
        "gauges": gauges,
        "to_detect_twice": [
            {"share": each.share, "audits": each.audits, "days": 365.25 * each.years} for each in table
        ],
    }


def _lines(told: dict[str, Any]) -> list[str]:
    audits = told["audits"]
    lines = [
        f"{told['certificate'][:16]}  {told['name']}: {told['standing']}",
        f"  audits  {audits['answered']} answered, {audits['waiting']} waiting, {audits['late']} too long, "
        f"{audits['misses']} missed; e-value {audits['e_value']:.3g}; later {100 * told['share']:.0f} % are drawn",
        "  lanes   " + (", ".join(f"{count} {lane}" for lane, count in sorted(told["lanes"].items())) or "none yet"),
    ]
    if told["because"]:
        lines.insert(1, f"  taken away by {told['who']}: {told['because']}")
    for name, each in told["gauges"].items():
        index = "-" if each["psi"] is None else f"{each['psi']:.2f}"
        lines.append(f"  drift   {name}: martingale {each['martingale']:.3g}, PSI {index}, {GAUGE_WORDS[each['says']]}")
    lines += [
        f"  cost    {100 * each['share']:.0f} % of the cleared audited: twice the promised misses are seen after about "
        f"{each['audits']} audits, {each['days']:.0f} days"
        for each in told["to_detect_twice"]
    ]
    return lines


def withdraw(places: Places, prefix: str, because: str) -> int:
    """Files that a certificate opens no lane any more; status 1 where the digest fits none, or several."""
    known: list[str] = []
    if places.studies_db.exists() and len(prefix) >= PREFIX_MIN:
        engine = sqlite.open_reader(places.studies_db)
        with engine.connect() as c:
            where = watch.monitors.c.certificate.startswith(prefix, autoescape=True)
            known = list(c.execute(select(watch.monitors.c.certificate).where(where)).scalars())
        engine.dispose()
    if len(known) != 1:
        print(f"{len(known)} certificates fit {prefix}; appliance watch lists them", file=sys.stderr)
        return 1
    review.withdraw_certificate(places, known[0], user=f"command-line:{os.getuid()}", because=because)
    print(f"{known[0][:16]} is to be taken away; triage does it before its next study")
    return 0
