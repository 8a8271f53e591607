"""`appliance release`: installs a signed release of the appliance (cli.releasing), or tests its own version."""

import argparse
import importlib
import json
import logging
import os
import pkgutil
import sys
from functools import partial
from pathlib import Path

import pysqlite3.dbapi2 as dbapi

import appliance
from appliance import __version__
from appliance.cli.releasing import Releases
from appliance.config import DEFAULT_PATH, Config, Places
from appliance.errors import Misconfigured
from appliance.world import journal, models, release, sqlite
from appliance.world.inference import Bench

JUDGE = "APPLIANCE_JUDGE"  # set in the copy, so that it does not begin itself again


def run(config: Config, places: Places, told: argparse.Namespace) -> int:
    """What the timer calls; with --install by a person. Status 1 where a release failed or must wait."""
    if told.self_test:
        return self_test(config, places)
    versions = release.Versions()
    if os.geteuid() or not versions.running:
        raise Misconfigured("release-not-package")
    off = config.updates.releases == "off" or not config.updates.root.is_file()
    if told.install is None and off and release.read().trial is None:
        return 0
    logging.basicConfig(level=logging.INFO, handlers=[journal.handler("release")])
    with versions.alone():
        made = Releases(config, places, versions, told.config or DEFAULT_PATH, told.install or "")
        made.hand_over = partial(former_goes_on, versions)
        made.run()
    if told.install is None:
        return 0
    return made.said()


def former_goes_on(versions: release.Versions) -> None:
    """This process becomes the former version's copy: dpkg will take away the files that it was started from."""
    python = versions.former / "bin/python3"
    if python.exists() and JUDGE not in os.environ:
        os.environ[JUDGE] = "1"
        os.execv(python, [str(python), "-IB", "-m", "appliance", *sys.argv[1:]])  # noqa: S606


def self_test(config: Config, places: Places) -> int:
    """What a version says of itself before it is used: its modules, this configuration, SQLite, models' golden films.

    Prints one JSON document; status 1 where anything is not well. It writes nothing.
    """
    faults = []
    for each in pkgutil.walk_packages(appliance.__path__, "appliance."):
        if not each.name.endswith("__main__"):
            try:
                importlib.import_module(each.name)
            except ImportError:
                faults.append(f"module {each.name}")
    own = Path(sys.prefix) / "share/models"
    shipped = own if own.is_dir() else config.triage.model_folder
    packages, damaged = models.load_packages([shipped, *places.beside], config.triage.trusted_keys)
    faults += [
        f"package {each.folder.parent.name}/{each.folder.name}" for each in damaged if shipped in each.folder.parents
    ]
    with Bench(packages) as bench:
        faults += [f"golden {title}" for title in bench.faults]
    if dbapi.sqlite_version_info < sqlite.SAFE_VERSION:
        faults.append("SQLite")
    print(json.dumps({"version": __version__, "schema": sqlite.SCHEMA_VERSION, "faults": faults}))
    return 1 if faults else 0
