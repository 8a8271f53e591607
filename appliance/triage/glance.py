"""Triage, beside the judge: a first glance at each film as it arrives, while the patient may still be there.

A radiographer can mend a turned, cropped, blurred, inverted or badly exposed film in a minute, and nobody can an hour
later. So a single film is looked at as soon as it is admitted, before its study is complete, and what could be mended
is kept as a hint. A glance decides nothing and moves nothing: the judge looks again, as if there had been none.

Each attempt is counted before it is made, one film a transaction, so that a film which kills the process costs no other
film its glance and is left to the judge after that.
"""

import logging
from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row

from appliance.config import Config, Places
from appliance.core.decide import Decision, Model, chosen
from appliance.core.gates import mendable
from appliance.core.standing import Standing
from appliance.core.study import Instance, Reason, instance_of
from appliance.errors import Fault
from appliance.loop import Moment, Step, guarded
from appliance.triage.judge import Judging, day
from appliance.triage.looking import Court, Read, judge
from appliance.world import archive
from appliance.world.ledger import glances

LOG = logging.getLogger("appliance.triage")
ATTEMPTS_MAX = 1  # a hint is worth one death, not two
FILMS_A_STEP = 8  # some hundred ms: nobody else's step waits long
ARRIVALS_A_STEP = 500


class Glancing:
    """The step glance. It asks `judging` for the court, so that both look through the same models."""

    def __init__(self, config: Config, places: Places, engine: Engine, judging: Judging) -> None:
        self.knobs = config.triage
        self.places = places
        self.engine = engine
        self.judging = judging

    def steps(self) -> dict[str, Step]:
        return {"glance": self.glance}

    def glance(self, moment: Moment) -> bool:
        """Films that nobody glanced at yet, the newest first."""
        with self.engine.connect() as c:
            waiting = glances.waiting(c, attempts_max=ATTEMPTS_MAX, limit=ARRIVALS_A_STEP)
        court = single_films(self.judging.court)
        films = [row for row in waiting if isinstance(chosen([instance_of(row.facts)], court.models), Model)]
        others = [row for row in waiting if row not in films]
        if others:  # slices, reports, what no model covers by its header: nothing of them is read
            with self.engine.begin() as c:
                glances.pass_over(c, [(row.sha256, row.study_number) for row in others], moment.wall)
        for film in films[:FILMS_A_STEP]:
            self._glance_one(court, film, moment)
        return bool(waiting)

    def _glance_one(self, court: Court, film: Row[Any], moment: Moment) -> None:
        with self.engine.begin() as c:
            glances.begin(c, film.sha256, film.study_number)
            standing = self.judging.stands(c, moment)
        work = partial(
            hints,
            court,
            instance_of(film.facts),
            self._read,
            pixels_max=self.knobs.pixels_max,
            today=day(moment),
            standing=standing,
        )
        found = guarded("triage.glance", work)
        told = () if isinstance(found, Fault) else found  # the judge says what is wrong with it
        with self.engine.begin() as c:
            glances.end(c, film.sha256, told, moment.wall)
        if told:
            LOG.info("study %d: worth repeating: %s", film.study_number, ", ".join(each.code for each in told))

    def _read(self, instance: Instance) -> bytes:
        return archive.read_instance(self.places.instances, instance.sha256, self.knobs.object_bytes_max)


def single_films(court: Court) -> Court:
    """The court with the models for single films only."""
    return Court(tuple(each for each in court.models if each.manifest.input.takes == "frame"), court.bench, court.site)


def hints(
    court: Court, instance: Instance, read: Read, *, pixels_max: int, today: date, standing: Standing
) -> tuple[Reason, ...]:
    """Why a film may be worth repeating; () where nothing is, or where no model for single films covers it."""
    alone = single_films(court)
    if isinstance(chosen([instance], alone.models), Decision):
        return ()
    found = judge(alone, [instance], read, pixels_max=pixels_max, today=today, standing=standing)
    return repeats(found.decision.reasons)


def repeats(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Those of a decision's reasons that a radiographer could mend."""
    codes = mendable(reason.code for reason in reasons)
    return tuple(reason for reason in reasons if reason.code in codes)
