"""From a signature to a correction and to the mailbox: each once, whatever dies between, and nobody named in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from appliance.config.learning import Learning
from appliance.core.case import case_id
from appliance.core.correction import Correction, decode_correction
from appliance.core.letter import opened
from appliance.core.messages import topic_up
from appliance.errors import Quarantined, Unavailable
from appliance.triage import corrections as step
from appliance.triage.correction_letters import CorrectionLetters
from appliance.world import desk, ledger, reading_desk, sqlite, wire
from appliance.world.ledger import corrections as book
from appliance.world.wire import corrections as mail
from tests.core.test_decide import MODEL, a_certificate
from tests.correspondents import CENTRE, DEVICE, TRIAGE
from tests.simulate.house import SITE_KEY
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench
from tests.triage.test_broken_beside import clearing
from tests.triage.test_glance import FILM_UID
from tests.triage.test_headers import DATA

FINDING = MODEL.manifest.label.name


class PowerCut(BaseException):
    """The process is killed here."""


class House(Bench):
    """Triage and what the review service writes beside it."""

    def __init__(self, root: Path, policy: str = "send") -> None:
        super().__init__(root, {"learning": {"corrections": policy}})
        self.places.review.mkdir(exist_ok=True)
        self.pen = sqlite.open_writer(self.places.review_db, desk.METADATA)
        with self.pen.begin() as c:
            reading_desk.make(c)
        self.signed = 0

    def close(self) -> None:
        self.triage.close()
        self.pen.dispose()

    def hard(self, number: int = 1, uid: str = UID) -> None:
        self.put(tiny(uid, number, "PAT-1", "CR", number))
        self.step(passed=1)
        self.step(passed=5)

    def cleared(self) -> None:
        clearing(self)
        self.put(DATA)
        self.step("admit", "assemble")
        self.step("assemble", "judge", passed=9)
        assert self.study(FILM_UID).state == "routine", self.result(FILM_UID).reasons

    def sign(self, decision: Any = "agree", reason: str = "", uid: str = UID, **findings: str) -> None:
        study = self.study(uid)
        self.signed += 1
        with self.pen.begin() as c:
            desk.sign(
                c, nonce=f"n{self.signed}", study_number=study.number, revision=study.revision, seq_seen=study.seq,
                user="anna", decision=decision, correction="Simulated^PAT-1 fell", at=self.now, saw_ai=True,
            )  # fmt: skip
            reading_desk.put_facts(c, self.signed, reason=reason, findings=findings, confirmed="patient_id")

    def add(self, uid: str = UID) -> None:
        study = self.study(uid)
        with self.pen.begin() as c:
            told = {"study_number": study.number, "revision": study.revision, "user": "anna", "at": self.now}
            reading_desk.add(c, nonce=f"a{self.now}", text="Simulated^PAT-1 came back", **told)

    def go(self) -> None:
        names = [name for name in ("obey", "corrections.note", "corrections.send") if name in self.steps]
        self.step(*names, passed=60)

    def made(self) -> list[Correction]:
        with self.triage.engine.connect() as c:
            return [decode_correction(row.body) for row in book.standing(c, every=True)]

    def outcomes(self) -> list[str]:
        with self.triage.engine.connect() as c:
            return list(c.execute(book.makings.select()).scalars("outcome"))  # type: ignore[call-overload]

    def letters(self) -> list[Correction]:
        """What the centre would read of all that was handed over and waits."""
        with self.triage.cases.connect() as c:
            rows = list(c.execute(wire.tables.corrections.select().order_by(wire.tables.corrections.c.rev)))
        place = topic_up(DEVICE, "correction")
        told = [opened(row.letter, place=place, senders=[TRIAGE.public], recipients=[CENTRE]) for row in rows]
        return [decode_correction(each) for each in told]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def test_a_signed_case_becomes_a_correction_in_a_letter_to_the_centre(house: House) -> None:
    house.hard()
    house.sign("correct", "missed-finding", **{"some-words": "right"})
    house.go()
    (made,) = house.made()
    assert house.letters() == [made]
    assert (made.decision, made.reason, made.lane, made.saw_ai) == ("disagree", "missed-finding", "escalated", True)
    assert (made.findings, made.uncoded, made.addenda, made.year) == ((), 1, 0, 1970)
    assert made.case_id == case_id(SITE_KEY, UID, 1)
    assert set(house.cases()) == {made.case_id}
    house.go()
    assert house.letters() == [made]


def test_what_the_model_said_stands_beside_what_the_reader_said(house: House) -> None:
    house.cleared()
    with house.pen.begin() as c:
        number = house.study(FILM_UID).number
        told = {"study_number": number, "revision": 1, "user": "anna", "said": "finding", "text": "a shadow"}
        reading_desk.impress(c, nonce="i1", at=house.now, **told)
    house.sign("correct", "missed-finding", FILM_UID, **{FINDING: "wrong"})
    house.go()
    (made,) = house.made()
    (judged,) = made.findings
    assert (judged.label.scheme, judged.label.code, judged.said) == ("SCT", "233604007", "wrong")
    assert judged.scorer is not None
    assert (judged.scorer.title, judged.scorer.graphs_sha256) == (MODEL.manifest.title, MODEL.sha256)
    assert judged.scorer.certificate_plan == a_certificate().plan.digest
    assert judged.scorer.logit == house.result(FILM_UID).scores[-1]["logit"]
    assert (made.lane, made.impression, made.uncoded) == ("cleared", "finding", 0)
    assert made.selection == "worklist"


def test_of_a_study_that_never_left_nothing_leaves_whatever_the_policy(house: House) -> None:
    house.cleared()
    house.sign("agree", "", FILM_UID)
    house.go()
    assert len(house.made()) == 1
    assert house.letters() == []


def test_the_default_is_to_keep_and_what_was_kept_is_not_sent_later(tmp_path: Path) -> None:
    house = House(tmp_path, "keep")
    try:
        house.hard()
        house.sign()
        house.go()
        assert "corrections.send" not in house.steps
        assert len(house.made()) == 1
        house.config = house.config.model_copy(update={"learning": Learning(corrections="send")})
        house.start()
        house.go()
        assert (len(house.made()), house.letters()) == (1, []), "the site had not agreed to that when it was signed"
        house.add()
        house.go()
        assert [each.rev for each in house.letters()] == [2]
    finally:
        house.close()


def test_what_was_signed_before_the_site_agreed_stays_even_if_it_is_made_later(tmp_path: Path) -> None:
    house = House(tmp_path, "keep")
    try:
        house.hard()
        house.sign()
        house.config = house.config.model_copy(update={"learning": Learning(corrections="send")})
        house.now += 1
        house.start()
        house.go()
        assert (len(house.made()), house.letters()) == (1, [])
    finally:
        house.close()


def test_an_addendum_and_a_new_signature_make_new_revs_of_one_key(house: House) -> None:
    house.hard()
    house.sign()
    house.go()
    house.add()
    house.go()
    house.go()
    house.hard(2)  # a late image
    house.sign("cannot_tell", "image-quality")
    house.go()
    made = house.made()
    assert [(each.rev, each.revision, each.decision, each.addenda) for each in made] == [
        (1, 1, "agree", 0), (2, 1, "agree", 1), (3, 2, "cannot_tell", 0)
    ]  # fmt: skip
    assert len({each.key for each in made}) == 1
    assert [each.case_id for each in made] == [case_id(SITE_KEY, UID, number) for number in (1, 1, 2)]
    assert house.letters() == made
    with house.triage.engine.connect() as c:
        assert [row.rev for row in book.standing(c)] == [3]


def test_an_addendum_to_a_signature_that_is_held_back_goes_to_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hard()
    house.sign()
    house.go()
    house.hard(2)
    house.sign("correct", "other")

    def finds(*_: Any) -> None:
        raise Quarantined("inspect-identity-found", "planted")

    with monkeypatch.context() as patched:
        patched.setattr(step, "inspect", finds)
        house.go()
    house.add()
    house.go()
    assert [(each.rev, each.addenda) for each in house.made()] == [(1, 0)]


def test_an_addendum_waits_for_its_signature(house: House) -> None:
    house.hard()
    house.sign()
    house.add()
    house.step("corrections.note", passed=60)
    assert house.made() == []
    house.go()
    house.go()
    assert [each.addenda for each in house.made()] == [0, 1]


def test_a_signature_that_came_too_late_is_none(house: House) -> None:
    house.hard()
    house.sign()
    house.hard(2)
    house.step("obey")
    house.go()
    assert house.made() == []


def test_nothing_of_a_person_is_in_it_and_a_planted_name_keeps_it_here(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inspector that guards cases reads the finished bytes, whoever made them."""
    house.hard()
    house.sign()
    plain = step.Scorer
    named = plain(title="Simulated/PAT-1", graphs_sha256="5" * 64, exit=1, logit=0.5, certificate_plan=None)
    found = [step.Named("pneumonia", step.label_of("SCT", "233604007"), named)]
    monkeypatch.setattr(step, "known", lambda *_: found)
    house.go()
    assert house.outcomes() == ["inspect-identity-found"]
    assert (house.made(), house.letters()) == ([], [])
    number = house.study().number
    with house.triage.engine.connect() as c:
        assert book.faults(c, 5) == [(number, "inspect-identity-found")]
        assert book.counts(c) == {"kept": 0, "held back": 1}


