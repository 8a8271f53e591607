"""The whole house as real processes on loopback in one folder, for tests that drop files into it and kill parts of it.

Five services, the centre and its stand-in for a language model under the supervisor of `appliance up`, and a real
mosquitto: one that is missing is a failure, never a skip. Nothing here waits without a condition and a bound, and
`close` ends every process whatever happened before.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, select

from appliance.cli.up import RESTART_FIRST_S, Child, Parent, lay_out, parent
from appliance.config import Places, load
from appliance.core.lifecycle import END_STATES
from appliance.world import broker, ledger, sqlite, wire
from appliance.world.wire import freight
from sample_dicom.enrolment import enrol_locally

PATIENCE_S = 120.0
LOOK_S = 0.1
FOR_EVER = float("inf")
CENTRE = "import sys; from central.cli import main; sys.exit(main())"
T = TypeVar("T")
SETTINGS: dict[str, dict[str, object]] = {
    "receive": {"settle_s": 0.2, "rescan_period_s": 0.3, "unlike_dicom_s": 2.0},
    "triage": {"quiet_period_s": 0.6, "quiet_period_with_evidence_s": 0.3, "hard_cap_s": 30.0},
    "network": {"resend_after_s": 1.0, "resend_after_max_s": 4.0},
    "review": {"port": 0},
}


class Processes:
    """Everything that runs, and the hand that drops files and kills.

    settings  laid over SETTINGS, section by section
    entries   service: a script to start in its place, which patches something and then calls the command line
    away      "broker", "central": not started until `come` is called
    models    False: an empty model folder, so that every study is escalated and triage starts quickly
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        entries: Mapping[str, Path] | None = None,
        away: tuple[str, ...] = (),
        models: bool = True,
    ) -> None:
        self.folder, self.central = folder, folder / "central"
        self.pipe: broker.Broker | None = None
        self.supervisor: Parent | None = None
        self.port = free_port()
        merged = {section: dict(values) for section, values in SETTINGS.items()}
        for section, values in (settings or {}).items():
            merged.setdefault(section, {}).update(values)
        merged["network"]["broker_port"] = self.port
        if not models:
            (folder / "no-models").mkdir(parents=True)
            merged["triage"]["model_folder"] = str(folder / "no-models")
        self.path = lay_out(folder, **merged)
        self.config = load(self.path)
        self.places = Places(self.config.state.folder)
        self.scanner = self.config.receive.watched_folder
        self.supervisor = parent(self.config, self.path, self._centre())
        for name, script in (entries or {}).items():
            child = self.child(name)
            child.command = [sys.executable, str(script), "--config", str(self.path), "run", name]
        if "broker" not in away:
            self.come("broker")
        if "central" in away:
            self.child("central").due = FOR_EVER

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _centre(self) -> list[Child]:
        port, command = free_port(), [sys.executable, "-c", CENTRE]
        keys = self.folder / "central-keys"
        enrol_locally(self.config.keys.folder, keys, self.config.site.device_id)
        worker = ["run", "--state", str(self.central), "--keys", str(keys), "--broker", f"127.0.0.1:{self.port}"]
        return [
            Child("no-model", [*command, "no-model", "--port", str(port)], watched=False),
            Child("central", [*command, *worker, "--endpoint", f"http://127.0.0.1:{port}/v1"], watched=False),
        ]

    # What the tests do to it.

    def drop(self, name: str, data: bytes) -> None:
        """The scanner writes a file."""
        (self.scanner / name).write_bytes(data)

    def kill(self, name: str, *, stay_away: bool = False) -> bool:
        """SIGKILL, the moment it runs; returns whether it had said that it is ready (the centre and the broker never
        say, there it is whether the process was a second old)."""
        if name == "broker":
            assert self.pipe is not None
            os.kill(self.pipe.pid, signal.SIGKILL)
            self.pipe.stop()
            self.pipe = None
            return True
        child = self.child(name)
        self.until(lambda: child.process is not None, f"{name} does not start again")
        assert child.process is not None
        at_work = child.ready if child.watched else time.monotonic() - child.started > 1.0
        child.wait_s = RESTART_FIRST_S / 2  # many kills are our doing, no reason to make it wait longer each time
        child.process.kill()
        child.process.wait()
        if stay_away:
            self.until(lambda: child.process is None, f"{name} was not missed")
            child.due = FOR_EVER
        return at_work

    def end_broker(self) -> None:
        """The broker is asked to end, so that it writes down what it holds."""
        assert self.pipe is not None
        self.pipe.stop()
        self.pipe = None

    def come(self, name: str, *, wiped: bool = False) -> None:
        """What was away comes: the broker with its folder as it was left, or with an empty one."""
        if name != "broker":
            self.child(name).due = 0.0
            return
        if wiped:
            shutil.rmtree(self.folder / "broker", ignore_errors=True)
        self.pipe = broker.start(self.folder / "broker", self.port, "mosquitto")

    def until(self, what: Callable[[], bool], why: str, patience_s: float = PATIENCE_S) -> None:
        """Lets everything run until something holds, within a bound."""
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, f"{why}; {self.states()}; {self.last_words()}"
            self.pass_time(LOOK_S)

    def pass_time(self, period_s: float) -> None:
        """Lets everything run for a while; the supervisor goes on looking after its children."""
        end = time.monotonic() + period_s
        while (left := end - time.monotonic()) > 0:
            self.supervise(left)

    def supervise(self, wait_s: float = 0.0) -> None:
        assert self.supervisor is not None
        self.supervisor.tick(wait_s)
        assert not self.supervisor.fatal, self.supervisor.fatal

    def wait_ready(self) -> None:
        """Until all five services say that they are ready and the centre, unless away, has its store."""
        assert self.supervisor is not None
        services = [child for child in self.supervisor.children if child.watched]
        self.until(lambda: all(child.ready for child in services), "the services do not come up")
        if self.child("central").due != FOR_EVER:
            self.until((self.central / "central.db").exists, "the centre does not come up")

    def close(self) -> None:
        """Ends every process; the state stays."""
        if self.supervisor is not None:
            self.supervisor.stop()
            self.supervisor = None
        if self.pipe is not None:
            self.pipe.stop()
            self.pipe = None

    # What the tests see of it.

    def child(self, name: str) -> Child:
        assert self.supervisor is not None
        return next(child for child in self.supervisor.children if child.name == name)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """One verb of the command line in a process of its own."""
        whole = [sys.executable, "-m", "appliance", "--config", str(self.path), *arguments]
        return subprocess.run(whole, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def told(self, *arguments: str) -> Any:
        """The JSON document that a reading verb prints."""
        done = self.command(*arguments, "--json")
        assert done.stdout, f"{arguments} says nothing, status {done.returncode}: {done.stderr[-2000:]}"
        return json.loads(done.stdout)

    def studies(self) -> dict[str, Row[Any]]:
        """The studies of the ledger by Study Instance UID; none before there is a ledger."""
        rows: list[Row[Any]] = self.ask(self.places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
        return {row.study_instance_uid: row for row in rows}

    def states(self) -> dict[str, str]:
        """Study Instance UID to state."""
        return {uid: row.state for uid, row in self.studies().items()}

    def open_cases(self) -> list[str]:
        """Cases neither closed nor cancelled."""
        return self.ask(self.places.cases_db, lambda c: [row.case_id for row in wire.open_cases(c)], [])

    def sent(self, times: int = 1) -> set[str]:
        """Cases that uplink has sent at least so often."""
        enough = select(wire.sendings.c.case_id).where(wire.sendings.c.attempts >= times)
        return self.ask(self.places.link_db, lambda c: set(c.execute(enough).scalars()), set())

    def at_rest(self) -> bool:
        """No file is on its way, every study is at an end, no case is open and no part of one lies in wire/."""
        folders = (self.scanner, self.places.incoming)
        waiting = [path for folder in folders for path in folder.iterdir() if path.is_file()]
        lying = [path.name for path in self.places.parts.iterdir()]
        wanted: set[str] = self.ask(self.places.cases_db, lambda c: freight.known_parts(c, lying), set())
        return not waiting and not wanted and set(self.states().values()) <= END_STATES and not self.open_cases()

    def ask(self, path: Path, question: Callable[[Connection], T], before: T) -> T:
        """Puts a question to a database read-only; `before` while its writer has not made it."""
        if not path.exists():
            return before
        made = {"studies.db": ledger.METADATA, "cases.db": wire.CASES, "link.db": wire.LINK}
        engine = sqlite.open_reader(path)
        try:
            with engine.connect() as c:
                return question(c) if wire.is_made(c, made[path.name]) else before
        finally:
            engine.dispose()

    def log(self) -> str:
        """Everything that the services and the centre have said."""
        path = self.places.root / "log.txt"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def last_words(self) -> str:
        return " | ".join(self.log().splitlines()[-8:])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((broker.HOST, 0))
        port: int = probe.getsockname()[1]
        return port
