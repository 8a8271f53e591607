"""How a server takes the shape of an answer, and the canary that finds out whether it holds an answer to it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from centre_samples import Scripted, ScriptedServer, a_case, an_answer, answered, content, status

from appliance.core.drafting.guard import verdict_on
from appliance.core.drafting.question import question
from appliance.errors import Quarantined, Unavailable
from central.llm import STRUCTURED, Endpoint, in_dialect
from central.no_model import NoModel

Serve = Callable[..., ScriptedServer]
ASKED = question(a_case(), "some-model")


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[ScriptedServer] = []

    def start(*script: Callable[[Scripted], None]) -> ScriptedServer:
        servers.append(ScriptedServer(*script))
        return servers[-1]

    yield start
    for each in servers:
        each.stop()


MADE: list[Endpoint] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def endpoint(server: ScriptedServer | NoModel, **more: Any) -> Endpoint:
    MADE.append(Endpoint(server.url, pause=lambda _: None, **more))
    return MADE[-1]


def sings(scripted: Scripted) -> None:
    """A server that holds to the schema: its answer is the only word that schema allows."""
    wanted = scripted.server.requests[-1]["response_format"]
    schema = wanted["schema"] if "schema" in wanted else wanted["json_schema"]["schema"]
    word = schema["properties"]["word"]["enum"][0]
    content(json.dumps({"word": word}))(scripted)


@pytest.mark.parametrize("structured", ["json_schema", "json_object_schema"])
def test_a_server_that_sings_is_asked_its_question_and_believed_to_hold_the_shape(
    serve: Serve, structured: Any
) -> None:
    server = serve(sings, answered())
    asks = endpoint(server, structured=structured, canary=True)
    assert asks.ask(ASKED).enforced
    assert asks.ask(ASKED).enforced
    assert len(server.requests) == 3, "one canary, two questions"
    kind = {"json_schema": "json_schema", "json_object_schema": "json_object"}[structured]
    assert {request["response_format"]["type"] for request in server.requests} == {kind}


@pytest.mark.parametrize("said", ['{"word":"tweet"}', "hello", "", '["canary"]', '{"word":1}'])
def test_a_server_that_ignores_the_schema_is_found_out_and_every_verdict_says_so(serve: Serve, said: str) -> None:
    server = serve(content(said), answered())
    found = endpoint(server, canary=True).ask(ASKED)
    assert not found.enforced
    verdict = verdict_on(a_case(), found)
    assert verdict.status == "ok", "the answer was looked at all the same"
    assert [(guard.passed, guard.detail) for guard in verdict.guards if guard.name == "shape-enforced"] == [
        (False, "asked-only")
    ]


def test_the_word_stands_nowhere_but_in_the_schema(serve: Serve) -> None:
    """Else a server that only repeats what it was told would pass."""
    server = serve(sings, answered())
    endpoint(server, canary=True).ask(ASKED)
    request = server.requests[0]
    word = request["response_format"]["json_schema"]["schema"]["properties"]["word"]["enum"][0]
    assert word not in json.dumps(request["messages"])


def test_a_server_that_is_away_is_asked_again_later(serve: Serve) -> None:
    server = serve(*[status(503)] * 3, sings, answered())
    asks = endpoint(server, canary=True)
    with pytest.raises(Unavailable, match="llm-away"):
        asks.ask(ASKED)
    assert asks.ask(ASKED).enforced


def test_in_words_only_nothing_is_enforced_and_an_answer_is_still_strict(serve: Serve) -> None:
    server = serve(content("Surely! Here is my answer."), content(an_answer().model_dump_json()))
    found = endpoint(server, structured="prompt", canary=True).ask(ASKED)
    assert not found.enforced
    first, second = server.requests
    assert "response_format" not in first
    assert '"enum"' in first["messages"][0]["content"]
    assert len(second["messages"]) == len(first["messages"]) + 2, "one repair"
    server = serve(content("no"), content("still no"))
    with pytest.raises(Quarantined, match="llm-answer-invalid"):
        endpoint(server, structured="prompt").ask(ASKED)


@pytest.mark.parametrize("structured", STRUCTURED)
def test_no_dialect_changes_what_is_asked(structured: Any) -> None:
    body = in_dialect(ASKED.body, structured)
    assert body["messages"][-1] == ASKED.body["messages"][-1]
    assert {name: body[name] for name in ("model", "temperature", "seed", "max_tokens")} == {
        name: ASKED.body[name] for name in ("model", "temperature", "seed", "max_tokens")
    }


def test_the_stand_in_sings() -> None:
    server = NoModel(0)
    server.serve()
    try:
        assert endpoint(server, canary=True).ask(question(a_case(), "no-language-model")).enforced
    finally:
        server.shutdown()
        server.server_close()
