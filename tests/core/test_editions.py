"""Two editions side by side: a later one is named and never half believed; who said what is in every document."""

import json
from typing import Any

import pytest

from appliance.core.case import Case, Model, Reader, Verdict
from appliance.core.document import Document, decode, head_of, is_newer
from appliance.core.messages import DOWN_DOCUMENTS, UP_DOCUMENTS
from appliance.core.policy import Policy
from appliance.core.transfer import Manifest
from appliance.errors import Quarantined

EVERY: dict[str, type[Document]] = {**UP_DOCUMENTS, **DOWN_DOCUMENTS, "case": Case, "verdict letter": Verdict}
EVERY |= {"policy": Policy}


def code_of(kind: type[Document], told: Any) -> str:
    data = told if isinstance(told, bytes) else json.dumps(told).encode()
    with pytest.raises(Quarantined) as caught:
        decode(kind, data)
    return caught.value.code


@pytest.mark.parametrize("name", sorted(EVERY))
def test_a_later_edition_of_every_document_is_named_as_such(name: str):
    kind = EVERY[name]
    edition = kind.model_fields["schema_version"].default
    stem, number = edition.split("/")
    later = {"schema_version": f"{stem}/{int(number) + 1}", "something": "new"}
    assert code_of(kind, later) == "message-newer"
    assert code_of(kind, {**later, "schema_version": edition}) == "message-invalid"
    assert code_of(kind, {**later, "schema_version": f"other/{int(number) + 1}"}) == "message-invalid"


@pytest.mark.parametrize(
    "told", [b"[" * 50_000, b"\xff", b"7", b"[]", b'{"schema_version":7}', b'{"schema_version":"policy/99999"}']
)
def test_what_is_no_document_is_no_later_one(told: bytes):
    assert code_of(Policy, told) == "message-invalid"
    assert not is_newer(Manifest, told)


def test_of_a_later_manifest_its_names_are_read():
    told = json.dumps({"schema_version": "manifest/9", "case_id": "a" * 32, "transfer_id": "b" * 32}).encode()
    assert is_newer(Manifest, told)
    assert head_of(told)["case_id"] == "a" * 32


def test_every_case_names_the_edges_model_and_every_verdict_the_centres():
    assert Case.model_fields["model"].is_required()
    assert set(Model.model_fields) >= {"name", "version", "sha256", "certificate"}
    assert all(field.is_required() for field in Model.model_fields.values())
    assert Verdict.model_fields["reader"].is_required()
    assert set(Reader.model_fields) >= {"model", "server", "prompt_sha256"}
    assert all(field.is_required() for field in Reader.model_fields.values())
