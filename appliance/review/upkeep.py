"""What an administrator runs by hand: self-test, support bundle. Each is a row in the trail; none names a patient."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from appliance.errors import Quarantined
from appliance.review import words
from appliance.review.bundle import bundle
from appliance.review.entrance import Reader, for_readers, form_for_readers
from appliance.review.language import _, capital, tr
from appliance.review.ledgers import Page, page_of
from appliance.review.selftest import self_test
from appliance.world import desk


def self_test_page(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    now = page.clock()
    _note(page, reader, now, "self-test")
    lines = self_test(page.config, page.places, now)
    shown = {"reader": reader, "lines": lines, "red": sum(not each.ok for each in lines), "now": words.clock_time(now)}
    return page.render(request, "selftest.html", shown)


def support_bundle(request: Request, reader: Reader, _form: Mapping[str, str]) -> Response:
    """The bundle as a download; 409 where something that did not build it found a patient in it."""
    # Here and not above: it brings the inspector and its libraries, which no page of a reader needs.
    from appliance.review import bundle_check

    page = page_of(request)
    now = page.clock()
    data = bundle(page.config, page.places, now)
    try:
        bundle_check.check(data, page.places)
    except Quarantined as fault:
        _note(page, reader, now, "bundle-refused")
        shown = {"reader": reader, "title": _("The support bundle was not handed out"), "link": "/administration"}
        said = capital(f"{tr(fault.text)} ({fault}). {tr(fault.hint)}")
        shown |= {"said": said, "link_text": _("To administration and audit")}
        return page.render(request, "problem.html", shown, status_code=409)
    _note(page, reader, now, "bundle-made")
    named = {"Content-Disposition": 'attachment; filename="support-bundle.tar"'}
    return Response(data, media_type="application/x-tar", headers=named)


def _note(page: Page, reader: Reader, at: float, act: str) -> None:
    with page.ledgers.pen().begin() as c:
        desk.note(c, at=at, user=reader.user, act=act, subject="")


ROUTES = {"/administration/self-test": for_readers(self_test_page)}
FORMS = {"/administration/support-bundle": form_for_readers(support_bundle)}
