"""Who decides next and who goes back: by figures and certificates of this site, never without one, and once."""

import atexit
import dataclasses
import functools
import json
import random
import shutil
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Config, Places
from appliance.core.alarms import Condition, alarms
from appliance.core.certificate import Certificate, signed
from appliance.core.roles import Order
from appliance.core.standing import Standing
from appliance.core.updates import Offer, Terms
from appliance.loop import Moment
from appliance.triage.lineup import Lineup
from appliance.triage.promotion import FIGURES_PERIOD_S, Promotion
from appliance.world import desk, ledger, sqlite
from appliance.world.ledger import promotion as book
from appliance.world.ledger import roles as orders
from appliance.world.ledger import shadows, updates, watch
from appliance.world.models import load_packages
from appliance.world.models.making import install
from tests.core.drawn_graphs import net
from tests.core.test_decide import a_certificate
from tests.core.test_promotion import SAMPLE
from tests.triage.test_watch import an_instance
from tests.world.drawn_packages import KEYS, SECRET, trust, write

NOW = 1_000_000.0
OLD, NEW = "chest/1.0.0", "chest/1.1.0"
SITE_KEY = bytes(32)
CONDITION = Condition()
CLEARED, FLAGGED = "cleared-under-certificate", "flagged-under-certificate"


