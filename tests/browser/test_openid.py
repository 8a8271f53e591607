"""Answers of an OpenID provider as they must not be: each is refused in its own named way, and nobody is let in.

The tokens are forged here, with a provider's key or without it; the road with a real provider is in test_openid_road.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from babel.messages.pofile import read_po
from joserfc import jws
from joserfc.jwk import ECKey, KeySet, RSAKey
from seeding import PASSWORD, USER
from speaking import Hands
from starlette.datastructures import Headers

from appliance import review
from appliance.config import Config, Places
from appliance.errors import CATALOGUE, Refused
from appliance.review import members, walls
from appliance.review.cookies import digest
from appliance.review.roundtrips import PROOF_S, UNDER_WAY_MAX, WAY_S, RoundTrips, Way
from appliance.world import accounts
from tests.sentences import Spoken, english_left

ROOT = Path(__file__).parents[2]
ISSUER, PROVIDER, CLIENT = "https://login.harbour.example", "https://login.harbour.example", "review-page"
RSA_KEY = RSAKey.generate_key(2048, parameters={"kid": "spring", "use": "sig"})
EC_KEY = ECKey.generate_key("P-256", parameters={"kid": "summer", "use": "sig"})
STRANGE = ECKey.generate_key("P-256", parameters={"kid": "summer", "use": "sig"})
ROLES = {"radiologist": "reader", "it": "administrator", "student": "viewer"}
ADMIN = "ada.admin"


class Off(int):
    """Seconds from now."""


class Page(Hands):
    """The page with a provider, and a browser that is led there and back."""

    def __init__(self, places: Places, keys_file: Path, **knobs: object) -> None:
        told = {"oidc_issuer": ISSUER, "oidc_authorize": f"{PROVIDER}/authorize", "oidc_client_id": CLIENT}
        told |= {"oidc_name": "Harbour login", "oidc_keys_file": str(keys_file), "oidc_roles": ROLES}
        super().__init__(places, tls="own", **{**told, **knobs})

    def led(self, path: str = "/sign-in/provider", page: str = "/sign-in", **form: str) -> dict[str, str]:
        """What is asked of the provider, as it would see it."""
        return asked_in(self.post(path, page, **form))

    def back(self, said: dict[str, str], **headers: str) -> httpx.Response:
        return self.send("/sign-in/answer", said, **{"origin": "null", "sec-fetch-site": "cross-site", **headers})

    def come_in(self, **claims: object) -> httpx.Response:
        asked = self.led()
        return self.back({"state": asked["state"], "id_token": token(self.claims(asked, **claims))})

    def claims(self, asked: dict[str, str], **said: object) -> dict[str, object]:
        now = int(self.now)
        made = {"iss": ISSUER, "aud": CLIENT, "sub": "s-1", "exp": now + 300, "iat": now, "auth_time": now}
        made |= {"nonce": asked["nonce"], "preferred_username": "jane.doe", "roles": ["radiologist"], **said}
        told = {name: now + value if isinstance(value, Off) else value for name, value in made.items()}
        return {name: value for name, value in told.items() if value is not None}


def asked_in(answer: httpx.Response) -> dict[str, str]:
    found = re.search(r'<a class="button" href="([^"]*)"', answer.text)
    assert found is not None, answer.text
    return dict(parse_qsl(urlsplit(unescape(found[1])).query))


def token(claims: dict[str, object], key: Any = RSA_KEY, alg: str = "RS256", **header: object) -> str:
    said = {"alg": alg, "kid": key.kid, **header}
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    told = {name: value for name, value in said.items() if value is not None}
    return jws.serialize_compact(told, json.dumps(claims), key, registry=registry)


def plain(header: dict[str, object], claims: dict[str, object], signature: bytes = b"") -> str:
    """A token put together by hand, as no library would."""
    return ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    )


def by_public_key(claims: dict[str, object]) -> str:
    """HS256 with the public key as the secret: what a verifier takes that believes the token's own algorithm."""
    unsigned = plain({"alg": "HS256", "kid": "spring"}, claims).rsplit(".", 1)[0]
    signed = hmac.new(RSA_KEY.as_pem(private=False), unsigned.encode(), hashlib.sha256).digest()
    return f"{unsigned}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(KeySet([RSA_KEY, EC_KEY]).as_dict(private=False)))
    return path


