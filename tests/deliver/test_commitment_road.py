"""The whole road of a commitment: a scanner sends and asks, triage answers out of the ledger, deliver tells it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import MRImageStorage, StorageCommitmentPushModel  # type: ignore[attr-defined]

from tests.deliver.conftest import MR, House
from tests.deliver.orthanc import TITLE, Orthanc, free_port
from tests.triage.conftest import Bench
from tests.world.test_dimse import OURS, SCANNER, Door, film

WELL_KNOWN = "1.2.840.10008.1.20.1.1"


class Scanner:
    """It sends, asks whether what it sent is kept, and listens for the answer when it is switched on."""

    def __init__(self) -> None:
        self.port = free_port()
        self.heard: list[Dataset] = []
        self.server: Any = None

    def switch_on(self) -> None:
        ae = AE(ae_title=SCANNER)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        handlers = [(evt.EVT_N_EVENT_REPORT, self._hear)]
        self.server = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _hear(self, event: Any) -> tuple[int, None]:
        self.heard.append(event.event_information)
        return 0x0000, None

    def send(self, door: Door, films: list[Path], more: tuple[str, ...] = (), transaction: str = "2.25.5") -> None:
        scanner = AE(ae_title=SCANNER)
        scanner.add_requested_context(MRImageStorage, ExplicitVRLittleEndian)
        scanner.add_requested_context(StorageCommitmentPushModel)
        line = scanner.associate("127.0.0.1", door.port, ae_title=OURS)
        told = Dataset()
        told.TransactionUID, told.ReferencedSOPSequence = transaction, []
        for each in films:
            dataset = pydicom.dcmread(each)
            assert line.send_c_store(dataset).Status == 0
            more = (*more, dataset.SOPInstanceUID)
        for uid in more:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR, uid
            told.ReferencedSOPSequence.append(item)
        status, _ = line.send_n_action(told, 1, StorageCommitmentPushModel, WELL_KNOWN)
        assert status.Status == 0
        line.release()


class Appliance:
    """Receive, triage and deliver on one state folder, turned together."""

    def __init__(self, root: Path, scanner: Scanner) -> None:
        self.scanner = scanner
        knobs = {"commit_peers": [f"{SCANNER}@127.0.0.1:{scanner.port}"]}
        self.door = Door(root / "state", **knobs)
        self.bench = Bench(root)
        dimse = {"peers": [f"{SCANNER}@127.0.0.1"], "ae_title": OURS, **knobs}
        self.house = House(root / "state", [], dimse=dimse)

    def until(self, what: Callable[[], Any]) -> None:
        def turned() -> Any:
            self.bench.step("admit", "released", "commit", "commit.settle", passed=0.1)
            return what()

        self.house.until(turned)

    def close(self) -> None:
        self.door.service.close()
        self.house.close()
        self.bench.triage.close()


@pytest.fixture
def scanner() -> Iterator[Scanner]:
    made = Scanner()
    yield made
    if made.server is not None:
        made.server.shutdown()


@pytest.fixture
def appliance(tmp_path: Path, scanner: Scanner) -> Iterator[Appliance]:
    made = Appliance(tmp_path, scanner)
    yield made
    made.close()


def test_a_scanner_that_was_away_hears_once_what_is_kept_and_what_is_not(appliance: Appliance, tmp_path: Path) -> None:
    scanner = appliance.scanner
    films = [film(tmp_path, number) for number in range(3)]
    scanner.send(appliance.door, films, more=("1.2.3.4",))
    line = f"reply:{SCANNER}"
    targets = appliance.house.service.targets
    appliance.until(lambda: line in targets and targets[line].failures >= 2)
    assert not scanner.heard
    scanner.switch_on()
    scanner.send(appliance.door, films, more=("1.2.3.4",))  # it asks again under the same name
    appliance.until(lambda: scanner.heard)
    places = appliance.house.places
    appliance.until(lambda: not list(places.outbox.glob("*.json")) and not list(places.receipts.glob("*.json")))
    (answer,) = scanner.heard
    assert answer.TransactionUID == "2.25.5"
    kept = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
    assert kept == {pydicom.dcmread(each).SOPInstanceUID for each in films}
    (failed,) = answer.FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == ("1.2.3.4", 0x0112)
    assert not list(places.incoming.glob("*.commit"))


def test_orthanc_as_the_scanner_asks_and_believes_us(
    orthanc: Orthanc, tmp_path: Path, house: Callable[..., House]
) -> None:
    """Orthanc sends what it holds to us, asks for commitment and keeps our answer."""
    port, state = free_port(), tmp_path / "state"
    titles = {"peers": [f"{TITLE}@127.0.0.1"], "commit_peers": [f"{TITLE}@127.0.0.1:{orthanc.dicom_port}"]}
    door = Door(state, port=port, **titles)
    bench = Bench(tmp_path)
    into = House(state, [], dimse={"ae_title": OURS, **titles})
    pacs = house({"name": "pacs", "kind": "dimse", "host": "127.0.0.1", "port": orthanc.dicom_port, "ae_title": TITLE})
    order, uid = pacs.film(700)
    assert pacs.outcome(order)[0] == "stored"
    try:
        orthanc.put("/modalities/appliance", {"AET": OURS, "Host": "127.0.0.1", "Port": port})
        (found,) = [each for each in orthanc.get("/instances?expand") if each["MainDicomTags"]["SOPInstanceUID"] == uid]
        sent = orthanc.post("/modalities/appliance/store", {"Resources": [found["ID"]], "StorageCommitment": True})
        place = f"/storage-commitment/{sent['StorageCommitmentTransactionUID']}"

        def told() -> bool:
            bench.step("admit", "released", "commit", "commit.settle", passed=0.1)
            return bool(orthanc.get(place)["Status"] != "Pending")

        into.until(told)
        answer = orthanc.get(place)
        assert answer["Status"] == "Success"
        assert [each["SOPInstanceUID"] for each in answer["Success"]] == [uid]
    finally:
        orthanc.drop("/modalities/appliance")  # it finds whom to answer by the title alone
        door.service.close()
        into.close()
        bench.triage.close()
