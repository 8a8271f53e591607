"""The watch in a real ledger: counted once, drawn once, answered once, and what an alarm takes away stays away."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select

from appliance.config import Audit, Config
from appliance.core.certificate import Ends, Group
from appliance.core.decide import Decision, Model
from appliance.core.standing import Standing
from appliance.core.study import Instance, Patient, Reason, Scores
from appliance.loop import Moment
from appliance.triage import judge as judging
from appliance.triage import looking
from appliance.triage.looking import Court
from appliance.triage.watch import Watch
from appliance.world import audit_desk, desk, ledger, sqlite
from appliance.world.inference import Bench as Inference
from appliance.world.ledger import watch as book
from tests.core import test_decide as rule
from tests.simulate.house import SITE_KEY
from tests.tiny import tiny
from tests.triage.conftest import Bench

TITLE = rule.MANIFEST.title
DAY_S = 86_400.0
ANY = Group(
    manufacturer="Harbour Imaging",
    manufacturer_model_name="PX-224",
    modality="CR",
    body_part_examined="CHEST",
    patient_age_years_min=None,
    patient_age_years_max=None,
)


def a_model(*names: str, **changed: object) -> Model:
    """The model of the rule's own tests, with certificates of our own for the site `bench`."""
    dice = random.Random(5)
    measures = ("logit", "distance", "sharpness")
    sample = {name: tuple(sorted(dice.gauss(0, 1) for _ in range(200))) for name in measures}
    told = {"site": "bench", "group": ANY, "reference": sample, **changed}
    return replace(rule.MODEL, certificates=tuple(rule.a_certificate(name=name, **told) for name in names))


def an_instance(n: int) -> Instance:
    return Instance(
        **dict.fromkeys(("transfer_syntax_uid", "view_position", "patient_age"), ""),
        study_instance_uid=f"1.2.{n}",
        series_instance_uid=f"1.2.{n}.1",
        sop_instance_uid=f"1.2.{n}.1.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        sha256=f"{n:064x}",
        bytes_count=10,
        patient=Patient("P", "N", "", "", "", "", ""),
        modality="CR",
        body_part_examined="CHEST",
        manufacturer="Harbour Imaging",
        manufacturer_model_name="PX-224",
        instance_number=1,
        images_in_acquisition=None,
        number_of_frames=1,
        rows=64,
        columns=64,
        has_pixels=True,
    )


def a_decision(model: Model, lane: str = "cleared", shift: float = 0.0, n: int = 0) -> Decision:
    dice = random.Random(n)
    measures = {name: dice.gauss(0, 1) for name in ("distance", "sharpness")}
    scores = (Scores(TITLE, dice.gauss(shift, 1), None, measures, 1),)
    name = model.certificates[0].name if model.certificates else None
    reason = (Reason(f"{lane}-under-certificate", "as told"),)
    number = 1 if lane != "escalated" else None
    return Decision(lane, lane, reason, scores, TITLE, name, "routine", exit=number)  # type: ignore[arg-type]


