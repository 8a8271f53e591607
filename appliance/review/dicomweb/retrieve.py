"""WADO-RS (PS3.18 10.4): objects as they came, their headers, frames and bulk data, and pictures with a mark.

A whole object is passed on unread, once its bytes are those that came. Everything else a confined process reads out of
it; this module parses no object. Each study that is opened is noted in the trail.
"""

import hashlib
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from appliance.core.dicomweb import media
from appliance.core.dicomweb.asking import BULK, FRAME, METADATA, OBJECT_BYTES_MAX, PICTURE, STORED_FRAME
from appliance.core.dicomweb.media import BULK as BULK_PATH
from appliance.core.study import Instance
from appliance.errors import Misconfigured, Quarantined, Refused
from appliance.review.dicomweb.entrance import OPENED, for_viewers, note
from appliance.review.dicomweb.gate import PREFIX
from appliance.review.dicomweb.search import accepted, members_of, root_of, study_named
from appliance.review.entrance import Reader
from appliance.review.ledgers import page_of
from appliance.world import archive
from appliance.world.objects import Objects

CHUNK_BYTES = 2**20
ANSWER_BYTES_MAX = 256 * 2**20  # of what is held whole: metadata, frames
CACHE_BYTES_MAX = 32 * 2**20
FRAMES_MAX = 1_000
FRAME_LIST = re.compile(r"[0-9]{1,6}(,[0-9]{1,6})*")
PIXEL_PATHS = ("7FE00010", "7FE00008", "7FE00009")
WINDOW = re.compile(
    r"(-?[0-9]{1,9}(?:\.[0-9]{1,6})?),([0-9]{1,9}(?:\.[0-9]{1,6})?),(linear|linear-exact|sigmoid)", re.I
)
SIZE = re.compile(r"([0-9]{1,5}),([0-9]{1,5})")
QUALITY = re.compile(r"[1-9][0-9]?|100")


