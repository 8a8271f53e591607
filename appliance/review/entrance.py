"""Who is at the page: sign-in and sign-out, sessions by a random token, and the guards before every page and form.

No default user and no default password exist. The database keeps the SHA-256 of a session token only, so a copy of it
opens nothing. Which right a door asks for stands in doors; here it is held against the role of whoever knocks. A form
that bears its sender's name asks again who they are, and loses nothing of what was typed meanwhile.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import Row
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from appliance.core.permits import Right, rights
from appliance.review import words
from appliance.review.cookies import SESSION_COOKIE, VISIT_COOKIE, check_token, cookie_name, digest, forget, give
from appliance.review.doors import Permit
from appliance.review.language import LANGUAGES, _, tr, use
from appliance.review.ledgers import Page, page_of
from appliance.review.proofs import Proofs
from appliance.review.roundtrips import roundtrips_of
from appliance.world import accounts, desk

TOUCH_PERIOD_S = 15.0
ACTIVE = "appliance-active"  # a header that the page's own script sends with a pulse when a hand has moved
PLACE = re.compile(r"/(?!/)[A-Za-z0-9/._?=&#%-]{0,200}")


@dataclass(frozen=True, slots=True)
class Reader:
    """A signed-in user, whatever the role; csrf is the check token that every form of this session carries.

    locked     the session waits for its user to show again who they are
    asks       a form that bears the user's name must carry a password or code, because the last is too long ago
    provider   a provider answers for this user, who has no password here
    given      the password is one that an administrator thought of: first of all it is changed
    lifted     until when and why an emergency lends a reader's rights; "" where none does
    language   as the user chose it; None: as the browser asks
    """

    user: str
    token_hash: str
    csrf: str
    role: str = "reader"
    rights: frozenset[Right] = rights("reader", lifted=False)
    locked: bool = False
    asks: bool = True
    factor: bool = False
    provider: bool = False
    lifted: str = ""
    given: bool = False
    idle_s: int = 0
    language: str | None = None

    def may(self, right: Right) -> bool:
        return right in self.rights


def proofs_of(request: Request) -> Proofs:
    proofs = request.app.state.proofs
    assert isinstance(proofs, Proofs)
    return proofs


def sign_in_page(request: Request) -> Response:
    reader = reader_of(request)
    return RedirectResponse("/lock", 303) if reader is not None and reader.locked else _form(request, "", 200)


async def sign_in(request: Request) -> Response:
    form = await fields(request)
    chosen = form.get("language", "")
    use(chosen)
    if not came_from_here(request, form):
        return await run_in_threadpool(_form, request, _("The form was too old. Please try again."), 403, chosen)
    name = form.get("name", "")[:40]
    tried = await proofs_of(request).sign_in(request, name, form.get("password", ""), form.get("code", "")[:40])
    if not tried.right:
        return await run_in_threadpool(_form, request, tried.said, tried.status, chosen)
    return await run_in_threadpool(open_session, request, name, language=chosen)


def came_from_here(request: Request, form: Mapping[str, str]) -> bool:
    """Whether a form of somebody who is not signed in is one that this page gave to this browser."""
    visit = request.cookies.get(cookie_name(page_of(request).config, VISIT_COOKIE), "")
    return bool(visit) and hmac.compare_digest(form.get("check", "").encode(), check_token(visit).encode())


def visiting(request: Request, template: str, shown: Mapping[str, Any], status: int, chosen: str = "") -> Response:
    """A page with a form for somebody who is not signed in, in the language that was chosen there."""
    page = page_of(request)
    asked = request.query_params.get("language", chosen)
    use(asked)
    chosen = asked if asked in LANGUAGES else ""
    visit = request.cookies.get(cookie_name(page.config, VISIT_COOKIE)) or page.token()
    given = {**shown, "check": check_token(visit), "reader": None, "chosen": chosen}
    response = page.render(request, template, given, status_code=status)
    give(page.config, response, VISIT_COOKIE, visit)
    return response


def _form(request: Request, said: str, status: int, chosen: str = "") -> Response:
    with page_of(request).ledgers.eyes().begin() as c:
        shown = {"said": said, "users": accounts.count_users(c), "first": not accounts.count_administrators(c)}
    shown["provider"] = page_of(request).config.review.provider_name
    return visiting(request, "sign_in.html", shown, status, chosen)


def open_session(
    request: Request,
    name: str,
    act: str = "sign-in",
    language: str = "",
    *,
    left: str = "",
    proved_at: float | None = None,
    onward: Callable[[str], Response] = lambda to: RedirectResponse(to, 303),
) -> Response:
    """A new session under a new token, whatever the browser brought, and the way to where this user begins.

    language   as chosen on the page of the sign-in, "" where nothing was: it is the user's own from now on
    left       digest of the token of the session that ends with this, where the browser could not bring it
    proved_at  when the user showed who they are, where that was not just now
    """
    page = page_of(request)
    token, now, old = page.token(), page.clock(), request.cookies.get(cookie_name(page.config, SESSION_COOKIE))
    with page.ledgers.pen().begin() as c:
        accounts.sweep_sessions(c, seen_before=0.0, made_before=now - page.config.review.session_age_s)
        if old or left:
            accounts.close_session(c, digest(old) if old else left)
        accounts.open_session(c, digest(token), name, now, desk.ORIGIN.get(), proved_at)
        desk.note(c, at=now, user=name, act=act, subject="")
        role = accounts.known(c, name).role
        if language in LANGUAGES:
            accounts.set_language(c, name, language)
    response = onward(home(role))
    give(page.config, response, SESSION_COOKIE, token)
    forget(page.config, response, VISIT_COOKIE)
    return response


def home(role: str) -> str:
    return "/administration" if role == "administrator" else "/"


def sign_out(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    page = page_of(request)
    with page.ledgers.pen().begin() as c:
        accounts.close_session(c, reader.token_hash)
        desk.note(c, at=page.clock(), user=reader.user, act="sign-out", subject="")
    response = RedirectResponse("/sign-in", 303)
    forget(page.config, response, SESSION_COOKIE)
    return response


def new_token(request: Request, reader: Reader, response: Response) -> Response:
    """Opens the session of somebody who has just shown who they are, under a token that nobody has seen yet."""
    page, token = page_of(request), page_of(request).token()
    with page.ledgers.pen().begin() as c:
        accounts.prove_session(c, reader.token_hash, page.clock(), new_hash=digest(token))
        desk.note(c, at=page.clock(), user=reader.user, act="unlocked", subject="")
    give(page.config, response, SESSION_COOKIE, token)
    return response


def reader_of(request: Request) -> Reader | None:
    """Whose session this request belongs to, open or locked; None without a living one."""
    page = page_of(request)
    token = request.cookies.get(cookie_name(page.config, SESSION_COOKIE), "")
    if not token or len(token) > 200:
        return None
    now, review = page.clock(), page.config.review
    with page.ledgers.eyes().begin() as c:
        row = accounts.session(c, digest(token))
        if row is None or now - row.created_at > review.session_age_s:
            return None
        broken = accounts.broken_by(c, row.user, now)
    use(row.language)
    return Reader(
        user=row.user,
        token_hash=row.token_hash,
        csrf=check_token(token),
        role=row.role,
        rights=rights(row.role, lifted=broken is not None),
        locked=row.locked_at is not None or now - row.last_seen_at > review.session_idle_s,
        asks=not 0 <= now - row.proved_at <= review.signature_fresh_s or not review.signature_fresh_s,
        factor=bool(row.factor),
        provider=row.issuer is not None,
        lifted="" if broken is None else _until(broken),
        given=row.given,
        idle_s=review.session_idle_s,
        language=row.language,
    )


def _until(broken: Row[Any]) -> str:
    return _("until %(time)s: %(reason)s", time=words.clock_time(broken.ends_at), reason=broken.reason)


def admitted(request: Request, *, touch: bool) -> Reader | Response:
    """Whoever may come in through this door, or the answer to whoever may not.

    touch  counts the request as a sign of life; a page's own refresh is none, and gets 401 instead of another page
    """
    reader, permit = reader_of(request), request.scope["permit"]
    assert isinstance(permit, Permit)
    assert permit.right is not None, "a door for everybody has no guard"
    if reader is None:
        return RedirectResponse("/sign-in", 303) if touch else PlainTextResponse(_("Signed out."), 401)
    if reader.locked:
        back = f"{request.url.path}?{request.url.query}".rstrip("?") if request.method == "GET" else "/"
        return RedirectResponse(f"/lock?to={quote(back)}", 303) if touch else PlainTextResponse(_("Locked."), 401)
    if touch or ACTIVE in request.headers:
        _touch(page_of(request), reader)
    if reader.given and permit.right != "stand":
        return RedirectResponse("/account?done=given", 303)
    return reader if reader.may(permit.right) else not_for(request, reader)


def _touch(page: Page, reader: Reader) -> None:
    now = page.clock()
    with page.ledgers.eyes().begin() as c:
        row: Row[Any] | None = accounts.session(c, reader.token_hash)
    if row is not None and now - row.last_seen_at > min(TOUCH_PERIOD_S, reader.idle_s / 4):
        with page.ledgers.pen().begin() as c:
            accounts.touch_session(c, reader.token_hash, now)


def not_for(request: Request, reader: Reader) -> Response:
    """403 for somebody whose role does not open this door; an administrator's way home is no refusal."""
    if request.method == "GET" and request.url.path == "/":
        return RedirectResponse(home(reader.role), 303)
    link, text = ("/emergency", _("Emergency access")) if reader.may("lift") else ("/status", _("To the status"))
    shown = {"reader": reader, "title": _("Not for your role"), "link": link, "link_text": text}
    said = _("You are signed in as %(role)s. Nothing was shown and nothing was done.", role=tr(reader.role))
    return page_of(request).render(request, "problem.html", {**shown, "said": said}, status_code=403)


