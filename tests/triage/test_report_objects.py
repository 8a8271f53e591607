"""Final reports as structured reports: read by codes, where nothing turns them round, from a verified object."""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from appliance import receive
from appliance.config import Config, Places
from appliance.core import final_report_object
from appliance.core.final_report_object import BASIC, COMPREHENSIVE, report_in
from appliance.core.results.words import MANUFACTURER
from appliance.errors import Quarantined
from appliance.loop import Moment
from appliance.receive import Receive
from appliance.world import ledger
from appliance.world.validator import objections
from tests.tiny import tiny
from tests.triage.test_final_reports import LABEL, READING, SENDER, Reporting, a_model, evidence, oru

Code = tuple[str, str, str]
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's, on every odd value
PNEUMONIA, NONE = ("J18.9", "I10", "Pneumonia"), ("NONE", "99SITE", "None seen")
DIAGNOSIS = ("18748-4", "LN", "Diagnostic imaging study")
FINDINGS, OLD_FINDINGS = ("59776-5", "LN", "Findings"), ("121070", "DCM", "Findings")
HISTORY = ("11329-0", "LN", "History")
SUBJECT, FETUS, PATIENT = (("121024", "DCM", "x"), ("121026", "DCM", "Fetus"), ("121025", "DCM", "Patient"))
OBSERVER, DEVICE, PERSON = (("121005", "DCM", "x"), ("121007", "DCM", "Device"), ("121006", "DCM", "Person"))
SITE, LUNG = ("363698007", "SCT", "Finding Site"), ("39607008", "SCT", "Lung")
PRESENCE, ABSENT = ("705057003", "SCT", "Presence"), ("2667000", "SCT", "Absent")
IMAGING_REPORT = ("18748-4", "LN", "Diagnostic imaging study")


def code(told: Code) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = told
    return made


def item(kind: str, name: Code, *inside: Dataset, value: Code | None = None, as_: str = "CONTAINS") -> Dataset:
    """One item of a content tree (PS3.3 C.17.3)."""
    made = Dataset()
    made.RelationshipType, made.ValueType, made.ConceptNameCodeSequence = as_, kind, [code(name)]
    if value is not None:
        made.ConceptCodeSequence = [code(value)]
    if kind == "CONTAINER":
        made.ContinuityOfContent = "SEPARATE"
    if kind == "TEXT":
        made.TextValue = "no pneumonia"
    if inside:
        made.ContentSequence = list(inside)
    return made


def says(value: Code, *inside: Dataset, **told: Any) -> Dataset:
    return item("CODE", DIAGNOSIS, *inside, value=value, **told)


def under(*inside: Dataset, heading: Code = FINDINGS) -> Dataset:
    return item("CONTAINER", heading, *inside)


def context(name: Code, value: Code, as_: str = "HAS OBS CONTEXT") -> Dataset:
    return item("CODE", name, value=value, as_=as_)


