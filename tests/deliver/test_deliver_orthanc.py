"""Results into Orthanc: stored, committed, sent again over a bad line, killed at the worst moment; by both ways in."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from appliance.core.admit import file_meta
from tests.deliver.conftest import House
from tests.deliver.orthanc import CREDENTIAL, TITLE, Orthanc, free_port
from tests.tiny import tiny


def dimse(pacs: Orthanc, port: int = 0, **told: Any) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": port or pacs.dicom_port, "ae_title": TITLE}
    return {"name": "pacs", "kind": "dimse", **where, **told}


def stow(pacs: Orthanc, folder: Path, credential: str = CREDENTIAL, path: str = "/dicom-web") -> dict[str, Any]:
    file = folder / "token"
    file.write_text(f"{credential}\n")
    return {"name": "web", "kind": "stow", "url": f"{pacs.url}{path}", "token_file": str(file)}


def test_a_result_is_stored_once_and_a_receipt_says_so(house: Callable[..., House], orthanc: Orthanc) -> None:
    made = house(dimse(orthanc))
    order, uid = made.film(1)
    assert made.outcome(order) == ("stored", "")
    assert orthanc.objects().count(uid) == 1
    told = made.receipts()[order]
    assert (told["status"], told["attempts"], told["target"]) == (0, 1, "pacs")
    made.turn()
    assert not made.service.orders.waiting, "what has a receipt is not sent again"


def test_orthanc_commits_what_it_took(house: Callable[..., House], orthanc: Orthanc) -> None:
    made = house(dimse(orthanc), port=orthanc.answers_port)
    orders = [made.film(number, commit=True) for number in range(10, 14)]
    assert [made.outcome(order) for order, _ in orders] == [("committed", "")] * 4
    assert {uid for _, uid in orders} <= set(orthanc.objects())


def test_any_workstation_gets_our_objects_from_it_as_they_were_sent(
    house: Callable[..., House], orthanc: Orthanc, tmp_path: Path
) -> None:
    """dcmtk's movescu asks the PACS for the study (C-MOVE) and takes it itself."""
    made = house(dimse(orthanc))
    order, uid = made.film(15)
    assert made.outcome(order) == ("stored", "")
    sent = pydicom.dcmread(next(iter(made.places.outbox.glob("*.dcm"))))
    assert sent.SOPInstanceUID == uid
    taken = tmp_path / "taken"
    taken.mkdir()
    who = ["-aet", "EDGE", "-aec", TITLE, "-aem", "EDGE", "+P", str(orthanc.answers_port), "-od", str(taken)]
    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={sent.StudyInstanceUID}"]
    call = ["movescu", "-v", "-S", *who, *keys, "127.0.0.1", str(orthanc.dicom_port)]
    said = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    got = {str(each.SOPInstanceUID): each for each in map(pydicom.dcmread, taken.iterdir())}
    assert got[uid] == sent


def test_over_https_s_way_in_too(house: Callable[..., House], orthanc: Orthanc, tmp_path: Path) -> None:
    made = house(stow(orthanc, tmp_path))
    order, uid = made.film(20, target="web")
    assert made.outcome(order) == ("stored", "")
    again, _ = made.film(20, target="web")
    assert made.outcome(again)[0] == "stored"
    assert orthanc.objects().count(uid) == 1


@pytest.mark.parametrize(("credential", "path"), [("edge:wrong", "/dicom-web"), (CREDENTIAL, "/elsewhere")])
def test_a_store_that_does_not_let_us_in_is_no_fault_of_an_object(
    house: Callable[..., House], orthanc: Orthanc, tmp_path: Path, credential: str, path: str
) -> None:
    made = house(stow(orthanc, tmp_path, credential, path))
    order, _ = made.film(21, target="web")
    made.until(lambda: "web" in made.service.targets and made.service.targets["web"].failures >= 2)
    assert made.service.targets["web"].code == "pacs-denied"
    assert not made.receipts()
    assert order in made.service.orders.waiting


def test_what_is_no_dicom_is_refused_by_the_store(
    house: Callable[..., House], orthanc: Orthanc, tmp_path: Path
) -> None:
    made = house(stow(orthanc, tmp_path))
    order = made.put(b"no object at all" * 20, "1.2.3", target="web")
    good, _ = made.film(22, target="web")
    assert made.outcome(good) == ("stored", "")
    assert made.outcome(order) == ("refused", "pacs-refused")


