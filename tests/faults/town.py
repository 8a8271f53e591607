"""Several appliances, one broker, several workers of one centre: real processes on one machine, each within reach.

Every appliance has a state folder, a scanner's folder, a clock and a line of its own; the workers share one store. What
one wants to do to them (kill, stop, arm, cut, fill, jump) is a method here; what must hold afterwards is in `promises`.
Nothing waits without a bound, and `close` ends every process whatever happened before.

    python -m tests.faults.town --appliances 2 --workers 3      runs until Ctrl-C
"""

import argparse
import os
import random
import secrets
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from appliance.cli.prove.books import Acknowledged, Dropped
from appliance.cli.up import RESTART_FIRST_S, Child, Parent, lay_out, parent
from appliance.config import Places, load
from appliance.errors import Unavailable
from appliance.world import broker, systemd
from appliance.world.volumes import Volume
from sample_dicom.enrolment import enrol_locally
from tests.faults.clock import Clock
from tests.faults.ledgers import External, acknowledged, at_rest, broken_since, scanned, states
from tests.faults.network import Gate, Line
from tests.faults.postgres import Postgres
from tests.faults.processes import SETTINGS, free_port

PATIENCE_S = 180.0
LOOK_S = 0.1
FOR_EVER = float("inf")
CENTRE = "import sys; from central.cli import main; sys.exit(main())"
SERVICES = ("receive", "triage", "uplink")
LITTLE = {"receive": {"disk_reserve_bytes": 6 * 2**20}, "state": {"ballast_bytes": 2 * 2**20}}


Sections = Mapping[str, Mapping[str, object]]


class Edge:
    """One appliance: its folder, its services, its clock, its line, and the disk its state lies on."""

    def __init__(
        self,
        folder: Path,
        place: int,
        port: int,
        centre_keys: Path,
        services: tuple[str, ...],
        volume: Volume | None,
        own: Sections | None = None,
    ) -> None:
        self.name, self.folder, self.volume = f"edge-{place}", folder, volume
        folder.mkdir(parents=True, exist_ok=True)
        settings = {section: dict(values) for section, values in SETTINGS.items()}
        for section, values in LITTLE.items():
            settings.setdefault(section, {}).update(values)
        settings["network"]["broker_port"] = port
        settings["site"] = {"device_id": self.name}
        settings["triage"] |= {"attempts_max": 20, "model_folder": str(folder / "no-models")}
        settings["keys"] = {"folder": str(folder / "keys")}
        if volume is not None:
            settings["state"]["folder"] = str(volume.root / "state")
        for section, values in (own or {}).items():
            settings.setdefault(section, {}).update(values)
        (folder / "no-models").mkdir()
        enrol_locally(folder / "keys", centre_keys, self.name)
        self.path = lay_out(folder, **settings)
        self.config = load(self.path)
        self.places, self.scanner = Places(self.config.state.folder), self.config.receive.watched_folder
        self.clock, self.line, self.services = Clock(folder / "clock"), None, services
        self.log = folder / "log.txt"  # not on the disk that is cut and filled
        self.parent: Parent | None = None
        self.around: dict[str, str] = {}  # what else stands in the environment of its services

    def come(self, line: Line | None) -> None:
        """Its services start with the next tick."""
        self.line = line
        made = parent(self.config, self.path, [])
        made.children = [child for child in made.children if child.name in self.services]
        made.log = self.log
        made.environment |= {**self.clock.environment, **self.around}
        for child in made.children:
            if child.name == "uplink" and line is not None:
                child.command = [*line.prefix, *child.command]
        self.parent = made

    def fall(self) -> None:
        """Every service is killed at once and nobody starts them again."""
        if self.parent is not None:
            kill_all(self.parent)
            self.parent = None


