"""Sign-in by an OpenID Connect provider: the person is led there, and the person's browser brings the answer back.

This service dials nobody: the answer is an ID token in a form, and the keys that prove it lie in a file here. Three
purposes share one road: to sign in, to unlock, and to show anew who one is before a form that bears one's name.
Whatever is wrong with an answer lets nobody in, is told with a code, and is one row of the trail. Local accounts do not
come by here and work when the provider does not.
"""

import hmac
import logging
from collections.abc import Callable, Mapping
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.config import Config
from appliance.core.openid import Asked, Claims, asking_address, name_of, origin_of, proven, role_of, shown_at
from appliance.core.say import say
from appliance.errors import Misconfigured, Refused
from appliance.review import members
from appliance.review.cookies import SESSION_COOKIE, WAY_COOKIE, cookie_name, digest, give_for_a_way
from appliance.review.entrance import (
    Reader,
    came_from_here,
    fields,
    form_for_readers,
    home,
    new_token,
    open_session,
    proofs_of,
    reader_of,
)
from appliance.review.language import LANGUAGE, _, use
from appliance.review.ledgers import Page, page_of
from appliance.review.lock import place
from appliance.review.roundtrips import WAY_S, Purpose, Way, roundtrips_of
from appliance.world import accounts, desk, openid_keys

LOG = logging.getLogger("appliance")
ANSWER = "/sign-in/answer"
HANDLE_CHARACTERS_MAX = 100
NO_PROVIDER = {
    "title": "No sign-in by a provider here",
    "said": "This site has none. Local accounts sign in with their password.",
    "link": "/sign-in",
    "link_text": "To the sign-in",
}
NOT_DONE: dict[Purpose, str] = {
    "sign-in": "Nobody was signed in",
    "unlock": "Nothing was unlocked",
    "proof": "That was no proof",
}


def led_back_by(config: Config) -> tuple[str, str] | None:
    """The one door for another site's form, and the site; None where nobody may sign in by a provider."""
    review = config.review
    if not review.oidc_issuer:
        return None
    try:
        openid_keys.read(review.oidc_keys_file)
    except Misconfigured as fault:  # local accounts work all the same, so the page does
        LOG.warning("review: %s: %s", fault.code, fault.hint)
    return ANSWER, origin_of(review.oidc_authorize)


async def to_sign_in(request: Request) -> Response:
    """Leads somebody who is not signed in to the provider."""
    form = await fields(request)
    use(form.get("language", ""))
    if not came_from_here(request, form):
        return await run_in_threadpool(_too_old, request, "/sign-in")
    fresh = not page_of(request).config.review.oidc_without_asking
    left = request.cookies.get(cookie_name(page_of(request).config, SESSION_COOKIE), "")
    session, chosen = digest(left) if left else "", form.get("language", "")
    return await run_in_threadpool(_led_out, request, "sign-in", fresh=fresh, session=session, language=chosen)


async def to_unlock(request: Request) -> Response:
    """Leads the user of a locked session to the provider, and afterwards to the same place."""
    reader = await run_in_threadpool(reader_of, request)
    if reader is None:
        return RedirectResponse("/sign-in", 303)
    use(reader.language)
    form = await fields(request)
    to = place(form.get("to", ""))
    if not hmac.compare_digest(form.get("check", "").encode(), reader.csrf.encode()):
        return await run_in_threadpool(_too_old, request, f"/lock?to={quote(to)}")
    kept = {"user": reader.user, "session": reader.token_hash, "to": to, "language": reader.language or ""}
    return await run_in_threadpool(lambda: _led_out(request, "unlock", fresh=True, **kept))


