"""The whole house as real processes on loopback in one folder: what `appliance prove` tries, and what the tests kill.

Five services, the centre and its stand-in for a language model under the supervisor of `appliance up`, and a broker.
Nothing here waits without a condition and a bound, and `close` ends every process whatever happened before.
"""

import contextlib
import io
import os
import shutil
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Row, select

from appliance.cli import enrol
from appliance.cli.prove.books import ask
from appliance.cli.up import RESTART_FIRST_S, Child, Parent, lay_out, parent
from appliance.config import Places, load
from appliance.core.lifecycle import END_STATES
from appliance.errors import Misconfigured
from appliance.world import broker, ledger, wire
from appliance.world.wire import freight

PATIENCE_S = 120.0
LOOK_S = 0.1
FOR_EVER = float("inf")
CENTRE = "import sys; from central.cli import main; sys.exit(main())"
SETTINGS: dict[str, dict[str, object]] = {
    "receive": {"settle_s": 0.2, "rescan_period_s": 0.3, "unlike_dicom_s": 2.0},
    "triage": {"quiet_period_s": 0.6, "quiet_period_with_evidence_s": 0.3, "hard_cap_s": 30.0},
    "network": {"resend_after_s": 1.0, "resend_after_max_s": 4.0},
    "review": {"port": 0},
}


class Stuck(Misconfigured):
    """What was waited for did not come within its time; `told` says what, and how it stood."""

    def __init__(self, told: str) -> None:
        super().__init__("prove-stuck")
        self.told = told

    def __str__(self) -> str:
        return f"{self.code}: {self.told}"


class House:
    """Everything that runs, and the hand that drops files and kills.

    settings  laid over SETTINGS, section by section
    away      "broker", "central": not started until `come` is called
    models    False: an empty model folder, so that every study is escalated and triage starts quickly
    kind      of broker; None: mosquitto where it is installed
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        away: tuple[str, ...] = (),
        models: bool = True,
        kind: broker.Kind | None = None,
    ) -> None:
        self.folder, self.central = folder, folder / "central"
        self.pipe: broker.Broker | None = None
        self.supervisor: Parent | None = None
        self.port, self._kind = free_port(), kind
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
        self._enrol(folder / "central-keys")
        self.supervisor = parent(self.config, self.path, self._centre())
        if "broker" not in away:
            self.come("broker")
        if "central" in away:
            self.child("central").due = FOR_EVER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def _enrol(self, keys: Path) -> None:
        """Makes the keys of both sides. What they compare by telephone has nobody to read it here."""
        with contextlib.redirect_stdout(io.StringIO()):
            enrol.here(self.config, keys)

    def _centre(self) -> list[Child]:
        port, command = free_port(), [sys.executable, "-c", CENTRE]
        keys = self.folder / "central-keys"
        worker = ["run", "--state", str(self.central), "--keys", str(keys), "--broker", f"127.0.0.1:{self.port}"]
        return [
            Child("no-model", [*command, "no-model", "--port", str(port)], watched=False),
            Child("central", [*command, *worker, "--endpoint", f"http://127.0.0.1:{port}/v1"], watched=False),
        ]

    # What is done to it.

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
        child.ready = False
        if stay_away:
            self.until(lambda: child.process is None, f"{name} was not missed")
            child.due = FOR_EVER
        return at_work

    def fall(self) -> None:
        """Every service of the appliance is killed at once, as by a power cut; the next tick starts them again."""
        assert self.supervisor is not None
        for child in self.supervisor.children:
            if child.watched and child.process is not None:
                child.process.kill()
                child.process.wait()
                child.process, child.ready, child.due = None, False, 0.0

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
        self.pipe = broker.start(self.folder / "broker", self.port, self._kind)

    def until(self, what: Callable[[], bool], why: str, patience_s: float = PATIENCE_S, look_s: float = LOOK_S) -> None:
        """Lets everything run until something holds, within a bound."""
        end = time.monotonic() + patience_s
        while not what():
            if time.monotonic() > end:
                raise Stuck(f"{why}; {Counter(self.states().values())}; {self.last_words()}")
            self.pass_time(look_s)

    def pass_time(self, period_s: float) -> None:
        """Lets everything run for a while; the supervisor goes on looking after its children."""
        end = time.monotonic() + period_s
        while (left := end - time.monotonic()) > 0:
            self.supervise(left)

    def supervise(self, wait_s: float = 0.0) -> None:
        assert self.supervisor is not None
        self.supervisor.tick(wait_s)
        if self.supervisor.fatal:
            raise Stuck(self.supervisor.fatal)

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

    # What is seen of it.

    def child(self, name: str) -> Child:
        assert self.supervisor is not None
        return next(child for child in self.supervisor.children if child.name == name)

    def studies(self) -> dict[str, Row[Any]]:
        """The studies of the ledger by Study Instance UID; none before there is a ledger."""
        rows: list[Row[Any]] = ask(self.places.studies_db, lambda c: list(c.execute(select(ledger.studies))), [])
        return {row.study_instance_uid: row for row in rows}

    def states(self) -> dict[str, str]:
        """Study Instance UID to state."""
        return {uid: row.state for uid, row in self.studies().items()}

    def open_cases(self) -> list[str]:
        """Cases neither closed nor cancelled."""
        return ask(self.places.cases_db, lambda c: [row.case_id for row in wire.open_cases(c)], [])

    def at_rest(self) -> bool:
        """No file is on its way, every study is at an end, no case is open and no part of one lies in wire/."""
        folders = (self.scanner, self.places.incoming)
        lies = [path for folder in folders for path in folder.iterdir() if path.is_file()]
        waiting = [path for path in lies if not path.name.startswith(".")]  # the last accepted configuration is hidden
        lying = [path.name for path in self.places.parts.iterdir()]
        wanted: set[str] = ask(self.places.cases_db, lambda c: freight.known_parts(c, lying), set())
        return not waiting and not wanted and set(self.states().values()) <= END_STATES and not self.open_cases()

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
