"""Storage Commitment that a scanner asks for: answered once, out of what lies here, whatever is asked."""

import base64
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from appliance.core import commitment
from appliance.core.commitment import request_of
from appliance.core.document import decode, encode
from appliance.core.results.order import Order, Receipt
from appliance.errors import Quarantined
from appliance.loop import FAULTS, Moment
from appliance.triage import commitments as room
from appliance.world import archive
from tests.tiny import tiny
from tests.triage.conftest import UID, Bench

MR, CR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.1"
PEER, TRANSACTION = "CT_1", "2.25.17"
UNKNOWN, FAILED, CONFLICT = 0x0112, 0x0110, 0x0119


def asked(*named: tuple[str, str], transaction: str = TRANSACTION, syntax: str = ImplicitVRLittleEndian) -> bytes:
    told = Dataset()
    told.TransactionUID = transaction
    told.ReferencedSOPSequence = []
    for sop_class, uid in named:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        told.ReferencedSOPSequence.append(item)
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = syntax == ImplicitVRLittleEndian, True
    write_dataset(out, told)
    return out.getvalue()


def file_request(bench: Bench, data: bytes, name: str = "a" * 64, syntax: str = ImplicitVRLittleEndian) -> Path:
    told = {"schema": "commit-request/1", "peer": PEER, "syntax": syntax, "data": base64.b64encode(data).decode()}
    path = bench.places.incoming / f"{name}.commit"
    path.write_text(json.dumps(told))
    return path


def film(number: int) -> tuple[bytes, tuple[str, str]]:
    return tiny(UID, number, "PAT-1", "MR", number), (MR, f"{UID}.7.{number}")


def orders(bench: Bench) -> list[Order]:
    return [decode(Order, path.read_bytes()) for path in sorted(bench.places.outbox.glob("*.json"))]


def the_answer(bench: Bench) -> tuple[list[Any], list[Any]]:
    (order,) = orders(bench)
    assert (order.kind, order.peer_ae_title, order.transaction_uid) == ("commit-reply", PEER, TRANSACTION)
    return list(order.committed), list(order.failed)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_what_is_here_is_kept_and_nothing_else_is_said_to_be(bench: Bench, syntax: str) -> None:
    data, here = film(1)
    bench.put(data)
    bench.step("admit")
    missing = (MR, "1.2.3.4.5")
    file_request(bench, asked(here, missing, syntax=syntax), syntax=syntax)
    bench.step("commit")
    assert the_answer(bench) == ([here], [(*missing, UNKNOWN)])
    assert not list(bench.places.incoming.iterdir())


def test_a_file_that_changed_on_the_disk_is_not_vouched_for(bench: Bench) -> None:
    data, here = film(1)
    digest = bench.put(data)
    bench.step("admit")
    archive.instance_path(bench.places.instances, digest).write_bytes(data[:-1] + b"\x01")
    file_request(bench, asked(here))
    bench.step("commit")
    assert the_answer(bench) == ([], [(*here, FAILED)])


def test_two_files_under_one_uid_a_broken_one_and_a_wrong_class_are_not_vouched_for(bench: Bench) -> None:
    data, twice = film(1)
    bench.put(data)
    bench.put(tiny(UID, 1, "PAT-1", "MR", 99))
    data, other = film(2)
    bench.put(data)
    data, broken = film(3)
    bench.put(data[:-10])
    bench.step("admit")
    file_request(bench, asked(twice, (CR, other[1]), broken))
    bench.step("commit")
    assert the_answer(bench) == ([], [(*twice, FAILED), (CR, other[1], CONFLICT), (*broken, FAILED)])


def test_a_request_waits_for_what_came_before_it_and_not_for_what_came_later(bench: Bench) -> None:
    data, here = film(1)
    digest = bench.put(data)
    path = file_request(bench, asked(here))
    came = (bench.places.incoming / f"{digest}.dcm").stat().st_mtime_ns
    os.utime(path, ns=(came, came))
    bench.step("commit")
    assert not orders(bench)
    bench.step("admit", "commit")
    assert the_answer(bench) == ([here], [])


