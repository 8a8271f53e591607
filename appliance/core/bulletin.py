"""What triage hands uplink to say of this appliance to whoever looks after many: codes, counts, versions, digests.

It has no field for words, names, dates of studies or anything of a case, so that none can be put into it. It bears no
edition of its own: it is a part of a status, and any change here is a new edition of that.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field

from appliance.core.alarms import Alarm, Severity
from appliance.core.document import Code, Document, Hex64
from appliance.core.roles import TITLE_PATTERN

DAY_COUNT_MAX = 1_000_000
ALARMS_MAX = 64
MODELS_MAX = 32
CERTIFICATES_MAX = 16  # of one model
TARGETS_MAX = 10_000
SECONDS_MAX = 2**40
# Who hears a bulletin hears it over the line that these speak of: true of the minute before, at best.
OF_THE_LINE = frozenset({"line-gone", "uplink-silent"})
SEVERITIES: tuple[Severity, ...] = get_args(Severity)  # the gravest first

Share = Literal["deciding", "beside", "stopped"]
DayCount = Annotated[int, Field(ge=0, le=DAY_COUNT_MAX)]
TargetCount = Annotated[int, Field(ge=0, le=TARGETS_MAX)]


class Day(Document):
    """Of the studies that came in the last 24 hours, how many stand in which lane now."""

    cleared: DayCount
    flagged: DayCount
    escalated: DayCount
    quarantined: DayCount
    undecided: DayCount


class Running(Document):
    """One model that is loaded there.

    sha256        of its graphs
    part          whether it decides, only runs beside, or is stopped
    certificates  digests of those that may open a lane today
    """

    title: Annotated[str, Field(pattern=rf"^{TITLE_PATTERN}$")]
    sha256: Hex64
    part: Share
    certificates: Annotated[tuple[Hex64, ...], Field(max_length=CERTIFICATES_MAX)]


class UpdatesStanding(Document):
    """How the repository of updates stands there.

    number   of the list that was verified last; 0: none yet
    expires  when that list ends, seconds since 1970; null before the first one
    code     why the last look believed nothing; null where it did
    held     targets taken in; likewise those whose bytes are awaited, that were refused, left for others, withdrawn
    """

    number: Annotated[int, Field(ge=0, le=2**40)]
    expires: Annotated[int, Field(ge=0, le=SECONDS_MAX)] | None
    code: Code | None
    held: TargetCount
    awaited: TargetCount
    refused: TargetCount
    left: TargetCount
    withdrawn: TargetCount


class Bulletin(Document):
    """What triage says of the appliance as a whole, in coded numbers. It speaks of no patient and of no case.

    made_at  seconds since 1970 by the appliance's clock: an old one means that triage stands still
    alarms   code to severity, of those that stand
    day      the last 24 hours
    models   that are loaded
    policy   number of the policy in force; 0: none
    updates  null where this appliance takes none
    """

    made_at: Annotated[int, Field(ge=0, le=SECONDS_MAX)]
    alarms: Annotated[dict[Code, Severity], Field(max_length=ALARMS_MAX)]
    day: Day
    models: Annotated[tuple[Running, ...], Field(max_length=MODELS_MAX)]
    policy: Annotated[int, Field(ge=0, le=2**31)]
    updates: UpdatesStanding | None


def codes(alarms: list[Alarm]) -> dict[str, Severity]:
    """The gravest severity of each code that stands; its sentence stays here."""
    found: dict[str, Severity] = {}
    for alarm in alarms:
        if alarm.code not in OF_THE_LINE:
            known = found.get(alarm.code, alarm.severity)
            found[alarm.code] = min(known, alarm.severity, key=SEVERITIES.index)
    return dict(list(found.items())[:ALARMS_MAX])
