"""What a modality tells of its procedure steps: filed unread before success is said, refused as PS3.4 F.7.2 has it."""

import base64
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from pynetdicom.sop_class import ModalityPerformedProcedureStep  # type: ignore[attr-defined]

from appliance.config import Config
from appliance.core.performed_step import message_of
from appliance.core.step_files import KNOWN, OVER, key_of
from appliance.errors import Unavailable
from appliance.loop import FAULTS
from appliance.receive import steps as room
from appliance.world import archive
from appliance.world.dimse import server, steps
from tests.performed_steps import BIG, EXPLICIT, IMPLICIT, STEP, Modality, begun, ended
from tests.world.test_dimse import SCANNER, Door, open_door  # noqa: F401 - a fixture

STUDY = "1.2.826.0.1.7"
NAMED = {f"{STUDY}.7": [f"{STUDY}.7.1"]}
PEERS = {"mpps_peers": [f"{SCANNER}@127.0.0.1"]}
Make = Callable[..., Door]


def folder(door: Door) -> Path:
    return door.places.incoming / "steps"


def filed(door: Door) -> list[str]:
    return sorted(path.name for path in folder(door).iterdir() if path.is_file())


def test_a_step_is_filed_as_it_came_and_in_order(open_door: Make) -> None:  # noqa: F811
    door = open_door(**PEERS)
    for number, syntax in enumerate((IMPLICIT, EXPLICIT, BIG)):
        the_way_of_one_step(door, f"{STEP}.{number}", syntax)


def the_way_of_one_step(door: Door, step: str, syntax: str) -> None:
    with Modality(door.port, syntax=syntax) as modality:
        assert modality.create(begun(STUDY), step) == 0
        assert modality.change(ended(NAMED, ""), step).Status == 0
        assert modality.change(ended(NAMED), step).Status == 0
    key, read = key_of(step), []
    names = [each for each in filed(door) if each.startswith(key)]
    assert names == [f"{key}.000.set", f"{key}.001.set", f"{key}.create"]
    for name in (names[2], *names[:2]):
        told = json.loads((folder(door) / name).read_bytes())
        assert (told["peer"], told["uid"], told["syntax"]) == (SCANNER, step, syntax)
        data = base64.b64decode(told["data"])
        read.append(message_of(told["syntax"], data, creates=told["kind"] == "create"))
    assert [each.state for each in read] == ["IN PROGRESS", None, "COMPLETED"]
    assert read[0].studies == (STUDY,)


def test_what_is_known_unknown_or_over_is_said_as_the_standard_has_it(open_door: Make) -> None:  # noqa: F811
    door = open_door(**PEERS)
    with Modality(door.port) as modality:
        assert modality.change(ended(NAMED)).Status == 0x0112, "never created"
        assert modality.create(begun(STUDY)) == 0
        assert modality.create(begun(STUDY)) == 0x0111, "a replay is known, and changes nothing"
        assert len(filed(door)) == 1
        (folder(door) / KNOWN / key_of(STEP)).touch()  # as triage does once it has read it
        archive.remove(folder(door) / f"{key_of(STEP)}.create")
        assert modality.create(begun(STUDY)) == 0x0111
        assert modality.change(ended(NAMED)).Status == 0
        (folder(door) / OVER / key_of(STEP)).touch()
        told = modality.change(ended(NAMED))
        assert (told.Status, told.ErrorID) == (0x0110, 0xA710)
        assert "no longer be updated" in told.ErrorComment
    assert filed(door) == [f"{key_of(STEP)}.000.set"]


