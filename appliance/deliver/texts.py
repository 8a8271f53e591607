"""How messages of HL7 v2 and resources of FHIR go to one target: a carrier each, as in carriers.

Sent again after a crash, a message bears the same control id and a resource the same id; what a FHIR server has already
is not written again, and a later statement of a study is never overwritten by an earlier one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.core import hl7
from appliance.core.delivery import Answer, of_ack, of_fhir
from appliance.core.results.fhir import later
from appliance.core.results.order import Order, Text
from appliance.deliver.carriers import Tell, Told, attempted, of_kind, whole, worse
from appliance.deliver.orders import Job
from appliance.errors import Quarantined, Unavailable
from appliance.world import mllp
from appliance.world.web import Store, fhir

NOTHING_THERE = (404, 410)


@dataclass(frozen=True, slots=True)
class Speaking:
    """HL7 v2 over MLLP, one message at a time: the next one waits for the acknowledgement of the one before."""

    peer: mllp.Peer
    outbox: Path

    def carry(self, batch: Sequence[Job], tell: Tell) -> None:
        _each(batch, self._send, tell)

    def _send(self, order: Order) -> Answer:
        answer = of_kind(order, "hl7")
        for text in order.texts if answer.fate == "taken" else ():
            message = whole(self.outbox, f"{text.sha256}.msg", text.sha256).read_bytes()
            said = mllp.send(self.peer, message, partial(_answers, text.name))
            answer = worse(answer, of_ack(*_told(said)))
        return answer


def _each(batch: Sequence[Job], send: Callable[[Order], Answer], tell: Tell) -> None:
    """Sends one after the other; one in which the line broke stands behind the others next time."""
    for each in batch:
        try:
            answer = attempted(partial(send, each.order))
        except Unavailable as fault:
            tell(Told(each.order.id, "stored", Answer("again", fault.code)))
            raise
        tell(Told(each.order.id, "stored", answer))


def _answers(control_id: str, said: bytes) -> bool:
    """Whether it acknowledges this message, and not one before it."""
    try:
        made = hl7.read(said)
    except Quarantined:
        return False
    return any(made.first(row, 2) == control_id for row in made.named("MSA"))


def _told(said: bytes) -> tuple[str, str]:
    made = hl7.read(said)
    errors = [made.first(row, 3) for row in made.named("ERR")]
    return made.first(made.named("MSA")[0], 1), errors[0] if errors else ""


@dataclass(frozen=True, slots=True)
class Putting:
    """FHIR R4: each resource under its id."""

    store: Store
    outbox: Path

    def carry(self, batch: Sequence[Job], tell: Tell) -> None:
        line = fhir.Line(self.store)
        try:
            _each(batch, partial(self._send, line), tell)
        finally:
            line.close()

    def _send(self, line: fhir.Line, order: Order) -> Answer:
        answer = of_kind(order, "fhir")
        for text in order.texts if answer.fate == "taken" else ():
            answer = worse(answer, self._put(line, text))
            if answer.fate not in ("taken", "noted"):
                break  # the report names the study: it comes after it
        if answer.fate == "shut":
            raise Unavailable(answer.code)
        return answer

    def _put(self, line: fhir.Line, text: Text) -> Answer:
        data = whole(self.outbox, f"{text.sha256}.msg", text.sha256).read_bytes()
        status, version, there = line.read(text.name)
        if status not in (200, *NOTHING_THERE):
            return of_fhir(status)
        if status == 200:
            which = later(there, json.loads(data))
            if which != "ours":
                return Answer("taken") if which == "same" else Answer("noted", "fhir-later")
        return of_fhir(line.write(text.name, data, version if status == 200 else None))
