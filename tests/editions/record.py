"""Runs one appliance and one centre of another commit against each other and writes down what they said.

Executed by make.py inside that commit's tree (its own `appliance`, `central` and `tests` come first on the path), so
whatever lies here was made by the programs of that commit: triage sealed the case, uplink said the rest, the centre
answered. The film is drawn, the people are invented, the keys are those of `tests/correspondents.py`.
"""

import base64
import json
import random
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pydicom

sys.path.insert(0, "tests/central")  # whose helpers import each other by their bare names

from centre_pipe import Centre, Fate, Pipe
from centre_samples import an_answer

from appliance.core.case import Opinion
from appliance.core.document import encode
from appliance.core.drafting.question import Answered
from appliance.core.letter import opened
from appliance.loop import Moment
from appliance.triage import judge
from appliance.uplink import Uplink
from central import store
from tests.correspondents import CENTRE, DEVICE, ENROLLED, RING, TRIAGE, UPLINK
from tests.triage.conftest import Bench
from tests.world.test_uplink import Broker, Fuse, LossyWire

try:
    from tests.triage.test_corrections import House
except ImportError:  # nobody made corrections yet
    House = None

FILM_UID = "1.2.826.0.1.9"
LIFE = "1f" * 16
WALL = 1_800_000_000.0  # in January 2027: the shipped certificates of the site harbour are in force
ANSWER: dict[str, Any] = {
    "opinions": (Opinion(label="pneumonia", assessment="uncertain", evidence=("F1",)),),
    "impression": "The assessment of pneumonia is uncertain. This study needs review by a radiologist.",
    "urgency": "urgent",
}


class Registry:
    own = (CENTRE,)

    def device(self, name: str) -> Any:
        return ENROLLED if name == DEVICE else None


def film() -> bytes:
    """The drawn film as one of the group that the shipped certificates of the site harbour speak for."""
    dataset = pydicom.dcmread("sample_dicom/drawn/chest_child_ap.dcm")
    dataset.Manufacturer, dataset.ManufacturerModelName, dataset.StudyInstanceUID = (
        "Harbour Imaging",
        "PX-224",
        FILM_UID,
    )
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


class Play:
    """Both sides in one thread, and everything that went over the line between them, in order."""

    def __init__(self, root: Path) -> None:
        self.bench = House(root / "edge") if House else Bench(root / "edge")
        self.bench.now = WALL
        self.bench.start(judge.open_court(Path("models"), "harbour", Path("models/trusted")))
        self.broker = Broker()
        self.link = LossyWire(self.broker, Fuse())
        self.uplink = Uplink(self.bench.config, self.bench.places, RING, self.link, random.Random(7), life=LIFE)
        self.link.connect()
        self.pipe = Pipe(Fate())
        self.pipe.connect()
        (root / "centre").mkdir()
        self.engine = store.open_store(root / "centre")
        said = Answered(an_answer(**ANSWER), "reader-one", "bench")
        self.centre = Centre(self.engine, root / "centre", self.pipe, lambda _: said, registry=Registry())
        self.told: list[tuple[str, bytes]] = []

    def turn(self) -> None:
        self.bench.now += 60.0
        now = Moment(self.bench.now, self.bench.now)
        for step in self.uplink.steps().values():
            step(now)
        up, self.broker.up = self.broker.up, []
        self.link.answer_publishes()
        for message in up:
            self.pipe.from_edge(*message)
        for step in self.centre.steps().values():
            step(now)
        down = self.pipe.to_edge()
        for message in down:
            self.broker.send_down(*message)
        self.told += [*up, *down]

    def run(self) -> None:
        self.bench.put(film())
        self.bench.step(passed=1)
        self.bench.step(passed=9)
        for _ in range(3):
            self.turn()
        self.bench.step("absorb")
        assert self.bench.study(FILM_UID).state == "answered", self.bench.study(FILM_UID).state
        if House:
            self.bench.sign("correct", "missed-finding", FILM_UID, pneumonia="right")
            self.bench.go()
            for _ in range(3):
                self.turn()


def plain(topic: str, payload: bytes) -> bytes | None:
    """The document in a letter; None for a part."""
    kind = topic.rsplit("/", 1)[1]
    if kind == "part":
        return None
    senders = (CENTRE,) if "/down/" in topic else (TRIAGE, UPLINK)
    recipients = (UPLINK,) if "/down/" in topic else (CENTRE,)
    return opened(payload, place=topic, senders=[each.public for each in senders], recipients=recipients)


def main(out: Path) -> None:
    with TemporaryDirectory() as folder:
        play = Play(Path(folder))
        play.run()
        with store.transaction(play.engine) as c:
            (case,) = c.execute(store.cases.select())
            (verdict,) = c.execute(store.verdicts.select())
    documents = {"case": case.body, "verdict": verdict.body}
    line = []
    for topic, payload in play.told:
        kind, document = topic.rsplit("/", 1)[1], plain(topic, payload)
        if kind in ("have", "standing") or (kind != "part" and kind in documents and kind != "verdict"):
            continue
        if document is not None:
            documents["delivery" if kind == "verdict" else kind] = document
        line.append({"topic": topic, "payload": base64.b64encode(payload).decode()})
    documents |= others()
    for name, data in documents.items():
        (out / f"{name}.json").write_bytes(data)
    (out / "line.json").write_text(json.dumps(line, indent=1) + "\n")


def others() -> dict[str, bytes]:
    """A policy as it is published then: a person says what, the program of that commit writes it."""
    try:
        from appliance.core import policy
    except ImportError:  # there was none yet
        return {}
    told = policy.Policy(number=7, first=("CT",), key_images=2, full_series="never", drafts=0.5, shadows=0.1)
    return {"policy": getattr(policy, "written", encode)(told)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