class Town:
    """All of it.

    postgres  the centre's store; None: SQLite in the centre's folder
    shaped    lines in namespaces (root, and the caller is `apart`); else proxies alone
    volumes   place of an appliance: the disk its state lies on
    workers   0: there is no centre
    dice      what is scanned comes from it
    around    what else stands in the environment of the appliances' services
    record    keep every byte that passes a line
    asking    more options of every worker: how it asks the model
    own       place of an appliance: settings laid over all others
    """

    def __init__(
        self,
        folder: Path,
        *,
        appliances: int = 2,
        workers: int = 3,
        postgres: Postgres | None = None,
        shaped: bool = False,
        volumes: dict[int, Volume] | None = None,
        services: tuple[str, ...] = SERVICES,
        endpoint: str = "",
        dice: random.Random | None = None,
        around: dict[str, str] | None = None,
        record: bool = True,
        own: Mapping[int, Sections] | None = None,
        asking: tuple[str, ...] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.dice, self.book, self.studies = dice or random.Random(0), External(folder / "dropped.jsonl"), 0
        self.folder, self.central, self.postgres = folder, folder / "central", postgres
        self.keys = folder / "central-keys"
        self.pipe: broker.Broker | None = None
        self.port = free_port()
        self.stack = ExitStack()
        self.edges: list[Edge] = []
        self.centre: Parent | None = None
        self.endpoint, self.worker_count, self.asking = endpoint, workers, asking
        self.centre_clock = Clock(folder / "centre-clock")
        try:
            self.come_broker()
            self.gate = Gate(self.port, shaped=shaped)
            self.stack.callback(self.gate.close)
            self.come_centre()
            for place in range(1, appliances + 1):
                disk = (volumes or {}).get(place)
                line = Line(place, self.gate, port=free_port(), record=folder / f"line-{place}" if record else None)
                self.stack.callback(line.close)
                edge = Edge(
                    folder / f"edge-{place}", place, line.port, self.keys, services, disk, (own or {}).get(place)
                )
                edge.around = around or {}
                self.edges.append(edge)
                edge.come(line)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Town":
        return self

    def __exit__(self, _k: type[BaseException] | None, _f: BaseException | None, _t: TracebackType | None) -> None:
        self.close()

    @property
    def store(self) -> Path:
        """The folder of the centre's store, where it is SQLite."""
        return self.central

    # Coming and going.

    def come_broker(self, *, wiped: bool = False) -> None:
        if wiped:
            shutil.rmtree(self.folder / "broker", ignore_errors=True)
        self.pipe = broker.start(self.folder / "broker", self.port, "mosquitto")

    def fall_broker(self, *, politely: bool) -> None:
        """Asked to end it writes down its sessions; killed it does not."""
        if self.pipe is not None:
            if not politely:
                os.kill(self.pipe.pid, signal.SIGKILL)
            self.pipe.stop()
            self.pipe = None

    def come_centre(self) -> None:
        self.central.mkdir(parents=True, exist_ok=True)
        inbox = systemd.listen(f"/tmp/centre-{os.getpid()}-{secrets.token_hex(4)}")
        children = []
        command = [sys.executable, "-c", CENTRE]
        endpoint = self.endpoint
        if not endpoint:
            model = free_port()
            endpoint = f"http://127.0.0.1:{model}/v1"
            children.append(Child("no-model", [*command, "no-model", "--port", str(model)], watched=False))
        run = [*command, "run", "--state", str(self.central), "--keys", str(self.keys)]
        run += ["--broker", f"127.0.0.1:{self.port}", "--endpoint", endpoint, *self.asking]
        run += ["--store", self.postgres.url] if self.postgres else []
        children += [Child(f"worker-{n}", run, watched=False) for n in range(1, self.worker_count + 1)]
        self.centre = Parent(children, self.folder / "centre-log.txt", inbox, dict(self.centre_clock.environment))

    # What is done to it.

    def parents(self) -> list[Parent]:
        return [made for made in (self.centre, *(edge.parent for edge in self.edges)) if made is not None]

    def child(self, place: int, name: str) -> Child:
        """Of an appliance (place from 1), or with place 0 of the centre."""
        made = self.edges[place - 1].parent if place else self.centre
        assert made is not None
        return next(child for child in made.children if child.name == name)

    def kill(self, place: int, name: str) -> bool:
        """SIGKILL at once; False when it was not running."""
        child = self.child(place, name)
        if child.process is None:
            return False
        child.wait_s = RESTART_FIRST_S / 2  # many kills are our doing, no reason to make it wait longer each time
        child.process.kill()
        child.process.wait()
        return True

    def drop(self, place: int, count: int = 1) -> None:
        """The scanner writes the files of some studies, each noted in the driver's own book before."""
        for _ in range(count):
            self.studies += 1
            for scan, data in scanned(self.dice, place, self.studies):
                self.book.note(scan)
                (self.edges[place - 1].scanner / scan.name).write_bytes(data)

    def cut_power(self, place: int) -> list[str]:
        """An appliance loses its power and gets it back. Returns what it had acknowledged before and has lost."""
        edge = self.edges[place - 1]
        assert edge.volume is not None
        dropped = self.book.of(place)
        before = self._acknowledged(edge, dropped)
        said_bytes = edge.log.stat().st_size
        last = edge.volume.cut()
        assert before.at < last, "only what was acknowledged before the cut counts"
        edge.fall()
        os.truncate(edge.log, said_bytes)  # a machine without power says nothing
        edge.volume.power()
        broken = broken_since(before, edge.places, dropped)
        edge.come(edge.line)
        return broken

    def _acknowledged(self, edge: Edge, dropped: Sequence[Dropped]) -> Acknowledged:
        """Off its own disk; where that is too full for the index of a reader, off a copy, nobody writing meanwhile."""
        try:
            return acknowledged(edge.places, edge.scanner, dropped)
        except Unavailable:
            assert edge.parent is not None
            running = [child.process for child in edge.parent.children if child.process is not None]
            for process in running:
                process.send_signal(signal.SIGSTOP)  # the cut that follows ends them
            with tempfile.TemporaryDirectory() as aside:
                copy = Places(Path(aside))
                copy.phi.mkdir()
                for path in (edge.places.studies_db, Path(f"{edge.places.studies_db}-wal")):
                    if path.exists():
                        shutil.copy(path, copy.phi)
                return acknowledged(copy, edge.scanner, dropped)

    def at_rest(self, place: int) -> bool:
        """No case is open, and no sealed bytes lie in wire/ that a case could want."""
        return at_rest(self.edges[place - 1].places)

    def states(self, place: int) -> dict[str, str]:
        return states(self.edges[place - 1].places)

    # Time.

    def supervise(self, wait_s: float = 0.0) -> None:
        parents = self.parents()
        select.select([made.inbox for made in parents], [], [], wait_s)
        for made in parents:
            made.tick(0.0)
            assert not made.fatal, made.fatal

    def pass_time(self, period_s: float) -> None:
        end = time.monotonic() + period_s
        while (left := end - time.monotonic()) > 0:
            self.supervise(min(left, LOOK_S))

    def until(self, what: Callable[[], bool], why: str | Callable[[], str], patience_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + patience_s
        while not what():
            assert time.monotonic() < end, f"{why if isinstance(why, str) else why()}; {self.last_words()}"
            self.pass_time(LOOK_S)

    def wait_ready(self) -> None:
        def ready() -> bool:
            return all(child.ready for edge in self.edges if edge.parent for child in edge.parent.children)

        self.until(ready, "the services do not come up")

    def log_lines(self) -> Iterator[str]:
        for path in (self.folder / "centre-log.txt", *(edge.log for edge in self.edges)):
            if path.exists():
                for line in path.read_text("utf-8", "replace").splitlines():
                    yield f"{path.parent.name}: {line}"

    def last_words(self) -> str:
        return " | ".join(list(self.log_lines())[-12:])

    def close(self) -> None:
        """Ends every process; the state stays."""
        for made in self.parents():
            made.stop()
        for edge in self.edges:
            edge.parent = None
        self.centre = None
        if self.pipe is not None:
            self.pipe.stop()
            self.pipe = None
        self.stack.close()
        self.book.close()


def kill_all(made: Parent) -> None:
    """SIGKILL for every child of a parent, stopped ones too, and its inbox closed."""
    running = [child.process for child in made.children if child.process is not None]
    for process in running:
        process.kill()
    for process in running:
        process.wait()
    Path(str(made.inbox.getsockname())).unlink(missing_ok=True)
    made.inbox.close()


def main() -> None:
    """Two appliances and three workers side by side, until Ctrl-C."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--appliances", type=int, default=2)
    told.add_argument("--workers", type=int, default=3)
    told.add_argument("--postgres", action="store_true", help="the centre keeps its store in PostgreSQL, not SQLite")
    told.add_argument("--state", type=Path, help="a folder to keep everything in (default: a scratch folder)")
    options = told.parse_args()
    folder = options.state or Path(tempfile.mkdtemp(prefix="town-"))
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _: ended.append(got))
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres()) if options.postgres else None
        services = (*SERVICES, "review", "deliver")
        town = stack.enter_context(
            Town(folder, appliances=options.appliances, workers=options.workers, postgres=postgres, services=services)
        )
        town.wait_ready()
        for place, edge in enumerate(town.edges, 1):
            print(f"{edge.name}: drop DICOM files into {edge.scanner}; page {town.child(place, 'review').address}")
        store = postgres.url if postgres else town.central
        print(f"{options.workers} workers, store {store}; logs in {folder}; Ctrl-C ends it")
        while not ended:
            town.supervise(LOOK_S)


if __name__ == "__main__":
    main()
