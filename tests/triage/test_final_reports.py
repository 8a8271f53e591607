"""Final reports of the RIS: matched by two identifiers, read by codes, and only ever against a certificate."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy.exc import DatabaseError

from appliance.config import Config
from appliance.core.decide import Model
from appliance.core.final_report import Reading, reports_in
from appliance.core.study import Patient
from appliance.errors import Quarantined
from appliance.loop import Moment
from appliance.triage.final_reports import FinalReports
from appliance.world import archive, ledger
from appliance.world.ledger import final_reports
from appliance.world.ledger import watch as book
from tests.core.test_messages import message
from tests.core.test_results import STUDIES
from tests.triage.test_result_orders import PowerCut
from tests.triage.test_watch import Room, a_decision, a_model, an_instance

LABEL = a_model("bench/first").manifest.label.name
READING = Reading(
    label=LABEL, observation="18748-4^LN", present=("J18.9^I10", "J15^I10"), absent=("NONE^99SITE",)
)  # fmt: skip
SENDER = "RIS@HOSPITAL"
THERE, NOT_THERE = "J18.9^Pneumonia^I10", "NONE^no^99SITE"


def oru(
    value: str = THERE, *, accession: str = "A1", patient: str = "P1", status: str = "F", rows: str | None = None,
    head: str = "MSH|^~\\&|RIS|HOSPITAL|||20260101||ORU^R01^ORU_R01|c1|P|2.5.1||||||UNICODE UTF-8",
) -> bytes:  # fmt: skip
    obx = rows if rows is not None else f"OBX|1|CWE|18748-4^Diagnosis^LN||{value}||||||{status}"
    obr = f"OBR|1||f1|CXR^Chest^L|||2026{'|' * 11}{accession}{'|' * 7}{status}"
    return f"{head}\rPID|1||{patient}^^^HOSP||Doe^Jane\r{obr}\r{obx}\r".encode()


class Reporting(Room):
    """A room whose RIS leaves reports."""

    def __init__(self, root: Path, model: Model) -> None:
        super().__init__(root, model)
        told = {"folder": str(root / "ris"), "senders": [SENDER], "findings": [READING.model_dump()]}
        config = Config.model_validate({"reports": told})
        self.places, self.engine = self.bench.places, self.bench.triage.engine
        self.part = FinalReports(config, self.places, self.engine, lambda *told: self.watch.reported(*told))
        self.part_steps = self.part.steps()

    def cleared(self, accession: str = "A1", patient: str = "P1", lane: str = "cleared") -> int:
        with self.engine.begin() as c:
            self.studies += 1
            who = Patient(patient, "SECRET^NAME", "", "", accession, "", "")
            number, _ = ledger.add_instance(c, replace(an_instance(self.studies), patient=who), self.now)
            study = ledger.study_by_number(c, number)
            assert study is not None
            decision = a_decision(self.models[0], lane, 0.0, self.studies)
            self.watch.on_decided(c, study, decision, self.moment)
        return number

    def came(self, data: bytes) -> None:
        (self.places.incoming / f"{hashlib.sha256(data).hexdigest()}.hl7").write_bytes(data)
        self.turn()

    def turn(self) -> None:
        self.now += 60
        for step in self.part_steps.values():
            step(Moment(self.now, self.now))

    def told(self) -> list[dict[str, str]]:
        return [row.told for row in self.rows(final_reports.final_reports)]

    def matched(self) -> list[int]:
        return [row.study_number for row in self.rows(final_reports.report_matches)]

    def given(self) -> list[Any]:
        return [row.answer for row in self.rows(book.audits)]


@pytest.fixture
def ris(tmp_path: Path) -> Iterator[Reporting]:
    made = Reporting(tmp_path, a_model("bench/first"))
    yield made
    made.close()


def evidence(ris: Reporting) -> tuple[int, int]:
    row = ris.monitor(ris.models[0].certificates[0].digest)
    return row.answers, row.misses


def test_what_is_there_counts_against_the_certificate_once(ris: Reporting) -> None:
    number = ris.cleared()
    ris.came(oru())
    assert (ris.told(), ris.matched(), ris.given()) == ([{LABEL: "present"}], [number], ["present"])
    assert evidence(ris) == (1, 1)
    ris.came(oru())
    ris.came(oru(rows="OBX|1|CWE|18748-4^^LN||J15^^I10||||||F"))
    ris.turn()
    assert evidence(ris) == (1, 1), "the first answer to each audit"
    (audit,) = ris.rows(book.audits)
    assert audit.user == "report:1"
    assert len(ris.rows(final_reports.final_reports)) == 2, "the same file again is the same report"


def test_what_is_not_there_answers_nothing_and_opens_nothing(ris: Reporting) -> None:
    ris.cleared()
    before = ris.standing()
    ris.came(oru(NOT_THERE))
    assert ris.told() == [{LABEL: "absent"}]
    assert (ris.given(), evidence(ris)) == ([None], (0, 0)), "it was not read blindly: a reader still must"
    ris.now += 30 * 86_400
    late = ris.standing()
    assert late.shrunk
    ris.came(oru(NOT_THERE, status="C"))
    assert ris.standing().shrunk == late.shrunk
    assert before.revoked == late.revoked == ris.standing().revoked


def test_a_decoy_and_a_study_that_chance_did_not_draw_count_for_nothing(ris: Reporting) -> None:
    for n in range(40):
        ris.cleared(f"D{n}", lane="escalated")
    with ris.engine.begin() as c:
        number, _ = ledger.add_instance(
            c, replace(an_instance(900), patient=Patient("P1", "", "", "", "A1", "", "")), 1.0
        )
    drawn = ris.rows(book.audits)
    assert drawn
    assert not any(row.counts for row in drawn)
    for n in range(40):
        ris.came(oru(accession=f"D{n}"))
    ris.came(oru())
    assert ris.matched()[-1] == number
    assert set(ris.given()) == {None}
    assert evidence(ris) == (0, 0)


def test_both_identifiers_must_fit_and_one_study_only(ris: Reporting) -> None:
    ris.cleared("A1", "P2")
    ris.cleared("A2", "P1")
    ris.cleared("", "P1")
    ris.came(oru())
    ris.came(oru(accession="A3"))
    assert ris.matched() == []
    two = [ris.cleared("A4"), ris.cleared("A4")]
    ris.came(oru(accession="A4"))
    assert ris.matched() == [], f"{two} could both be meant"
    assert evidence(ris) == (0, 0)
    late = ris.cleared("A3")  # the images come after the report
    ris.turn()
    assert ris.matched() == [late]
    assert evidence(ris) == (1, 1)


def test_the_last_report_counts(ris: Reporting) -> None:
    ris.came(oru())
    ris.came(oru(NOT_THERE, status="C"))
    ris.cleared()
    ris.turn()
    assert evidence(ris) == (0, 0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("OBX|1|CWE|18748-4^^LN||J18.9^^I10||||||F", "present"),
        ("OBX|1|CE|18748-4^^LN||X^x^L^J18.9^^I10||||||C", "present"),
        ("OBX|1|CWE|18748-4^^LN||NONE^^99SITE||||||F", "absent"),
        ("OBX|1|CWE|18748-4^^LN||J18.9^^I10~J15^^I10||||||F", "present"),
        ("OBX|1|CWE|18748-4^^LN||J18.9^^I10~NONE^^99SITE||||||F", "undecided"),
        ("OBX|1|CWE|18748-4^^LN||J18.9^^I10~Z1^^I10||||||F", "undecided"),
        ("OBX|1|CWE|18748-4^^LN||J18.9^^I10||||||P", "undecided"),
        ("OBX|1|CWE|18748-4^^LN||NONE^^99SITE||||||F\rOBX|2|CWE|18748-4^^LN||NONE^^99SITE||||||P", "undecided"),
        ("OBX|1|CWE|18748-4^^LN||NONE^^99SITE||||||F\rOBX|2|CWE|18748-4^^LN||J15^^I10||||||F", "undecided"),
        ("OBX|1|CWE|18748-4^^LN||J18.9^^ICD||||||F", "undecided"),
        ("OBX|1|CWE|18748-4^^L||J18.9^^I10||||||F", "undecided"),
        ("OBX|1|TX|18748-4^^LN||no pneumonia||||||F", "undecided"),
        ("OBX|1|CWE|18748-4^^LN||J18.9\\S\\\\S\\I10||||||F", "undecided"),
        ("OBX|1|CWE|18748-4^^LN", "undecided"),
        ("OBX", "undecided"),
        ("", "undecided"),
        ("NTE|1||J18.9^^I10", "undecided"),
    ],
)
def test_only_codes_that_are_final_and_of_one_mind_decide(rows: str, said: str) -> None:
    (found,) = reports_in(oru(rows=rows), [READING], [SENDER])
    assert found.told == {LABEL: said}


def test_what_is_not_final_is_kept_and_says_nothing() -> None:
    for status in ("P", "R", "", "X"):
        (found,) = reports_in(oru(status=status), [READING], [SENDER])
        assert found.told == {}


HEAD = "MSH|^~\\&|{}|{}|||2026||{}|c1|{}|2.5.1"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (oru(head=HEAD.format("RIS", "ELSEWHERE", "ORU^R01", "P")), "report-stranger"),
        (oru(head=HEAD.format("RIS\\S\\HOSPITAL", "", "ORU^R01", "P")), "report-stranger"),
        (oru(head=HEAD.format("RIS", "HOSPITAL", "ADT^A01", "P")), "report-kind"),
        (oru(head=HEAD.format("RIS", "HOSPITAL", "ORU^R01", "T")), "report-kind"),
        (oru(patient=""), "report-malformed"),
        (oru(patient="P" * 65), "report-malformed"),
        (oru(accession=""), "report-malformed"),
        (oru().replace(b"PID|", b"PID|1||P9\rPID|"), "report-malformed"),
        (oru().replace(b"CXR^Chest^L", b"TRIAGE^x^99EDGE"), "own-result-returned"),
        (oru().split(b"OBR")[0], "report-malformed"),
        (oru().replace(b"OBR|", b"OBX|9|CWE|18748-4^^LN||J18.9^^I10||||||F\rOBR|"), "report-malformed"),
        (b"MSH|\xff", "report-malformed"),
    ],
)
def test_what_cannot_be_believed_is_named_and_kept(ris: Reporting, data: bytes, code: str) -> None:
    number = ris.cleared()
    ris.came(data)
    (stray,) = ris.rows(ledger.strays)
    assert (stray.code, stray.sha256) == (code, hashlib.sha256(data).hexdigest())
    assert (ris.places.final_reports / f"{stray.sha256}.hl7").read_bytes() == data
    assert "SECRET" not in stray.place
    assert (ris.told(), ris.matched(), ris.given()) == ([], [], [None]), number


def test_our_own_message_that_comes_back_is_no_report() -> None:
    data = message(STUDIES["film"]()).data
    sender = "EDGE@unit-1"
    with pytest.raises(Quarantined) as found:
        reports_in(data, [READING], [sender])
    assert found.value.code == "own-result-returned"


@given(st.binary(max_size=300), st.integers(0, 250))
def test_whatever_comes_is_a_report_or_named(noise: bytes, at: int) -> None:
    data = oru()
    for each in (noise, data[:at] + noise + data[at:], data[:at] + noise):
        try:
            found = reports_in(each, [READING], [SENDER])
        except Quarantined:
            continue
        assert all(one.accession_number and one.patient_ids for one in found)


@pytest.mark.parametrize("at", range(3))
def test_whatever_dies_a_report_counts_once(ris: Reporting, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ris.cleared()
    calls = 0

    def dying(real: Any) -> Any:
        def call(*told: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == at + 1:
                raise PowerCut
            return real(*told)

        return call

    for module, name in ((archive, "rename"), (final_reports, "put"), (book, "answer_audit")):
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    with pytest.raises(PowerCut):
        ris.came(oru())
    ris.turn()
    ris.turn()
    assert evidence(ris) == (1, 1)
    assert len(ris.told()) == 1
    assert list(ris.places.incoming.glob("*.hl7")) == []


def test_a_report_that_ends_the_service_is_set_aside(ris: Reporting, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise PowerCut

    monkeypatch.setattr(FinalReports, "_reports", die)
    for _ in range(ris.part.attempts_max):
        with pytest.raises(PowerCut):
            ris.came(oru())
    ris.turn()
    assert [row.code for row in ris.rows(ledger.strays)] == ["file-attempts-spent"]


def test_reports_are_only_ever_added_to(ris: Reporting) -> None:
    ris.cleared()
    ris.came(oru())
    for table in (final_reports.final_reports, final_reports.report_matches):
        for change in (table.delete(), table.update().values(**{table.c[1].name: 7})):
            with pytest.raises(DatabaseError), ris.engine.begin() as c:
                c.execute(change)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"folder": "/srv/reports"}, "name reports.senders"),
        ({"senders": ["RIS"]}, "string_pattern_mismatch|pattern"),
        ({"findings": [{"label": "a", "observation": "1^LN", "present": ["X^L"], "absent": ["X^L"]}]},
         "present and absent"),
        ({"findings": [{"label": "a", "observation": "words", "present": ["X^L"]}]}, "pattern"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_named(told: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Config.model_validate({"reports": told})
