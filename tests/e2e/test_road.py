"""The whole road on real processes: a file in the scanner's folder becomes a verdict on the page.

A real mosquitto, all five services, the centre and its stand-in for a language model. One house serves the first
tests; those that end or starve a part of it have one of their own.
"""

import hashlib
import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from marked_files_kill import HEADER_MARK, IMAGE_MARK

from appliance import review
from appliance.cli import SERVICES, up
from appliance.cli.reconcile import Check, reconcile
from appliance.core.drafting.question import NO_MODEL_ID, NO_MODEL_NOTICE
from appliance.world import ledger, sqlite, wire
from central.store import corrections
from tests.e2e.identities import identities, telling_file, traces
from tests.faults.processes import Processes, free_port
from tests.tiny import tiny

USER, PASSWORD = "reader", "blue whale counting 7 stars"
STUDIES = {f"1.2.826.0.1.3680043.10.{number}": f"77{number}31" for number in (501, 502, 503)}
TO_SIGN = "1.2.826.0.1.3680043.10.503"
DROPPED = {study: telling_file(study, patient) for study, patient in STUDIES.items()}
HANGS_S = 16.0  # longer than the page is silent between two signs of life
MARKED_FILES_KILL = Path(__file__).with_name("marked_files_kill.py")


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """A house in which three studies, named as scanners name them, have come to their end."""
    port, folder = free_port(), tmp_path_factory.mktemp("road")
    network = {"port": port, "ae_title": "EDGE", "peers": ["CT_1@127.0.0.1"]}
    with Processes(folder, settings={"dimse": network, "learning": {"corrections": "send"}}) as house:
        review.add_user(house.places, USER, PASSWORD)
        house.until(lambda: house.child("receive").ready, "receive does not start")
        by_line = folder / "one.dcm"
        by_line.write_bytes(DROPPED[TO_SIGN])
        send = ["dcmsend", "-aet", "CT_1", "-aec", "EDGE", "127.0.0.1", str(port), str(by_line)]
        subprocess.run(send, check=True, timeout=60)
        for study, data in DROPPED.items():
            if study == TO_SIGN:
                continue  # this one came over the network
            house.drop(f"Zwingenberger_Ottilie_{STUDIES[study]}.dcm", data)
        house.until(lambda: set(house.states()) == set(STUDIES) and house.at_rest(), "no study reaches its end")
        yield house


def one_tiny(house: Processes, number: int) -> str:
    """Drops a new small study; returns its Study Instance UID."""
    study = f"1.2.826.0.1.77.{number}"
    house.drop(f"{number}.dcm", tiny(study, 1, f"PAT-{number}", "MR", number))
    return study


def wait_for(house: Processes, study: str, state: str) -> None:
    house.until(lambda: house.states().get(study) == state, f"the study does not become {state}")


def test_a_file_in_the_folder_ends_answered_with_the_stand_in_s_verdict(road: Processes) -> None:
    told = road.told("studies", next(iter(STUDIES)))
    assert told["state"] == "answered"
    assert [move["event"] for move in told["moves"]] == ["quieted", "abstained", "sealed", "verdict"]
    (verdict,) = told["verdicts"]
    assert verdict["body"]["impression"] == NO_MODEL_NOTICE
    assert verdict["body"]["reader"]["model"] == NO_MODEL_ID
    assert verdict["body"]["reader"]["connected"] is False
    digest = hashlib.sha256(DROPPED[told["study_instance_uid"]]).hexdigest()
    assert (road.places.instances / digest[:2] / f"{digest}.dcm").read_bytes() == DROPPED[told["study_instance_uid"]]


def test_the_books_agree_and_the_reading_verbs_say_so(road: Processes) -> None:
    road.until(road.at_rest, "not at rest")  # a signature of another test may be on its way
    books = road.command("reconcile", "--deep")
    assert books.returncode == 0, books
    assert road.told("reconcile")["holds"]
    status = road.told("status")
    assert sum(status["studies"].values()) == len(STUDIES)
    assert status["cases"] == {"closed": len(STUDIES)}
    assert status["look"] == []
    listed = road.told("studies")
    assert {row["study_instance_uid"]: row["lane"] for row in listed} == dict.fromkeys(STUDIES, "escalated")
    machine = ("clock: held", "disk: power", "kernel: ", "rights of ")  # of whatever runs the tests, not of the house
    assert [line for line in road.told("check") if not line["ok"] and not line["name"].startswith(machine)] == []