class Room:
    """A ledger, a desk and a watch, driven by hand."""

    def __init__(self, root: Path, model: Model, **knobs: float) -> None:
        self.bench = Bench(root)
        self.bench.places.review.mkdir(parents=True, exist_ok=True)
        self.pen = sqlite.open_writer(self.bench.places.review_db, desk.METADATA)
        with self.pen.begin() as c:
            audit_desk.make(c)
        self.knobs = Audit.model_validate(knobs)
        self.now, self.studies, self.answers = 1_000_000.0, 0, 0
        self.model(model)

    def model(self, model: Model) -> None:
        """Another start, with these certificates."""
        if hasattr(self, "watch"):
            self.watch.close()
        self.models = (model,)
        engine = self.bench.triage.engine
        self.watch = Watch(self.knobs, self.bench.places, SITE_KEY, engine, self.court)

    def court(self) -> Court:
        return Court(self.models, Inference(), "bench")

    @property
    def moment(self) -> Moment:
        return Moment(self.now, self.now)

    def decide(self, count: int = 1, lane: str = "cleared", shift: float = 0.0) -> None:
        with self.bench.triage.engine.begin() as c:
            for _ in range(count):
                self.studies += 1
                number, _ = ledger.add_instance(c, an_instance(self.studies), self.now)
                study = ledger.study_by_number(c, number)
                assert study is not None
                decision = a_decision(self.models[0], lane, shift, self.studies)
                self.watch.on_decided(c, study, decision, self.moment)

    def answer(self, audit_id: int, said: str = "absent", nonce: str = "") -> bool:
        self.answers += 1
        with self.pen.begin() as c:
            return audit_desk.answer(
                c,
                nonce=nonce or f"nonce-of-answer-{self.answers}",
                audit_id=audit_id,
                user="kim",
                given=said,  # type: ignore[arg-type]
                at=self.now,
            )

    def answer_open(self, said: Callable[[int], str], count: int = 10_000) -> None:
        for n, row in enumerate([row for row in self.rows(book.audits) if row.answer is None and row.counts][:count]):
            assert self.answer(row.id, said(n))
        while self.watch.audits(self.moment):
            pass

    def withdraw(self, digest: str, nonce: str = "a-nonce-of-a-withdrawal") -> None:
        with self.pen.begin() as c:
            audit_desk.withdraw(c, nonce=nonce, certificate=digest, user="kim", because="odd films", at=self.now)
        self.watch.audits(self.moment)

    def rows(self, table: Any) -> list[Any]:
        with self.bench.triage.engine.connect() as c:
            return list(c.execute(table.select()))

    def monitor(self, digest: str) -> Any:
        with self.bench.triage.engine.connect() as c:
            return book.monitor(c, digest)

    def standing(self) -> Any:
        with self.bench.triage.engine.connect() as c:
            return self.watch.standing(c, self.moment)

    def close(self) -> None:
        self.watch.close()
        self.pen.dispose()
        self.bench.triage.close()


@pytest.fixture
def model() -> Model:
    return a_model("bench/first")


@pytest.fixture
def room(tmp_path: Path, model: Model) -> Iterator[Room]:
    made = Room(tmp_path, model)
    yield made
    made.close()


def test_every_one_of_the_first_three_hundred_is_drawn(room: Room, model: Model) -> None:
    room.knobs = Audit(detect_days=3650.0, cleared_per_day=100.0)
    room.model(model)
    room.decide(420)
    drawn = room.rows(book.audits)
    assert [row.drawn_as for row in drawn[:300]] == ["first"] * 300
    assert {row.drawn_as for row in drawn[300:]} <= {"random"}
    assert len(drawn) < 330
    assert len(room.rows(book.watched)) == 420
    assert len(room.rows(book.gauges)) == 3 * 420


def test_other_lanes_give_decoys_that_count_for_nothing(room: Room, model: Model) -> None:
    room.decide(60, "flagged")
    room.decide(60, "escalated")
    drawn = room.rows(book.audits)
    assert 8 <= len(drawn) <= 45
    assert {(row.drawn_as, row.counts) for row in drawn} == {("decoy", False)}
    for row in drawn:
        assert room.answer(row.id, "present")
    room.watch.audits(room.moment)
    assert {row.answer for row in room.rows(book.audits)} == {"present"}
    assert room.monitor(model.certificates[0].digest).answers == 0


