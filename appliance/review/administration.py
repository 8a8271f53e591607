"""Administration and audit: users and roles, sessions and their end, broken glass, the page's certificate, the trail.

The trail is shown with its chain checked anew each time, filtered by user, act, study and day. It names studies by
number only; nobody sees a patient here.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import Connection, Row, select
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core import page_certificate
from appliance.core.permits import ROLES
from appliance.core.say import say
from appliance.errors import Refused
from appliance.review import line, members, words
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import accounts, desk

TRAIL_SHOWN, GLASS_SHOWN, SESSION_SHOWN = 100, 20, 16
STUDY = re.compile(r"[0-9]{1,12}")
DAY_S = 86_400.0
NOTICES = {
    "added": "The user may sign in now.",
    "changed": "Done; it counts from the next page on.",
    "ended": "The session has ended.",
}


def administration(request: Request, reader: Reader) -> Response:
    return _shown(request, reader, "", 200)


def add(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """A new user with a first password, which its owner is to change."""
    page, role = page_of(request), form.get("role", "")
    if role not in ROLES:
        return _shown(request, reader, _("Choose a role; nobody was added."), 400)
    try:
        name, password = form.get("name", ""), form.get("password", "")
        members.add_user(page.ledgers, name, password, at=page.clock(), role=role, by=reader.user, given=True)
    except Refused as fault:
        return _shown(
            request,
            reader,
            _("Nobody was added: %(fault)s. %(hint)s", fault=say(fault.text), hint=say(fault.hint)),
            400,
        )
    return RedirectResponse("/administration?done=added", 303)


def change(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """One change of one user: another role, no sign-in any more, sign-in again, no second factor."""
    page, name, what = page_of(request), request.path_params["name"], form.get("what", "")
    at, by = page.clock(), reader.user
    try:
        with page.ledgers.pen().begin() as c:
            if what in ROLES:
                members.change_role(c, name, what, at=at, by=by)
            elif what == "disable":
                members.disable(c, name, at=at, by=by)
            elif what == "enable":
                members.enable(c, name, at=at, by=by)
            elif what == "reset-factor":
                members.reset_factor(c, name, at=at, by=by)
            else:
                return _shown(request, reader, _("The form is incomplete; nothing was changed."), 400)
    except Refused as fault:
        return _shown(
            request,
            reader,
            _("Nothing was changed: %(fault)s. %(hint)s", fault=say(fault.text), hint=say(fault.hint)),
            400,
        )
    return RedirectResponse("/administration?done=changed", 303)


def end_session(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    """Ends one session, named by the beginning of its token's digest."""
    page, named = page_of(request), request.path_params["session"]
    with page.ledgers.pen().begin() as c:
        for row in accounts.all_sessions(c):
            if len(named) == SESSION_SHOWN and row.token_hash.startswith(named):
                accounts.close_session(c, row.token_hash)
                desk.note(c, at=page.clock(), user=reader.user, act="session-ended", subject=f"user {row.user}")
    return RedirectResponse("/administration?done=ended", 303)


