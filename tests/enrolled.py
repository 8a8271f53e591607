"""An appliance and a centre enrolled as two houses do it, by files; and a mosquitto in production form between them."""

import hashlib
import io
import os
import pwd
import signal
import socket
import subprocess
import time
from argparse import ArgumentParser, Namespace
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from appliance.core.document import decode, encode
from appliance.core.enrolment import EnrolmentAnswer, EnrolmentRequest, request, request_fingerprint
from appliance.core.keys import PrivateKeys
from appliance.core.link import TlsFiles
from appliance.world import broker
from central import authority, enrol

HOST = "127.0.0.1"
PATIENCE_S = 15.0


def known_keys(name: str) -> PrivateKeys:
    """The same keys for the same name, so that a failure can be seen again."""
    return PrivateKeys(*(hashlib.sha256(f"{name} {use}".encode()).digest() for use in ("signing", "sealing")))


def verb(*words: object) -> Namespace:
    """What the command line makes of the words."""
    parser = ArgumentParser()
    enrol.arguments(parser.add_subparsers(dest="command"))
    return parser.parse_args([str(word) for word in words])


@dataclass
class Centre:
    """A centre's folders, and its verbs as a person would call them."""

    keys: Path
    now_s: float

    def do(self, *words: object, now_s: float | None = None) -> tuple[int, str]:
        said = io.StringIO()
        name, *rest = words
        with redirect_stdout(said):
            status = enrol.run(verb(name, *rest, "--keys", self.keys), now_s=now_s or self.now_s)
        return status, said.getvalue()

    def ask(self, folder: Path, device: str, line_key: EllipticCurvePrivateKey | None = None) -> EnrolmentRequest:
        """A request of a device, as `appliance enrol` writes it, in <folder>/<device>.request."""
        made = request(
            device, known_keys(f"{device} triage"), known_keys(f"{device} uplink"), line_key or authority.new_key()
        )
        (folder / f"{device}.request").write_bytes(encode(made))
        return made

    def enrol(self, folder: Path, device: str, *, days: int = 90, now_s: float | None = None) -> TlsFiles:
        """A whole enrolment; returns what the device dials with."""
        key = authority.new_key()
        made = self.ask(folder, device, key)
        answer = folder / f"{device}.answer"
        told = ("enrol-accept", folder / f"{device}.request", "-o", answer, "--days", days)
        status, _ = self.do(*told, "--fingerprint", request_fingerprint(made.wish), now_s=now_s)
        assert status == 0
        grant = decode(EnrolmentAnswer, answer.read_bytes()).grant
        own, trusted = folder / f"{device}.pem", folder / f"{device}-ca.pem"
        own.write_bytes(grant.certificate.encode() + authority.key_pem(key))
        trusted.write_text(grant.authority)
        return TlsFiles(str(trusted), str(own), str(own))


def new_centre(folder: Path, now_s: float | None = None) -> Centre:
    centre = Centre(folder / "centre", time.time() if now_s is None else now_s)
    assert centre.do("init")[0] == 0
    return centre


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Production:
    """A running mosquitto made by `central broker-config`; `port` is for devices, `centre_port` for workers."""

    folder: Path
    port: int
    centre_port: int
    child: subprocess.Popen[bytes]
    kind: str = "production"

    @property
    def pid(self) -> int:
        return self.child.pid

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.terminate()
        self.child.wait(PATIENCE_S)

    def kill(self) -> None:
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait(PATIENCE_S)

    def again(self) -> "Production":
        """The same broker started anew, after it was stopped or killed."""
        return _started(self.folder, self.port, self.centre_port)


def production(
    centre: Centre, folder: Path, *, hosts: tuple[str, ...] = (HOST,), ports: tuple[int, int] | None = None
) -> Production:
    """Writes a broker's folder, and starts mosquitto on it; ports for devices and workers, None takes free ones."""
    device_port, centre_port = ports or (free_port(), free_port())
    (folder / "state").mkdir(parents=True)
    named = [word for host in hosts for word in ("--host", host)]
    listening = ("--device-port", device_port, "--centre-port", centre_port)
    status, _ = centre.do(
        "broker-config", "-o", folder, *named, "--bind", HOST, *listening, "--broker-state", folder / "state"
    )
    assert status == 0
    return _started(folder, device_port, centre_port)


def _started(folder: Path, port: int, centre_port: int) -> Production:
    program = broker._mosquitto()
    assert program, "Debian's package mosquitto is needed"
    # As whoever we are: mosquitto changes to its own user when root starts it, and could not read the test's folders.
    settings = (folder / "mosquitto.conf").read_text() + f"\nuser {_user()}\n"
    (folder / "test.conf").write_text(settings)
    with (folder / "broker.log").open("ab") as log:
        child = subprocess.Popen([program, "-c", str(folder / "test.conf")], stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and child.poll() is None:
        with suppress(OSError):
            for each in (port, centre_port):
                socket.create_connection((HOST, each), timeout=1.0).close()
            return Production(folder, port, centre_port, child)
    child.kill()
    child.wait()
    raise AssertionError((folder / "broker.log").read_text())


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name
