"""`appliance run SERVICE`: builds one of the five services and runs its steps until told to stop.

What a service cannot do without is checked before it says that it is ready: a missing key or folder is the
operator's, exit status 78; anything that breaks later ends the process, and the supervisor starts it again.
"""

import gc
import logging
import math
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.cli import accepted
from appliance.cli.files import quiet_libraries
from appliance.config import Config, Places, secret
from appliance.errors import Misconfigured, Unavailable
from appliance.loop import Due, Step, moment, run
from appliance.world import inotify, journal, systemd

# What pydicom loads where it is there, and no service may use: plug-ins (docs/decisions/0006: one decoder), and what
# fetches its sample files.
PLUG_INS = ("gdcm", "jpeg_ls", "pylibjpeg", "openjpeg", "requests", "tqdm")
COMMAND_LINE = "click"  # without it httpx loads none of its own, nor rich and pygments; the page's server needs it


def serve(name: str, path: Path) -> int:
    """Runs one service to its end; returns the exit status."""
    unused = (*PLUG_INS, COMMAND_LINE) if name == "deliver" else PLUG_INS
    gc.disable()  # until it is ready: a start makes much and drops little of it
    for each in unused:
        sys.modules.setdefault(each, None)  # type: ignore[arg-type]  # the import system's own word for: not there
    # Read when numpy is loaded. No matrix here is worth a second thread, and with one the sums are every machine's.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        return _served(name, path)
    finally:  # a service that may not start ends before it is ready, and its process may be a test's
        gc.enable()
        for each in unused:
            if sys.modules.get(each) is None:
                sys.modules.pop(each, None)


def _served(name: str, path: Path) -> int:
    quiet_libraries()
    logging.basicConfig(level=logging.INFO, handlers=[journal.handler(name)])
    config, mistakes = accepted.configuration(name, path)
    places = Places(config.state.folder)
    stop, wake = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stop.set()
        wake.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if name == "review":
        from appliance import review

        review.serve(config, places, stop=stop, ready=_ready, alive=_alive, mistakes=mistakes)
        return 0
    built = _BUILDERS[name](Surroundings(config, places, stop, wake))
    _ready("")
    try:
        run(built.steps, stop=stop, wake=wake, alive=_alive, due=built.due)
    finally:
        built.close()
    return 0


def _ready(address: str) -> None:
    gc.freeze()  # what a start leaves stays for good: no collection goes through it again
    gc.enable()
    systemd.notify(f"READY=1\nSTATUS={address}" if address else "READY=1")
    logging.getLogger("appliance").info("ready %s", address)


def _alive() -> None:
    systemd.notify("WATCHDOG=1", wait_s=0.0)  # a full queue holds signs of life enough


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is built from."""

    config: Config
    places: Places
    stop: threading.Event
    wake: threading.Event


@dataclass(frozen=True, slots=True)
class Built:
    """A service ready to run. due: as loop.run asks it."""

    steps: dict[str, Step]
    close: Callable[[], None]
    due: Due = lambda _: math.inf


def _receive(around: Surroundings) -> Built:
    from appliance import receive
    from appliance.receive import listening

    service = receive.Receive(around.config, around.places)
    steps, reports = service.steps(), receive.reports(around.config)
    if reports is not None:  # before the door opens: a start sweeps away what is half-written
        steps |= receive.Receive(around.config, around.places, reports).steps()
    door = listening.Listening(around.config, around.places)
    receive.hint(service, around.stop, around.wake.set)
    if door.steps():
        with suppress(Unavailable):  # an address that is not there yet: the step tries again and says so
            door.listen(moment())
    return Built({**steps, **door.steps()}, door.close, service.due)


def _triage(around: Surroundings) -> Built:
    from appliance import triage
    from appliance.triage import integrity

    site_key = secret("site-key", around.config.triage.site_key_file)
    if site_key is None:
        raise Misconfigured("deid-site-key", "triage.site_key_file")
    integrity.look(around.places)
    service = triage.Triage(around.config, around.places, site_key)
    inotify.hint(around.places.incoming, stop=around.stop, wake=around.wake.set)
    return Built(service.steps(), service.close, service.due)


def _uplink(around: Surroundings) -> Built:
    from appliance import uplink

    uplink.look(around.places)
    service = uplink.Enrolling(around.config, around.places, around.wake, random.SystemRandom())
    if not around.config.updates.url:
        return Built(service.steps(), service.close)
    from appliance.uplink.updates import Updates

    fetching = Updates(around.config, around.places, around.wake.set, random.SystemRandom())
    service.on_hint = fetching.hint

    def close() -> None:
        service.close()
        fetching.close()

    return Built({**service.steps(), **fetching.steps()}, close)


def _deliver(around: Surroundings) -> Built:
    from appliance import deliver
    from appliance.deliver import targets

    places, randomness = around.places, random.SystemRandom()
    book = targets.Book(around.config, places.outbox, randomness)
    book.check()
    service = deliver.Deliver(
        around.config.deliver, places.outbox, places.receipts, book.make, book.hear, around.wake, randomness
    )
    return Built(service.steps(), service.close)


_BUILDERS: dict[str, Callable[[Surroundings], Built]] = {
    "receive": _receive,
    "triage": _triage,
    "uplink": _uplink,
    "deliver": _deliver,
}
