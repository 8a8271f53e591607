"""What an administrator runs by hand: the self-test. Each run is a row in the trail; neither names a patient."""

from starlette.requests import Request
from starlette.responses import Response

from appliance.review import words
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import page_of
from appliance.review.selftest import self_test
from appliance.world import desk


def self_test_page(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    now = page.clock()
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=now, user=reader.user, act="self-test", subject="")
    lines = self_test(page.config, page.places, now)
    shown = {"reader": reader, "lines": lines, "red": sum(not each.ok for each in lines), "now": words.clock_time(now)}
    return page.render(request, "selftest.html", shown)


ROUTES = {"/administration/self-test": for_readers(self_test_page)}
