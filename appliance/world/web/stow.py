"""STOW-RS (PS3.18 10.5): objects to a DICOMweb store over HTTPS, one a request, read from their files in pieces.

The answer is read within a limit and believed for what it says of our object alone.
"""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from appliance.errors import Unavailable
from appliance.world.web import ANSWER_BYTES_MAX, Store, client

PIECE_BYTES = 1 << 18
FAILED, FAILED_OTHERS, REASON = "00081198", "0008119A", "00081197"  # PS3.18 I.2
REFERENCED, WARNING = "00081199", "00081196"


class Line:
    """A connection that stays open between requests; closed by its owner."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = client(store)

    def close(self) -> None:
        self._client.close()

    def send(self, path: Path) -> tuple[int, int | None]:
        """Sends one object; returns the HTTP status and the failure or warning reason the answer names, if any.

        raises  Unavailable("pacs-away"): no answer came
        """
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + path.stat().st_size + len(tail)),
            "Accept": "application/dicom+json",
        }
        url = f"{self._store.url.rstrip('/')}/studies"
        try:
            with self._client.stream("POST", url, content=_body(head, path, tail), headers=headers) as answer:
                said = b""
                for piece in answer.iter_bytes(PIECE_BYTES):
                    said += piece
                    if len(said) > ANSWER_BYTES_MAX:
                        said = b""
                        break
                return answer.status_code, reason_of(said)
        except httpx.HTTPError:
            raise Unavailable("pacs-away") from None


def _body(head: bytes, path: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece
    yield tail


def reason_of(said: bytes) -> int | None:
    """The reason that an answer names for the one object that was sent; None where it names none."""
    try:
        answer = json.loads(said)
    except ValueError:  # UnicodeDecodeError is one
        return None
    for one in answer if isinstance(answer, list) else [answer]:
        if not isinstance(one, dict):
            continue
        for sequence, element in ((FAILED, REASON), (FAILED_OTHERS, REASON), (REFERENCED, WARNING)):
            for item in _items(one, sequence):
                values = _items(item, element)
                if values and isinstance(values[0], int):
                    return values[0]
                if sequence != REFERENCED:
                    return 0x0110  # it failed and the store does not say why: a processing failure
    return None


def _items(held: Any, tag: str) -> list[Any]:
    element = held.get(tag) if isinstance(held, dict) else None
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []
