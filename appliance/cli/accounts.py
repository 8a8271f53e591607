"""`appliance users` and `appliance audit`: accounts of the review page, and its trail, from the machine's own console.

Whoever may write the page's database may do this; every act is noted as the console's. Run it as the user of the review
service, so that the files stay the service's.
"""

import argparse
import getpass
import os
import sys
import time
from typing import Any

from appliance import review
from appliance.cli.look import show
from appliance.config import Config, Places
from appliance.core.audit_export import fhir_line, syslog_line
from appliance.errors import Misconfigured
from appliance.review import members
from appliance.world import accounts, desk, sqlite


def run(places: Places, told: argparse.Namespace) -> int:
    """One verb about users; 2 where it lacks a name or a role."""
    if told.what == "list":
        return _list(places, told.json)
    if not told.name or (told.what == "role" and told.role is None):
        print(
            f"appliance users {told.what} needs a name{' and --role' if told.what == 'role' else ''}", file=sys.stderr
        )
        return 2
    by, at = _who(), time.time()
    if told.what == "add":
        return add(places, told.name, role=told.role or "reader", replace=told.replace)
    with review.opened(places) as ledgers, ledgers.pen().begin() as c:
        if told.what == "role":
            members.change_role(c, told.name, told.role, at=at, by=by)
        elif told.what == "disable":
            members.disable(c, told.name, at=at, by=by)
        elif told.what == "enable":
            members.enable(c, told.name, at=at, by=by)
        else:
            members.reset_factor(c, told.name, at=at, by=by)
    print(f"{told.name}: done")
    return 0


def add(places: Places, name: str, *, role: str = "reader", replace: bool = False) -> int:
    """The password is a line of standard input, never an argument."""
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    review.add_user(places, name, password, role=role, replace=replace, by=_who())
    print(f"{name} may sign in as {role}" if not replace else f"{name} may sign in with the new password")
    return 0


def _list(places: Places, as_json: bool) -> int:
    with review.opened(places) as ledgers, ledgers.eyes().begin() as c:
        rows = accounts.all_users(c)
    told = [
        {
            "name": row.name,
            "role": row.role,
            "second_factor": bool(row.factor),
            "by_provider": row.issuer is not None,
            "disabled": row.disabled_at is not None,
        }
        for row in rows
    ]
    show({"users": told}, as_json, [_line(each) for each in told] or ["no users yet"])
    return 0


def _line(user: dict[str, Any]) -> str:
    marks = (
        ["second factor"] * user["second_factor"]
        + ["by provider"] * user["by_provider"]
        + ["disabled"] * user["disabled"]
    )
    return f"{user['name']:<24} {user['role']:<14} {', '.join(marks)}".rstrip()


def audit(config: Config, places: Places, told: argparse.Namespace) -> int:
    """Checks the chain (1 where it is broken), or prints the whole trail for another system and notes that it did."""
    if not places.review_db.exists():
        raise Misconfigured("state-folder")
    return _check(places, told.json) if told.what == "check" else _export(config, places, told)


def _check(places: Places, as_json: bool) -> int:
    engine = sqlite.open_reader(places.review_db)
    try:
        with engine.begin() as c:
            broken, last = desk.first_broken_audit_row(c), None
            for last in desk.trail(c):  # noqa: B007 - the last row is what is shown
                pass
    finally:
        engine.dispose()
    rows, head = (0, "") if last is None else (int(last.id), last.hash)
    said = f"broken: row {broken} does not follow from the one before it, or is gone" if broken else "unbroken"
    show(
        {"unbroken": broken is None, "broken_row": broken, "rows": rows, "head": head},
        as_json,
        [f"{said}; {rows} rows", f"head {head or 'none'}"],
    )
    return 0 if broken is None else 1


def _export(config: Config, places: Places, told: argparse.Namespace) -> int:
    """One line a row. The row that notes the export is the last one of it."""
    line = {"fhir": fhir_line, "syslog": syslog_line}[told.format]
    with review.opened(places) as ledgers:
        with ledgers.pen().begin() as c:
            desk.note(c, at=time.time(), user=_who(), act="audit-exported", subject=told.format)
        with ledgers.eyes().begin() as c:
            broken = desk.first_broken_audit_row(c)
            for row in desk.trail(c, after=told.after):
                print(line(row, config.site.device_id))
    if broken is not None:
        print(f"the chain is broken at row {broken}", file=sys.stderr)
    return 0 if broken is None else 1


def _who() -> str:
    return f"command-line:{os.getuid()}"