def test_a_request_does_not_wait_for_a_later_file_nor_for_ever(bench: Bench) -> None:
    later = bench.put(film(1)[0])
    path = file_request(bench, asked((MR, "1.2.3")))
    os.utime(bench.places.incoming / f"{later}.dcm", ns=(path.stat().st_mtime_ns + 10, path.stat().st_mtime_ns + 10))
    bench.step("commit")
    assert the_answer(bench) == ([], [(MR, "1.2.3", UNKNOWN)])
    path = file_request(bench, asked((MR, "1.2.4"), transaction="2.25.18"))
    os.utime(bench.places.incoming / f"{later}.dcm", ns=(1, 1))
    bench.step("commit")
    assert len(orders(bench)) == 1
    bench.step("commit", passed=room.WAIT_S)
    assert len(orders(bench)) == 2


def test_the_same_request_again_is_answered_once(bench: Bench) -> None:
    data, here = film(1)
    bench.put(data)
    bench.step("admit")
    for name in ("a" * 64, "b" * 64):
        file_request(bench, asked(here), name)
        bench.step("commit")
    (order,) = orders(bench)
    receipt = Receipt(id=order.id, target=order.target, outcome="replied", code="", status=0, at_s=1.0, attempts=1)
    bench.places.receipts.mkdir(parents=True, exist_ok=True)
    (bench.places.receipts / f"{order.id}.json").write_bytes(encode(receipt))
    bench.step("commit.settle")
    assert not orders(bench)
    assert not list(bench.places.receipts.iterdir())
    file_request(bench, asked(here), "c" * 64)
    bench.step("commit")
    assert not orders(bench)
    assert not list(bench.places.incoming.iterdir())


def test_a_kill_at_any_point_of_answering_changes_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    data, here = film(1)
    bench.put(data)
    bench.step("admit")
    before: list[bytes] = []
    for point in ("put", "remove"):
        file_request(bench, asked(here))
        original = getattr(archive, point)

        def dies(*told: Any, original: Any = original) -> None:
            original(*told)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(archive, point, dies)
            with pytest.raises(KeyboardInterrupt):
                bench.step("commit")
        bench.start()
        bench.step("commit")
        (order,) = orders(bench)
        before.append(encode(order))
    assert decode(Order, before[0]).committed == decode(Order, before[1]).committed
    assert not list(bench.places.incoming.glob("*.commit"))


@pytest.mark.filterwarnings("ignore")  # pydicom's, of odd bytes
def test_what_is_no_request_is_counted_and_goes(bench: Bench) -> None:
    counted = FAULTS["commit-malformed"]
    lies = [b"", b"\xff" * 40, asked(), asked((MR, "no uid")), asked((MR, "1.2"), transaction="../x")]
    for number, data in enumerate(lies):
        file_request(bench, data, name=f"{number:064x}")
    (bench.places.incoming / f"{'f' * 64}.commit").write_text("{")
    bench.step("commit")
    assert FAULTS["commit-malformed"] >= counted + len(lies) + 1
    assert not orders(bench)
    assert not list(bench.places.incoming.iterdir())


def test_a_request_that_kills_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    file_request(bench, asked((MR, "1.2.3")))
    monkeypatch.setattr(room, "request_of", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            bench.step("commit")
        bench.start()
    bench.step("commit")
    assert not list(bench.places.incoming.iterdir())


def test_much_is_vouched_for_in_turns(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "BYTES_A_STEP", 1)
    named = []
    for number in range(1, 6):
        data, here = film(number)
        bench.put(data)
        named.append(here)
    bench.step("admit")
    file_request(bench, asked(*named))
    steps = bench.steps["commit"]
    assert steps(Moment(bench.now, bench.now))
    assert not orders(bench), "other steps have their turn in between"
    bench.step("commit")
    assert the_answer(bench) == (named, [])


@pytest.mark.filterwarnings("ignore")  # pydicom's, of odd bytes
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    data=st.binary(max_size=200), syntax=st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, "1.2.3", ""])
)
def test_no_bytes_raise_anything_but_what_is_named(data: bytes, syntax: str) -> None:
    for told in (data, asked((MR, "1.2.3"))[: len(data)] + data):
        with suppress(Quarantined):
            request_of(PEER, syntax, told)


def test_too_many_instances_are_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    named = [(MR, f"1.2.{number}") for number in range(4)]
    monkeypatch.setattr(commitment, "INSTANCES_MAX", 3)
    assert request_of(PEER, ImplicitVRLittleEndian, asked(*named[:3])).instances == tuple(named[:3])
    with pytest.raises(Quarantined, match="ReferencedSOPSequence"):
        request_of(PEER, ImplicitVRLittleEndian, asked(*named))
