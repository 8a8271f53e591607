"""The viewer's data: raw little-endian frames and VOI tables out of the frames cache, and what they mean.

Opens nothing but phi/frames, and there only names made of a digest that the ledger holds and of a number: nothing
of a request becomes part of a path. An address names a study, or an audit that tells no study, and counts its images;
no UID, no digest.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, select
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from appliance.core.reading_order import reading_order
from appliance.core.study import Instance
from appliance.errors import Unavailable
from appliance.review import openings, words
from appliance.review.description import DIGEST, SAMPLE_BYTES, bounded, description
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import page_of
from appliance.world import desk, ledger
from appliance.world.ledger import watch

IMAGES_MAX = 5_000
PRIORS_MAX = 20
FRAME_BYTES_MAX = 512 * 2**20


def image_list(request: Request, reader: Reader) -> Response:
    """What the viewer shows, series by series in reading order: one entry an image, with its frames' description."""
    found = _instances(request)
    if found is None:
        return JSONResponse({"images": []}, 404)
    openings.note_once(request, reader, _subject(request))
    return JSONResponse({**_listed(page_of(request).places.frames, found), "priors": _priors(request)})


def prior_list(request: Request, reader: Reader) -> Response:
    """The images of another study of the same patient, opened beside this one: noted in the audit trail as a read."""
    page, number, prior = page_of(request), request.path_params["number"], request.path_params["prior"]
    try:
        with page.ledgers.studies() as c:
            study = ledger.study_by_number(c, number) if max(number, prior) < 2**63 else None
            allowed = study is not None and any(each.number == prior for each in priors_of(c, study))
            found = ledger.instances_of(c, prior) if allowed else None
    except Unavailable:
        found = None
    if found is None:
        return JSONResponse({"images": []}, 404)
    with page.ledgers.pen().begin() as own:
        desk.note(own, at=page.clock(), user=reader.user, act="prior-opened", subject=f"study {prior}")
    openings.opened(request, reader, f"study {prior}")
    return JSONResponse({**_listed(page.places.frames, found), "priors": []})


def frame(request: Request, reader: Reader) -> Response:
    """One frame's bytes: rows * columns values of the image's dtype, little-endian, row by row."""
    place = _image(request)
    number = request.path_params["frame"]
    if place is None or not 1 <= number <= place[1]["frames"]:
        return Response("This frame is not in the cache.", 404, media_type="text/plain")
    openings.note_once(request, reader, _subject(request))
    sha256, shape = place
    length = int(shape["rows"]) * int(shape["columns"]) * SAMPLE_BYTES[str(shape["dtype"])]
    return _raw(frame_path(page_of(request).places.frames, sha256, number), length)


def voi_lut(request: Request, reader: Reader) -> Response:
    """One VOI table's entries, 16 bits each, little-endian."""
    place = _image(request)
    number = request.path_params["lut"]
    if place is None or not 1 <= number <= len(place[1]["voi_luts"]):
        return Response("This table is not in the cache.", 404, media_type="text/plain")
    openings.note_once(request, reader, _subject(request))
    sha256, shape = place
    length = 2 * int(shape["voi_luts"][number - 1]["entries"])
    return _raw(page_of(request).places.frames / sha256 / f"voi-{number:02d}.raw", length)


ROUTES = {
    "/studies/{number:int}/images": for_readers(image_list),
    "/studies/{number:int}/priors/{prior:int}/images": for_readers(prior_list),
    "/studies/{number:int}/images/{image:int}/frames/{frame:int}": for_readers(frame),
    "/studies/{number:int}/images/{image:int}/luts/{lut:int}": for_readers(voi_lut),
    "/audits/{audit:int}/images": for_readers(image_list),
    "/audits/{audit:int}/images/{image:int}/frames/{frame:int}": for_readers(frame),
    "/audits/{audit:int}/images/{image:int}/luts/{lut:int}": for_readers(voi_lut),
}


