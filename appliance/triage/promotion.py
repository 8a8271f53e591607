"""Triage, models that come and go by figures: who is offered to decide, who is activated, who goes back by itself.

A model that runs beside is held against the one that decides. Whether it may be activated without a person's order is
asked thrice: the centre named rings in the signed terms, the site allows it, and the model holds a certificate of this
site under which its figures are as they must be. The version that gave way then runs beside in its turn. Whatever
decides goes back to it when it gives no answer, fails its own test or loses its certificates, if the one before still
holds; else its cases are hard, which they are already when this looks.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime

from sqlalchemy import Connection

from appliance.config import Config
from appliance.core import promotion as rule
from appliance.core.certificate import Certificate
from appliance.core.decide import Model
from appliance.core.sampling import uniform
from appliance.core.standing import Standing
from appliance.core.updates import in_ring
from appliance.loop import Moment, Step
from appliance.triage.lineup import Lineup
from appliance.world import ledger
from appliance.world.ledger import promotion as book
from appliance.world.ledger import updates as came
from appliance.world.ledger import watch

LOG = logging.getLogger("appliance.triage")
LOOK_PERIOD_S = 5.0
FIGURES_PERIOD_S = 60.0


class Promotion:
    """The step promotion.

    stands  what stands against models and certificates, as judge asks it
    """

    def __init__(
        self, config: Config, site_key: bytes, lineup: Lineup, stands: Callable[[Connection, Moment], Standing]
    ) -> None:
        self.config, self.site_key, self.lineup, self.stands = config, site_key, lineup, stands
        self.engine = lineup.engine
        self.next_look = self.next_figures = 0.0

    def steps(self) -> dict[str, Step]:
        return {"promotion": self.look}

    def look(self, moment: Moment) -> bool:
        """Going back first: what must not decide is not compared with anything. True where an order was given."""
        if self.lineup.fixed is not None or moment.mono < self.next_look:
            return False
        self.next_look = moment.mono + LOOK_PERIOD_S
        with self.engine.connect() as c:
            standing = self.stands(c, moment)
            active = self.lineup.histories(c)
        done = [self._one(name, titles, standing, moment) for name, titles in active.items()]
        if moment.mono >= self.next_figures or any(done):
            self.next_figures = moment.mono + FIGURES_PERIOD_S
            done.append(self._compare(moment))
        return any(done)

    def _one(self, name: str, titles: list[str], standing: Standing, moment: Moment) -> bool:
        """One name: its deciding version goes back where it must, else the one before it runs beside."""
        if len(titles) < 2 or not rule.is_forward(titles[-2], titles[-1]):
            return False
        title, before = titles[-1], titles[-2]
        with self.engine.connect() as c:
            order = book.activation(c, title)
            since = 0.0 if order is None else order.at
            why = "" if standing.stops(title) else self._why_leaves(c, title, since, standing, moment)
            back = bool(why) and self._may_return(c, before, title, since, why, standing, moment)
        mark = f"{before} {title} {since}"
        if back:
            LOG.error("model %s goes back to %s by itself: %s", title, before, why)
            return self.lineup.by_itself("model-rollback", name, _nonce("back", mark), moment)
        share = self.config.updates.shadow_share_max
        if why or not share or order is None:
            return False
        return self.lineup.by_itself("model-shadow", before, _nonce("beside", mark), moment, share)

    def _why_leaves(self, c: Connection, title: str, since: float, standing: Standing, moment: Moment) -> str:
        """Why the deciding version must not go on: "faults", "silent" or "alarm"; "" where it may."""
        package = self.lineup.sound(title)
        if package is None:
            return "faults"
        last = book.last_reasons(c, title, since, rule.SILENT_RUN)
        if len(last) == rule.SILENT_RUN and all(codes & rule.SILENT for codes in last):
            return "silent"
        lost = any(each.digest in standing.revoked and each.site == self._site for each in package.certificates)
        return "alarm" if lost and not self._in_force(package, standing, moment) else ""

    def _may_return(
        self, c: Connection, before: str, title: str, since: float, why: str, standing: Standing, moment: Moment
    ) -> bool:
        """Whether the version before may decide again: sound, not stopped, certified, calm on the films at issue."""
        model = self.lineup.sound(before)
        if model is None or standing.stops(before):
            return False
        own = self._in_force(model, standing, moment)
        if why != "alarm":
            return bool(own)
        left = self.lineup.sound(title)
        taken = [] if left is None else [each for each in left.certificates if each.digest in standing.revoked]
        return bool(own) and all(self._calm(c, own, each, before, title, since) for each in taken if each.exit == 1)

    def _calm(
        self, c: Connection, own: tuple[Certificate, ...], taken: Certificate, before: str, title: str, since: float
    ) -> bool:
        """The alarm may be about the films: those for which it was raised are asked of the version before."""
        of = sum(watch.lane_counts(c, taken.digest).values())
        ran = [
            each
            for number, each in book.ran(c, before, title, since)
            if taken.group.holds(ledger.instances_of(c, number)[0])
        ]
        ours = [each for each in own if each.exit == 1 and each.group == taken.group]
        return bool(ours) and all(
            rule.calm(each, ran, lambda name, uid, d=each.digest: self._dice(name, d, uid), of=of)  # type: ignore[misc]
            for each in ours
        )

    def _dice(self, measure: str, digest: str, uid: str) -> float:
        return uniform(self.site_key, f"tie {measure}", digest, uid)

    def _compare(self, moment: Moment) -> bool:
        """Figures of everything that runs beside, on file; one that is ordered from afar and holds is activated."""
        court = self.lineup.court
        with self.engine.connect() as c:
            standing = self.stands(c, moment)
        deciding = {model.manifest.name: model for model in court.models}
        told = {}
        needed = self.config.updates.promote_after_studies
        for model in court.shadows:
            present = deciding.get(model.manifest.name)
            told[model.manifest.title] = self._figures(model, present, standing, moment)
        with self.engine.begin() as c:
            book.keep_only(c, list(told))
            for title, (beside, waits, counted) in told.items():
                row = {**asdict(counted), "waits": list(waits), "needed": needed}
                book.put(c, title, beside, next(iter(waits), ""), row, moment.wall)
        for title, (_, waits, _counted) in told.items():
            if not waits and self._is_ordered(title, standing):
                LOG.warning("model %s is activated as its terms say", title)
                return self.lineup.by_itself("model-activate", title, _nonce("activate", title), moment)
        return False

    def _figures(
        self, model: Model, present: Model | None, standing: Standing, moment: Moment
    ) -> tuple[str | None, tuple[str, ...], rule.Figures]:
        beside = None if present is None else present.manifest.title
        with self.engine.connect() as c:
            counted = rule.figures(book.beside(c, model.manifest.title, beside))
        theirs = () if present is None else self._in_force(present, standing, moment)
        wrong = min((each.plan.contract.false_discovery_max for each in theirs), default=None)
        waits = rule.waits(
            counted,
            certified=bool(self._in_force(model, standing, moment)),
            false_discovery_max=wrong,
            seen_min=self.config.updates.promote_after_studies,
        )
        return beside, waits, counted

    def _is_ordered(self, title: str, standing: Standing) -> bool:
        """Whether the terms under which it came name this appliance's ring, and this site lets that count."""
        knobs = self.config.updates
        if knobs.models != "activate" or standing.stops(title):
            return False
        with self.engine.connect() as c:
            ring = came.activates(c, title)
        return ring is not None and in_ring(ring, own=knobs.ring, device=self.config.site.device_id)

    def _in_force(self, model: Model, standing: Standing, moment: Moment) -> tuple[Certificate, ...]:
        today: date = datetime.fromtimestamp(moment.wall, UTC).date()
        if standing.clock_behind:
            return ()
        return rule.certificates_in_force(model, site=self._site, today=today, revoked=standing.revoked)

    @property
    def _site(self) -> str:
        return self.config.site.name


def _nonce(what: str, mark: str) -> str:
    """One order of a kind for the same case, however often it is looked at."""
    return hashlib.sha256(f"promotion {what} {mark}".encode()).hexdigest()[:32]
