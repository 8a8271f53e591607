"""Where a model's answer comes from, drawn over an image for a reader who asks and may see it; and pictures to go to.

The policy is the signed manifest's, kept with the answer itself; a site can only take it away (review.overlays). What a
reader may not see is not in what the server sends, on any page: the door answers 404 as if there were none. Each
answer with a map is an act in the audit trail. Blinded reads, other viewers and paper have no such door.
"""

import base64
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from appliance.core.overlay import LEVEL_MAX, may_be_shown, stops
from appliance.core.roles import roles
from appliance.core.standing import Standing
from appliance.core.study import Instance
from appliance.errors import Unavailable
from appliance.review import blinding
from appliance.review.alarms import withdrawn
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, ledger, reading_desk
from appliance.world.ledger import departures, overlays
from appliance.world.ledger import roles as orders


@dataclass(frozen=True, slots=True)
class Offer:
    """What a case page says of a map. shown: it may be asked for; else it may be after this reader's own reading."""

    model: str
    label: str
    shown: bool


def overlay(request: Request, reader: Reader) -> Response:
    """The maps of a study's present revision, and the images worth going to; 404 for whoever may not see them."""
    page, number = page_of(request), request.path_params["number"]
    try:
        with page.ledgers.studies() as c:
            study = ledger.study_by_number(c, number) if number < 2**63 else None
            found = None if study is None else overlays.of(c, number, study.revision)
            allowed = study is not None and found is not None and _may(c, page, reader.user, study, found)
            instances = ledger.instances_of(c, number) if allowed else []
    except Unavailable:
        allowed = False
    if not allowed or found is None:
        return JSONResponse({"maps": []}, 404)
    with page.ledgers.pen().begin() as own:
        desk.note(own, at=page.clock(), user=reader.user, act="overlay-shown", subject=f"study {number}")
    return JSONResponse(_told(found, instances))


ROUTES = {"/studies/{number:int}/overlay": for_readers(overlay)}


def offer(page: Page, user: str, study: Row[Any]) -> Offer | None:
    """What to say of a study's map on its page; None where there is none that this reader could ever be shown."""
    with page.ledgers.studies() as c:
        found = overlays.of(c, study.number, study.revision)
        if found is None or not _may(c, page, user, study, found, first_read=True):
            return None
        return Offer(found.model, found.label, _may(c, page, user, study, found))


def key_images(page: Page, case_id: str | None, number: int) -> list[dict[str, Any]]:
    """The pictures of a case by their names in it, and the image and frame here that each was made of."""
    if not case_id:
        return []
    with page.ledgers.studies() as c:
        rows = departures.key_images_of(c, case_id)
        places = _numbers(ledger.instances_of(c, number)) if rows else {}
    return [{"id": row.id, "image": places[row.sha256], "frame": row.frame} for row in rows if row.sha256 in places]


def _may(
    c: Connection, page: Page, user: str, study: Row[Any], found: Row[Any], *, first_read: bool | None = None
) -> bool:
    """first_read: None looks it up; True asks whether it would be enough."""
    standing = Standing(stopped=roles(orders.done(c), (), ()).stopped)
    stands = not standing.stops(found.model) and not withdrawn(c, [study.number])
    if first_read is None:
        if blinding.hides(page, user, study):
            return False
        first_read = _read_by(page, user, study)
    return may_be_shown(found.policy, allowed_here=page.config.review.overlays, first_read=first_read, stands=stands)


def _read_by(page: Page, user: str, study: Row[Any]) -> bool:
    """Whether a user has put on file what they saw in this very revision: an impression, or a signature."""
    with page.ledgers.eyes().begin() as c:
        if (study.number, study.revision) in reading_desk.impressed(c, user, [study.number]):
            return True
        return any(row.user == user and row.revision == study.revision for row in desk.signatures_of(c, study.number))


def _told(found: Row[Any], instances: list[Instance]) -> dict[str, Any]:
    size = found.rows * found.columns
    numbers = _numbers(instances)
    places = [(numbers.get(sha256), frame + 1) for sha256, frame in found.frames]
    return {
        "model": found.model,
        "label": found.label,
        "rows": found.rows,
        "columns": found.columns,
        "level_max": LEVEL_MAX,
        "maps": [
            {
                "image": image,
                "frame": frame,
                "levels": base64.b64encode(found.levels[at * size : (at + 1) * size]).decode(),
            }
            for at, (image, frame) in enumerate(places)
            if image is not None
        ],
        "stops": [[*places[at]] for at in stops(found.levels, len(places)) if places[at][0] is not None],
    }


def _numbers(instances: list[Instance]) -> dict[str, int]:
    """SHA-256 of an instance -> the number that the viewer calls it by: its place in the order of arrival, from 1."""
    return {each.sha256: at for at, each in enumerate(instances, 1)}
