"""The doors that speak JSON, asked by schemathesis for whatever their description allows and for what it does not."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from page_api import OPENAPI
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance
from seeding import PASSWORD, USER, Seeded, filled, seed, served
from speaking import Visitor

from appliance import review
from appliance.review.doors import PERMITS
from appliance.world import sqlite, wire

EXAMPLES = 8
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
# Forms, streams, objects and pixels have tests of their own.
OTHERWISE = re.compile(
    r"^/dicomweb/.*(studies/|series/|instances/)\{\w+\}$|/frames/|/luts/|/rendered|/bulkdata/|^/rows$|^/pulse$|^/events$|/authority\.pem$"
)


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Visitor, Seeded]]:
    made = seed(tmp_path_factory.mktemp("state"))
    filled(made)
    for path, metadata in ((made.places.cases_db, wire.CASES), (made.places.link_db, wire.LINK)):
        sqlite.open_writer(path, metadata).dispose()
    review.add_user(made.places, USER, PASSWORD)
    for address in served(made.places, dicomweb=True):
        found = Visitor(address)
        found.sign_in()
        yield found, made
    made.engine.dispose()


def probe(visitor: Visitor, path: str, description: dict[str, Any], mode: GenerationMode, examples: int) -> int:
    """Asks one door so often, each answer held to the description; returns how often it said 200 or 204."""
    schema = schemathesis.openapi.from_dict(description)
    session = requests.Session()
    session.cookies.update(visitor.cookies)
    fruitful = 0

    @hypothesis.settings(max_examples=examples, deadline=None, database=None, derandomize=True,
                         suppress_health_check=list(hypothesis.HealthCheck))  # fmt: skip
    @hypothesis.given(case=schema[path]["GET"].as_strategy(generation_mode=mode))
    def asked(case: Any) -> None:
        nonlocal fruitful
        answer = case.call(base_url=visitor.address.rstrip("/"), session=session, timeout=20)
        if mode == GenerationMode.NEGATIVE:  # what is said of nonsense is the page's own; that it stands is not
            case.validate_response(answer, checks=[not_a_server_error])
        else:
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])  # a date is more than text
        fruitful += answer.status_code in (200, 204)

    asked()
    return fruitful


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", OPENAPI["paths"])
def test_a_door_gives_what_its_description_says(
    visitor: tuple[Visitor, Seeded], path: str, mode: GenerationMode
) -> None:
    fruitful = probe(visitor[0], path, OPENAPI, mode, EXAMPLES)
    if mode == GenerationMode.POSITIVE and path in ("/studies/{number}/images", "/studies/{number}/hold"):
        assert fruitful, "it asked for nothing that is there"


@pytest.mark.filterwarnings("ignore")
def test_a_description_that_promises_something_else_is_seen(visitor: tuple[Visitor, Seeded]) -> None:
    wrong = deepcopy(OPENAPI)
    wrong["paths"]["/studies/{number}/hold"]["get"]["responses"]["200"]["content"]["application/json"]["schema"] = {
        "type": "array"
    }
    with pytest.raises((FailureGroup, AssertionError)):
        probe(visitor[0], "/studies/{number}/hold", wrong, GenerationMode.POSITIVE, EXAMPLES)


def test_every_door_that_speaks_json_is_described(visitor: tuple[Visitor, Seeded]) -> None:
    """By what it answers: with numbers of a study that is there, each door's media type tells."""
    found = set()
    for (method, path), _ in PERMITS.items():
        if method != "GET" or OTHERWISE.search(path) or path.count("/") > 6:
            continue
        plain = re.sub(r"\{(\w+):int\}", r"{\1}", path)
        answer = visitor[0].ask("GET", re.sub(r"\{\w+\}", "1", plain))
        if "json" in answer.headers.get("content-type", ""):
            found.add(plain)
    assert found - set(OPENAPI["paths"]) == set()
    assert found >= {path for path in OPENAPI["paths"] if not path.startswith("/dicomweb")}