@pytest.fixture(scope="module", autouse=True)
def hashed() -> Iterator[str]:
    """One password's hash, and the templates, made once: each page makes its own, which is not looked at here."""
    made, templates = members.HASHES.hash(PASSWORD), review.Jinja2Templates(directory=review.HERE / "templates")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(review, "Jinja2Templates", lambda directory: templates)
        patch.setattr(members.HASHES, "hash", lambda _password: made)
        yield made


@pytest.fixture
def page(tmp_path: Path, keys_file: Path, hashed: str) -> Iterator[Page]:
    """A page whose other services have not started: who comes in is told so."""
    hands = Page(Places(tmp_path / "state"), keys_file)
    with hands.ledgers.pen().begin() as c:
        accounts.put_user(c, USER, hashed, 1.0)
        accounts.put_user(c, ADMIN, hashed, 1.0, role="administrator")
    yield hands
    hands.close()


def refused(page: Page, answer: httpx.Response, code: str, status: int = 403) -> None:
    assert (answer.status_code, f"({code})" in unescape(answer.text)) == (status, True), answer.text
    assert "set-cookie" not in answer.headers
    assert page.acts()[-1][1:] == ("provider-refused", code)
    assert page.get("/").headers["location"] == "/sign-in"


def test_somebody_whom_the_provider_knows_comes_in_and_an_account_is_made(page: Page) -> None:
    asked = page.led()
    assert asked | {"state": "", "nonce": ""} == {
        "response_type": "id_token",
        "response_mode": "form_post",
        "scope": "openid profile",
        "client_id": CLIENT,
        "redirect_uri": "https://127.0.0.1:8042/sign-in/answer",
        "state": "",
        "nonce": "",
        "ui_locales": "en",
        "prompt": "login",
        "max_age": "0",
    }
    answer = page.back({"state": asked["state"], "id_token": token(page.claims(asked))})
    assert (answer.status_code, 'content="0; url=/"' in answer.text) == (200, True)
    assert page.get("/").status_code == 200
    assert page.acts()[-2:] == [
        ("jane.doe", "user-added-by-provider", "user jane.doe reader"),
        ("jane.doe", "sign-in-by-provider", ""),
    ]
    cookie = next(each for each in page.client.cookies.jar if each.name == "__Host-appliance-way")
    assert (cookie.secure, cookie.get_nonstandard_attr("SameSite")) == (True, "none")


def test_other_asymmetric_signatures_are_taken_and_headers_that_nobody_knows_say_nothing(page: Page) -> None:
    for key, alg in ((RSA_KEY, "PS256"), (EC_KEY, "ES256"), (RSA_KEY, "RS512")):
        asked = page.led()
        said = token(page.claims(asked), key, alg, **{"pi.atm": "7"})
        assert page.back({"state": asked["state"], "id_token": said}).status_code == 200


Forger = Callable[[Page, dict[str, str]], str]


def saying(**claims: object) -> Forger:
    return lambda page, asked: token(page.claims(asked, **claims))


