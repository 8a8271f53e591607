"""Pictures fetched past the page that shows them leave a row in the trail too: once a session and study.

Opening a case is a row each time; its hundreds of frames are none. Whoever asks for frames of a study without having
opened it in this session is noted when the first one is asked for. A restart forgets, and then notes once more.
"""

import threading
from collections import OrderedDict

from starlette.requests import Request

from appliance.review.entrance import Reader
from appliance.review.ledgers import page_of
from appliance.world import desk

REMEMBERED_MAX = 10_000


class Openings:
    """Which session has opened what, the oldest forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, reader: Reader, subject: str) -> bool:
        """Whether this is new to the session."""
        return self.is_new(reader.token_hash, subject)

    def is_new(self, holder: str, subject: str) -> bool:
        with self._lock:
            new = (holder, subject) not in self._known
            self._known[holder, subject] = None
            while len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
            return new


def opened(request: Request, reader: Reader, subject: str) -> None:
    """The page of a subject has been opened and noted by whoever shows it."""
    _of(request).add(reader, subject)


def note_once(request: Request, reader: Reader, subject: str) -> None:
    """Pictures of a subject are asked for: a row, unless this session has opened it."""
    if _of(request).add(reader, subject):
        page = page_of(request)
        with page.ledgers.pen().begin() as c:
            desk.note(c, at=page.clock(), user=reader.user, act="images-opened", subject=subject)


def is_new(request: Request, holder: str, subject: str) -> bool:
    """Whether a holder of any kind (a session, a viewer's token) comes to a subject for the first time."""
    return _of(request).is_new(holder, subject)


def _of(request: Request) -> Openings:
    openings = request.app.state.openings
    assert isinstance(openings, Openings)
    return openings