def test_a_film_of_two_exits_is_drawn_once(room: Room) -> None:
    """Both exits' certificates saw it; who gets it twice to read has been told something, and reads for nothing."""
    plan = rule.a_certificate().plan.model_copy(update={"exit_1": Ends(clear_at_or_below=None, flag_at_or_above=None)})
    told = {"plan": plan, "plan_digest": plan.digest}
    first, second = (a_model(f"bench/{n}", exit=n, **told).certificates[0] for n in (1, 2))
    room.model(replace(rule.MODEL, certificates=(first, second)))
    with room.bench.triage.engine.begin() as c:
        for n in range(60):
            number, _ = ledger.add_instance(c, an_instance(n), room.now)
            study = ledger.study_by_number(c, number)
            decision = a_decision(room.models[0], "cleared", n=n)
            scores = (*decision.scores, replace(decision.scores[0], exit=2))
            room.watch.on_decided(c, study, replace(decision, scores=scores, exit=2), room.moment)
    drawn = [row.study_number for row in room.rows(book.audits)]
    assert len(drawn) == len(set(drawn)) == 60
    assert {row.certificate for row in room.rows(book.watched)} == {first.digest, second.digest}


def test_another_revision_counts_no_second_time(room: Room, model: Model) -> None:
    room.decide(3)
    again = an_instance(2)
    with room.bench.triage.engine.begin() as c:
        for _ in range(2):
            study = ledger.study_by_uid(c, again.study_instance_uid)
            assert study is not None
            room.watch.on_decided(c, study, a_decision(model, "cleared", 3.0), room.moment)
    digest = model.certificates[0].digest
    assert len(room.rows(book.watched)) == len(room.rows(book.audits)) == 3
    assert {state["n"] for state in room.monitor(digest).state["drift"].values()} == {3}


def test_a_study_cleared_only_at_its_second_revision_is_drawn_then(room: Room, model: Model) -> None:
    room.decide(1, "escalated")
    with room.bench.triage.engine.begin() as c:
        study = ledger.study_by_uid(c, "1.2.1")
        assert study is not None
        room.watch.on_decided(c, study, a_decision(model), room.moment)
    assert [row.drawn_as for row in room.rows(book.audits) if row.counts] == ["first"]
    assert [row.lane for row in room.rows(book.watched)] == ["cleared"]


def test_what_a_certificate_was_not_made_for_is_not_counted(room: Room, model: Model) -> None:
    decision = a_decision(model)
    strangers = [
        replace(an_instance(1), manufacturer="Other"),
        replace(an_instance(2), modality="DX"),
    ]
    with room.bench.triage.engine.begin() as c:
        for stranger in strangers:
            number, _ = ledger.add_instance(c, stranger, 1.0)
            room.watch.on_decided(c, ledger.study_by_number(c, number), decision, room.moment)  # type: ignore[arg-type]
    assert room.rows(book.watched) == []
    room.model(a_model("bench/other", site="elsewhere"))
    room.decide()
    assert room.rows(book.watched) == []


def test_random_weights_and_no_score_are_not_watched(room: Room, model: Model) -> None:
    room.model(replace(model, manifest=rule.MANIFEST.model_copy(update={"weights": "random"})))
    room.decide()
    room.model(model)
    with room.bench.triage.engine.begin() as c:
        number, _ = ledger.add_instance(c, an_instance(9), 1.0)
        study = ledger.study_by_number(c, number)
        assert study is not None
        room.watch.on_decided(c, study, replace(a_decision(model), scores=()), room.moment)
    assert room.rows(book.watched) == []


def test_an_answer_counts_once_whatever_comes(room: Room, model: Model) -> None:
    room.decide(3)
    digest = model.certificates[0].digest
    assert room.answer(1, "present", nonce="the-same-form-twice")
    assert not room.answer(1, "present", nonce="the-same-form-twice")
    assert not room.answer(1, "absent")
    assert room.answer(77, "present")  # no such audit
    for _ in range(3):
        room.watch.audits(room.moment)
    room.model(model)
    room.watch.audits(room.moment)
    found = room.monitor(digest)
    assert (found.answers, found.misses) == (1, 1)
    assert [(row.audit_id, row.outcome) for row in room.rows(book.answers)] == [(1, "counted"), (77, "unknown")]


def test_calm_answers_leave_everything_open(room: Room) -> None:
    room.decide(150)
    room.answer_open(lambda n: "absent")
    assert room.standing() == type(room.standing())()


