"""The one list of what is not well between this appliance, its scanners and its centre.

`status`, the page and the metrics all say what stands here and nothing else of their own. Pure: whoever asks has read
the databases and the disk. An alarm bears a code of the catalogue, which says who must act and how; never a patient.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from appliance.core.document import URGENCIES, Urgency
from appliance.core.volume import Silence

Severity = Literal["alarm", "warning", "notice"]

CENTRE_SILENT_S = 900.0  # without a word while something waits
SPOOL_WARN_SHARE = 0.8
TARGET_AWAY_S = 900.0
RESULT_WAITS_S = 4 * 3600.0


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
    results_waiting: int = 0
    results_oldest_s: float = 0.0
    targets: tuple[TargetAway, ...] = ()

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
        yield Alarm("not-enrolled", "alarm", "This appliance has no keys or knows no centre: hard cases wait here.")
    if now.disk_low:
        yield Alarm("disk-low", "alarm", "Little disk: no more images are taken until space is free.")
    for urgency in reversed(URGENCIES):
        queue = now.queues.get(urgency, Queue())
        if queue.overdue:
            severity: Severity = "warning" if urgency == "routine" else "alarm"
            said = f"{_cases(queue.overdue, urgency)} past the deadline without a verdict: read locally."
            yield Alarm("verdict-overdue", severity, said)
    if now.waiting and now.enrolled and (now.heard_s is None or now.heard_s >= CENTRE_SILENT_S):
        since = "has not said a word yet" if now.heard_s is None else f"has been silent for {_span(now.heard_s)}"
        oldest = max(queue.oldest_s for queue in now.queues.values())
        yield Alarm(
            "centre-silent", "alarm", f"The centre {since}; {_cases(now.waiting)} waiting, the oldest {_span(oldest)}."
        )
    if now.spool_bytes > now.spool_bytes_max:
        yield Alarm("spool-full", "alarm", "The spool of cases is over its bytes and nothing more may go from it.")
    elif now.spool_bytes > SPOOL_WARN_SHARE * now.spool_bytes_max:
        share = 100 * now.spool_bytes / now.spool_bytes_max
        yield Alarm("spool-filling", "warning", f"The spool of cases is {share:.0f} % full; then pictures go first.")
    if now.shed:
        said = "went from the full spool and are made again when there is room; the findings go on"
        yield Alarm("spool-shed", "warning", f"Pictures or series of {_cases(now.shed)} {said}.")
    if now.refused:
        yield Alarm("case-refused", "alarm", f"The centre refused {_cases(now.refused)}: a person must read them.")
    if now.damaged:
        yield Alarm(
            "part-damaged", "warning", f"{_cases(now.damaged)} cannot be sent as sealed; made again if possible."
        )
    yield from _results(now)
    for each in now.silent:
        usual = f"{each.expected:.0f} studies were usual in that time"
        yield Alarm("scanner-silent", "warning", f"No {each.source} study for {_span(each.since_s)}; {usual}.")
    for words in now.models:
        yield Alarm("model-silent", "notice", words)


def _results(now: Condition) -> Iterator[Alarm]:
    for target in now.targets:
        if target.since_s is None:
            yield Alarm("target-unknown", "alarm", f"Results wait for {target.name}, which is not configured.")
        elif target.since_s >= TARGET_AWAY_S:
            said = f"{target.name} has not been reached for {_span(target.since_s)} ({target.code}); results wait."
            yield Alarm("target-away", "alarm", said)
    if now.results_waiting and now.results_oldest_s >= RESULT_WAITS_S:
        said = "result or answer waits" if now.results_waiting == 1 else "results or answers wait"
        yield Alarm(
            "result-waiting",
            "warning",
            f"{now.results_waiting} {said} for the hospital's systems, the oldest {_span(now.results_oldest_s)}.",
        )


def _cases(count: int, urgency: str = "") -> str:
    return f"{count} {urgency + ' ' if urgency else ''}{'case' if count == 1 else 'cases'}"


def _span(seconds: float) -> str:
    """A time span in one unit, as a person says it."""
    for unit, length in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
