"""Triage, last part: what others wrote in their own databases becomes moves of studies.

A verdict is a row of the uplink's, a signature or command a row of the review service's. Each is read strictly again
and taken over once. A verdict waits until its study's own move to escalated is on file: the other order loses it.
"""

import logging
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Places
from appliance.core.lifecycle import State
from appliance.errors import Fault
from appliance.loop import Moment, Step, guarded
from appliance.triage.post import Post
from appliance.world import desk, ledger, sqlite, wire
from appliance.world.ledger import epochs, forgetting

LOG = logging.getLogger("appliance.triage")
ROWS_A_STEP = 200
SIGNABLE: tuple[State, ...] = ("routine", "hard", "escalated", "answered")


class Answers:
    """The steps absorb and obey."""

    def __init__(self, places: Places, engine: Engine, cases: Engine, post: Post) -> None:
        self.places, self.post = places, post
        self.engine = engine
        self.cases = cases
        self.link: Engine | None = None
        self.desk: Engine | None = None
        self.verdict_cursor = 0  # from the first row after every start: taking over again changes nothing

    def steps(self) -> dict[str, Step]:
        return {"absorb": self.absorb, "refusals": self.refusals, "obey": self.obey}

    def _mailbox(self) -> Engine | None:
        """Uplink's database, once uplink has made it."""
        if self.link is None and self.places.link_db.exists():
            link = sqlite.open_reader(self.places.link_db)
            with link.connect() as c:
                self.link = link if wire.is_made(c, wire.LINK) else None
        return self.link

    def absorb(self, moment: Moment) -> bool:
        """Verdicts into the ledger; only then is the case closed."""
        link = self._mailbox()
        if link is None:
            return False
        with link.connect() as c:
            rows = list(islice(wire.verdicts_of(c, self.verdict_cursor), ROWS_A_STEP))
        waiting = False
        for row in rows:
            waiting |= not self._absorb_one(row, moment)
            if not waiting:
                self.verdict_cursor = row.id
        return bool(rows) and not waiting

    def _absorb_one(self, row: Row[Any], moment: Moment) -> bool:
        """True when nothing more is to be done with this row."""
        found = guarded("triage.absorb", lambda: self.post.verdict(row.case_id, row.rev, row.letter, moment))
        if found is None:
            return False  # no keys to open it with
        if isinstance(found, Fault):
            return True  # uplink's copy stays for inspection; the case stays open and is named as overdue
        with self.engine.begin() as c:
            result = ledger.result_of_case(c, found.case_id)
            if result is None:
                LOG.error("a verdict for a case that this ledger never made is left alone")
                return True
            study = ledger.study_by_number(c, result.study_number)
            assert study is not None, "a result has a study"
            if forgetting.was_forgotten(c, study.number, result.revision):
                LOG.info("study %d: a verdict for what was forgotten is left alone", study.number)
                return True
            current = study.revision == result.revision
            if current and study.state == "hard":
                return False  # sealed, but the move is not on file yet
            addendum = not current or study.state != "escalated"
            ledger.put_verdict(
                c,
                case_id=found.case_id,
                rev=found.rev,
                number=study.number,
                revision=result.revision,
                at=moment.wall,
                addendum=addendum,
                body=found.model_dump(mode="json"),
            )
            if not addendum:
                ledger.move(c, study, "answered", who="triage.absorb", at=moment.wall, code=found.status)
        with self.cases.begin() as c:
            wire.close_case(c, found.case_id, moment.wall)
        return True

    def refusals(self, moment: Moment) -> bool:
        """A case the centre will not take is a person's: the study is set aside, then the case withdrawn."""
        link = self._mailbox()
        if link is None:
            return False
        with self.cases.connect() as own, link.connect() as c:
            states = wire.wire_states(own, c, wire.refused_case_ids(c))
        refused = [case_id for case_id, state in states.items() if state == "refused"]  # not those withdrawn since
        for case_id in refused:
            with self.engine.begin() as c:
                result = ledger.result_of_case(c, case_id)
                study = ledger.study_by_number(c, result.study_number) if result else None
                if result and study and study.revision == result.revision:
                    if study.state == "hard":
                        continue
                    if study.state == "escalated":
                        ledger.move(c, study, "quarantined", who="triage.refusals", at=moment.wall, code="case-refused")
            with self.cases.begin() as c:
                wire.cancel_case(c, case_id, moment.wall)
        return False

    def obey(self, moment: Moment) -> bool:
        """Signatures and commands of the review service, each once, in the order in which they were given."""
        if self.desk is None:
            if not self.places.review_db.exists():
                return False
            opened = sqlite.open_reader(self.places.review_db)
            with opened.connect() as c:
                if not desk.is_made(c):
                    return False
            self.desk = opened
        with self.engine.connect() as c:
            signed, commanded = ledger.last_taken_over(c)
        with self.desk.connect() as c:
            signatures = desk.signatures_after(c, signed, ROWS_A_STEP)
            commands = desk.commands_after(c, commanded, ROWS_A_STEP)
        for row in signatures:
            with self.engine.begin() as c:
                self._sign(c, row, moment)
        for row in commands:
            with self.engine.begin() as c:
                self._command(c, row, moment)
        return bool(signatures or commands)

    def _sign(self, c: Connection, row: Row[Any], moment: Moment) -> None:
        study = ledger.study_by_number(c, row.study_number)
        fits = study is not None and study.revision == row.revision and study.state in SIGNABLE
        if study is not None and fits:
            if study.seq != row.seq_seen:  # a verdict came between the page and here: nobody read it before signing
                ledger.mark_addenda(c, study.number, study.revision)
            ledger.move(c, study, "reviewed", who=f"review:{row.user}", at=moment.wall, code=row.decision)
        ledger.take_over_signature(c, row, "moved" if fits else "stale")

    def _command(self, c: Connection, row: Row[Any], moment: Moment) -> None:
        study = ledger.study_by_number(c, row.study_number)
        fits = study is not None and study.seq == row.seq_seen and study.state == "quarantined"
        if study is not None and fits:
            who = f"review:{row.user}"
            if row.kind == "release":
                # A new revision, hence a new result and a new case: the former may be sent, refused or closed already.
                revision = epochs.next_revision(c, study.revision)
                ledger.move(
                    c, study, "complete", who=who, at=moment.wall, code="release", revision=revision, released=True
                )
                ledger.supersede_results(c, study.number, moment.wall)
            else:
                ledger.move(c, study, "reviewed", who=who, at=moment.wall, code="reject")
        ledger.take_over_command(c, row, "moved" if fits else "stale")
