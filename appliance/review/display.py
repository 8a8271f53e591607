"""The test pattern of a display and the log of its daily check. It calibrates nothing, and the page says so."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.core import display_pattern as pattern
from appliance.review import words
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import page_of
from appliance.review.signing import NONCE
from appliance.world import desk, display_desk

SHOWN_MAX = 30
NOTICES = {"filed": "The check is on file.", "again": "This form had been posted before: it counts once."}


def display(request: Request, reader: Reader) -> Response:
    return _shown(request, reader, "", {}, 200)


def check(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files one check: 303, or 400 with the form again where something is missing."""
    page, nonce = page_of(request), form.get("nonce", "")
    named, note = form.get("display", "").strip(), form.get("note", "").strip()
    answers = {key: form.get(key, "") for key in pattern.QUESTIONS}
    if not NONCE.fullmatch(nonce) or not 0 < len(named) <= display_desk.DISPLAY_CHARACTERS_MAX:
        return _shown(request, reader, _("Say which display it is; nothing was filed."), form, 400)
    if len(note) > display_desk.NOTE_CHARACTERS_MAX or set(answers.values()) - {"yes", "no"}:
        return _shown(request, reader, _("Answer each line with yes or no; nothing was filed."), form, 400)
    failed, at = [key for key, said in answers.items() if said == "no"], page.clock()
    with page.ledgers.pen().begin() as c:
        filed = display_desk.file(
            c, nonce=nonce, display=named, user=reader.user, at=at, failed=failed, note=note
        )  # fmt: skip
        if filed:
            act = "display-failed" if failed else "display-passed"
            desk.note(c, at=at, user=reader.user, act=act, subject="display")
    return RedirectResponse(f"/display?done={'filed' if filed else 'again'}", 303)


ROUTES = {"/display": for_readers(display)}
FORMS = {"/display": form_for_readers(check)}


def _shown(request: Request, reader: Reader, said: str, kept: Mapping[str, str], status: int) -> Response:
    page = page_of(request)
    with page.ledgers.eyes().begin() as c:
        rows = display_desk.newest(c, SHOWN_MAX)
    shown: dict[str, Any] = {
        "reader": reader,
        "said": said,
        "kept": kept,
        "notice": NOTICES.get(request.query_params.get("done", ""), ""),
        "drawing": _drawing(),
        "questions": pattern.QUESTIONS,
        "checks": [_check(row) for row in rows],
        "nonce": page.token(),
        "display_max": display_desk.DISPLAY_CHARACTERS_MAX,
        "note_max": display_desk.NOTE_CHARACTERS_MAX,
    }
    return page.render(request, "display.html", shown, status_code=status)


def _drawing() -> dict[str, Any]:
    """What the page's script draws."""
    return {
        "side": pattern.SIDE,
        "background": pattern.grey(pattern.BACKGROUND),
        "patches": [[pattern.grey(each.level), each.x, each.y, each.side] for each in pattern.patches()],
        "pairs": list(pattern.PAIR_WIDTHS),
    }


def _check(row: Row[Any]) -> dict[str, Any]:
    return {
        "at": words.clock_time(row.at),
        "user": row.user,
        "display": row.display,
        "passed": row.passed,
        "failed": [pattern.QUESTIONS.get(key, key) for key in row.failed],
        "note": row.note,
    }
