"""That something has changed, told to every open page within a second, and what must be heard on whatever page.

`/events` says *changed* and a number, never a row and nothing of a patient: the page asks again with its own filters,
and gets only what its session may see. One watcher looks at the databases for all streams; a stream is no sign of life
of its reader, ends with the session, and is one of few.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from appliance.errors import Unavailable
from appliance.review.alarms import Alarm, everything
from appliance.review.entrance import Reader, for_readers, reader_of
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, reading_desk

LOOK_PERIOD_S = 0.5
BEAT_PERIOD_S = 4.0  # a page that hears nothing for 10 s says so
STREAMS_MAX = 24  # of the 64 connections that are served at a time
STREAMS_EACH_MAX = 6
STREAM_AGE_S = 600.0  # then the browser opens another
HEADERS = {"X-Accel-Buffering": "no"}


@dataclass
class Watcher:
    """Counts changes of all that pages show. It looks only while somebody listens.

    open  streams by user
    stop  set when the service ends: no stream may keep it
    said  what was last found not to be well: a page begins with it, so that nothing moves when it asks itself
    """

    number: int = 0
    said: list[Alarm] = field(default_factory=list)
    open: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: tuple[object, ...] = ()
    _looked: float = -LOOK_PERIOD_S

    def look(self, page: Page, mono: float) -> int:
        """The number as it stands now; whoever comes within half a second gets the same."""
        with self.lock:
            if mono - self._looked >= LOOK_PERIOD_S:
                self._looked = mono
                seen = page.ledgers.stamp(_own_stamp)
                if seen != self._seen:
                    self._seen = seen
                    self.number += 1
            return self.number

    def enter(self, user: str) -> bool:
        """Whether one more stream may be opened; leave() gives it back."""
        with self.lock:
            if sum(self.open.values()) >= STREAMS_MAX or self.open.get(user, 0) >= STREAMS_EACH_MAX:
                return False
            self.open[user] = self.open.get(user, 0) + 1
            return True

    def leave(self, user: str) -> None:
        with self.lock:
            self.open[user] -= 1
            if not self.open[user]:
                del self.open[user]


def _own_stamp(c: Connection) -> tuple[object, ...]:
    """What of the page's own database others must see: signatures, instructions, who has what open.

    Not all of it: each page that is opened leaves a row in the trail, and would make every other page ask again.
    """
    last = [c.execute(select(func.max(table.c.id))).scalar() for table in (desk.signatures, desk.commands)]
    held = c.execute(select(reading_desk.holds.c.study_number, reading_desk.holds.c.user)).all()
    return (*last, tuple(sorted((row[0], row[1]) for row in held)))


def events(request: Request, reader: Reader) -> Response:
    """A stream of server-sent events (WHATWG HTML 9.2): changed, beat, gone."""
    watcher = watcher_of(request)
    if not watcher.enter(reader.user):
        return PlainTextResponse(_("Too many pages listen."), 503, headers={"Retry-After": "5"})
    return StreamingResponse(
        _stream(request, reader, watcher), media_type="text/event-stream", headers=HEADERS
    )  # fmt: skip


async def _stream(request: Request, reader: Reader, watcher: Watcher) -> AsyncIterator[bytes]:
    page, began = page_of(request), time.monotonic()
    said, beat = -1, began - BEAT_PERIOD_S
    try:
        while (now := time.monotonic()) - began < STREAM_AGE_S and not watcher.stop.is_set():
            number = await run_in_threadpool(watcher.look, page, now)
            if number != said:
                said = number
                yield f"id: {number}\nevent: changed\ndata: {number}\n\n".encode()
            if now - beat >= BEAT_PERIOD_S:
                beat = now
                still = await run_in_threadpool(reader_of, request)
                if still is None or still.locked or still.user != reader.user:
                    yield b"event: gone\ndata: \n\n"
                    return
                yield b"event: beat\ndata: \n\n"
            await asyncio.sleep(LOOK_PERIOD_S)
    finally:
        watcher.leave(reader.user)


def banners(request: Request, reader: Reader) -> Response:
    """What is not well, as a piece of every page; "" where all is."""
    page = page_of(request)
    try:
        with page.ledgers.studies() as c:
            found = everything(c, page, page.clock())
    except Unavailable:
        found = []
    watcher_of(request).said = found
    return page.render(request, "_banners.html", {"reader": reader, "alarms": found})


def watcher_of(request: Request) -> Watcher:
    watcher = request.app.state.watcher
    assert isinstance(watcher, Watcher)
    return watcher


ROUTES = {"/events": for_readers(events, touch=False), "/banners": for_readers(banners, touch=False)}
