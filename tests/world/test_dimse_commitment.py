"""What a scanner asks and tells beside its objects: commitments, and how its associations end."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydantic import ValidationError
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from appliance.config import Config
from appliance.core.commitment import request_of
from appliance.errors import Unavailable
from appliance.world import archive
from tests.world.test_dimse import OURS, SCANNER, Door, film, until

WELL_KNOWN = "1.2.840.10008.1.20.1.1"  # PS3.4 J.3.2
MR = "1.2.840.10008.5.1.4.1.1.4"


@pytest.fixture
def open_house(tmp_path: Path) -> Iterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(**knobs: Any) -> Door:
        told = {"commit_peers": [f"{SCANNER}@127.0.0.1:11113"], **knobs}
        doors.append(Door(tmp_path / f"house-{len(doors)}", **told))
        return doors[-1]

    yield make
    for door in doors:
        door.service.close()


def dial(door: Door, *classes: str, title: str = SCANNER) -> Association:
    scanner = AE(ae_title=title)
    for each in (MR, *classes):
        scanner.add_requested_context(each, ExplicitVRLittleEndian)
    return scanner.associate("127.0.0.1", door.port, ae_title=OURS)


def asks(line: Association, action: int = 1, instance: str = WELL_KNOWN, transaction: str = "2.25.1") -> int | None:
    told, item = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR, "1.2.3"
    told.TransactionUID, told.ReferencedSOPSequence = transaction, [item]
    status, _ = line.send_n_action(told, action, StorageCommitmentPushModel, instance)
    return status.get("Status")


def filed(door: Door, suffix: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(door.places.incoming.glob(f"*{suffix}"))]


def test_a_commitment_is_filed_unread_before_success_is_said(
    open_house: Callable[..., Door], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = open_house()
    line = dial(door, StorageCommitmentPushModel)
    assert asks(line) == 0
    assert asks(line) == 0  # the same again is the same file
    (told,) = filed(door, ".commit")
    asked = request_of(told["peer"], told["syntax"], base64.b64decode(told["data"]))
    assert (asked.peer, asked.transaction_uid, asked.instances) == (SCANNER, "2.25.1", ((MR, "1.2.3"),))
    monkeypatch.setattr(archive, "put", lambda *_: (_ for _ in ()).throw(Unavailable("disk-low")))
    assert asks(line, transaction="2.25.2") == 0x0110
    line.release()


def test_what_is_no_request_for_commitment_is_refused_with_its_reason(open_house: Callable[..., Door]) -> None:
    door = open_house()
    line = dial(door, StorageCommitmentPushModel)
    assert asks(line, action=2) == 0x0123
    assert asks(line, instance="1.2.3") == 0x0112
    status, _ = line.send_n_action(None, 1, StorageCommitmentPushModel, WELL_KNOWN)
    assert status.Status == 0x0115
    line.release()
    assert not filed(door, ".commit")


def test_who_may_only_send_cannot_ask(open_house: Callable[..., Door]) -> None:
    door = open_house(peers=[f"{SCANNER}@127.0.0.1", "MR_1@127.0.0.1"])
    line = dial(door, StorageCommitmentPushModel, title="MR_1")
    assert asks(line) == 0x0124
    line.release()
    nobody = dial(open_house(commit_peers=[]), StorageCommitmentPushModel)
    assert StorageCommitmentPushModel not in {each.abstract_syntax for each in nobody.accepted_contexts}
    nobody.release()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["CT_1@10.0.0.3"], "commit_peers"),
        (["CT_1@10.0.0.3:0"], "one of dimse.peers"),
        (["CT_1@10.0.0.4:104"], "one of dimse.peers"),
        (["CT_1@10.0.0.3:104", "CT_1@10.0.0.3:105"], "stands once"),
    ],
)
def test_a_wrong_list_of_askers_is_refused_at_the_start(told: list[str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Config.model_validate({"dimse": {"port": 104, "peers": ["CT_1@10.0.0.3"], "commit_peers": told}})


def test_answers_find_their_way_by_the_title() -> None:
    told = {"port": 104, "peers": ["CT_1@10.0.0.3", "MR@fd00::5"], "commit_peers": ["MR@fd00::5:11113"]}
    knobs = Config.model_validate({"dimse": told}).dimse
    assert knobs.answers_at("MR") == ("MR", "fd00::5", 11113)
    assert knobs.answers_at("MR", "fd00:0::5") is not None
    assert knobs.answers_at("MR", "10.0.0.3") is None
    assert knobs.answers_at("CT_1") is None


def test_a_release_names_what_came_and_an_abort_names_nothing(open_house: Callable[..., Door], tmp_path: Path) -> None:
    door = open_house()
    films = [film(tmp_path, number) for number in range(4)]
    aborted = dial(door)
    assert aborted.send_c_store(pydicom.dcmread(films[0])).Status == 0
    aborted.abort()
    until(lambda: not door.service.bursts._peers)
    assert not filed(door, ".released")
    line = dial(door)
    for each in films[1:]:
        assert line.send_c_store(pydicom.dcmread(each)).Status == 0
    assert not filed(door, ".released"), "it may send more"
    line.release()
    until(lambda: len(filed(door, ".released")) == 1)
    (note,) = filed(door, ".released")
    taken = {path.stem for path in door.places.incoming.glob("*.dcm")}
    assert len(taken) == 4
    assert set(note["digests"]) < taken
    assert (len(note["digests"]), note["peer"]) == (3, f"{SCANNER}@127.0.0.1")


def test_the_last_open_association_of_a_scanner_is_waited_for(open_house: Callable[..., Door], tmp_path: Path) -> None:
    door = open_house(peers=[f"{SCANNER}@127.0.0.1", "MR_1@127.0.0.1"])
    one, two = dial(door), dial(door)
    for number, line in enumerate((one, two)):
        assert line.send_c_store(pydicom.dcmread(film(tmp_path, number))).Status == 0
    one.release()
    other = dial(door, title="MR_1")
    assert other.send_c_store(pydicom.dcmread(film(tmp_path, 7))).Status == 0
    other.release()
    until(lambda: len(filed(door, ".released")) == 1)
    assert filed(door, ".released")[0]["peer"] == "MR_1@127.0.0.1"
    two.release()
    until(lambda: len(filed(door, ".released")) == 2)
    assert sorted(len(each["digests"]) for each in filed(door, ".released")) == [1, 2]


def test_associations_that_bring_nothing_leave_no_note(open_house: Callable[..., Door]) -> None:
    door = open_house(associations_max=1)
    line = dial(door, Verification)
    assert line.send_c_echo().Status == 0
    assert not dial(door).is_established, "one more than may"
    line.release()
    until(lambda: not door.service.bursts._peers)
    assert not filed(door, ".released")
