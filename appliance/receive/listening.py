"""Receive on the scanner's network: an object is in incoming/, durably, before its sender hears of success.

A commitment that a scanner asks for is filed there in the same way and not read, and so is what it tells of performed
procedure steps, and word of what came together and was released. It adds to incoming/ and to nothing else, and knows
who may send by the configuration alone. The threads are the listener's; the step only sees to it that there is one.
"""

import base64
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from appliance.config import Config, Places, secret_path
from appliance.config.dimse import Dimse
from appliance.core.step_files import Kind
from appliance.errors import Fault, Misconfigured, Unavailable
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.receive.bursts import Bursts
from appliance.receive.steps import Steps
from appliance.world import archive

LOG = logging.getLogger("appliance.receive")
LANDING = "landing"  # below incoming/, so that a rename moves a whole file on one file system
LOOK_S = 5.0


class Listener(Protocol):
    """world.dimse.Listener, which is not imported before it is needed."""

    port: int

    def tidy(self, now: float) -> None: ...

    def stop(self) -> None: ...


class Listening:
    """The step listen."""

    def __init__(self, config: Config, places: Places) -> None:
        self.knobs: Dimse = config.dimse
        self.reserve, self.file_bytes_max = config.receive.disk_reserve_bytes, config.receive.file_bytes_max
        self.incoming = places.incoming
        self.listener: Listener | None = None
        self.bursts = Bursts()
        self.performed = Steps(self.incoming, self.room)
        self._due = 0.0

    def steps(self) -> dict[str, Step]:
        return {"listen": self.listen} if self.knobs.port else {}

    def listen(self, moment: Moment) -> bool:
        """Opens the door once its address is there, then keeps it tidy; raises Unavailable until it is."""
        if moment.mono < self._due:
            return False
        self._due = moment.mono + LOOK_S
        if self.listener is not None:
            self.listener.tidy(moment.wall)
            return False
        from appliance.world import dimse  # a site without it need not hold its library in memory

        key = secret_path("dimse-tls-key", self.knobs.tls_key_file)
        if self.knobs.tls == "mutual" and key is None:
            raise Misconfigured("dimse-tls", "dimse.tls_key_file")
        if self.knobs.mpps_peers:
            self.performed.open()
        ends = dimse.Ends(
            keep=self.keep,
            ask=self.ask,
            tell=self.tell,
            began=self.bursts.began,
            ended=self.ended,
            room=self.room,
            safely=_safely,
            strange=_strange,
            limited=_limited,
        )
        self.listener = dimse.listen(
            self.knobs, self.incoming / LANDING, self.file_bytes_max, key or self.knobs.tls_key_file, ends
        )
        LOG.info("receive.listen: %s at port %d", self.knobs.ae_title, self.listener.port)
        return True

    def keep(self, path: Path, sha256: Callable[[], str], line: int) -> str:
        """Puts a whole object away: it survives a power cut when this returns "". Else the code of what was wrong."""
        done = guarded("receive.store", lambda: self._keep(path, sha256, line))
        return done.code if isinstance(done, Fault) else ""

    def _keep(self, path: Path, sha256: Callable[[], str], line: int) -> None:
        if not self.room():
            raise Unavailable("disk-low")
        archive.adopt(path, self.incoming, lambda: f"{sha256()}.dcm")
        self.bursts.kept(line, sha256())

    def ask(self, peer: str, syntax: str, data: bytes) -> str:
        """Files a commitment that is asked for, in the same way; the same request again is the same file."""
        told: dict[str, object] = {
            "schema": "commit-request/1",
            "peer": peer,
            "syntax": syntax,
            "data": base64.b64encode(data).decode(),
        }
        done = guarded("receive.commit", lambda: self._note(told, ".commit"))
        return done.code if isinstance(done, Fault) else ""

    def tell(self, kind: Kind, peer: str, uid: str, syntax: str, data: bytes) -> str:
        """Files what a modality tells of a performed procedure step, in the same way."""
        done = guarded("receive.step", lambda: self.performed.file(kind, peer, uid, syntax, data))
        return done.code if isinstance(done, Fault) else ""

    def ended(self, line: int, released: bool) -> None:
        """Says in incoming/ what came together, when the last association that brought some of it was released."""
        burst = self.bursts.ended(line, released)
        if burst is not None:
            told: dict[str, object] = {"schema": "released/1", "peer": burst.peer, "digests": burst.digests}
            guarded("receive.released", lambda: self._note(told, ".released"))

    def _note(self, told: dict[str, object], suffix: str) -> None:
        if not self.room():
            raise Unavailable("disk-low")
        data = json.dumps(told, sort_keys=True).encode()
        archive.put(self.incoming / f"{hashlib.sha256(data).hexdigest()}{suffix}", data)

    def room(self) -> bool:
        return archive.free_bytes(self.incoming) >= self.reserve

    def close(self) -> None:
        if self.listener is not None:
            self.listener.stop()
            self.listener = None


def _strange(address: str) -> None:
    FAULTS["dimse-stranger"] += 1
    LOG.warning("receive.listen: dimse-stranger at %s", address)


def _limited() -> None:
    FAULTS["dimse-limit"] += 1
    LOG.warning("receive.listen: dimse-limit")


def _safely(work: Callable[[], None]) -> bool:
    return not isinstance(guarded("receive.message", work), Fault)
