"""The models in force here: what each may decide under which certificate, how it stands, and the switch that stops it.

Everything shown is what triage filed. Stopping a model, or taking a certificate away, is a reader's act with a reason
and a page that asks twice; triage obeys. No certificate is ever given back from here.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.certificate import PRODUCT_CONTRACT, Contract, promise_words
from appliance.core.gauges import GAUGE_WORDS, WINDOW, gauge, psi
from appliance.core.monitor import AUDIT_FIRST, DELTA, DRIFT_REVOKE_AT
from appliance.core.roles import roles
from appliance.errors import Refused, Unavailable
from appliance.review import words
from appliance.review.alarms import CAUSE_WORDS, DAY_S, alarms
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _, tr
from appliance.review.ledgers import Ledgers, Page, page_of
from appliance.review.promotion import promoted
from appliance.review.signing import NONCE
from appliance.review.switch import address, stopping
from appliance.review.updates import updates_shown
from appliance.silence import silence
from appliance.world import audit_desk, desk
from appliance.world.ledger import roles as orders
from appliance.world.ledger import watch

STAGE_WORDS = {
    "quiet": ("holds", "IN FORCE"),
    "warn": ("unchecked", "WARNING: half of each lane"),
    "revoke": ("wrong", "TAKEN AWAY"),
}
ROLE_WORDS = {
    "decides": "DECIDES",
    "escalates": "ACTIVE: escalates everything",
    "shadow": "SHADOW: runs beside, decides nothing",
}
ORDERS_SHOWN = 10
NOTICES = {
    "ordered": "Your order is on file; it takes effect with the next study.",
    "again": "This form had been posted before: it counts once.",
}


def models_page(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    now = page.clock()
    notice = NOTICES.get(request.query_params.get("done", ""), "")
    shown: dict[str, Any] = {"reader": reader, "notice": notice, "models": [], "former": [], "alarms": [], "orders": []}
    try:
        with page.ledgers.studies() as c:
            stopped = roles(orders.done(c), (), ()).stopped
            shown["models"] = [_model(c, page, row, stopped, now) for row in _installed(c)]
            shown["orders"] = [_order(row) for row in orders.history(c, ORDERS_SHOWN)]
            shown["former"] = [_former(c, row) for row in watch.revoked(c)]
            shown["alarms"] = alarms(c, page, now)
            shown["updates"] = updates_shown(c, now)
    except Unavailable:
        return page.render(request, "models.html", {**shown, "starting": True})
    knobs = page.config.audit
    shown |= {"detect_days": f"{knobs.detect_days:g}", "cleared_per_day": f"{knobs.cleared_per_day:g}"}
    shown |= {"first": AUDIT_FIRST, "window": WINDOW, "e_alarm": words.figure(f"{1 / DELTA:g}")}
    return page.render(request, "models.html", {**shown, "starting": False})


def withdraw_page(request: Request, reader: Reader) -> Response:
    """Asks a second time, with the reason, before a certificate is taken away."""
    page = page_of(request)
    row = _certificate(page, request.path_params["certificate"])
    if row is None or row.stage == "revoke":
        return page.render(request, "problem.html", {"reader": reader, **NO_CERTIFICATE}, status_code=404)
    shown = {
        "reader": reader,
        "title": _("Take certificate %(name)s away?", name=row.facts["name"]),
        "said": _(
            "Nothing is decided under it any more, from the next study on, and it cannot be given back: only a new "
            "signed certificate opens a lane again. Studies go on to be escalated."
        ),
        "action": f"/certificates/{row.certificate}/withdraw",
        "button": _("Take it away"),
        "nonce": page.token(),
        "because_max": audit_desk.BECAUSE_CHARACTERS_MAX,
    }
    return page.render(request, "confirm.html", shown)


def withdraw(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a withdrawal: 303 to the models, 400 for an incomplete form, 404 for a certificate that is none here."""
    page, digest = page_of(request), request.path_params["certificate"]
    nonce, because = form.get("nonce", ""), form.get("because", "").strip()
    if not NONCE.fullmatch(nonce) or not because or len(because) > audit_desk.BECAUSE_CHARACTERS_MAX:
        told = {**NO_CERTIFICATE, "title": _("Nothing was done"), "said": _("Say why; nothing was done.")}
        return page.render(request, "problem.html", {"reader": reader, **told}, status_code=400)
    row = _certificate(page, digest)
    if row is None:
        return page.render(request, "problem.html", {"reader": reader, **NO_CERTIFICATE}, status_code=404)
    filed = file_withdrawal(
        page.ledgers, digest, user=reader.user, because=because, nonce=nonce, at=page.clock()
    )  # fmt: skip
    return RedirectResponse(f"/models?done={'ordered' if filed else 'again'}", 303)


def file_withdrawal(ledgers: Ledgers, digest: str, *, user: str, because: str, nonce: str, at: float) -> bool:
    """The row that triage obeys, and the act in the trail; False when this form was posted before.

    raises  Refused("reason-missing"): no reason, or one that is too long
    """
    if not 0 < len(because.strip()) <= audit_desk.BECAUSE_CHARACTERS_MAX:
        raise Refused("reason-missing")
    with ledgers.pen().begin() as c:
        filed = audit_desk.withdraw(c, nonce=nonce, certificate=digest, user=user, because=because.strip(), at=at)
        if filed:
            desk.note(c, at=at, user=user, act="certificate-withdrawn", subject=f"certificate {digest[:16]}")
    return filed


