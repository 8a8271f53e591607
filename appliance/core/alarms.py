"""The one list of what is not well between this appliance, its scanners and its centre.

`status`, the page and the metrics all say what stands here and nothing else of their own. Pure: whoever asks has read
the databases and the disk. An alarm bears a code of the catalogue, which says who must act and how; never a patient.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from appliance.core.document import URGENCIES, Urgency
from appliance.core.say import Said, say, say_n
from appliance.core.volume import Silence

Severity = Literal["alarm", "warning", "notice"]

CENTRE_SILENT_S = 900.0  # without a word while something waits
SPOOL_WARN_SHARE = 0.8
LINE_GONE_S = 5.0  # a line that flaps is not cried out each time
UPLINK_SILENT_S = 60.0
TARGET_AWAY_S = 900.0
RESULT_WAITS_S = 4 * 3600.0
CLOCK_AHEAD_S = 120.0  # how far a row may lie ahead of the clock
ENDS_SOON_DAYS, ENDS_NOW_DAYS = 14.0, 3.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Cases of one urgency that the centre does not hold yet, and those it holds without having answered.

    oldest_s    seconds since the oldest of them was sealed
    overdue     of both, past the deadline of their urgency
    """

    waiting: int = 0
    oldest_s: float = 0.0
    unanswered: int = 0
    overdue: int = 0


@dataclass(frozen=True, slots=True)
class TargetAway:
    """A system that results go to and that is not reached. since_s: None where it is not even configured."""

    name: str
    code: str
    since_s: float | None


@dataclass(frozen=True, slots=True)
class Condition:
    """All that the list is made from.

    heard_s  seconds since the centre's last word of any kind; None: it never said one
    silent   sources that say nothing although they usually would
    results_waiting    orders to deliver something that have no receipt, and since when the oldest waits
    models   models that have not flagged anything for longer than is to be believed, in words
    clock_ahead_s  how far the newest row on file lies ahead of the clock
    page_days, line_days  until the page's and the line's certificate end; None: there is none
    line_gone_s    seconds since the broker was lost, by uplink's word; None: it is there, or nothing was said yet
    updates_stand  no list of updates that may be believed is in force, although a root of updates was given
    updates_refused  updates that came and were refused
    models_fallen   names of models whose newer version was left by itself
    models_offered  titles of models beside whose figures hold and that a certificate of this site lets decide
    release_failed, release_waits  versions of the appliance: did not do here; can be installed by root
    uplink_said_s  seconds since uplink's last word; None: it never said one
    """

    queues: Mapping[Urgency, Queue] = field(default_factory=dict)
    shed: int = 0
    spool_bytes: int = 0
    spool_bytes_max: int = 1
    refused: int = 0
    damaged: int = 0
    enrolled: bool = True
    heard_s: float | None = 0.0
    disk_low: bool = False
    silent: tuple[Silence, ...] = ()
    models: tuple[str, ...] = ()
    line_gone_s: float | None = None
    uplink_said_s: float | None = None
    results_waiting: int = 0
    results_oldest_s: float = 0.0
    targets: tuple[TargetAway, ...] = ()
    clock_ahead_s: float = 0.0
    page_days: float | None = None
    line_days: float | None = None
    updates_stand: bool = False
    updates_refused: int = 0
    models_fallen: tuple[str, ...] = ()
    models_offered: tuple[str, ...] = ()
    release_failed: str = ""
    release_waits: str = ""

    @property
    def waiting(self) -> int:
        return sum(queue.waiting for queue in self.queues.values())


@dataclass(frozen=True, slots=True)
class Alarm:
    """One line of the list. code: of errors.CATALOGUE; said: a sentence with its numbers."""

    code: str
    severity: Severity
    said: str


def alarms(condition: Condition) -> list[Alarm]:
    """What is not well, the gravest first; empty where all is."""
    rank = {"alarm": 0, "warning": 1, "notice": 2}
    return sorted(_found(condition), key=lambda alarm: rank[alarm.severity])


