"""HL7 and FHIR beside the PACS: the same statement, an order a target, and never an earlier one after a later one."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydantic import ValidationError
from sqlalchemy import select

from appliance.config import Config
from appliance.core import hl7
from appliance.core.results import message_check
from appliance.world import archive
from appliance.world.ledger import reports
from tests.tiny import tiny
from tests.triage.conftest import UID
from tests.triage.test_result_orders import PACS, House, PowerCut, lane

RIS = {"name": "ris", "kind": "hl7", "host": "127.0.0.1", "port": 2575}
FHIR = {"name": "ehr", "kind": "fhir", "url": "https://fhir.example/r4"}


class Speaking(House):
    def __init__(self, root: Path, sections: dict[str, Any] | None = None, **more: Any) -> None:
        results = {"targets": [{"name": "pacs", **PACS}, RIS, FHIR], **more}
        super().__init__(root, {**(sections or {}), "results": results})

    def texts(self, target: str) -> list[bytes]:
        return [(self.places.outbox / f"{each.sha256}.msg").read_bytes() for each in self.slips()[target].texts]

    def rows(self) -> dict[str, list[str]]:
        with self.triage.engine.connect() as c:
            found = c.execute(
                select(reports.orders.c.target, reports.orders.c.state).order_by(reports.orders.c.made_at)
            )
            made: dict[str, list[str]] = {}
            for target, state in found:
                made.setdefault(target, []).append(state)
        return made


@pytest.fixture
def speaking(tmp_path: Path) -> Iterator[Speaking]:
    made = Speaking(tmp_path)
    yield made
    made.triage.close()


def test_each_target_gets_what_it_reads(speaking: Speaking) -> None:
    speaking.hard()
    speaking.sign()
    speaking.out()
    slips = speaking.slips()
    assert {name: (each.kind, len(each.payloads), len(each.texts)) for name, each in slips.items()} == {
        "pacs": ("store", 2, 0), "ris": ("hl7", 0, 1), "ehr": ("fhir", 0, 2),
    }  # fmt: skip
    made = hl7.read(speaking.texts("ris")[0])
    assert made.first(made.named("PID")[0], 3) == "PAT-1"
    assert made.named("OBR")[0][25] == "P"
    study, report = (json.loads(each) for each in speaking.texts("ehr"))
    assert (study["resourceType"], report["status"]) == ("ImagingStudy", "preliminary")
    for path in speaking.places.outbox.glob("*.msg"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.stem
    assert "PAT-1" not in json.dumps([each.model_dump(mode="json") for each in slips.values()])
    for slip in slips.values():
        speaking.answer(slip, "stored")
    speaking.out()
    assert list(speaking.places.outbox.iterdir()) == []
    assert speaking.rows() == {"pacs": ["stored"], "ris": ["stored"], "ehr": ["stored"]}


def test_nothing_cleared_leaves_unsigned_and_what_is_signed_stays_preliminary(tmp_path: Path) -> None:
    house = Speaking(tmp_path, send_on="release")
    try:
        house.hard()
        lane(house, "cleared", "routine")
        house.out()
        assert house.slips() == {}
        house.sign()
        house.out()
        assert set(house.slips()) == {"pacs", "ris", "ehr"}
        made = hl7.read(house.texts("ris")[0])
        assert {made.named("OBR")[0][25], *(row[11] for row in made.named("OBX"))} == {"P"}
    finally:
        house.triage.close()


def test_a_later_statement_takes_the_place_of_one_that_waits(tmp_path: Path) -> None:
    house = Speaking(tmp_path, send_on="release")
    try:
        house.hard()
        lane(house, "flagged", "routine")
        house.out()
        early = house.slips()
        house.answer(early["ehr"], "stored")
        house.out()
        house.sign()
        house.out()
        now = house.slips()
        assert now["ris"].id != early["ris"].id
        assert house.rows()["ris"] == ["superseded", "waiting"]
        assert house.rows()["ehr"] == ["stored", "waiting"]
        assert not (house.places.outbox / f"{early['ris'].id}.json").exists()
        assert not (house.places.outbox / f"{early['ris'].texts[0].sha256}.msg").exists()
        assert house.rows()["pacs"] == ["waiting", "waiting"], "a PACS keeps each report under a UID of its own"
        house.answer(early["ris"], "refused", "payload-damaged")  # it was on its way, and its file was gone
        house.out()
        assert house.rows()["ris"] == ["superseded", "waiting"]
        assert house.faults() == []
        house.answer(early["ris"], "stored")  # it was on its way, and came in time
        house.out()
        assert house.rows()["ris"] == ["stored", "waiting"]
    finally:
        house.triage.close()


def test_a_slip_that_is_taken_back_goes_before_the_next_one_comes(tmp_path: Path, monkeypatch: Any) -> None:
    house = Speaking(tmp_path, send_on="release")
    try:
        house.hard()
        lane(house, "flagged", "routine")
        house.out()
        early = house.slips()["ris"].id
        house.sign()
        seen = []
        put = archive.put

        def watched(path: Path, data: bytes) -> None:
            seen.append(path.suffix == ".json" and (house.places.outbox / f"{early}.json").exists())
            put(path, data)

        house.step("results.build")
        monkeypatch.setattr(archive, "put", watched)
        house.step("results.post", passed=60)
        assert seen
        assert not any(seen), "both lay there at once"
    finally:
        house.triage.close()


@pytest.mark.parametrize("name", ["wrong_in_oru", "wrong_in_fhir"])
def test_a_text_that_breaks_a_rule_stays_here_and_keeps_nothing_else(
    speaking: Speaking, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(message_check, name, lambda *_, **__: ["identity-PatientID"])
    speaking.hard()
    speaking.sign()
    speaking.out()
    assert set(speaking.slips()) == {"pacs", "ehr" if name == "wrong_in_oru" else "ris"}
    assert speaking.faults() == ["result-invalid"]


def test_a_study_without_a_patient_id_has_its_report_in_the_pacs_alone(speaking: Speaking) -> None:
    speaking.put(tiny(UID, 1, "", "CR", 3))
    speaking.step(passed=1)
    speaking.step(passed=5)
    speaking.sign()
    speaking.out()
    assert set(speaking.slips()) == {"pacs"}
    assert speaking.faults() == ["result-invalid"]


def test_a_hostile_name_is_one_segment_on_its_way(speaking: Speaking) -> None:
    header = pydicom.dcmread(io.BytesIO(tiny(UID, 1, "PAT-1", "CR", 3)))
    header.PatientName = "Eve\rOBX|9|CWE|READER-DECISION||AGREE||||||F\x1c\r"
    out = io.BytesIO()
    header.save_as(out)
    speaking.put(out.getvalue())
    speaking.step(passed=1)
    speaking.step(passed=5)
    speaking.sign("correct")
    speaking.out()
    (data,) = speaking.texts("ris")
    made = hl7.read(data)
    said = [made.first(row, 5) for row in made.named("OBX") if made.first(row, 3) == "READER-DECISION"]
    assert said == ["DISAGREE"]
    assert b"\x1c" not in data


@pytest.mark.parametrize("at", [1, 6])
def test_whatever_dies_each_text_is_said_once(tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    house = Speaking(tmp_path)
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
                house.answer(slip, "stored")
            house.out()
        except PowerCut:
            house.start()
    assert house.rows() == {"pacs": ["stored"], "ris": ["stored"], "ehr": ["stored"]}
    assert list(house.places.outbox.iterdir()) == []
    house.triage.close()


def test_rules_choose_among_what_a_target_takes(tmp_path: Path) -> None:
    rule = {"name": "a", "decision": ["disagree"], "send": ["oru", "sr"], "to": ["ris"]}
    house = Speaking(tmp_path, {"rules": {"results": [rule]}})
    try:
        house.hard()
        house.sign("correct")
        house.out()
        assert set(house.slips()) == {"ris"}
    finally:
        house.triage.close()


@pytest.mark.parametrize(
    ("results", "rules", "words"),
    [
        ({"targets": [{**RIS, "port": 0}]}, {}, "hl7 needs host, port"),
        ({"targets": [{**FHIR, "url": ""}]}, {}, "fhir needs url"),
        ({"targets": [{**FHIR, "url": "http://fhir.example/r4"}]}, {}, "https only"),
        ({"targets": [{**RIS, "commit": True}]}, {}, "over dimse only"),
        ({"targets": [{**RIS, "tls": True}]}, {}, "tls needs"),
        ({"targets": [RIS]}, {"results": [{"name": "a", "send": ["sr"], "to": ["ris"]}]}, "takes nothing of sr"),
    ],
)
def test_a_target_that_cannot_be_is_named(results: Any, rules: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config.model_validate({"results": results, "rules": rules})
