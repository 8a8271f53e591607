"""Triage, the end: what was reviewed long ago, and is known to be kept elsewhere, is forgotten. Every doubt keeps.

The decision, the blanking of all rows, the record and the list of files to remove are one transaction, under the pen
that every other step needs too; the files go after it, each until it is gone. Whatever dies in between begins again.
A study that lacks nothing but a proof has its PACS asked, by an order to deliver that sends nothing.
"""

import hashlib
import hmac
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row

from appliance.config import Config, Places
from appliance.core import pseudonym
from appliance.core.results.order import OBJECTS_MAX, Order
from appliance.core.retention import CLOCK_JUMP_S, CLOCK_WAIT_S, DAY_S, Facts, to_ask, why_kept
from appliance.loop import Moment, Step
from appliance.world import archive, ledger, retention_desk, sqlite, wire
from appliance.world.ledger import commitments, forgetting, reports

LOG = logging.getLogger("appliance.triage")
PERIOD_S = 600.0
EMPTYING_PERIOD_S = 60.0
STUDIES_A_STEP = 20
FILES_A_STEP = 200
ASK_AGAIN_S = 7 * DAY_S  # a PACS that said no is asked again after this
NEVER = -1.0  # no study was reviewed before it
END_OF_CASE = ("closed", "cancelled")

Orders = Mapping[int, Row[Any]]
Files = Sequence[Any]


class Forgetting:
    """The steps forget and forget.wipe. The first does nothing until a site sets a retention or somebody orders it."""

    def __init__(self, config: Config, places: Places, site_key: bytes, engine: Engine, cases: Engine) -> None:
        self.config, self.knobs = config, config.retention
        self.places, self.site_key, self.engine, self.cases = places, site_key, engine, cases
        self.desk: Engine | None = None
        self.next_pass = 0.0
        self.after = 0  # the last study looked at in this pass
        self.waits_until: float | None = None  # mono seconds; a clock that jumped is not believed before
        self.next_emptying = 0.0
        self.log_holds_old = True  # until the write-ahead log is emptied once

    def steps(self) -> dict[str, Step]:
        return {"forget": self.forget, "forget.wipe": self.wipe}

    def forget(self, moment: Moment) -> bool:
        """Looks at some studies whose time may be over; whether there are more."""
        if moment.mono < self.next_pass:
            return False
        held, orders = self._desk()
        if held is None or orders is None or not (self.knobs.keep_days or orders):
            self.next_pass = moment.mono + PERIOD_S
            return False
        before = moment.wall - self.knobs.keep_days * DAY_S if self.knobs.keep_days and self._clock(moment) else NEVER
        with self.engine.connect() as c:
            rows = forgetting.candidates(c, self.after, before, orders, STUDIES_A_STEP)
        for row in rows:
            self._look(row.number, before, held, orders, moment)
        self.after = rows[-1].number if rows else 0
        if not rows:
            self.next_pass = moment.mono + PERIOD_S
        return bool(rows)

    def _desk(self) -> tuple[Orders | None, Orders | None]:
        """Holds, and orders not carried out yet; (None, None) where they cannot be known."""
        if self.desk is None:
            if not self.places.review_db.exists():
                return None, None  # nobody can have signed anything
            self.desk = sqlite.open_reader(self.places.review_db)
        with self.desk.connect() as c:
            held, orders = retention_desk.held(c), retention_desk.to_forget(c)
        with self.engine.connect() as c:
            done = forgetting.obeyed(c)
        return held, {number: row for number, row in orders.items() if row.id not in done}

    def _clock(self, moment: Moment) -> bool:
        """Whether the wall clock may be believed: one that is days ahead of the last look waits a day of running.

        Until then the last look stays on file: a service that starts again meanwhile waits anew.
        """
        with self.engine.begin() as c:
            last = forgetting.last_look(c)
            if last is not None and moment.wall - last > CLOCK_JUMP_S:
                if self.waits_until is None:
                    self.waits_until = moment.mono + CLOCK_WAIT_S
                    LOG.warning("forget: the clock went days ahead; nothing is forgotten for a day")
                if moment.mono < self.waits_until:
                    return False
            self.waits_until = None
            forgetting.looked(c, moment.wall)
        return True

    def _look(self, number: int, before: float, held: Orders, orders: Orders, moment: Moment) -> None:
        """Decides about one study and carries it out, in one transaction."""
        with self.engine.begin() as c:
            study = ledger.study_by_number(c, number)
            if study is None or study.state != "reviewed":
                return
            order = in_force(orders.get(number), study)
            with self.cases.connect() as own:
                files, asked, facts = known_of(c, own, study, held, ordered=order is not None, config=self.config)
            days = self.knobs.keep_days if before > NEVER else 0
            kept = why_kept(facts, days=days, evidence=self.knobs.copy_kept_by, now=moment.wall)
            if to_ask(kept):
                self._ask(c, number, files, asked, moment)
            if kept:
                return
            name = pseudonym.forgotten(self.site_key, study.study_instance_uid)
            code = "retention" if order is None else "order"
            who = "triage.forget" if order is None else f"review:{order.user}"
            if not ledger.move(c, study, "forgotten", who=who, at=moment.wall, code=code):
                return
            evidence = "committed" if facts.committed else self.knobs.copy_kept_by if order is None else "none"
            forgetting.forget(
                c, study, name, rule=code, evidence=evidence, order_id=0 if order is None else order.id, at=moment.wall
            )
        self.log_holds_old = True
        LOG.info("study %d: forgotten (%s, %d files)", number, code, len(files))

    def _ask(self, c: Connection, number: int, files: Files, asked: list[Row[Any]], moment: Moment) -> None:
        """One question at a time; one that was refused is put again after a while."""
        if not self.knobs.pacs or not 0 < len(files) <= OBJECTS_MAX:
            return
        if asked and (asked[0].open or moment.wall - (asked[0].told_at or moment.wall) < ASK_AGAIN_S):
            return
        about = _about(files)
        told = "\0".join(["retention", self.knobs.pacs, about, str(len(asked))]).encode()
        order = Order(
            id=hmac.digest(self.site_key, told, hashlib.sha256).hex()[:32],
            target=self.knobs.pacs,
            kind="commit-ask",
            created_at_s=moment.wall,
            commit=True,
            transaction_uid=about,  # a mark of ours; deliver draws the transaction's own name
            committed=sorted({(row.facts["sop_class_uid"], row.sop_instance_uid) for row in files}),
        )
        reports.put_order(c, order.id, number, self.knobs.pacs, order.model_dump(mode="json"), moment.wall)

    def wipe(self, moment: Moment) -> bool:
        """Removes the files of what was forgotten, each with its decoded frames, then what the journal still holds."""
        with self.engine.begin() as c:
            rows = forgetting.to_wipe(c, FILES_A_STEP)
            gone = [path for row in rows for path in self._files(c, row)]
            for path in gone:
                archive.remove(path)
            for folder in {path.parent for path in gone}:
                if folder.exists():
                    archive.sync_folder(folder)
            for row in rows:
                shutil.rmtree(self.places.frames / row.name, ignore_errors=True)
                forgetting.wiped(c, row)
        if not rows and self.log_holds_old and moment.mono >= self.next_emptying:
            self.next_emptying = moment.mono + EMPTYING_PERIOD_S
            self.log_holds_old = not sqlite.write_through(self.engine)
        return bool(rows)

    def _files(self, c: Connection, row: Row[Any]) -> list[Path]:
        """Where the files of a condemned name lie; none where the same bytes came again since."""
        if forgetting.is_known(c, row.name):
            return []
        if row.place == "report":
            return sorted(self.places.final_reports.glob(f"{row.name}.*"))
        return [archive.instance_path(self.places.instances, row.name)]


