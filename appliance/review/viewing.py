"""External viewers as an administrator keeps them: each has a token of its own, shown once, that can be taken back.

A viewer looks on behalf of a user who may see pictures, and what it opens counts as opened by that user.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.permits import rights
from appliance.core.say import say
from appliance.errors import Refused
from appliance.review import words
from appliance.review.cookies import digest
from appliance.review.dicomweb.search import root_of
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import page_of
from appliance.world import accounts, desk, viewers


def page(request: Request, reader: Reader) -> Response:
    return _shown(request, reader)


def add(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """A new viewer, and its token on the page that answers: it is not kept and cannot be shown again."""
    here, name, user = page_of(request), form.get("name", ""), form.get("user", "")
    token = here.token()
    try:
        with here.ledgers.pen().begin() as c:
            if not accounts.NAME.fullmatch(name) or not _may_look(c, user):
                raise Refused("viewer-name")
            viewers.add(c, name=name, user=user, token_hash=digest(token), at=here.clock(), by=reader.user)
            number = viewers.named(c, name)
            assert number is not None
            subject = f"viewer {number.id} {name} for {user}"
            desk.note(c, at=here.clock(), user=reader.user, act="viewer-added", subject=subject)
    except Refused as fault:
        return _shown(
            request,
            reader,
            said=_("Nothing was added: %(fault)s. %(hint)s", fault=say(fault.text), hint=say(fault.hint)),
            status=400,
        )
    return _shown(request, reader, token=token, name=name)


def revoke(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    here, number = page_of(request), request.path_params["viewer"]
    with here.ledgers.pen().begin() as c:
        gone = viewers.revoke(c, number, here.clock()) if number < 2**63 else None
        if gone is not None:
            subject = f"viewer {gone.id} {gone.name}"
            desk.note(c, at=here.clock(), user=reader.user, act="viewer-revoked", subject=subject)
    return RedirectResponse("/administration/viewers", 303)


ROUTES = {"/administration/viewers": for_readers(page)}
FORMS = {
    "/administration/viewers": form_for_readers(add),
    "/administration/viewers/{viewer:int}/revoke": form_for_readers(revoke),
}


def _may_look(c: Connection, name: str) -> bool:
    user = accounts.user(c, name)
    return user is not None and user.disabled_at is None and "look" in rights(user.role, lifted=False)


def _shown(
    request: Request, reader: Reader, *, said: str = "", token: str = "", name: str = "", status: int = 200
) -> Response:
    here = page_of(request)
    with here.ledgers.eyes().begin() as c:
        rows = [_row(each, here.clock()) for each in viewers.every(c)]
        users = [each.name for each in accounts.all_users(c) if _may_look(c, each.name)]
    shown: dict[str, Any] = {"reader": reader, "said": said, "token": token, "name": name, "rows": rows, "users": users}
    shown |= {
        "on": here.config.review.dicomweb,
        "root": root_of(request),
        "origins": here.config.review.dicomweb_origins,
    }
    return here.render(request, "viewers.html", shown, status_code=status)


def _row(row: Row[Any], now: float) -> dict[str, Any]:
    return {
        "name": row.name,
        "user": row.user,
        "made": _("%(time)s by %(user)s", time=words.clock_time(row.made_at), user=row.made_by),
        "used": _("never") if row.used_at is None else _("%(age)s ago", age=words.span(max(now - row.used_at, 0.0))),
        "revoked": words.clock_time(row.revoked_at) if row.revoked_at is not None else "",
        "address": f"/administration/viewers/{row.id}/revoke",
    }
