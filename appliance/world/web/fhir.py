"""FHIR R4 over HTTPS (RESTful API, 3.1.0): a resource under an id of ours, so that sending it again changes nothing.

What lies there is read first: the very statement is not written again, and a later one is never overwritten. A write
names the version that was read, so that nothing can come between; where the server has none, it is written plainly.
"""

import json
from typing import Any

import httpx

from appliance.errors import Unavailable
from appliance.world.web import ANSWER_BYTES_MAX, Store, client

JSON = "application/fhir+json"


class Line:
    """A connection to one server; closed by its owner."""

    def __init__(self, store: Store) -> None:
        self._root = store.url.rstrip("/")
        self._client = client(store)

    def close(self) -> None:
        self._client.close()

    def read(self, name: str) -> tuple[int, str, dict[str, Any]]:
        """HTTP status, version (ETag, "" where none is told) and content of TYPE/ID; {} where it is no resource.

        raises  Unavailable("pacs-away"): no answer came
        """
        status, headers, said = self._ask("GET", name, {}, b"")
        try:
            told = json.loads(said) if status == 200 else {}
        except ValueError:  # UnicodeDecodeError is one
            told = {}
        return status, headers.get("etag", ""), told if isinstance(told, dict) else {}

    def write(self, name: str, data: bytes, version: str | None) -> int:
        """Puts a resource; returns the HTTP status, 412 where another version lies there now.

        version  the ETag that was read, "" where the server told none, None where nothing was there
        raises   Unavailable("pacs-away"): no answer came
        """
        when = {"If-None-Match": "*"} if version is None else {"If-Match": version} if version else {}
        return self._ask("PUT", name, {"Content-Type": f"{JSON}; charset=utf-8", **when}, data)[0]

    def _ask(self, method: str, name: str, headers: dict[str, str], data: bytes) -> tuple[int, httpx.Headers, bytes]:
        told = {"Accept": JSON, **headers}
        try:
            with self._client.stream(method, f"{self._root}/{name}", content=data, headers=told) as answer:
                said = b""
                for piece in answer.iter_bytes(65_536):
                    said += piece
                    if len(said) > ANSWER_BYTES_MAX:
                        said = b""
                        break
                return answer.status_code, answer.headers, said
        except httpx.HTTPError:
            raise Unavailable("pacs-away") from None
