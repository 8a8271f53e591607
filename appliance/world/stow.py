"""STOW-RS (PS3.18 10.5): objects to a DICOMweb store over HTTPS, one a request, read from their files in pieces.

The answer is read within a limit and believed for what it says of our object alone. Redirections are not followed and
no proxy of the environment is used: a result goes where the configuration says.
"""

import json
import ssl
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from appliance.errors import Misconfigured, Unavailable

PIECE_BYTES = 1 << 18
ANSWER_BYTES_MAX = 1 << 20
FAILED, FAILED_OTHERS, REASON = "00081198", "0008119A", "00081197"  # PS3.18 I.2
REFERENCED, WARNING = "00081199", "00081196"


@dataclass(frozen=True, slots=True)
class Store:
    """A DICOMweb store: the address below which /studies lies, and how long each step may take.

    authorization  the value of that header, "" for none
    """

    url: str
    connect_s: float
    answer_s: float
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    authorization: str = field(default="", repr=False)


def trust(authority: Path | None, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Whose certificate a store must show, None: whoever this machine trusts; and ours, where it asks for one.

    raises  Misconfigured("pacs-tls")
    """
    try:
        context = ssl.create_default_context(cafile=None if authority is None else str(authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError:  # ssl.SSLError is one
        raise Misconfigured("pacs-tls", "results.targets") from None
    return context


class Line:
    """A connection that stays open between requests; closed by its owner."""

    def __init__(self, store: Store) -> None:
        self._store = store
        limits = httpx.Timeout(store.answer_s, connect=store.connect_s)
        verify: Any = store.tls if store.tls is not None else False  # in clear there is nobody to verify
        self._client = httpx.Client(timeout=limits, verify=verify, trust_env=False, follow_redirects=False)

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
        if self._store.authorization:
            headers["Authorization"] = self._store.authorization
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
