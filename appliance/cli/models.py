"""`appliance models …`: packages made, checked, signed, listed, and orders about who decides.

It makes and copies files, and files orders for triage; it never changes what stands by itself. Orders go into the
clinicians' desk under the name of the system's user and are obeyed by triage with its next step.
"""

import argparse
import json
import os
import secrets
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from appliance.cli import model_check, model_template, updates
from appliance.config import Config, Places
from appliance.core.command import signed_command
from appliance.core.document import encode
from appliance.core.package import Package
from appliance.core.promotion import WAITS
from appliance.core.roles import ORDER_KINDS, Order, Roles, roles, why_malformed
from appliance.errors import Misconfigured
from appliance.world import desk, ledger, models, sqlite
from appliance.world.inference import Bench
from appliance.world.ledger import promotion
from appliance.world.models import making


def run(config: Config, told: argparse.Namespace) -> int:
    """Runs one inner verb; status 1 where something is to be mended or refused."""
    places, trusted = Places(config.state.folder), config.triage.trusted_keys
    match told.what:
        case "list" | "verify":
            return show(config, places, verify=told.what == "verify", as_json=told.json)
        case "new":
            folder = model_template.new(told.folder, datetime.now(UTC).date())
            print(f"{folder}: begun; README.md in it says what to do")
        case "check":
            return _check(told.folder, trusted, renew_golden=told.golden, as_json=told.json)
        case "key":
            public = making.make_key(told.file)
            print(f"{told.file}: the private half, for you alone; {public}: into the folder of trusted keys")
        case "sign":
            making.sign_package(told.folder, making.read_key(told.key))
            print(f"{told.folder}: signed")
        case "install":
            print(_install(config, places, told.source))
        case "order":
            print(_order_to_send(told))
        case _:
            return _order(places, Order(_kind(told.what), told.model, told.share))
    return 0


def show(config: Config, places: Places, *, verify: bool, as_json: bool) -> int:
    """Every package with its role; `verify` also runs the golden films. Status 1 on any damage."""
    folders = [config.triage.model_folder, *places.beside]
    packages, damaged = models.load_packages(folders, config.triage.trusted_keys, *places.site_certificates)
    with Bench(packages if verify else []) as bench:
        faults = dict(bench.faults)
    standing, beside = _roles(config, places, packages)
    today = datetime.now(UTC).date()
    rows = []
    for package in packages:
        code = faults[package.title].code if package.title in faults else ""
        row = {**_row(package, standing, today), "damage": code, "verified": verify}
        rows.append({**row, "beside": beside.get(package.title)})
    rows += [
        {"model": f"{each.folder.parent.name}/{each.folder.name}", "damage": each.fault.code, "place": each.fault.place}
        | {"sites": [], "verified": verify}
        for each in damaged
    ]
    rows += [
        {"model": each.title, "role": "generator", "damage": "", "sites": [], "certificates": [], "verified": verify}
        for each in models.generators(folders, config.triage.trusted_keys)
    ]
    listed = {row["model"] for row in rows}
    rows += [row for row in _updates(places) if row["model"] not in listed]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        print("\n".join(_line(row) for row in rows) or f"no model package in {config.triage.model_folder}")
    return 1 if any(row["damage"] for row in rows) else 0


def _row(package: Package, standing: Roles, today: date) -> dict[str, Any]:
    manifest, name = package.model.manifest, package.model.manifest.name
    role = "decides" if package.title in standing.deciding else "installed"
    role = f"shadow of {standing.shadows[package.title]:.0%}" if package.title in standing.shadows else role
    role = "stopped" if {package.title, name} & standing.stopped else role
    found = [
        {"name": each.name, "site": each.site, "days_left": (each.expires - today).days, "digest": each.digest}
        for each in package.model.certificates
    ]
    return {
        "model": package.title,
        "role": role,
        "weights": manifest.weights,
        "sha256": package.model.sha256,
        "sites": sorted({each.site for each in package.model.certificates}),
        "certificates": found,
    }


def _updates(places: Places) -> list[dict[str, Any]]:
    """Packages that came, or were to come, with the updates and do not lie here."""
    told = [each for each in updates.standing(places)["updates"] if each["kind"] == "model"]
    return [
        {"model": each["title"] or each["path"], "role": "update", "update": each["state"], "sites": []}
        | {"damage": each["code"] if each["state"] == "refused" else "", "why": each["code"]}
        for each in told
    ]