def for_readers(
    endpoint: Callable[[Request, Reader], Response], *, touch: bool = True
) -> Callable[[Request], Response]:
    """A page for signed-in users whose role opens its door."""

    def guarded(request: Request) -> Response:
        reader = admitted(request, touch=touch)
        return endpoint(request, reader) if isinstance(reader, Reader) else reader

    return guarded


def form_for_readers(
    endpoint: Callable[[Request, Reader, Mapping[str, str]], Response], *, touch: bool = True
) -> Callable[[Request], Awaitable[Response]]:
    """A form for the same; 403 without the session's check token, and where a proof is asked for and not given."""

    async def guarded(request: Request) -> Response:
        reader = await run_in_threadpool(lambda: admitted(request, touch=touch))
        if not isinstance(reader, Reader):
            return reader
        use(reader.language)  # a thread of its own has looked
        form = await fields(request)
        if not hmac.compare_digest(form.get("check", "").encode(), reader.csrf.encode()):
            return PlainTextResponse(_("This form was not sent by this page, or it is too old."), 403)
        typed = form.pop("proof", "")
        if request.scope["permit"].proof and reader.asks:
            refused = await _prove(request, reader, form, typed)
            if refused is not None:
                return refused
        return await run_in_threadpool(endpoint, request, reader, form)

    return guarded


