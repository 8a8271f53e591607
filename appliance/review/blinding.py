"""Read first, then reveal: where a site asks for it, nobody is shown what the machine said before saying what they saw.

The server holds it back: lane, score, reason, draft, urgency and history of a study are not in what it sends, on any
page, until this very reader has written down an impression of this very revision, or the study is signed. The order of
the list stays that of triage, which is what triage is for; it tells that something is pressing and not why.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.errors import Unavailable
from appliance.review import words
from appliance.review.entrance import Reader, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, ledger, reading_desk

BADGE = words.Badge("undecided", "○", "READ FIRST", "what the machine said is shown when you have said what you see")
STATE_WORDS = "to be read"
SAID_WORDS = {
    "finding": "I see something that matters",
    "nothing": "I see nothing that matters",
    "cannot_tell": "I cannot tell",
}
SHUT_TABS = frozenset(("flagged", "escalated", "cleared"))


def hidden(page: Page, user: str, rows: Collection[Any]) -> set[int]:
    """Of these studies the numbers of those of which this user must not be shown a machine's word yet."""
    if not page.config.review.read_first:
        return set()
    unsigned = [row for row in rows if row.state != "reviewed"]
    with page.ledgers.eyes().begin() as c:
        told = reading_desk.impressed(c, user, [row.number for row in unsigned])
    return {row.number for row in unsigned if (row.number, row.revision) not in told}


def hides(page: Page, user: str, study: Row[Any]) -> bool:
    return study.number in hidden(page, user, [study])


def refusal(request: Request, reader: Reader, number: int) -> Response:
    """The answer of a page that would tell what the machine said."""
    shown = {
        "reader": reader,
        "title": _("Read it first"),
        "link": f"/studies/{number}",
        "link_text": _("To the images"),
    }
    said = _(
        "This site shows what the machine said after you have said what you see. Write your impression down first."
    )
    return page_of(request).render(request, "problem.html", {**shown, "said": said}, status_code=409)


def blind_page(
    request: Request, reader: Reader, study: Row[Any], *, notice: str = "", mistake: str = "", kept: Any = None
) -> Response:
    """The case without a machine's word: who, the images, and the form for one's own impression."""
    page = page_of(request)
    shown = {
        "reader": reader,
        "study": study,
        "name": words.person_name(study.patient_name),
        "born": words.calendar_date(study.patient_birth_date),
        "study_date": words.calendar_date(study.study_date),
        "received": words.clock_time(study.first_received_at),
        "ready": study.state not in ("received", "complete"),
        "choices": SAID_WORDS,
        "notice": notice,
        "mistake": mistake,
        "kept": kept or {},
        "nonce": page.token(),
        "text_max": reading_desk.IMPRESSION_CHARACTERS_MAX,
    }
    return page.render(request, "case_blind.html", shown, status_code=400 if mistake else 200)


def impression(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files a reader's own impression: 303 to the case as it is then shown, 400 with the form again, 404, 409."""
    page, number = page_of(request), request.path_params["number"]
    said, text, nonce = form.get("said", ""), form.get("text", "").replace("\r\n", "\n").strip(), form.get("nonce", "")
    back = {"reader": reader, "link": f"/studies/{number}", "link_text": _("Open the study as it is now")}
    try:
        with page.ledgers.studies() as c:
            study = ledger.study_by_number(c, number) if 1 <= number < 2**63 else None
    except Unavailable:
        study = None
    if study is None:
        told = {
            "title": _("No such study"),
            "said": _("No study has this number."),
            "link": "/",
            "link_text": _("To the worklist"),
        }
        return page.render(request, "problem.html", {"reader": reader, **told}, status_code=404)
    if form.get("revision") != str(study.revision) or study.state in ("received", "complete"):
        told = {
            "title": _("The study has changed"),
            "said": _("Images came meanwhile; nothing was filed. Look again."),
        }
        return page.render(request, "problem.html", {**back, **told}, status_code=409)
    if said not in SAID_WORDS or len(text) > reading_desk.IMPRESSION_CHARACTERS_MAX or not 16 <= len(nonce) <= 64:
        mistake = _(
            "Choose what you see; the words may have %(most)s characters.", most=reading_desk.IMPRESSION_CHARACTERS_MAX
        )
        return blind_page(request, reader, study, mistake=mistake, kept=form)
    at = page.clock()
    with page.ledgers.pen().begin() as own:
        filed = reading_desk.impress(
            own,
            nonce=nonce,
            study_number=number,
            revision=study.revision,
            user=reader.user,
            said=said,
            text=text,
            at=at,
        )
        if filed:
            desk.note(own, at=at, user=reader.user, act=f"impression-{said}", subject=f"study {number}")
    return RedirectResponse(f"/studies/{number}?done=revealed", 303)


FORMS = {"/studies/{number:int}/impression": form_for_readers(impression)}