HOSTILE: dict[str, tuple[str, Forger]] = {
    "another issuer": ("oidc-issuer", saying(iss="https://login.harbour.example.evil.example")),
    "another service": ("oidc-audience", saying(aud="picture-archive")),
    "two services, and the other one asked": ("oidc-audience", saying(aud=[CLIENT, "archive"], azp="archive")),
    "two services, and nobody asked": ("oidc-audience", saying(aud=[CLIENT, "archive"])),
    "one service, and another one asked": ("oidc-audience", saying(azp="archive")),
    "no audience": ("oidc-audience", saying(aud=None)),
    "expired": ("oidc-expired", saying(exp=Off(-1_000), iat=Off(-1_100))),
    "made before it was asked for": ("oidc-expired", saying(iat=Off(-1_000))),
    "not yet valid": ("oidc-early", saying(nbf=Off(900))),
    "of tomorrow": ("oidc-early", saying(iat=Off(86_400), exp=Off(90_000))),
    "no end": ("oidc-claims", saying(exp=None)),
    "an end that is true": ("oidc-claims", saying(exp=True)),
    "an end that is infinite": ("oidc-claims", saying(exp=float("inf"))),
    "no signature": ("oidc-algorithm", lambda page, asked: plain({"alg": "none"}, page.claims(asked))),
    "no signature, in capitals": ("oidc-algorithm", lambda page, asked: plain({"alg": "NONE"}, page.claims(asked))),
    "the public key as a secret": ("oidc-algorithm", lambda page, asked: by_public_key(page.claims(asked))),
    "an algorithm that is no text": ("oidc-algorithm", lambda page, asked: plain({"alg": ["RS256"]}, {})),
    "unknown key": ("oidc-key-unknown", lambda page, asked: token(page.claims(asked), kid="autumn")),
    "no key named, of two": ("oidc-key-unknown", lambda page, asked: token(page.claims(asked), kid=None)),
    "a key of another kind": (
        "oidc-key-unknown",
        lambda page, asked: plain({"alg": "ES256", "kid": "spring"}, page.claims(asked), b"x" * 64),
    ),
    "somebody else's key under a known name": (
        "oidc-signature",
        lambda page, asked: token(page.claims(asked), STRANGE, "ES256"),
    ),
    "a key that it brings along": (
        "oidc-signature",
        lambda page, asked: token(page.claims(asked), STRANGE, "ES256", jwk=STRANGE.as_dict(private=False)),
    ),
    "a changed claim": (
        "oidc-signature",
        lambda page, asked: altered(token(page.claims(asked)), page.claims(asked, sub="s-2")),
    ),
    "another question's nonce": ("oidc-nonce", saying(nonce="n" * 43)),
    "no nonce": ("oidc-nonce", saying(nonce=None)),
    "no subject": ("oidc-subject", saying(sub=None)),
    "a subject that is a number": ("oidc-subject", saying(sub=7)),
    "a long subject": ("oidc-subject", saying(sub="s" * 256)),
    "asked an hour ago": ("oidc-not-fresh", saying(auth_time=Off(-3_600))),
    "not said when": ("oidc-not-fresh", saying(auth_time=None)),
    "no role": ("oidc-role", saying(roles=None)),
    "a role that opens nothing": ("oidc-role", saying(roles=["janitor"])),
    "roles that are a table": ("oidc-role-form", saying(roles={"radiologist": True})),
    "roles that are numbers": ("oidc-role-form", saying(roles=[1, 2])),
    "a local user's name": ("oidc-name-taken", saying(preferred_username=USER)),
    "a local user's name in capitals": ("oidc-name-taken", saying(preferred_username="Ada.Admin")),
    "a local user's name as an address": ("oidc-name-taken", saying(preferred_username=f"{USER}@harbour.example")),
    "a name with marks": ("oidc-name", saying(preferred_username="<b>jane</b>")),
    "no name": ("oidc-name", saying(preferred_username=None)),
    "a long token": ("oidc-token-long", saying(name="x" * 16_384)),
    "no token": ("oidc-token-form", lambda page, asked: ""),
    "words": ("oidc-token-form", lambda page, asked: "let.me.in"),
    "a deep header": ("oidc-token-form", lambda page, asked: f"{b64(b'[' * 9_000)}.e30.e30"),
    "no table of claims": ("oidc-token-form", lambda page, asked: token(["sub"])),  # type: ignore[arg-type]
}