def test_a_pacs_that_knows_the_default_syntax_alone_gets_the_same_elements_in_it(
    house: Callable[..., House], tmp_path: Path
) -> None:
    port, into = free_port(), tmp_path / "taken"
    into.mkdir()
    command = ["storescp", "-aet", "STORESCP", "-od", str(into), "-ta", "30", "--implicit", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as scp:
        try:
            made = house({"name": "pacs", "kind": "dimse", "host": "127.0.0.1", "port": port, "ae_title": "STORESCP"})
            order, _ = made.film(92)
            assert made.outcome(order) == ("stored", "")
        finally:
            scp.terminate()
    (sent,) = (pydicom.dcmread(path) for path in made.places.outbox.glob("*.dcm"))
    (taken,) = (pydicom.dcmread(path) for path in into.iterdir())
    assert taken.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    sent["PixelData"].VR = taken["PixelData"].VR  # PS3.5 A.1: in this syntax it is OW, whatever it was
    assert taken == sent


def test_dcmtk_s_storage_scp_gets_the_very_bytes(house: Callable[..., House], tmp_path: Path) -> None:
    port, into = free_port(), tmp_path / "taken"
    into.mkdir()
    command = ["storescp", "-aet", "STORESCP", "-od", str(into), "-ta", "30", "--bit-preserving", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as scp:
        try:
            told = {"name": "pacs", "kind": "dimse", "host": "127.0.0.1", "port": port, "ae_title": "STORESCP"}
            made = house(told)
            order, _ = made.film(90)
            asked, _ = made.film(91, commit=True)
            assert made.outcome(order) == ("stored", "")
            assert made.outcome(asked) == ("stored", "commit-unsupported")
        finally:
            scp.terminate()
    sent = [path.read_bytes() for path in made.places.outbox.glob("*.dcm")]
    taken = [path.read_bytes() for path in into.iterdir()]
    assert {data[file_meta(data)[1] :] for data in taken} == {data[file_meta(data)[1] :] for data in sent}


class Bad:
    """A line to the PACS that can be cut: a relay of bytes."""

    def __init__(self, target: int) -> None:
        self.target, self.cut_after = target, 0
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self.cuts = 0
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            self.ends += [near, far]
            threading.Thread(target=self._pump, args=(near, far, self.cut_after), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, 0), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, cut_after: int) -> None:
        passed = 0
        try:
            while data := source.recv(512):
                sink.sendall(data)
                passed += len(data)
                if cut_after and passed >= cut_after:
                    self.cuts += 1
                    break
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        for each in (self.server, *self.ends):
            each.close()


@pytest.fixture
def line(orthanc: Orthanc) -> Iterator[Bad]:
    made = Bad(orthanc.dicom_port)
    yield made
    made.close()


def test_a_line_that_breaks_again_and_again_delivers_all_and_each_once(
    house: Callable[..., House], orthanc: Orthanc, line: Bad
) -> None:
    """Cut in the association's request, in an object, in the answer to it and while a commitment is asked for."""
    made = house(dimse(orthanc, line.port), port=orthanc.answers_port)
    orders = [made.film(number, commit=number % 2 == 0) for number in range(30, 36)]
    for cut_after in (100, 500, 900, 1300, 1700, 2600):
        line.cut_after, before = cut_after, line.cuts
        made.until(lambda: line.cuts > before or len(made.receipts()) == 6)  # noqa: B023
    line.cut_after = 0
    outcomes = [made.outcome(order)[0] for order, _ in orders]
    assert outcomes == ["committed", "stored"] * 3
    held = orthanc.objects()
    assert all(held.count(uid) == 1 for _, uid in orders)
    assert line.cuts >= 4


def test_a_dead_target_holds_up_no_other(house: Callable[..., House], orthanc: Orthanc) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts and never says a word
        dead = {**dimse(orthanc, silent.getsockname()[1]), "name": "dead"}
        gone = {**dimse(orthanc, free_port()), "name": "gone"}
        made = house(dead, gone, dimse(orthanc), answer_timeout_s=3.0)
        lost = [made.film(number, target=name)[0] for number, name in ((40, "dead"), (41, "gone"))]
        order, _ = made.film(42)
        assert made.outcome(order) == ("stored", "")
        assert made.service.targets["dead"].busy
        made.until(lambda: made.service.targets["gone"].failures >= 2)
        assert not made.receipts().keys() & set(lost)
        made.until(lambda: made.service.targets["dead"].code == "pacs-away")


KILLED = """
import json, os, random, signal, sys, threading
from pathlib import Path
from appliance.config import Config, Places
from appliance.deliver import Deliver
from appliance.deliver.targets import Book
from appliance.loop import moment
from appliance.world import archive

config, places, drawn = Config.model_validate(json.loads(sys.argv[2])), Places(Path(sys.argv[1])), random.Random(1)
book = Book(config, places.outbox, drawn)
wake = threading.Event()
service = Deliver(config.deliver, places.outbox, places.receipts, book.make, book.hear, wake, drawn)
if sys.argv[3] == "answered":
    Deliver._receipt = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
elif sys.argv[3] == "half-written":
    rename = archive.rename
    archive.rename = lambda one, other: (
        os.kill(os.getpid(), signal.SIGKILL) if other.suffix == ".json" else rename(one, other)
    )
elif sys.argv[3] == "stored":
    Deliver._progress = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
while True:
    for step in service.steps().values():
        step(moment())
    wake.wait(0.02)
"""


@pytest.mark.parametrize("point", ["answered", "half-written", "stored"])
def test_killed_between_the_answer_and_the_receipt_there_is_one_object(
    house: Callable[..., House], orthanc: Orthanc, point: str
) -> None:
    number = {"answered": 50, "half-written": 51, "stored": 52}[point]
    made = house(dimse(orthanc), port=orthanc.answers_port)
    order, uid = made.film(number, commit=point == "stored")
    told = made.config.model_dump_json(include={"results": {"targets"}, "deliver": True})
    plain = json.loads(told)
    for target in plain["results"]["targets"]:
        for name in [name for name, value in target.items() if value == "."]:
            del target[name]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(made.places.root), json.dumps(plain), point], timeout=60, check=False
    )
    assert child.returncode == -9
    assert orthanc.objects().count(uid) == 1, "it was taken"
    assert order not in made.receipts()
    made.start()
    assert made.outcome(order)[0] == ("committed" if point == "stored" else "stored")
    assert orthanc.objects().count(uid) == 1
    assert not list(made.places.receipts.glob("*.partial"))