def test_the_ladder_warns_shrinks_and_then_revokes_for_good(room: Room, model: Model) -> None:
    digest = model.certificates[0].digest
    room.decide(60)
    seen = []
    while not seen or seen[-1] != "revoke":
        room.answer_open(lambda n: "present", 1)
        seen.append(room.monitor(digest).stage)
        standing = room.standing()
        assert (digest in standing.shrunk) == (seen[-1] == "warn")
        assert (digest in standing.revoked) == (seen[-1] == "revoke")
    assert "warn" in seen
    (row,) = room.rows(book.revocations)
    assert (row.cause, row.who) == ("audits", "triage")
    assert "e-value" in row.because
    room.answer_open(lambda n: "absent")  # what comes after lifts nothing
    assert digest in room.standing().revoked


def test_a_shifted_scanner_takes_the_certificate_away_without_any_label(room: Room, model: Model) -> None:
    room.decide(60)
    assert not room.standing().revoked
    room.decide(150, shift=2.0)
    (row,) = room.rows(book.revocations)
    assert row.cause == "drift"
    assert row.because.startswith("logit")
    assert room.standing().revoked == {model.certificates[0].digest}
    gathered = room.monitor(model.certificates[0].digest).state
    room.decide(5)
    assert room.monitor(model.certificates[0].digest).state == gathered


def test_a_revocation_survives_a_restart_and_only_another_certificate_starts_anew(room: Room, model: Model) -> None:
    old = model.certificates[0].digest
    room.decide(20)
    room.withdraw(old)
    room.bench.start()
    room.model(model)
    room.decide(1)
    assert room.standing().revoked == {old}
    (row,) = room.rows(book.revocations)
    assert (row.cause, row.who, row.because) == ("person", "review:kim", "odd films")
    renewed = a_model("bench/first", note="made anew")
    room.model(renewed)
    room.decide(10)
    new = renewed.certificates[0].digest
    assert new != old
    assert new not in room.standing().revoked | room.standing().shrunk
    assert [row.drawn_as for row in room.rows(book.audits) if row.certificate == new] == ["first"] * 10
    assert room.monitor(new).answers == 0
    assert not room.monitor(old).present


def test_a_withdrawal_is_obeyed_once_and_a_strange_one_not_at_all(room: Room, model: Model) -> None:
    digest = model.certificates[0].digest
    room.decide()
    room.withdraw(digest)
    room.withdraw(digest, "another-nonce-of-it")
    room.withdraw("e" * 64, "a-third-nonce-of-it")
    assert [row.outcome for row in room.rows(book.withdrawals)] == ["revoked", "again", "unknown"]
    assert len(room.rows(book.revocations)) == 1


def test_a_withdrawal_counts_before_it_is_taken_over(room: Room, model: Model) -> None:
    digest = model.certificates[0].digest
    room.decide()
    with room.pen.begin() as c:
        audit_desk.withdraw(c, nonce="a-nonce-not-yet-read", certificate=digest, user="kim", because="x", at=room.now)
    assert room.standing().revoked == {digest}
    assert room.rows(book.revocations) == []


def test_what_stood_beside_goes_too_and_what_comes_later_stands(room: Room, model: Model) -> None:
    """A certificate of the same films and day, or an older one, must not take the place of one that was taken away."""
    first = model.certificates[0]
    day = timedelta(days=1)
    twin = a_model("bench/twin").certificates[0]
    older = a_model("bench/older", created=first.created - day).certificates[0]
    newer = a_model("bench/newer", created=first.created + day).certificates[0]
    elsewhere = a_model("bench/group", group=ANY.model_copy(update={"modality": "DX"})).certificates[0]
    room.model(replace(model, certificates=(first, twin, older, newer, elsewhere)))
    room.watch.audits(room.moment)
    room.withdraw(first.digest)
    assert room.standing().revoked == {first.digest, twin.digest, older.digest}
    renewed = a_model("bench/first", note="made anew on the same day")
    room.model(replace(model, certificates=(first, *renewed.certificates)))
    room.decide()
    (row,) = room.rows(book.watched)
    assert row.certificate == renewed.certificates[0].digest


