"""Triage takes over what modalities tell of performed procedure steps: evidence of completeness, and of nothing else.

Row first, then the mark by which receive knows the step, then the message goes: what a kill leaves undone is done
again, the same. Of a message that cannot be read nothing is kept, as it would name a patient; its step is unclear then,
and shortens no wait.
"""

import base64
import json
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Engine

from appliance.config import Config, Places
from appliance.core.performed_step import ENDED, Message, State, message_of
from appliance.core.step_files import CREATE, FOLDER, KEEP_S, KNOWN, OVER, SET, key_of
from appliance.errors import Fault, Quarantined
from appliance.loop import FAULTS, Moment, Step, guarded
from appliance.world import archive, ledger
from appliance.world.ledger import performed

LOG = logging.getLogger("appliance.triage")
MESSAGES_A_STEP = 50
MESSAGE_BYTES_MAX = 2 * 2**20
PRUNE_PERIOD_S = 3600.0
FORGET_A_TIME = 200


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as receive filed it: of which step, in which syntax."""

    uid: str
    syntax: str
    data: bytes


class PerformedSteps:
    """The step performed."""

    def __init__(self, config: Config, places: Places, engine: Engine) -> None:
        self.attempts_max = config.triage.attempts_max
        self.folder, self.engine = places.incoming / FOLDER, engine
        self._prune_again = 0.0

    def steps(self) -> dict[str, Step]:
        return {"performed": self.take}

    def take(self, moment: Moment) -> bool:
        """Messages of incoming/steps/ go to the ledger, then away; those of one step in the order of their coming."""
        changes = sorted(self.folder.glob(f"*{SET}"))  # looked for first: the step of each is on file by now
        waiting = [*sorted(self.folder.glob(f"*{CREATE}")), *changes][:MESSAGES_A_STEP]
        for path in waiting:
            self._take_one(path, moment)
        if moment.mono >= self._prune_again:
            self._prune_again = moment.mono + PRUNE_PERIOD_S
            self._forget(moment)
        return bool(waiting)

    def _take_one(self, path: Path, moment: Moment) -> None:
        name, creates = path.name, path.suffix == CREATE
        with self.engine.begin() as c:
            attempts = ledger.count_arrivals(c, [name])[name]
        envelope = guarded("triage.performed", partial(_open, path))
        told: Message | Fault = Quarantined("step-malformed")
        if isinstance(envelope, Envelope) and attempts <= self.attempts_max:
            read = partial(message_of, envelope.syntax, envelope.data, creates=creates)
            told = guarded("triage.performed", read)
        if isinstance(told, Fault):
            FAULTS["step-malformed"] += 1
            LOG.warning("triage.performed: step-malformed")
        state: State | None = None
        with self.engine.begin() as c:
            if isinstance(envelope, Envelope):
                message = None if isinstance(told, Fault) else told
                state = performed.put(c, envelope.uid, message, moment.wall, creates=creates)
            ledger.forget_arrivals(c, [name])
        if isinstance(envelope, Envelope) and state is not None:
            self._mark(key_of(envelope.uid), state)
        archive.remove(path)
        archive.sync_folder(self.folder)
        LOG.info("triage.performed: a step is %s", state or "not known here")

    def _mark(self, key: str, state: State) -> None:
        """What receive goes by. An unclear step is not marked as ended: its modality may go on telling of it."""
        for place in (KNOWN, OVER) if state in ENDED else (KNOWN,):
            (self.folder / place).mkdir(parents=True, exist_ok=True)
            (self.folder / place / key).touch()  # empty: there is no half of it
            archive.sync_folder(self.folder / place)

    def _forget(self, moment: Moment) -> None:
        """Steps of long ago. The marks first: a row is what finds them."""
        with self.engine.connect() as c:
            gone = performed.old(c, moment.wall - KEEP_S, FORGET_A_TIME)
        for uid in gone:
            for place in (OVER, KNOWN):
                archive.remove(self.folder / place / key_of(uid))
        if gone:
            with self.engine.begin() as c:
                performed.forget(c, gone)


def _open(path: Path) -> Envelope:
    if path.stat().st_size > MESSAGE_BYTES_MAX:
        raise Quarantined("step-malformed")
    told = json.loads(path.read_bytes())
    uid = str(told["uid"])
    if told["schema"] != "performed-step/1" or key_of(uid) != path.name.partition(".")[0]:
        raise Quarantined("step-malformed")
    return Envelope(uid, str(told["syntax"]), base64.b64decode(told["data"], validate=True))
