"""Triage, who is in the court: packages and certificates loaded, orders obeyed, golden films run again daily.

Orders come from readers and the command line (review.db) and, signed, from the centre (link.db). Each is taken over in
one transaction with its effect, so that a crash falls before or after it. A stop counts from the moment it can be read,
even before it is taken over. A certificate or key that was put there or taken away counts some seconds later, without
a restart. Whatever is not sound decides nothing.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine

from appliance.config import Config, Places
from appliance.core.command import Command, why_not_believed
from appliance.core.decide import Model
from appliance.core.document import decode
from appliance.core.package import Package
from appliance.core.roles import Order, OrderKind, Roles, histories, roles, why_malformed, why_not
from appliance.errors import Fault
from appliance.loop import Moment, Step, guarded
from appliance.triage.looking import Court
from appliance.world import desk, sqlite, wire
from appliance.world.inference import Bench
from appliance.world.ledger import roles as book
from appliance.world.ledger import updates
from appliance.world.models import load_packages, trusted_keys
from appliance.world.models.trust import look_of

LOG = logging.getLogger("appliance.triage")
ORDERS_A_STEP = 100
TEST_PERIOD_S = 86_400.0
LOOK_PERIOD_S = 5.0
TEST_AGAIN_S = 3600.0  # where one failed: a busy machine is no broken model


@dataclass(frozen=True, slots=True)
class Given:
    """An order as it lies in a mailbox; outcome is set where it is not to be carried out whatever stands."""

    row: int
    source: book.Source
    nonce: str
    order: Order
    who: str
    issued_at: float
    outcome: str | None


class Lineup:
    """The steps orders and models.test, the court as it stands, and what is stopped.

    court  a fixed one instead of what the folders hold; then nothing can be activated, but everything stopped
    """

    def __init__(self, config: Config, places: Places, engine: Engine, court: Court | None = None) -> None:
        self.config, self.places, self.engine = config, places, engine
        self.fixed = court
        self.bench = Bench()
        self.packages: dict[str, Package] = {}
        self.shipped: tuple[str, ...] = () if court is None else tuple(each.manifest.title for each in court.models)
        self.on_change: Callable[[Court], None] = lambda _: None
        self.desk: Engine | None = None
        self.link: Engine | None = None
        self.cursors: dict[book.Source, int] = {"desk": 0, "centre": 0}  # from the first row after every start
        self.next_test: float | None = None
        self.next_look = 0.0
        self.seen = self._look()
        self._load()
        self.court = self._appointed()

    def steps(self) -> dict[str, Step]:
        return {"models.look": self.look, "orders": self.orders, "models.test": self.test}

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that may run here, whatever its role."""
        if self.fixed is not None:
            return self.fixed.models
        return tuple(each.model for title, each in self.packages.items() if title not in self.bench.faults)

    def look(self, moment: Moment) -> bool:
        """Packages, certificates and keys are read again once one of their files has changed."""
        if self.fixed is not None or moment.mono < self.next_look:
            return False
        self.next_look = moment.mono + LOOK_PERIOD_S
        seen = self._look()
        if seen == self.seen:
            return False
        self.seen = seen
        LOG.info("model folders have changed and are read again")
        self._load()
        self._appoint()
        return True

    def _look(self) -> frozenset[tuple[str, int, int]]:
        knobs = self.config.triage
        return look_of(
            [knobs.trusted_keys, knobs.model_folder, *self.places.site_certificates, *self.places.beside]
        )  # fmt: skip

    def orders(self, moment: Moment) -> bool:
        """Orders from both mailboxes, each once, in the order in which they were given."""
        done = False
        # To the end of both, or after a restart a stop behind a long history would count some rounds late.
        while given := self._waiting(moment):
            for each in given:
                if each.outcome is None and each.order.kind in ("model-activate", "model-shadow"):
                    with self.engine.connect() as c:
                        known = book.is_filed(c, each.source, each.nonce)
                    if not known:  # those of long ago are all seen again after a restart
                        self._load()
                with self.engine.begin() as c:
                    self._obey(c, each, moment)
                self.cursors[each.source] = each.row
            done = True
        if done:
            self._appoint()
        return done

    def stopped(self, c: Connection, moment: Moment) -> frozenset[str]:
        """Titles and names under the kill switch, those included whose stop is still in a mailbox."""
        waiting = [each for each in self._waiting(moment) if each.outcome is None and each.order.kind == "model-stop"]
        new = {each.order.subject for each in waiting if not book.is_filed(c, each.source, each.nonce)}
        return self._roles(c).stopped | new

    def test(self, moment: Moment) -> bool:
        """The golden films of every package again, once a day; one that fails leaves the court for an hour at least."""
        if self.next_test is None:
            self.next_test = moment.mono + self._pause()  # they were run at the start
        if moment.mono < self.next_test:
            return False
        for title in self.packages:
            if self.bench.test(title) is not None:
                LOG.error("model %s is not used: it fails its own test", title)
        self.next_test = moment.mono + self._pause()
        self._appoint()
        return True

    def _pause(self) -> float:
        return TEST_AGAIN_S if self.bench.faults else TEST_PERIOD_S

    def close(self) -> None:
        """Ends the children and closes the mailboxes."""
        self.bench.close()
        self.court.bench.close()  # its own where the court is fixed
        for mailbox in (self.desk, self.link):
            if mailbox is not None:
                mailbox.dispose()

    def _load(self) -> None:
        """Reads the folders again; a damaged package, or one that fails its own golden films, is named and not used."""
        if self.fixed is not None:
            return
        trusted, certificates = self.config.triage.trusted_keys, self.places.site_certificates
        shipped, odd = load_packages([self.config.triage.model_folder], trusted, *certificates)
        installed, odder = load_packages(self.places.beside, trusted, *certificates)
        for each in [*odd, *odder]:
            LOG.error("model package %s is not used: %s", each.folder.name, each.fault.code)
        before, self.packages = self.packages, {}
        for package in [*shipped, *installed]:
            if package.title in self.packages:
                continue
            self.packages[package.title] = package
            known = before.get(package.title)
            if known is None or (known.graphs, known.model.manifest) != (package.graphs, package.model.manifest):
                self.bench.add(package)
                if package.title in self.bench.faults:
                    LOG.error("model %s is not used: it fails its own test", package.title)
        self.shipped = tuple(each.title for each in shipped)

    def _sound(self) -> frozenset[str]:
        return frozenset(model.manifest.title for model in self.models)

    def _roles(self, c: Connection) -> Roles:
        sound = self._sound()
        return roles(book.done(c), [title for title in self.shipped if title in sound], sound)

    def histories(self, c: Connection) -> dict[str, list[str]]:
        """Of each name the titles that came to decide, the present one last."""
        sound = self._sound()
        return histories(book.done(c), [title for title in self.shipped if title in sound])

    def sound(self, title: str) -> Model | None:
        """The model of a title under the site's rules, if it may run here."""
        if title not in self.packages or title in self.bench.faults:
            return None
        return replace(self.packages[title].model, rules=self.config.rules.models)

    def _appoint(self) -> None:
        self.court = self._appointed()
        self.on_change(self.court)

    def _appointed(self) -> Court:
        """The court by the orders on file: who decides, who only looks on, and at which share of studies."""
        if self.fixed is not None:
            return self.fixed
        with self.engine.connect() as c:
            now, most = self._roles(c), updates.policy(c).shadows
        rules = self.config.rules.models
        deciding = tuple(replace(self.packages[title].model, rules=rules) for title in now.deciding)
        shadows = tuple(replace(self.packages[title].model, rules=rules) for title in now.shadows)
        return Court(deciding, self.bench, self.config.site.name, shadows, _at_most(now.shadows, most))

    def delivered(self, title: str, nonce: str, share: float, moment: Moment) -> bool:
        """A package came with the updates: it runs beside from now on; False where it fails its own golden films.

        It never decides by coming: that is an order of somebody's.
        """
        self._load()
        if title not in self._sound():
            return False
        if share > 0:
            self._order("model-shadow", title, share, nonce, moment)
        self._appoint()
        return True

    def withdrawn(self, title: str, nonce: str, moment: Moment) -> None:
        """Whoever published a package takes it back: it is stopped until a person here lets it go on."""
        self._order("model-stop", title, 1.0, nonce, moment)
        self._appoint()

    def changed(self) -> None:
        """Certificates or the policy are others now."""
        self._load()
        self._appoint()

    def by_itself(self, kind: OrderKind, subject: str, nonce: str, moment: Moment, share: float = 1.0) -> bool:
        """An order that follows from figures or an alarm; False where it was given before, whatever came of it then."""
        with self.engine.connect() as c:
            if book.is_filed(c, "promotion", nonce):
                return False
        self._order(kind, subject, share, nonce, moment, "promotion")
        self._appoint()
        return True

    def _order(
        self, kind: OrderKind, title: str, share: float, nonce: str, moment: Moment, source: book.Source = "updates"
    ) -> None:
        # Issued at no time: what comes by itself must not make an order of a person or of the centre look old.
        given = Given(0, source, nonce, Order(kind, title, share), source, 0.0, None)
        with self.engine.begin() as c:
            self._obey(c, given, moment)

    def _obey(self, c: Connection, given: Given, moment: Moment) -> None:
        if book.is_filed(c, given.source, given.nonce):
            return
        outcome = given.outcome
        # A stop is obeyed however late it comes: taking away is safe, and two senders' clocks need not agree.
        if outcome is None and given.source == "centre" and given.order.kind != "model-stop":
            newest = book.newest(c, given.order.subject.partition("/")[0])
            outcome = "stale" if given.issued_at < newest else None
        if outcome is None:
            sound = self._sound()
            shipped = [title for title in self.shipped if title in sound]
            outcome = why_not(given.order, book.done(c), shipped, sound) or "done"
        if outcome == "forged":  # anybody can send these: they leave no row
            LOG.error("an order about a model bears no signature of a trusted key")
            return
        book.file(
            c,
            given.source,
            given.nonce,
            given.order,
            who=given.who,
            issued_at=min(given.issued_at, moment.wall),  # a clock that runs ahead must not outdate what follows
            at=moment.wall,
            outcome=outcome,
        )
        LOG.warning("%s %s: %s", given.order.kind, given.order.subject, outcome)

    def _waiting(self, moment: Moment) -> list[Given]:
        """What lies in both mailboxes behind the cursors."""
        return [*self._from_desk(), *self._from_centre(moment)]

    def _from_desk(self) -> list[Given]:
        if self.desk is None and self.places.review_db.exists():
            self.desk = sqlite.open_reader(self.places.review_db)
        if self.desk is None:
            return []
        with self.desk.connect() as c:
            rows = desk.orders_after(c, self.cursors["desk"], ORDERS_A_STEP)
        found = []
        for row in rows:
            order = Order(row.kind, row.subject, row.share)
            odd = None if why_malformed(order) is None else "unknown"
            found.append(Given(row.id, "desk", row.nonce, order, f"review:{row.user}", row.at, odd))
        return found

    def _from_centre(self, moment: Moment) -> list[Given]:
        if self.link is None and self.places.link_db.exists():
            link = sqlite.open_reader(self.places.link_db)
            with link.connect() as c:
                self.link = link if wire.is_made(c, wire.LINK) else None
        if self.link is None:
            return []
        with self.link.connect() as c:
            rows = wire.commands_after(c, self.cursors["centre"], ORDERS_A_STEP)
        keys: Mapping[str, bytes] = trusted_keys(self.config.triage.trusted_keys)[0] if rows else {}
        found = []
        for row in rows:
            told = guarded("triage.orders", lambda body=row.body: decode(Command, body.encode()))  # type: ignore[misc]
            if isinstance(told, Fault):
                self.cursors["centre"] = max(self.cursors["centre"], row.id)
                continue
            why = why_not_believed(told, trusted=keys, device=self.config.site.device_id, now=moment.wall)
            who = f"centre:{told.signature.key_id}"
            found.append(Given(row.id, "centre", told.nonce, told.order, who, float(told.issued_at), why))
        return found


def _at_most(shares: Mapping[str, float], most: float) -> dict[str, float]:
    """The shares of shadows within what the policy allows."""
    return {title: min(share, most) for title, share in shares.items()}