def test_a_file_that_is_gone_keeps_it_here(house: House) -> None:
    house.hard()
    for path in house.places.instances.glob("*/*.dcm"):
        path.unlink()
    house.sign()
    house.go()
    assert house.outcomes() == ["instance-damaged"]
    assert house.letters() == []


def test_a_making_that_kills_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hard()
    house.sign()

    def dies(*_: Any) -> None:
        raise PowerCut

    monkeypatch.setattr(step, "inspect", dies)
    for _ in range(step.ATTEMPTS_MAX):
        with pytest.raises(PowerCut):
            house.go()
        house.start()
    house.go()
    assert house.outcomes() == ["correction-attempts-spent"]


def test_time_costs_no_attempt(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hard()
    house.sign()

    def away(*_: Any) -> None:
        raise Unavailable("disk-low")

    with monkeypatch.context() as patched:
        patched.setattr(step, "inspect", away)
        for _ in range(5):
            with pytest.raises(Unavailable):
                house.go()
    house.go()
    assert len(house.letters()) == 1


# After what is on the disk; before one where that matters, too: what it would have been one transaction with is undone.
CUTS = [
    *((book, name, "after") for name in ("begin", "put", "end", "to_send")),
    *((mail, name, "after") for name in ("known", "put")),
    *((book, "end", "before"), (mail, "put", "before")),
]


def test_a_kill_at_each_cut_loses_and_doubles_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of everything between a signature and the mailbox; then between each addendum and the mailbox."""
    house.hard()
    house.sign()
    for number, (module, name, when) in enumerate(CUTS):
        real = getattr(module, name)

        def cut(c: Connection, *told: Any, plain: Any = real, when: str = when, **named: Any) -> Any:
            if when == "after":
                plain(c, *told, **named)
                c.commit()  # as far as it is on the disk
            raise PowerCut

        with monkeypatch.context() as patched:
            patched.setattr(module, name, cut)
            with pytest.raises(PowerCut):
                house.go()
        house.start()
        house.go()
        made = [(each.rev, each.addenda) for each in house.letters()]
        assert made == [(each + 1, each) for each in range(number + 1)], f"{when} {name}"
        assert house.made() == house.letters(), f"{when} {name}"
        house.now += 1
        house.add()


def answered(house: House, *ends: tuple[mail.Name, str], received: bool = True) -> None:
    link = house.link()
    with link.begin() as c:
        for case in house.cases() if received else ():
            wire.record_receipt(c, case, house.now)
        for name, code in ends:
            mail.record_sent(c, name, house.now)
            assert mail.record_answer(c, name, code, house.now)
    link.dispose()


def states(house: House) -> dict[str, int]:
    with house.triage.cases.connect() as c:
        return mail.counts(c)


@pytest.mark.parametrize(("code", "state"), [("", "filed"), ("correction-case-unknown", "refused")])
def test_the_centre_s_word_ends_it_and_frees_the_letter(house: House, code: str, state: str) -> None:
    house.hard()
    house.sign()
    house.go()
    (made,) = house.letters()
    answered(house, ((made.key, made.rev), code))
    house.start()
    house.go()
    assert states(house) == {state: 1}
    with house.triage.cases.connect() as c:
        assert mail.letter_of(c, (made.key, made.rev)) is None
        assert [row.code for row in mail.refused(c, 5)] == ([code] if code else [])
    house.start()
    house.go()
    assert states(house) == {state: 1}, "it is not handed over again"


def test_what_waits_for_a_case_that_was_taken_back_is_withdrawn(house: House) -> None:
    house.hard()
    house.sign()
    house.go()
    answered(house, received=False)
    house.go()
    assert states(house) == {"waiting": 1}
    house.hard(2)  # a late image: the first case is cancelled before the centre had it
    house.step("withdraw")
    house.go()
    assert states(house) == {"withdrawn": 1}


def test_what_was_made_is_never_changed(house: House) -> None:
    house.hard()
    house.sign()
    house.go()
    for change in (book.corrections.update().values(rev=9), book.corrections.delete()):
        with house.triage.engine.begin() as c, pytest.raises(IntegrityError, match="only ever added"):
            c.execute(change)
    assert len(house.made()) == 1


def test_no_key_no_letter(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hard()
    house.sign()
    part = next(each for each in house.triage.parts if isinstance(each, CorrectionLetters))
    with monkeypatch.context() as patched:
        patched.setattr(part.post, "sender", lambda _: None)
        house.go()
        assert house.letters() == []
    house.go()
    assert len(house.letters()) == 1


def test_every_move_of_a_correction_is_in_the_table(house: House) -> None:
    from appliance.core.lifecycle import CORRECTION_MOVES, CORRECTION_STATES

    assert {state for move in CORRECTION_MOVES for state in move} == set(CORRECTION_STATES)
    assert ledger.METADATA.tables["corrections"] is book.corrections
