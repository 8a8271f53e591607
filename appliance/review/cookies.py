"""The page's cookies: their names, how closely they are kept, and what hangs on them.

The database keeps digests only. Every cookie is HttpOnly and stays with requests of our own page (SameSite=Strict), but
for one: who was led to a provider comes back with a form that the provider's page sends, and that way's own cookie must
come along (review.provider).
"""

import hashlib
import hmac

from starlette.responses import Response

from appliance.config import Config

SESSION_COOKIE = "appliance-session"
VISIT_COOKIE = "appliance-visit"  # before anyone is signed in: what the sign-in form's check token hangs on
WAY_COOKIE = "appliance-way"  # of whoever was led to the provider


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def check_token(cookie: str) -> str:
    """The check token of a cookie: a page of another origin can read neither."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def cookie_name(config: Config, name: str) -> str:
    """Under TLS a name that a browser takes with Secure, from this host and for all its paths only (RFC 6265bis)."""
    return name if config.review.tls == "off" else f"__Host-{name}"


def give(config: Config, response: Response, name: str, value: str) -> None:
    secure = config.review.tls != "off"
    response.set_cookie(
        cookie_name(config, name), value, httponly=True, samesite="strict", path="/", secure=secure
    )  # fmt: skip


def give_for_a_way(config: Config, response: Response, value: str, lasts_s: float) -> None:
    """The one cookie that another site's form brings along."""
    named = cookie_name(config, WAY_COOKIE)
    response.set_cookie(
        named, value, max_age=int(lasts_s), httponly=True, samesite="none", path="/", secure=True
    )  # fmt: skip


def forget(config: Config, response: Response, name: str) -> None:
    secure = config.review.tls != "off"
    response.delete_cookie(cookie_name(config, name), path="/", httponly=True, samesite="strict", secure=secure)
