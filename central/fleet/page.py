"""The doors of `central fleet`: page, metrics, JSON and one stylesheet, all behind the token, all read only.

The token comes as `Authorization: Bearer TOKEN`, or as the password of HTTP Basic, which a browser asks for (RFC 6750,
RFC 7617). It is compared in constant time. Nothing is kept about who looks: no cookie, no session, no log of requests.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.errors import CATALOGUE, Misconfigured, Unavailable
from central.balance import RUNGS
from central.balanced import STALE_S, WHY_WORDS, taken_away
from central.fleet.exposition import exposition
from central.fleet.view import FOUND, ORDERS, Order, in_order
from central.overview import WORDS, length_of_time

HERE = Path(__file__).parent / "templates"
REFRESH_S = 60
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REALM = {"WWW-Authenticate": 'Basic realm="central fleet", charset="UTF-8"'}
LEVEL_WORDS = {
    "alarm": ("▲", "alarm"),
    "silent": ("■", "silent"),
    "warning": ("◆", "look"),
    "well": ("●", "well"),
}
CREDENTIALS_CHARACTERS_MAX = 4096

Look = Callable[[], dict[str, Any]]


def app(look: Look, token: str) -> ASGIApp:
    """look  reads how everything stands, anew at every request"""
    html = _environment().get_template("fleet.html")
    style = (HERE / "fleet.css").read_text("utf-8")

    async def page(request: Request) -> Response:
        now = await run_in_threadpool(look)
        asked = request.query_params.get("by", "need")
        order: Order = next((each for each in ORDERS if each == asked), "need")
        devices = in_order(now["devices"], order)
        return HTMLResponse(html.render(now=now, devices=devices, order=order, refresh_s=REFRESH_S))

    async def metrics(_request: Request) -> Response:
        return Response(exposition(await run_in_threadpool(look)), media_type=CONTENT_TYPE_LATEST)

    async def plain(_request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(look))

    async def stylesheet(_request: Request) -> Response:
        return Response(style, media_type="text/css")

    doors: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
        "/": page,
        "/metrics": metrics,
        "/fleet.json": plain,
        "/fleet.css": stylesheet,
    }
    routes = [Route(path, door, methods=["GET"]) for path, door in doors.items()]
    made = Starlette(routes=routes, exception_handlers={Unavailable: _trouble, Misconfigured: _trouble})
    return partial(_guarded, made, _digest(token))


async def _guarded(inner: ASGIApp, expected: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    """Before anything else: who looks has the token; after everything else: the same headers on every answer."""
    if scope["type"] != "http":
        return

    async def with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message["headers"], *own]}
        await send(message)

    shown = _shown(Request(scope).headers.get("authorization", ""))
    if hmac.compare_digest(_digest(shown), expected):
        await inner(scope, receive, with_headers)
    else:
        await PlainTextResponse("Show the token.\n", 401, headers=REALM)(scope, receive, with_headers)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _shown(authorization: str) -> str:
    """The token that a request shows, "" for none."""
    scheme, _, rest = authorization[:CREDENTIALS_CHARACTERS_MAX].partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


async def _trouble(_request: Request, fault: Exception) -> Response:
    code = getattr(fault, "code", "unexpected")
    entry = CATALOGUE[code]
    return PlainTextResponse(f"{code}: {entry.text}. {entry.hint}\n", 503, headers={"Retry-After": "10"})


def _environment() -> Environment:
    made = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    made.filters["span"] = lambda seconds: "not said" if seconds is None else length_of_time(seconds)
    made.globals.update(taken_away=lambda rung: taken_away(RUNGS[rung]), why_words=WHY_WORDS, stale_s=STALE_S)
    made.globals.update(catalogue=CATALOGUE, found_words=FOUND, levels=LEVEL_WORDS, orders=ORDERS, centre_words=WORDS)
    return made
