"""One POST to any OpenAI-compatible chat endpoint (vLLM, SGLang, llama.cpp), treated as the stranger it is.

Servers take the shape of an answer in different ways, and some take it and do nothing with it (an option that a later
version has renamed is ignored with a plain 200). So the first question is a canary whose only answer of the asked-for
shape is a word drawn for it: where that does not come back, the shape is not enforced, which every verdict then says.

It bounds what it waits for and what it reads, asks again only where time may help (429, 5xx, time-outs), follows no
redirect, takes no proxy from the environment, and believes an answer only when it is whole and fits the strict model.
It refuses to send its key over plain HTTP to another machine, and never logs a key, a question or an answer.
"""

import ipaddress
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import httpx

from appliance.core.drafting.question import Answered, Question, repaired
from appliance.core.drafting.reply import Completion, completion_of, named
from appliance.errors import Misconfigured, Quarantined, Unavailable
from appliance.loop import LOG

TRIES_MAX = 3  # of one request, where time may help
REPAIRS_MAX = 1  # of one answer of the wrong shape
RESPONSE_BYTES_MAX = 256 * 1024
SAID_LENGTH_MAX = 4000  # of a wrong answer, given back for repair
IN_FLIGHT_MAX = 32  # questions at a time, of all threads together
PAUSE_MIN_S = 0.5
PAUSE_MAX_S = 10.0  # also of a Retry-After
KEY_FILE_BYTES_MAX = 4096
CANARY_TOKENS_MAX = 60


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each phase of a request may last, and all tries together (s)."""

    connect_s: float = 5.0
    write_s: float = 10.0
    read_s: float = 120.0
    whole_s: float = 300.0


# How a server is told the shape: OpenAI's way; the older one of some llama.cpp servers; in words, enforced by none.
Structured = Literal["json_schema", "json_object_schema", "prompt"]
STRUCTURED: tuple[Structured, ...] = get_args(Structured)
SHAPE_IN_WORDS = " The JSON Schema of your answer: "


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
    structured  how it takes the shape of an answer
    canary  whether it is found out, before the first question, if the shape is enforced
    pause   waits so many seconds between two tries, or less when the service is to stop
    clock   monotonic, s
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        structured: Structured = "json_schema",
        canary: bool = False,
        patience: Patience | None = None,
        pause: Callable[[float], object] = time.sleep,
        randomness: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _completions_url(url, with_key=api_key is not None)
        self._patience = patience or Patience()
        self._pause, self._clock = pause, clock
        self._structured = structured
        self._enforced = None if canary else structured != "prompt"
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
            limits=httpx.Limits(max_connections=IN_FLIGHT_MAX, max_keepalive_connections=2, keepalive_expiry=30),
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
        if self._enforced is None:
            self._enforced = self._sings(str(asked.body["model"]), deadline)
        for _ in range(1 + REPAIRS_MAX):
            completion, server = self._complete(asked, deadline)
            answered = completion.answered(server, str(asked.body["model"]), enforced=self._enforced)
            if answered is not None:
                return answered
            asked = repaired(asked, completion.said[:SAID_LENGTH_MAX])
        raise Quarantined("llm-answer-invalid")

    def _sings(self, model: str, deadline: float) -> bool:
        """Whether the server holds an answer to its schema: what the canary says stands in the schema and nowhere else.

        raises  Unavailable("llm-away"), Quarantined("llm-refused"); then it is asked again before the next question
        """
        if self._structured == "prompt":
            return False
        word = f"canary-{self._randomness.getrandbits(64):016x}"
        schema: dict[str, Any] = {"type": "object", "properties": {"word": {"type": "string", "enum": [word]}}}
        schema |= {"required": ["word"], "additionalProperties": False}
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": "Say any word, as JSON."}],
            "temperature": 0,
            "max_tokens": CANARY_TOKENS_MAX,
            "response_format": {"type": "json_schema", "json_schema": {"name": "canary", "schema": schema}},
        }
        completion, _ = self._complete(Question(body, ""), deadline)
        try:
            sung = bool(json.loads(completion.said) == {"word": word})
        except ValueError:
            sung = False
        if not sung:
            LOG.warning("centre.ask: the language model's server does not hold an answer to its schema")
        return sung

    def _complete(self, asked: Question, deadline: float) -> tuple[Completion, str]:
        for tried in range(1, TRIES_MAX + 1):
            try:
                status, headers, data = self._post(asked, deadline)
            except httpx.TransportError:
                status, headers, data = 0, httpx.Headers(), b""
            if status == 200:
                return completion_of(data), named(headers.get("server", ""))
            if status and status != 429 and status < 500:
                raise Quarantined("llm-refused", str(status))
            wait_s = _retry_after(headers) or self._randomness.uniform(0, PAUSE_MIN_S * 2**tried)
            if tried == TRIES_MAX or self._clock() + wait_s >= deadline:
                break
            self._pause(wait_s)
        raise Unavailable("llm-away")

    def _post(self, asked: Question, deadline: float) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and bounded body. Raises httpx.TransportError, also when the deadline passes meanwhile."""
        body = in_dialect(asked.body, self._structured)
        with self._client.stream("POST", self._url, json=body) as response:
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


def in_dialect(body: Mapping[str, Any], structured: Structured) -> dict[str, Any]:
    """A request as a server of this dialect takes it."""
    schema = body["response_format"]["json_schema"]["schema"]
    if structured == "json_object_schema":
        return {**body, "response_format": {"type": "json_object", "schema": schema}}
    if structured == "prompt":
        told, *rest = body["messages"]
        words = f"{told['content']}{SHAPE_IN_WORDS}{json.dumps(schema, sort_keys=True)}"
        plain = {name: value for name, value in body.items() if name != "response_format"}
        return {**plain, "messages": [{**told, "content": words}, *rest]}
    return dict(body)


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


def _retry_after(headers: httpx.Headers) -> float | None:
    """Retry-After in seconds (RFC 9110 10.2.3), within our own bounds; a date there is not looked at."""
    said = headers.get("retry-after", "")
    return min(max(float(said), PAUSE_MIN_S), PAUSE_MAX_S) if re.fullmatch(r"[0-9]{1,6}", said) else None
