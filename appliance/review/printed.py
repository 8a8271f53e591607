"""One study on paper: who, what was decided by whom, scores with their ends, reasons, the draft marked as one. A4.

It shows what the case page shows and nothing more, to whom the case page shows it; no picture, because paper is no
display. Opening it is a row in the trail of its own, and counts as having seen what the machine said.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.errors import Unavailable
from appliance.review import blinding, openings, words
from appliance.review.casefile import NOT_FOUND, read, shown
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import page_of
from appliance.world import desk


def printed(request: Request, reader: Reader) -> Response:
    page, number = page_of(request), request.path_params["number"]
    try:
        found = read(page, number, reader.user)
    except Unavailable:
        return RedirectResponse("/", 303)
    if found is None:
        return page.render(request, "problem.html", {"reader": reader, **NOT_FOUND}, status_code=404)
    if blinding.hides(page, reader.user, found.study):
        return blinding.refusal(request, reader, number)
    now = page.clock()
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=now, user=reader.user, act="case-printed", subject=f"study {number}")
    openings.opened(request, reader, f"study {number}")
    told = {"reader": reader, "now": words.clock_time(now), "site": page.config.site.name}
    return page.render(request, "printed.html", {**told, **shown(page, found, now, reader.user)})


ROUTES = {"/studies/{number:int}/print": for_readers(printed)}