def to_prove(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Leads a signed-in user to the provider in a window of its own, while the form waits in the other one."""
    kept = {"user": reader.user, "session": reader.token_hash, "language": reader.language or ""}
    return _led_out(request, "proof", fresh=True, handle=form.get("handle", "")[:HANDLE_CHARACTERS_MAX], **kept)


def _led_out(request: Request, purpose: Purpose, *, fresh: bool, **kept: str) -> Response:
    page, review = page_of(request), page_of(request).config.review
    if not review.oidc_issuer:
        return page.render(request, "problem.html", {"reader": None, **NO_PROVIDER}, status_code=404)
    cookie = cookie_name(page.config, WAY_COOKIE)
    state, nonce, browser = page.token(), page.token(), request.cookies.get(cookie, "")[:200] or page.token()
    roundtrips_of(request).begin(state, Way(purpose, digest(browser), nonce, page.clock(), fresh, **kept))
    shown = {
        "title": _("To %(provider)s", provider=review.oidc_name),
        "said": _("You are led to the provider, to show there who you are."),
        "address": asking_address(
            review.oidc_authorize,
            review.oidc_client_id,
            f"https://{request.headers['host']}{ANSWER}",
            state=state,
            nonce=nonce,
            fresh=fresh,
            locale=LANGUAGE.get(),
        ),
    }
    response = page.render(request, "led.html", {"reader": None, **shown})
    give_for_a_way(page.config, response, browser, WAY_S)
    return response


async def answer(request: Request) -> Response:
    """What the person's browser brings back from the provider."""
    form = await fields(request)
    return await run_in_threadpool(_answered, request, form)


def _answered(request: Request, form: Mapping[str, str]) -> Response:
    page, trips = page_of(request), roundtrips_of(request)
    if not page.config.review.oidc_issuer:
        return page.render(request, "problem.html", {"reader": None, **NO_PROVIDER}, status_code=404)
    address, now = request.client.host if request.client else "", page.clock()
    try:
        cookie = request.cookies.get(cookie_name(page.config, WAY_COOKIE), "")
        way = trips.end(form.get("state", ""), cookie, now)
    except Refused as fault:
        # Any site can have such a form sent: it costs nobody a try, and it cannot fill the trail.
        noted = not trips.strays.wait_s("answer", address, now)
        trips.strays.add("answer", address, now)
        return _refused(request, None, fault, noted=noted)
    use(way.language)
    guessing, failures = (f"provider:{address}", address), proofs_of(request).failures
    wait_s = failures.wait_s(*guessing, now)
    if wait_s:
        said = _("Too many failed tries. Wait %(wait)s s, then try again.", wait=f"{wait_s:.0f}")
        return _problem(request, way, said, 429)
    try:
        response = ENDS[way.purpose](request, way, _claims(page, way, form))
    except (Refused, Misconfigured) as fault:
        failures.add(*guessing, now)
        return _refused(request, way, fault)
    failures.forget(*guessing)
    return response


def _claims(page: Page, way: Way, form: Mapping[str, str]) -> Claims:
    """What the provider says of the person. What it says in words of its own is shown and logged nowhere."""
    if form.get("error"):
        raise Refused("oidc-declined")
    review = page.config.review
    asked = Asked(review.oidc_issuer, review.oidc_client_id, way.nonce, way.at, way.fresh)
    return proven(form.get("id_token", ""), openid_keys.read(review.oidc_keys_file), asked, page.clock())


def _signed_in(request: Request, way: Way, claims: Claims) -> Response:
    page, review, now = page_of(request), page_of(request).config.review, page_of(request).clock()
    role = role_of(claims, review.oidc_roles_claim, review.oidc_roles)
    with page.ledgers.pen().begin() as c:
        name = members.admit(c, claims["iss"], claims["sub"], name_of(claims), role, at=now)
    return open_session(
        request,
        name,
        "sign-in-by-provider",
        way.language,
        left=way.session,
        proved_at=shown_at(claims, now),
        onward=lambda to: _led_on(request, _("You are signed in."), to),
    )


def _unlocked(request: Request, way: Way, claims: Claims) -> Response:
    _same_person(page_of(request), way, claims)
    reader = Reader(user=way.user, token_hash=way.session, csrf="")
    with page_of(request).ledgers.eyes().begin() as c:
        to = way.to or home(accounts.known(c, way.user).role)
    return new_token(request, reader, _led_on(request, _("It is unlocked."), to))


def _proved(request: Request, way: Way, claims: Claims) -> Response:
    page = page_of(request)
    _same_person(page, way, claims)
    roundtrips_of(request).prove(way.handle, way.session, page.clock())
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=page.clock(), user=way.user, act="proof-by-provider", subject="")
    said = _("Close this window and press “Go on” in the other one: what you wrote is still there.")
    return page.render(request, "led.html", {"reader": None, "title": _("It is you"), "said": said, "address": ""})


ENDS: dict[Purpose, Callable[[Request, Way, Claims], Response]] = {
    "sign-in": _signed_in,
    "unlock": _unlocked,
    "proof": _proved,
}
FORMS = {
    "/sign-in/provider": to_sign_in,
    "/sign-in/answer": answer,
    "/unlock/provider": to_unlock,
    "/prove/provider": form_for_readers(to_prove),
}


def _same_person(page: Page, way: Way, claims: Claims) -> None:
    """Raises Refused("oidc-session") where the session has ended, ("oidc-other-user") where it is somebody else's."""
    with page.ledgers.eyes().begin() as c:
        row = accounts.session(c, way.session)
    if row is None or page.clock() - row.created_at > page.config.review.session_age_s:
        raise Refused("oidc-session")
    if (row.issuer, row.subject) != (claims["iss"], claims["sub"]):
        raise Refused("oidc-other-user")


def _led_on(request: Request, said: str, to: str) -> Response:
    """A page that goes on by itself. A redirection would not do: the session's cookie is sent along with requests that
    our own page makes, and the provider's page made this one."""
    shown = {"reader": None, "title": _("It is you"), "said": said, "address": to}
    return page_of(request).render(request, "led.html", shown)


def _too_old(request: Request, link: str) -> Response:
    shown = {"title": _("Nothing was done"), "link": link, "link_text": _("Begin again")}
    said = _("The form was too old. Please try again.")
    return page_of(request).render(request, "problem.html", {"reader": None, **shown, "said": said}, status_code=403)


def _refused(request: Request, way: Way | None, fault: Refused | Misconfigured, *, noted: bool = True) -> Response:
    """Says why, with the code for whoever is asked about it, and notes it."""
    page = page_of(request)
    if noted:
        LOG.warning("review: sign-in by the provider refused: %s", fault.code)
        with page.ledgers.pen().begin() as c:
            user = way.user if way is not None else ""
            desk.note(c, at=page.clock(), user=user, act="provider-refused", subject=fault.code)
    said = _("Because %(fault)s (%(code)s). %(hint)s", fault=say(fault.text), code=fault.code, hint=say(fault.hint))
    return _problem(request, way, said, 403)


def _problem(request: Request, way: Way | None, said: str, status: int) -> Response:
    purpose: Purpose = way.purpose if way is not None else "sign-in"
    link = f"/lock?to={quote(way.to)}" if way is not None and purpose == "unlock" else "/sign-in"
    shown = {"reader": None, "title": NOT_DONE[purpose], "said": said, "link": link, "link_text": _("Begin again")}
    if purpose == "proof":
        shown |= {"link": "", "said": said + " " + _("Close this window; nothing that you wrote is lost.")}
    return page_of(request).render(request, "problem.html", shown, status_code=status)
