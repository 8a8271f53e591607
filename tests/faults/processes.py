"""The house of `appliance prove` for tests: with a real mosquitto, keys made in one step, and planted entries.

A mosquitto that is missing is a failure, never a skip.
"""

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from appliance.cli import main
from appliance.cli.prove import books
from appliance.cli.prove.house import CENTRE as CENTRE
from appliance.cli.prove.house import PATIENCE_S as PATIENCE_S
from appliance.cli.prove.house import SETTINGS as SETTINGS
from appliance.cli.prove.house import House
from appliance.cli.prove.house import free_port as free_port
from appliance.world import wire
from sample_dicom.enrolment import enrol_locally

T = TypeVar("T")


class Processes(House):
    """entries  service: a script to start in its place, which patches something and then calls the command line."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        entries: Mapping[str, Path] | None = None,
        away: tuple[str, ...] = (),
        models: bool = True,
    ) -> None:
        super().__init__(folder, settings=settings, away=away, models=models, kind="mosquitto")
        for name, script in (entries or {}).items():
            child = self.child(name)
            child.command = [sys.executable, str(script), "--config", str(self.path), "run", name]

    def _enrol(self, keys: Path) -> None:
        enrol_locally(self.config.keys.folder, keys, self.config.site.device_id)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """One verb of the command line in a process of its own."""
        whole = [sys.executable, "-m", "appliance", "--config", str(self.path), *arguments]
        return subprocess.run(whole, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def told(self, *arguments: str) -> Any:
        """The JSON document that a reading verb prints; run here, as a process of its own costs seconds."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = main(["--config", str(self.path), *arguments, "--json"])
        assert said.getvalue(), f"{arguments} says nothing, status {status}"
        return json.loads(said.getvalue())

    def sent(self, times: int = 1) -> set[str]:
        """Cases that uplink has sent at least so often."""
        enough = select(wire.sendings.c.case_id).where(wire.sendings.c.attempts >= times)
        return self.ask(self.places.link_db, lambda c: set(c.execute(enough).scalars()), set())

    def ask(self, path: Path, question: Callable[[Connection], T], before: T) -> T:
        """Puts a question to a database read-only; `before` while its writer has not made it."""
        return books.ask(path, question, before)
