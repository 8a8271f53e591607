"""The lock: a session whose user has gone keeps its place and shows nobody's name until the user is back.

A locked session opens no page; a page that was open leaves by itself (static/pulse.js). Unlocking asks for the
password or a code, gives the session a new token, and leads back to the same place.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.review.entrance import (
    PLACE,
    Reader,
    fields,
    form_for_readers,
    home,
    new_token,
    proofs_of,
    reader_of,
    sign_out,
)
from appliance.review.language import _, use
from appliance.review.ledgers import page_of
from appliance.world import accounts, desk


def lock_page(request: Request) -> Response:
    """The lock before a locked session; anybody else is sent where they belong."""
    reader, to = reader_of(request), place(request.query_params.get("to", ""))
    if reader is None:
        return RedirectResponse("/sign-in", 303)
    return _shown(request, reader, to, "", 200) if reader.locked else RedirectResponse(to or home(reader.role), 303)


def lock(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Locks the session of whoever leaves the chair."""
    page = page_of(request)
    with page.ledgers.pen().begin() as c:
        accounts.lock_session(c, reader.token_hash, page.clock())
        desk.note(c, at=page.clock(), user=reader.user, act="locked", subject="")
    return RedirectResponse(f"/lock?to={quote(place(form.get('to', '')))}", 303)


async def unlock(request: Request) -> Response:
    reader = await run_in_threadpool(reader_of, request)
    if reader is None:
        return RedirectResponse("/sign-in", 303)
    use(reader.language)
    form = await fields(request)
    to = place(form.get("to", ""))
    if not hmac.compare_digest(form.get("check", "").encode(), reader.csrf.encode()):
        return await run_in_threadpool(_shown, request, reader, to, _("The form was too old. Please try again."), 403)
    tried = await proofs_of(request).again(request, reader.user, form.get("proof", ""))
    if not tried.right:
        return await run_in_threadpool(_shown, request, reader, to, tried.said, tried.status)
    back = RedirectResponse(to or home(reader.role), 303)
    return await run_in_threadpool(new_token, request, reader, back)


async def leave(request: Request) -> Response:
    """Ends a locked session, so that somebody else may sign in at this chair; it shows nothing and needs no proof."""
    reader, form = await run_in_threadpool(reader_of, request), await fields(request)
    if reader is None or not hmac.compare_digest(form.get("check", "").encode(), reader.csrf.encode()):
        return RedirectResponse("/sign-in", 303)
    return await run_in_threadpool(sign_out, request, reader, form)


ROUTES = {"/lock": lock_page}
FORMS = {"/lock": form_for_readers(lock), "/unlock": unlock, "/leave": leave}


def _shown(request: Request, reader: Reader, to: str, said: str, status: int) -> Response:
    use(reader.language)
    shown = {"reader": None, "user": reader.user, "check": reader.csrf, "factor": reader.factor}
    shown["provider"] = page_of(request).config.review.provider_name if reader.provider else ""
    shown["by_password"] = not reader.provider
    return page_of(request).render(request, "lock.html", {**shown, "to": to, "said": said}, status_code=status)


def place(to: str) -> str:
    """A place on this page and nowhere else, or "" (an address of another host begins with two slashes)."""
    return to if PLACE.fullmatch(to) and not to.startswith(("/lock", "/unlock", "/sign-")) else ""
