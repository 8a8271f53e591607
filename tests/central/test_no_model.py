"""The stand-in speaks the protocol and says on every answer that it is none."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from centre_samples import a_case
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.case import Finding
from appliance.core.drafting.guard import verdict_on
from appliance.core.drafting.question import NO_MODEL_ID, NO_MODEL_NOTICE, question
from appliance.errors import Misconfigured
from central.llm import Endpoint
from central.no_model import NoModel, completion


@pytest.fixture(scope="module")
def server() -> Iterator[NoModel]:
    server = NoModel()
    thread = server.serve()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def call(server: NoModel, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())
    finally:
        connection.close()


def test_health_and_models(server: NoModel) -> None:
    assert call(server, "GET", "/health")[1]["notice"] == NO_MODEL_NOTICE
    assert [model["id"] for model in call(server, "GET", "/v1/models")[1]["data"]] == [NO_MODEL_ID]


@pytest.mark.parametrize(
    "case",
    [
        a_case(),
        a_case(findings=(), gates={}),
        a_case(findings=tuple(Finding(id=f"F{n}", label=f"l{n}", logit=0, probability=None) for n in range(1, 21))),
    ],
)
def test_every_question_gets_an_answer_of_its_schema(server: NoModel, case: Any) -> None:
    endpoint = Endpoint(server.url)
    found = endpoint.ask(question(case, "any"))
    endpoint.close()
    assert found.model == NO_MODEL_ID
    assert found.answer.impression == NO_MODEL_NOTICE
    verdict = verdict_on(case, found)
    assert (verdict.status, verdict.reader.connected) == ("needs_human", False)


def test_it_speaks_without_a_schema_too(server: NoModel) -> None:
    request = json.dumps({"model": "x", "messages": [{"role": "user", "content": "hello"}]}).encode()
    code, reply = call(server, "POST", "/v1/chat/completions", request)
    assert code == 200
    assert reply["choices"][0]["message"]["content"] == NO_MODEL_NOTICE
    assert reply["model"] == NO_MODEL_ID


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code"),
    [
        ("GET", "/", None, {}, 404),
        ("POST", "/v1/embeddings", b"{}", {}, 404),
        ("POST", "/v1/chat/completions", b"no json", {}, 400),
        ("POST", "/v1/chat/completions", b"[]", {}, 400),
        ("POST", "/v1/chat/completions", b"{}", {}, 400),
        ("POST", "/v1/chat/completions", b'{"messages":[],"stream":true}', {}, 400),
        ("POST", "/v1/chat/completions", b"[" * 100_000, {}, 400),
        ("POST", "/v1/chat/completions", b"", {"Content-Length": "99999999999"}, 413),
        ("POST", "/v1/chat/completions", b"", {"Content-Length": "-1"}, 413),
        ("POST", "/v1/chat/completions", b"", {"Content-Length": "²"}, 413),
    ],
)
def test_what_it_does_not_speak(
    server: NoModel, method: str, path: str, body: bytes | None, headers: dict[str, str], code: int
) -> None:
    if "Content-Length" in headers:
        headers = {"Content-Length": headers["Content-Length"].encode("utf-8").decode("latin-1")}
    found, reply = call(server, method, path, body, **headers)
    assert found == code
    assert reply["error"]["code"] == code


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "enum", "items", "properties", "required", "minItems", "maxLength", "const"]),
            inner | st.sampled_from(["object", "array", "string"]),
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_schema_is_answered_or_refused_by_name(schema: Any) -> None:
    request = {"messages": [], "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    try:
        reply = completion(request)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return  # what do_POST turns into a 400
    assert reply["model"] == NO_MODEL_ID
    json.loads(reply["choices"][0]["message"]["content"])


def test_a_taken_port_is_the_operators(server: NoModel) -> None:
    with pytest.raises(Misconfigured) as caught:
        NoModel(server.server_address[1])
    assert caught.value.code == "port-taken"


def test_it_listens_on_loopback_only(server: NoModel) -> None:
    assert server.server_address[0] == "127.0.0.1"