def an_sr(*content: Dataset, sop_class: str = BASIC, **facts: Any) -> bytes:
    """A final report of the PACS: Basic Text SR by TID 2000, verified unless told otherwise; None takes a fact out."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = sop_class, "1.2.826.0.1.55.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.826.0.1.55", "1.2.826.0.1.55.9"
    made.PatientName, made.PatientID, made.PatientBirthDate, made.PatientSex = "Doe^Jane", "P1", "20200102", "F"
    made.StudyDate, made.StudyTime, made.StudyID, made.AccessionNumber = "20260101", "1200", "1", "A1"
    made.ReferringPhysicianName, made.Modality, made.SeriesNumber, made.InstanceNumber = "", "SR", 9, 1
    made.ContentDate, made.ContentTime = "20260101", "1300"
    made.Manufacturer, made.InstitutionName = SENDER.split("@")
    made.ReferencedPerformedProcedureStepSequence, made.PerformedProcedureCodeSequence = [], []
    made.CompletionFlag, made.VerificationFlag = "COMPLETE", "VERIFIED"
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = "Reader^Ruth", "Hospital"
    observer.VerificationDateTime, observer.VerifyingObserverIdentificationCodeSequence = "20260101130000", []
    made.VerifyingObserverSequence = [observer]
    made.ValueType, made.ContinuityOfContent = "CONTAINER", "SEPARATE"
    made.ConceptNameCodeSequence = [code(IMAGING_REPORT)]
    made.ContentSequence = list(content or [under(says(PNEUMONIA))])
    for keyword, value in facts.items():
        if value is None:
            del made[keyword]
        else:
            setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    out = BytesIO()
    pydicom.dcmwrite(out, made, enforce_file_format=True)
    return out.getvalue()


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[Reporting]:
    made = Reporting(tmp_path, a_model("bench/first"))
    yield made
    made.close()


def came(house: Reporting, data: bytes) -> None:
    (house.places.incoming / f"{hashlib.sha256(data).hexdigest()}.sr").write_bytes(data)
    house.turn()


def test_what_is_told_here_is_a_structured_report(tmp_path: Path) -> None:
    for data, sound in ((an_sr(), True), (an_sr(CompletionFlag=None), False)):
        (tmp_path / "told.dcm").write_bytes(data)
        assert (objections(tmp_path / "told.dcm") == []) is sound


def test_it_counts_as_a_message_does_and_once(pacs: Reporting) -> None:
    number = pacs.cleared()
    came(pacs, an_sr())
    assert (pacs.told(), pacs.matched(), pacs.given()) == ([{LABEL: "present"}], [number], ["present"])
    assert evidence(pacs) == (1, 1)
    came(pacs, an_sr())
    pacs.came(oru())
    assert evidence(pacs) == (1, 1), "the same finding by another way is no second answer"
    (kept,) = pacs.places.final_reports.glob("*.sr")
    assert kept.read_bytes() == an_sr()


def test_what_is_not_there_answers_nothing(pacs: Reporting) -> None:
    pacs.cleared()
    came(pacs, an_sr(under(says(NONE))))
    assert (pacs.told(), pacs.given(), evidence(pacs)) == ([{LABEL: "absent"}], [None], (0, 0))


def test_it_moves_no_study_and_is_no_late_image(pacs: Reporting) -> None:
    number = pacs.cleared()
    with pacs.engine.connect() as c:
        before = ledger.study_by_number(c, number)
    came(pacs, an_sr())
    with pacs.engine.connect() as c:
        assert ledger.study_by_number(c, number) == before


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([under(says(PNEUMONIA))], "present"),
        ([under(says(PNEUMONIA), heading=OLD_FINDINGS)], "present"),
        ([under(says(NONE), item("TEXT", FINDINGS))], "absent"),
        ([under(under(says(PNEUMONIA), heading=("125007", "DCM", "g")), heading=("126010", "DCM", "m"))], "present"),
        ([under(context(SUBJECT, PATIENT), context(OBSERVER, PERSON), says(PNEUMONIA))], "present"),
        ([under(context(SITE, LUNG, "HAS CONCEPT MOD"), says(PNEUMONIA))], "present"),
        ([under(says(PNEUMONIA)), under(says(PNEUMONIA))], "present"),
        # What could turn it round, or is said of something else:
        ([under(says(PNEUMONIA), says(NONE))], "undecided"),
        ([under(says(("Z1", "I10", "?")))], "undecided"),
        ([under(says(PNEUMONIA), heading=HISTORY)], "undecided"),
        ([under(says(NONE)), under(says(PNEUMONIA), heading=HISTORY)], "undecided"),
        ([under(under(says(PNEUMONIA)), heading=HISTORY)], "undecided"),
        ([says(PNEUMONIA)], "undecided"),
        ([under(says(PNEUMONIA, context(PRESENCE, ABSENT, "HAS CONCEPT MOD")))], "undecided"),
        ([under(says(PNEUMONIA, context(PRESENCE, ABSENT, "HAS PROPERTIES")))], "undecided"),
        ([under(context(PRESENCE, ABSENT, "HAS CONCEPT MOD"), says(PNEUMONIA))], "undecided"),
        ([under(context(SUBJECT, FETUS), says(PNEUMONIA))], "undecided"),
        ([under(says(PNEUMONIA, context(SUBJECT, FETUS)))], "undecided"),
        ([context(SUBJECT, FETUS), under(says(PNEUMONIA))], "undecided"),
        ([context(OBSERVER, DEVICE), under(says(PNEUMONIA))], "undecided"),
        ([under(says(PNEUMONIA, as_="INFERRED FROM"))], "undecided"),
        ([under(item("TEXT", DIAGNOSIS))], "undecided"),
        ([under(item("TEXT", FINDINGS))], "undecided"),
    ],
)
def test_only_codes_that_nothing_turns_round_decide(content: list[Dataset], said: str) -> None:
    assert report_in(an_sr(*content, sop_class=COMPREHENSIVE), [READING], [SENDER]).told == {LABEL: said}


def test_an_equivalent_code_is_the_same_code() -> None:
    finding = says(("233604007", "SCT", "Pneumonia"))
    finding.ConceptCodeSequence[0].EquivalentCodeSequence = [code(PNEUMONIA)]
    assert report_in(an_sr(under(finding)), [READING], [SENDER]).told == {LABEL: "present"}


@pytest.mark.parametrize(
    "facts",
    [
        {"CompletionFlag": "PARTIAL"},
        {"VerificationFlag": "UNVERIFIED"},
        {"VerificationFlag": None},
        {"VerifyingObserverSequence": None},
        {"VerifyingObserverSequence": [Dataset()]},
        {"PreliminaryFlag": "PRELIMINARY"},
    ],
)
def test_what_nobody_verified_is_kept_and_says_nothing(facts: dict[str, Any]) -> None:
    found = report_in(an_sr(**facts), [READING], [SENDER])
    assert (found.told, found.status) == ({}, "P")
    assert report_in(an_sr(PreliminaryFlag="FINAL"), [READING], [SENDER]).told == {LABEL: "present"}


def request(accession: str) -> Dataset:
    made = Dataset()
    made.AccessionNumber = accession
    return made


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"Manufacturer": "SOMEBODY"}, "report-stranger"),
        ({"InstitutionName": None}, "report-stranger"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.59"}, "report-kind"),  # key objects
        ({"PatientID": ""}, "report-malformed"),
        ({"AccessionNumber": ""}, "report-malformed"),
        ({"ReferencedRequestSequence": [request("A2")]}, "report-malformed"),
        ({"SOPInstanceUID": "no"}, "report-malformed"),
        ({"Manufacturer": MANUFACTURER, "SOPClassUID": COMPREHENSIVE}, "own-result-returned"),
    ],
)
def test_what_cannot_be_believed_is_named_and_kept(pacs: Reporting, facts: dict[str, Any], named: str) -> None:
    pacs.cleared()
    data = an_sr(**facts)
    came(pacs, data)
    (stray,) = pacs.rows(ledger.strays)
    assert stray.code == named
    assert "Doe" not in stray.place
    assert (pacs.places.final_reports / f"{stray.sha256}.sr").read_bytes() == data
    assert (pacs.told(), pacs.given()) == ([], [None])


def test_an_image_in_the_folder_of_reports_is_no_report_and_no_image(pacs: Reporting) -> None:
    came(pacs, tiny("1.2.826.0.1.55", 1, "P1", "CR", 3))
    assert [row.code for row in pacs.rows(ledger.strays)] == ["report-kind"]
    assert pacs.rows(ledger.studies) == []


def test_the_order_that_was_placed_may_bear_the_accession_number(pacs: Reporting) -> None:
    number = pacs.cleared()
    came(pacs, an_sr(AccessionNumber="", ReferencedRequestSequence=[request("A1")]))
    assert pacs.matched() == [number]


@settings(max_examples=60)
@given(st.binary(max_size=40), st.integers(0, 2000))
def test_whatever_comes_is_a_report_or_named(noise: bytes, at: int) -> None:
    data = an_sr()
    for each in (noise, data[:at] + noise + data[at + len(noise) :], data[:at]):
        try:
            found = report_in(each, [READING], [SENDER])
        except Quarantined as fault:
            assert fault.code.startswith(("report-", "own-"))  # noqa: PT017
            continue
        assert found.accession_number
        assert found.patient_ids


def test_a_tree_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(final_report_object, "ITEMS_MAX", 50)
    many = [item("TEXT", FINDINGS) for _ in range(51)]
    assert report_in(an_sr(*many[1:]), [READING], [SENDER]).told == {LABEL: "undecided"}
    with pytest.raises(Quarantined, match="report-malformed"):
        report_in(an_sr(*many), [READING], [SENDER])


def test_receive_takes_both_kinds_from_the_reports_folder(tmp_path: Path) -> None:
    told = {"folder": str(tmp_path / "ris"), "senders": [SENDER], "findings": [READING.model_dump()]}
    config = Config.model_validate({"receive": {"disk_reserve_bytes": 0, "settle_s": 1.0}, "reports": told})
    places, kind = Places(tmp_path / "state"), receive.reports(config)
    service = Receive(config, places, kind)
    for name, data in (("one.dcm", an_sr()), ("two", oru()), ("three", b"neither" * 40)):
        (tmp_path / "ris" / name).write_bytes(data)
    for turn in range(5):
        service.hinted()
        for step in service.steps().values():
            while step(Moment(turn * 2.0, turn * 2.0)):
                pass
    got = {path.name for path in places.incoming.iterdir() if path.suffix != ".note"}
    assert got == {f"{hashlib.sha256(an_sr()).hexdigest()}.sr", f"{hashlib.sha256(oru()).hexdigest()}.hl7"}
    assert not list(places.incoming.glob("*.dcm"))
