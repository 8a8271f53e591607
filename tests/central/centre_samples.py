"""Cases, answers and edges for the tests of the centre."""

import base64
import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from appliance.core.case import Case, Finding, KeyImage, Model, Opinion, Verdict
from appliance.core.document import Document, decode, encode
from appliance.core.drafting.question import Answer
from appliance.core.enclosure import Enclosed, Sender, announced, enclosed
from appliance.core.keys import DeviceKeys, PrivateKeys, key_file
from appliance.core.letter import opened, sealed
from appliance.core.messages import (
    Delivery,
    Filed,
    Have,
    Receipt,
    Refusal,
    Request,
    Standing,
    topic_down,
    topic_up,
    verdict_place,
)
from appliance.core.transfer import Manifest, part_message, sealed_parts, span

DEVICE, OTHER = "appliance-1", "appliance-2"
DOWN: dict[str, type[Document]] = {
    "receipt": Receipt,
    "have": Have,
    "refusal": Refusal,
    "verdict": Delivery,
    "standing": Standing,
    "request": Request,
    "filed": Filed,
}


def private_keys(name: str) -> PrivateKeys:
    return PrivateKeys(*(hashlib.sha256(f"{name} {use}".encode()).digest() for use in ("signing", "sealing")))


CENTRE = private_keys("centre")


def triage_keys(device_id: str) -> PrivateKeys:
    return private_keys(f"{device_id} triage")


def uplink_keys(device_id: str) -> PrivateKeys:
    return private_keys(f"{device_id} uplink")


def device_keys(device_id: str) -> DeviceKeys:
    triage, uplink = triage_keys(device_id).public, uplink_keys(device_id).public
    return DeviceKeys(device_id=device_id, triage=triage, uplink=uplink)


def enrol(folder: Path, *device_ids: str) -> Path:
    """A key folder as the centre reads it."""
    (folder / "devices").mkdir(parents=True, exist_ok=True)
    (folder / "centre-1.key").write_bytes(key_file(CENTRE))
    for device_id in device_ids:
        (folder / "devices" / f"{device_id}.json").write_bytes(encode(device_keys(device_id)))
    return folder


def letter_up(kind: Any, document: Document, device_id: str = DEVICE) -> tuple[str, bytes]:
    """What uplink says: topic and letter."""
    topic = topic_up(device_id, kind)
    return topic, sealed(encode(document), place=topic, sender=uplink_keys(device_id), recipient=CENTRE.public)


def heard(topic: str, payload: bytes, device_id: str = DEVICE) -> Document:
    """What uplink hears in a letter."""
    kind = topic.rsplit("/", 1)[1]
    assert topic == topic_down(device_id, kind)  # type: ignore[arg-type]
    own = (uplink_keys(device_id),)
    return decode(DOWN[kind], opened(payload, place=topic, senders=(CENTRE.public,), recipients=own))


def verdict_in(delivery: Document, device_id: str = DEVICE) -> Verdict:
    """What triage reads in a delivery."""
    assert isinstance(delivery, Delivery)
    place = verdict_place(device_id, delivery.case_id, delivery.rev)
    letter, own = base64.b64decode(delivery.letter), (triage_keys(device_id),)
    verdict = decode(Verdict, opened(letter, place=place, senders=(CENTRE.public,), recipients=own))
    assert (verdict.case_id, verdict.rev) == (delivery.case_id, delivery.rev)
    return verdict


@dataclass(frozen=True)
class Parcel:
    """A transfer as triage made it."""

    device_id: str
    told: Enclosed
    manifest: Manifest
    data: bytes
    document: bytes

    @property
    def case_id(self) -> str:
        return self.told.case_id

    @property
    def transfer_id(self) -> str:
        return self.told.transfer_id

    @property
    def receipt(self) -> Receipt:
        return Receipt(case_id=self.case_id, transfer_id=self.transfer_id, sha256=self.told.sha256)

    @property
    def announcement(self) -> tuple[str, bytes]:
        return topic_up(self.device_id, "manifest"), self.told.letter

    def part(self, index: int) -> tuple[str, bytes]:
        offset, length = span(index, self.told.sealed_bytes)
        message = part_message(self.transfer_id, index, self.data[offset : offset + length])
        return topic_up(self.device_id, "part"), message

    @property
    def messages(self) -> list[tuple[str, bytes]]:
        """The manifest and all parts."""
        return [self.announcement, *(self.part(index) for index in range(self.told.parts))]