def _found(now: Condition) -> Iterator[Alarm]:
    if not now.enrolled:
        said = say("This appliance has no keys or knows no centre: hard cases wait here.")
        yield Alarm("not-enrolled", "alarm", said)
    if now.disk_low:
        yield Alarm("disk-low", "alarm", say("Little disk: no more images are taken until space is free."))
    yield from _clock_and_certificates(now)
    for urgency in reversed(URGENCIES):
        queue = now.queues.get(urgency, Queue())
        if queue.overdue:
            severity: Severity = "warning" if urgency == "routine" else "alarm"
            yield Alarm("verdict-overdue", severity, _overdue(queue.overdue, urgency))
    yield from _line(now)
    if now.spool_bytes > now.spool_bytes_max:
        said = say("The spool of cases is over its bytes and nothing more may go from it.")
        yield Alarm("spool-full", "alarm", said)
    elif now.spool_bytes > SPOOL_WARN_SHARE * now.spool_bytes_max:
        share = f"{100 * now.spool_bytes / now.spool_bytes_max:.0f}"
        said = say("The spool of cases is %(share)s %% full; then pictures go first.", share=share)
        yield Alarm("spool-filling", "warning", said)
    if now.shed:
        said = say_n(
            "Pictures or series of %(count)s case went from the full spool and are made again when there is room; "
            "the findings go on.",
            "Pictures or series of %(count)s cases went from the full spool and are made again when there is room; "
            "the findings go on.",
            now.shed,
        )
        yield Alarm("spool-shed", "warning", said)
    if now.refused:
        one = "The centre refused %(count)s case: a person must read it."
        said = say_n(one, "The centre refused %(count)s cases: a person must read them.", now.refused)
        yield Alarm("case-refused", "alarm", said)
    if now.damaged:
        one = "%(count)s case cannot be sent as sealed; made again if possible."
        said = say_n(one, "%(count)s cases cannot be sent as sealed; made again if possible.", now.damaged)
        yield Alarm("part-damaged", "warning", said)
    yield from _results(now)
    for each in now.silent:
        said = say(
            "No %(source)s study for %(span)s; %(usual)s studies were usual in that time.",
            source=each.source,
            span=_span(each.since_s),
            usual=f"{each.expected:.0f}",
        )
        yield Alarm("scanner-silent", "warning", said)
    yield from _updates(now)
    for words in now.models:
        yield Alarm("model-silent", "notice", words)


def _clock_and_certificates(now: Condition) -> Iterator[Alarm]:
    if now.clock_ahead_s > CLOCK_AHEAD_S:
        span = _span(now.clock_ahead_s)
        said = say(
            "A row on file lies %(span)s ahead of this machine's clock: ages and deadlines are wrong.", span=span
        )
        yield Alarm("clock-behind", "alarm", said)
    ends = {
        "page-certificate": (now.page_days, say("The certificate of the page ends soon, or has ended.")),
        "line-certificate": (now.line_days, say("The certificate of the line to the centre ends soon, or has ended.")),
    }
    for code, (days, words) in ends.items():
        if days is not None and days < ENDS_SOON_DAYS:
            yield Alarm(code, "alarm" if days < ENDS_NOW_DAYS else "warning", words)


def _overdue(count: int, urgency: Urgency) -> Said:
    return {
        "routine": say_n(
            "%(count)s routine case past the deadline without a verdict: read locally.",
            "%(count)s routine cases past the deadline without a verdict: read locally.",
            count,
        ),
        "urgent": say_n(
            "%(count)s urgent case past the deadline without a verdict: read locally.",
            "%(count)s urgent cases past the deadline without a verdict: read locally.",
            count,
        ),
        "critical": say_n(
            "%(count)s critical case past the deadline without a verdict: read locally.",
            "%(count)s critical cases past the deadline without a verdict: read locally.",
            count,
        ),
    }[urgency]


