"""Reads documents and letters by the code that comes first on the path: that of another commit, in its code.zip.

Standard input is a JSON list, standard output the answers in the same order: {"code": "", "said": the document}, or
why it is not believed; the last one says by whose code. One entry is {"as": class, "data": ...}; {"topic": ...,
"payload": ...}, a message as the centre or uplink hears it; {"manifest": letter, "parts": [...]}, a transfer as the
centre opens it; or {"verdict": delivery}, as triage opens it. Bytes are base64. It uses nothing that the oldest of
these commits does not have.
"""

import base64
import hashlib
import json
import sys
from importlib import import_module
from typing import Any

from appliance import errors
from appliance.core import case, messages, transfer
from appliance.core.document import Document, decode
from appliance.core.keys import DeviceKeys, PrivateKeys
from appliance.core.letter import opened
from appliance.errors import Quarantined
from central.inbound import Keyring, read, read_case

DEVICE = "appliance-1"


def keys(name: str) -> PrivateKeys:
    """As in tests/correspondents.py."""
    return PrivateKeys(*(hashlib.sha256(f"{name} {use}".encode()).digest() for use in ("signing", "sealing")))


TRIAGE, UPLINK, CENTRE = keys("triage"), keys("uplink"), keys("centre")
ENROLLED = DeviceKeys(device_id=DEVICE, triage=TRIAGE.public, uplink=UPLINK.public)
KEYRING = Keyring((CENTRE,), lambda name: ENROLLED if name == DEVICE else None)


def document(kind: str, data: bytes) -> Document:
    """By the strictest reader that this commit has for it."""
    if kind == "Case":
        return case.decode_case(data)
    if kind == "Correction":
        found: Document = import_module("appliance.core.correction").decode_correction(data)
        return found
    rooms = (case, messages, transfer, import_module("appliance.core.policy") if kind == "Policy" else None)
    return decode(next(getattr(room, kind) for room in rooms if hasattr(room, kind)), data)


def message(topic: str, payload: bytes) -> tuple[str, Any]:
    """As it is heard at the centre, or by uplink."""
    if "/up/" in topic:
        heard = read(topic, payload, KEYRING)
        return heard.code, heard.said
    kind = next((kind for kind in messages.DOWN_KINDS if messages.topic_down(DEVICE, kind) == topic), None)
    if kind is None:
        return "message-invalid", None
    said = opened(payload, place=topic, senders=(CENTRE.public,), recipients=(UPLINK,))
    return "", decode(messages.DOWN_DOCUMENTS[kind], said)


def whole(topic: str, letter: bytes, parts: list[bytes]) -> tuple[str, Any]:
    manifest = read(topic, letter, KEYRING).said
    assert isinstance(manifest, transfer.Manifest)
    told = [transfer.read_part_message(each) for each in parts]
    data = b"".join(transfer.opened_part(manifest, each.index, each.ciphertext) for each in told)
    found = read_case(transfer.unpacked(data, case.CASE_BYTES_MAX), manifest)
    return found.code, found.case


def verdict(data: bytes) -> case.Verdict:
    delivery = decode(messages.Delivery, data)
    place = messages.verdict_place(DEVICE, delivery.case_id, delivery.rev)
    letter = base64.b64decode(delivery.letter)
    return decode(case.Verdict, opened(letter, place=place, senders=(CENTRE.public,), recipients=(TRIAGE,)))


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if "as" in asked:
            code, said = "", document(asked["as"], base64.b64decode(asked["data"]))
        elif "manifest" in asked:
            parts = [base64.b64decode(each) for each in asked["parts"]]
            code, said = whole(asked["topic"], base64.b64decode(asked["manifest"]), parts)
        elif "verdict" in asked:
            code, said = "", verdict(base64.b64decode(asked["verdict"]))
        else:
            code, said = message(asked["topic"], base64.b64decode(asked["payload"]))
    except Quarantined as fault:
        return {"code": fault.code, "said": None}
    plain = said.model_dump(mode="json") if isinstance(said, Document) else None
    return {"code": code, "said": plain}


if __name__ == "__main__":
    answers = [answer(each) for each in json.load(sys.stdin)]
    json.dump([*answers, {"code": "", "said": errors.__file__}], sys.stdout)
