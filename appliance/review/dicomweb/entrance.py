"""Who asks by DICOMweb: a signed-in session, or an external viewer by its token; both may look and nothing more.

An opened study is one row in the trail a viewer, study and quarter of an hour; it counts as opened for the user whose
session or viewer it was, so nobody reads a film blindly whose study they have fetched.
"""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from appliance.core.permits import rights
from appliance.errors import CATALOGUE, Fault
from appliance.review import openings
from appliance.review.cookies import digest
from appliance.review.doors import Permit
from appliance.review.entrance import Reader, proofs_of, reader_of
from appliance.review.ledgers import page_of
from appliance.world import accounts, desk, viewers

SCHEME = "bearer"
TOKEN_CHARACTERS_MAX = 200
NOTED_AGAIN_S = 900
OPENED, SEARCHED = "dicomweb-opened", "dicomweb-searched"
# The faults of a request, and how HTTP calls them; those of an object are 404, of time and operator 503.
STATUS = {
    "dicomweb-off": 404,
    "dicomweb-query": 400,
    "dicomweb-media-type": 406,
    "dicomweb-unknown": 404,
    "dicomweb-too-large": 413,
    "object-colour": 406,
}


def for_viewers(endpoint: Callable[[Request, Reader], Response]) -> Callable[[Request], Response]:
    """An address of DICOMweb: 404 while it is off, 401 for nobody, 403 without the right, then the endpoint."""

    def guarded(request: Request) -> Response:
        if not page_of(request).config.review.dicomweb:
            return said("dicomweb-off")
        reader = admitted(request)
        if not isinstance(reader, Reader):
            return reader
        try:
            return endpoint(request, reader)
        except Fault as fault:
            return said(fault.code, fault.place)

    return guarded


def said(code: str, place: str = "") -> Response:
    """A fault in stable words; place is a keyword, never a value."""
    entry = CATALOGUE[code]
    status = STATUS.get(code, 503 if entry.actor in ("time", "operator") else 404)
    headers = {"Retry-After": "2"} if status == 503 else {}
    told = {"code": code, "place": place, "text": entry.text, "hint": entry.hint}
    return JSONResponse(told, status, headers)


def admitted(request: Request) -> Reader | Response:
    """Whoever may come in; a viewer's request is no sign of life for the session of a page."""
    permit = request.scope["permit"]
    assert isinstance(permit, Permit)
    assert permit.right is not None
    header = request.headers.get("authorization", "")
    reader = _by_token(request, header) if header else reader_of(request)
    if isinstance(reader, Response):
        return reader
    if reader is None or reader.locked:
        return _refusal("Signed out." if reader is None else "Locked.", 401)
    if reader.given or not reader.may(permit.right):
        return _refusal("Not for your role.", 403)
    return reader


def _by_token(request: Request, header: str) -> Reader | Response:
    """The user on whose behalf a viewer asks. A wrong token waits like a wrong password; a right one never does."""
    page = page_of(request)
    scheme, _, token = header.partition(" ")
    token_hash = digest(token.strip())
    found = None
    if scheme.lower() == SCHEME and 0 < len(token) <= TOKEN_CHARACTERS_MAX:
        with page.ledgers.eyes().begin() as c:
            found = viewers.of_token(c, token_hash)
            user = accounts.user(c, found.user) if found is not None else None
        if found is not None and user is not None and user.disabled_at is None:
            held = rights(user.role, lifted=False) & {"look"}
            return Reader(user=found.user, token_hash=f"viewer {found.id}", csrf="", role=user.role, rights=held)
    failures, now = proofs_of(request).failures, page.clock()
    address = request.client.host if request.client else ""
    wait_s = failures.wait_s(SCHEME, address, now)
    if wait_s:
        return _refusal("Too many wrong tokens.", 429, {"Retry-After": f"{wait_s:.0f}"})
    failures.add(SCHEME, address, now)
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=now, user="", act="viewer-refused", subject="" if found is None else f"viewer {found.name}")
    return _refusal("No such token.", 401)


def _refusal(text: str, status: int, headers: dict[str, str] | None = None) -> Response:
    asked = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(text, status, {**asked, **(headers or {})}, media_type="text/plain")


def note(request: Request, reader: Reader, act: str, subject: str) -> None:
    """One row a viewer or session, act, subject and NOTED_AGAIN_S; before it, which viewer it was."""
    page, now = page_of(request), page_of(request).clock()
    quarter = f"{act} {int(now // NOTED_AGAIN_S)}"
    fresh = openings.is_new(request, f"{reader.token_hash} {quarter}", subject)
    if not fresh:
        return
    kind, _, number = reader.token_hash.partition(" ")
    with page.ledgers.pen().begin() as c:
        if kind == "viewer" and openings.is_new(request, f"{reader.token_hash} {int(now // NOTED_AGAIN_S)}", "used"):
            viewers.mark_used(c, int(number), now)
            desk.note(c, at=now, user=reader.user, act="viewer-used", subject=f"viewer {number}")
        desk.note(c, at=now, user=reader.user, act=act, subject=subject)
