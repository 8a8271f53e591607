"""Whatever stands in an answer, it is refused by a code or is what the provider signed: no text does anything else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, KeySet

from appliance.core.openid import Asked, asking_address, keys_of, name_of, origin_of, proven, shown_at
from appliance.errors import Fault, Misconfigured

KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
KEYS = KeySet([KEY])
NOW = 1_000_000.0
ASKED = Asked("https://login.example", "page", "n" * 43, NOW - 5, fresh=True)
CLAIMS = {
    "iss": "https://login.example",
    "aud": ["page"],
    "sub": "s",
    "nonce": "n" * 43,
    "exp": NOW + 60,
    "iat": NOW,
    "auth_time": NOW - 4,
}
TOKEN = jws.serialize_compact({"alg": "ES256", "kid": "one"}, json.dumps(CLAIMS), KEY, ["ES256"])
BYTES = st.binary(max_size=80).map(lambda data: data.decode("latin-1"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | BYTES | st.just("\ud800"),
    lambda each: st.lists(each, max_size=3),
)


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def outcome(token: str) -> object:
    try:
        return dict(proven(token, KEYS, ASKED, NOW))
    except Fault as fault:
        return fault.code


def test_what_was_signed_for_this_moment_is_believed() -> None:
    assert outcome(TOKEN) == CLAIMS


@given(BYTES | st.lists(BYTES.map(b64), min_size=3, max_size=3).map(".".join))
def test_no_text_is_believed(token: str) -> None:
    assert str(outcome(token)).startswith("oidc-")


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 255).map(chr))
def test_one_character_changed_is_refused_or_says_the_same(at: int, other: str) -> None:
    changed = outcome(TOKEN[:at] + other + TOKEN[at + 1 :])
    assert changed == CLAIMS or str(changed).startswith("oidc-")


@given(st.sampled_from([*CLAIMS, "azp", "nbf"]), JSON)
def test_a_signed_claim_of_any_kind_is_refused_by_a_code_or_believed_as_it_is(name: str, value: object) -> None:
    said = {**CLAIMS, name: value}
    found = outcome(jws.serialize_compact({"alg": "ES256", "kid": "one"}, json.dumps(said), KEY, ["ES256"]))
    assert found == said or str(found).startswith("oidc-")


@given(st.binary(max_size=200) | JSON.map(lambda each: json.dumps({"keys": each}).encode()))
def test_what_is_no_key_set_is_named(data: bytes) -> None:
    with pytest.raises(Misconfigured, match="oidc-keys-file"):
        keys_of(data)


def test_a_token_without_a_name_for_its_key_counts_where_there_is_one_key() -> None:
    assert outcome(jws.serialize_compact({"alg": "ES256"}, json.dumps(CLAIMS), KEY, ["ES256"])) == CLAIMS


def test_small_things() -> None:
    assert origin_of("https://Login.example:443/a?b") == "https://login.example"
    assert origin_of("https://login.example:8443/a") == "https://login.example:8443"
    told = {"state": "s", "nonce": "n", "fresh": False, "locale": "de"}
    assert asking_address("https://login.example/a?realm=1", "page", "https://page/x", **told).startswith(
        "https://login.example/a?realm=1&response_type=id_token"
    )
    assert [name_of({"preferred_username": each}) for each in ("kim", "kim@x.example", 7, None)] == [
        "kim",
        "kim",
        "",
        "",
    ]
    assert (shown_at(CLAIMS, NOW), shown_at({"iat": NOW}, NOW), shown_at({**CLAIMS, "auth_time": NOW + 9}, NOW)) == (
        NOW - 4,
        0.0,
        NOW,
    )
