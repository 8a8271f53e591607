"""HL7 v2 and FHIR of one statement: valid by two judges, never final; a name that is an attack stays a name."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import hl7
from appliance.core.delivery import of_ack, of_fhir
from appliance.core.results.fhir import later, resources
from appliance.core.results.message_check import wrong_in_fhir, wrong_in_oru
from appliance.core.results.oru import oru
from appliance.core.results.statement import Message
from appliance.errors import Quarantined
from tests.core.test_results import KEY, STUDIES, Study

HOSTILE = {
    "PatientName": "Eve\rOBX|99|TX|X||all well||||||F\x1c\r\x0b|^&~\\F\\<b>^Given^M^Dr^Jr=\u5c71\u7530^\u592a\u90ce",
    "PatientID": "P-1\rPID|2||OTHER",
    "AccessionNumber": "A|B^1&~\\E\\",
    "SpecificCharacterSet": "ISO_IR 192",
}


def message(study: Study, **changed: Any) -> Message:
    return oru(study.said(**changed), study.source, site_key=KEY, device="unit-1", version="1")


def told(study: Study, **changed: Any) -> tuple[Message, ...]:
    return resources(study.said(**changed), study.source, study.instances, site_key=KEY, device="unit-1")


def wrong(study: Study, made: Message, signed: bool = True) -> list[str]:
    return wrong_in_oru(made, study.source, study.instances[0].study_instance_uid, signed=signed)


def wrong_fhir(study: Study, made: tuple[Message, ...], signed: bool = True) -> list[str]:
    return wrong_in_fhir(made, study.source, study.instances[0].study_instance_uid, signed=signed)


@pytest.mark.parametrize("name", [each for each in STUDIES if each != "nothing told"])
def test_two_judges_find_nothing_wrong_in_texts(name: str) -> None:
    study = STUDIES[name]()
    assert wrong(study, message(study)) == []
    assert wrong_fhir(study, told(study)) == []
    assert (message(study), told(study)) == (message(study), told(study)), "the same statement, the same bytes"
    assert message(study).name != message(study, decision="correct").name


@pytest.mark.parametrize("lane", ["cleared", "flagged"])
def test_preliminary_in_every_lane_signed_and_not(lane: str) -> None:
    study = STUDIES["film"]()
    for decision in ("agree", "correct", "cannot_tell", ""):
        said = {"lane": lane, "decision": decision, "reader": "anna" if decision else ""}
        made, given_ = message(study, **said), told(study, **said)
        assert wrong(study, made, signed=bool(decision)) == []
        assert wrong_fhir(study, given_, signed=bool(decision)) == []
        assert "|F|" not in made.data.decode() + "|", "no status that closes an order"
        assert b'"final"' not in given_[1].data


def test_without_a_patient_id_nothing_can_be_told() -> None:
    study = STUDIES["nothing told"]()
    assert wrong(study, message(study)) == ["hl7-syntax"]
    assert wrong_fhir(study, told(study)) == ["fhir-syntax"]


def test_a_name_that_is_an_attack_stays_a_name() -> None:
    study = Study("chest_child_ap.dcm", **HOSTILE)
    made = message(study)
    assert wrong(study, made) == []
    plain = message(STUDIES["film"]())
    assert made.data.count(b"\r") == plain.data.count(b"\r"), "not one segment more"
    assert not any(byte < 32 and byte != 13 for byte in made.data), "nothing that ends a frame"
    parsed = parse_message(made.data.decode(), find_groups=False)
    assert [each.name for each in parsed.children].count("PID") == 1
    read = hl7.read(made.data)
    (patient,) = read.named("PID")
    assert read.first(patient, 3) == HOSTILE["PatientID"]
    assert read.first(patient, 5) == HOSTILE["PatientName"].split("^")[0]
    assert read.first(read.named("OBR")[0], 18) == HOSTILE["AccessionNumber"].replace("\\E\\", "\\E\\")
    assert wrong_fhir(study, told(study)) == []
    report = json.loads(told(study)[1].data)
    assert report["subject"]["identifier"]["value"] == HOSTILE["PatientID"]
    assert "\x1c" not in report["subject"]["display"], "no string of FHIR may hold it"


@given(st.text(max_size=80))
def test_any_text_comes_back_and_breaks_nothing(text: str) -> None:
    line = hl7.segment("ZZZ", hl7.escaped(text))
    assert len(line.splitlines()) == 1
    made = hl7.read(f"MSH|^~\\&|{'|' * 15}UNICODE UTF-8\r{line}".encode())
    assert made.first(made.named("ZZZ")[0], 1) == (
        "" if text == hl7.NULL else re.sub("[\ud800-\udfff]", "\ufffd", text)
    )


def edit(old: str, new: str) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), 1)

    return change


ORU_FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "final": (edit("|RAD|P\r", "|RAD|F\r"), "not-preliminary"),
    "one row final": (edit("||||||P|", "||||||F|"), "not-preliminary"),
    "another patient": (edit("|HBR0199177|", "|HBR0199178|"), "identity-PatientID"),
    "another name": (edit("Seawall^", "Seawal^"), "identity-PatientName"),
    "another birthday": (edit("|20221124|", "|20221125|"), "identity-PatientBirthDate"),
    "another accession": (edit("|A27776160|", "|A27776161|"), "identity-AccessionNumber"),
    "another study": (edit("|2.25.28", "|2.25.29"), "identity-StudyInstanceUID"),
    "no mark": (edit("NOT FOR DIAGNOSIS", "FOR DIAGNOSIS"), "not-for-diagnosis"),
    "called well": (edit("flagged here: read now", "normal"), "called-well"),
    "no lane": (edit("FLAGGED^", "WELL^"), "lane"),
    "a segment more": (lambda data: data + b"NTE|1||x\r", "segments"),
    "a frame's end": (edit("Seawall^", "Sea\x1cwall^"), "hl7-syntax"),
    "no date": (edit("|20221124|", "|2022-13|"), "hl7-syntax"),
    "another control id": (edit("ORU_R01|e", "ORU_R01|f"), "head"),
    "a person elsewhere": (edit("||||edge^1", "||anna||edge^1"), "person-observer"),
    "no decision": (edit("AGREE^", "NONE^"), "decision"),
}


@pytest.mark.parametrize("name", ORU_FAULTS)
def test_a_fault_planted_in_a_message_is_named(name: str) -> None:
    study = STUDIES["film"]()
    plant, rule = ORU_FAULTS[name]
    made = message(study)
    assert rule in wrong(study, dataclasses.replace(made, data=plant(made.data)))


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        inside: Any = made
        for each in path[:-1]:
            inside = inside[each]
        inside[path[-1]] = value

    return change


FHIR_FAULTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "final": (put("status", value="final"), "not-preliminary"),
    "one observation final": (put("contained", 0, "status", value="final"), "not-preliminary"),
    "another patient": (put("subject", "identifier", "value", value="X"), "identity-PatientID"),
    "another study": (put("imagingStudy", 0, "identifier", "value", value="urn:oid:1.2"), "identity-StudyInstanceUID"),
    "another accession": (put("basedOn", 0, "identifier", "value", value="X"), "identity-AccessionNumber"),
    "no mark": (put("conclusion", value="all is well"), "not-for-diagnosis"),
    "words": (put("text", value={"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>x</div>"}),
              "says-more"),
    "an element nobody knows": (put("verdict", value="well"), "fhir-syntax"),
    "no code": (lambda made: made["contained"][0].pop("code"), "fhir-syntax"),
    "a result less": (lambda made: made["result"].pop(), "result"),
    "a person elsewhere": (put("contained", 0, "performer", value=[{"display": "anna"}]), "person-observer"),
    "called well": (put("contained", 0, "valueCodeableConcept", "coding", 0, "display", value="normal"), "called-well"),
}  # fmt: skip


@pytest.mark.parametrize("name", FHIR_FAULTS)
def test_a_fault_planted_in_a_resource_is_named(name: str) -> None:
    study = STUDIES["film"]()
    plant, rule = FHIR_FAULTS[name]
    first, report = told(study)
    made = json.loads(report.data)
    plant(made)
    assert rule in wrong_fhir(study, (first, Message(report.name, json.dumps(made).encode())))


def test_what_was_signed_is_none_before_it() -> None:
    study = STUDIES["film"]()
    assert {"decision", "person-observer"} <= set(wrong(study, message(study), signed=False))
    assert {"decision", "person-observer"} <= set(wrong_fhir(study, told(study), signed=False))


def test_a_later_statement_is_known_as_such() -> None:
    study = STUDIES["film"]()
    unsigned, signed, next_one = (
        json.loads(told(study, **changed)[1].data)
        for changed in ({"decision": "", "reader": ""}, {}, {"revision": 2, "decision": "", "reader": ""})
    )
    assert later(unsigned, signed) == "ours"
    assert later(signed, unsigned) == later(next_one, signed) == "theirs"
    assert later(signed, signed) == "same"
    for odd in (
        {},
        {"extension": 3},
        {"extension": [{"url": signed["extension"][0]["url"], "valueString": "\u0661/"}]},
    ):
        assert later(odd, signed) == "ours"


@pytest.mark.parametrize(
    ("code", "error", "fate"),
    [
        ("AA", "", "taken"),
        ("CA", "", "taken"),
        ("AE", "", "refused"),
        ("AE", "101", "refused"),
        ("AE", "205", "noted"),
        ("AE", "206", "again"),
        ("AE", "207", "again"),
        ("AR", "203", "again"),
        ("", "", "again"),
        ("ZZ", "\u0661", "again"),
        ("AE", "\u0661", "refused"),
    ],
)
def test_what_an_acknowledgement_means(code: str, error: str, fate: str) -> None:
    assert of_ack(code, error).fate == fate


@pytest.mark.parametrize(
    ("status", "fate"),
    [(200, "taken"), (201, "taken"), (409, "again"), (412, "again"), (401, "shut"), (302, "shut"), (405, "shut"),
     (400, "refused"), (422, "refused"), (429, "again"), (500, "again"), (503, "again")],
)  # fmt: skip
def test_what_a_fhir_server_s_status_means(status: int, fate: str) -> None:
    assert of_fhir(status).fate == fate


@pytest.mark.parametrize(
    "data",
    [b"", b"MSH", b"MSH|^~\\&", b"PID|1\r", b"MSH|^^\\&|x\r", b"MSH|^~\\&|\xff\r", b"MSH|^~\\&|x\rpid|1\r",
     b"MSH|^~\\&" + b"|" * 16 + b"ISO IR87\r", b"MSH|^~\\&|x\r" + b"Z" * 10 + b"\r", b"MSH|^~\\&" + b"|" * 300,
     b"MSH|^~\\&|x\r" + b"OBX|1\r" * 6000],
)  # fmt: skip
def test_what_is_no_message_is_named(data: bytes) -> None:
    with pytest.raises(Quarantined) as found:
        hl7.read(data)
    assert found.value.code == "report-malformed"
