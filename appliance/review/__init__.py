"""The review service: the clinicians' page, under TLS, or on loopback without.

It reads every ledger, writes only review/review.db, opens nothing of phi/ but the ledger and the frames cache, and
dials nothing. It never moves a study: a signature or a command is a row that triage takes over.
"""

import logging
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy.exc import DatabaseError, OperationalError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates
from starlette.types import ASGIApp

from appliance.config import Config, Places
from appliance.errors import CATALOGUE, Misconfigured
from appliance.review import (
    account,
    administration,
    audits,
    beginning,
    blinding,
    casefile,
    critical,
    departure,
    dicomweb,
    display,
    doors,
    emergency,
    entrance,
    entry,
    holds,
    images,
    language,
    late_images,
    line,
    live,
    lock,
    members,
    models,
    openings,
    outbox,
    overlay,
    overview,
    printed,
    provider,
    quality,
    quarantine,
    signing,
    switch,
    trouble,
    upkeep,
    viewing,
    walls,
    worklist,
)
from appliance.review.dicomweb import gate, retrieve
from appliance.review.ledgers import Ledgers, Page
from appliance.review.proofs import Proofs
from appliance.review.roundtrips import RoundTrips

HERE = Path(__file__).parent
LOG = logging.getLogger("appliance")
CONNECTIONS_MAX = 64
KEEP_ALIVE_S = 5
SHUTDOWN_S = 3
TEND_TICKS = 36_000  # of a tenth of a second: an hour
ALIVE_TICKS = 50


def add_user(
    places: Places, name: str, password: str, *, replace: bool = False, role: str = "reader", by: str = ""
) -> None:
    """Adds a user of the review page. Raises Refused("user-name"), ("user-exists"), ("password-weak"), ("users-full").

    by  who adds, for the trail
    """
    with opened(places) as ledgers:
        members.add_user(ledgers, name, password, at=time.time(), replace=replace, role=role, by=by)


def withdraw_certificate(places: Places, digest: str, *, user: str, because: str) -> None:
    """Files that a certificate opens no lane any more, as the models page does. Raises Refused("reason-missing")."""
    nonce = secrets.token_urlsafe(32)
    with opened(places) as ledgers:
        models.file_withdrawal(ledgers, digest, user=user, because=because, nonce=nonce, at=time.time())


def opened(places: Places) -> closing[Ledgers]:
    """The page's own database for a verb of the command line. Raises Misconfigured("ledger-damaged")."""
    found = trouble.opened(places)
    if found is None:
        raise Misconfigured("ledger-damaged", places.review_db.name)
    return closing(found)


PULSE = entrance.for_readers(lambda _request, _reader: Response(status_code=204), touch=False)
PAGES = {
    **worklist.ROUTES,
    **casefile.ROUTES,
    **departure.ROUTES,
    **display.ROUTES,
    **printed.ROUTES,
    **critical.ROUTES,
    **quality.ROUTES,
    **holds.ROUTES,
    **images.ROUTES,
    **overlay.ROUTES,
    **overview.ROUTES,
    **quarantine.ROUTES,
    **outbox.ROUTES,
    **audits.ROUTES,
    **models.ROUTES,
    **switch.ROUTES,
    **lock.ROUTES,
    **account.ROUTES,
    **emergency.ROUTES,
    **administration.ROUTES,
    **upkeep.ROUTES,
    **viewing.ROUTES,
    **dicomweb.ROUTES,
    **live.ROUTES,
    "/sign-in": entrance.sign_in_page,
    "/pulse": PULSE,
}
FORMS = {
    **worklist.FORMS,
    **signing.FORMS,
    **late_images.FORMS,
    **critical.FORMS,
    **display.FORMS,
    **blinding.FORMS,
    **holds.FORMS,
    **audits.FORMS,
    **quarantine.FORMS,
    **models.FORMS,
    **switch.FORMS,
    **lock.FORMS,
    **provider.FORMS,
    **account.FORMS,
    **emergency.FORMS,
    **administration.FORMS,
    **upkeep.FORMS,
    **viewing.FORMS,
    "/sign-in": entrance.sign_in,
    "/sign-out": entrance.form_for_readers(entrance.sign_out),
}


