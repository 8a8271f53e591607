"""Corrections on their way: letters of triage's that uplink cannot read, a few at a time, behind all cases.

One goes only once the centre has its case, and again, waiting longer each time, until the centre says that it has filed
it or why it never will. One of a later edition than the centre reads is held, and tried once more after every start:
whoever brings a side up to date starts it. Where the site's policy is to keep them nothing goes.
"""

import random
from typing import Protocol

from sqlalchemy import Connection, Engine

from appliance.config import Config
from appliance.core.link import Wire
from appliance.core.messages import Filed, topic_up
from appliance.errors import CATALOGUE
from appliance.loop import FAULTS, LOG, Moment, Step
from appliance.world.wire import corrections as mail

LOOK_PERIOD_S = 2.0
LETTERS_A_LOOK = 4  # of the connection's window most is for cases, and the rest for `taken` and the roll
JITTER = (0.75, 1.25)
TIMERS_MAX = 10_000
NOT_YET = frozenset({"message-newer"})  # codes of the centre that its next version may take back
REFUSED = "correction-refused"  # for a code of a later centre that this catalogue does not know


class Mailboxes(Protocol):
    """Uplink's own database, and triage's once it is there."""

    ledger: Engine

    def cases(self) -> Engine | None: ...


class Corrections:
    """The step uplink.corrections; none where they are to stay."""

    def __init__(self, config: Config, mailboxes: Mailboxes, link: Wire, randomness: random.Random) -> None:
        self.stay = config.learning.corrections == "keep"
        self.network, self.mailboxes, self.link, self.randomness = config.network, mailboxes, link, randomness
        self.topic = topic_up(config.site.device_id, "correction")
        self._due: dict[mail.Name, tuple[float, float]] = {}  # when it goes again (s, monotonic); after which wait
        self._look_again = 0.0

    def steps(self) -> dict[str, Step]:
        return {} if self.stay else {"uplink.corrections": self.send}

    def send(self, moment: Moment) -> bool:
        """Sends what is due; each sending is counted before it is made."""
        if moment.mono < self._look_again or not self.link.connected:
            return False
        self._look_again = moment.mono + LOOK_PERIOD_S
        cases = self.mailboxes.cases()
        if cases is None:
            return False
        batch = self._batch(cases, moment)
        if not batch:
            return False
        with self.mailboxes.ledger.begin() as c:
            for name, _ in batch:
                mail.record_sent(c, name, moment.wall)
        for name, letter in batch:
            if not self.link.publish(self.topic, letter, token=("correction", *name)):
                break  # still due: the window was full or the connection went
            self._wait(name, moment)
        return False  # the loop comes back by itself: corrections are never in a hurry

    def _batch(self, cases: Engine, moment: Moment) -> list[tuple[mail.Name, bytes]]:
        with cases.connect() as c, self.mailboxes.ledger.connect() as own:
            rows = mail.waiting(c)
            there = mail.at_centre(own, {row.case_id for row in rows})
            told = mail.answers(own, [(row.key, row.rev) for row in rows])
            names = [(row.key, row.rev) for row in rows if row.case_id in there]
            # Of those sent since this start: what was said before it is asked for again.
            held = mail.held(own, [name for name in names if name in self._due])
            open_ = [name for name in names if name not in told and name not in held]
            due = [name for name in open_ if moment.mono >= self._due.get(name, (0.0, 0.0))[0]]
            letters = [(name, mail.letter_of(c, name)) for name in due[:LETTERS_A_LOOK]]
        return [(name, letter) for name, letter in letters if letter is not None]

    def _wait(self, name: mail.Name, moment: Moment) -> None:
        if len(self._due) >= TIMERS_MAX:
            self._due.clear()
        most = max(self.network.resend_after_s, self.network.resend_after_max_s)
        wait_s = min(max(self._due.get(name, (0.0, 0.0))[1] * 2, self.network.resend_after_s), most)
        self._due[name] = (moment.mono + wait_s * self.randomness.uniform(*JITTER), wait_s)


def believe(c: Connection, cases: Engine | None, said: Filed, at: float) -> str:
    """What the centre said of a correction, filed; returns "" or the code under which it is kept aside instead."""
    name = (said.key, said.rev)
    if cases is None:
        return "message-unasked"
    with cases.connect() as own:
        row = mail.named(own, name)
    if row is None:
        return "message-unasked"
    if row.letter_sha256 != said.letter_sha256:
        return "receipt-mismatch"
    code = said.code or ""
    if code and code not in CATALOGUE:
        code = REFUSED
    if code in NOT_YET:
        mail.hold(c, name, code, at)
    elif not mail.record_answer(c, name, code, at):
        return "message-contradicts"
    if code:
        FAULTS[code] += 1
        LOG.warning("uplink.listen: the centre does not take a correction: %s", code)
    return ""