def test_every_case_that_left_has_a_receipt_that_holds_and_a_pseudonym_that_is_answered(road: Processes) -> None:
    for study, row in road.studies().items():
        told = road.told("receipt", str(row.number))
        assert told["holds"], told["checks"]
        assert [check["holds"] for check in told["checks"]].count(True) >= 6, "the part itself may be let go by now"
        pseudonym = told["receipt"]["objects"][0]["sop_instance_uid"]
        (person,) = road.told("crosswalk", pseudonym)
        assert (person["study_instance_uid"], person["source"]) == (study, f"{study}.7.1")
    log = (road.places.root / "log.txt").read_text()
    assert not [word for word in (pseudonym, *STUDIES) if word in log]


def test_a_reader_signs_in_sees_the_study_and_signs_it(road: Processes) -> None:
    address = road.child("review").address
    origin = address.rstrip("/")
    with httpx.Client(base_url=address, headers={"Origin": origin}) as page:
        entrance = page.get("/sign-in")
        form = {"name": USER, "password": PASSWORD, "check": field(entrance.text, "check")}
        assert page.post("/sign-in", data={**form, "password": "not this one, no"}).status_code == 403
        assert page.post("/sign-in", data=form).headers["location"] == "/"
        number = road.studies()[TO_SIGN].number
        assert f"/studies/{number}" in page.get("/").text
        case = page.get(f"/studies/{number}")
        assert case.status_code == 200
        assert STUDIES[TO_SIGN] in case.text, "the reader must see whose study it is"
        assert NO_MODEL_NOTICE in case.text
        seen = {name: field(case.text, name) for name in ("check", "nonce", "revision", "seq")}
        said = {"decision": "agree", "patient": "yes", "exam": "yes"}
        signed = page.post(f"/studies/{number}/sign", data={**seen, **said, "proof": PASSWORD})
        assert (signed.status_code, signed.headers["location"]) == (303, f"/studies/{number}?done=signed")
    wait_for(road, TO_SIGN, "reviewed")
    moves = road.told("studies", TO_SIGN)["moves"]
    assert (moves[-1]["event"], moves[-1]["who"]) == ("signed", f"review:{USER}")


def test_what_the_reader_signed_is_at_the_centre_and_named_by_its_case_alone(road: Processes) -> None:
    road.until(lambda: road.told("status")["corrections"].get("filed") == 1, "the correction is not filed")
    here = road.command("corrections", "export").stdout
    engine = sqlite.open_reader(road.central / "central.db")
    with engine.connect() as c:
        (row,) = corrections.standing(c)
    engine.dispose()
    assert row.body.decode() + "\n" == here
    said = json.loads(here)
    assert (said["decision"], said["saw_ai"], said["selection"]) == ("agree", True, "worklist")
    with_case = {
        row.case_id for row in road.ask(road.places.cases_db, lambda c: list(c.execute(wire.cases.select())), [])
    }
    assert said["case_id"] in with_case


