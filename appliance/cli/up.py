"""`appliance up`: all services under one parent, in a state folder of its own, as any user; systemd's stand-in.

Each service is a process of its own, started again when it ends (waiting longer each time) and killed when its
watchdog falls silent. For the demonstration it also starts a broker and the centre. Nothing here knows what the
services do.
"""

import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from appliance.cli import SERVICES, enrol
from appliance.cli.files import toml_text
from appliance.condition import books
from appliance.config import Config, Places
from appliance.errors import Misconfigured
from appliance.world import archive, broker, systemd

WATCHDOG_S = 120.0
RESTART_FIRST_S, RESTART_MAX_S = 0.2, 10.0
STABLE_S = 30.0
STOP_S = 10.0
EX_CONFIG = 78


@dataclass(slots=True)
class Child:
    """One supervised process; `address` is what it said it listens on."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    heard: float = 0.0
    starts: int = 0
    wait_s: float = RESTART_FIRST_S
    due: float = 0.0
    ready: bool = False
    address: str = ""
    watched: bool = True


@dataclass(slots=True)
class Parent:
    """The supervisor: `tick` looks at every child once."""

    children: list[Child]
    log: Path
    inbox: socket.socket
    environment: dict[str, str] = field(default_factory=dict)
    fatal: str = ""

    def start(self, child: Child) -> None:
        with self.log.open("ab") as out:
            child.process = subprocess.Popen(  # noqa: S603 - commands of ours only, no shell
                child.command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment},
                preexec_fn=broker.die_with(os.getpid()),
                start_new_session=True,  # Ctrl-C is for the parent, which then ends the children in order
            )
        child.started = child.heard = time.monotonic()
        child.starts += 1
        child.ready = False

    def tick(self, wait_s: float = 0.2) -> None:
        """Hears what the children say, starts those that ended, kills those that fell silent."""
        select.select([self.inbox], [], [], wait_s)
        self._hear()
        now = time.monotonic()
        for child in self.children:
            if child.process is None:
                if now >= child.due:
                    self.start(child)
            elif (status := child.process.poll()) is not None:
                if status == EX_CONFIG:
                    self.fatal = f"{child.name} refuses its configuration; see {self.log}"
                child.wait_s = (
                    RESTART_FIRST_S if now - child.started > STABLE_S else min(child.wait_s * 2, RESTART_MAX_S)
                )
                child.process, child.due, child.ready = None, now + child.wait_s, False
            elif child.watched and now - child.heard > WATCHDOG_S:
                child.process.kill()

    def _hear(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self.inbox.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize("3i")))
            except BlockingIOError:
                return
            pids = [struct.unpack("3i", payload)[0] for _, kind, payload in ancillary if kind == socket.SCM_CREDENTIALS]
            for child in self.children:
                if child.process is None or child.process.pid not in pids:
                    continue
                child.heard = time.monotonic()
                for line in data.decode("utf-8", "replace").splitlines():
                    child.ready |= line == "READY=1"
                    if line.startswith("STATUS="):
                        child.address = line.removeprefix("STATUS=")

    def stop(self) -> None:
        """Asks all to end, then ends those that do not."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        Path(str(self.inbox.getsockname())).unlink(missing_ok=True)
        self.inbox.close()


def lay_out(folder: Path, **settings: dict[str, object]) -> Path:
    """Makes a state folder that works by itself: configuration, site key, watched folder. Returns the configuration."""
    folder = folder.absolute()
    (folder / "scanner").mkdir(parents=True, exist_ok=True)
    key, path = folder / "site.key", folder / "appliance.toml"
    if not key.exists() and books.was_at_work(Places(folder / "state")):
        raise Misconfigured("site-key-gone", str(key))
    if not key.exists():
        archive.put(key, secrets.token_bytes(32))
        key.chmod(0o600)
    if not path.exists():
        models = Path(__file__).parents[2] / "models"
        sections: dict[str, dict[str, object]] = {
            "state": {"folder": str(folder / "state"), "unencrypted_because": "a folder for development"},
            "keys": {"folder": str(folder / "keys")},
            "receive": {"watched_folder": str(folder / "scanner")},
            "review": {"tls": "off"},  # on loopback: a folder of one's own has no readers elsewhere
            "triage": {
                "site_key_file": str(key),
                "model_folder": str(models),
                "trusted_keys": str(models / "trusted"),
            },
        }
        for section, values in settings.items():
            sections.setdefault(section, {}).update(values)
        archive.put(path, toml_text(sections).encode())
    return path


def parent(config: Config, config_path: Path, extra: list[Child]) -> Parent:
    """A supervisor of the five services and whatever the demonstration adds; nothing is started yet."""
    state = config.state.folder
    state.mkdir(parents=True, exist_ok=True)
    notify = f"/tmp/appliance-{os.getpid()}-{secrets.token_hex(4)}"  # noqa: S108 - an AF_UNIX path must be short
    inbox = systemd.listen(notify)
    run = [sys.executable, "-m", "appliance", "--config", str(config_path), "run"]
    children = [*extra, *(Child(name, [*run, name]) for name in SERVICES)]
    return Parent(children, state / "log.txt", inbox, {"NOTIFY_SOCKET": notify})


def up(config: Config, config_path: Path, *, with_broker: bool, centre_keys: Path | None = None) -> int:
    """Runs until SIGTERM or Ctrl-C; 78 when a service refuses its configuration."""
    if centre_keys is not None:
        enrol.here(config, centre_keys)
    pipe = broker.start(config.state.folder / "broker", config.network.broker_port) if with_broker else None
    supervisor = parent(config, config_path, [])
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    signal.signal(signal.SIGINT, lambda *_: ended.append(1))
    said = False
    try:
        while not ended and not supervisor.fatal:
            supervisor.tick()
            if not said and all(child.ready for child in supervisor.children):
                said = True
                page = next(child.address for child in supervisor.children if child.name == "review")
                print(f"all services are up; review page {page}; log {supervisor.log}", flush=True)
    finally:
        supervisor.stop()
        if pipe is not None:
            pipe.stop()
    if supervisor.fatal:
        print(supervisor.fatal, file=sys.stderr)
        raise Misconfigured("config-invalid", supervisor.fatal)
    return 0
