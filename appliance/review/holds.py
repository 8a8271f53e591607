"""Who has a study open: shown to the others, taken over with a reason, over by itself when no hand moves any more.

It keeps two readers from reading the same study unawares. It never stands between a patient and a reader: an urgent
study, and whoever broke the glass, needs no taking over. That a study is signed twice is refused elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from appliance.review import words
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, reading_desk


@dataclass(frozen=True, slots=True)
class Hold:
    """Who has a study open; since in words, "" for nobody."""

    user: str = ""
    since: str = ""
    mine: bool = True


def opened(page: Page, reader: Reader, number: int) -> Hold:
    """A reader opens a study that can be signed; it is theirs unless somebody else has it open."""
    now = page.clock()
    with page.ledgers.pen().begin() as c:
        row = reading_desk.hold(c, number, reader.user, at=now, seen_after=now - page.config.review.hold_s)
    return Hold(row.user, words.short_time(row.since, now), row.user == reader.user)


def bars(hold: Hold, reader: Reader, urgency: str) -> bool:
    """Whether a study must be taken over before it is signed: not where it is urgent, and not in an emergency."""
    return not hold.mine and urgency == "routine" and not reader.lifted


def of(page: Page, user: str, number: int) -> Hold:
    """Who has a study open now; nothing is changed."""
    return of_many(page, user, [number]).get(number, Hold())


def of_many(page: Page, user: str, numbers: list[int]) -> dict[int, Hold]:
    now = page.clock()
    with page.ledgers.eyes().begin() as c:
        found = reading_desk.holders(c, numbers, now - page.config.review.hold_s)
    return {number: Hold(row.user, words.short_time(row.since, now), row.user == user) for number, row in found.items()}


def held_by(page: Page, user: str, most: int) -> list[int]:
    """Numbers of the studies that a reader has open now."""
    with page.ledgers.eyes().begin() as c:
        return reading_desk.held_by(c, user, page.clock() - page.config.review.hold_s, most)


def asked(request: Request, reader: Reader) -> Response:
    """What an open case page asks every few seconds: who has the study."""
    page, number = page_of(request), request.path_params["number"]
    return _told(of(page, reader.user, number) if number < 2**63 else Hold())


def open_form(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    """What a case page sends when it is opened and while a hand moves on it: the study is this reader's, if free."""
    page, number = page_of(request), request.path_params["number"]
    return _told(opened(page, reader, number) if 1 <= number < 2**63 else Hold())


def _told(hold: Hold) -> Response:
    return JSONResponse({"user": hold.user, "since": hold.since, "mine": hold.mine})


def take(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Takes a study over from whoever has it open: 303 back to it, 400 without a reason."""
    page, number = page_of(request), request.path_params["number"]
    because = form.get("because", "").strip()
    if not 0 < len(because) <= reading_desk.BECAUSE_CHARACTERS_MAX or not 1 <= number < 2**63:
        shown = {
            "reader": reader,
            "title": _("Not taken over"),
            "link": f"/studies/{number}",
            "link_text": _("Back to it"),
        }
        said = _("Say why you take it over, in %(most)s characters at most.", most=reading_desk.BECAUSE_CHARACTERS_MAX)
        return page.render(request, "problem.html", {**shown, "said": said}, status_code=400)
    now = page.clock()
    with page.ledgers.pen().begin() as c:
        before = reading_desk.take_over(
            c, number, reader.user, because=because, at=now, seen_after=now - page.config.review.hold_s
        )
        if before:
            desk.note(c, at=now, user=reader.user, act="taken-over", subject=f"study {number}")
    return RedirectResponse(f"/studies/{number}?done={'taken' if before else 'free'}", 303)


ROUTES = {"/studies/{number:int}/hold": for_readers(asked, touch=False)}
FORMS = {
    "/studies/{number:int}/hold": form_for_readers(open_form),
    "/studies/{number:int}/take": form_for_readers(take),
}
