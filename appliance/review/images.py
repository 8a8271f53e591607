"""The viewer's frames: raw little-endian values out of the frames cache, and what they mean.

Opens nothing but phi/frames, and there only names made of a digest that the ledger holds and of a number: nothing
of a request becomes part of a path. An address names a study, or an audit that tells no study, and counts its images;
no UID, no digest.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from appliance.core.study import Instance
from appliance.errors import Unavailable
from appliance.review import openings
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import page_of
from appliance.world import ledger
from appliance.world.ledger import watch

IMAGES_MAX = 5_000
DESCRIPTION_BYTES_MAX = 256 * 1024
FRAME_BYTES_MAX = 512 * 2**20
SAMPLE_BYTES = {"uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "rgb8": 3}
DIGEST = re.compile(r"[0-9a-f]{64}")


def image_list(request: Request, reader: Reader) -> Response:
    """What the viewer shows, in the order of InstanceNumber: one entry an image, with its frames' description."""
    found = _instances(request)
    if found is None:
        return JSONResponse({"images": []}, 404)
    openings.note_once(request, reader, _subject(request))
    order = sorted(range(len(found)), key=lambda at: (found[at].series_instance_uid, _number(found[at]), at))
    frames = page_of(request).places.frames
    shown = [{"image": at + 1, **_described(frames, found[at])} for at in order if found[at].has_pixels]
    return JSONResponse({"images": shown[:IMAGES_MAX], "left_out": max(0, len(shown) - IMAGES_MAX)})


def frame(request: Request, reader: Reader) -> Response:
    """One frame's bytes: rows * columns values of the image's dtype, little-endian, row by row."""
    found, image, number = _instances(request), request.path_params["image"], request.path_params["frame"]
    if found is None or not 1 <= image <= len(found):
        return Response("No such frame.", 404, media_type="text/plain")
    openings.note_once(request, reader, _subject(request))
    instance = found[image - 1]
    frames = page_of(request).places.frames
    shape = description(frames, instance.sha256)
    if shape is None or not 1 <= number <= shape["frames"]:
        return Response("This frame is not in the cache.", 404, media_type="text/plain")
    length = int(shape["rows"]) * int(shape["columns"]) * SAMPLE_BYTES[str(shape["dtype"])]
    try:
        data = _bounded(frame_path(frames, instance.sha256, number), FRAME_BYTES_MAX)
    except OSError:
        return Response("This frame is not in the cache.", 404, media_type="text/plain")
    if len(data) != length:
        return Response("This frame does not fit its description.", 409, media_type="text/plain")
    return Response(data, media_type="application/octet-stream")


ROUTES = {
    "/studies/{number:int}/images": for_readers(image_list),
    "/studies/{number:int}/images/{image:int}/frames/{frame:int}": for_readers(frame),
    "/audits/{audit:int}/images": for_readers(image_list),
    "/audits/{audit:int}/images/{image:int}/frames/{frame:int}": for_readers(frame),
}


def _subject(request: Request) -> str:
    """What is opened, as the trail names it."""
    audit = request.path_params.get("audit")
    return f"audit {audit}" if audit is not None else f"study {request.path_params['number']}"


def _instances(request: Request) -> list[Instance] | None:
    """The study's instances in order of arrival, which never changes: an image keeps its number when others come."""
    asked = next(request.path_params[name] for name in ("number", "audit") if name in request.path_params)
    try:
        with page_of(request).ledgers.studies() as c:
            if asked >= 2**63:
                return None
            if "audit" in request.path_params:
                drawn = watch.audit(c, asked)
                return None if drawn is None else ledger.instances_of(c, drawn.study_number)
            return None if ledger.study_by_number(c, asked) is None else ledger.instances_of(c, asked)
    except Unavailable:
        return None


def frame_path(frames: Path, sha256: str, number: int) -> Path:
    assert DIGEST.fullmatch(sha256)
    return frames / sha256 / f"frame-{number:04d}.raw"


def description(frames: Path, sha256: str) -> dict[str, Any] | None:
    """What core.pixels said of an instance's frames; None when the cache does not hold it or it makes no sense."""
    assert DIGEST.fullmatch(sha256)
    try:
        said: dict[str, Any] | None = json.loads(_bounded(frames / sha256 / "frames.json", DESCRIPTION_BYTES_MAX))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict) or said.get("dtype") not in SAMPLE_BYTES:
        return None
    if any(type(said.get(key)) is not int or said[key] < 1 for key in ("rows", "columns", "frames")):
        return None
    windows = said.get("windows") or []
    return {
        **{key: said[key] for key in ("rows", "columns", "frames", "dtype")},
        "slope": _finite(said.get("slope")) or 1.0,
        "intercept": _finite(said.get("intercept")) or 0.0,
        "windows": [pair for pair in windows if len(pair) == 2 and None not in map(_finite, pair) and pair[1] >= 1],
        "photometric": str(said.get("photometric", "")),
        "padding": _finite(said.get("padding")),
        "spacing": said.get("spacing") if all(map(_finite, said.get("spacing") or [None])) else None,
    }


def _finite(value: object) -> float | None:
    """A number that JSON can hold, or None: headers hold NaN and infinity, and a browser's parser takes neither."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _described(frames: Path, instance: Instance) -> dict[str, Any]:
    said = description(frames, instance.sha256)
    if said is None:
        return {"here": False, "frames": 1, "modality": instance.modality}
    return {**said, "here": True, "modality": instance.modality}


def _bounded(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError("longer than the page takes")
    return data


def _number(instance: Instance) -> int:
    return instance.instance_number if instance.instance_number is not None else 2**31