NO_CERTIFICATE = {
    "title": "No such certificate",
    "said": "It is not in force here.",
    "link": "/models",
    "link_text": "To the models",
}
ROUTES = {"/models": for_readers(models_page), "/certificates/{certificate}/withdraw": for_readers(withdraw_page)}
FORMS = {"/certificates/{certificate}/withdraw": form_for_readers(withdraw)}


def _installed(c: Connection) -> list[Row[Any]]:
    return list(c.execute(select(watch.installed).where(watch.installed.c.present).order_by(watch.installed.c.title)))


def _certificate(page: Page, digest: str) -> Row[Any] | None:
    try:
        with page.ledgers.studies() as c:
            return watch.monitor(c, digest) if len(digest) == 64 else None
    except Unavailable:
        return None


def _order(row: Row[Any]) -> dict[str, str]:
    told = {"kind": row.kind, "subject": row.subject, "who": row.who, "outcome": row.outcome}
    return {**told, "at": words.clock_time(row.at)}


def _model(c: Connection, page: Page, row: Row[Any], stopped: frozenset[str], now: float) -> dict[str, Any]:
    own = select(watch.monitors).where(watch.monitors.c.model == row.title, watch.monitors.c.present)
    found = list(c.execute(own.order_by(watch.monitors.c.stage_since)))
    role = row.facts.get("role", "")
    if role == "decides" and (row.facts["weights"] != "trained" or all(each.stage == "revoke" for each in found)):
        role = "escalates"
    return {
        "title": row.title,
        "facts": row.facts,
        "stopped": stopping(row.title, stopped),
        "role": ROLE_WORDS.get(role, ""),
        "switch": address(row.title),
        "promotion": promoted(c, row, page.config.updates.promote_after_studies),
        "random": row.facts["weights"] != "trained",
        "certificates": [_certified(c, page, each, now) for each in found],
    }


def _certified(c: Connection, page: Page, row: Row[Any], now: float) -> dict[str, Any]:
    """One certificate: promise, standing, audits, drift."""
    facts = row.facts
    contract = Contract.model_validate(facts["contract"])
    answered, waiting = watch.audit_counts(c, row.certificate)
    counts = watch.lane_counts(c, row.certificate)
    late = watch.overdue(c, now - page.config.audit.answer_days * DAY_S).get(row.certificate, 0)
    taken = next((each for each in watch.revoked(c) if each.certificate == row.certificate), None)
    expired = facts["expires"] < words.utc_date(now)
    stage = row.stage if taken is None else "revoke"
    mark, standing = STAGE_WORDS[stage]
    if stage != "revoke" and expired:
        mark, standing = "wrong", _("EXPIRED")
    elif stage == "quiet" and late:
        mark, standing = "unchecked", _("UNANSWERED: half of each lane")
    measures = [_measure(c, row, name) for name in facts["reference"]]
    last = watch.last_in_lane(c, row.certificate, "flagged")
    return {
        "digest": row.certificate,
        "facts": facts,
        "contract": promise_words(contract, facts["delta"]),
        "demonstration": contract != PRODUCT_CONTRACT,
        "mark": mark,
        "standing": standing,
        "since": words.clock_time(row.stage_since),
        "taken": None
        if taken is None
        else {"words": CAUSE_WORDS[taken.cause], "because": taken.because, "who": taken.who},
        "may_withdraw": stage != "revoke",
        "answered": answered,
        "waiting": waiting,
        "late": late,
        "misses": row.misses,
        "e_value": words.figure(f"{row.e_value:.3g}"),
        "rate": f"{100 * facts['audit_rate']:.0f} %",
        "cleared": counts.get("cleared", 0),
        "lanes": [(lane, counts.get(lane, 0)) for lane in ("cleared", "flagged", "escalated")],
        "last_flagged": _("never") if last is None else _("%(age)s ago", age=words.span(now - last)),
        "silence": tr(silence(c, row.certificate, now)),
        "drift_alarm": words.figure(f"{DRIFT_REVOKE_AT * max(1, len(measures)):g}"),
        "measures": sorted(measures, key=lambda each: -each["value"]),
    }


def _measure(c: Connection, row: Row[Any], name: str) -> dict[str, Any]:
    """One measure's martingale, and its PSI over the last studies in a number and in words."""
    reference, recent = row.facts["reference"][name], watch.window(c, row.certificate, name, WINDOW)
    index = psi(reference, recent)
    said = gauge(index, len(reference), len(recent))
    value = float(row.drift.get(name, 1.0))
    return {
        "name": name,
        "value": value,
        "martingale": words.figure(f"{value:.3g}"),
        "psi": "–" if index is None or said == "too few" else words.figure(f"{index:.2f}"),
        "mark": {"stable": "holds", "look": "unchecked", "shifted": "wrong"}.get(said, "unchecked"),
        "words": GAUGE_WORDS[said],
        "studies": len(recent),
    }


def _former(c: Connection, row: Row[Any]) -> dict[str, Any]:
    monitored = watch.monitor(c, row.certificate)
    return {
        "name": "" if monitored is None else monitored.facts["name"],
        "digest": row.certificate,
        "at": words.clock_time(row.at),
        "words": CAUSE_WORDS[row.cause],
        "because": row.because,
        "who": row.who,
    }
