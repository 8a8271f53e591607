"""A real PostgreSQL, Debian's, in a scratch folder, on a socket of its own, started and killed by whoever tests.

It refuses to run as root, so under root it runs as the user that Debian's package made. It listens on no network.
"""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from appliance.world.broker import die_with

USER = "postgres"
START_TIMEOUT_S = 60.0
LOOK_S = 0.05
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "fsync": "on",
    "synchronous_commit": "on",
}


def programs() -> Path:
    """Where Debian keeps initdb and postgres; the newest version there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert found, "PostgreSQL is missing; tests/system_packages.sh names the package"
    return found[-1]


class Postgres:
    """A server in a folder of its own under the machine's scratch space, which its user must be able to enter.

    from_server  a running one that this one is to follow under the name "standby"
    """

    def __init__(self, from_server: "Postgres | None" = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self.data = self.folder / "data"
        self.prefix: list[str] = []
        owner = pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            owner = USER
            self.prefix = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig=KILL"]
            shutil.chown(self.folder, USER, USER)
        self.child: subprocess.Popen[bytes] | None = None
        self.owner = owner
        if from_server is None:
            self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", USER, "--no-sync")
        else:
            source = f"host={from_server.folder} user={USER} application_name=standby"
            self._run(
                "pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync"
            )

    @property
    def url(self) -> str:
        """For SQLAlchemy, with psycopg."""
        return f"postgresql+psycopg://{USER}@/{USER}?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self.prefix, str(programs() / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Starts, or starts again after a kill, and returns when it takes connections."""
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        command = [*self.prefix, str(programs() / "postgres"), "-D", str(self.data), "-k", str(self.folder), *settings]
        with (self.folder / "log.txt").open("ab") as log:
            self.child = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                preexec_fn=die_with(os.getpid()),
            )
        end = time.monotonic() + START_TIMEOUT_S
        ready = [str(programs() / "pg_isready"), "-q", "-h", str(self.folder)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < end, f"PostgreSQL does not start: {(self.folder / 'log.txt').read_text()[-1000:]}"
            time.sleep(LOOK_S)

    def kill(self) -> None:
        """SIGKILL for the whole server, as when the machine's memory ran out."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
            self.child = None

    def __enter__(self) -> "Postgres":
        self.start()
        return self

    def __exit__(self, _k: type[BaseException] | None, _f: BaseException | None, _t: TracebackType | None) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGINT)  # fast shutdown (postgres(1))
            try:
                self.child.wait(START_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder)