def field(page: str, name: str) -> str:
    """The value of a hidden field of a form."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found is not None, name
    return found[1]


def test_nothing_of_a_person_is_in_the_log_on_the_wire_or_at_the_centre(road: Processes) -> None:
    texts = set().union(*(identities(data) for data in DROPPED.values()))
    assert len(texts) > 60
    assert {"Zwingenberger7750131", "1947-08-23", "MRN-7750131", next(iter(STUDIES)), "Waldemar"} <= texts
    road.end_broker()
    try:
        rooms = [road.places.wire, road.folder / "broker", road.central]
        files = [road.places.root / "log.txt", *(path for room in rooms for path in room.rglob("*") if path.is_file())]
        assert {"log.txt", "cases.db", "link.db", "mosquitto.db", "central.db"} <= {path.name for path in files}
        assert traces(texts, files) == {}
        # The same search finds every person where the clinical ledger keeps them.
        home = set().union(*traces(texts, road.places.phi.glob("studies.db*")).values())
        assert {"Zwingenberger7750131", "MRN-7750131", *STUDIES} <= home
    finally:
        road.come("broker")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "hex", "base64"])
def test_a_planted_trace_is_found(tmp_path: Path, encoding: str) -> None:
    coded = {
        "utf-8": b"..Ottilie77..",
        "utf-16-le": "..Ottilie77..".encode("utf-16-le"),
        "hex": b"Ottilie77".hex().encode(),
        "base64": b"eHhPdHRpbGllNzd4",  # in the middle of another text
    }
    path = tmp_path / "said"
    path.write_bytes(coded[encoding])
    assert traces(["Ottilie77"], [path]) == {"said": ["Ottilie77"]}


def test_a_study_waits_for_broker_and_centre_and_is_answered_when_both_are_there(tmp_path: Path) -> None:
    with Processes(tmp_path, away=("broker", "central"), models=False) as house:
        study, *others = STUDIES
        house.drop("Zwingenberger.dcm", DROPPED[study])
        wait_for(house, study, "escalated")
        assert len(house.open_cases()) == 1
        assert house.sent() == set(), "sent to nobody"
        house.come("broker")
        house.until(lambda: bool(house.sent(times=2)), "the case is not sent again")
        assert house.states() == {study: "escalated"}
        assert list(house.places.parts.iterdir()), "a case that nobody received was let go"
        assert traces(identities(DROPPED[study]), house.places.wire.rglob("*.*")) == {}
        assert traces(identities(DROPPED[study]), house.places.parts.iterdir()) == {}
        assert wrong(house) == []
        house.come("central")
        wait_for(house, study, "answered")
        # Known to the broker, but away: the next case waits there too, and it writes down what it holds.
        house.kill("central", stay_away=True)
        house.drop("Ottilie.dcm", DROPPED[others[0]])
        house.until(lambda: bool(house.sent(times=2).intersection(house.open_cases())), "the second case is not sent")
        (waiting,) = house.open_cases()
        house.end_broker()
        kept = house.folder / "broker" / "mosquitto.db"
        assert b"/manifest" in kept.read_bytes(), "what waits there is the sealed case"
        assert waiting.encode() not in kept.read_bytes(), "not even its name is in the clear"
        assert traces(identities(DROPPED[others[0]]), [kept, *house.places.parts.iterdir()]) == {}
        house.come("broker")
        house.come("central")
        wait_for(house, others[0], "answered")
        house.until(house.at_rest, "not at rest")
        assert wrong(house) == []


def test_a_broker_that_dies_and_forgets_costs_no_answer(tmp_path: Path) -> None:
    with Processes(tmp_path, models=False) as house:
        house.wait_ready()
        first = one_tiny(house, 1)
        house.until(lambda: len(house.sent()) == 1, "the first case is not sent")
        house.kill("broker")  # and with it whatever it had promised
        second = one_tiny(house, 2)
        wait_for(house, second, "escalated")
        house.come("broker", wiped=True)
        wait_for(house, first, "answered")
        wait_for(house, second, "answered")
        house.until(house.at_rest, "not at rest")
        assert wrong(house) == []


def wrong(house: Processes) -> list[Check]:
    """What does not agree in the books."""
    return [check for check in reconcile(house.places, deep=True)[0] if not check.holds]


def test_every_service_says_that_it_lives_and_one_that_hangs_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience_s = up.WATCHDOG_S
    with Processes(tmp_path, away=("central",)) as house:
        services = [house.child(name) for name in SERVICES]
        house.until(lambda: all(child.ready for child in services), "a service does not start")
        monkeypatch.setattr(up, "WATCHDOG_S", HANGS_S)
        house.pass_time(1.3 * HANGS_S)
        assert {child.name: child.starts for child in services} == dict.fromkeys(SERVICES, 1)
        page = house.child("review")
        assert page.process is not None
        page.process.send_signal(signal.SIGSTOP)
        house.until(lambda: page.starts == 2, "a page that hangs is left hanging")
        monkeypatch.setattr(up, "WATCHDOG_S", patience_s)
        house.until(lambda: page.ready, "a page that hung does not come back")
        assert page.starts == 2


def test_a_file_that_kills_triage_is_set_aside(tmp_path: Path) -> None:
    """Its attempts are counted before they are made; the others that came with it are not made to pay."""
    kills_reader = tiny("1.2.826.0.1.78.1", 1, HEADER_MARK.decode(), "MR", 1)
    kills_decoder = tiny("1.2.826.0.1.78.2", 1, IMAGE_MARK.decode(), "MR", 2)
    settings = {"triage": {"attempts_max": 2}}
    with Processes(tmp_path, settings=settings, entries={"triage": MARKED_FILES_KILL}, models=False) as house:
        house.drop("a.dcm", kills_reader)
        house.drop("b.dcm", kills_decoder)
        others = [one_tiny(house, number) for number in range(3)]
        house.until(
            lambda: len(house.states()) == len(others) + 1 and house.at_rest(), "what kills holds up the others"
        )
        assert {study: house.states()[study] for study in others} == dict.fromkeys(others, "answered")
        set_aside = house.studies()["1.2.826.0.1.78.2"]
        assert (set_aside.state, set_aside.fault_code) == ("quarantined", "study-attempts-spent")
        digest = hashlib.sha256(kills_reader).hexdigest()
        strays = house.ask(house.places.studies_db, lambda c: list(c.execute(ledger.strays.select())), [])
        assert [(row.sha256, row.code) for row in strays] == [(digest, "file-attempts-spent")]
        assert (house.places.instances / digest[:2] / f"{digest}.dcm").read_bytes() == kills_reader
        assert house.child("triage").starts == 5, "two deaths each, and then it stays up"
        named = house.told("status")["look"]
        assert {each["code"] for each in named} == {"file-attempts-spent", "study-attempts-spent"}
        assert wrong(house) == []
