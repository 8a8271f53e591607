"""The critical-result log: what was told to whom, when, how, and whether they read it back. Only ever added to.

A result that was told and not read back is shown as that until a later row says otherwise. A row bears its reader's
name, so the form asks who they are. It sends nothing to anybody: telling is a person's act.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.errors import Unavailable
from appliance.review import blinding, signed, words
from appliance.review.casefile import NOT_FOUND, case_answer, read
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import page_of
from appliance.review.signing import NONCE
from appliance.world import desk, ledger, reading_desk

SHOWN_MAX = 200
OLDEST_S = 7 * 86_400.0
AHEAD_S = 120.0  # a reader's watch may be a little ahead


def critical_page(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    with page.ledgers.eyes().begin() as own:
        rows = reading_desk.calls(own, SHOWN_MAX)
    shown: dict[str, Any] = {"reader": reader, "starting": False, "rows": [], "shown_max": SHOWN_MAX}
    try:
        with page.ledgers.studies() as c:
            studies = {row.study_number: ledger.study_by_number(c, row.study_number) for row in rows}
        shown["rows"] = [
            {**signed.call(row), "name": words.person_name(study.patient_name), "patient_id": study.patient_id}
            for row in rows
            if (study := studies[row.study_number]) is not None
        ]
    except Unavailable:
        shown["starting"] = True
    return page.render(request, "critical.html", shown)


def log(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files that a critical result was told: 303, 400 with what is missing, 404."""
    page, number = page_of(request), request.path_params["number"]
    try:
        file = read(page, number, reader.user)
    except Unavailable:
        file = None
    if file is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    if blinding.hides(page, reader.user, file.study):
        return blinding.refusal(request, reader, number)
    now = page.clock()
    told_at, mistake = _told_at(form.get("told_at", ""), now)
    texts = {name: form.get(name, "").strip() for name in ("result", "told")}
    how, nonce = form.get("how", ""), form.get("nonce", "")
    if not all(0 < len(text) <= reading_desk.CALL_CHARACTERS_MAX for text in texts.values()):
        mistake = _(
            "Say what was told and to whom, %(most)s characters each at most. Nothing was filed.",
            most=reading_desk.CALL_CHARACTERS_MAX,
        )
    elif how not in reading_desk.HOW:
        mistake = _("Choose how it was told. Nothing was filed.")
    elif not NONCE.fullmatch(nonce):
        mistake = _("The form is incomplete; open the study again. Nothing was filed.")
    if mistake:
        kept = {**form, "critical": "yes"}
        return case_answer(request, reader, file, mistake=mistake, kept=kept, status=400)
    with page.ledgers.pen().begin() as c:
        filed = reading_desk.call(
            c, nonce=nonce, study_number=number, user=reader.user, how=how, told_at=told_at,
            read_back=form.get("read_back") == "yes", at=now, **texts,
        )  # fmt: skip
        if filed:
            desk.note(c, at=now, user=reader.user, act="critical-told", subject=f"study {number}")
    return RedirectResponse(f"/studies/{number}?done={'told' if filed else 'again'}", 303)


ROUTES = {"/critical": for_readers(critical_page)}
FORMS = {"/studies/{number:int}/critical": form_for_readers(log)}


def _told_at(said: str, now: float) -> tuple[float, str]:
    """When it was told, and the mistake in it; blank means now."""
    if not said.strip():
        return now, ""
    try:
        at = datetime.fromisoformat(said.strip()[:16]).astimezone().timestamp()
    except (ValueError, OverflowError, OSError):
        return now, _("Give the time as year-month-day and hour:minute, or leave it empty for now. Nothing was filed.")
    if not now - OLDEST_S <= at <= now + AHEAD_S:
        return now, _(
            "The time lies ahead, or more than a week back: correct it, or leave it empty for now. Nothing was filed."
        )
    return at, ""
