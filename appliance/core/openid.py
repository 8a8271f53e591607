"""What an ID token proves (OpenID Connect Core 1.0, 3.2.2): token and provider's keys in, claims or a refusal out.

Signatures are joserfc's work; what is believed is decided here. Only asymmetric algorithms are taken, whatever the
token says of itself: "none" proves nothing, and an HMAC would make a secret of the public key. Keys come from the file
that an administrator put here and never from the token. Every refusal has a code and holds nothing of the token.
"""

import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from appliance.core.permits import Role
from appliance.errors import Misconfigured, Refused

TOKEN_CHARACTERS_MAX = 16_384
KEYS_MAX = 50
RSA_BITS_MIN = 2048  # RFC 7518 3.3
KEY_OF: dict[str, type[RSAKey] | type[ECKey]] = {
    **{f"{family}{bits}": RSAKey for family in ("RS", "PS") for bits in (256, 384, 512)},
    **{f"ES{bits}": ECKey for bits in (256, 384, 512)},
}
# Headers that nobody here knows say nothing (RFC 7515 4), unless "crit" names them; a long one is refused.
REGISTRY = jws.JWSRegistry(algorithms=list(KEY_OF), strict_check_header=False)
SUBJECT_CHARACTERS_MAX = 255  # OpenID Connect Core 2: "MUST NOT exceed 255 ASCII characters"
CLOCK_LEEWAY_S = 120.0  # what the provider's clock and ours may differ
FRESH_SLACK_S = 5.0  # whole seconds are rounded, and a form takes a moment
ROLE_VALUES_MAX = 500

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of the provider, as far as the answer must agree with it.

    started_at  wall seconds when the person was led there
    fresh       the person was to show anew who they are: an answer that rests on an earlier time is refused
    """

    issuer: str
    client_id: str
    nonce: str
    started_at: float
    fresh: bool


def asking_address(
    endpoint: str, client_id: str, answer_to: str, *, state: str, nonce: str, fresh: bool, locale: str
) -> str:
    """Where a person is led: an authentication request (3.2.2.1) whose answer the person's browser brings as a form."""
    asked = {
        "response_type": "id_token",
        "response_mode": "form_post",
        "scope": "openid profile",
        "client_id": client_id,
        "redirect_uri": answer_to,
        "state": state,
        "nonce": nonce,
        "ui_locales": locale,
        **({"prompt": "login", "max_age": "0"} if fresh else {}),
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


def origin_of(address: str) -> str:
    """The origin of an address as a browser says it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(":443")


def keys_of(data: bytes) -> KeySet:
    """The signing keys of a provider's key set (RFC 7517). Raises Misconfigured("oidc-keys-file").

    Keys of other kinds and for other uses are left out; a private key has no business in the file.
    """
    try:
        said = json.loads(data)
        listed = said["keys"]
        signing = [each for each in listed if each.get("kty") in ("RSA", "EC") and each.get("use", "sig") == "sig"]
        if not 0 < len(signing) <= KEYS_MAX or any("d" in each for each in signing):
            raise Misconfigured("oidc-keys-file", "review.oidc_keys_file")
        return KeySet([_key(each) for each in signing])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Misconfigured("oidc-keys-file", "review.oidc_keys_file") from None


def _key(said: dict[str, Any]) -> RSAKey | ECKey:
    if said["kty"] == "EC":
        return ECKey.import_key(said)
    modulus = said["n"]
    if len(modulus) * 6 < RSA_BITS_MIN:  # base64: six bits a character
        raise Misconfigured("oidc-keys-file", "review.oidc_keys_file")
    return RSAKey.import_key(said)


def proven(token: str, keys: KeySet, asked: Asked, now: float) -> Claims:
    """The claims of a token that was made for this page, this question and this moment.

    now     wall seconds since 1970
    raises  Refused("oidc-...") for the first thing that is wrong with it, Misconfigured("oidc-key-unknown") where it
            was signed with a key that is not in the file
    """
    claims = _signed(token, keys)
    if claims.get("iss") != asked.issuer:
        raise Refused("oidc-issuer")
    _for_us(claims, asked.client_id)
    expires, issued, begins = (_moment(claims.get(name)) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise Refused("oidc-claims")
    if now > expires + CLOCK_LEEWAY_S:
        raise Refused("oidc-expired")
    if max(issued, begins or 0.0) > now + CLOCK_LEEWAY_S:
        raise Refused("oidc-early")
    if issued < asked.started_at - CLOCK_LEEWAY_S:
        raise Refused("oidc-expired")
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not nonce.isascii() or not hmac.compare_digest(nonce, asked.nonce):
        raise Refused("oidc-nonce")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX or not subject.isascii():
        raise Refused("oidc-subject")
    if asked.fresh:
        _just_now(claims, issued, now - asked.started_at)
    return claims


def _signed(token: str, keys: KeySet) -> Claims:
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise Refused("oidc-token-long")
    try:
        header = jws.extract_compact(token.encode("ascii"), registry=REGISTRY).headers()
    except (JoseError, ValueError, TypeError, RecursionError):
        raise Refused("oidc-token-form") from None
    algorithm, named = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in KEY_OF:
        raise Refused("oidc-algorithm")
    found = [each for each in keys if each.kid == named or (named is None and len(keys.keys) == 1)]
    fitting = [each for each in found if isinstance(each, KEY_OF[algorithm])]
    if not fitting:
        raise Misconfigured("oidc-key-unknown", "review.oidc_keys_file")
    try:
        body = jws.deserialize_compact(token.encode("ascii"), fitting[0], registry=REGISTRY).payload
        claims = json.loads(body or b"")
    except JoseError:
        raise Refused("oidc-signature") from None
    except (ValueError, RecursionError):
        raise Refused("oidc-token-form") from None
    if not isinstance(claims, dict):
        raise Refused("oidc-token-form")
    return claims


def _for_us(claims: Claims, client_id: str) -> None:
    """3.1.3.7, 3 to 5: this page is an audience, and where there are more it is the one that asked."""
    said = claims.get("aud")
    audience = said if isinstance(said, list) else [said]
    if client_id not in audience or not all(isinstance(each, str) for each in audience):
        raise Refused("oidc-audience")
    party = claims.get("azp")
    if party != client_id and (party is not None or len(audience) > 1):
        raise Refused("oidc-audience")


def _just_now(claims: Claims, issued: float, elapsed_s: float) -> None:
    """Whether the person was asked since they were led there. Both moments are of the provider's clock, the time since
    is of ours: so it does not matter how far the two clocks are apart."""
    shown = _moment(claims.get("auth_time"))
    if shown is None or issued - shown > max(elapsed_s, 0.0) + FRESH_SLACK_S:
        raise Refused("oidc-not-fresh")


def shown_at(claims: Claims, now: float) -> float:
    """When the person last showed the provider who they are, by our clock and never later than now; 0: not said."""
    shown, issued = _moment(claims.get("auth_time")), _moment(claims.get("iat"))
    return 0.0 if shown is None or issued is None else now - max(issued - shown, 0.0)


def _moment(said: object) -> float | None:
    fits = isinstance(said, int | float) and not isinstance(said, bool) and math.isfinite(said)
    return float(said) if fits else None  # type: ignore[arg-type]


def role_of(claims: Claims, claim: str, roles: Mapping[str, Role]) -> Role:
    """The role of the first row of the site's table whose value the provider names.

    raises  Refused("oidc-role") where none fits, ("oidc-role-form") where the claim is neither text nor a list of texts
    """
    said = claims.get(claim, [])
    values = [said] if isinstance(said, str) else said
    if not isinstance(values, list) or len(values) > ROLE_VALUES_MAX or not all(isinstance(v, str) for v in values):
        raise Refused("oidc-role-form")
    for value, role in roles.items():
        if value in values:
            return role
    raise Refused("oidc-role")


def name_of(claims: Claims) -> str:
    """The name that signatures are to bear: of an address the part before its @; "" where the provider says none."""
    said = claims.get("preferred_username")
    return said.partition("@")[0] if isinstance(said, str) else ""