def _line(now: Condition) -> Iterator[Alarm]:
    """Uplink, the broker, the centre behind it."""
    if now.uplink_said_s is not None and now.uplink_said_s >= UPLINK_SILENT_S:
        span = _span(now.uplink_said_s)
        said = say("Uplink has not said for %(span)s that it lives: nothing is sent.", span=span)
        yield Alarm("uplink-silent", "alarm", said)
    elif now.line_gone_s is not None and now.line_gone_s >= LINE_GONE_S:
        span = _span(now.line_gone_s)
        said = say("No line to the centre for %(span)s; nothing waits, decisions are kept.", span=span)
        if now.waiting:
            said = say_n(
                "No line to the centre for %(span)s; %(count)s case waiting, decisions are kept.",
                "No line to the centre for %(span)s; %(count)s cases waiting, decisions are kept.",
                now.waiting,
                span=span,
            )
        yield Alarm("line-gone", "warning", said)
    if now.waiting and now.enrolled and (now.heard_s is None or now.heard_s >= CENTRE_SILENT_S):
        oldest = _span(max(queue.oldest_s for queue in now.queues.values()))
        said = say_n(
            "The centre has not said a word yet; %(count)s case waiting, the oldest %(oldest)s.",
            "The centre has not said a word yet; %(count)s cases waiting, the oldest %(oldest)s.",
            now.waiting,
            oldest=oldest,
        )
        if now.heard_s is not None:
            said = say_n(
                "The centre has been silent for %(span)s; %(count)s case waiting, the oldest %(oldest)s.",
                "The centre has been silent for %(span)s; %(count)s cases waiting, the oldest %(oldest)s.",
                now.waiting,
                span=_span(now.heard_s),
                oldest=oldest,
            )
        yield Alarm("centre-silent", "alarm", said)


def _results(now: Condition) -> Iterator[Alarm]:
    for target in now.targets:
        if target.since_s is None:
            said = say("Results wait for %(target)s, which is not configured.", target=target.name)
            yield Alarm("target-unknown", "alarm", said)
        elif target.since_s >= TARGET_AWAY_S:
            said = say(
                "%(target)s has not been reached for %(span)s (%(code)s); results wait.",
                target=target.name,
                span=_span(target.since_s),
                code=target.code,
            )
            yield Alarm("target-away", "alarm", said)
    if now.results_waiting and now.results_oldest_s >= RESULT_WAITS_S:
        said = say_n(
            "%(count)s result or answer waits for the hospital's systems, the oldest %(oldest)s.",
            "%(count)s results or answers wait for the hospital's systems, the oldest %(oldest)s.",
            now.results_waiting,
            oldest=_span(now.results_oldest_s),
        )
        yield Alarm("result-waiting", "warning", said)


def _updates(now: Condition) -> Iterator[Alarm]:
    if now.updates_stand:
        said = say("Updates stand still: what lies here is too old or not signed as it must be. Decisions go on.")
        yield Alarm("updates-stale", "warning", said)
    if now.updates_refused:
        said = say_n(
            "%(count)s update was refused; the page of the models says why.",
            "%(count)s updates were refused; the page of the models says why.",
            now.updates_refused,
        )
        yield Alarm("updates-refused", "warning", said)
    for name in now.models_fallen:
        said = say("The newer version of %(model)s did not do here; the one before decides again.", model=name)
        yield Alarm("model-fell-back", "warning", said)
    for title in now.models_offered:
        said = say("%(model)s runs beside, is certified here and its figures hold: it can be activated.", model=title)
        yield Alarm("model-offered", "notice", said)
    if now.release_failed:
        said = say("Version %(version)s did not do here; the former one runs.", version=now.release_failed)
        yield Alarm("release-failed", "warning", said)
    if now.release_waits:
        said = say("Version %(version)s of this appliance can be installed.", version=now.release_waits)
        yield Alarm("release-waits", "notice", said)


def _span(seconds: float) -> Said:
    """A time span in one unit, as a person says it."""
    if seconds >= 2 * 86_400.0:
        return say("%(count)s days", count=f"{seconds / 86_400.0:.0f}")
    if seconds >= 2 * 3600.0:
        return say("%(count)s hours", count=f"{seconds / 3600.0:.0f}")
    if seconds >= 2 * 60.0:
        return say("%(count)s minutes", count=f"{seconds / 60.0:.0f}")
    return say("%(count)s seconds", count=f"{seconds:.0f}")
