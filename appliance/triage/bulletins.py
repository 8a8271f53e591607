"""Triage, what it says of the whole appliance for whoever looks after many: coded numbers into wire/cases.db.

Uplink may read nothing but wire/, so it is handed over there, a row that is written anew each minute. The document has
no field for a word of a case or a patient (core.bulletin). Nothing waits for it, and nothing here depends on it.
"""

from collections import Counter
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, select

from appliance.condition import condition
from appliance.config import Config, Places
from appliance.core.alarms import Severity, alarms
from appliance.core.bulletin import (
    CERTIFICATES_MAX,
    DAY_COUNT_MAX,
    MODELS_MAX,
    TARGETS_MAX,
    Bulletin,
    Day,
    Running,
    Share,
    UpdatesStanding,
    codes,
)
from appliance.core.model import Model
from appliance.core.policy import NONE
from appliance.core.standing import Standing
from appliance.loop import Moment, Step
from appliance.triage.judge import Judging
from appliance.world import ledger, sqlite, wire
from appliance.world.ledger import updates, watch
from appliance.world.wire import bulletins

PERIOD_S = 60.0
DAY_S = 86_400.0


class Bulletins:
    """The step bulletin. It asks `judging` for the court and for what stands against models and certificates."""

    def __init__(self, config: Config, places: Places, engine: Engine, cases: Engine, judging: Judging) -> None:
        self.config, self.places, self.engine, self.cases, self.judging = config, places, engine, cases, judging
        self.link: Engine | None = None
        self.due = 0.0

    def steps(self) -> dict[str, Step]:
        return {"bulletin": self.tell}

    def tell(self, moment: Moment) -> bool:
        """Writes the row anew when it is due."""
        if moment.mono < self.due:
            return False
        self.due = moment.mono + PERIOD_S
        told = self._made(moment)
        with self.cases.begin() as c:
            bulletins.put(c, told)
        return False

    def _made(self, moment: Moment) -> Bulletin:
        link = self._opened()
        with self.engine.connect() as c, self.cases.connect() as cases:
            if link is None:
                now = condition(self.config, self.places.root, moment.wall, c, cases, None)
            else:
                with link.connect() as other:
                    now = condition(self.config, self.places.root, moment.wall, c, cases, other)
            policy = updates.policy(c)
            return Bulletin(
                made_at=max(int(moment.wall), 0),
                alarms={**codes(alarms(now)), **self._watched(c, moment)},
                day=_day(c, moment),
                models=self._models(self.judging.stands(c, moment), moment),
                policy=0 if policy is NONE else policy.number,
                updates=_updates(c),
            )

    def _watched(self, c: Connection, moment: Moment) -> dict[str, Severity]:
        """What the watch says against certificates that are here: the codes of `appliance metrics`."""
        present = set(c.execute(select(watch.monitors.c.certificate).where(watch.monitors.c.present)).scalars())
        late = watch.overdue(c, moment.wall - self.config.audit.answer_days * DAY_S)
        found: dict[str, Severity] = {}
        if present & {row.certificate for row in watch.revoked(c)}:
            found["watch-revoked"] = "alarm"
        if present & set(watch.under_warning(c)):
            found["watch-warned"] = "warning"
        if present & set(late):
            found["watch-unanswered"] = "warning"
        return found

    def _models(self, standing: Standing, moment: Moment) -> tuple[Running, ...]:
        court = self.judging.court
        told: list[tuple[Model, Share]] = [(each, "deciding") for each in court.models]
        told += [(each, "beside") for each in court.shadows]
        found = [self._running(each, part, standing, moment) for each, part in told]
        return tuple(found[:MODELS_MAX])

    def _running(self, model: Model, part: Share, standing: Standing, moment: Moment) -> Running:
        today = datetime.fromtimestamp(moment.wall, UTC).date()
        site, title = self.judging.court.site, model.manifest.title
        valid = [each for each in model.certificates if each.site == site and each.expires >= today]
        digests = [each.digest for each in valid if each.digest not in standing.revoked]
        return Running(
            title=title,
            sha256=model.sha256,
            part="stopped" if standing.stops(title) else part,
            certificates=tuple(digests[:CERTIFICATES_MAX]),
        )

    def _opened(self) -> Engine | None:
        """Uplink's database, once it has made it."""
        if self.link is None and self.places.link_db.exists():
            opened = sqlite.open_reader(self.places.link_db)
            with opened.connect() as c:
                made = wire.is_made(c, wire.LINK)
            if made:
                self.link = opened
            else:
                opened.dispose()
        return self.link

    def close(self) -> None:
        """Closes the mailbox; for tests that open it again in the same process."""
        if self.link is not None:
            self.link.dispose()
            self.link = None


def _day(c: Connection, moment: Moment) -> Day:
    """By arrival, not by decision: for that there is an index, and each study counts once whatever its revisions."""
    studies, results = ledger.studies, ledger.results
    own = (results.c.study_number == studies.c.number) & (results.c.revision == studies.c.revision)
    chosen = select(studies.c.state, results.c.lane).outerjoin(results, own)
    rows = c.execute(chosen.where(studies.c.first_received_at > moment.wall - DAY_S))
    found = Counter("quarantined" if row.state == "quarantined" else row.lane or "undecided" for row in rows)
    return Day(**{lane: min(found[lane], DAY_COUNT_MAX) for lane in Day.model_fields})


def _updates(c: Connection) -> UpdatesStanding | None:
    stands = updates.stands(c)
    if stands is None:
        return None
    found = Counter("awaited" if row.state == "begun" else row.state for row in updates.everything(c))
    return UpdatesStanding(
        number=stands.number,
        expires=None if stands.expires is None else max(int(stands.expires), 0),
        code=stands.code or None,
        **{state: min(found[state], TARGETS_MAX) for state in ("held", "awaited", "refused", "left", "withdrawn")},
    )
