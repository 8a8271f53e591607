"""A signed release of the appliance itself: which one is taken, what is done next, and what counts as worse. Pure.

Facts in, the next step out. What a step does, and how it survives a power cut, stands in `cli/release.py`. Every step
may be done twice; each is counted before it is made, so that one that ends the machine is not made for ever.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from appliance.core.document import Document, Hex64
from appliance.core.lifecycle import State
from appliance.core.updates import VERSION, Offer, OwnRing, why_not_taken

Mode = Literal["off", "ask", "install"]
# chosen: nothing done; tested: its tree lies aside and works; placed: beside the running one, whose copy is kept too;
# installed: it runs and is watched; back: it was worse, and the former one is put back.
Stage = Literal["chosen", "tested", "placed", "installed", "back"]
Step = Literal["rest", "choose", "drop", "test", "fail", "wait", "place", "install", "watch", "go back", "restore"]
PACKAGE = "edge-diagnostic-appliance"
NAME = re.compile(rf"releases/{PACKAGE}_({VERSION})_amd64\.deb")
WINDOW = r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]"
TRIES_MAX = 3
KEPT_MAX = 20  # failures and installations that are remembered
# The machine's own work on a study: what is in none of these waits for a person, for the centre, or for nobody.
AT_WORK: frozenset[State] = frozenset({"received", "complete", "hard"})
# Lines of `check` about somebody else: the broker is dialled by uplink, which is looked at as a unit.
OTHERS = frozenset({"broker"})

Version = Annotated[str, Field(pattern=rf"^{VERSION}$")]


class Trial(Document):
    """One release between being chosen and being kept or taken back.

    former  the version that ran when it was chosen
    tries   how often the step of this stage was begun
    before  lines of `check` before the switch: name -> was it well
    active  services that ran before the switch
    code    at stage back: why
    """

    version: Version
    sha256: Hex64
    former: str
    stage: Stage = "chosen"
    by_person: bool = False
    tries: int = 0
    before: dict[str, bool] = Field(default_factory=dict)
    active: tuple[str, ...] = ()
    code: str = ""
    what: str = ""


class Ended(Document):
    """A release that is installed, or that failed: code and what; by its digest it is not tried again."""

    version: Version
    former: str
    sha256: Hex64
    at: float
    code: str = ""
    what: str = ""


class Record(Document):
    """All that is remembered between two runs, in one file.

    code      why the signed list of updates could not be believed at the last look; "" where it could
    waits     the newest release for this appliance that is not installed
    """

    bytes_max = 256 * 1024
    schema_version: Literal["releases/1"] = "releases/1"
    looked_at: float = 0.0
    code: str = ""
    waits: str = ""
    trial: Trial | None = None
    failed: tuple[Ended, ...] = ()
    installed: tuple[Ended, ...] = ()

    @property
    def last_failed(self) -> Ended | None:
        """The newest failure, unless something was installed after it."""
        if not self.failed or (self.installed and self.installed[-1].at >= self.failed[-1].at):
            return None
        return self.failed[-1]


@dataclass(frozen=True, slots=True)
class Facts:
    """candidate: a release could be chosen; offered: the trial's is signed for here still, None: not known now."""

    mode: Mode
    ordered: bool
    window: bool
    candidate: bool
    trial: Trial | None
    offered: bool | None
    busy: bool


def next_step(now: Facts) -> Step:
    """What is done now. Until something was switched anything may wait; after it, all goes on to an end."""
    trial = now.trial
    if trial is None:
        return "choose" if now.candidate and _may(now, by_person=False) else "rest"
    spent = trial.tries >= TRIES_MAX
    match trial.stage:
        case "placed":
            if now.offered is False and trial.tries == 0:  # taken back while it waited: nothing was switched
                return "drop"
            if now.busy and trial.tries == 0:  # cut off before anything was switched, and a case came meanwhile
                return "wait"
            return "go back" if spent else "install"
        case "installed":
            return "go back" if spent else "watch"
        case "back":
            return "restore"
    if now.offered is False:
        return "drop"
    if now.offered is None or not _may(now, by_person=trial.by_person):
        return "rest"
    if trial.stage == "chosen":
        return "fail" if spent else "test"
    return "wait" if now.busy else "place"


def _may(now: Facts, *, by_person: bool) -> bool:
    return now.ordered or by_person or (now.mode == "install" and now.window)


def version_of(offer: Offer) -> str:
    """The version that a release's signed path says; "" where it is called as no release of ours is."""
    found = NAME.fullmatch(offer.path)
    return found[1] if found else ""


def for_here(offers: Sequence[Offer], *, running: str, ring: OwnRing, device: str) -> dict[str, Offer]:
    """version -> release that is signed, not withdrawn, rolled out to here, fits and is newer than what runs."""
    found = {}
    for offer in offers:
        version = version_of(offer) if offer.kind == "release" else ""
        if not version or not is_newer(version, running) or offer.terms is None or offer.terms.withdrawn:
            continue
        if not why_not_taken(offer, ring=ring, device=device, app_version=running):
            found[version] = offer
    return found


def newest(found: Mapping[str, Offer], failed: Collection[str]) -> str:
    """The highest version whose bytes have not failed here; "" where there is none."""
    left = [version for version, offer in found.items() if offer.sha256 not in failed]
    return max(left, key=_numbers, default="")


def is_newer(version: str, running: str) -> bool:
    return _numbers(version) > _numbers(running)


def in_window(window: str, minute: int) -> bool:
    """Whether a minute of the day, local time, lies in "HH:MM-HH:MM"; one that ends before it begins spans midnight,
    and one that ends as it begins is the whole day."""
    begin, end = (int(each[:2]) * 60 + int(each[3:]) for each in window.split("-"))
    if begin < end:
        return begin <= minute < end
    return minute >= begin or minute < end


def worse(before: Mapping[str, bool], after: Mapping[str, bool], active: Collection[str], now: Collection[str]) -> str:
    """The first thing that was well and is not: a service that ran, a line of `check`; "" where there is none.

    A line that nobody knew before counts as having been well.
    """
    gone = sorted(set(active) - set(now))
    if gone:
        return f"service {gone[0]}"
    if not after:
        return "check"
    red = (name for name, ok in after.items() if not ok and name not in OTHERS and before.get(name, True))
    return next(red, "")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
