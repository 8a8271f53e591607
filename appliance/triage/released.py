"""Triage takes over what receive noted of associations: which objects came together, and that they were released.

The note waits until the files it names are admitted. One that names a file that could not be admitted, or that is not
understood, is evidence of nothing.
"""

import json
import logging
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from appliance.config import Places
from appliance.errors import Fault
from appliance.loop import Moment, Step, guarded
from appliance.world import archive
from appliance.world.ledger import released

LOG = logging.getLogger("appliance.triage")
SUFFIX = ".released"
NOTES_A_STEP = 50
NOTE_BYTES_MAX = 8 * 2**20
KEEP_S = 7 * 86_400.0  # longer than any study grows
PRUNE_PERIOD_S = 3600.0
HEX64 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Note:
    peer: str
    digests: tuple[str, ...]


class Released:
    """The step released."""

    def __init__(self, places: Places, engine: Engine) -> None:
        self.incoming, self.engine = places.incoming, engine
        self._prune_again = 0.0

    def steps(self) -> dict[str, Step]:
        return {"released": self.take}

    def take(self, moment: Moment) -> bool:
        """Notes of incoming/ whose files are admitted go to the ledger, then away."""
        took = False
        for path in sorted(self.incoming.glob(f"*{SUFFIX}"))[:NOTES_A_STEP]:
            note = guarded("triage.released", partial(_read, path))
            if isinstance(note, Note):
                if any((self.incoming / f"{digest}.dcm").exists() for digest in reversed(note.digests)):
                    continue  # they are not admitted yet, which goes by name
                with self.engine.begin() as c:
                    if released.known(c, note.digests) == len(note.digests):
                        released.put(c, path.stem, note.peer, note.digests, moment.wall)
            archive.remove(path)
            took = True
        if moment.mono >= self._prune_again:
            self._prune_again = moment.mono + PRUNE_PERIOD_S
            with self.engine.begin() as c:
                released.prune(c, moment.wall - KEEP_S)
        return took


def _read(path: Path) -> Note | Fault:
    if path.stat().st_size > NOTE_BYTES_MAX:
        raise ValueError("not a note of receive")
    told = json.loads(path.read_bytes())
    digests = tuple(dict.fromkeys(told["digests"]))
    if told["schema"] != "released/1" or not digests or not all(HEX64.fullmatch(each) for each in digests):
        raise ValueError("not a note of receive")
    return Note(str(told["peer"]), digests)
