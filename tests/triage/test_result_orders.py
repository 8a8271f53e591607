"""From a signature to a slip in the outbox and back: said once, whatever dies between, and nothing cleared unsigned."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from sqlalchemy import update

from appliance.core.document import decode, encode
from appliance.core.results import check, words
from appliance.core.results.order import Order, Receipt
from appliance.errors import Quarantined
from appliance.triage import results as step
from appliance.world import archive, desk, ledger, sqlite
from appliance.world.ledger import reports
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

PACS = {"kind": "dimse", "host": "127.0.0.1", "port": 104, "ae_title": "PACS"}


class House(Bench):
    """A bench with one target that commits and one that does not."""

    def __init__(self, root: Path, sections: dict[str, Any] | None = None, **more: Any) -> None:
        targets = [{"name": "pacs", "commit": True, **PACS}, {"name": "archive", **PACS}]
        super().__init__(root, {"results": {"targets": targets, **more}, **(sections or {})})

    def hard(self, number: int = 1) -> None:
        self.put(tiny(UID, number, "PAT-1", "CR", 3))
        self.step(passed=1)
        self.step(passed=5)

    def sign(self, decision: Any = "agree") -> None:
        study = self.study()
        self.places.review.mkdir(exist_ok=True)
        engine = sqlite.open_writer(self.places.review_db, desk.METADATA)
        with engine.begin() as c:
            desk.sign(
                c, study_number=study.number, revision=study.revision, seq_seen=study.seq, user="anna",
                decision=decision, correction="", saw_ai=True, nonce=f"n{self.now}", at=self.now,
            )  # fmt: skip
        engine.dispose()
        self.step("obey")

    def out(self) -> None:
        self.step("results.build", "results.post", "results.absorb", passed=60)

    def slips(self) -> dict[str, Order]:
        found = [decode(Order, path.read_bytes()) for path in self.places.outbox.glob("*.json")]
        return {each.target: each for each in found}

    def payloads(self) -> set[str]:
        return {path.stem for path in self.places.outbox.glob("*.dcm")}

    def answer(self, order: Order, outcome: Any, code: str = "") -> None:
        told = Receipt(
            id=order.id, target=order.target, outcome=outcome, code=code, status=0, at_s=self.now, attempts=1
        )
        archive.put(self.places.receipts / f"{order.id}.json", encode(told))

    def states(self) -> dict[str, str]:
        with self.triage.engine.connect() as c:
            return {row.target: row.state for row in reports.of_study(c, self.study().number)}

    def faults(self) -> list[str]:
        with self.triage.engine.connect() as c:
            return [code for _, code in reports.faults(c)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.triage.close()


def test_nothing_leaves_before_the_signature_and_everything_once_after_it(house: House) -> None:
    house.hard()
    house.out()
    assert (house.slips(), house.payloads()) == ({}, set())
    house.sign()
    house.out()
    slips = house.slips()
    assert set(slips) == {"pacs", "archive"}
    assert slips["pacs"].id != slips["archive"].id
    assert {each.sha256 for each in slips["pacs"].payloads} == house.payloads()
    for path in house.places.outbox.glob("*.dcm"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
        assert pydicom.dcmread(path).StudyInstanceUID == UID
    before = {path.name: path.read_bytes() for path in house.places.outbox.iterdir()}
    for _ in range(3):
        house.out()
    assert {path.name: path.read_bytes() for path in house.places.outbox.iterdir()} == before
    names = " ".join(before) + json.dumps([each.model_dump(mode="json") for each in slips.values()])
    assert "PAT-1" not in names, "a slip names no patient"


def test_receipts_become_rows_and_take_slips_and_objects_away(house: House) -> None:
    house.hard()
    house.sign()
    house.out()
    slips = house.slips()
    house.answer(slips["archive"], "stored")
    house.out()
    assert house.states() == {"archive": "stored", "pacs": "waiting"}
    assert set(house.slips()) == {"pacs"}
    assert house.payloads(), "the other order still needs them"
    house.answer(slips["pacs"], "stored")
    house.out()
    assert house.states()["pacs"] == "stored"
    assert set(house.slips()) == {"pacs"}, "until the target has committed"
    house.answer(slips["pacs"], "committed")
    house.out()
    assert house.states() == {"archive": "stored", "pacs": "committed"}
    assert list(house.places.outbox.iterdir()) == []
    assert list(house.places.receipts.iterdir()) == []


def test_a_refusal_is_named_and_closes_the_order(house: House) -> None:
    house.hard()
    house.sign()
    house.out()
    house.answer(house.slips()["pacs"], "refused", "result-invalid")
    house.out()
    assert house.faults() == ["result-invalid"]
    assert "pacs" not in house.slips()


def test_strangers_receipts_are_left_alone(house: House) -> None:
    house.hard()
    house.sign()
    house.out()
    slip = house.slips()["pacs"]
    house.answer(slip.model_copy(update={"target": "archive"}), "stored")
    (house.places.receipts / ("0" * 32 + ".json")).write_text("{}")
    house.answer(slip.model_copy(update={"id": "f" * 32}), "stored")
    house.out()
    assert house.states() == {"archive": "waiting", "pacs": "waiting"}
    assert len(list(house.places.receipts.iterdir())) == 3


def test_another_statement_names_the_one_before(house: House) -> None:
    house.hard()
    house.sign()
    house.out()
    (first,) = [each for each in house.slips()["pacs"].payloads if each.sop_class_uid.endswith("88.33")]
    for slip in house.slips().values():
        house.answer(slip, "refused", "result-invalid")
    house.out()
    house.hard(2)  # a late image: another revision, to be signed again
    house.sign("correct")
    house.out()
    (second,) = [each for each in house.slips()["pacs"].payloads if each.sop_class_uid.endswith("88.33")]
    made = pydicom.dcmread(house.places.outbox / f"{second.sha256}.dcm")
    named = made.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == first.sop_instance_uid
    assert len(made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 2


def lane(house: House, lane: str, state: str) -> None:
    """As if a model had decided: what counts here is only what stands in the ledger."""
    with house.triage.engine.begin() as c:
        c.execute(update(ledger.results).values(lane=lane))
        c.execute(update(ledger.studies).values(state=state))


def test_on_release_what_is_flagged_goes_unsigned_and_what_is_cleared_never(tmp_path: Path) -> None:
    house = House(tmp_path, send_on="release")
    try:
        house.hard()
        lane(house, "cleared", "routine")
        house.out()
        assert house.slips() == {}
        lane(house, "flagged", "routine")
        house.out()
        (sr,) = [each for each in house.slips()["pacs"].payloads if each.sop_class_uid.endswith("88.33")]
        made = pydicom.dcmread(house.places.outbox / f"{sr.sha256}.dcm")
        assert (made.PreliminaryFlag, made.VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
        house.sign()
        house.out()
        assert len(list(house.places.outbox.glob("*.json"))) == 4, "and once more when it is signed"
    finally:
        house.triage.close()


def test_rules_choose_what_goes_where(tmp_path: Path) -> None:
    rule = {"name": "a", "lane": ["escalated"], "decision": ["disagree"], "send": ["sr"], "to": ["archive"]}
    house = House(tmp_path, {"rules": {"results": [rule]}})
    try:
        house.hard()
        house.sign("correct")
        house.out()
        assert set(house.slips()) == {"archive"}
        assert len(house.slips()["archive"].payloads) == 1
    finally:
        house.triage.close()


def test_an_object_that_breaks_a_rule_stays_here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "wrong_in", lambda *_, **__: ["identity-PatientID"])
    house.hard()
    house.sign()
    house.out()
    assert (house.slips(), house.faults()) == ({}, ["result-invalid"])
    assert house.study().state == "reviewed", "the signature stands"


def test_what_the_second_judge_objects_to_stays_here(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step.validator, "objections", lambda _: ["CompletionFlag"])
    house.hard()
    house.sign()
    house.out()
    assert (house.slips(), house.payloads(), house.faults()) == ({}, set(), ["result-invalid"])


def test_a_scanner_s_own_odd_value_is_no_objection(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step.validator, "objections", lambda _: ["PatientSex", "Patient's Birth Date"])
    house.hard()
    house.sign()
    house.out()
    assert set(house.slips()) == {"pacs", "archive"}


def test_every_decision_that_can_be_signed_is_known_here() -> None:
    assert set(step.DECIDED) == {"", *desk.DECISIONS}
    assert set(words.DECISIONS) == set(desk.DECISIONS)


class PowerCut(BaseException):
    """The end of the process at a durable call."""


@pytest.mark.parametrize("at", range(12))
def test_whatever_dies_in_between_it_is_said_once(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path)
    house.hard()
    house.sign()
    calls = 0

    def dying(real: Any) -> Any:
        def call(*told: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at + 1:
                raise PowerCut
            return real(*told)

        return call

    for module, name in ((archive, "put"), (archive, "remove"), (reports, "end"), (reports, "put_order")):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    for _ in range(4):
        try:
            house.out()
            for slip in house.slips().values():
                house.answer(slip, "committed")
            house.out()
        except PowerCut:
            house.start()
    assert house.states() == {"archive": "committed", "pacs": "committed"}
    assert [path for path in house.places.outbox.iterdir() if path.suffix == ".json"] == []
    assert house.payloads() == set()
    with house.triage.engine.connect() as c:
        assert len(c.execute(reports.objects.select()).all()) == 2
    house.triage.close()


def test_a_result_that_comes_back_is_known_and_read_by_nobody(house: House) -> None:
    house.hard()
    house.sign()
    house.out()
    seq = house.study().seq
    for path in house.places.outbox.glob("*.dcm"):
        house.put(path.read_bytes())
        coerced = pydicom.dcmread(path)
        coerced.Manufacturer, coerced.AccessionNumber = "Some PACS", "X1"
        out = io.BytesIO()
        coerced.save_as(out)
        house.put(out.getvalue())
    house.step("admit", "assemble", passed=60)
    assert [row.code for row in house.strays()] == ["own-result-returned"] * 4
    assert house.study().seq == seq, "no late image, no new revision"


def test_another_appliance_s_result_is_known_by_its_maker(house: House, tmp_path: Path) -> None:
    other = House(tmp_path / "other")
    other.hard()
    other.sign()
    other.out()
    for path in other.places.outbox.glob("*.dcm"):
        house.put(path.read_bytes())
    other.triage.close()
    house.step("admit")
    assert [row.code for row in house.strays()] == ["own-result-returned"] * 2


def test_without_a_target_nothing_is_built(bench: Bench) -> None:
    assert not [name for name in bench.steps if name.startswith("results.")]


def test_a_statement_that_ends_the_service_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hard()
    house.sign()

    def die(*_: Any) -> None:
        raise PowerCut

    monkeypatch.setattr(step, "chosen", die)
    for _ in range(step.ATTEMPTS_MAX):
        with pytest.raises(PowerCut):
            house.out()
    house.out()
    assert house.faults() == ["result-attempts-spent"]


def test_a_damaged_film_gives_no_result(house: House) -> None:
    house.hard()
    house.sign()
    for path in house.places.instances.glob("*/*.dcm"):
        path.write_bytes(b"other bytes")
    house.out()
    assert house.faults() == ["instance-damaged"]


def test_a_slip_of_nobody_is_no_slip() -> None:
    with pytest.raises(Quarantined):
        decode(Order, b'{"id": "x"}')
