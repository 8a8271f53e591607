"""The scanner that does not exist, on the network: it sends, asks for commitment, and believes what it hears."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sample_dicom import scanner
from tests.deliver.orthanc import free_port
from tests.deliver.test_commitment_road import Appliance
from tests.world.test_dimse import OURS, SCANNER


class Synthetic:
    """What the road wants to know of a scanner, and the whole scanner as its command line has it."""

    def __init__(self) -> None:
        self.port = free_port()

    def begin(self, port: int, *more: str) -> threading.Thread:
        told = ["--to", f"{OURS}@127.0.0.1:{port}", "--title", SCANNER, "--answers", str(self.port), *more]
        self.status: list[int] = []
        thread = threading.Thread(target=lambda: self.status.append(scanner.main(told)))
        thread.start()
        return thread


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[Appliance, Synthetic]]:
    synthetic: Any = Synthetic()
    made = Appliance(tmp_path, synthetic)
    yield made, synthetic
    made.close()


def test_the_synthetic_scanner_sends_the_usual_mix_and_hears_that_all_of_it_is_kept(
    house: tuple[Appliance, Synthetic], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    appliance, synthetic = house
    thread = synthetic.begin(appliance.door.port, "--site", "harbour", "--films", "2", "--data", str(tmp_path / "none"))
    appliance.until(lambda: not thread.is_alive())
    *stories, counted = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert synthetic.status == [0], counted
    assert all(story["study_instance_uid"] for story in stories), "what is no study cannot be sent"
    assert len(stories) >= 8
    sent = sum(len(story["files"]) for story in stories)
    assert counted == {"sent": sent, "refused": 0, "kept": sent, "not_kept": 0}


def test_what_is_not_kept_is_heard_and_said(
    house: tuple[Appliance, Synthetic], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    appliance, synthetic = house
    monkeypatch.setattr("appliance.world.archive.is_whole", lambda *_: False)  # a disk that changed what it held
    thread = synthetic.begin(appliance.door.port, "--site", "harbour", "--films", "1", "--studies", "2")
    appliance.until(lambda: not thread.is_alive())
    counted = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert synthetic.status == [1]
    assert counted["kept"] == 0
    assert counted["not_kept"] == counted["sent"] > 0
