"""Triage, corrections on their way out: sealed to the centre, each once, and let go of when the centre has spoken.

Only what was signed while the site's policy was to send goes, and only of a study whose case went to the centre. The
bytes were inspected when they were made and are sealed as they stand. May be killed anywhere: what is handed over is
known by key and rev.
"""

from sqlalchemy import Engine

from appliance.config import Config, Places
from appliance.core.letter import sealed
from appliance.core.messages import topic_up
from appliance.loop import Moment, Step
from appliance.triage.post import Post
from appliance.world import sqlite, wire
from appliance.world.ledger import corrections as book
from appliance.world.wire import corrections as mail

LOOK_PERIOD_S = 5.0
SENT_A_STEP = 50


class CorrectionLetters:
    """The step corrections.send; none where nothing is to leave."""

    def __init__(self, config: Config, places: Places, engine: Engine, cases: Engine, post: Post) -> None:
        self.policy = config.learning.corrections
        self.places, self.post = places, post
        self.engine, self.cases = engine, cases
        self.link: Engine | None = None
        self.handed = 0  # from the first one after every start: what is there already is not sealed again
        self._again = 0.0

    def steps(self) -> dict[str, Step]:
        return {"corrections.send": self.send} if self.policy == "send" else {}

    def send(self, moment: Moment) -> bool:
        """Seals what may leave, each once; and takes the letters away of what the centre has answered."""
        if moment.mono < self._again:
            return False
        self._close(moment)
        sender = self.post.sender(moment)
        with self.engine.connect() as c:
            rows = book.to_send(c, self.handed, SENT_A_STEP)
        if sender is None or not rows:
            self._again = moment.mono + LOOK_PERIOD_S
            return False
        with self.cases.connect() as c:
            gone = wire.known_cases(c, [row.case_id for row in rows])
            there = mail.known(c, [(row.key, row.rev) for row in rows])
        place = topic_up(sender.device_id, "correction")
        for row in rows:
            if row.case_id in gone and (row.key, row.rev) not in there:
                letter = sealed(row.body, place=place, sender=sender.own, recipient=sender.centre)
                with self.cases.begin() as c:
                    mail.put(c, row.key, row.rev, row.case_id, letter, moment.wall)
            self.handed = row.id
        return True

    def _close(self, moment: Moment) -> None:
        """What the centre has filed or refused, and what waits for a case that was taken back before it arrived."""
        link = self._mailbox()
        if link is None:
            return
        with self.cases.connect() as own, link.connect() as c:
            rows = mail.waiting(own)
            told = mail.answers(c, [(row.key, row.rev) for row in rows])
            there = mail.at_centre(c, [row.case_id for row in rows])
        ends: dict[mail.Name, tuple[str, str]] = dict(told)
        for row in rows:
            if (row.key, row.rev) not in told and row.case_state == "cancelled" and row.case_id not in there:
                ends[row.key, row.rev] = ("withdrawn", "")
        if ends:
            with self.cases.begin() as c:
                for name, (state, code) in ends.items():
                    mail.close(c, name, state, code, moment.wall)

    def _mailbox(self) -> Engine | None:
        """Uplink's database, once uplink has made it."""
        if self.link is None and self.places.link_db.exists():
            link = sqlite.open_reader(self.places.link_db)
            with link.connect() as c:
                self.link = link if wire.is_made(c, wire.LINK) else None
        return self.link