def review_glass(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    """Files that an administrator, and not the one who broke it, has looked at an emergency."""
    page, number = page_of(request), request.path_params["glass"]
    with page.ledgers.pen().begin() as c:
        if number < 2**63 and accounts.review_glass(c, number, reader.user):
            desk.note(c, at=page.clock(), user=reader.user, act="glass-reviewed", subject=f"emergency {number}")
    return RedirectResponse("/administration?done=changed", 303)


def authority(request: Request, _reader: Reader) -> Response:
    """The authority's certificate, to be trusted by readers' browsers; it is no secret."""
    try:
        data = (page_of(request).places.review_keys / "authority.pem").read_bytes()
    except OSError:
        return Response(_("No authority was made here."), 404, media_type="text/plain")
    named = {"Content-Disposition": 'attachment; filename="review-page-authority.pem"'}
    return Response(data, media_type="application/x-pem-file", headers=named)


ROUTES = {
    "/administration": for_readers(administration),
    "/administration/authority.pem": for_readers(authority),
}
FORMS = {
    "/administration/users": form_for_readers(add),
    "/administration/users/{name}": form_for_readers(change),
    "/administration/sessions/{session}/end": form_for_readers(end_session),
    "/administration/glass/{glass:int}/review": form_for_readers(review_glass),
}


def _shown(request: Request, reader: Reader, said: str, status: int) -> Response:
    page, now = page_of(request), page_of(request).clock()
    asked = request.query_params if request.method == "GET" else QueryParams()
    with page.ledgers.eyes().begin() as c:
        everyone = accounts.all_users(c)
        shown = {
            "reader": reader,
            "said": said,
            "notice": NOTICES.get(asked.get("done", ""), ""),
            "roles": ROLES,
            "users": [_user(row) for row in everyone],
            "sessions": [_session(page, row, reader, now) for row in _living(c, page, now)],
            "glass": [_glass(row, reader, now) for row in accounts.all_glass(c, GLASS_SHOWN)],
            "broken": desk.first_broken_audit_row(c),
            "acts": list(c.execute(select(desk.audit.c.act).distinct().order_by(desk.audit.c.act)).scalars()),
            **_trail(c, asked),
        }
    shown |= {"minimum": members.PASSWORD_CHARACTERS_MIN, "tls": _tls(page, now), "now": words.clock_time(now)}
    return page.render(request, "administration.html", shown, status_code=status)


def _user(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "address": f"/administration/users/{quote(row.name, safe='')}",
        "role": row.role,
        "factor": bool(row.factor),
        "provider": row.issuer is not None,
        "disabled": words.clock_time(row.disabled_at) if row.disabled_at is not None else "",
    }


def _living(c: Connection, page: Page, now: float) -> list[Row[Any]]:
    return [row for row in accounts.all_sessions(c) if now - row.created_at <= page.config.review.session_age_s]


def _session(page: Page, row: Row[Any], reader: Reader, now: float) -> dict[str, Any]:
    idle = now - row.last_seen_at
    return {
        "address": f"/administration/sessions/{row.token_hash[:SESSION_SHOWN]}/end",
        "user": row.user,
        "since": words.clock_time(row.created_at),
        "seen": _("%(age)s ago", age=words.span(max(idle, 0.0))),
        "origin": row.origin or "unknown",
        "locked": row.locked_at is not None or idle > page.config.review.session_idle_s,
        "own": row.token_hash == reader.token_hash,
    }


def _glass(row: Row[Any], reader: Reader, now: float) -> dict[str, Any]:
    ended = row.ended_at if row.ended_at is not None else row.ends_at
    return {
        "number": row.id,
        "user": row.user,
        "reason": row.reason,
        "reviewed": row.reviewed_by or "",
        "address": "" if row.reviewed_by or row.user == reader.user else f"/administration/glass/{row.id}/review",
        "from": words.clock_time(row.opened_at),
        "to": words.clock_time(ended),
        "open": row.ended_at is None and row.ends_at > now,
    }


def _tls(page: Page, now: float) -> dict[str, Any]:
    """What stands behind the page's address, in words."""
    review = page.config.review
    if review.tls == "off":
        return {"kind": "off"}
    own = page.places.review_keys
    found = line.certificate(own / "page.pem" if review.tls == "own" else review.tls_certificate_file)
    signer = line.certificate(own / "authority.pem") if review.tls == "own" else None
    return {
        "kind": review.tls,
        "days": None if found is None else page_certificate.days_left(found, now),
        "fingerprint": "" if signer is None else page_certificate.fingerprint(signer),
        "names": ", ".join(review.hosts()),
    }


def _trail(c: Connection, asked: QueryParams) -> dict[str, Any]:
    """One page of the trail, newest first, by what was asked; a filter that makes no sense filters nothing."""
    told = {key: asked.get(key, "")[:60] for key in ("user", "act", "study", "day")}
    rows, kept = select(desk.audit), desk.audit.c
    if told["user"]:
        rows = rows.where(kept.user == told["user"])
    if told["act"]:
        rows = rows.where(kept.act == told["act"])
    if STUDY.fullmatch(told["study"]):
        rows = rows.where(kept.subject == f"study {int(told['study'])}")
    begins = _day(told["day"])
    if begins is not None:
        rows = rows.where(kept.at >= begins, kept.at < begins + DAY_S)
    before = asked.get("before", "")
    if STUDY.fullmatch(before):
        rows = rows.where(kept.id < int(before))
    found = list(c.execute(rows.order_by(kept.id.desc()).limit(TRAIL_SHOWN + 1)))
    older = {**{key: value for key, value in told.items() if value}, "before": found[TRAIL_SHOWN - 1].id} if len(
        found
    ) > TRAIL_SHOWN else None  # fmt: skip
    return {
        "asked": told,
        "rows": [_row(row) for row in found[:TRAIL_SHOWN]],
        "older": "" if older is None else f"/administration?{urlencode(older)}#trail",
    }


def _row(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": words.clock_time(row.at),
        "user": row.user or _("unknown"),
        "act": row.act,
        "subject": row.subject or "–",
        "origin": row.origin or "–",
        "hash": row.hash[:12],
    }


def _day(said: str) -> float | None:
    try:
        return datetime.strptime(said, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
