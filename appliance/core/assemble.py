"""When a study is whole: evidence first, then quiet time, then a hard cap; and what makes it one that nobody may read.

A timer alone is too early for a slow scanner and too late for a fast one. Evidence shortens the wait and never removes
it; the hard cap makes sure that a study which never falls quiet is still read. The reason is kept in words.

That a scanner released its association is evidence where it sent the whole study in one go: it then says that it has no
more to send. It is none of a scanner that sends an object or a series at a time, and none against a count that is not
met or a gap: docs/decisions/0038-results-out-commitment-both-ways.md. What a modality tells of its performed procedure
steps is evidence where all of it is over and here, and speaks against an early end while it is not:
docs/decisions/0045-mpps-and-not-worklist.md.
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

from appliance.core.performed_step import ENDED, PerformedStep
from appliance.core.say import Figure, joined, say, say_n
from appliance.core.study import Instance, Patient, Reason
from appliance.errors import Quarantined


@dataclass(frozen=True, slots=True)
class Completeness:
    """Whether a study is taken as whole, and why or why not yet."""

    complete: bool
    reason: Reason


def completeness(
    instances: Sequence[Instance],
    *,
    bursts: Set[str] = frozenset({""}),
    steps: Sequence[PerformedStep] = (),
    quiet_s: float,
    age_s: float,
    quiet_period_s: float,
    quiet_period_with_evidence_s: float,
    hard_cap_s: float,
) -> Completeness:
    """Whether a study of these instances is whole.

    bursts   in which they came and were released, as receive noted it; "" among them: of some that is not known
    steps    every performed procedure step that is known for the study
    quiet_s  since its last new instance, s
    age_s    since its first one, s
    """
    held = _held_by_steps(instances, steps)
    released = len(instances) > 1 and len(bursts) == 1 and "" not in bursts
    evidence = "" if held else _evidence(instances, released, steps)
    count = len(instances)
    if evidence and quiet_s >= quiet_period_with_evidence_s:
        told = say("%(evidence)s; quiet for %(quiet)s s", evidence=evidence, quiet=_seconds(quiet_s))
        return Completeness(True, Reason("complete-evidence", told))
    if quiet_s >= quiet_period_s:
        told = say("%(images)s, quiet for %(quiet)s s", images=_images(count), quiet=_seconds(quiet_s))
        return Completeness(True, Reason("complete-quiet", joined([told, *held])))
    if age_s >= hard_cap_s:
        told = say("%(images)s, still growing after %(age)s s", images=_images(count), age=f"{age_s:.0f}")
        return Completeness(True, Reason("complete-cap", joined([told, *held])))
    waits = quiet_period_with_evidence_s if evidence else quiet_period_s
    told = say(
        "%(images)s, quiet for %(quiet)s of %(waits)s s",
        images=_images(count),
        quiet=_seconds(quiet_s),
        waits=_seconds(waits),
    )
    return Completeness(False, Reason("growing", joined([told, *held])))


def _images(count: int) -> str:
    return say_n("%(count)s image", "%(count)s images", count)


def _seconds(value: float) -> Figure:
    return Figure(f"{value:.1f}")


def _held_by_steps(instances: Sequence[Instance], steps: Sequence[PerformedStep]) -> list[str]:
    """What performed procedure steps say against the study being whole, in words; none: nothing."""
    held: list[str] = []
    if any(step.state not in ENDED for step in steps):
        held.append(say("a procedure step of the modality is not known to be over"))
    here = {instance.sop_instance_uid for instance in instances}
    missing = {uid for step in steps for uid in step.objects} - here
    if missing:
        held.append(
            say_n(
                "%(count)s object of a procedure step is missing",
                "%(count)s objects of procedure steps are missing",
                len(missing),
            )
        )
    series = {instance.series_instance_uid for instance in instances}
    if not missing and any(step.series - series for step in steps):
        held.append(say("a series of a procedure step is missing"))
    return held


def _named_by_steps(steps: Sequence[PerformedStep]) -> Set[str]:
    """Objects that steps speak for. One that was broken off speaks for what it names once another was completed: by
    itself it says that the examination did not come to its end."""
    if not any(step.state == "COMPLETED" for step in steps):
        return frozenset()
    return frozenset(uid for step in steps for uid in step.objects)


def _evidence(instances: Sequence[Instance], released: bool, steps: Sequence[PerformedStep]) -> str:
    """What speaks for every series being whole, in words; "" when any series has nothing to show."""
    series: dict[str, list[Instance]] = {}
    for instance in instances:
        series.setdefault(instance.series_instance_uid, []).append(instance)
    named = _named_by_steps(steps)
    found = [
        _series_evidence(members) or ("" if _lacking(members) else _told_evidence(members, released, named))
        for members in series.values()
    ]
    return joined(sorted(set(found))) if found and all(found) else ""


def _told_evidence(members: Sequence[Instance], released: bool, named: Set[str]) -> str:
    """What the modality told of a series beside its images; believed only of one that lacks nothing by itself."""
    if all(member.sop_instance_uid in named for member in members):
        return say_n(
            "%(count)s object of completed procedure steps",
            "%(count)s objects of completed procedure steps",
            len(named),
        )
    return say("sent in one go and released") if released else ""


def _series_evidence(members: Sequence[Instance]) -> str:
    promised = {member.images_in_acquisition for member in members if member.images_in_acquisition}
    count = len({member.sop_instance_uid for member in members})
    if len(promised) == 1:
        expected = promised.pop()
        return say("%(count)s of %(expected)s images", count=count, expected=expected) if count == expected else ""
    numbers = sorted(member.instance_number for member in members if member.instance_number is not None)
    # A run without a gap from 1 speaks for a whole series; a single image says nothing of a second one.
    if count > 1 and numbers == list(range(1, count + 1)):
        return say("%(count)s images without a gap", count=count)
    return ""


def _lacking(members: Sequence[Instance]) -> bool:
    """Whether a series says of itself that an image of it is missing: fewer than it promises, or a gap."""
    promised = {member.images_in_acquisition for member in members if member.images_in_acquisition}
    if promised and promised != {len({member.sop_instance_uid for member in members})}:
        return True
    numbers = {member.instance_number for member in members if member.instance_number is not None}
    return bool(numbers) and max(numbers) - min(numbers) + 1 != len(numbers)


def conflicts(instances: Sequence[Instance]) -> Quarantined | None:
    """Why nobody may read these instances as one study, or None.

    Two patients: PatientID differs, or name and birth date both differ; one of them alone may be a correction at the
    scanner. Two files under one SOP Instance UID: both are kept, and a person says which is true.
    """
    if _differ([instance.patient for instance in instances]):
        return Quarantined("study-patient-mismatch")
    files = Counter(uid for uid, _ in {(instance.sop_instance_uid, instance.sha256) for instance in instances})
    if any(count > 1 for count in files.values()):
        return Quarantined("study-conflicting-instance")
    return None


def _differ(patients: Sequence[Patient]) -> bool:
    if len({patient.patient_id.strip() for patient in patients}) > 1:
        return True
    names = {_plain(patient.patient_name) for patient in patients}
    dates = {patient.patient_birth_date.strip() for patient in patients}
    return len(names) > 1 and (len(dates) > 1 or dates == {""})


def _plain(name: str) -> str:
    """A person's name without what scanners write differently: case, empty components, blanks (PS3.5 6.2.1)."""
    return "^".join(part.strip() for part in name.upper().split("=")[0].split("^")).rstrip("^ ")
