"""Images that came after a signature: the signer is told wherever the study is listed or shown, until they say so.

A late image makes a new revision. The signature stands on file for what was seen then; nothing takes it back, and
nothing hides that it did not see everything. Whoever signs the new revision has seen the image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.errors import Unavailable
from appliance.review import words
from appliance.review.entrance import Reader, form_for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, ledger, reading_desk
from appliance.world.ledger import moves, signatures, studies
from appliance.world.ledger.tables import NEW_REVISION

SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class Late:
    """One signed study that has changed since."""

    number: int
    name: str
    modality: str
    signed: str


def unseen(c: Connection, page: Page, user: str) -> list[Late]:
    """Studies that a user signed and of which images came since, until the user says that they know."""
    told = (studies.c.number, studies.c.patient_name, studies.c.modality, studies.c.revision)
    last, at = func.max(signatures.c.revision).label("last"), func.max(signatures.c.signed_at).label("at")
    chosen = select(*told, last, at).join(signatures, signatures.c.study_number == studies.c.number)
    grouped = chosen.where(signatures.c.user == user, studies.c.number.in_(_renewed(user))).group_by(studies.c.number)
    found = list(c.execute(grouped.having(last < studies.c.revision).order_by(at.desc()).limit(500)))
    with page.ledgers.eyes().begin() as own:
        seen = reading_desk.late_seen_by(own, user, [row.number for row in found])
    now = page.clock()
    waiting = [row for row in found if seen.get(row.number, 0) < row.revision]
    return [
        Late(row.number, words.person_name(row.patient_name), row.modality, words.short_time(row.at, now))
        for row in waiting[:SHOWN_MAX]
    ]


def _renewed(user: str) -> Select[Any]:
    """Studies of which a user signed a revision and a later one began: by indexes alone, from the few that changed.

    Not from all that the user ever signed, which a page would read again with every refresh.
    """
    own = (signatures.c.user == user, signatures.c.study_number == moves.c.study_number)
    signed = select(func.max(signatures.c.revision)).where(*own).scalar_subquery()
    return select(moves.c.study_number).where(NEW_REVISION, moves.c.revision > signed)


def told(study: Row[Any], signed: Sequence[Row[Any]], seen: Mapping[int, int], user: str) -> dict[str, Any] | None:
    """What the case page says of late images: to everybody; the signer may say that it was read."""
    before = [row for row in signed if row.revision < study.revision]
    if not before or any(row.revision == study.revision for row in signed):
        return None
    own = [row for row in before if row.user == user]
    return {
        "by": ", ".join(dict.fromkeys(row.user for row in before)),
        "revision": before[-1].revision,
        "at": words.clock_time(before[-1].signed_at),
        "ask": bool(own) and seen.get(study.number, 0) < study.revision,
    }


def acknowledge(request: Request, reader: Reader, form: Mapping[str, str]) -> Response:
    """Files that the signer knows: 303, 404 for no such study, 409 where there is nothing to know of any more."""
    page, number = page_of(request), request.path_params["number"]
    shown: dict[str, Any] = {
        "reader": reader,
        "title": _("Nothing to confirm"),
        "link_text": _("Open the study as it is now"),
    }
    shown |= {
        "link": f"/studies/{number}",
        "said": _("More images may have come meanwhile: look at the study as it is."),
    }
    try:
        with page.ledgers.studies() as c:
            study = ledger.study_by_number(c, number) if 1 <= number < 2**63 else None
    except Unavailable:
        study = None
    if study is None:
        return page.render(request, "problem.html", {**shown, "link": "/"}, status_code=404)
    with page.ledgers.pen().begin() as c:
        signed = [row for row in desk.signatures_of(c, number) if row.user == reader.user]
        if form.get("revision") != str(study.revision) or not any(row.revision < study.revision for row in signed):
            return page.render(request, "problem.html", shown, status_code=409)
        at = page.clock()
        if reading_desk.see_late(c, study_number=number, revision=study.revision, user=reader.user, at=at):
            desk.note(c, at=at, user=reader.user, act="late-image-seen", subject=f"study {number}")
    return RedirectResponse(f"/studies/{number}?done=known", 303)


FORMS = {"/studies/{number:int}/late": form_for_readers(acknowledge)}
