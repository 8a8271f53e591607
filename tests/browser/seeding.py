"""Real rows for the review page: a small ledger made by the ledger's own functions, frames, and a running service."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from playwright.sync_api import Page
from sqlalchemy import Engine

from appliance import review
from appliance.config import Config, Places
from appliance.core import annex_e
from appliance.core.account import accounted, receipt_of
from appliance.core.case import final
from appliance.core.document import encode
from appliance.core.enclosure import enclosed
from appliance.core.pixels import Image, decode
from appliance.core.receipt import Versions, signed
from appliance.core.redact import Region
from appliance.core.study import Instance, Patient
from appliance.core.viewing import frame_bytes, frame_description, voi_bytes
from appliance.world import ledger, sqlite, wire
from appliance.world.ledger import departures
from tests.core.planted_objects import SITE_KEY, planted
from tests.core.test_key_images import a_case, picture
from tests.correspondents import SENDER
from tests.triage.stand_in import StandIn

USER, PASSWORD = "dr.keller", "a long walk by the sea"
NOW = time.time()

MODEL = "cxr-paediatric-pneumonia@2.0.0"
EVIL = "<script>document.title='owned'</script>"
IMPRESSION = "No words of a language model: none is connected. <b>Not bold.</b>"


def digest(n: int) -> str:
    return f"{n:064x}"


def patient(name: str = "DOE^JANE", number: str = "P-1") -> Patient:
    return Patient(number, name, "20210203", "F", f"ACC-{number}", "20261122", "Chest PA")


def an_instance(n: int, who: Patient, *, study: int = 1, frames: int = 1, modality: str = "CR") -> Instance:
    return Instance(
        study_instance_uid=f"2.25.{1000 + study}",
        series_instance_uid=f"2.25.{2000 + study}",
        sop_instance_uid=f"2.25.{3000 + n}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        sha256=digest(n),
        bytes_count=1024,
        patient=who,
        modality=modality,
        body_part_examined="CHEST",
        view_position="PA",
        patient_age="003Y",
        manufacturer="Harbour Imaging",
        manufacturer_model_name="PX-224",
        instance_number=n,
        images_in_acquisition=None,
        number_of_frames=frames,
        rows=64,
        columns=96,
        has_pixels=True,
    )


def put_frames(places: Places, n: int, frames: list[np.ndarray[Any, Any]], **said: object) -> None:
    """What triage leaves in the frames cache for the instance with digest(n)."""
    folder = places.frames / digest(n)
    folder.mkdir(parents=True)
    rows, columns = frames[0].shape[:2]
    kind = "rgb8" if frames[0].ndim == 3 else str(frames[0].dtype)
    shape = {"rows": rows, "columns": columns, "samples": 3 if kind == "rgb8" else 1, "dtype": kind}
    plain = {"slope": 1.0, "intercept": 0.0, "windows": [], "photometric": "MONOCHROME2", "padding": None}
    (folder / "frames.json").write_text(json.dumps({**shape, **plain, "spacing": None, "frames": len(frames), **said}))
    for at, frame in enumerate(frames, 1):
        (folder / f"frame-{at:04d}.raw").write_bytes(frame.astype(frame.dtype.newbyteorder("<")).tobytes())


def put_decoded(places: Places, n: int, data: bytes, *, pixels_max: int = 2**27) -> Image:
    """What triage leaves in the frames cache for an object's bytes, made by the same functions."""
    image, folder = decode(data, pixels_max=pixels_max), places.frames / digest(n)
    folder.mkdir(parents=True)
    for at in range(image.frames):
        (folder / f"frame-{at + 1:04d}.raw").write_bytes(frame_bytes(image, at))
    for at, table in enumerate(image.display.voi_luts, 1):
        (folder / f"voi-{at:02d}.raw").write_bytes(voi_bytes(table))
    (folder / "frames.json").write_text(json.dumps(frame_description(image)))
    return image


def ramp(rows: int = 64, columns: int = 96, *, step: int = 10, start: int = 0) -> np.ndarray[Any, Any]:
    """uint16 values that grow by `step` a column from `start`."""
    return np.tile(np.arange(columns, dtype=np.uint16) * np.uint16(step) + np.uint16(start), (rows, 1))


