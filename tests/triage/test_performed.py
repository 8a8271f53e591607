"""Procedure steps on their whole road: told over the network, filed, absorbed, and what they do to a study's wait."""

import base64
import json
import socket
from collections.abc import Iterator, Sequence
from io import BytesIO

import pydicom
import pytest
from pydicom.dataset import Dataset

from appliance.config import Config
from appliance.core.performed_step import PerformedStep
from appliance.core.step_files import KEEP_S, create_name, key_of, set_name
from appliance.loop import FAULTS, Moment
from appliance.receive.listening import Listening
from appliance.triage import performed as room
from appliance.world import archive
from appliance.world.ledger import performed
from tests.performed_steps import IMPLICIT, STEP, Modality, Named, begun, encoded, ended
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

SERIES = f"{UID}.7"  # of tests.tiny
OTHER = "1.2.826.0.1.5.2"


def films(*numbers: int) -> list[bytes]:
    """Numbered from 7: nothing in them says that they are all."""
    return [tiny(UID, number, "PAT-1", "MR", number) for number in numbers]


def named(*numbers: int) -> Named:
    return {SERIES: [f"{SERIES}.{number}" for number in numbers]}


def tell(bench: Bench, told: Dataset | bytes, *, step: str = STEP, number: int | None = None) -> None:
    """Files a message as receive does; number: of an N-SET."""
    data = told if isinstance(told, bytes) else encoded(told)
    name = create_name(key_of(step)) if number is None else set_name(key_of(step), number)
    message = {"schema": "performed-step/1", "kind": "", "peer": "CT_1", "uid": step, "syntax": IMPLICIT}
    message["data"] = base64.b64encode(data).decode()
    archive.put(bench.places.incoming / "steps" / name, json.dumps(message).encode())


def grow(bench: Bench, passed: float) -> str:
    bench.step("performed", "admit", "assemble", passed=passed)
    return str(bench.study().state)


def known(bench: Bench, study: str = UID) -> list[PerformedStep]:
    with bench.triage.engine.connect() as c:
        return performed.steps_of(c, study)


def states(bench: Bench) -> list[str]:
    return [step.state for step in known(bench)]


def left(bench: Bench) -> set[str]:
    """What lies in incoming/steps/ beside what receive goes by."""
    return {path.name for path in (bench.places.incoming / "steps").iterdir() if path.is_file()}


def marked(bench: Bench, place: str, step: str = STEP) -> bool:
    return (bench.places.incoming / "steps" / place / key_of(step)).exists()


