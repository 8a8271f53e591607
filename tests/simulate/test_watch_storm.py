"""The watch in the storm: crashes anywhere, late instances, any order of steps; each audit drawn and answered once.

The house is that of the other seeds; here its model gives scores under a certificate, and its reader answers what was
drawn beside signing what was decided.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from appliance.core.decide import Decision
from appliance.core.study import Reason, Scores
from appliance.triage import Triage
from appliance.triage import judge as judging
from appliance.triage.looking import Court
from appliance.world import audit_desk, ledger, sqlite
from appliance.world.inference import Bench as Inference
from appliance.world.ledger import watch
from tests import correspondents
from tests.simulate import house
from tests.triage.test_watch import ANY, TITLE, a_model

SEEDS = 1
GROUP = ANY.model_copy(update={"manufacturer": "", "manufacturer_model_name": ""})
MODEL = a_model("simulation/1", site="simulation", group=GROUP)
DIGEST = MODEL.certificates[0].digest


def fate(court: Any, instances: Any, read: Any, **named: Any) -> judging.Judgement:
    judged = REAL_FATE(court, instances, read, **named)
    lane = judged.decision.lane
    if lane == "escalated" or instances[0].modality != "CR":
        return judged
    dice = random.Random(instances[0].sop_instance_uid)
    measures = {name: dice.gauss(0, 1) for name in ("distance", "sharpness")}
    scores = (Scores(TITLE, dice.gauss(0, 1), None, measures, 1),)
    reason = Reason(f"{lane}-under-certificate", "drawn by the simulation")
    name = MODEL.certificates[0].name
    return replace(judged, decision=Decision(lane, lane, (reason,), scores, TITLE, name, "routine", exit=1))


REAL_FATE = house.fate


class Watched(house.House):
    """The house with a model under a certificate, and a reader of blinded films."""

    def start(self, name: str) -> None:
        super().start(name)
        if name == "triage":
            for engine in self.engines[name]:
                engine.dispose()
            court = Court((MODEL,), Inference(), "simulation")
            made = Triage(self.config, self.places, house.SITE_KEY, court, post=correspondents.post(self.config))
            self.engines[name], self.services[name] = [made.engine, made.cases], made.steps()
        if name == "review":
            with self.desk.begin() as c:
                audit_desk.make(c)

    def read(self) -> bool:
        if self.dice.random() < 0.5 or not self.places.studies_db.exists():
            return super().read()
        self.answer(1)
        return True

    def answer(self, count: int) -> None:
        """Some drawn films, possibly a second time."""
        engine = sqlite.open_reader(self.places.studies_db)
        with engine.connect() as c:
            drawn = [row.id for row in watch.open_audits(c, 500)]
        engine.dispose()
        for audit_id in self.dice.sample(drawn, min(count, len(drawn))):
            with self.desk.begin() as c:
                nonce = f"nonce-{audit_id}-{self.dice.randrange(10**9)}"
                audit_desk.answer(c, nonce=nonce, audit_id=audit_id, user="sim", given="absent", at=self.wall)

    def settle(self) -> None:
        """Everything drawn is answered and taken over, in calm weather."""
        for _ in range(3):
            self.answer(500)
            for _ in range(5):
                self._pass_time(jumps=False)
                self._turn("triage")

    def held(self) -> tuple[int, int]:
        """Every cleared study was drawn once, every answer counted once; how many of each."""
        engine = sqlite.open_reader(self.places.studies_db)
        with engine.connect() as c:
            cleared = {
                row.study_number
                for row in c.execute(ledger.results.select())
                if row.certificate and row.lane == "cleared"
            }
            decided = {row.study_number for row in c.execute(ledger.moves.select()) if row.event == "decided"}
            counted = [row for row in c.execute(watch.audits.select()) if row.counts]
            seen = list(c.execute(watch.watched.select()))
            answers = list(c.execute(watch.answers.select()))
            monitor = watch.monitor(c, DIGEST)
        engine.dispose()
        assert monitor is not None
        assert {row.study_number for row in counted} == cleared & decided
        assert len(counted) == len(cleared & decided)
        assert len(seen) == len({row.study_number for row in seen})
        assert all(row.answer == "absent" for row in counted)
        assert monitor.answers == len(counted)
        assert sum(row.outcome == "counted" for row in answers) == len(counted)
        assert len({row.audit_id for row in answers}) == len(answers)
        assert {state["n"] for state in monitor.state["drift"].values()} == {len(seen)}
        return len(counted), self.fuse.crashes


@pytest.mark.parametrize("seed", range(SEEDS))
def test_audits_are_drawn_and_answered_once_whatever_crashes(tmp_path: Path, seed: int) -> None:
    with mock.patch.object(house, "fate", fate):
        made = Watched(tmp_path, seed)
        try:
            made.run(300)
            made.settle()
            counted, crashes = made.held()
        finally:
            for engines in made.engines.values():
                for engine in engines:
                    engine.dispose()
    assert counted > 0
    assert crashes > 0