@dataclass
class Seeded:
    """A state folder that tests fill through the ledger's own functions."""

    places: Places
    engine: Engine
    at: float = NOW - 600
    numbers: dict[str, int] = field(default_factory=dict)

    def study(self, key: str, states: list[str], *, who: Patient | None = None, images: int = 1, **said: object) -> int:
        """One study moved through the given states; `said` overrides its result (lane=None: no result)."""
        study = len(self.numbers) + 1
        with self.engine.begin() as c:
            for n in range(images):
                made = an_instance(study * 100 + n, who or patient(f"DOE^{key.upper()}", f"P-{study}"), study=study)
                number, _ = ledger.add_instance(c, made, self.at + study)
            if said.get("lane", "cleared") is not None:
                ledger.put_result(c, number, 1, self.result(**said))
            if states:
                ledger.set_completeness(c, number, {"code": "quiet", "text": "no new image for 30 s"})
            for state in states:
                self.move(c, number, state)
        self.numbers[key] = number
        return number

    def study_of(self, key: str, instances: list[Instance]) -> int:
        """One study that is decided, of instances made by the test; the images of digest(...) are its own matter."""
        with self.engine.begin() as c:
            for made in instances:
                number, _ = ledger.add_instance(c, made, self.at + len(self.numbers) + 1)
            ledger.put_result(c, number, 1, self.result())
            ledger.set_completeness(c, number, {"code": "quiet", "text": "no new image for 30 s"})
            for state in ("complete", "routine"):
                self.move(c, number, state)
        self.numbers[key] = number
        return number

    def move(self, c: Any, number: int, state: Any) -> None:
        row = ledger.study_by_number(c, number)
        assert row is not None
        code = "study-attempts-spent" if state == "quarantined" else ""
        assert ledger.move(c, row, state, who="triage", at=self.at + 30, code=code)

    def result(self, lane: str = "cleared", **said: object) -> dict[str, object]:
        score = {"model": MODEL, "logit": -1.25, "calibrated": None, "gates": {"mahalanobis": 41.5}}
        score["thresholds"] = {"clear_at_or_below": -0.8, "flag_at_or_above": 1.9}
        made = {
            "lane": lane,
            "would_be": None,
            "priority": "routine",
            "reasons": [{"code": f"{lane}-reason", "text": f"why it is {lane}, in words"}],
            "scores": [score],
            "model": MODEL,
            "certificate": "harbour@1",
            "case_id": None,
            "timings_ms": {"decode": 12.4, "infer": 31.0},
            "decided_at": self.at + 20,
            "superseded_at": None,
        }
        return {**made, **said}

    def answer(self, number: int, case_id: str, *, connected: bool = False, **said: object) -> None:
        body = {
            "schema_version": "verdict/1",
            "case_id": case_id,
            "rev": 1,
            "status": "needs_human",
            "urgency": "urgent",
            "opinions": [{"label": "lung-opacity", "assessment": "uncertain", "evidence": ["F1"]}],
            "impression": IMPRESSION,
            "limitations": ["The centre saw numbers, no image."],
            "guards": [{"name": "evidence-cited", "passed": True, "detail": None}],
            "reader": {"model": "none-connected", "server": "demo", "prompt_sha256": "0" * 64, "connected": connected},
        }
        with self.engine.begin() as c:
            ledger.put_verdict(
                c, case_id=case_id, rev=1, number=number, revision=1, at=NOW, addendum=False, body={**body, **said}
            )

    def receipt(self, number: int, case_id: str, key: bytes = SITE_KEY) -> None:
        """What triage files when a case of this study leaves: made by its own functions from a planted object."""
        cleaner, source = StandIn(SITE_KEY, boxes=(Region(1, 2, 3, 4, 5, "text"),)), BytesIO()
        planted().save_as(source, enforce_file_format=True)
        cleaned = cleaner.clean(source.getvalue(), None)
        header = pydicom.dcmread(BytesIO(cleaned.bytes), stop_before_pixels=True)
        case = a_case((picture(1), picture(2, place=2))).model_copy(update={"case_id": case_id})
        told = receipt_of(
            case,
            [accounted(header, cleaned, hashlib.sha256(source.getvalue()).hexdigest(), key)],
            cleaned.options,
            site_key=key,
            decided_at=self.at + 20,
            versions=Versions(
                product="edge-diagnostic-appliance/0.1.0",
                table_edition=annex_e.EDITION,
                table_sha256=annex_e.CONTENT_SHA256,
                detectors={"text-detector": "ab" * 32},
            ),
        )
        filed = signed(told, key)
        document = final(case.model_copy(update={"receipt": filed.stamp}))
        way, manifest, _ = enclosed(
            document, case_id=case_id, tier=1, urgency="routine", transfer_id=case_id, key=key, sender=SENDER
        )
        with self.engine.begin() as c:
            departures.put_receipt(
                c,
                case_id=case_id,
                number=number,
                revision=1,
                body=filed.data,
                sha256=filed.stamp.sha256,
                signature=filed.stamp.signature,
                key_id=filed.stamp.key_id,
                part_sha256=way.sha256,
                manifest=encode(manifest),
                at=self.at + 25,
            )
        cases = sqlite.open_writer(self.places.cases_db, wire.CASES)
        with cases.begin() as c:
            wire.put_case(c, case_id, [way], revision=1, urgency="routine", at=self.at + 25)
        cases.dispose()

    def desk_rows(self, table: Any) -> list[Any]:
        engine = sqlite.open_reader(self.places.review_db)
        try:
            with engine.begin() as c:
                return list(c.execute(table.select().order_by(table.c.id)))
        finally:
            engine.dispose()