def _line(row: dict[str, Any]) -> str:
    if row.get("role") == "update":
        return f"{row['model']}  {row['damage'] or 'ok'}  update {row['update']}  {row['why']}".rstrip()
    if "role" not in row:
        return f"{row['model']}  {row['damage']}  {row['place']}"
    if row["role"] == "generator":
        return f"{row['model']}  ok  generator: it draws films and decides nothing"
    told = [f"{each['site']} {_days(each['days_left'])}" for each in row["certificates"]]
    random = "  RANDOM WEIGHTS: it only escalates" if row["weights"] == "random" else ""
    words = f"{row['model']}  {row['damage'] or 'ok'}  {row['role']}  {row['sha256'][:16]}"
    return f"{words}  certificates: {', '.join(told) or 'none'}{random}{_beside(row['beside'])}"


def _beside(told: dict[str, Any] | None) -> str:
    """What a shadow came to, and what holds it up."""
    if told is None:
        return ""
    seen = "  beside {present}: {seen} studies, {silent} without an answer, {decided} decided (it: {present_decided})"
    seen += (
        ", of {flagged} flagged it would clear {crossed}, of {read} read as the finding {misses} (it: {present_misses})"
    )
    codes = told.get("waits", [told["code"]])
    why = f"NOT OFFERED: {'; '.join(WAITS.get(each, each) for each in codes)}"
    why = why if told["code"] else "OFFERED: it can be activated"
    return f"{seen.format(**told)}\n    {why}".replace("  beside", "\n    beside", 1)


def _days(left: int) -> str:
    return f"({left} days left)" if left >= 0 else "(EXPIRED)"


def _roles(config: Config, places: Places, packages: list[Package]) -> tuple[Roles, dict[str, dict[str, Any]]]:
    """What stands by triage's own book, or would stand where it has none yet; and by title what shadows came to."""
    shipped, _ = models.load_packages([config.triage.model_folder], config.triage.trusted_keys)
    given: list[Order] = []
    beside: dict[str, dict[str, Any]] = {}
    if places.studies_db.exists():
        engine = sqlite.open_reader(places.studies_db)
        with engine.connect() as c:
            given = ledger.roles.done(c) if ledger.roles.is_made(c) else []
            for row in promotion.everything(c):
                beside[row.title] = {**row.figures, "code": row.code, "present": row.present or "nobody"}
        engine.dispose()
    return roles(given, [each.title for each in shipped], [each.title for each in packages]), beside


def _check(folder: Path, trusted: Path, *, renew_golden: bool, as_json: bool) -> int:
    found = model_check.check(folder, trusted, renew_golden=renew_golden)
    if as_json:
        print(json.dumps({"mistakes": found.mistakes, "notes": found.notes}, ensure_ascii=False))
    else:
        print("\n".join([*found.mistakes, *(f"({note})" for note in found.notes)]))
    return 1 if found.mistakes else 0


def _install(config: Config, places: Places, source: Path) -> str:
    """Copies what is signed by a trusted key; raises Misconfigured where it is not."""
    trusted, _ = models.trusted_keys(config.triage.trusted_keys)
    _state(places)
    if source.is_dir():
        title = making.install(source.absolute(), places.models, trusted)
        return f"{title}: installed; it decides when it is activated: appliance models activate {title}"
    folders = [config.triage.model_folder, *places.beside]
    packages, _ = models.load_packages(folders, config.triage.trusted_keys)
    package = making.package_of(source, packages, trusted)
    path = making.install_certificate(source, package.model.manifest, places.certificates)
    return f"{path.name[:16]}: laid beside {package.title}; it counts from its next activation or start of triage"


def _kind(what: str) -> Any:
    kind = f"model-{what}"
    assert kind in ORDER_KINDS
    return kind


def _order(places: Places, given: Order) -> int:
    """Files an order for triage; 1 where it is none that could be given."""
    wrong = why_malformed(given)
    if wrong is not None:
        print(f"{given.subject}: {wrong}", file=sys.stderr)
        return 1
    _state(places)
    places.review.mkdir(exist_ok=True)
    engine = sqlite.open_writer(places.review_db, desk.METADATA)
    with engine.begin() as c:
        desk.order(c, given, nonce=secrets.token_hex(16), user=f"command-line:{os.getuid()}", at=time.time())
    engine.dispose()
    print(f"{given.subject}: ordered; triage obeys within a second, and models list shows it")
    return 0


def _order_to_send(told: argparse.Namespace) -> str:
    given = Order(_kind(told.kind), told.model, told.share)
    wrong = why_malformed(given)
    if wrong is not None:
        raise Misconfigured("model-order", wrong)
    private, nonce = making.read_key(told.key), secrets.token_hex(16)
    made = signed_command(given, device=told.device, issued_at=int(time.time()), nonce=nonce, private=private)
    return encode(made).decode()


def _state(places: Places) -> None:
    if not places.root.is_dir():
        raise Misconfigured("state-folder", str(places.root))
