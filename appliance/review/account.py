"""One's own account: a new password, a second factor with recovery codes, one's own role and what it may do.

The seed of a second factor is shown once, to be typed into an authenticator, and comes back with the first code it
makes: what nobody has proved to hold is not stored.
"""

import base64
import secrets
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.one_time import (
    RECOVERY_CHARACTERS,
    RECOVERY_CODES,
    SEED,
    address_of,
    grouped,
    recovery_digest,
    step_of,
)
from appliance.core.permits import RIGHT_WORDS, RIGHTS
from appliance.core.say import say
from appliance.errors import Refused
from appliance.review import members
from appliance.review.entrance import PLACE, Reader, for_readers, form_for_readers
from appliance.review.language import LANGUAGES, _
from appliance.review.ledgers import page_of
from appliance.review.proofs import factor_key, seal
from appliance.world import accounts, desk

NOTICES = {
    "given": "Somebody else thought of your password. Choose one of your own, then go on.",
    "password": "The new password is in force; your other sessions have ended.",
    "removed": "The second factor is taken away.",
}
NO_CODE = "This was no code of the key. Try the one that shows now."


def account_page(request: Request, reader: Reader) -> Response:
    return _shown(request, reader, notice=NOTICES.get(request.query_params.get("done", ""), ""))


def new_password(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    page, password = page_of(request), form.get("password", "")
    if reader.provider:
        return _shown(request, reader, status=409)
    if password != form.get("repeated", ""):
        return _shown(request, reader, said=_("The two are not the same; nothing was changed."), status=400)
    try:
        hashed = members.checked(reader.user, password)
    except Refused as fault:
        return _shown(
            request,
            reader,
            said=_("Nothing was changed: %(fault)s. %(hint)s", fault=say(fault.text), hint=say(fault.hint)),
            status=400,
        )
    with page.ledgers.pen().begin() as c:
        accounts.set_password(c, reader.user, hashed)
        accounts.end_sessions(c, reader.user, but=reader.token_hash)
        desk.note(c, at=page.clock(), user=reader.user, act="password-changed", subject="")
    return RedirectResponse("/account?done=password", 303)


def factor(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Sets a second factor up, shows its recovery codes this once; or takes it away."""
    page, seed = page_of(request), form.get("seed", "")
    if reader.provider:
        return _shown(request, reader, status=409)
    if form.get("what") == "remove":
        with page.ledgers.pen().begin() as c:
            accounts.set_factor(c, reader.user, None, [])
            desk.note(c, at=page.clock(), user=reader.user, act="factor-removed", subject="")
        return RedirectResponse("/account?done=removed", 303)
    step = step_of(seed, form.get("code", "").strip(), page.clock()) if SEED.fullmatch(seed) else None
    if step is None:
        return _shown(request, reader, said=NO_CODE, seed=seed if SEED.fullmatch(seed) else "", status=400)
    codes = [_random(RECOVERY_CHARACTERS) for _ in range(RECOVERY_CODES)]
    sealed = seal(factor_key(page.places), reader.user, seed)
    with page.ledgers.pen().begin() as c:
        accounts.set_factor(c, reader.user, sealed, [recovery_digest(code) for code in codes])
        accounts.spend_step(c, reader.user, step)
        desk.note(c, at=page.clock(), user=reader.user, act="factor-set", subject="")
    return _shown(request, reader, codes=[grouped(code) for code in codes])


def language(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files the language that the pages are said in to this user, and leads back to where it was chosen."""
    chosen, to = form.get("language", ""), form.get("to", "")
    if chosen in LANGUAGES:
        with page_of(request).ledgers.pen().begin() as c:
            accounts.set_language(c, reader.user, chosen)
    return RedirectResponse(to if PLACE.fullmatch(to) else "/account", 303)


ROUTES = {"/account": for_readers(account_page)}
FORMS = {
    "/account/language": form_for_readers(language),
    "/account/password": form_for_readers(new_password),
    "/account/factor": form_for_readers(factor),
}


def _random(characters: int) -> str:
    return base64.b32encode(secrets.token_bytes(20)).decode()[:characters]


def _shown(
    request: Request,
    reader: Reader,
    *,
    notice: str = "",
    said: str = "",
    seed: str = "",
    codes: list[str] | None = None,
    status: int = 200,
) -> Response:
    page, offered = page_of(request), seed or _random(32)
    with page.ledgers.eyes().begin() as c:
        row, left = accounts.known(c, reader.user), accounts.codes_left(c, reader.user)
    shown = {
        "reader": reader,
        "notice": notice,
        "said": said,
        "codes": codes or [],
        "set_up": bool(row.factor),
        "left": left,
        "seed": offered,
        "seed_words": grouped(offered),
        "address": address_of(offered, reader.user, page.config.site.device_id),
        "rights": [RIGHT_WORDS[right] for right in RIGHTS if right in reader.rights],
        "minimum": members.PASSWORD_CHARACTERS_MIN,
    }
    return page.render(request, "account.html", shown, status_code=status)
