"""A small MQTT 5 broker as a child process, for `appliance up` and for tests: loopback only, gone with its parent.

mosquitto where it is installed, else iotcore, which keeps everything in memory and says "sent" where nobody listens.
Neither is trusted with anything: what a broker loses, the receipts of both ends find. In production the operator runs
mosquitto and this module is not used. It refuses to listen anywhere but on 127.0.0.1, so that no password is needed
and none is stored.
"""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from appliance.errors import Misconfigured

HOST = "127.0.0.1"
PACKET_BYTES_MAX = 512 * 1024
QUEUED_MESSAGES_MAX = 20_000  # for one client that is away
QUEUED_BYTES_MAX = 512 * 2**20
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
LOOK_S = 0.02
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here, because a forked child must not load anything

Kind = Literal["mosquitto", "iotcore"]


class Broker:
    """A running broker: its kind, its port, and how to end it."""

    def __init__(self, kind: Kind, port: int, child: subprocess.Popen[bytes]) -> None:
        self.kind, self.port, self._child = kind, port, child

    @property
    def pid(self) -> int:
        return self._child.pid

    def alive(self) -> bool:
        return self._child.poll() is None

    def stop(self) -> None:
        """Ends the child: politely first, so that mosquitto writes down its sessions."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()


def start(folder: Path, port: int, kind: Kind | None = None) -> Broker:
    """Starts a broker on 127.0.0.1 and returns when it accepts connections.

    Call it from the main thread: the kernel ends the child when the thread that started it ends (prctl(2)).

    folder  its configuration, its log and (mosquitto) its sessions; made if absent, the same one again resumes them
    port    0 takes a free one
    kind    None takes mosquitto if it is installed, else iotcore
    raises  Misconfigured: "broker-missing", "port-taken", or "broker-failed" with broker.log beside it
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = kind or ("mosquitto" if _mosquitto() else "iotcore")
    taken = _free_port(port)
    command = _mosquitto_command(folder, taken) if chosen == "mosquitto" else _iotcore_command(folder, taken)
    with (folder / "broker.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603  the command is made here
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with(os.getpid()),
            start_new_session=True,  # Ctrl-C reaches the parent only, which stops its services before the broker
        )
    broker = Broker(chosen, taken, child)
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and broker.alive():
        with contextlib.suppress(OSError), socket.create_connection((HOST, taken), timeout=1.0):
            return broker
        time.sleep(LOOK_S)
    broker.stop()
    raise Misconfigured("broker-failed", chosen)


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise Misconfigured("port-taken", "network.broker_port") from None
        free: int = probe.getsockname()[1]
        return free


def _mosquitto() -> str | None:
    """Debian puts it into /usr/sbin, which is not on every user's PATH."""
    return shutil.which("mosquitto", path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin")))


def _mosquitto_command(folder: Path, port: int) -> list[str]:
    program = _mosquitto()
    if program is None:
        raise Misconfigured("broker-missing")
    # `user` is whoever we are: a change of user would clear the parent-death signal (prctl(2)).
    settings = f"""
        listener {port} {HOST}
        allow_anonymous true
        user {pwd.getpwuid(os.geteuid()).pw_name}
        persistence true
        persistence_location {folder.absolute()}/
        autosave_interval 30
        max_packet_size {PACKET_BYTES_MAX}
        max_queued_messages {QUEUED_MESSAGES_MAX}
        max_queued_bytes {QUEUED_BYTES_MAX}
        set_tcp_nodelay true
        log_type error
        log_type warning
    """
    return [program, "-c", str(_write(folder / "mosquitto.conf", settings))]


def _iotcore_command(folder: Path, port: int) -> list[str]:
    if find_spec("iotcore") is None:
        raise Misconfigured("broker-missing")
    settings = f"""
        id = 0
        [router]
        id = 0
        max_connections = 64
        max_outgoing_packet_count = 200
        max_segment_size = 104857600
        max_segment_count = 10
        [v5.1]
        name = "loopback"
        listen = "{HOST}:{port}"
        next_connection_delay_ms = 1
        [v5.1.connections]
        connection_timeout_ms = 60000
        max_payload_size = {PACKET_BYTES_MAX}
        max_inflight_count = 100
    """
    path = _write(folder / "iotcore.toml", settings)
    # -P keeps the working folder off the import path; rumqttd logs an error for every packet, hence the level.
    return [sys.executable, "-P", "-m", "iotcore", "--config", str(path), "--log-level", "CRITICAL"]


def _write(path: Path, settings: str) -> Path:
    path.write_text("".join(f"{line.strip()}\n" for line in settings.strip().splitlines()), "utf-8")
    return path.absolute()


def die_with(parent: int) -> Callable[[], None]:
    """What a child runs before it becomes a program: it is killed when its parent dies (prctl(2))."""

    def last_will() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we had asked
            os._exit(1)

    return last_will