class Headers:
    """Headers that were told lately, so that a viewer that opens a study again need not wait for them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[str, str]) -> bytes | None:
        with self._lock:
            return self._kept.get(key)

    def put(self, key: tuple[str, str], told: bytes) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = told
                self._bytes += len(told)
            while self._bytes > CACHE_BYTES_MAX:
                self._bytes -= len(self._kept.popitem(last=False)[1])


class Reading:
    """What answering keeps between requests."""

    def __init__(self) -> None:
        self.objects = Objects()
        self.headers = Headers()


def objects(request: Request, reader: Reader) -> Response:
    """Every object of a study, a series, or one, byte for byte as they came."""
    found = _opened(request, reader)
    media.takes_object(accepted(request), {each.transfer_syntax_uid for each in found})
    root = page_of(request).places.instances
    for each in found:
        _compared(archive.instance_path(root, each.sha256), each.sha256)
    boundary = secrets.token_hex(16)
    heads = [
        media.head(
            boundary,
            f"{media.DICOM}; transfer-syntax={each.transfer_syntax_uid}",
            length=each.bytes_count,
            first=number == 0,
        )
        for number, each in enumerate(found)
    ]
    end = media.tail(boundary)
    length = sum(map(len, heads)) + sum(each.bytes_count for each in found) + len(end)

    def parts() -> Iterator[bytes]:
        for head, each in zip(heads, found, strict=True):
            yield head
            yield from _chunks(archive.instance_path(root, each.sha256))
        yield end

    kind = media.multipart_type(media.DICOM, boundary)
    return StreamingResponse(parts(), headers={"Content-Type": kind, "Content-Length": str(length)})


def metadata(request: Request, reader: Reader) -> Response:
    """The headers of a study, a series or one object."""
    media.takes_json(accepted(request))
    found, root = _opened(request, reader), root_of(request)
    told, size = list[bytes](), 0
    for each in found:
        told.append(_header(request, each, root))
        size += len(told[-1])
        if size > ANSWER_BYTES_MAX:
            raise Refused("dicomweb-too-large")
    return Response(b"[" + b",".join(told) + b"]", media_type=media.JSON)


def frames(request: Request, reader: Reader) -> Response:
    """Frames by number, from 1."""
    wanted, asked = accepted(request), _numbers(request)
    (found,) = _opened(request, reader)
    return _frames(request, found, asked, wanted)


def bulkdata(request: Request, reader: Reader) -> Response:
    """A value that a header told by address; pixel data as frames, one a part."""
    path, wanted = request.path_params["bulk"], accepted(request)
    if not BULK_PATH.fullmatch(path):
        raise Refused("dicomweb-unknown")
    (found,) = _opened(request, reader)
    if path in PIXEL_PATHS:
        return _frames(request, found, list(range(1, min(found.number_of_frames, FRAMES_MAX) + 1)), wanted, stored=True)
    media.choices(wanted, media.EXPLICIT)
    return _multipart([(media.OCTETS, _ask(request, found, BULK, path=path))])


def rendered(request: Request, reader: Reader) -> Response:
    """A frame as a picture, the first where an address names none; the words of the mark are among its pixels."""
    kind = media.picture(accepted(request))
    numbers = _numbers(request) if "frames" in request.path_params else [1]
    if len(numbers) != 1:
        raise Refused("dicomweb-query", "frames")
    how = _how(request)
    (found,) = _opened(request, reader)
    return Response(_ask(request, found, PICTURE, number=numbers[0], kind=kind, **how), media_type=kind)


_STUDY = f"{PREFIX}/studies/{{study}}"
_SERIES = f"{_STUDY}/series/{{series}}"
_OBJECT = f"{_SERIES}/instances/{{object}}"
ROUTES = {
    **{path: for_viewers(objects) for path in (_STUDY, _SERIES, _OBJECT)},
    **{f"{path}/metadata": for_viewers(metadata) for path in (_STUDY, _SERIES, _OBJECT)},
    f"{_OBJECT}/rendered": for_viewers(rendered),
    f"{_OBJECT}/frames/{{frames}}": for_viewers(frames),
    f"{_OBJECT}/frames/{{frames}}/rendered": for_viewers(rendered),
    f"{_OBJECT}/bulkdata/{{bulk}}": for_viewers(bulkdata),
}


def may_read(folder: Path) -> bool:
    """Whether the walls of this service let it see the kept objects: as installed, they do not (systemd/dicomweb)."""
    return os.access(folder, os.R_OK | os.X_OK)


def _opened(request: Request, reader: Reader) -> list[Instance]:
    """The objects of an address, their study noted as opened. Raises Refused("dicomweb-unknown")."""
    page = page_of(request)
    with page.ledgers.studies() as c:
        study = study_named(c, request)
        found = members_of(c, request, study.number)
    if not may_read(page.places.instances):
        raise Misconfigured("objects-walled")
    note(request, reader, OPENED, f"study {study.number}")
    return found


def _numbers(request: Request) -> list[int]:
    told = request.path_params["frames"]
    found = [int(each) for each in told.split(",")] if FRAME_LIST.fullmatch(told) else []
    if not 1 <= len(found) <= FRAMES_MAX:
        raise Refused("dicomweb-query", "frames")
    return found


def _frames(
    request: Request, found: Instance, numbers: list[int], wanted: list[media.Range], *, stored: bool = False
) -> Response:
    """Frames in the first form that the client takes and the object has."""
    if not found.has_pixels or not all(1 <= number <= found.number_of_frames for number in numbers):
        raise Refused("dicomweb-unknown")
    options = media.choices(wanted, found.transfer_syntax_uid)
    if stored:  # PS3.18 10.4.1.1.5: bulk data that are compressed are told so where the client does not mind
        options.sort(key=lambda each: not each.stored)
    for choice in options:
        try:
            act, parts, size = STORED_FRAME if choice.stored else FRAME, list[tuple[str, bytes]](), 0
            for number in numbers:
                parts.append((choice.content_type, _ask(request, found, act, number=number)))
                size += len(parts[-1][1])
                if size > ANSWER_BYTES_MAX:
                    raise Refused("dicomweb-too-large")
            return _multipart(parts)
        except Quarantined as fault:
            if fault.code != "object-colour" or choice is options[-1]:
                raise
    raise AssertionError("a client that takes nothing was refused before")


def _multipart(parts: list[tuple[str, bytes]]) -> Response:
    boundary = secrets.token_hex(16)
    kind = media.multipart_type(parts[0][0], boundary)
    return Response(media.multipart(boundary, parts), headers={"Content-Type": kind})


def _header(request: Request, found: Instance, root: str) -> bytes:
    kept, key = _reading(request).headers, (found.sha256, root)
    told = kept.get(key)
    if told is None:
        series = f"{root}/studies/{found.study_instance_uid}/series/{found.series_instance_uid}"
        told = _ask(request, found, METADATA, address=f"{series}/instances/{found.sop_instance_uid}")
        kept.put(key, told)
    return told


def _how(request: Request) -> dict[str, object]:
    """Window, size and quality of a picture (PS3.18 8.3.5.1)."""
    asked, how = request.query_params, dict[str, object]()
    for key in asked:
        if key not in ("window", "viewport", "quality", "accept"):
            raise Refused("dicomweb-query")
    if "window" in asked:
        match = WINDOW.fullmatch(asked["window"])
        if match is None or float(match[2]) <= 0:
            raise Refused("dicomweb-query", "window")
        how["window"] = (float(match[1]), float(match[2]), match[3].upper().replace("-", "_"))
    if "viewport" in asked:
        match = SIZE.fullmatch(asked["viewport"])
        if match is None or not all(1 <= int(each) <= 4096 for each in match.groups()):
            raise Refused("dicomweb-query", "viewport")
        how["within"] = (int(match[1]), int(match[2]))
    if "quality" in asked:
        if not QUALITY.fullmatch(asked["quality"]):
            raise Refused("dicomweb-query", "quality")
        how["quality"] = int(asked["quality"])
    return how


def _ask(request: Request, found: Instance, act: int, **told: object) -> bytes:
    """What the confined process says of an object. Raises Quarantined, Unavailable."""
    if found.bytes_count > OBJECT_BYTES_MAX:
        raise Refused("dicomweb-too-large")
    root = page_of(request).places.instances
    return _reading(request).objects.ask(found.sha256, lambda: archive.read_instance(root, found.sha256), act, **told)


def _reading(request: Request) -> Reading:
    reading = request.app.state.reading
    assert isinstance(reading, Reading)
    return reading


def _compared(path: Path, sha256: str) -> None:
    """Raises Quarantined("instance-damaged") unless the file holds what came, before its first byte is sent."""
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        same = False
    if not same:
        raise Quarantined("instance-damaged")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            yield data