def in_force(order: Row[Any] | None, study: Row[Any]) -> Row[Any] | None:
    """An order is none for what came after it: whoever gave it had not seen that."""
    return None if order is None or order.at < study.last_received_at else order


def known_of(
    c: Connection, cases: Connection | None, study: Row[Any], held: Orders, *, ordered: bool, config: Config
) -> tuple[Files, list[Row[Any]], Facts]:
    """A study's files, the questions put about exactly these, and what the rule decides on. cases: wire/cases.db."""
    files = forgetting.files_of(c, study.number)
    asked = forgetting.questions(c, study.number, _about(files))
    found = forgetting.open_ends(c, study, results_go=bool(config.results.targets))
    if study.number in held:
        found.add("held")
    states = {} if cases is None else wire.states_here(cases, forgetting.case_ids(c, study.number))
    if any(state not in END_OF_CASE for state in states.values()):
        found.add("case-open")
    facts = Facts(
        reviewed=study.state == "reviewed",
        since=study.state_since,
        open=frozenset(found),
        committed=any(row.state == "committed" for row in asked),
        promised=commitments.promised(c, study.number),
        ordered=ordered,
    )
    return files, asked, facts


def _about(files: Files) -> str:
    """A mark of exactly these files, in digits."""
    digest = hashlib.sha256("\0".join(row.sha256 for row in files).encode()).hexdigest()
    return str(int(digest, 16))[:60]
