"""`appliance updates …`: what came down and what became of it, and a repository brought on a stick.

It believes nothing: what it brings in is laid where uplink lays it, after the same workflow, and triage verifies it
anew.
"""

import argparse
import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.config import Config, Places
from appliance.core.policy import NONE, here, taken_away
from appliance.errors import CATALOGUE, Misconfigured
from appliance.world import ledger, release, sqlite, wire
from appliance.world.wire import updates as link


def run(config: Config, places: Places, told: argparse.Namespace) -> int:
    """Runs one inner verb; status 1 where updates stand still or one was refused."""
    if told.what == "import":
        return bring(config, places, told.folder)
    return show(config, places, as_json=told.json)


def bring(config: Config, places: Places, source: Path) -> int:
    """Verifies a repository on a stick and lays it down for triage.

    raises  Misconfigured("updates-user"); as world.updates.look: what is not signed, ended, or older than what lies
            here is not taken
    """
    from appliance.world import updates as repository
    from appliance.world.updates import mirror

    if not places.root.is_dir():
        raise Misconfigured("state-folder", str(places.root))
    if places.targets.exists() and places.targets.stat().st_uid != os.geteuid():
        raise Misconfigured("updates-user")  # least of all root: the folder's owner could lay a link where it writes
    try:
        root = config.updates.root.read_bytes()[: repository.ROOT_BYTES_MAX]
    except OSError:
        raise Misconfigured("updates-root-invalid", "updates.root") from None
    with tempfile.TemporaryDirectory() as scratch:
        if (
            places.mirror / mirror.METADATA / mirror.TIMESTAMP
        ).exists():  # so that a stick of last year is seen as such
            repository.remember(Path(scratch), root, places.mirror)
        folder = repository.Folder(source)
        seen = repository.look(Path(scratch), root, f"{folder.URL}/{mirror.METADATA}/", folder)
    count = mirror.take_in(source, places.mirror, seen.offers)
    until = datetime.fromtimestamp(seen.expires, UTC)
    print(f"{source}: {count} files taken in, {len(seen.offers)} updates, to be believed until {until:%Y-%m-%d}.")
    print("Triage verifies them by itself; appliance updates list says what became of them.")
    return 0


def show(config: Config, places: Places, *, as_json: bool) -> int:
    """Every update and its state, how the repository stands, and what uplink says of the line."""
    found = standing(places, config.site.device_id)
    found["root"] = config.updates.root.is_file()
    found["releases"] = release.read().model_dump(mode="json")
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
    else:
        print("\n".join(lines(found)))
    wrong = found["verified"] is not None and found["verified"]["code"]
    wrong = wrong or release.read().last_failed is not None
    return 1 if wrong or any(each["state"] == "refused" for each in found["updates"]) else 0


def standing(places: Places, device_id: str = "") -> dict[str, Any]:
    """What the two ledgers say; nothing of it where they are not there yet.

    device_id  of this appliance, for what the policy in force says to it
    """
    found: dict[str, Any] = {"verified": None, "fetched": None, "policy": None, "updates": [], "files": []}
    if places.studies_db.exists():
        engine = sqlite.open_reader(places.studies_db)
        with engine.connect() as c:
            stands = ledger.updates.stands(c)
            rows = ledger.updates.everything(c)
            policy = ledger.updates.policy(c)
        engine.dispose()
        if policy is not NONE:
            mine = here(policy, device_id)
            found["policy"] = {"number": policy.number, "takes_away": taken_away(mine)}
        found["verified"] = None if stands is None else dict(stands._mapping)
        columns = ("path", "kind", "title", "ring", "state", "code", "installed", "at")
        found["updates"] = [{name: getattr(row, name) for name in columns} for row in rows]
    if places.link_db.exists():
        engine = sqlite.open_reader(places.link_db)
        with engine.connect() as c:
            if wire.is_made(c, wire.LINK):
                look = link.look(c)
                found["fetched"] = None if look is None else dict(look._mapping)
                found["files"] = [dict(row._mapping) for row in link.files(c)]
        engine.dispose()
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    told = []
    if not found["root"]:
        told.append("No root of updates was given (updates.root): none is taken.")
    if found["fetched"] is not None:
        look = found["fetched"]
        told.append(
            f"uplink looked {_time(look['looked_at'])}: {_said(look['code']) or 'all that is for here is here'}"
        )
    if found["verified"] is not None:
        seen = found["verified"]
        until = "" if seen["expires"] is None else f", to be believed until {_time(seen['expires'])}"
        told.append(
            f"triage verified state {seen['number']}{until}{'; now: ' if seen['code'] else ''}{_said(seen['code'])}"
        )
        told += [f"  {each}" for each in seen["roles"].split(",") if each]
    for each in found["updates"]:
        words = (each["path"], each["title"], f"ring {each['ring'] or '?'}", each["state"], _said(each["code"]))
        told.append("  ".join(words).rstrip())
    if policy := found.get("policy"):
        told.append(
            f"policy {policy['number']} is in force: {'; '.join(policy['takes_away']) or 'nothing is taken away'}"
        )
    told += _releases(found.get("releases"))
    return told or ["nothing came yet"]


def _releases(record: dict[str, Any] | None) -> list[str]:
    """What root's own run made of the versions of the appliance."""
    if record is None or not record["looked_at"]:
        return []
    told = [
        f"releases were looked at {_time(record['looked_at'])}{': ' if record['code'] else ''}{_said(record['code'])}"
    ]
    if trial := record["trial"]:
        told.append(f"  {trial['version']}  on trial: {trial['stage']}, from {trial['former']}")
    if record["waits"]:
        told.append(f"  {record['waits']}  can be installed: appliance release --install {record['waits']}")
    for each in record["failed"]:
        told.append(f"  {each['version']}  failed {_time(each['at'])}: {each['what']} {_said(each['code'])}".rstrip())
    told += [
        f"  {each['version']}  installed {_time(each['at'])}, after {each['former']}" for each in record["installed"]
    ]
    return told


def _said(code: str) -> str:
    return f"{code}: {CATALOGUE[code].text}" if code in CATALOGUE else code


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
