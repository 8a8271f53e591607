"""`central publish …` and `central serve-updates`: a repository of updates made, changed, looked at and served."""

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from appliance.core.document import decode
from appliance.core.parcel import FILES_MAX, packed
from appliance.core.policy import Policy
from appliance.core.updates import BYTES_MAX, Kind, Terms
from appliance.errors import Misconfigured, Quarantined
from central import publish
from central.publish import announcing, serving

RENEW_BELOW_DAYS = 7


def run(told: argparse.Namespace, *, now_s: float | None = None) -> int:
    """Runs one verb; 0, or 1 where something runs out soon."""
    now = time.time() if now_s is None else now_s
    if told.command == "serve-updates":
        return serving.serve(told.repository, told.certificate, told.host, told.port)
    if told.what == "init":
        return _init(told, now)
    if not (told.repository / publish.METADATA).is_dir():
        raise Misconfigured("publish-repository", told.repository.name)
    made = publish.Published(told.repository, getattr(told, "keys", ()), now)
    match told.what:
        case "add":
            name, data, terms = _source(told)
            print(f"{publish.add(made, told.kind, name, data, terms)}: published to ring {terms.ring}")
        case "promote":
            print(f"{publish.change(made, told.name, ring=told.to)}: now in ring {told.to}")
        case "activate":
            path = publish.change(made, told.name, activate=told.to)
            print(f"{path}: may decide by itself in ring {told.to}, where the site allows it and certified it")
        case "withdraw":
            print(f"{publish.change(made, told.name, withdrawn=True)}: withdrawn")
        case "timestamp":
            left = min(int(row["days_left"]) for row in publish.standing(made) if row["role"] in publish.ONLINE)
            made.say(force=told.always or left < RENEW_BELOW_DAYS)
            print("renewed" if told.always or left < RENEW_BELOW_DAYS else f"{left} days left, nothing to renew")
        case "announce":
            print(f"state {announcing.announce(told, made)}: hints left on the broker")
        case "rotate":
            print(f"{told.role}: a new key is in force; the old one lies in {_rotated(told, made)}")
        case _:
            return _status(made, as_json=told.json)
    return 0


def _init(told: argparse.Namespace, now: float) -> int:
    if not 1 <= told.threshold <= told.roots <= 9:
        raise Misconfigured("publish-key", "--threshold")
    publish.begin(
        told.repository, told.keys[0], told.offline, roots=told.roots, threshold=told.threshold, now=now
    )  # fmt: skip
    root = told.repository / publish.METADATA / "1.root.json"
    print(
        f"{told.repository}: made. Appliances get {root} as updates.root; its SHA-256 is\n"
        f"  {hashlib.sha256(root.read_bytes()).hexdigest()}\n"
        f"Keys of the root and of targets lie in {told.offline}: take them off this machine, each to another place."
    )
    return 0


def _rotated(told: argparse.Namespace, made: publish.Published) -> Path:
    file = next((path for each in told.keys if (path := each / f"{told.role}{publish.SUFFIX}").exists()), None)
    if file is None:
        raise Misconfigured("publish-key", told.role)
    return publish.rotate(made, told.role, file)


def _source(told: argparse.Namespace) -> tuple[str, bytes, Terms]:
    """Name, bytes and terms of what is to be published. Raises Misconfigured("publish-source")."""
    kind: Kind = told.kind
    try:
        name, title, data = {"model": _model, "certificate": _certificate, "policy": _policy}.get(kind, _release)(told)
        terms = Terms(
            kind=kind, title=title, ring=told.ring, app_version_min=told.app_version_min, certificate=told.certificate
        )
    except (OSError, ValueError, KeyError, TypeError, Quarantined) as error:
        raise Misconfigured("publish-source", told.source.name) from error
    if not 0 < len(data) <= BYTES_MAX[kind]:
        raise Misconfigured("publish-source", told.source.name)
    return name, data, terms


def _model(told: argparse.Namespace) -> tuple[str, str, bytes]:
    folder: Path = told.source
    manifest: Mapping[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(paths) > FILES_MAX or not (folder / "SHA256SUMS.sig").exists():
        raise ValueError("no signed package")
    data = packed({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
    return f"{manifest['name']}-{manifest['version']}.tar", f"{manifest['name']}/{manifest['version']}", data


def _certificate(told: argparse.Namespace) -> tuple[str, str, bytes]:
    data = told.source.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    name = str(json.loads(data)["name"]).lower().replace(" ", "-")
    return f"{digest[:32]}.json", f"{name}-{digest[:8]}", data


def _policy(told: argparse.Namespace) -> tuple[str, str, bytes]:
    data = told.source.read_bytes()
    number = decode(Policy, data).number
    return f"{number}.json", f"policy-{number}", data


def _release(told: argparse.Namespace) -> tuple[str, str, bytes]:
    return told.source.name.lower(), told.title or told.source.name.lower(), told.source.read_bytes()


def _status(made: publish.Published, *, as_json: bool) -> int:
    rows = publish.standing(made)
    files = [
        {"path": path, "bytes": size, **terms.model_dump(mode="json")} for path, size, terms in publish.published(made)
    ]
    if as_json:
        print(json.dumps({"roles": rows, "targets": files}))
    else:
        for row in rows:
            print(
                f"{row['role']:13} version {row['version']:<4} until {row['expires']} "
                f"({row['days_left']} days)  keys {row['keys']}"
            )
        for each in files:
            state = "WITHDRAWN" if each["withdrawn"] else f"ring {each['ring']}"
            print(f"{each['path']}  {each['title']}  {state}  {each['bytes']} bytes")
    return 1 if any(int(row["days_left"]) < RENEW_BELOW_DAYS for row in rows) else 0
