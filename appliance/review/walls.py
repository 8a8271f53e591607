"""The page's outer wall: one ASGI callable around everything, so that no answer leaves without its headers.

It refuses foreign Host names (DNS rebinding), writes from another origin, bodies that are too long or no form, and
methods the page does not know. It knows nothing of users; it notes the class of address that an act comes from.
"""

from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.core.permits import address_class
from appliance.core.say import say
from appliance.review.language import LANGUAGE, preferred, tr
from appliance.world.desk import ORIGIN

FORM_BYTES_MAX = 64 * 1024
ADDRESS_CHARACTERS_MAX = 1_000  # the longest of our own has about a hundred
OUR_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
STRICT_TRANSPORT = "max-age=31536000"
FORM_TYPE = "application/x-www-form-urlencoded"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=(), payment=()",
    "Cache-Control": "no-store",
}


def walled(
    inner: ASGIApp,
    hosts: Collection[str] = OUR_HOSTS,
    *,
    tls: bool = False,
    trusted: bool = False,
    own_methods: Callable[[str], bool] = lambda _path: False,
    language: str = "en",
    provider: tuple[str, str] | None = None,
) -> ASGIApp:
    """The application behind its wall. Refusals: 400 foreign host, 403 foreign origin, 405, 411, 413 to 415.

    hosts    names by which it may be called
    trusted  browsers trust its certificate: only then may they be told to insist on it (RFC 6797), because a reader
             who must click a warning away is else locked out
    language     the site's, where the browser asks for none of ours
    provider     the one door to which another site's form may come, and that site's origin
    own_methods  paths behind which methods are refused further in: nothing there takes a form
    """
    added = {**SECURITY_HEADERS, "Strict-Transport-Security": STRICT_TRANSPORT} if trusted else SECURITY_HEADERS
    names = frozenset(each.lower() for each in hosts)

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await inner(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers[name] = value
            await send(message)

        ORIGIN.set(address_class(scope["client"][0] if scope.get("client") else ""))
        headers = Headers(scope=scope)
        LANGUAGE.set(preferred(headers.get("accept-language", ""), language))
        method = "GET" if own_methods(scope["path"]) else scope["method"]
        foreign = provider[1] if provider is not None and scope["path"] == provider[0] else None
        refused = why_refused(method, headers, names, "https" if tls else "http", foreign)
        if len(scope["path"]) + len(scope["query_string"]) > ADDRESS_CHARACTERS_MAX:
            refused = 414, say("The address is too long.")
        target = inner if refused is None else PlainTextResponse(tr(refused[1]), refused[0])
        await target(scope, receive, send_with_headers)

    return outer


def why_refused(
    method: str,
    headers: Headers,
    hosts: Collection[str] = OUR_HOSTS,
    scheme: str = "http",
    foreign: str | None = None,
) -> tuple[int, str] | None:
    """The status and the sentence with which a request is turned away, or None.

    foreign  the origin whose forms alone may come through this door; None: our own
    """
    if len(headers.getlist("host")) != 1 or host_name(headers["host"]) not in hosts:
        return 400, say("This page does not answer by that name (review.names).")
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return 405, say("Only GET, HEAD and POST are known here.")
    if not (same_origin(headers, scheme) if foreign is None else led_back(headers, foreign)):
        return 403, say("This form was not sent by this page.")
    if headers.get("content-type", "").split(";")[0].strip().lower() != FORM_TYPE:
        return 415, say("Only plain forms are taken.")
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
        return 411, say("The length of the form must be said first.")
    return None if len(length) < 9 and int(length) <= FORM_BYTES_MAX else (413, say("The form is too long."))


def host_name(host: str) -> str | None:
    """The name in a Host header without its port (RFC 9110 7.2), or None when it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host and not parts.path else None


def same_origin(headers: Headers, scheme: str = "http") -> bool:
    """Whether a write comes from our own page.

    A browser says so in Sec-Fetch-Site, in Origin or in both; under no-referrer its Origin of a form is "null", which
    then says nothing. What is said must agree, and something must be said.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if origin is not None and origin != "null" and origin != f"{scheme}://{headers['host']}":
        return False
    if site is not None:
        return site == "same-origin"
    return origin is not None and origin != "null"


def led_back(headers: Headers, foreign: str) -> bool:
    """Whether a form is one with which a provider leads somebody's browser back.

    Under no-referrer, which providers set, its origin is "null": so it proves little, and what does is the state, the
    cookie and the token. A script's request is no navigation.
    """
    if headers.get("origin", "") not in (foreign, "null"):
        return False
    return headers.get("sec-fetch-mode", "navigate") == "navigate" and headers.get("sec-fetch-dest") in (
        None,
        "document",
    )