async def _prove(request: Request, reader: Reader, form: Mapping[str, str], typed: str) -> Response | None:
    """None once the sender has shown who they are; else the same form again with one field more."""
    said, status, page = "", 403, page_of(request)
    if typed:
        if reader.provider:
            tried = roundtrips_of(request).tried(typed, reader.token_hash, page.clock())
        else:
            tried = await proofs_of(request).again(request, reader.user, typed)
        if tried.right:
            await run_in_threadpool(_proved, page, reader)
            return None
        said, status = tried.said, tried.status
    shown = {"reader": reader, "said": said, "action": request.url.path, "form": form}
    if reader.provider:
        shown |= {"provider": page.config.review.provider_name, "handle": typed or page.token()}
    render = page.render
    return await run_in_threadpool(lambda: render(request, "prove.html", shown, status_code=status))


def _proved(page: Page, reader: Reader) -> None:
    with page.ledgers.pen().begin() as c:
        accounts.prove_session(c, reader.token_hash, page.clock())


async def fields(request: Request) -> dict[str, str]:
    """The text fields of a posted form; the wall has bounded its length and its kind."""
    async with request.form(max_files=0, max_fields=20) as form:
        found: dict[str, Any] = dict(form.items())
    return {name: value for name, value in found.items() if isinstance(value, str)}