def test_orthanc_stopped_for_a_while(house: Callable[..., House], orthanc: Orthanc) -> None:
    made = house(dimse(orthanc))
    orthanc.stop()
    try:
        order, uid = made.film(60)
        made.until(lambda: "pacs" in made.service.targets and made.service.targets["pacs"].failures >= 2)
        made.turn()
        standing = json.loads((made.places.receipts / "targets.standing").read_bytes())["targets"]
        assert standing["pacs"]["code"] == "pacs-away"
        assert standing["pacs"]["since"] > 0
    finally:
        orthanc.start()
    assert made.outcome(order) == ("stored", "")
    made.until(lambda: made.service.targets["pacs"].away_since is None)
    made.turn()
    assert not json.loads((made.places.receipts / "targets.standing").read_bytes())["targets"]
    assert orthanc.objects().count(uid) == 1


def test_a_wrong_title_is_an_operator_s_and_no_order_is_given_up(house: Callable[..., House], orthanc: Orthanc) -> None:
    made = house({**dimse(orthanc), "ae_title": "NOBODY"})
    made.film(61)
    made.until(lambda: "pacs" in made.service.targets and made.service.targets["pacs"].code == "pacs-rejected")
    assert not made.receipts()


def test_an_object_is_sent_in_pieces_and_what_waits_is_bounded(
    house: Callable[..., House], orthanc: Orthanc, monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance.world.dimse import calling

    most = [0]
    put = calling._Pieces.put

    def count(self: Any, *told: Any, **more: Any) -> None:
        put(self, *told, **more)
        most[0] = max(most[0], self.qsize())

    monkeypatch.setattr(calling._Pieces, "put", count)
    made = house(dimse(orthanc))
    data = tiny("1.2.826.0.1.99.70", 1, "P-70", "MR", 3)
    padding = b"\xfc\xff\xfc\xffOB\0\0" + (4 * 2**20).to_bytes(4, "little") + bytes(4 * 2**20)  # PS3.3 C.12.1.1.6
    order = made.put(data + padding, "1.2.826.0.1.99.70.7.1")
    assert made.outcome(order) == ("stored", "")
    assert 1 < most[0] <= calling.PIECES_WAITING_MAX
