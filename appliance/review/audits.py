"""Blinded reads: films drawn from what was decided here, shown without lane, score, reason or name, and one question.

The list says nothing of what the machine said: films of every lane stand in it. Whoever opened the study before has
seen that and reads it no more. An answer is a reader's signed act, given once; triage counts it. It moves no study.
"""

from collections.abc import Mapping
from typing import Any, get_args

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core.study import Instance
from appliance.errors import Unavailable
from appliance.review import openings, words
from appliance.review.description import description
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.review.signing import NONCE
from appliance.world import audit_desk, desk, ledger
from appliance.world.audit_desk import AuditAnswer
from appliance.world.ledger import watch

LIST_MAX = 50
SEARCHED_MAX = 500  # drawn films looked through for those that this reader may still read blindly
NOTICES = {
    "answered": "Your answer is on file. What the machine said is not shown: the next film is to be read as blindly.",
    "again": "This form had been posted before: it counts once.",
}
GONE = {
    "title": "Not to be read here",
    "said": "This film was never drawn or is answered, or you have opened its study and know what the machine said.",
    "link": "/audits",
    "link_text": "To the blinded reads",
}


def audit_list(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    notice = NOTICES.get(request.query_params.get("done", ""), "")
    shown: dict[str, Any] = {"reader": reader, "notice": notice, "rows": [], "barred": 0, "starting": False}
    now = page.clock()
    try:
        with page.ledgers.studies() as c:
            drawn = watch.open_audits(c, SEARCHED_MAX)
            free, barred = _free(page, reader, drawn)
            shown["rows"] = [_row(c, row, now) for row in free[:LIST_MAX]]
    except Unavailable:
        return page.render(request, "audits.html", {**shown, "starting": True})
    return page.render(request, "audits.html", {**shown, "barred": barred, "waiting": len(free)})


def audit_page(request: Request, reader: Reader) -> Response:
    page, number = page_of(request), request.path_params["audit"]
    try:
        with page.ledgers.studies() as c:
            row = _open(page, reader, c, number)
            if row is None:
                return page.render(request, "problem.html", {"reader": reader, **GONE}, status_code=404)
            instances = ledger.instances_of(c, row.study_number)
            facts = _row(c, row, page.clock())
            label = _label(c, row)
    except Unavailable:
        return RedirectResponse("/audits", 303)
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=page.clock(), user=reader.user, act="audit-opened", subject=f"audit {number}")
    openings.opened(request, reader, f"audit {number}")
    shown = {
        "reader": reader,
        "audit": facts,
        "label": label,
        "can_read": _here(page, instances),
        "nonce": page.token(),
    }
    return page.render(request, "audit.html", shown)


def answer(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files an answer: 303 back to the list, 400 for an incomplete form, 409 when it is not to be answered any more."""
    page, number = page_of(request), request.path_params["audit"]
    said, nonce = form.get("answer", ""), form.get("nonce", "")
    if said not in get_args(AuditAnswer) or not NONCE.fullmatch(nonce):
        return _problem(request, reader, 400, _("Choose present, absent or cannot tell; nothing was filed."), number)
    given: AuditAnswer = said  # type: ignore[assignment]
    try:
        with page.ledgers.pen().begin() as own, page.ledgers.studies() as c:
            if audit_desk.answer_with(own, nonce) is not None:
                return RedirectResponse("/audits?done=again", 303)
            row = _open(page, reader, c, number)
            if row is None:
                return page.render(request, "problem.html", {"reader": reader, **GONE}, status_code=409)
            if not _here(page, ledger.instances_of(c, row.study_number)):
                return _problem(request, reader, 409, _("The film is not decoded here, so it cannot be read."), number)
            at = page.clock()
            if not audit_desk.answer(own, nonce=nonce, audit_id=number, user=reader.user, given=given, at=at):
                return page.render(request, "problem.html", {"reader": reader, **GONE}, status_code=409)
            desk.note(own, at=at, user=reader.user, act=f"audit-{given}", subject=f"audit {number}")
    except Unavailable:
        return RedirectResponse("/audits", 303)
    return RedirectResponse("/audits?done=answered", 303)


ROUTES = {"/audits": for_readers(audit_list), "/audits/{audit:int}": for_readers(audit_page)}
FORMS = {"/audits/{audit:int}/answer": form_for_readers(answer)}


def _free(page: Page, reader: Reader, drawn: list[Row[Any]]) -> tuple[list[Row[Any]], int]:
    """The drawn films that this reader may read, and how many are barred because the reader knows too much."""
    with page.ledgers.eyes().begin() as c:
        given = audit_desk.answered(c, [row.id for row in drawn])
        opened = desk.opened_by(c, reader.user, [row.study_number for row in drawn])
    waiting = [row for row in drawn if row.id not in given]
    free = [row for row in waiting if row.study_number not in opened]
    return free, len(waiting) - len(free)


def _open(page: Page, reader: Reader, c: Connection, number: int) -> Row[Any] | None:
    row = watch.audit(c, number) if 1 <= number < 2**63 else None
    return row if row is not None and row.answer is None and _free(page, reader, [row])[0] else None


def _label(c: Connection, row: Row[Any]) -> str:
    monitored = watch.monitor(c, row.certificate)
    assert monitored is not None, "an audit is drawn after its certificate was filed"
    return str(monitored.facts["label"])


def _row(c: Connection, row: Row[Any], now: float) -> dict[str, Any]:
    """What a blinded reader may know of a film."""
    first = ledger.instances_of(c, row.study_number)[0]
    sex = first.patient.patient_sex
    told = (first.modality, first.body_part_examined, first.view_position)
    return {
        "id": row.id,
        "exam": " ".join(filter(None, told)),
        "who": " · ".join(filter(None, (words.age(first.patient_age), sex))),
        "waiting": words.days(now - row.drawn_at),
        "question": _label(c, row),
    }


def _here(page: Page, instances: list[Instance]) -> bool:
    """Whether every film can be shown: a read of nothing is no read."""
    shown = [each for each in instances if each.has_pixels]
    return bool(shown) and all(description(page.places.frames, each.sha256) is not None for each in shown)


def _problem(request: Request, reader: Reader, status: int, said: str, number: int) -> Response:
    shown = {"reader": reader, "title": _("Nothing was filed"), "said": said, "link": f"/audits/{number}"}
    return page_of(request).render(
        request, "problem.html", {**shown, "link_text": _("Open the film again")}, status_code=status
    )
