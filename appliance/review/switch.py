"""The kill switch of a model: asked twice, signed by whoever is at the page, obeyed by triage with its next step.

A stopped model decides nothing: its studies are escalated. Letting it decide again is the same act the other way, and
gives it no more than its certificate does. What is filed here is an order; what stands, triage says.
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.roles import Order, OrderKind, roles, why_malformed
from appliance.errors import Unavailable
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.review.signing import NONCE
from appliance.world import desk
from appliance.world.ledger import roles as orders
from appliance.world.ledger import watch

KINDS: dict[str, OrderKind] = {"stop": "model-stop", "resume": "model-resume"}
NO_MODEL = {
    "title": "No such model",
    "said": "It is not in force here.",
    "link": "/models",
    "link_text": "To the models",
}


def switch_page(request: Request, reader: Reader) -> Response:
    """Asks a second time before a model is stopped, or decides again."""
    page, title = page_of(request), request.query_params.get("model", "")
    stopped = _stopped(page, title)
    if stopped is None:
        return page.render(request, "problem.html", {"reader": reader, **NO_MODEL}, status_code=404)
    by = stopping(title, stopped)
    if by:
        told = {
            "title": _("Let %(model)s decide again?", model=by),
            "said": _("From the next study on it decides again what its certificate lets it, and no more."),
            "button": _("Let it decide"),
        }
    else:
        told = {
            "title": _("Stop %(model)s?", model=title),
            "said": _(
                "From the next study on it decides nothing: what it covers is escalated. What it has decided stays as "
                "it is. It can be let decide again here."
            ),
            "button": _("Stop it"),
        }
    shown = {
        "reader": reader,
        **told,
        "action": "/models/switch",
        "hidden": {"model": by or title, "to": "resume" if by else "stop"},
        "nonce": page.token(),
    }
    return page.render(request, "confirm.html", shown)


def switch(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files the order: 303 to the models, 400 for an incomplete form."""
    page, nonce, to = page_of(request), form.get("nonce", ""), form.get("to", "")
    given = Order(KINDS[to], form.get("model", "")) if to in KINDS else None
    if given is None or not NONCE.fullmatch(nonce) or why_malformed(given) is not None:
        told = {**NO_MODEL, "title": _("Nothing was done"), "said": _("The form is incomplete; nothing was done.")}
        return page.render(request, "problem.html", {"reader": reader, **told}, status_code=400)
    with page.ledgers.pen().begin() as c:
        filed = desk.order(c, given, nonce=nonce, user=reader.user, at=page.clock())
    return RedirectResponse(f"/models?done={'ordered' if filed else 'again'}", 303)


def address(title: str) -> str:
    """Where a model's switch is."""
    return f"/models/switch?{urlencode({'model': title})}"


def stopping(title: str, stopped: Collection[str]) -> str:
    """What stops a model: its title, or the name of all its versions; "" where nothing does."""
    name = title.partition("/")[0]
    return title if title in stopped else name if name in stopped else ""


ROUTES = {"/models/switch": for_readers(switch_page)}
FORMS = {"/models/switch": form_for_readers(switch)}


def _stopped(page: Page, title: str) -> frozenset[str] | None:
    """What is stopped here; None where this model is not in force."""
    try:
        with page.ledgers.studies() as c:
            known = c.execute(watch.installed.select().where(watch.installed.c.title == title)).one_or_none()
            return None if known is None or not known.present else roles(orders.done(c), (), ()).stopped
    except Unavailable:
        return None
