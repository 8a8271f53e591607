"""The one POST, against real servers on loopback that behave as badly as servers do."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from centre_samples import Scripted, ScriptedServer, a_case, an_answer, answered, content, status
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core.drafting.question import Answer, question
from appliance.core.drafting.reply import named
from appliance.errors import Fault, Misconfigured, Quarantined, Unavailable
from central.llm import RESPONSE_BYTES_MAX, TRIES_MAX, Endpoint, Patience, read_key

ASKED = question(a_case(), "some-model")
SHORT = Patience(connect_s=10.0, write_s=10.0, read_s=10.0, whole_s=60.0)
Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[ScriptedServer] = []

    def start(*script: Callable[[Scripted], None]) -> ScriptedServer:
        running.append(ScriptedServer(*script))
        return running[-1]

    yield start
    for server in running:
        server.stop()


class Pauses(list[float]):
    """Records what would have been waited."""

    def __call__(self, wait_s: float) -> None:
        self.append(wait_s)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def endpoint(pauses: Pauses) -> Iterator[Callable[..., Endpoint]]:
    made: list[Endpoint] = []

    def make(url: str, **more: Any) -> Endpoint:
        made.append(Endpoint(url, **{"patience": SHORT, "pause": pauses, **more}))
        return made[-1]

    yield make
    for each in made:
        each.close()


Make = Callable[..., Endpoint]


def fault_of(endpoint: Endpoint) -> Fault:
    with pytest.raises(Fault) as caught:
        endpoint.ask(ASKED)
    return caught.value


def test_a_good_answer(serve: Serve, endpoint: Make, pauses: Pauses) -> None:
    server = serve(answered())
    found = endpoint(server.url).ask(ASKED)
    assert found.answer == an_answer()
    assert found.model == "some-model"
    assert server.requests == [ASKED.body]
    assert server.paths == ["/v1/chat/completions"]
    assert pauses == []


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_base_may_end_in_v1(serve: Serve, endpoint: Make, suffix: str) -> None:
    server = serve(answered())
    endpoint(server.url + suffix).ask(ASKED)
    assert server.paths == ["/v1/chat/completions"]


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
def test_time_may_help(serve: Serve, endpoint: Make, pauses: Pauses, code: int) -> None:
    server = serve(status(code), status(code), answered())
    assert endpoint(server.url).ask(ASKED).answer == an_answer()
    assert len(pauses) == 2


def test_it_gives_up_after_a_bounded_number_of_tries(serve: Serve, endpoint: Make, pauses: Pauses) -> None:
    server = serve(status(500))
    fault = fault_of(endpoint(server.url))
    assert isinstance(fault, Unavailable)
    assert fault.code == "llm-away"
    assert len(server.requests) == TRIES_MAX
    assert len(pauses) == TRIES_MAX - 1


@pytest.mark.parametrize(("said", "waited"), [("2", 2.0), ("0", 0.5), ("86400", 10.0)])
def test_retry_after_is_obeyed_within_bounds(
    serve: Serve, endpoint: Make, pauses: Pauses, said: str, waited: float
) -> None:
    server = serve(status(429, Retry_After=said), answered())
    endpoint(server.url).ask(ASKED)
    assert pauses == [waited]


@pytest.mark.parametrize("said", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "inf", "²"])
def test_another_retry_after_is_not_looked_at(serve: Serve, endpoint: Make, pauses: Pauses, said: str) -> None:
    def busy(scripted: Scripted) -> None:
        scripted.send_response(429)
        scripted.wfile.write(b"")
        scripted._headers_buffer.append(f"Retry-After: {said}\r\nContent-Length: 0\r\n".encode())  # type: ignore[attr-defined]
        scripted.end_headers()

    endpoint(serve(busy, answered()).url).ask(ASKED)
    assert 0 <= pauses[0] <= 1.0


@pytest.mark.parametrize("code", [400, 401, 403, 404, 413, 422, 301, 302, 307, 204])
def test_asking_again_is_no_use(serve: Serve, endpoint: Make, pauses: Pauses, code: int) -> None:
    other = serve(answered())
    server = serve(status(code, Location=other.url))
    fault = fault_of(endpoint(server.url))
    assert isinstance(fault, Quarantined)
    assert fault.code == "llm-refused"
    assert len(server.requests) == 1
    assert other.requests == [], "a redirect was followed"
    assert pauses == []


def test_a_server_that_never_answers(serve: Serve, endpoint: Make) -> None:
    server = serve(lambda scripted: scripted.server.released.wait(60) and None)
    patience = Patience(connect_s=10.0, write_s=10.0, read_s=0.05, whole_s=60.0)
    assert fault_of(endpoint(server.url, patience=patience)).code == "llm-away"
    assert len(server.requests) == TRIES_MAX


def test_a_server_that_drips_is_hung_up_on(serve: Serve, endpoint: Make) -> None:
    """Each piece comes in time, the whole never would: only the deadline ends it."""
    ticks = iter(range(10_000))

    def drip(scripted: Scripted) -> None:
        scripted.send_response(200)
        scripted.send_header("Content-Length", "100000")
        scripted.end_headers()
        while not scripted.server.released.wait(0.01):
            scripted.wfile.write(b" ")

    patience = Patience(connect_s=2.0, write_s=2.0, read_s=2.0, whole_s=20.0)
    slow = endpoint(serve(drip).url, patience=patience, clock=lambda: float(next(ticks)))
    assert fault_of(slow).code == "llm-away"


def test_nobody_listens(endpoint: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert fault_of(endpoint(f"http://127.0.0.1:{port}")).code == "llm-away"


def test_a_server_that_hangs_up(serve: Serve, endpoint: Make) -> None:
    def cut(scripted: Scripted) -> None:
        scripted.send_response(200)
        scripted.send_header("Content-Length", "1000")
        scripted.end_headers()
        scripted.wfile.write(b'{"choices":')

    assert endpoint(serve(cut, answered()).url).ask(ASKED).answer == an_answer()


def test_no_more_than_the_cap_is_read(serve: Serve, endpoint: Make) -> None:
    def flood(scripted: Scripted) -> None:
        scripted.send_response(200)
        scripted.end_headers()
        piece, left = b" " * 65_536, 100 * RESPONSE_BYTES_MAX
        while left > 0 and not scripted.server.released.is_set():
            scripted.wfile.write(piece)
            left -= len(piece)

    fault = fault_of(endpoint(serve(flood).url))
    assert (fault.code, fault.place) == ("llm-answer-invalid", "size")


def test_a_packed_answer_is_not_unpacked(serve: Serve, endpoint: Make) -> None:
    server = serve(status(200, Content_Encoding="gzip"))
    assert fault_of(endpoint(server.url)).code == "llm-refused"
    assert server.headers[0]["accept-encoding"] == "identity"


LONE_SURROGATE = '{"opinions":[],"impression":"\\ud800","urgency":"routine","limitations":[]}'
WRONG = [
    content("no JSON at all"),
    content(""),
    content(None),
    content("[]"),
    content("[" * 5000),
    content(LONE_SURROGATE),
    content("```json\n" + an_answer().model_dump_json() + "\n```"),
    content(an_answer().model_dump_json()[:-5]),
    content(an_answer().model_dump_json(), finish="length"),
    content(an_answer().model_dump_json(), finish="content_filter"),
    content(json.dumps({**an_answer().model_dump(mode="json"), "diagnosis": "more"})),
    content(json.dumps({**an_answer().model_dump(mode="json"), "urgency": "stat"})),
    content(json.dumps({**an_answer().model_dump(mode="json"), "impression": "x" * 601})),
    content(json.dumps({**an_answer().model_dump(mode="json"), "impression": 7})),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_one_repair_is_asked_for_and_may_help(serve: Serve, endpoint: Make, wrong: Any) -> None:
    server = serve(wrong, answered())
    assert endpoint(server.url).ask(ASKED).answer == an_answer()
    first, second = server.requests
    assert second["messages"][:2] == first["messages"]
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("wrong", WRONG)
def test_only_one_repair(serve: Serve, endpoint: Make, wrong: Any) -> None:
    server = serve(wrong)
    fault = fault_of(endpoint(server.url))
    assert isinstance(fault, Quarantined)
    assert fault.code == "llm-answer-invalid"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "envelope", [b"", b"null", b"{}", b'{"choices":[]}', b'{"choices":[{"message":{"content":{"a":1}}}]}', b"\xff"]
)
def test_a_reply_that_is_no_completion(serve: Serve, endpoint: Make, envelope: bytes) -> None:
    fault = fault_of(endpoint(serve(lambda scripted: scripted.say(200, envelope)).url))
    assert (fault.code, fault.place) == ("llm-answer-invalid", "envelope")


@pytest.mark.parametrize("name", ["m\n<b>\u202e", "x" * 121, "Dr Miller has read this study", "", "-", "m\n", "\u043c"])
def test_what_is_no_name_is_not_repeated_as_one(serve: Serve, endpoint: Make, name: str) -> None:
    """The page says who drafted: a sentence in the place of a name would be read as one of the draft."""
    server = serve(content(an_answer().model_dump_json(), model=name))
    assert endpoint(server.url).ask(ASKED).model == "some-model"
    assert [named(each) for each in (name, "Qwen/Qwen2.5-VL-7B-Instruct@1", "llama.cpp")] == [
        *("", "Qwen/Qwen2.5-VL-7B-Instruct@1", "llama.cpp")
    ]


@settings(max_examples=60, deadline=None)
@given(
    said=st.text(max_size=300)
    | st.builds(json.dumps, st.dictionaries(st.sampled_from([*Answer.model_fields]), st.text()))
)
def test_whatever_is_said_is_an_answer_or_a_fault(said: str) -> None:
    server = ScriptedServer(content(said))
    endpoint = Endpoint(server.url, patience=SHORT)
    try:
        with pytest.raises(Quarantined) as caught:
            endpoint.ask(ASKED)
        assert caught.value.code == "llm-answer-invalid"
    finally:
        endpoint.close()
        server.stop()


# Keys, addresses, proxies.


def test_the_key_is_sent_and_only_there(serve: Serve, endpoint: Make, tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "key"
    path.write_text("sk-very-secret-key\n")
    server = serve(status(500), answered())
    with caplog.at_level(0):
        endpoint(server.url, api_key=read_key(path)).ask(ASKED)
    assert server.headers[0]["authorization"] == "Bearer sk-very-secret-key"
    assert "very-secret" not in caplog.text
    assert "very-secret" not in json.dumps(server.requests)


def test_without_a_key_none_is_sent(serve: Serve, endpoint: Make) -> None:
    server = serve(answered())
    endpoint(server.url).ask(ASKED)
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    "written", [b"", b"short", b"two words here", b"line-one-of-key\nline-two", b"\xff" * 20, None]
)
def test_a_wrong_key_file(tmp_path: Path, written: bytes | None) -> None:
    path = tmp_path / "key"
    if written is not None:
        path.write_bytes(written)
    with pytest.raises(Misconfigured) as caught:
        read_key(path)
    assert (caught.value.code, caught.value.place) == ("config-invalid", "api-key-file")


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "ftp://127.0.0.1", "file:///etc/passwd", "http://user:word@127.0.0.1", "http://", "http://a b/"],
)
def test_a_wrong_endpoint(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        Endpoint(url)
    assert caught.value.place == "endpoint"


def test_a_key_goes_over_plain_http_only_to_this_machine() -> None:
    with pytest.raises(Misconfigured):
        Endpoint("http://llm.example:8000", api_key="sk-very-secret-key")
    for url in ("https://llm.example", "http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000"):
        Endpoint(url, api_key="sk-very-secret-key").close()


def test_a_proxy_of_the_environment_is_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = serve(answered())
    endpoint = Endpoint(server.url, patience=SHORT)
    assert endpoint.ask(ASKED).answer == an_answer()
    endpoint.close()


def test_a_stop_ends_the_waiting(serve: Serve, endpoint: Make) -> None:
    """The service gives its stop event's wait as pause: a set event returns at once, and the tries still end."""
    stop = threading.Event()
    stop.set()
    assert fault_of(endpoint(serve(status(503)).url, pause=stop.wait)).code == "llm-away"
