"""Who is at the page: users by name and argon2id hash, sessions by a random token, a check token on every form.

No default user and no default password exist. A wrong name and a wrong password take the same time and read the
same. Too many failures make the next try wait; nobody is locked out for good. The database keeps the SHA-256 of a
session token only, so a copy of it opens nothing.
"""

import hashlib
import hmac
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from pwdlib import PasswordHash
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from appliance.errors import Refused
from appliance.review.ledgers import Ledgers, Page, page_of
from appliance.world import desk

SESSION_COOKIE = "appliance-session"
VISIT_COOKIE = "appliance-visit"  # before anyone is signed in: what the sign-in form's check token hangs on
SESSION_AGE_MAX_S = 12 * 3600
TOUCH_PERIOD_S = 15.0
PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX = 12, 200
VERIFICATIONS_MAX, VERIFICATIONS_WAITING_MAX = 2, 16  # each takes 64 MiB and about 0.3 s
FAILURES_FREE, FAILURE_WAIT_S, FAILURE_MEMORY_S, FAILING_NAMES_MAX = 5, 60.0, 900.0, 1_000

HASHES = PasswordHash.recommended()


@dataclass(frozen=True, slots=True)
class Reader:
    """A signed-in user; csrf is the check token that every form of this session carries."""

    user: str
    token_hash: str
    csrf: str


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def check_token(cookie: str) -> str:
    """The check token of a cookie: a page of another origin can read neither."""
    return hmac.new(cookie.encode(), b"form", hashlib.sha256).hexdigest()


def add_user(ledgers: Ledgers, name: str, password: str, *, at: float, replace: bool = False) -> None:
    """Adds a named user. Raises Refused("password-weak"), ("user-name") or ("user-exists")."""
    too_plain = len(set(password)) < 5 or (len(name) > 3 and name.lower() in password.lower())
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX or too_plain:
        raise Refused("password-weak")
    hashed = HASHES.hash(password)
    with ledgers.pen().begin() as c:
        desk.put_user(c, name, hashed, at, replace=replace)
        desk.note(c, at=at, user=name, act="user-added", subject="")


class Failures:
    """Failed sign-ins by name, bounded: after FAILURES_FREE of them each further try waits FAILURE_WAIT_S."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, name: str, now: float) -> float:
        """How long this name must still wait, 0 when it may try."""
        with self._lock:
            count, last = self._names.get(name, (0, 0.0))
        return max(0.0, last + FAILURE_WAIT_S - now) if count >= FAILURES_FREE and now >= last else 0.0

    def add(self, name: str, now: float) -> None:
        with self._lock:
            kept = {n: each for n, each in self._names.items() if 0 <= now - each[1] < FAILURE_MEMORY_S}
            count, _ = kept.pop(name, (0, 0.0))
            while len(kept) >= FAILING_NAMES_MAX:
                del kept[next(iter(kept))]
            self._names = {**kept, name: (count + 1, now)}

    def forget(self, name: str) -> None:
        with self._lock:
            self._names.pop(name, None)


class Entrance:
    """The sign-in page and what it needs to keep between requests."""

    def __init__(self) -> None:
        self.failures = Failures()
        self.limiter = anyio.CapacityLimiter(VERIFICATIONS_MAX)
        self.nobody = HASHES.hash("nobody has this password")

    async def sign_in_page(self, request: Request) -> Response:
        page = page_of(request)
        return await run_in_threadpool(self._form, page, request, "", 200)

    async def sign_in(self, request: Request) -> Response:
        page, form = page_of(request), await fields(request)
        visit = request.cookies.get(VISIT_COOKIE, "")
        if not visit or not hmac.compare_digest(form.get("check", "").encode(), check_token(visit).encode()):
            return await run_in_threadpool(self._form, page, request, "The form was too old. Please try again.", 403)
        name, password = form.get("name", "")[:40], form.get("password", "")[:PASSWORD_CHARACTERS_MAX]
        wait_s = self.failures.wait_s(name, page.clock())
        if wait_s:
            said = f"Too many failed tries. Wait {wait_s:.0f} s, then try again."
            return await run_in_threadpool(self._form, page, request, said, 429)
        if self.limiter.statistics().tasks_waiting >= VERIFICATIONS_WAITING_MAX:
            return await run_in_threadpool(self._form, page, request, "Busy. Try again in a moment.", 503)
        right = await anyio.to_thread.run_sync(self._verify, page, name, password, limiter=self.limiter)
        if not right:
            self.failures.add(name, page.clock())
            await run_in_threadpool(_note_failure, page, name)
            return await run_in_threadpool(self._form, page, request, "Name or password is wrong.", 403)
        self.failures.forget(name)
        return await run_in_threadpool(_open_session, page, request, name)

    def _verify(self, page: Page, name: str, password: str) -> bool:
        with page.ledgers.eyes().begin() as c:
            known = desk.password_hash_of(c, name)
        right = HASHES.verify(password, known or self.nobody)
        return right and known is not None

    def _form(self, page: Page, request: Request, said: str, status: int) -> Response:
        visit = request.cookies.get(VISIT_COOKIE) or page.token()
        with page.ledgers.eyes().begin() as c:
            users = desk.count_users(c)
        shown = {"said": said, "check": check_token(visit), "users": users, "reader": None}
        response = page.render(request, "sign_in.html", shown, status_code=status)
        response.set_cookie(VISIT_COOKIE, visit, httponly=True, samesite="strict", path="/sign-in")
        return response


def _note_failure(page: Page, name: str) -> None:
    """The name goes into the trail only when it is a user's: people type passwords into name fields."""
    with page.ledgers.pen().begin() as c:
        known = desk.password_hash_of(c, name) is not None
        desk.note(c, at=page.clock(), user=name if known else "", act="sign-in-failed", subject="")