@pytest.fixture
def port(bench: Bench) -> Iterator[int]:
    """A receive service that listens beside the bench, on the same folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    peers = ["CT_1@127.0.0.1"]
    told = {"port": free, "peers": peers, "mpps_peers": peers}
    config = Config.model_validate({"receive": {"disk_reserve_bytes": 0}, "dimse": told})
    service = Listening(config, bench.places)
    assert service.listen(Moment(0.0, 0.0))
    yield free
    service.close()


def store(modality: Modality, objects: Sequence[bytes]) -> None:
    for data in objects:
        assert modality.line.send_c_store(pydicom.dcmread(BytesIO(data))).Status == 0


def test_the_whole_road_from_the_first_word_to_the_early_end(bench: Bench, port: int) -> None:
    with Modality(port) as modality:
        assert modality.create(begun(UID)) == 0
        store(modality, films(7, 9))
        assert grow(bench, 0) == "received"
        assert states(bench) == ["IN PROGRESS"]
        store(modality, films(8))
        assert grow(bench, 0) == "received"
        assert grow(bench, 2.0) == "received", "it is under way"
        assert modality.change(ended(named(7, 8, 9))).Status == 0
        assert grow(bench, 0) == "complete"
        assert bench.study().completeness["text"].startswith("3 objects of completed procedure steps")
        assert modality.create(begun(UID)) == 0x0111
        assert modality.change(ended(named(7))).Status == 0x0110
        assert modality.change(ended(named(7)), OTHER).Status == 0x0112
    assert left(bench) == set()
    kept = [path for path in (bench.places.incoming / "steps").rglob("*") if path.is_file()]
    assert kept
    assert not any(path.read_bytes() for path in kept), "marks are empty"


def test_an_image_that_was_named_and_did_not_come_is_waited_for_until_quiet(bench: Bench) -> None:
    tell(bench, begun(UID))
    tell(bench, ended(named(7, 8, 9)), number=0)
    for film in films(7, 8):
        bench.put(film)
    assert grow(bench, 0) == "received"
    assert grow(bench, 2.9) == "received"
    assert grow(bench, 0.2) == "complete"
    assert bench.study().completeness["text"].endswith("1 object of a procedure step is missing")


def test_a_step_that_never_ends_holds_nothing_back_for_ever(bench: Bench) -> None:
    tell(bench, begun(UID))
    for number in (1, 2):  # by themselves two of two without a gap
        bench.put(tiny(UID, number, "PAT-1", "MR", number))
    assert grow(bench, 0) == "received"
    assert grow(bench, 1.1) == "received"
    assert grow(bench, 2.0) == "complete"
    assert bench.study().completeness["code"] == "complete-quiet"


def test_two_steps_of_one_study_must_both_be_over(bench: Bench) -> None:
    tell(bench, begun(UID))
    tell(bench, begun(UID), step=OTHER)
    tell(bench, ended(named(7)), number=0)
    for film in films(7, 8):
        bench.put(film)
    assert grow(bench, 0) == "received"
    assert grow(bench, 1.1) == "received", "the second one is under way"
    tell(bench, ended(named(8), "DISCONTINUED"), step=OTHER, number=0)
    assert grow(bench, 0) == "complete"
    assert bench.study().completeness["code"] == "complete-evidence"


def test_an_image_that_comes_after_the_end_is_a_new_revision_that_waits(bench: Bench) -> None:
    tell(bench, begun(UID))
    tell(bench, ended(named(7)), number=0)
    bench.put(films(7)[0])
    grow(bench, 0)
    assert grow(bench, 1.1) == "complete"
    bench.put(films(8)[0])
    assert grow(bench, 0) == "received"
    assert grow(bench, 1.1) == "received"
    assert grow(bench, 2.0) == "complete"


def test_the_same_messages_again_change_nothing(bench: Bench) -> None:
    for _ in range(2):
        tell(bench, begun(UID))
        tell(bench, ended(named(7), ""), number=0)
        tell(bench, ended(named(7, 8)), number=1)
        bench.step("performed")
        assert states(bench) == ["COMPLETED"]
        assert known(bench)[0].objects == {f"{SERIES}.7", f"{SERIES}.8"}
    assert left(bench) == set()
    assert marked(bench, "over")


def test_what_goes_on_after_its_end_is_no_evidence(bench: Bench) -> None:
    tell(bench, begun(UID))
    tell(bench, ended(named(7)), number=0)
    tell(bench, ended(named(7, 8), ""), number=1)
    bench.put(films(7)[0])
    assert grow(bench, 0) == "received"
    assert states(bench) == ["UNCLEAR"]
    assert grow(bench, 2.9) == "received"
    assert grow(bench, 0.2) == "complete"


def test_a_step_of_a_study_that_never_comes_is_forgotten_with_its_marks(bench: Bench) -> None:
    tell(bench, begun("1.2.826.0.1.99"))
    tell(bench, ended({"1.2.3": ["1.2.3.1"]}), number=0)
    bench.step("performed")
    assert [step.state for step in known(bench, "1.2.826.0.1.99")] == ["COMPLETED"]
    bench.step("performed", passed=KEEP_S - 1)
    assert marked(bench, "known")
    bench.step("performed", passed=room.PRUNE_PERIOD_S)
    assert not known(bench, "1.2.826.0.1.99")
    assert not marked(bench, "known")
    assert not marked(bench, "over")
    with bench.triage.engine.connect() as c:
        for table in (performed.steps, performed.step_studies, performed.step_objects):
            assert not c.execute(table.select()).all()


def test_a_change_of_a_step_that_nobody_knows_goes(bench: Bench) -> None:
    tell(bench, ended(named(7)), number=0)
    bench.step("performed")
    assert left(bench) == set()
    assert not marked(bench, "known")


@pytest.mark.parametrize("point", ["remove", "sync_folder"])
def test_a_kill_between_the_file_and_the_ledger_changes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    for told, number in ((begun(UID), None), (ended(named(7)), 0)):
        tell(bench, told, number=number)
        bench.start()  # what was filed is found by the next life
        with monkeypatch.context() as patch:
            patch.setattr(archive, point, dies)
            with pytest.raises(KeyboardInterrupt):
                bench.step("performed")
        assert left(bench), "filed until it is safe in the ledger and marked"
        bench.start()
        bench.step("performed")
    assert (states(bench), left(bench)) == (["COMPLETED"], set())
    assert known(bench)[0].objects == {f"{SERIES}.7"}
    assert marked(bench, "known")
    assert marked(bench, "over")


def test_a_message_that_kills_makes_its_step_unclear(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(bench, begun(UID))
    bench.step("performed")
    tell(bench, ended(named(7)), number=0)
    with monkeypatch.context() as patch:
        patch.setattr(room, "message_of", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                bench.step("performed")
            bench.start()
        bench.step("performed")
    assert (states(bench), left(bench)) == (["UNCLEAR"], set())


@pytest.mark.filterwarnings("ignore")  # pydicom's, of odd bytes
def test_what_cannot_be_read_is_counted_leaves_nothing_of_a_patient_and_holds_its_study(bench: Bench) -> None:
    counted = FAULTS["step-malformed"]
    tell(bench, begun(UID))
    tell(bench, ended(named(7), "DONE"), number=0)
    tell(bench, ended(named(7)), number=1)
    tell(bench, b"\xff" * 40, step=OTHER)
    tell(bench, ended(named(7)), step=OTHER, number=0)
    (bench.places.incoming / "steps" / f"{'f' * 64}.create").write_text("{")
    bench.step("performed")
    assert FAULTS["step-malformed"] >= counted + 3
    assert (states(bench), left(bench)) == (["UNCLEAR"], set())
    assert marked(bench, "known", OTHER), "what is told of it later is taken, and counts for nothing"
    bench.triage.close()
    bench.start()
    for path in bench.places.root.rglob("*"):
        if path.is_file():  # what could be read, too: UIDs are kept and nothing of a patient
            assert b"Harbour" not in path.read_bytes(), path.name
