"""How much of their work the edges keep, decided from how the centre's queue and the edges' lines stand: a rule.

It answers with a policy (appliance.core.policy), which can only take away or put in another order: which pictures go
along, whether whole series do, which modalities are sealed first. What a study is, and in which lane, no policy can
say. Values in, values out: no clock, store or file. What must not happen here is flapping: nothing moves twice within
`hold_s`, what was taken away comes back only after a calm of `patience_s`, and each time that proves too early the
calm must last twice as long.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from appliance.core.case import KEY_IMAGES_MAX
from appliance.core.document import Document, Urgency
from appliance.core.policy import NONE, THIN_LINES_MAX, FullSeries, Policy, Thin, lesser, mark_of

WATCHED_MAX = 2 * THIN_LINES_MAX
FORGOTTEN_S = 7 * 86_400.0
Seconds = Annotated[float, Field(ge=0, le=2**40, allow_inf_nan=False)]
Why = Literal["steady", "queue-long", "queue-grows", "calm", "nothing-answered", "line-thin", "line-well", "held"]


@dataclass(frozen=True, slots=True)
class Rung:
    """What is taken away of every case while the centre is pressed so far. A critical case keeps a picture on each."""

    word: str
    key_images: int = KEY_IMAGES_MAX
    pictures_from: Urgency = "routine"
    full_series: FullSeries = "on-request"


RUNGS = (
    Rung("whole"),
    Rung("fewer-pictures", 3, full_series="never"),
    Rung("one-picture", 1, full_series="never"),
    Rung("urgent-pictures", 1, "urgent", "never"),
)
THIN = Rung("thin", 1, "critical", "never")  # where a line is thin: findings go, pictures of what is critical


@dataclass(frozen=True, slots=True)
class Site:
    """One appliance that is alive, by its last status.

    waiting   cases there that the centre does not hold
    oldest_s  for how long the oldest of them has waited
    """

    device_id: str
    waiting: int
    oldest_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """How everything stands.

    waiting     cases here without a verdict
    arrived_s   cases a second that came of late; answered_s: that were answered
    """

    waiting: int
    arrived_s: float
    answered_s: float
    sites: tuple[Site, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """When to move, all in seconds.

    wait_high_s, wait_low_s  of a case that comes now until its verdict: above it is pressed, below it is calm
    line_high_s, line_low_s  of the oldest case at a site: above its line is thin, below it is well
    hold_s                   nothing moves twice within it; a line is watched so long before it counts as thin
    patience_s               calm before anything is given back
    patience_most_s          likewise, after that proved too early again and again
    first                    modalities that are sealed first while the centre is pressed, where no policy names others
    """

    wait_high_s: float = 300.0
    wait_low_s: float = 60.0
    line_high_s: float = 900.0
    line_low_s: float = 120.0
    hold_s: float = 600.0
    patience_s: float = 1800.0
    patience_most_s: float = 6 * 3600.0
    first: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert 0 <= self.wait_low_s < self.wait_high_s, "calm lies below pressed"
        assert 0 <= self.line_low_s < self.line_high_s, "well lies below thin"
        assert self.hold_s > 0, "nothing moves at once"
        assert 0 < self.patience_s <= self.patience_most_s, "nor comes back at once"


class Watched(Document):
    """A line that is or was slow.

    thin      it counts as thin now
    since     when this watch of it began; waiting: what lay there then
    calm      since when it has been well; null while it is not
    patience  how long it must be well before it gets its pictures back
    gave      when it got them back last; null: never
    seen      when its site was alive last: what was silent for a week is forgotten, and begins anew
    """

    thin: bool
    since: Seconds
    waiting: Annotated[int, Field(ge=0)]
    calm: Seconds | None
    patience: Seconds
    gave: Seconds | None
    seen: Seconds


class Standing(Document):
    """What was decided so far, and what must be remembered to decide on; times are seconds since 1970.

    rung      place in RUNGS; moved: when anything was moved last; calm, patience, gave: as for a line
    why       why the last look decided as it did
    """

    bytes_max: ClassVar[int] = 4 * 2**20
    schema_version: Literal["balance/1"] = "balance/1"
    rung: Annotated[int, Field(ge=0, lt=len(RUNGS))] = 0
    moved: Seconds = 0.0
    calm: Seconds | None = None
    patience: Seconds
    gave: Seconds | None = None
    lines: Annotated[dict[str, Watched], Field(max_length=WATCHED_MAX)] = Field(default={})
    why: tuple[Why, ...] = ("steady",)

    @property
    def thin(self) -> tuple[str, ...]:
        """Devices whose line counts as thin."""
        return tuple(sorted(name for name, line in self.lines.items() if line.thin))


def expected_s(load: Load) -> float | None:
    """How long a case that comes now waits for its verdict; None where nothing was answered, so that nobody knows."""
    if load.waiting == 0:
        return 0.0
    return load.waiting / load.answered_s if load.answered_s > 0 else None


def decided(load: Load, before: Standing, limits: Limits, at: float) -> Standing:
    """What stands after this look; equal to `before` but for what is remembered where nothing moves."""
    before = _with_a_sane_clock(before, at)
    free = at - before.moved >= limits.hold_s
    after = _rung(load, before, limits, at, free)
    lines, why = _lines(load.sites, before.lines, limits, at, free)
    after = after.model_copy(update={"lines": lines, "why": (*after.why, *why)})
    moved = after.rung != before.rung or after.thin != before.thin
    return after.model_copy(update={"moved": at if moved else before.moved})


def _with_a_sane_clock(before: Standing, at: float) -> Standing:
    """A clock that was put back must not hold everything for as long as it was wrong."""
    if before.moved <= at and (before.calm or 0.0) <= at:
        return before
    return before.model_copy(update={"moved": min(before.moved, at), "calm": None})


def _rung(load: Load, before: Standing, limits: Limits, at: float, free: bool) -> Standing:
    """One rung up or down at most. A model that answers nothing is not helped by poorer cases: then nothing moves."""
    wait = expected_s(load)
    if wait is None:
        return before.model_copy(update={"calm": None, "why": ("nothing-answered",)})
    growth = load.arrived_s - load.answered_s
    ahead = wait + growth * limits.hold_s / load.answered_s if load.answered_s > 0 else wait
    long = wait > limits.wait_high_s
    grows = limits.wait_low_s < wait and ahead > limits.wait_high_s
    if long or grows:
        why: Why = "queue-long" if long else "queue-grows"
        if before.rung == len(RUNGS) - 1:
            return before.model_copy(update={"calm": None, "why": (why,)})
        if not free:
            return before.model_copy(update={"calm": None, "why": (why, "held")})
        patience = _patience(before.patience, before.gave, limits, at)
        return before.model_copy(update={"rung": before.rung + 1, "calm": None, "patience": patience, "why": (why,)})
    if wait > limits.wait_low_s:
        return before.model_copy(update={"calm": None, "why": ("steady",)})
    calm = at if before.calm is None else before.calm
    told = {"calm": calm, "why": ("calm",)}
    if before.rung and free and at - calm >= before.patience:
        told |= {"rung": before.rung - 1, "calm": at, "gave": at}
    elif not before.rung and at - calm >= limits.patience_most_s:
        told |= {"patience": limits.patience_s, "gave": None}
    return before.model_copy(update=told)


def _patience(patience: float, gave: float | None, limits: Limits, at: float) -> float:
    """Twice as long as before where what was given back is wanted again so soon."""
    soon = gave is not None and at - gave < 2 * max(patience, limits.hold_s)
    return min(2 * patience, limits.patience_most_s) if soon else patience


def _lines(
    sites: Iterable[Site], before: Mapping[str, Watched], limits: Limits, at: float, free: bool
) -> tuple[dict[str, Watched], list[Why]]:
    """The lines watched after this look. A site that is not alive keeps what it had: nobody knows its line now."""
    after, why = dict(before), list[Why]()
    for site in sorted(sites, key=lambda each: -each.oldest_s):
        line = before.get(site.device_id)
        if line is None:
            if site.oldest_s > limits.line_high_s and len(after) < WATCHED_MAX:
                after[site.device_id] = Watched(
                    thin=False,
                    since=at,
                    waiting=site.waiting,
                    calm=None,
                    patience=limits.patience_s,
                    gave=None,
                    seen=at,
                )
            continue
        now = _line(site, line, limits, at, free, room=sum(each.thin for each in after.values()) < THIN_LINES_MAX)
        why += [] if now is None or now.thin == line.thin else ["line-thin" if now.thin else "line-well"]
        if now is None:
            del after[site.device_id]
        else:
            after[site.device_id] = now.model_copy(update={"seen": at})
    gone = [name for name, line in after.items() if at - line.seen > FORGOTTEN_S and (free or not line.thin)]
    after = {name: line for name, line in after.items() if name not in gone}
    return after, list(dict.fromkeys(why))


def _line(site: Site, line: Watched, limits: Limits, at: float, free: bool, *, room: bool) -> Watched | None:
    """One watched line after this look; None where there is nothing left to remember of it."""
    calm = (at if line.calm is None else min(line.calm, at)) if site.oldest_s < limits.line_low_s else None
    if line.thin:
        if calm is not None and free and at - calm >= line.patience:
            told = {"thin": False, "calm": at, "gave": at, "since": at, "waiting": site.waiting}
            return line.model_copy(update=told)
        return line.model_copy(update={"calm": calm})
    if calm is not None:
        forgotten = line.gave is None or at - line.gave >= limits.patience_most_s
        return None if forgotten else line.model_copy(update={"calm": calm, "since": at, "waiting": site.waiting})
    if site.oldest_s <= limits.line_high_s or at < line.since:
        return line.model_copy(update={"calm": None, "since": at, "waiting": site.waiting})
    if at - line.since < limits.hold_s or not free or not room:
        return line.model_copy(update={"calm": None})
    drained = line.waiting - site.waiting
    home_s = site.waiting * (at - line.since) / drained if drained > 0 else inf
    if home_s <= limits.line_high_s:  # it comes back from somewhere and is soon home: no thin line
        return line.model_copy(update={"since": at, "waiting": site.waiting})
    return line.model_copy(update={"thin": True, "patience": _patience(line.patience, line.gave, limits, at)})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A policy without its number: two of the same contents are one."""

    policy: Policy = field(default=NONE)

    def numbered(self, number: int) -> Policy:
        return self.policy.model_copy(update={"number": number})

    @property
    def moves(self) -> bool:
        return self.policy != NONE


def wanted(standing: Standing, base: Policy, limits: Limits) -> Wanted:
    """The policy that should be in force: a person's own, less what is taken away now. Nothing of a person's is undone.

    base  the newest policy that a person published; NONE where there is none
    """
    rung = RUNGS[standing.rung]
    over = Policy(
        number=1, key_images=rung.key_images, pictures_from=rung.pictures_from, full_series=rung.full_series
    )  # fmt: skip
    first = base.first or (limits.first if standing.rung else ())
    thin, told_by_people = base.thin, base.thin.lines if base.thin else ()
    marks = sorted({mark_of(name) for name in standing.thin} - set(told_by_people))
    if marks:
        lines = (*told_by_people, *marks)[:THIN_LINES_MAX]
        own = Policy(number=1, key_images=THIN.key_images, pictures_from=THIN.pictures_from, full_series="never")
        thin = Thin(lines=lines, **(lesser(own, thin) if thin else lesser(own, NONE)))
    told = {"number": 1, "schema_version": "policy/2", "first": first, "thin": thin, **lesser(base, over)}
    return Wanted(base.model_copy(update=told))