def _open_session(page: Page, request: Request, name: str) -> Response:
    token, now = page.token(), page.clock()
    with page.ledgers.pen().begin() as c:
        idle_s = page.config.review.session_idle_s
        desk.sweep_sessions(c, seen_before=now - idle_s, made_before=now - SESSION_AGE_MAX_S)
        old = request.cookies.get(SESSION_COOKIE)
        if old:
            desk.close_session(c, digest(old))
        desk.open_session(c, digest(token), name, now)
        desk.note(c, at=now, user=name, act="sign-in", subject="")
    response = RedirectResponse("/", 303)
    response.set_cookie(SESSION_COOKIE, token, httponly=True, samesite="strict", path="/")
    response.delete_cookie(VISIT_COOKIE, path="/sign-in", httponly=True, samesite="strict")
    return response


def sign_out(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    page = page_of(request)
    with page.ledgers.pen().begin() as c:
        desk.close_session(c, reader.token_hash)
        desk.note(c, at=page.clock(), user=reader.user, act="sign-out", subject="")
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
    return response


def reader_of(request: Request, *, touch: bool) -> Reader | None:
    """Who sends this request; None without a living session. touch counts the request as a sign of life."""
    token = request.cookies.get(SESSION_COOKIE, "")
    if not token or len(token) > 200:
        return None
    page, hashed = page_of(request), digest(token)
    now, review = page.clock(), page.config.review
    with page.ledgers.eyes().begin() as c:
        row = desk.session(c, hashed)
    if row is None or now - row.last_seen_at > review.session_idle_s or now - row.created_at > SESSION_AGE_MAX_S:
        return None
    if touch and now - row.last_seen_at > min(TOUCH_PERIOD_S, review.session_idle_s / 4):
        with page.ledgers.pen().begin() as c:
            desk.touch_session(c, hashed, now)
    return Reader(row.user, hashed, check_token(token))


def for_readers(
    endpoint: Callable[[Request, Reader], Response], *, touch: bool = True
) -> Callable[[Request], Response]:
    """A page for signed-in users only. A page's own refresh (touch=False) gets 401 instead of the sign-in page."""

    def guarded(request: Request) -> Response:
        reader = reader_of(request, touch=touch)
        if reader is not None:
            return endpoint(request, reader)
        return RedirectResponse("/sign-in", 303) if touch else PlainTextResponse("Signed out.", 401)

    return guarded


def form_for_readers(
    endpoint: Callable[[Request, Reader, Mapping[str, str]], Response],
) -> Callable[[Request], Awaitable[Response]]:
    """A form for signed-in users only; 403 without the session's check token."""

    async def guarded(request: Request) -> Response:
        reader = await run_in_threadpool(reader_of, request, touch=True)
        if reader is None:
            return RedirectResponse("/sign-in", 303)
        form = await fields(request)
        if not hmac.compare_digest(form.get("check", "").encode(), reader.csrf.encode()):
            return PlainTextResponse("This form was not sent by this page, or it is too old.", 403)
        return await run_in_threadpool(endpoint, request, reader, form)

    return guarded


async def fields(request: Request) -> dict[str, str]:
    """The text fields of a posted form; the wall has bounded its length and its kind."""
    async with request.form(max_files=0, max_fields=20) as form:
        found: dict[str, Any] = dict(form.items())
    return {name: value for name, value in found.items() if isinstance(value, str)}