def _listed(frames: Path, found: list[Instance]) -> dict[str, Any]:
    """Every image with its number, which it keeps when others come: its place in the order of arrival."""
    shown = [
        {"image": at + 1, "series": series, "number": found[at].instance_number, **_described(frames, found[at])}
        for series, members in enumerate(reading_order(found), 1)
        for at in members
        if found[at].has_pixels
    ]
    return {"images": shown[:IMAGES_MAX], "left_out": max(0, len(shown) - IMAGES_MAX)}


def _described(frames: Path, instance: Instance) -> dict[str, Any]:
    said = description(frames, instance.sha256)
    lossy = instance.lossy_image_compression == "01"  # PS3.3 C.7.6.1.1.5: has been, whatever it is now
    if said is None:
        return {"here": False, "frames": 1, "modality": instance.modality, "lossy": lossy}
    return {**said, "here": True, "modality": instance.modality, "lossy": lossy}


def _priors(request: Request) -> list[dict[str, Any]]:
    """Other studies of the patient, newest first; none on a blinded read, which tells no patient."""
    if "number" not in request.path_params:
        return []
    with page_of(request).ledgers.studies() as c:
        study = ledger.study_by_number(c, request.path_params["number"])
        found = [] if study is None else priors_of(c, study)
    return [
        {"study": each.number, "modality": each.modality, "date": words.calendar_date(each.study_date)}
        for each in found
    ]


def priors_of(c: Connection, study: Row[Any]) -> list[Row[Any]]:
    """Studies that bear the same Patient ID and the same birth date: one identifier alone is no identity."""
    if not study.patient_id or not study.patient_birth_date:
        return []
    columns = ledger.studies.c
    same = (columns.patient_id == study.patient_id, columns.patient_birth_date == study.patient_birth_date)
    chosen = select(ledger.studies).where(*same, columns.number != study.number)
    return list(c.execute(chosen.order_by(columns.study_date.desc(), columns.number.desc()).limit(PRIORS_MAX)))


def _subject(request: Request) -> str:
    """What is opened, as the trail names it."""
    audit = request.path_params.get("audit")
    return f"audit {audit}" if audit is not None else f"study {request.path_params['number']}"


def _instances(request: Request) -> list[Instance] | None:
    """The study's instances in order of arrival, which never changes: an image keeps its number when others come."""
    try:
        with page_of(request).ledgers.studies() as c:
            number = _study(c, request)
            return None if number is None else ledger.instances_of(c, number)
    except Unavailable:
        return None


def _study(c: Connection, request: Request) -> int | None:
    """The study that a request names, or that its audit drew; None where there is none."""
    asked = next(request.path_params[name] for name in ("number", "audit") if name in request.path_params)
    if asked >= 2**63:
        return None
    if "audit" in request.path_params:
        drawn = watch.audit(c, asked)
        return None if drawn is None else int(drawn.study_number)
    return None if ledger.study_by_number(c, asked) is None else int(asked)


def _image(request: Request) -> tuple[str, dict[str, Any]] | None:
    """Digest and description of the image that a request counts, None where the cache does not hold it.

    One row is read, not the study's: a reader who scrolls asks for sixty frames a second.
    """
    image, columns = request.path_params["image"], ledger.instances.c
    try:
        with page_of(request).ledgers.studies() as c:
            number = _study(c, request)
            if number is None or not 1 <= image < 2**31:
                return None
            chosen = select(columns.sha256).where(columns.study_number == number).order_by(columns.id)
            sha256 = c.execute(chosen.offset(image - 1).limit(1)).scalar_one_or_none()
    except Unavailable:
        return None
    if sha256 is None:
        return None
    said = description(page_of(request).places.frames, sha256)
    return None if said is None else (sha256, said)


def frame_path(frames: Path, sha256: str, number: int) -> Path:
    assert DIGEST.fullmatch(sha256)
    return frames / sha256 / f"frame-{number:04d}.raw"


def _raw(path: Path, length: int) -> Response:
    try:
        data = bounded(path, FRAME_BYTES_MAX)
    except OSError:
        return Response("This frame is not in the cache.", 404, media_type="text/plain")
    if len(data) != length:
        return Response("This frame does not fit its description.", 409, media_type="text/plain")
    return Response(data, media_type="application/octet-stream")