def app(
    config: Config,
    ledgers: Ledgers,
    *,
    clock: Callable[[], float] = time.time,
    token: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    reading: retrieve.Reading | None = None,
    stop: threading.Event | None = None,
    mistakes: Sequence[tuple[str, str, str]] = (),
) -> ASGIApp:
    """The page as an ASGI application behind its wall.

    clock    wall seconds since 1970; token  unguessable text for sessions and forms
    reading  what answers DICOMweb, for whoever ends it
    stop     set when the service ends
    """
    templates = Jinja2Templates(directory=HERE / "templates")
    language.speak(templates.env)
    templates.env.globals["trouble"] = trouble.Trouble(config, ledgers.places, mistakes)
    first = beginning.Beginning(ledgers, token())
    pages = {**PAGES, "/first": first.page}
    forms = {**FORMS, "/first": first.make}
    starlette = Starlette(
        routes=[
            *(doors.Door("GET", path, endpoint) for path, endpoint in pages.items()),
            *(doors.Door("POST", path, endpoint) for path, endpoint in forms.items()),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        exception_handlers={HTTPException: _refusal, **trouble.handlers(OperationalError, DatabaseError)},
    )
    starlette.state.page = Page(config, ledgers.places, ledgers, clock, token, templates.TemplateResponse)
    starlette.state.proofs, starlette.state.roundtrips = Proofs(), RoundTrips()
    starlette.state.openings, starlette.state.reading = openings.Openings(), reading or retrieve.Reading()
    starlette.state.watcher = live.Watcher(stop=stop or threading.Event())
    tls, inner = config.review.tls, gate.gated(starlette, config.review.dicomweb_origins, clock)
    return walls.walled(
        inner,
        config.review.hosts(),
        tls=tls != "off",
        trusted=tls == "files",
        own_methods=gate.is_dicomweb,
        language=config.review.language,
        provider=provider.led_back_by(config),
    )


def serve(
    config: Config,
    places: Places,
    *,
    stop: threading.Event,
    ready: Callable[[str], None],
    alive: Callable[[], object] = lambda: None,
    mistakes: Sequence[tuple[str, str, str]] = (),
) -> None:
    """Serves the page until stop is set; ready gets its address once it answers.

    alive is called every few seconds by the loop that answers requests: the watchdog hears nothing from one that hangs.

    Raises Misconfigured("port-taken") when config.review.host and port cannot be had, "socket-differs", "tls-files".
    """
    own = line.line_of(config, places, time.time())
    with entry.listening(config.review.host, config.review.port) as listener:
        ledgers = trouble.opened(places)
        if ledgers is None:
            _serve(trouble.closed(config, places), listener, stop, ready, alive, config, own)
            return
        reading = retrieve.Reading()
        if config.review.dicomweb and places.instances.exists() and not retrieve.may_read(places.instances):
            LOG.warning("review: %s: %s", "objects-walled", CATALOGUE["objects-walled"].hint)
        try:
            made = app(config, ledgers, reading=reading, stop=stop, mistakes=mistakes)
            _serve(made, listener, stop, ready, alive, config, own)
        finally:
            reading.objects.close()
            ledgers.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the service that runs it has its own, and its own way to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        stop: threading.Event,
        ready: Callable[[], None],
        alive: Callable[[], object],
        tend: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._stop, self._ready, self._alive, self._tend = stop, ready, alive, tend

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % TEND_TICKS == 0:
            self._tend()
        if counter % ALIVE_TICKS == 0:
            self._alive()
        return self._stop.is_set() or await super().on_tick(counter)


def _serve(
    page: ASGIApp,
    listener: socket.socket,
    stop: threading.Event,
    ready: Callable[[str], None],
    alive: Callable[[], object],
    config: Config,
    own: line.Line | None,
) -> None:
    host, port = listener.getsockname()[:2]
    scheme, context = "http" if own is None else "https", None if own is None else own.context()
    address = f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"
    settings = uvicorn.Config(
        page,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=False,
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        ssl_context_factory=None if context is None else lambda _config, _default: context,
    )

    def tend() -> None:
        """Renews the page's certificate while it runs; connections made from then on are shown the new one."""
        if own is not None and context is not None and line.renew(own, config, time.time()):
            own.load_into(context)

    quiet = logging.getLogger("uvicorn.error")
    quiet.addFilter(_without_values)
    try:
        _Server(settings, stop, lambda: ready(address), alive, tend).run(sockets=[listener])
    finally:
        quiet.removeFilter(_without_values)


def _without_values(record: logging.LogRecord) -> bool:
    """A traceback's message may quote a data set: the log gets the exception's type and the lines of code only."""
    if record.exc_info:
        kind, _, trace = record.exc_info if isinstance(record.exc_info, tuple) else sys.exc_info()
        lines = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(trace)[-4:]]
        record.msg = f"review: unexpected {getattr(kind, '__name__', '')} at {' < '.join(reversed(lines))}"
        record.args, record.exc_info, record.exc_text = (), None, None
    return True


def _refusal(_: Request, error: Any) -> Response:
    return PlainTextResponse(error.detail, error.status_code, headers=error.headers)
