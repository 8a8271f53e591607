"""When a study is whole: evidence first, then quiet time, then a hard cap; and what makes it one that nobody may read.

A timer alone is too early for a slow scanner and too late for a fast one. Evidence shortens the wait and never removes
it; the hard cap makes sure that a study which never falls quiet is still read. The reason is kept in words.

That a scanner released its association is evidence where it sent the whole study in one go: it then says that it has no
more to send. It is none of a scanner that sends an object or a series at a time, and none against a count that is not
met or a gap: docs/decisions/0038-results-out-commitment-both-ways.md.
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

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
    quiet_s: float,
    age_s: float,
    quiet_period_s: float,
    quiet_period_with_evidence_s: float,
    hard_cap_s: float,
) -> Completeness:
    """Whether a study of these instances is whole.

    bursts   in which they came and were released, as receive noted it; "" among them: of some that is not known
    quiet_s  since its last new instance, s
    age_s    since its first one, s
    """
    evidence = _evidence(instances, released=len(instances) > 1 and len(bursts) == 1 and "" not in bursts)
    count = len(instances)
    if evidence and quiet_s >= quiet_period_with_evidence_s:
        return Completeness(True, Reason("complete-evidence", f"{evidence}; quiet for {quiet_s:.1f} s"))
    if quiet_s >= quiet_period_s:
        return Completeness(True, Reason("complete-quiet", f"{_images(count)}, quiet for {quiet_s:.1f} s"))
    if age_s >= hard_cap_s:
        return Completeness(True, Reason("complete-cap", f"{_images(count)}, still growing after {age_s:.0f} s"))
    waits = quiet_period_with_evidence_s if evidence else quiet_period_s
    return Completeness(False, Reason("growing", f"{_images(count)}, quiet for {quiet_s:.1f} of {waits:.1f} s"))


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _evidence(instances: Sequence[Instance], released: bool) -> str:
    """What speaks for every series being whole, in words; "" when any series has nothing to show."""
    series: dict[str, list[Instance]] = {}
    for instance in instances:
        series.setdefault(instance.series_instance_uid, []).append(instance)
    found = [
        _series_evidence(members) or ("sent in one go and released" if released and not _lacking(members) else "")
        for members in series.values()
    ]
    return "; ".join(sorted(set(found))) if found and all(found) else ""


def _series_evidence(members: Sequence[Instance]) -> str:
    promised = {member.images_in_acquisition for member in members if member.images_in_acquisition}
    count = len({member.sop_instance_uid for member in members})
    if len(promised) == 1:
        expected = promised.pop()
        return f"{count} of {expected} images" if count == expected else ""
    numbers = sorted(member.instance_number for member in members if member.instance_number is not None)
    # A run without a gap from 1 speaks for a whole series; a single image says nothing of a second one.
    if count > 1 and numbers == list(range(1, count + 1)):
        return f"{count} images without a gap"
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
