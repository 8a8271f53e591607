"""The receive service: takes files out of the scanner's folder into incoming/, and nothing else.

It can only add. It reads no data set, opens no database and deletes nothing that is not safe in incoming/. A file is
taken when its size and time held still over two looks and it bears the magic of what the folder is for: DICOM, or HL7
and DICOM where final reports of RIS and PACS are left in a folder of their own. What cannot be taken is moved to
refused/ beside it, and a note in incoming/ says so by a code, so that the page can name it.
"""

import hashlib
import json
import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.config import Config, Places
from appliance.config.reports import OFF
from appliance.core.final_report import BYTES_MAX as REPORT_BYTES_MAX
from appliance.errors import Fault, Refused, Unavailable
from appliance.loop import Moment, Step, guarded
from appliance.world import archive, folder, inotify
from appliance.world.folder import Look, Magic

LOG = logging.getLogger("appliance.receive")
TAKEN, REFUSED = "taken", "refused"
FILES_A_STEP = 64
LOOKS_MAX = 20_000  # more files than this at once are looked at in turns
HELD_MAX = 50_000  # of more taken files than this the longest held are watched no longer
NAME_BYTES_MAX = 200
IMAGE_KINDS: dict[str, Magic] = {".dcm": folder.DICOM}
REPORT_KINDS: dict[str, Magic] = {".hl7": folder.HL7, ".sr": folder.DICOM}


@dataclass(slots=True)
class Watched:
    """A file in the folder: how it looked, since when it has looked so, and how often we looked."""

    look: Look
    since: float
    looks: int = 1


