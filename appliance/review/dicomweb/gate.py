"""The ASGI gate before DICOMweb's addresses: methods, other origins that the site listed, and how much at once.

A browser's viewer of another origin gets its answers without cookies, for the origins of the configuration only. So few
requests are under way at once that the page itself always finds a connection.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "/dicomweb"
AT_ONCE_MAX = 24
REQUESTS_MAX, PERIOD_S, CLIENTS_MAX = 6_000, 60.0, 1_000
EXPOSED = "Warning, Content-Type, Content-Length"


class Pace:
    """How many requests each address has made lately; REQUESTS_MAX in PERIOD_S are enough to scroll a large series."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()

    def too_fast(self, client: str) -> bool:
        now = self._clock()
        times = self._seen.setdefault(client, deque())
        self._seen.move_to_end(client)
        while len(self._seen) > CLIENTS_MAX:
            self._seen.popitem(last=False)
        while times and not 0 <= now - times[0] < PERIOD_S:
            times.popleft()
        if len(times) >= REQUESTS_MAX:
            return True
        times.append(now)
        return False


def gated(inner: ASGIApp, origins: Collection[str], clock: Callable[[], float]) -> ASGIApp:
    """The application behind the gate; other addresses of the page pass it untouched."""
    pace, under_way = Pace(clock), [0]

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_dicomweb(scope["path"]):
            await inner(scope, receive, send)
            return
        origin = Headers(scope=scope).get("origin", "")
        allowed = origin if origin in origins else ""

        async def send_with_origin(message: Message) -> None:
            if message["type"] == "http.response.start" and allowed:
                headers = MutableHeaders(scope=message)
                headers["Access-Control-Allow-Origin"] = allowed
                headers["Access-Control-Expose-Headers"] = EXPOSED
                headers["Vary"] = "Origin"
            await send(message)

        if scope["method"] not in ("GET", "HEAD"):
            await _without(scope["method"], allowed)(scope, receive, send_with_origin)
        elif pace.too_fast(scope["client"][0] if scope.get("client") else ""):
            await PlainTextResponse("Too many requests.", 429, {"Retry-After": "60"})(scope, receive, send_with_origin)
        elif under_way[0] >= AT_ONCE_MAX:
            await PlainTextResponse("Too much at once.", 503, {"Retry-After": "1"})(scope, receive, send_with_origin)
        else:
            under_way[0] += 1
            try:
                await inner(scope, receive, send_with_origin)
            finally:
                under_way[0] -= 1

    return outer


def is_dicomweb(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def _without(method: str, allowed: str) -> Response:
    """The answer to a preflight of an origin that is listed, and 405 for all that is no reading."""
    if method == "OPTIONS" and allowed:
        said = {"Access-Control-Allow-Methods": "GET, HEAD", "Access-Control-Allow-Headers": "Authorization, Accept"}
        return Response(status_code=204, headers={**said, "Access-Control-Max-Age": "600"})
    return PlainTextResponse("Nothing can be stored, changed or deleted here.", 405, {"Allow": "GET, HEAD"})
