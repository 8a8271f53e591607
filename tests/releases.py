"""A house of versions for tests: real packages and links; stand-ins, called so, for dpkg, systemctl and the versions.

Each version is a tree with a stand-in for its interpreter that prints the files beside it: its own test, its
`check`, and its `check` once it runs. The stand-in for dpkg does what dpkg and our postinst do to the versions: lays
the new tree, takes the others away, turns the link. The stand-in for systemctl says that a service which the running
version names in `breaks` has failed.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from appliance.cli.releasing import Releases
from appliance.config import Config, Places
from appliance.core.updates import Ring
from appliance.world import release, sqlite
from tests.publisher import Publisher

RUNNING, NEWER = "0.1.0", "0.2.0"
NOW = 1_800_000_000.0
PYTHON = """#!/bin/sh
here=$(dirname "$0")/..
case "$*" in
*--self-test) cat "$here/selftest.json"; exit "$(cat "$here/status")" ;;
*check*)
    running=$(readlink @HOME@/current)
    [ "${running##*/}" = "$(cat "$here/version")" ] && cat "$here/running.json" || cat "$here/check.json" ;;
esac
"""
DPKG = """#!/bin/sh
for file; do :; done
echo "dpkg" >>@HOME@/said
version=$(dpkg-deb -f "$file" Version)
mkdir -p @HOME@/unpacked && dpkg-deb -x "$file" @HOME@/unpacked
cp -a --remove-destination "@HOME@/unpacked/opt/appliance/versions/$version" @HOME@/versions/
for each in @HOME@/versions/*; do [ "${each##*/}" = "$version" ] || rm -rf "$each"; done
[ ! -e @HOME@/refuses ] || exit 1
ln -sfn "@HOME@/versions/$version" @HOME@/.link && mv -T @HOME@/.link @HOME@/current
"""
SYSTEMCTL = """#!/bin/sh
if [ "$1" != show ]; then echo "$*" >>@HOME@/said; exit 0; fi
for name in receive triage uplink review deliver; do
    state=active
    grep -qs "$name" @HOME@/current/breaks && state=failed
    echo "Id=appliance-$name.service\nLoadState=loaded\nActiveState=$state\nResult=success\nNRestarts=0\n"
done
"""
WELL = {"SQLite": True, "disk: power": False}


class Killed(BaseException):
    """The power goes."""


class House:
    """root: a folder of the test's own."""

    def __init__(self, root: Path, publisher: Publisher, **knobs: Any) -> None:
        self.root, self.publisher, self.now = root, publisher, NOW
        self.home, self.places = root / "opt", Places(root / "state")
        for folder in (self.home / "versions", root / "bin", self.places.incoming):
            folder.mkdir(parents=True)
        for name, text in (("dpkg", DPKG), ("systemctl", SYSTEMCTL)):
            self._program(root / "bin" / name, text)
        self.tree(self.home / "versions" / RUNNING, RUNNING)
        (self.home / "current").symlink_to(self.home / "versions" / RUNNING)
        told = {"root": publisher.root, "releases": "install", "window": "00:00-00:00", **knobs}
        self.config = Config.model_validate({"updates": told, "site": {"device_id": "edge-a"}})
        self.versions = release.Versions(self.home)

    def _program(self, path: Path, text: str) -> None:
        path.write_text(text.replace("@HOME@", str(self.home)))
        path.chmod(0o755)

    def tree(self, folder: Path, version: str, **faults: Any) -> None:
        """A version. faults: status, schema, said (of its own version), check, running (lines), breaks (services)"""
        (folder / "bin").mkdir(parents=True)
        self._program(folder / "bin/python3", PYTHON)
        (folder / "bin/appliance").write_text(version)
        (folder / "version").write_text(version)
        (folder / "status").write_text(str(faults.get("status", 0)))
        said = {"version": faults.get("said", version), "schema": faults.get("schema", sqlite.SCHEMA_VERSION)}
        (folder / "selftest.json").write_text(json.dumps(said))
        for name in ("check", "running"):
            lines = [{"name": line, "ok": ok} for line, ok in {**WELL, **faults.get(name, {})}.items()]
            (folder / f"{name}.json").write_text(json.dumps(lines))
        if "breaks" in faults:
            (folder / "breaks").write_text(faults["breaks"])

    def package(self, version: str = NEWER, called: str = "", **faults: Any) -> Path:
        """A Debian package, as dpkg-deb makes it. called: the version its control file says"""
        stage = self.root / f"stage-{version}"
        self.tree(stage / "opt/appliance/versions" / version, version, **faults)
        (stage / "DEBIAN").mkdir()
        control = f"Package: edge-diagnostic-appliance\nVersion: {called or version}\nArchitecture: amd64\n"
        (stage / "DEBIAN/control").write_text(
            f"{control}Maintainer: nobody <no@example.org>\nDescription: a stand-in\n"
        )
        made = self.root / f"edge-diagnostic-appliance_{version}_amd64.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "--build", stage, made], check=True, capture_output=True
        )
        shutil.rmtree(stage)
        return made

    def publish(self, version: str = NEWER, *, ring: Ring = "all", called: str = "", **faults: Any) -> str:
        made = self.package(version, called, **faults)
        return self.publisher.add("release", made.name, made.read_bytes(), ring, title=version)

    def lay(self) -> None:
        shutil.rmtree(self.places.mirror, ignore_errors=True)
        shutil.copytree(self.publisher.folder, self.places.mirror)

    def made(self, ordered: str = "") -> Releases:
        """One run, with a clock of the test's own."""
        found = Releases(self.config, self.places, self.versions, self.root / "appliance.toml", ordered)
        found.wall = found.mono = lambda: self.now
        found.sleep = self._sleep
        return found

    def _sleep(self, seconds: float) -> None:
        self.now += max(seconds, 60.0)

    def run(self, ordered: str = "") -> str:
        """Runs once; "version" that runs then, and the code of the last failure."""
        self.now += 600.0
        self.lay()
        with self.versions.alone():
            self.made(ordered).run()
        return self.stands

    @property
    def stands(self) -> str:
        failed = release.read(self.home).last_failed
        assert self.versions.is_whole(self.versions.running), "what runs is no whole version"
        return f"{self.versions.running} {'' if failed is None else failed.code}".strip()

    @property
    def said(self) -> list[str]:
        path = self.home / "said"
        return path.read_text().splitlines() if path.exists() else []

    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.home / "versions").iterdir())
