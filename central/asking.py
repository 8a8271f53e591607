"""Cases to the language model, each claimed, its attempt counted, and a verdict filed whatever comes of it.

Any number of threads and workers may ask: a claim is a lease in the store, so that a case is not asked about twice at
a time, and unique keys see that only one verdict counts when it is after all. It never decides what a patient has: a
verdict is a draft.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Engine

from appliance.core.case import Case, Verdict, decode_case
from appliance.core.document import encode
from appliance.core.drafting.guard import unread, verdict_on
from appliance.core.drafting.question import Answered, Question, question
from appliance.errors import Fault, Quarantined, Unavailable
from appliance.loop import Moment, Step, guarded
from central import store
from central.registry import Registry
from central.telling import verdict_letter

ATTEMPTS_MAX = 3
PAUSE_MIN_S = 2.0  # before the model is asked again when its server is away
PAUSE_MAX_S = 60.0


class Gate:
    """While the model's server is away, one thread tries it now and then and the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due, self._pause_s, self._trying = 0.0, 0.0, False

    def admits(self, now: float) -> bool:
        """Whether somebody may ask now (s, monotonic); who was admitted must say `answered` or `withdrawn`."""
        with self._lock:
            if self._pause_s and (now < self._due or self._trying):
                return False
            self._trying = True
            return True

    def withdrawn(self) -> None:
        """There was nothing to ask."""
        with self._lock:
            self._trying = False

    def answered(self, now: float, *, away: bool) -> None:
        """Asks nobody for a while, twice as long each time, until the server answers again."""
        with self._lock:
            self._trying = False
            if away and now < self._due:
                return  # another thread has said so of the same absence
            self._pause_s = min(max(self._pause_s * 2, PAUSE_MIN_S), PAUSE_MAX_S) if away else 0.0
            self._due = now + self._pause_s


class Asking:
    """The step ask, and the claims it holds; one of it for each thread that asks.

    worker  under which name cases are claimed
    model   the name the endpoint knows its model by; part of every job's name
    images  the model takes images: it is shown the key images of a case
    ask     puts one question: llm.Endpoint.ask
    wake    set when there is something to say
    """

    def __init__(
        self,
        engine: Engine,
        registry: Registry,
        *,
        worker: str,
        model: str,
        ask: Callable[[Question], Answered],
        wake: threading.Event,
        images: bool = False,
        gate: Gate | None = None,
    ) -> None:
        self.engine, self.registry, self.worker = engine, registry, worker
        self.model, self.images, self.wake = model, images, wake
        self.gate = gate or Gate()
        self.claimed: int | None = None  # the case that is being asked about, for whoever renews the claim
        self._ask = ask

    def steps(self) -> dict[str, Step]:
        return {"centre.ask": self.ask}

    def ask(self, moment: Moment) -> bool:
        """Asks the language model about the most urgent case.

        While its server is away the cases wait here, all but the one that is tried; that one ends as `needs_human`
        when its attempts are spent, so that a broken case can hold up no other.
        """
        if not self.gate.admits(moment.mono):
            return False
        away: bool | None = None
        try:
            with store.transaction(self.engine) as c:
                row = store.claim_case(c, self.worker, moment.wall)
            if row is None:
                return False
            self.claimed = row.id
            away, concluded = self._ask_about(row, moment)
            if not concluded:
                with store.transaction(self.engine) as c:
                    store.let_go(c, row.id, self.worker)
            return concluded
        finally:
            self.claimed = None
            if away is None:
                self.gate.withdrawn()
            else:
                self.gate.answered(moment.mono, away=away)

    def _ask_about(self, row: Any, moment: Moment) -> tuple[bool | None, bool]:
        """Returns whether the server was away (None: it was not asked), and whether there is a verdict now."""
        asked = guarded("centre.ask", partial(_question_of, row, self.model, self.images))
        if isinstance(asked, Fault):
            self._conclude(row, "", unread(row.case_id, row.urgency, asked.code, self.model), moment)
            return None, True
        case, put = asked
        with store.transaction(self.engine) as c:
            attempts = store.count_ask(c, row.id, put.sha256, moment.wall)
        away: bool | None = None
        if attempts > ATTEMPTS_MAX:  # the last one ended the service itself
            verdict: Verdict | Fault = Quarantined("llm-attempts-spent")
        else:
            verdict = guarded("centre.ask", lambda: verdict_on(case, self._ask(put), put.images))
            away = isinstance(verdict, Unavailable)
        if isinstance(verdict, Unavailable):
            if attempts < ATTEMPTS_MAX:
                return away, False
            verdict = Quarantined("llm-attempts-spent")
        if isinstance(verdict, Fault):
            connected = verdict.code == "llm-answer-invalid"
            verdict = unread(case.case_id, case.urgency, verdict.code, self.model, connected=connected)
        self._conclude(row, put.sha256, verdict, moment)
        return away, True

    def _conclude(self, row: Any, request_hash: str, verdict: Verdict, moment: Moment) -> None:
        body, device = encode(verdict), self.registry.device(row.device_id)
        own = self.registry.own[0]
        letter = None if device is None else verdict_letter(own, device, row.case_id, verdict.rev, body)
        with store.transaction(self.engine) as c:
            number = store.file_verdict(
                c,
                row.id,
                rev=verdict.rev,
                request_hash=request_hash,
                status=verdict.status,
                body=body,
                letter=letter,
                at=moment.wall,
            )
        if number is not None:
            self.wake.set()


def _question_of(row: Any, model: str, images: bool) -> tuple[Case, Question]:
    """The case in the store, read strictly again: it may have been written by another version."""
    if row.body is None:
        raise Quarantined("message-invalid", "Case")
    case = decode_case(row.body)
    return case, question(case, model, images)