def filled(seeded: Seeded) -> None:
    """One study of each lane, a stray, frames for some."""
    seeded.study("flagged", ["complete", "routine"], lane="flagged", priority="urgent")
    seeded.study("cleared", ["complete", "routine"])
    case_id = f"{7:032x}"
    states = ["complete", "hard", "escalated", "answered"]
    answered = seeded.study("answered", states, lane="escalated", would_be="cleared", case_id=case_id)
    seeded.answer(answered, case_id)
    seeded.receipt(answered, case_id)
    late_case = f"{8:032x}"
    escalated = seeded.study(
        "late",
        ["complete", "hard", "escalated"],
        lane="escalated",
        case_id=late_case,
        decided_at=NOW - 7200,
        model=None,
        scores=[],
        certificate=None,
    )
    assert escalated
    seeded.study("broken", ["complete", "quarantined"], lane=None)
    seeded.study("waiting", [], lane=None)
    seeded.study("evil", ["complete", "routine"], who=patient(f"{EVIL}^X", "P-'\"><"), images=3)
    with seeded.engine.begin() as c:
        ledger.add_stray(c, digest(999), 17, "header-truncated", "PixelData", NOW - 60)
    put_frames(seeded.places, 100, [ramp()], windows=[[475.5, 951]])
    put_frames(seeded.places, 200, [ramp()], photometric="MONOCHROME1", windows=[[475.5, 951]])
    for n in range(700, 703):
        put_frames(seeded.places, n, [ramp(start=n)], windows=[[1000, 500]])


def seed(folder: Path) -> Seeded:
    places = Places(folder)
    places.phi.mkdir(parents=True, exist_ok=True)
    places.wire.mkdir(parents=True, exist_ok=True)
    return Seeded(places, sqlite.open_writer(places.studies_db, ledger.METADATA))


def served(places: Places, **knobs: object) -> Iterator[str]:
    """The address of a running review service on a free port; stopped and joined afterwards.

    knobs  of the section review, over a page without TLS on which who has signed in signs without a second password
    """
    stop, ready, found = threading.Event(), threading.Event(), list[str]()
    config = Config.model_validate(
        {"review": {"port": 0, "tls": "off", "signature_fresh_s": 900, **knobs}, "triage": {"deadline_routine_s": 3600}}
    )

    def say(where: str) -> None:
        found.append(where)
        ready.set()

    service = threading.Thread(target=review.serve, args=(config, places), kwargs={"stop": stop, "ready": say})
    service.start()
    try:
        assert ready.wait(15), "the review service did not start"
        yield found[0]
    finally:
        stop.set()
        service.join(15)
    assert not service.is_alive()


def sign_in(page: Page, address: str, user: str = USER, password: str = PASSWORD) -> None:
    page.goto(f"{address}sign-in")
    page.get_by_label("Name").fill(user)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