@functools.cache
def _packages() -> Path:
    """Both packages, made once."""
    root = Path(tempfile.mkdtemp(prefix="promoting-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    write(root / "shipped", "chest", "1.0.0", graphs={"model.onnx": net()}, weights="trained")
    write(root / "made", "chest", "1.1.0", graphs={"model.onnx": net(gain=2.0)}, weights="trained")
    return root


class House:
    """chest/1.0.0 shipped, chest/1.1.0 installed, certificates where a test lays them, studies as a test files them."""

    def __init__(self, root: Path, **knobs: Any) -> None:
        self.places = Places(root / "state")
        self.places.phi.mkdir(parents=True)
        self.places.review.mkdir()
        shutil.copytree(_packages() / "shipped", root / "shipped")
        install(_packages() / "made/chest/1.1.0", self.places.models, KEYS)
        told = {"model_folder": root / "shipped", "trusted_keys": trust(root / "trusted")}
        knobs = {"promote_after_studies": 20, **knobs}
        self.config = Config.model_validate({"triage": told, "updates": knobs, "site": {"name": "harbour"}})
        self.engine = sqlite.open_writer(self.places.studies_db, ledger.METADATA)
        self.desk = sqlite.open_writer(self.places.review_db, desk.METADATA)
        self.now, self.studies, self.standing = NOW, 0, Standing()
        self.start()

    def start(self) -> None:
        self.lineup = Lineup(self.config, self.places, self.engine)
        self.promotion = Promotion(self.config, SITE_KEY, self.lineup, lambda *_: self.standing)

    def close(self) -> None:
        self.lineup.close()
        self.engine.dispose()
        self.desk.dispose()

    def certify(self, title: str, **changed: Any) -> Certificate:
        packages, _ = load_packages(
            [self.config.triage.model_folder, self.places.models], self.config.triage.trusted_keys
        )
        model = next(each.model for each in packages if each.title == title)
        plan = a_certificate().plan.model_copy(
            update={
                "model_sha256": model.sha256,
                "gates_digest": model.references["default"].digest,
                "preparation_digest": model.preparation_digest,
            }
        )
        told = {"created": date(1970, 1, 1), "expires": date(1970, 3, 1), "reference": {"logit": SAMPLE}, **changed}
        group = a_certificate().group.model_copy(update={"patient_age_years_min": None, "patient_age_years_max": None})
        made = signed(a_certificate(plan=plan, plan_digest=plan.digest, group=group, **told), SECRET)
        folder = self.places.certificates / title
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{made.digest}.json").write_text(json.dumps(made.model_dump(mode="json")))
        self.lineup.changed()
        return made

    def order(self, kind: Any, subject: str, share: float = 1.0) -> None:
        with self.desk.begin() as c:
            desk.order(c, Order(kind, subject, share), nonce=f"{self.now:032.0f}", user="kim", at=self.now)
        while self.lineup.orders(Moment(self.now, self.now)):
            pass
        self.now += 1

    def study(self, decider: str, lane: str, code: str, beside: str, said: str, its: str, logit: float = 0.0) -> int:
        """One study that `decider` decided and another model ran beside."""
        self.studies += 1
        self.now += 1
        result = {"lane": lane, "priority": "routine", "reasons": [{"code": code, "text": ""}], "scores": []}
        row = {"lane": said, "reasons": [{"code": its, "text": ""}], "decided_by": decider, "agrees": lane == said}
        scores = [{"exit": 1, "logit": logit, "gates": {}}]
        with self.engine.begin() as c:
            number, _ = ledger.add_instance(c, an_instance(self.studies), self.now)
            ledger.put_result(c, number, 1, {**result, "model": decider, "timings_ms": {}, "decided_at": self.now})
            shadows.put(c, number, 1, {**row, "model": beside, "scores": scores, "at": self.now})
        return number

    def beside(self, count: int = 20) -> None:
        for n in range(count):
            self.study(
                OLD,
                "flagged" if n % 4 == 0 else "cleared",
                CLEARED,
                NEW,
                "flagged" if n % 4 == 0 else "cleared",
                CLEARED,
            )

    def came(self, activate: Any) -> None:
        terms = Terms(kind="model", title=NEW, ring="all", activate=activate)
        with self.engine.begin() as c:
            updates.end(c, Offer("models/chest-1.1.0.tar", "model", "a" * 64, 1, terms), "held", NOW, installed=NEW)

    def look(self) -> None:
        self.now += FIGURES_PERIOD_S
        self.promotion.look(Moment(self.now, self.now))

    @property
    def deciding(self) -> list[str]:
        return [model.manifest.title for model in self.lineup.court.models]

    @property
    def running_beside(self) -> list[str]:
        return [model.manifest.title for model in self.lineup.court.shadows]

    def code(self) -> str:
        with self.engine.connect() as c:
            return {row.title: row.code for row in book.everything(c)}[NEW]

    def fallen(self) -> list[str]:
        with self.engine.connect() as c:
            return book.fallen(c)


@pytest.fixture
def house(tmp_path: Path):
    made = House(tmp_path, models="activate")
    made.order("model-shadow", NEW)
    yield made
    made.close()


def test_it_is_offered_by_figures_and_certificate_and_activated_by_terms(house: House):
    house.certify(OLD)
    house.beside()
    house.look()
    assert house.code() == "uncertified"
    with house.engine.connect() as c:
        (row,) = book.everything(c)
    assert (row.figures["waits"], row.figures["needed"]) == (["uncertified"], 20)
    house.certify(NEW)
    house.look()
    assert house.code() == ""
    assert house.deciding == [OLD]  # nobody ordered it
    house.came("lab")
    house.look()
    assert house.deciding == [OLD]  # not in this appliance's ring
    house.came("all")
    house.look()
    assert house.deciding == [NEW]
    house.look()
    assert house.running_beside == [OLD]  # the one that gave way goes on being compared
    house.order("model-rollback", "chest")
    house.order("model-shadow", NEW)
    house.look()
    assert house.deciding == [OLD]  # a person went back: it is never activated by itself again


def test_a_site_that_wants_to_be_asked_is_asked(tmp_path: Path):
    house = House(tmp_path)
    house.order("model-shadow", NEW)
    house.certify(NEW)
    house.beside()
    house.came("all")
    house.look()
    assert (house.code(), house.deciding) == ("", [OLD])
    with house.engine.connect() as c:
        assert book.offered(c) == [NEW]
    house.close()


@pytest.mark.parametrize("broken", ["few", "silent", "crossed", "less", "misses"])
def test_figures_that_do_not_hold_activate_nothing(house: House, broken: str):
    house.certify(OLD)
    house.certify(NEW)
    house.came("all")
    house.beside(19 if broken == "few" else 20)
    if broken == "silent":
        house.study(OLD, "escalated", "score-between", NEW, "escalated", "model-output-missing")
    if broken == "crossed":
        for _ in range(2):
            house.study(OLD, "flagged", FLAGGED, NEW, "cleared", CLEARED)
    if broken == "less":
        for _ in range(3):
            house.study(OLD, "cleared", CLEARED, NEW, "escalated", "score-between")
    if broken == "misses":
        number = house.study(OLD, "escalated", "score-between", NEW, "cleared", CLEARED)
        with house.engine.begin() as c:
            watch.put_audit(c, certificate="a" * 64, number=number, revision=1, drawn_as="decoy", rate=1.0, at=NOW)
            watch.answer_audit(c, 1, "cannot_tell", "kim", NOW)
    house.look()
    assert (house.code(), house.deciding) == (broken, [OLD])


def activated(house: House) -> Certificate:
    """Both certified, the new one decides and the former one runs beside."""
    house.certify(OLD)
    made = house.certify(NEW)
    house.order("model-activate", NEW)
    house.look()
    assert (house.deciding, house.running_beside) == ([NEW], [OLD])
    return made


def silent(house: House, count: int) -> None:
    for _ in range(count):
        house.study(NEW, "escalated", "model-output-missing", OLD, "cleared", CLEARED)


def test_a_model_that_goes_silent_gives_way(house: House):
    activated(house)
    silent(house, 4)
    house.look()
    assert house.deciding == [NEW]
    silent(house, 1)
    house.look()
    assert house.deciding == [OLD]
    assert house.fallen() == ["chest"]
    assert [each.code for each in alarms(dataclasses.replace(CONDITION, models_fallen=("chest",)))] == [
        "model-fell-back"
    ]
    house.start()
    house.look()
    assert house.deciding == [OLD]
    house.order("model-activate", NEW)
    assert house.fallen() == []


def test_a_model_that_fails_its_own_test_gives_way(house: House):
    activated(house)
    graph = house.places.models / "chest/1.1.0/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    house.lineup.changed()
    assert house.deciding == []  # hard until it is looked at
    house.look()
    assert house.deciding == [OLD]


@pytest.mark.parametrize("why", ["uncertified", "expired", "revoked", "stopped", "damaged", "clock"])
def test_without_a_sound_certified_version_before_cases_stay_hard(house: House, why: str):
    house.certify(NEW)
    before = None
    if why != "uncertified":
        before = house.certify(OLD, **({"expires": date(1970, 1, 5)} if why == "expired" else {}))
    house.order("model-activate", NEW)
    silent(house, 5)
    if why == "revoked" and before is not None:
        house.standing = Standing(revoked=frozenset({before.digest}))
    if why == "stopped":
        house.standing = Standing(stopped=frozenset({OLD}))
    if why == "clock":
        house.standing = Standing(clock_behind=True)
    if why == "damaged":
        graph = house.config.triage.model_folder / "chest/1.0.0/model.onnx"
        graph.write_bytes(graph.read_bytes()[:-1])
        house.lineup.changed()
    house.look()
    assert house.deciding == [NEW]
    assert house.fallen() == []


def alarmed(house: House, made: Certificate, logits: list[float]) -> None:
    for logit in logits:
        number = house.study(NEW, "cleared", CLEARED, OLD, "cleared", CLEARED, logit)
        with house.engine.begin() as c:
            watch.see(c, made.digest, number, "cleared", house.now)
    house.standing = Standing(revoked=frozenset({made.digest}))


def test_after_an_alarm_the_version_before_returns_if_it_is_calm_on_the_same_films(house: House):
    alarmed(house, activated(house), random.Random(2).sample(SAMPLE, 40))
    house.look()
    assert house.deciding == [OLD]


def test_after_an_alarm_about_films_that_moved_for_both_cases_stay_hard(house: House):
    alarmed(house, activated(house), [6.0] * 40)
    house.look()
    assert house.deciding == [NEW]


def test_after_an_alarm_a_version_that_did_not_run_beside_stays_away(house: House):
    made = activated(house)
    with house.engine.begin() as c:
        for n in range(40):
            number, _ = ledger.add_instance(c, an_instance(500 + n), house.now)
            watch.see(c, made.digest, number, "cleared", house.now)
    house.standing = Standing(revoked=frozenset({made.digest}))
    house.look()
    assert house.deciding == [NEW]


def test_a_step_to_an_older_version_is_never_undone(house: House):
    house.certify(OLD)
    house.certify(NEW)
    house.order("model-activate", NEW)
    house.order("model-activate", OLD)
    for _ in range(5):
        house.study(OLD, "escalated", "model-output-missing", NEW, "cleared", CLEARED)
    house.look()
    assert house.deciding == [OLD]


def test_a_person_who_ends_the_comparison_ends_it(house: House):
    activated(house)
    house.order("model-shadow", OLD, 0.0)
    house.look()
    assert house.running_beside == []
    with house.engine.connect() as c:
        assert [row.source for row in orders.history(c)].count("promotion") == 1
