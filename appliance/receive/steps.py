"""Receive, beside its objects: word of performed procedure steps (MPPS, PS3.4 Annex F) is filed, unread, for triage.

What can be answered without reading a data set is answered here: whether a step is known, and whether triage has read
that it ended. A message is durable before its sender hears of success.
"""

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path

from appliance.core.step_files import (
    FOLDER,
    KNOWN,
    OVER,
    SET,
    SETS_MAX,
    STEPS_MAX,
    Kind,
    create_name,
    key_of,
    set_name,
    set_number,
)
from appliance.errors import Refused, Unavailable
from appliance.world import archive


class Steps:
    """Told by the listener's threads, one at a time: two of them must not take one number."""

    def __init__(self, incoming: Path, room: Callable[[], bool]) -> None:
        self.folder, self.room = incoming / FOLDER, room
        self._lock = threading.Lock()

    def open(self) -> None:
        for name in (KNOWN, OVER):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def file(self, kind: Kind, peer: str, uid: str, syntax: str, data: bytes) -> None:
        """Files one message durably.

        raises  Refused("step-known"): created before; Refused("step-unknown"): never created here, or forgotten;
                Refused("step-over"): it ended; Unavailable("step-room"), Unavailable("disk-low")
        """
        if not self.room():
            raise Unavailable("disk-low")
        told = {
            "schema": "performed-step/1",
            "kind": kind,
            "peer": peer,
            "uid": uid,
            "syntax": syntax,
            "data": base64.b64encode(data).decode(),
        }
        with self._lock:
            name = self._name(kind, key_of(uid))
            archive.put(self.folder / name, json.dumps(told, sort_keys=True).encode())

    def _name(self, kind: Kind, key: str) -> str:
        # Triage writes the mark before it takes the file away: looked for in this order, one of them is always seen.
        known = (self.folder / create_name(key)).exists() or (self.folder / KNOWN / key).exists()
        if kind == "create":
            if known:
                raise Refused("step-known")
            if self._count() >= STEPS_MAX:
                raise Unavailable("step-room")
            return create_name(key)
        if not known:
            raise Refused("step-unknown")
        if (self.folder / OVER / key).exists():
            raise Refused("step-over")
        number = 1 + max((set_number(path.name) for path in self.folder.glob(f"{key}.*{SET}")), default=-1)
        if number >= SETS_MAX:
            raise Unavailable("step-room")
        return set_name(key, number)

    def _count(self) -> int:
        """Some stand in both places for a moment, and are counted twice: the limit is none to the last one."""
        return sum(1 for _ in (self.folder / KNOWN).iterdir()) + sum(1 for _ in self.folder.glob(create_name("*")))