def test_what_cannot_be_held_or_named_is_refused(
    open_door: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = open_door(**PEERS)
    with Modality(door.port) as modality:
        assert modality.create(begun(STUDY), step=None) == 0x0117
        assert modality.create(None) == 0x0120, "nothing is told"
        monkeypatch.setattr(room, "STEPS_MAX", 1)
        assert modality.create(begun(STUDY)) == 0
        assert modality.create(begun(STUDY), step="1.2.5") == 0x0213, "no more steps"
        monkeypatch.setattr(room, "SETS_MAX", 1)
        assert modality.change(ended(NAMED, "")).Status == 0
        assert modality.change(ended(NAMED)).Status == 0x0213, "no more changes of one"
        monkeypatch.setattr(archive, "put", lambda *_: (_ for _ in ()).throw(Unavailable("disk-low")))
        monkeypatch.setattr(room, "SETS_MAX", 9)
        assert modality.change(ended(NAMED)).Status == 0x0213
        monkeypatch.setattr(archive, "put", lambda *_: (_ for _ in ()).throw(PermissionError))
        assert modality.change(ended(NAMED)).Status == 0x0110
    assert len(filed(door)) == 2


def test_a_message_beyond_its_limit_ends_the_association(
    open_door: Make,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    door = open_door(pdu_bytes_max=16_384, **PEERS)
    monkeypatch.setattr(server, "IDENTIFIER_BYTES_MAX", 2000)
    monkeypatch.setattr(steps, "IDENTIFIER_BYTES_MAX", 2000)
    counted = FAULTS["dimse-limit"]
    with Modality(door.port) as modality:
        some = {"1.2.3": [f"1.2.3.{number}" for number in range(50)]}
        assert modality.create(begun(STUDY, named=some)) == 0x0213, "in one PDU: it is here before it can be cut off"
    modality = Modality(door.port)
    end = modality.line.dul.socket
    assert end is not None
    raw = end.socket
    assert raw is not None
    many = {"1.2.3": [f"1.2.3.{number}" for number in range(500)]}
    assert modality.create(begun(STUDY, named=many)) is None
    raw.close()  # pynetdicom leaves it open where its peer aborts
    assert FAULTS["dimse-limit"] == counted + 1
    assert not filed(door)


def test_who_is_not_named_may_not_tell(open_door: Make) -> None:  # noqa: F811
    door = open_door(peers=[f"{SCANNER}@127.0.0.1", "MR_1@127.0.0.1"], **PEERS)
    with Modality(door.port, title="MR_1") as modality:
        assert modality.create(begun(STUDY)) == 0x0124
        assert modality.change(ended(NAMED)).Status == 0x0124
    assert not filed(door)
    assert Modality(door.port, title="STRANGER").line.is_rejected
    with Modality(open_door().port) as nowhere:
        assert ModalityPerformedProcedureStep not in {each.abstract_syntax for each in nowhere.line.accepted_contexts}


def test_two_lines_that_tell_of_one_step_at_once_lose_nothing(tmp_path: Path) -> None:
    told = room.Steps(tmp_path, lambda: True)
    told.open()
    told.file("create", SCANNER, STEP, IMPLICIT, b"begins")

    def tell(line: int) -> None:
        for number in range(8):
            told.file("set", SCANNER, STEP, IMPLICIT, f"{line} {number}".encode())

    threads = [threading.Thread(target=tell, args=(line,)) for line in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    said = [json.loads(path.read_bytes())["data"] for path in (tmp_path / "steps").glob("*.set")]
    assert len(set(said)) == 24


def test_a_peer_of_steps_is_a_peer() -> None:
    told = {"port": 104, "peers": ["CT_1@10.0.0.3"], "mpps_peers": ["CT_1@10.0.0.4"]}
    with pytest.raises(ValidationError, match="mpps_peers"):
        Config.model_validate({"dimse": told})
    knobs = Config.model_validate({"dimse": told | {"mpps_peers": ["CT_1@10.0.0.3"]}}).dimse
    assert knobs.may_tell_of_steps("CT_1", "10.0.0.3")
    assert not knobs.may_tell_of_steps("CT_1", "10.0.0.4")
    assert not knobs.may_tell_of_steps("CT_2", "10.0.0.3")