def enclosing(
    case: Case | bytes,
    *,
    case_id: str = "",
    urgency: Any = "",
    tier: Any = 1,
    name: str = "",
    device_id: str = DEVICE,
) -> Parcel:
    """A case document in a transfer; name: draws another transfer id and key."""
    document = encode(case) if isinstance(case, Case) else case
    case_id = case_id or (case.case_id if isinstance(case, Case) else case_number(1))
    urgency = urgency or (case.urgency if isinstance(case, Case) else "routine")
    drawn = hashlib.sha256(f"{device_id} {case_id} {tier} {name}".encode())
    told, manifest, data = enclosed(
        document,
        case_id=case_id,
        tier=tier,
        urgency=urgency,
        transfer_id=drawn.hexdigest()[:32],
        key=hashlib.sha256(drawn.digest()).digest(),
        sender=Sender(device_id, triage_keys(device_id), CENTRE.public),
    )
    return Parcel(device_id, told, manifest, data, document)


def series_parcel(files: Mapping[str, bytes], number: int = 1, *, data: bytes = b"", device_id: str = DEVICE) -> Parcel:
    """A whole series as triage sends it; data: an archive of another make instead."""
    if not data:
        whole = io.BytesIO()
        with (
            gzip.GzipFile("", "wb", 6, whole, mtime=0) as packed,
            tarfile.TarFile(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        data = whole.getvalue()
    drawn = hashlib.sha256(f"{device_id} series {number}".encode()).digest()
    parts = list(sealed_parts((data,), transfer_id=drawn.hex()[:32], key=drawn))
    sealed_bytes = b"".join(parts)
    manifest = Manifest(
        transfer_id=drawn.hex()[:32],
        case_id=case_number(number),
        tier=2,
        urgency="routine",
        codec="tar+gzip",
        parts=len(parts),
        sealed_bytes=len(sealed_bytes),
        sha256=hashlib.sha256(sealed_bytes).hexdigest(),
        key=drawn.hex(),
    )
    told = announced(manifest, Sender(device_id, triage_keys(device_id), CENTRE.public))
    return Parcel(device_id, told, manifest, sealed_bytes, data)


def parcel(number: int = 1, *, tier: Any = 1, name: str = "", device_id: str = DEVICE, **changes: Any) -> Parcel:
    return enclosing(a_case(number, **changes), tier=tier, name=name, device_id=device_id)


def large_parcel(number: int = 1, **how: Any) -> Parcel:
    """One of several parts."""
    pictures = (a_picture(1, side=330), a_picture(2, side=200))
    made = parcel(number, key_images=pictures, frames=2, **how)
    assert made.told.parts >= 3
    return made


def a_picture(number: int = 1, side: int = 8, suffix: str = ".png") -> KeyImage:
    grey = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
    data = cv2.imencode(suffix, grey)[1].tobytes()
    return KeyImage(
        id=f"I{number}",
        sop_instance_uid=f"2.25.{number}",
        frame=1,
        place=number,
        rows=side,
        columns=side,
        window="lung",
        media_type="image/png" if suffix == ".png" else "image/jpeg",
        sha256=hashlib.sha256(data).hexdigest(),
        data=base64.b64encode(data).decode(),
    )


def case_number(number: int) -> str:
    return f"{number:032x}"


def a_case(number: int = 1, **changes: Any) -> Case:
    fields: dict[str, Any] = {
        "case_id": case_number(number),
        "revision": 1,
        "urgency": "routine",
        "modality": "CR",
        "body_part": "CHEST",
        "view": "AP",
        "images": 1,
        "reasons": ("score-between",),
        "would_be": "escalated",
        "findings": (Finding(id="F1", label="pneumonia", logit=0.62, probability=0.874),),
        "gates": {"entropy_bits": 5.25},
        "model": Model(name="cxr-paediatric", version="1.0.0", sha256="5" * 64, certificate="7" * 64),
    }
    return Case(**{**fields, **changes})


def an_answer(**changes: Any) -> Answer:
    fields: dict[str, Any] = {
        "opinions": (Opinion(label="pneumonia", assessment="present", evidence=("F1",)),),
        "impression": "The score speaks for pneumonia at 87 %. This study needs a reader.",
        "urgency": "urgent",
        "limitations": ("The score may be uncertain.",),
    }
    return Answer(**{**fields, **changes})


class ScriptedServer(ThreadingHTTPServer):
    """An OpenAI-compatible server that does what its script says, one entry a request; the last entry for ever."""

    daemon_threads = True

    def __init__(self, *script: Callable[["Scripted"], None]) -> None:
        self.script = list(script)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), Scripted)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def stop(self) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up on a hostile server did well."""


class Scripted(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(json.loads(body))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.paths.append(self.path)
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""


def status(code: int, **headers: str) -> Callable[[Scripted], None]:
    return lambda scripted: scripted.say(code, b"{}", **headers)


def content(said: Any, *, model: str = "some-model", finish: str = "stop") -> Callable[[Scripted], None]:
    choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": finish}
    envelope = {"id": "1", "object": "chat.completion", "model": model, "choices": [choice], "usage": {"x": 1}}
    return lambda scripted: scripted.say(200, json.dumps(envelope).encode())


def answered(**changes: Any) -> Callable[[Scripted], None]:
    return content(an_answer(**changes).model_dump_json())
