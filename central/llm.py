"""One POST to any OpenAI-compatible chat endpoint (vLLM, SGLang, llama.cpp), treated as the stranger it is.

It bounds what it waits for and what it reads, asks again only where time may help (429, 5xx, time-outs), follows no
redirect, takes no proxy from the environment, and believes an answer only when it is whole and fits the strict model.
It refuses to send its key over plain HTTP to another machine, and never logs a key, a question or an answer.
"""

import ipaddress
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from appliance.errors import Misconfigured, Quarantined, Unavailable
from central.question import Answer, Answered, Question, repaired

TRIES_MAX = 3  # of one request, where time may help
REPAIRS_MAX = 1  # of one answer of the wrong shape
RESPONSE_BYTES_MAX = 256 * 1024
SAID_LENGTH_MAX = 4000  # of a wrong answer, given back for repair
PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 10.0  # also of a Retry-After
CUT = ("length", "content_filter")  # reasons for which an answer is not whole
KEY_FILE_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each phase of a request may last, and all tries together (s)."""

    connect_s: float = 5.0
    write_s: float = 10.0
    read_s: float = 120.0
    whole_s: float = 300.0


class _Lenient(BaseModel):
    """A reply's envelope: servers add fields of their own, so only what is used is looked at, strictly."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Said(_Lenient):
    content: str | None = None


class _Choice(_Lenient):
    finish_reason: str | None = None
    message: _Said


class _Completion(_Lenient):
    model: str = ""
    system_fingerprint: str | None = None
    choices: Annotated[tuple[_Choice, ...], Field(min_length=1, max_length=8)]


def read_key(path: Path) -> str:
    """The API key in a file: one line of visible ASCII. Raises Misconfigured, never with anything of its content."""
    try:
        with path.open("rb") as file:
            key = file.read(KEY_FILE_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise Misconfigured("config-invalid", "api-key-file") from None
    if not re.fullmatch(r"[\x21-\x7e]{8,1024}", key):
        raise Misconfigured("config-invalid", "api-key-file")
    return key


class Endpoint:
    """A language model's server.

    url     its base, with or without a trailing /v1
    pause   waits so many seconds between two tries, or less when the service is to stop
    clock   monotonic, s
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        patience: Patience | None = None,
        pause: Callable[[float], object] = time.sleep,
        randomness: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _completions_url(url, with_key=api_key is not None)
        self._patience = patience or Patience()
        self._pause, self._clock = pause, clock
        self._randomness = randomness or random.SystemRandom()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if api_key is not None:
            headers["Authorization"] = f"Bearer {api_key}"
        p = self._patience
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(connect=p.connect_s, read=p.read_s, write=p.write_s, pool=p.connect_s),
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=30),
        )

    def close(self) -> None:
        self._client.close()

    def ask(self, asked: Question) -> Answered:
        """The answer to one question, of the right shape; whether it makes sense is the guard's to say.

        raises  Unavailable("llm-away"): no answer in time; ask again later
                Quarantined("llm-refused"): the server will not take this question, so asking again is no use
                Quarantined("llm-answer-invalid"): the answer was cut off or of the wrong shape, and so was its repair
        """
        deadline = self._clock() + self._patience.whole_s
        for _ in range(1 + REPAIRS_MAX):
            completion, server = self._complete(asked, deadline)
            choice = completion.choices[0]
            said = choice.message.content or ""
            answer = None if choice.finish_reason in CUT else _answer(said)
            if answer is not None:
                model = _visible(completion.model) or str(asked.body["model"])
                return Answered(answer, model, _visible(f"{server} {completion.system_fingerprint or ''}"))
            asked = repaired(asked, said[:SAID_LENGTH_MAX])
        raise Quarantined("llm-answer-invalid")

    def _complete(self, asked: Question, deadline: float) -> tuple[_Completion, str]:
        for tried in range(1, TRIES_MAX + 1):
            try:
                status, headers, data = self._post(asked, deadline)
            except httpx.TransportError:
                status, headers, data = 0, httpx.Headers(), b""
            if status == 200:
                return _completion(data), headers.get("server", "")
            if status and status != 429 and status < 500:
                raise Quarantined("llm-refused", str(status))
            wait_s = _retry_after(headers) or self._randomness.uniform(0, PAUSE_MIN_S * 2**tried)
            if tried == TRIES_MAX or self._clock() + wait_s >= deadline:
                break
            self._pause(wait_s)
        raise Unavailable("llm-away")

    def _post(self, asked: Question, deadline: float) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and bounded body. Raises httpx.TransportError, also when the deadline passes meanwhile."""
        with self._client.stream("POST", self._url, json=asked.body) as response:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise Quarantined("llm-refused", "content-encoding")  # a small body could unpack into a huge one
            data = bytearray()
            for chunk in response.iter_raw():
                data += chunk
                if len(data) > RESPONSE_BYTES_MAX:
                    raise Quarantined("llm-answer-invalid", "size")
                # The read time-out is for each piece: a server that drips would hold us for ever.
                if self._clock() > deadline:
                    raise httpx.ReadTimeout("deadline")
            return response.status_code, response.headers, bytes(data)


def _completions_url(url: str, *, with_key: bool) -> httpx.URL:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL:
        raise Misconfigured("config-invalid", "endpoint") from None
    plain_far = base.scheme == "http" and with_key and not _is_loopback(base.host)
    named = re.fullmatch(r"[A-Za-z0-9._:-]+", base.host) is not None
    if base.scheme not in ("http", "https") or not named or base.userinfo or base.query or plain_far:
        raise Misconfigured("config-invalid", "endpoint")
    path = base.path.rstrip("/").removesuffix("/v1")
    return base.copy_with(path=f"{path}/v1/chat/completions")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _completion(data: bytes) -> _Completion:
    try:
        return _Completion.model_validate_json(data)
    except ValidationError:
        raise Quarantined("llm-answer-invalid", "envelope") from None


def _answer(said: str) -> Answer | None:
    try:
        return Answer.model_validate_json(said)
    except ValidationError:
        return None


def _retry_after(headers: httpx.Headers) -> float | None:
    """Retry-After in seconds (RFC 9110 10.2.3), within our own bounds; a date there is not looked at."""
    said = headers.get("retry-after", "")
    return min(max(float(said), PAUSE_MIN_S), PAUSE_MAX_S) if re.fullmatch(r"[0-9]{1,6}", said) else None


def _visible(text: str) -> str:
    """A stranger's name for itself: visible ASCII of bounded length."""
    return re.sub(r"[^\x20-\x7e]", "?", text).strip()[:120]