@dataclass(frozen=True, slots=True)
class Stay:
    """A file that is safe or noted here and is to be moved aside: to where, and the digest that names it there."""

    look: Look
    where: str
    digest: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What one folder is for. kinds: what its files begin with, by the suffix they get in incoming/; unlike: the
    code of a file that does not; steps: their prefix.
    """

    folder: Path
    kinds: dict[str, Magic]
    bytes_max: int
    unlike: str
    steps: str


def reports(config: Config) -> Kind | None:
    """The folder of final reports, where a site has one."""
    knobs = config.reports
    return (
        None if knobs.folder == OFF else Kind(knobs.folder, REPORT_KINDS, REPORT_BYTES_MAX, "file-not-hl7", "reports.")
    )


class Receive:
    """The service's memory between steps; losing it loses nothing, the next look finds everything again."""

    def __init__(self, config: Config, places: Places, kind: Kind | None = None) -> None:
        self.knobs = config.receive
        self.kind = kind or Kind(
            config.receive.watched_folder, IMAGE_KINDS, config.receive.file_bytes_max, "file-not-dicom", ""
        )
        self.folder = self.kind.folder
        self.incoming = places.incoming
        self.watched: dict[Path, Watched] = {}
        self.taken: dict[Path, Watched] = {}
        self.stays: dict[Path, Stay] = {}
        self.next_look = self.next_tend = 0.0
        self.low = self.more = False
        self.incoming.mkdir(parents=True, exist_ok=True)
        try:
            for name in (TAKEN, REFUSED):
                (self.folder / name).mkdir(parents=True, exist_ok=True)
        except OSError:  # not mounted yet: every look says so until it is
            LOG.warning("%s", Unavailable("folder-away"))
        archive.sweep(self.incoming)
        self._remember_taken()

    def steps(self) -> dict[str, Step]:
        own = self.kind.steps
        return {f"{own}look": self.look, f"{own}take": self.take, f"{own}tend": self.tend}

    def due(self, _now: float) -> float:
        """When, in mono seconds, what settles will have settled; never while nothing does."""
        return self.next_look if self.watched else math.inf

    def hinted(self) -> None:
        """Called from the hint thread: look at once."""
        self.next_look = 0.0

    def look(self, moment: Moment) -> bool:
        """Looks through the whole folder when it is time and what it saw last is taken; takes nothing itself."""
        if self.more or moment.mono < self.next_look:
            return False
        self.next_look = moment.mono + self.knobs.rescan_period_s
        before, self.watched = self.watched, {}
        try:
            for look in folder.look_through(self.folder, frozenset({TAKEN, REFUSED})):
                if len(self.watched) >= LOOKS_MAX:
                    break
                stay, known = self.stays.get(look.path), before.get(look.path)
                if stay is not None and stay.look == look:
                    continue
                if known is not None and known.look == look:
                    known.looks += 1
                    self.watched[look.path] = known
                else:
                    self.watched[look.path] = Watched(look, moment.mono)
        finally:
            if self.watched:  # something is settling: come back as soon as it may have
                self.next_look = moment.mono + min(self.knobs.rescan_period_s, self.knobs.settle_s)
        return False

    def take(self, moment: Moment) -> bool:
        """Takes what has settled, refuses what never will; one bad file costs no other."""
        self.more = False
        if self._disk_low():
            return False
        done = 0
        for path, watched in list(self.watched.items()):
            if done >= FILES_A_STEP:
                break
            if watched.looks < 2 or moment.mono - watched.since < self.knobs.settle_s:
                continue
            fate = guarded("receive.take", partial(self._take_one, watched, moment))
            if isinstance(fate, Refused):
                fate = guarded("receive.refuse", partial(self._refuse, watched.look, fate.code, moment))
            if isinstance(fate, Fault):
                watched.since, watched.looks = moment.mono, 1  # time will mend it: settle again
                continue
            if not fate:
                continue
            self.watched.pop(path, None)
            done += 1
        self.more = done >= FILES_A_STEP
        return done > 0

    def tend(self, moment: Moment) -> bool:
        """Keeps an eye on taken files: one that changed is taken again; under `delete` one that did not is removed."""
        if moment.mono < self.next_tend or self._disk_low():
            return False
        self.next_tend = moment.mono + self.knobs.rescan_period_s
        for stay in list(self.stays.values()):
            guarded("receive.tend", partial(self._move_aside, stay, moment))
        for path, held in list(self.taken.items()):
            now = folder.look_at(path)
            if now is None:
                del self.taken[path]
            elif now != held.look:
                self.taken[path] = Watched(now, moment.mono)
            elif held.looks == 1 and moment.mono - held.since >= self.knobs.settle_s:
                if isinstance(guarded("receive.tend", partial(self._copy, now)), Fault):
                    held.since = moment.mono
                else:
                    held.looks = 2  # safe as it stands now
            elif held.looks > 1 and moment.mono - held.since >= self.knobs.keep_taken_s:
                del self.taken[path]
                if self.knobs.after_taking == "delete":
                    archive.remove(path)
        return False

    def _take_one(self, watched: Watched, moment: Moment) -> bool:
        """True when the file is safe and moved aside, False when it must wait; raises Refused or Unavailable."""
        look = watched.look
        if not look.regular:
            raise Refused("file-link")
        if look.size > self.kind.bytes_max:
            raise Refused("file-too-large")
        if look.size == 0 or not self._suffix(look):
            if moment.mono - watched.since < self.knobs.unlike_dicom_s:
                return False  # perhaps its first bytes are still to come
            raise Refused("file-empty" if look.size == 0 else self.kind.unlike)
        digest = self._copy(look)
        self._move_aside(Stay(look, TAKEN, digest), moment)
        return True

    def _copy(self, look: Look) -> str:
        if archive.free_bytes(self.incoming) - look.size < self.knobs.disk_reserve_bytes:
            raise Unavailable("disk-low")  # a large file must not eat what the others are kept by
        suffix = self._suffix(look) or next(iter(self.kind.kinds))  # a taken file may have become anything since
        return archive.put_stream(self.incoming, folder.read_whole(look), f"take-{look.inode}", suffix)[0]

    def _suffix(self, look: Look) -> str:
        """By what a file begins with; "" where it is of no kind."""
        return next((name for name, magic in self.kind.kinds.items() if folder.bears_magic(look.path, magic)), "")

    def _refuse(self, look: Look, code: str, moment: Moment) -> bool:
        """Note first, then move: dying in between writes the same note again."""
        said = f"{look.path.relative_to(self.folder)}|{look.size}|{look.mtime_ns}"
        name = hashlib.sha256(said.encode("utf-8", "surrogateescape")).hexdigest()
        note = {"code": code, "bytes_count": look.size, "at": moment.wall}
        archive.put(self.incoming / f"{name}.note", json.dumps(note).encode())
        self._move_aside(Stay(look, REFUSED, name), moment)
        return True

    def _move_aside(self, stay: Stay, moment: Moment) -> None:
        """Moves a file out of the scanner's way. One that changed since is looked at anew; one that may not be moved,
        because the scanner owns its folder, stays there and is left alone until `tend` may move it."""
        look = stay.look
        told_before = self.stays.pop(look.path, None) is not None
        if folder.look_at(look.path) != look:
            return
        # Cut by bytes, as the file system counts; a letter cut in two is left out.
        name = look.path.name.encode("utf-8", "ignore")[-NAME_BYTES_MAX:].decode("utf-8", "ignore")
        target = self.folder / stay.where / f"{stay.digest[:16]}-{name}"
        try:
            archive.rename(look.path, target)
        except FileNotFoundError:
            return  # it vanished before it was moved
        except OSError:
            self.stays[look.path] = stay
            if not told_before:
                LOG.warning("%s", Unavailable("file-unmovable"))
            return
        # A writer that still holds the file open may go on after the move: `tend` compares with the copy.
        if stay.where == TAKEN and (moved := folder.look_at(target)) is not None:
            safe = 2 if (moved.size, moved.mtime_ns) == (look.size, look.mtime_ns) else 1
            self._hold(Watched(moved, moment.mono, safe))

    def _hold(self, taken: Watched) -> None:
        if len(self.taken) >= HELD_MAX:  # the longest held is watched no longer, and stays in taken/ as it is
            self.taken.pop(next(iter(self.taken)))
        self.taken[taken.look.path] = taken

    def _disk_low(self) -> bool:
        low = archive.free_bytes(self.incoming) < self.knobs.disk_reserve_bytes
        if low != self.low:
            self.low = low
            LOG.warning("disk-low: taking stopped; files wait in the folder" if low else "disk: taking goes on")
        return low

    def _remember_taken(self) -> None:
        """After a start: files written to after their move are taken again; under `delete` the others are held anew."""
        if not (self.folder / TAKEN).is_dir():
            return
        for look in folder.look_through(self.folder / TAKEN, frozenset()):
            changed = folder.written_since_move(look.path, self.knobs.settle_s)
            if look.regular and (changed or self.knobs.after_taking == "delete"):
                self._hold(Watched(look, 0.0, 1 if changed else 2))


def hint(service: Receive, stop: threading.Event, wake: Callable[[], None]) -> None:
    """Lets inotify wake the service."""

    def hinted() -> None:
        service.hinted()
        wake()

    inotify.hint(service.folder, stop=stop, wake=hinted, leave_out=frozenset({TAKEN, REFUSED}))