def test_an_older_certificate_that_comes_later_opens_nothing(room: Room, model: Model) -> None:
    """Whoever takes the revoked paper out of the folder and puts the one before it back has made no new promise."""
    first = model.certificates[0]
    older = a_model("bench/older", created=first.created - timedelta(days=1)).certificates[0]
    room.decide()
    room.withdraw(first.digest)
    room.model(replace(model, certificates=(older,)))
    room.watch.audits(room.moment)
    assert room.standing().revoked == {first.digest, older.digest}


def test_the_rule_decides_under_the_renewed_certificate_only() -> None:
    """The rule itself, on a film that would be cleared: taken away it escalates, renewed on the same day it clears."""
    old, new = rule.a_certificate(name="old"), rule.a_certificate(name="new", note="another digest")
    gone = Standing(revoked=frozenset((old.digest,)))
    alone = rule.judged(model=replace(rule.MODEL, certificates=(old,)), standing=gone)
    assert rule.codes(alone) == ["certificate-revoked"]
    for both in ((old, new), (new, old)):
        renewed = rule.judged(model=replace(rule.MODEL, certificates=both), standing=gone)
        assert (renewed.lane, renewed.certificate) == ("cleared", "new")
    older = rule.a_certificate(name="older", created=date(2026, 11, 1))
    assert rule.judged(model=replace(rule.MODEL, certificates=(older, old)), standing=gone).lane == "escalated"


def test_unanswered_audits_halve_the_lanes_until_they_are_answered(room: Room, model: Model) -> None:
    digest = model.certificates[0].digest
    room.decide(2)
    room.now += 13 * DAY_S
    assert not room.standing().shrunk
    room.now += 2 * DAY_S
    assert room.standing().shrunk == {digest}
    room.answer_open(lambda n: "absent")
    assert not room.standing().shrunk


def test_a_clock_that_was_set_back_closes_every_lane_until_it_is_right(room: Room) -> None:
    """Else a certificate that has expired would open again on a machine whose battery is flat."""
    room.decide(1, "escalated")
    room.now += 400 * DAY_S
    room.decide(1, "escalated")
    room.now -= 400 * DAY_S
    assert not room.standing().clock_behind, "what was escalated while the clock stood ahead closes nothing"
    room.decide(1, "flagged")
    room.now -= DAY_S
    assert not room.standing().clock_behind
    room.now -= 60.0
    assert room.standing().clock_behind
    assert rule.judged(-9.0).lane == "cleared"
    behind = rule.judged(-9.0, standing=Standing(clock_behind=True))
    assert (behind.lane, behind.would_be, rule.codes(behind)) == ("escalated", "cleared", ["clock-behind"])
    room.now += 2 * DAY_S
    assert not room.standing().clock_behind


def test_state_that_cannot_be_read_is_an_alarm(room: Room, model: Model) -> None:
    digest = model.certificates[0].digest
    room.decide(2)
    with room.bench.triage.engine.begin() as c:
        book.set_monitor(c, digest, state={"risk": "gone"})
    room.decide(1)
    assert room.standing().revoked == {digest}
    assert room.rows(book.revocations)[0].cause == "state"


def test_a_desk_of_before_is_waited_for(tmp_path: Path, model: Model) -> None:
    bench = Bench(tmp_path)
    bench.places.review.mkdir(parents=True)
    sqlite.open_writer(bench.places.review_db, desk.METADATA).dispose()
    watch = Watch(Audit(), bench.places, SITE_KEY, bench.triage.engine, lambda: Court((model,), Inference(), "bench"))
    assert watch.audits(Moment(1.0, 1.0)) is False
    bench.triage.close()


def test_what_is_in_force_is_filed_for_the_page(room: Room, model: Model) -> None:
    room.watch.audits(room.moment)
    (row,) = room.rows(book.installed)
    assert (row.title, row.present, row.facts["label"]) == (TITLE, True, "pneumonia")
    room.models = ()
    room.watch.audits(room.moment)
    assert [row.present for row in room.rows(book.installed)] == [False]
    assert [row.present for row in room.rows(book.monitors)] == [False]


