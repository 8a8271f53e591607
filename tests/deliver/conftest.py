"""A deliver service that a test turns by hand, and the PACS it sends to."""

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import _config

from appliance.config import Config, Places
from appliance.core.document import encode
from appliance.core.results.order import Order, Payload
from appliance.deliver import Deliver
from appliance.deliver.targets import Book
from appliance.loop import moment
from tests.deliver.orthanc import Orthanc, free_port
from tests.tiny import tiny

PATIENCE_S = 20.0
MR, EXPLICIT = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.2.1"


@pytest.fixture(autouse=True)
def as_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """pynetdicom keeps its settings in a module: what a receive service in another test set is taken back."""
    monkeypatch.setattr(_config, "UNRESTRICTED_STORAGE_SERVICE", False)
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    made = Orthanc(tmp_path_factory.mktemp("orthanc"), free_port(), free_port(), free_port())
    made.start()
    yield made
    made.stop()


class House:
    """An outbox, receipts, and the service between them and its targets."""

    def __init__(self, root: Path, targets: list[dict[str, Any]], **knobs: Any) -> None:
        deliver = {"retry_s": 0.05, "retry_max_s": 0.2, "connect_timeout_s": 2.0, "answer_timeout_s": 5.0}
        dimse = knobs.pop("dimse", {})
        told = {"results": {"targets": targets}, "deliver": {**deliver, **knobs}, "dimse": dimse}
        self.config = Config.model_validate(told)
        self.places = Places(root)
        self.places.outbox.mkdir(parents=True, exist_ok=True)
        self.number = 0
        self.asked: set[str] = set()  # orders with a commitment
        self.start()

    def start(self) -> None:
        drawn = random.Random(7)
        self.book = Book(self.config, self.places.outbox, drawn)
        self.service = Deliver(
            self.config.deliver,
            self.places.outbox,
            self.places.receipts,
            self.book.make,
            self.book.hear,
            threading.Event(),
            drawn,
        )

    def put(self, data: bytes, uid: str, target: str = "pacs", **told: Any) -> str:
        """An order for one object, as triage writes it: payload first."""
        digest = hashlib.sha256(data).hexdigest()
        (self.places.outbox / f"{digest}.dcm").write_bytes(data)
        payload = Payload(sha256=digest, sop_class_uid=MR, sop_instance_uid=uid, transfer_syntax_uid=EXPLICIT)
        return self.order(target, payloads=[payload], **told)

    def film(self, number: int, **told: Any) -> tuple[str, str]:
        """An order for a small object of its own study; its id and its SOP Instance UID."""
        study = f"1.2.826.0.1.99.{number}"
        return self.put(tiny(study, 1, f"P-{number}", "MR", number % 250), f"{study}.7.1", **told), f"{study}.7.1"

    def order(self, target: str, **told: Any) -> str:
        self.number += 1
        order_id = hashlib.sha256(f"{target}{self.number}".encode()).hexdigest()[:32]
        order = Order(id=order_id, target=target, kind=told.pop("kind", "store"), created_at_s=1000.0, **told)
        if order.commit:
            self.asked.add(order_id)
        (self.places.outbox / f"{order_id}.json").write_bytes(encode(order))
        return order_id

    def turn(self) -> None:
        self.service._look_again = 0.0
        for step in self.service.steps().values():
            step(moment())

    def until(self, what: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline
            self.turn()
            self.service.wake.wait(0.02)
            self.service.wake.clear()

    def receipts(self) -> dict[str, dict[str, Any]]:
        return {path.stem: json.loads(path.read_bytes()) for path in self.places.receipts.glob("*.json")}

    def outcome(self, order_id: str) -> tuple[str, str]:
        """Turns until there is a receipt that says the last word; its outcome and code."""
        self.until(lambda: self.said_last(order_id))
        told = self.receipts()[order_id]
        return told["outcome"], told["code"]

    def said_last(self, order_id: str) -> bool:
        told = self.receipts().get(order_id)
        if told is None:
            return False
        half = order_id in self.asked and told["outcome"] == "stored" and told["code"] != "commit-unsupported"
        return not half

    def idle(self) -> bool:
        return not any(target.busy for target in self.service.targets.values())

    def close(self) -> None:
        self.until(self.idle)
        self.service.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Callable[..., House]]:
    made: list[House] = []

    def make(*targets: dict[str, Any], **knobs: Any) -> House:
        made.append(House(tmp_path / f"house-{len(made)}", list(targets), **knobs))
        return made[-1]

    yield make
    for each in made:
        each.close()