# Refusals that no token brings about: the tests below.
ELSEWHERE = {
    *("oidc-state", "oidc-browser", "oidc-declined", "oidc-disabled", "oidc-other-user", "oidc-session"),
    "oidc-keys-file",
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def altered(signed: str, claims: dict[str, object]) -> str:
    header, _, signature = signed.split(".")
    return f"{header}.{b64(json.dumps(claims).encode())}.{signature}"


def test_each_hostile_answer_is_refused_in_its_own_way(page: Page) -> None:
    before = users(page)
    for name, (code, forged) in HOSTILE.items():
        page.now += 4_000  # patience with guessers is another test's matter
        asked = page.led()
        answer = page.back({"state": asked["state"], "id_token": forged(page, asked)})
        assert f"({code})" in unescape(answer.text), f"{name}: {answer.text[-900:]}"
        refused(page, answer, code)
        used = page.back({"state": asked["state"], "id_token": token(page.claims(asked))})
        assert "(oidc-state)" in used.text, f"{name}: the way was still open"
    assert users(page) == before
    assert {each for each in CATALOGUE if each.startswith("oidc-")} == {
        code for code, _ in HOSTILE.values()
    } | ELSEWHERE


def users(page: Page) -> list[tuple[object, ...]]:
    with page.ledgers.eyes().begin() as c:
        return [tuple(row) for row in accounts.all_users(c)]


def test_a_token_opens_once_in_the_browser_that_asked_and_not_for_long(page: Page, keys_file: Path) -> None:
    asked = page.led()
    said = {"state": asked["state"], "id_token": token(page.claims(asked))}
    own = dict(page.client.cookies)
    page.client.cookies.clear()
    refused(page, page.back(said), "oidc-browser")
    page.client.cookies.set("__Host-appliance-way", "w" * 43)
    refused(page, page.back(said), "oidc-browser")
    page.client.cookies.clear()
    for name, value in own.items():
        page.client.cookies.set(name, value)
    assert page.back(said).status_code == 200, "the browser that asked was not shut out by the other one"
    page.client.cookies.delete("__Host-appliance-session")
    refused(page, page.back(said), "oidc-state")
    other = page.led()
    refused(page, page.back({**said, "state": other["state"]}), "oidc-nonce")
    late = page.led()
    page.now += WAY_S + 1
    refused(page, page.back({"state": late["state"], "id_token": token(page.claims(late))}), "oidc-state")
    refused(page, page.back({"id_token": token(page.claims(late))}), "oidc-state")


def test_what_the_provider_says_in_words_is_shown_and_logged_nowhere(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    asked, words = page.led(), "Jane Doe of ward 7 <b>is not known</b>"
    answer = page.back({"state": asked["state"], "error": "access_denied", "error_description": words})
    refused(page, answer, "oidc-declined")
    asked = page.led()
    sent = token(page.claims(asked), STRANGE, "ES256")
    answer = page.back({"state": asked["state"], "id_token": sent})
    refused(page, answer, "oidc-signature")
    for told in (answer.text, caplog.text, str(page.acts())):
        assert "ward 7" not in told
        assert sent[-40:] not in told
        assert asked["nonce"] not in told
    assert "oidc-signature" in caplog.text


def test_a_form_of_a_million_bytes_ends_at_the_wall(page: Page) -> None:
    asked = page.led()
    answer = page.back({"state": asked["state"], "id_token": "x" * 1_000_000})
    assert answer.status_code == 413
    assert page.back({"state": asked["state"], "id_token": token(page.claims(asked))}).status_code == 200


FOREIGN: list[tuple[str, dict[str, str], bool]] = [
    ("/sign-in/answer", {"origin": "null", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, True),
    ("/sign-in/answer", {"origin": PROVIDER, "sec-fetch-dest": "document"}, True),
    ("/sign-in/answer", {"origin": "https://evil.example"}, False),
    ("/sign-in/answer", {"origin": "https://127.0.0.1:8042"}, False),
    ("/sign-in/answer", {"origin": ""}, False),
    ("/sign-in/answer", {"origin": "null", "sec-fetch-mode": "cors"}, False),
    ("/sign-in/answer", {"origin": "null", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "empty"}, False),
    ("/sign-in/answer", {"origin": "null", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, False),
    *((path, {"origin": PROVIDER, "sec-fetch-site": "cross-site"}, False) for path in ("/sign-in", "/unlock")),
    ("/sign-in/provider", {"origin": "null", "sec-fetch-site": "cross-site"}, False),
]


def test_another_sites_form_comes_through_one_door(page: Page) -> None:
    for path, said, taken in FOREIGN:
        answer = page.send(path, {"state": "s"}, **said)
        assert ("not sent by this page" not in answer.text) is taken, (path, said, answer.text)


def test_no_door_is_open_to_another_site_where_nobody_signs_in_by_a_provider(page: Page, tmp_path: Path) -> None:
    plain_page = Page(page.ledgers.places, tmp_path, oidc_issuer="")
    assert "Harbour login" not in plain_page.get("/sign-in").text
    assert "not sent by this page" in plain_page.back({"state": "s"}).text
    assert plain_page.send("/sign-in/answer", {"state": "s"}).status_code == 404
    assert plain_page.post("/sign-in/provider", "/sign-in").status_code == 404
    plain_page.close()
    told = Headers({"host": "127.0.0.1", "origin": "null", "sec-fetch-site": "cross-site"})
    assert walls.why_refused("POST", told) is not None


def test_guessers_wait_and_readers_with_passwords_do_not(page: Page) -> None:
    for _ in range(5):
        asked = page.led()
        assert page.back({"state": asked["state"], "id_token": "a.b.c"}).status_code == 403
    asked = page.led()
    assert page.back({"state": asked["state"], "id_token": token(page.claims(asked))}).status_code == 429
    assert page.sign_in().status_code == 303
    page.now += 61
    asked = page.led()
    assert page.back({"state": asked["state"], "id_token": token(page.claims(asked))}).status_code == 200


def test_forms_that_any_site_can_send_cost_nobody_a_try_and_do_not_fill_the_trail(page: Page) -> None:
    for _ in range(12):
        assert page.back({"state": "s" * 43, "id_token": "a.b.c"}).status_code == 403
    assert len([each for each in page.acts() if each[1] == "provider-refused"]) == 5
    assert page.sign_in().status_code == 303
    asked = page.led()
    assert page.back({"state": asked["state"], "id_token": token(page.claims(asked))}).status_code == 200


def test_a_role_that_changes_at_the_provider_counts_from_the_next_sign_in(page: Page) -> None:
    page.come_in()
    assert page.get("/audits").status_code == 200
    page.come_in(roles="student")
    assert page.get("/audits").status_code == 403
    assert ("jane.doe", "user-role-by-provider", "user jane.doe viewer") in page.acts()
    assert page.come_in(roles=["it", "radiologist"]).status_code == 200, "of two that fit the first row counts"
    assert page.get("/audits").status_code == 200
    assert page.come_in(preferred_username="jane.new").status_code == 200, "a name is given once"
    assert [row[0] for row in users(page)] == [ADMIN, USER, "jane.doe"]


def test_who_is_disabled_here_stays_disabled_whatever_the_provider_says(page: Page) -> None:
    page.come_in()
    with page.ledgers.pen().begin() as c:
        members.disable(c, "jane.doe", at=page.now, by=ADMIN)
    refused(page, page.come_in(), "oidc-disabled")
    with page.ledgers.pen().begin() as c:
        members.enable(c, "jane.doe", at=page.now, by=ADMIN)
    assert page.come_in().status_code == 200


def test_the_last_administrator_is_not_made_another_by_the_provider(page: Page) -> None:
    page.come_in(roles=["it"])
    page.client.cookies.clear()
    with page.ledgers.pen().begin() as c:
        members.disable(c, ADMIN, at=page.now, by="jane.doe")
    refused(page, page.come_in(roles=["radiologist"]), "last-administrator")
    with page.ledgers.eyes().begin() as c:
        assert accounts.known(c, "jane.doe").role == "administrator"


def test_the_same_subject_of_another_issuer_is_somebody_else(page: Page, keys_file: Path) -> None:
    page.come_in()
    page.client.cookies.clear()
    moved = Page(page.ledgers.places, keys_file, oidc_issuer="https://login.other.example")
    refused(moved, moved.come_in(iss="https://login.other.example"), "oidc-name-taken")
    moved.close()


def test_whom_a_provider_answers_for_has_no_password(page: Page) -> None:
    page.come_in()
    page.post("/sign-out", "/status")
    for password in ("!", PASSWORD):
        assert "Name or password is wrong" in page.sign_in(password=password, user="jane.doe").text
    with pytest.raises(Refused, match="user-provided"):
        members.add_user(page.ledgers, "jane.doe", PASSWORD, at=page.now, replace=True)
    page.come_in()
    assert "no password" in page.get("/account").text
    assert 'action="/account/password"' not in page.get("/account").text
    handle = handle_of(page.post("/account/password", "/status", password="x" * 9))
    asked = page.led("/prove/provider", "/status", handle=handle)
    page.back({"state": asked["state"], "id_token": token(page.claims(asked))})
    assert (
        page.post("/account/password", "/status", proof=handle, password=PASSWORD, repeated=PASSWORD).status_code == 409
    )


def test_new_keys_count_at_once_and_unknown_ones_say_who_must_do_what(page: Page, keys_file: Path) -> None:
    winter = ECKey.generate_key("P-384", parameters={"kid": "winter"})
    asked = page.led()
    answer = page.back({"state": asked["state"], "id_token": token(page.claims(asked), winter, "ES384")})
    refused(page, answer, "oidc-key-unknown")
    assert "review.oidc_keys_file" in answer.text
    listed = [RSA_KEY.as_dict(private=False), winter.as_dict(private=False), {"kty": "OKP", "use": "enc"}]
    keys_file.write_text(json.dumps({"keys": listed}))
    for key, alg in ((winter, "ES384"), (RSA_KEY, "RS256")):
        asked = page.led()
        assert page.back({"state": asked["state"], "id_token": token(page.claims(asked), key, alg)}).status_code == 200


BROKEN: list[str | None] = [
    *("", "no json", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', '{"keys": [7]}'),
    *('{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}', '{"keys": [{"kty": "EC"}]}', "[" * 100_000),
    json.dumps(KeySet([EC_KEY]).as_dict(private=True)),
    " " * 300_000,
    None,
]


def test_a_file_without_keys_lets_nobody_in_by_the_provider_and_everybody_else(page: Page, keys_file: Path) -> None:
    for broken in BROKEN:
        page.now += 4_000
        keys_file.unlink() if broken is None else keys_file.write_text(broken)
        refused(page, page.come_in(), "oidc-keys-file")
    assert page.sign_in().status_code == 303


def locked(page: Page) -> None:
    page.post("/lock", "/status", to="/studies/1?image=2")


def test_a_locked_session_is_opened_by_the_provider_and_leads_to_the_same_place(page: Page) -> None:
    page.come_in()
    before = page.client.cookies["__Host-appliance-session"]
    locked(page)
    shown = page.get("/lock?to=/studies/1").text
    assert "Unlock with Harbour login" in shown
    assert 'type="password"' not in shown
    assert page.post("/unlock", "/lock", proof=PASSWORD).status_code == 403
    asked = page.led("/unlock/provider", "/lock", to="/studies/1")
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    wrong = page.back({"state": asked["state"], "id_token": token(page.claims(asked, sub="s-2"))})
    assert (wrong.status_code, "(oidc-other-user)" in wrong.text) == (403, True)
    asked = page.led("/unlock/provider", "/lock", to="/studies/1")
    stale = page.back({"state": asked["state"], "id_token": token(page.claims(asked, auth_time=Off(-60)))})
    assert "(oidc-not-fresh)" in stale.text
    assert page.get("/status").headers["location"].startswith("/lock")
    asked = page.led("/unlock/provider", "/lock", to="/studies/1")
    right = page.back({"state": asked["state"], "id_token": token(page.claims(asked))})
    assert 'content="0; url=/studies/1"' in right.text
    assert page.client.cookies["__Host-appliance-session"] != before
    assert page.get("/status").status_code == 200
    assert page.acts()[-1] == ("jane.doe", "unlocked", "")


def test_a_session_that_ended_meanwhile_is_not_opened_again(page: Page) -> None:
    page.come_in()
    locked(page)
    asked = page.led("/unlock/provider", "/lock")
    with page.ledgers.pen().begin() as c:
        accounts.end_sessions(c, "jane.doe")
    refused(page, page.back({"state": asked["state"], "id_token": token(page.claims(asked))}), "oidc-session")


def handle_of(answer: httpx.Response) -> str:
    assert (answer.status_code, "Is it you, jane.doe?" in answer.text) == (403, True), answer.text
    found = re.search(r'name="handle" value="([^"]*)"', answer.text)
    assert found is not None
    return found[1]


def test_a_form_that_bears_a_name_waits_for_a_fresh_proof_which_counts_once(page: Page) -> None:
    page.come_in(roles=["student"])
    said = {"reason": "the only reader is in theatre"}
    first = page.post("/emergency", "/status", **said)
    handle = handle_of(first)
    assert f'value="{said["reason"]}"' in first.text, "nothing typed is lost"
    early = page.post("/emergency", "/status", proof=handle, **said)
    assert handle_of(early) == handle
    assert "has not said yet" in early.text
    asked = page.led("/prove/provider", "/status", handle=handle)
    wrong = page.back({"state": asked["state"], "id_token": token(page.claims(asked, sub="s-2"))})
    assert "(oidc-other-user)" in wrong.text
    assert handle_of(page.post("/emergency", "/status", proof=handle, **said)) == handle
    asked = page.led("/prove/provider", "/status", handle=handle)
    assert "Close this window" in page.back({"state": asked["state"], "id_token": token(page.claims(asked))}).text
    assert ("jane.doe", "proof-by-provider", "") in page.acts()
    assert page.post("/emergency", "/status", proof=handle, **said).headers["location"] == "/"
    assert page.acts()[-1] == ("jane.doe", "glass-broken", said["reason"])
    page.post("/emergency/end", "/status")
    assert handle_of(page.post("/emergency", "/status", proof=handle, **said)) == handle, "a proof counts once"


def test_a_proof_is_of_its_session_and_does_not_keep(page: Page) -> None:
    page.come_in(roles=["student"])
    handle = handle_of(page.post("/emergency", "/status", reason="x"))

    def proved() -> None:
        asked = page.led("/prove/provider", "/status", handle=handle)
        assert page.back({"state": asked["state"], "id_token": token(page.claims(asked))}).status_code == 200

    proved()
    page.now += PROOF_S + 1
    assert handle_of(page.post("/emergency", "/status", reason="x", proof=handle)) == handle
    proved()
    own = dict(page.client.cookies)
    page.client.cookies.clear()
    page.come_in(roles=["student"])
    assert handle_of(page.post("/emergency", "/status", reason="x", proof=handle)) == handle
    page.client.cookies.clear()
    for name, value in own.items():
        page.client.cookies.set(name, value)
    assert page.post("/emergency", "/status", reason="x", proof=handle).headers["location"] == "/"


def test_who_is_under_way_is_kept_in_bounds() -> None:
    trips, way = RoundTrips(), Way("sign-in", digest("browser"), "nonce", 1.0, True)
    for n in range(UNDER_WAY_MAX + 1):
        trips.begin(f"state-{n}", way)
    with pytest.raises(Refused, match="oidc-state"):
        trips.end("state-0", "browser", 2.0)
    assert trips.end(f"state-{UNDER_WAY_MAX}", "browser", 2.0) == way
    with pytest.raises(Refused, match="oidc-state"):
        trips.end("state-1", "browser", 0.5)


def test_a_site_that_switches_its_provider_off_leaves_nobody_before_a_dead_button(page: Page, tmp_path: Path) -> None:
    page.come_in(roles=["student"])
    off = Page(page.ledgers.places, tmp_path, oidc_issuer="")
    for name, value in page.client.cookies.items():
        off.client.cookies.set(name, value)
    told = off.post("/emergency", "/status", reason="x").text
    assert "switched off: nothing that bears your name" in told
    assert off.post("/prove/provider", "/status", handle="h" * 43).status_code == 404
    locked(off)
    assert "cannot be unlocked" in off.get("/lock").text
    assert off.post("/unlock/provider", "/lock").status_code == 404
    assert off.post("/leave", "/lock").headers["location"] == "/sign-in"
    off.close()


def test_a_site_may_let_the_provider_not_ask_again(page: Page, keys_file: Path) -> None:
    easy = Page(page.ledgers.places, keys_file, oidc_without_asking=True, signature_fresh_s=900)
    asked = easy.led()
    assert {"prompt", "max_age"} & set(asked) == set()
    said = token(easy.claims(asked, auth_time=Off(-3_600), roles=["student"]))
    assert easy.back({"state": asked["state"], "id_token": said}).status_code == 200
    assert handle_of(easy.post("/emergency", "/status", reason="x")), "an old proof is no proof for a signature"
    easy.close()


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"oidc_issuer": ISSUER}, "needs oidc_authorize"),
        ({"oidc_issuer": "http://login.example"}, "should match"),
        ({"oidc_authorize": "https://login.example/a b"}, "should match"),
        ({"oidc_roles": {"x": "emperor"}}, "viewer"),
        (
            {
                "oidc_issuer": ISSUER,
                "oidc_authorize": ISSUER,
                "oidc_client_id": "x",
                "oidc_roles": ROLES,
                "tls": "off",
            },
            "needs TLS",
        ),
    ],
)
def test_half_a_provider_is_no_configuration(knobs: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Config.model_validate({"review": knobs})


def test_whoever_reads_german_is_led_there_and_back_in_german(page: Page) -> None:
    with (ROOT / "appliance/review/locale/de.po").open("rb") as file:
        german = read_po(file, locale="de")
    page.client.headers["accept-language"] = "de"

    def spoken(answer: httpx.Response) -> httpx.Response:
        assert '<html lang="de">' in answer.text
        assert [line for line in english_left(Spoken(answer.text).lines, german) if "Harbour" not in line] == []
        return answer

    assert "Anmelden mit Harbour login" in spoken(page.get("/sign-in")).text
    asked = asked_in(spoken(page.post("/sign-in/provider", "/sign-in", language="de")))
    assert asked["ui_locales"] == "de"
    spoken(page.back({"state": asked["state"], "id_token": "no.to.ken"}))
    asked = page.led(language="de")
    said = {"state": asked["state"], "id_token": token(page.claims(asked, roles=["student"]))}
    spoken(page.back(said))
    spoken(page.get("/account"))
    waiting = spoken(page.post("/emergency", "/status", reason="Notfall"))
    handle = re.search(r'name="handle" value="([^"]*)"', waiting.text)
    assert handle is not None
    asked = page.led("/prove/provider", "/status", handle=handle[1])
    spoken(page.back({"state": asked["state"], "id_token": token(page.claims(asked))}))
    spoken(page.post("/emergency", "/status", reason="Notfall", proof="a proof of another form"))
    locked(page)
    assert "Entsperren mit Harbour login" in spoken(page.get("/lock")).text
