"""When a model that runs beside may be offered to decide, and when one that decides has to go back to the one before.

Figures can only hold a model up. What opens a lane is a certificate made at this site, asked anew at every study by
core.decide; nothing here replaces it. Going back is no act of trust either: the version before must still hold its own
certificate, and after an alarm about films it must have run beside on those very films without one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from appliance.core.certificate import CERTIFICATE_REASONS, Certificate, stands_behind, why_invalid
from appliance.core.model import Model
from appliance.core.watch import Monitor, p_value, reference, started, with_answer, with_ranks

SEEN_MIN = 200  # studies under its own certificate before anything is said
SILENT_SHARE_MAX = 0.01
LESS_SHARE_MAX = 0.05  # by how much it may decide less than the present one
SILENT_RUN = 5  # studies in a row without an answer: it has gone silent
BESIDE_SHARE_MIN = 0.5  # of the studies behind an alarm that the version before must have seen
SILENT = frozenset({"model-output-missing", "model-output-odd", "score-not-finite"})
UNCERTIFIED = frozenset(CERTIFICATE_REASONS) | {"clock-behind", "weights-random"}

# Why it is not offered: for the command line. "" is offered.
WAITS: Mapping[str, str] = {
    "uncertified": "it holds no certificate that is valid at this site today",
    "few": "it has run beside the present one on too few studies certified (updates.promote_after_studies)",
    "silent": f"it gave no answer for more than {100 * SILENT_SHARE_MAX:g} % of them",
    "misses": "it would have cleared more of the films in which a blinded reader saw the finding than the present one",
    "crossed": "it would have cleared more of what the present one flagged than that one's contract lets be wrong",
    "less": f"it would have decided fewer studies than the present one, by more than {100 * LESS_SHARE_MAX:g} points",
}


@dataclass(frozen=True, slots=True)
class Beside:
    """One study that a model ran beside the present one.

    codes    reasons of what it said;  lane, present_lane  what each said under its own certificate
    answer   of a blinded read of this study, None without one
    """

    codes: frozenset[str]
    lane: str
    present_lane: str
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a model did beside the present one, counted.

    seen      studies it was run on under a valid certificate, or for which it gave no answer
    silent    of these without an answer
    decided, present_decided  cleared or flagged, by it and by the present one
    flagged   by the present one;  crossed  of these, which it would have cleared
    read      blinded reads that saw the finding or could not exclude it;  misses, present_misses  cleared of these
    """

    seen: int = 0
    silent: int = 0
    decided: int = 0
    present_decided: int = 0
    flagged: int = 0
    crossed: int = 0
    read: int = 0
    misses: int = 0
    present_misses: int = 0


def figures(rows: Iterable[Beside]) -> Figures:
    """Counted. What it said before it had a certificate shows no lane and is left out."""
    kept = [row for row in rows if row.codes & SILENT or not row.codes & UNCERTIFIED]
    flagged = [row for row in kept if row.present_lane == "flagged"]
    read = [row for row in kept if row.answer in ("present", "cannot_tell")]
    return Figures(
        seen=len(kept),
        silent=sum(bool(row.codes & SILENT) for row in kept),
        decided=sum(row.lane != "escalated" for row in kept),
        present_decided=sum(row.present_lane != "escalated" for row in kept),
        flagged=len(flagged),
        crossed=sum(row.lane == "cleared" for row in flagged),
        read=len(read),
        misses=sum(row.lane == "cleared" for row in read),
        present_misses=sum(row.present_lane == "cleared" for row in read),
    )


def waits(
    found: Figures, *, certified: bool, false_discovery_max: float | None, seen_min: int = SEEN_MIN
) -> tuple[str, ...]:
    """Those of WAITS that hold a model up, in their order; none where it may be offered.

    false_discovery_max  of the present one's contract; None where that decides nothing here, so nothing can cross it
    """
    wrong = 0.0 if false_discovery_max is None else false_discovery_max * found.flagged
    checks = (
        (certified, "uncertified"),
        (found.seen >= seen_min, "few"),
        (found.silent <= SILENT_SHARE_MAX * found.seen, "silent"),
        (found.misses <= found.present_misses, "misses"),
        (found.crossed <= wrong, "crossed"),
        (found.decided >= found.present_decided - LESS_SHARE_MAX * found.seen, "less"),
    )
    return tuple(code for holds, code in checks if not holds)


def is_forward(before: str, title: str) -> bool:
    """Whether a version followed an older one. Who ordered an older version left the newer one on purpose: such a step
    is never undone by itself."""
    numbers = [tuple(int(part) for part in each.partition("/")[2].split(".")) for each in (before, title)]
    return numbers[0] < numbers[1]


def certificates_in_force(model: Model, *, site: str, today: date, revoked: Collection[str]) -> tuple[Certificate, ...]:
    """Those by which a model may decide studies of their groups here today; empty where none opens a lane.

    A second exit's certificate counts only behind a first one's, as at every study.
    """
    if model.manifest.weights == "random":
        return ()
    valid = [
        each
        for each in model.certificates
        if each.digest not in revoked
        and why_invalid(
            each,
            today=today,
            model_sha256=model.sha256,
            gates_digest=model.reference_for(each, site).digest,
            preparation_digest=model.preparation_digest,
            selection_sha256=model.selection_sha256,
            site=site,
            instance=None,
        )
        is None
    ]
    first = [each for each in valid if each.exit == 1]
    behind = [each for each in valid if each.exit > 1 and any(stands_behind(one, each) for one in first)]
    found = (*first, *behind)
    return found if any(each.opens for each in found) else ()


@dataclass(frozen=True, slots=True)
class Ran:
    """One study as the version before met it beside the one that raised the alarm.

    values  logit and gate measures of its first exit;  answer  of a blinded read, None without one
    """

    uid: str
    values: Mapping[str, float]
    lane: str
    answer: str | None


def calm(certificate: Certificate, ran: Sequence[Ran], dice: Callable[[str, str], float], *, of: int) -> bool:
    """Whether the watch over a certificate would be quiet had its model decided these studies, oldest first.

    The same evidence as core.watch gathers of a deciding model. Films that it did not see are no evidence of calm.
    dice  (measure, study) to 0..1
    of    studies behind the alarm
    """
    if not ran or len(ran) < BESIDE_SHARE_MIN * of:
        return False
    measures = reference(certificate)
    monitor: Monitor = started(measures)
    before: dict[str, list[float]] = {name: [] for name in measures}
    for each in ran:
        ranks = {}
        for name in measures:
            if name in each.values:
                value, earlier = each.values[name], before[name]
                low, high = bisect_left(earlier, value), bisect_right(earlier, value)
                counted = (low, high - low, len(earlier))
                ranks[name] = p_value(measures[name], counted, value, dice(name, each.uid))
                earlier.insert(high, value)
        monitor = with_ranks(monitor, ranks)
        if each.answer is not None and each.lane == "cleared":
            monitor = with_answer(monitor, each.answer, rate_max=certificate.plan.contract.false_omission_max)
    return monitor.stage == "quiet"
