"""Breaking the glass: somebody who may not read does, in an emergency, with a reason, for a while, and it is kept.

What it lends is a reader's rights and nothing else. A banner stands on every page while it lasts; an administrator
sees each case and its reason.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.permits import LENT, RIGHT_WORDS, RIGHTS
from appliance.review import words
from appliance.review.entrance import Reader, for_readers, form_for_readers, home
from appliance.review.language import _
from appliance.review.ledgers import page_of
from appliance.world import accounts, desk

NEVER = {
    "title": "No emergency access here",
    "said": "This site has it switched off.",
    "link": "/status",
    "link_text": "To the status",
}


def emergency_page(request: Request, reader: Reader) -> Response:
    return _shown(request, reader, "", 200)


def break_glass(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Lends a reader's rights from now on: 400 without a reason, 404 where the site does not have it."""
    page, reason = page_of(request), " ".join(form.get("reason", "").split())
    lasts_s = page.config.review.break_glass_s
    if not lasts_s:
        return _shown(request, reader, "", 404)
    if not 0 < len(reason) <= accounts.REASON_CHARACTERS_MAX:
        return _shown(request, reader, _("Say why; nothing was opened."), 400)
    now = page.clock()
    with page.ledgers.pen().begin() as c:
        accounts.break_glass(c, reader.user, reason, now, now + lasts_s)
        desk.note(c, at=now, user=reader.user, act="glass-broken", subject=reason)
    return RedirectResponse("/", 303)


def end(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    page = page_of(request)
    with page.ledgers.pen().begin() as c:
        if accounts.broken_by(c, reader.user, page.clock()) is not None:
            accounts.end_glass(c, reader.user, page.clock())
            desk.note(c, at=page.clock(), user=reader.user, act="glass-mended", subject="")
    return RedirectResponse(home(reader.role), 303)


ROUTES = {"/emergency": for_readers(emergency_page)}
FORMS = {"/emergency": form_for_readers(break_glass), "/emergency/end": form_for_readers(end)}


def _shown(request: Request, reader: Reader, said: str, status: int) -> Response:
    page = page_of(request)
    lasts_s = page.config.review.break_glass_s
    if not lasts_s:
        return page.render(request, "problem.html", {"reader": reader, **NEVER}, status_code=404)
    shown = {
        "reader": reader,
        "said": said,
        "lasts": words.span(lasts_s),
        "lent": [RIGHT_WORDS[right] for right in RIGHTS if right in LENT],
        "reason_max": accounts.REASON_CHARACTERS_MAX,
    }
    return page.render(request, "emergency.html", shown, status_code=status)