# Killed anywhere


class Died(BaseException):
    """The process is killed here."""


@contextmanager
def killed_before_commit(number: int) -> Iterator[list[int]]:
    """Dies before the given commit, counted from 0, of any database; tells how many commits there were."""
    seen = [0]

    def burn(_: object) -> None:
        seen[0] += 1
        if seen[0] == number + 1:
            raise Died

    event.listen(Engine, "commit", burn)
    try:
        yield seen
    finally:
        event.remove(Engine, "commit", burn)


class Life:
    """Three films through production triage, the middle one escalated, and a reader who answers what is drawn."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = a_model(
            "bench/first", group=ANY.model_copy(update={"manufacturer": "", "manufacturer_model_name": ""})
        )
        monkeypatch.setattr(judging, "judge", self.judge)
        self.bench = Bench(root)
        self.bench.places.review.mkdir(parents=True, exist_ok=True)
        self.pen = sqlite.open_writer(self.bench.places.review_db, desk.METADATA)
        with self.pen.begin() as c:
            audit_desk.make(c)
        self.start()
        for n in range(3):
            self.bench.put(tiny(f"1.2.826.0.1.{n}", 1, f"PAT-{n}", "CR", n))

    def start(self) -> None:
        self.bench.start(Court((self.model,), Inference(), "bench"))

    def judge(self, _court: Any, instances: Any, _read: Any, **_: Any) -> looking.Judgement:
        n = int(instances[0].study_instance_uid.rpartition(".")[2])
        return looking.Judgement(a_decision(self.model, "escalated" if n == 1 else "cleared", n=n), {})

    def round(self) -> None:
        self.bench.step(passed=4)
        with self.bench.triage.engine.connect() as c:
            drawn = [row.id for row in book.open_audits(c, 100)]
        with self.pen.begin() as c:
            for audit_id in drawn:
                nonce = f"nonce-of-answer-{audit_id}"
                audit_desk.answer(c, nonce=nonce, audit_id=audit_id, user="kim", given="absent", at=self.bench.now)

    def live(self) -> None:
        for _ in range(4):
            self.round()

    def check(self) -> None:
        with self.bench.triage.engine.connect() as c:
            states = {row.study_instance_uid[-1]: row.state for row in c.execute(ledger.studies.select())}
            counted = [row for row in c.execute(book.audits.select()) if row.counts]
            assert c.execute(select(func.count()).select_from(book.watched)).scalar_one() == 3
            assert c.execute(select(func.count()).select_from(book.gauges)).scalar_one() == 9
            monitor = book.monitor(c, self.model.certificates[0].digest)
        assert states == {"0": "routine", "1": "escalated", "2": "routine"}
        assert len(counted) == 2
        assert {row.answer for row in counted} == {"absent"}
        assert monitor is not None
        assert monitor.answers == 2
        assert {each["n"] for each in monitor.state["drift"].values()} == {3}

    def close(self) -> None:
        self.pen.dispose()
        self.bench.triage.close()


def test_killed_before_any_commit_nothing_is_lost_or_counted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Life(tmp_path / "whole", monkeypatch)
    with killed_before_commit(10**9) as seen:
        whole.live()
    whole.check()
    whole.close()
    assert seen[0] > 20
    for number in range(0, seen[0], 2):  # half of them: each life is a second, and the storms die at all
        life = Life(tmp_path / str(number), monkeypatch)
        with killed_before_commit(number):
            try:
                life.live()
            except Died:
                life.start()
        life.live()
        life.check()
        life.close()


def test_the_knobs_have_bounds() -> None:
    assert json.loads(Config().model_dump_json())["audit"] == {
        "detect_days": 90.0,
        "cleared_per_day": 20.0,
        "answer_days": 14.0,
    }
