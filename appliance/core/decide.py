"""The decision in the middle: cleared, flagged or escalated, and why.

Every doubt makes a study hard. A lane other than *escalated* is reached by one path only (`_lane`): the model is not
stopped, it covers every header fact, its outputs are finite and in range, every gate passed, a certificate that nobody
took away is valid for this very model, exit, site and group today, and the score lies in a lane it opens. Everything
else is escalated with its reasons in words. What the edge would have said is kept as `would_be`; it opens nothing.

A network may have two exits. The first decides alone when its own certificate lets it; what it leaves is asked of the
second, whose certificate speaks for both together and therefore holds only while the first ends where it was certified
to end. Why: docs/decisions/0014-the-rule.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.core.applies import OTHER_MODALITY
from appliance.core.certificate import Certificate, Ends, best_certificate, stands_behind, why_invalid
from appliance.core.gates import GateReference, gate
from appliance.core.model import Model as Model
from appliance.core.outputs import Answer, Outputs, answer, kinds
from appliance.core.reasons import REASONS as REASONS
from appliance.core.reasons import in_words
from appliance.core.standing import Standing
from appliance.core.study import Instance, Reason, Scores

Said = Literal["cleared", "flagged", "escalated"]
Priority = Literal["routine", "urgent", "critical"]

# With these the certificate still speaks of the same model, so its thresholds tell best what the edge would have said.
SAME_MODEL = (
    *("certificate-expired", "certificate-not-yet-valid", "certificate-other-site", "certificate-other-group"),
    *("certificate-revoked", "certificate-other-exit", "clock-behind"),
)
NO_ENDS = Ends(clear_at_or_below=None, flag_at_or_above=None)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One study on its way through a network.

    values   float32 [row, column], as decoded; of the middle frame where there are several
    tensor   float32 [1, frame, side, side], as prepared
    outputs  by name, as the graphs gave them: one an exit that was run, in order
    check    by name, as the check network gave them; None where the package has none
    """

    values: NDArray[np.float32]
    tensor: NDArray[np.float32]
    outputs: tuple[Outputs, ...]
    check: Outputs | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a study goes. would_be is what model and thresholds say of it, None where no model could say anything.

    scores       one for every exit that answered
    model        name/version, None where none applies
    certificate  name of the certificate looked at, valid or not; None where there is none
    exit         which exit decided, from 1; None where none did
    next_exit    which exit may be asked now, None where nothing more can be found out
    """

    lane: Said
    would_be: Said | None
    reasons: tuple[Reason, ...]
    scores: tuple[Scores, ...]
    model: str | None
    certificate: str | None
    priority: Priority
    exit: int | None = None
    next_exit: int | None = None


def chosen(instances: Sequence[Instance], models: Sequence[Model]) -> Model | Decision:
    """The first model that covers a study, or the decision to escalate it with what each model misses.

    What a model of another modality misses is told only where no model is of this one: it would say nothing to anybody.
    """
    missed: dict[str, None] = {}
    for model in models:
        code = model.why_not(instances)
        if code is None:
            return model
        missed[code] = None
    if "rule-takes-model-away" in missed:  # a model was made for it: what the others miss explains nothing
        return _escalated(["rule-takes-model-away"])
    if len(missed) > 1:
        missed.pop(OTHER_MODALITY, None)
    return _escalated(["no-model-applies" if models else "no-model-installed", *missed])


def decide(
    instances: Sequence[Instance],
    model: Model,
    seen: Seen | str,
    *,
    site: str,
    today: date,
    standing: Standing,
) -> Decision:
    """The decision on one study of which `model` was run.

    instances  the whole study as admitted; applicability is asked again, whatever the caller asked before
    seen       the code (a key of REASONS) of why the network was not run, where it was not
    site       whose certificates count
    returns    cleared or flagged under a valid certificate, else escalated with every reason found
    """
    manifest = model.manifest
    if standing.stops(manifest.title):
        return _escalated(["model-stopped"], model=manifest.title)
    code = model.why_not(instances)
    if code is not None:
        return _escalated(["no-model-applies", code], model=manifest.title)
    if isinstance(seen, str):
        return _escalated([seen], model=manifest.title)
    bench = _Bench(model, instances, seen, site, today, standing)
    first = _at_exit(bench, 1, None)
    if first.decision.next_exit is None or len(seen.outputs) < first.decision.next_exit:
        return first.decision
    second = _at_exit(bench, 2, first)
    if second.decision.lane != "escalated":
        return replace(second.decision, scores=(*first.decision.scores, *second.decision.scores))
    return _together(first.decision, second.decision)


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """What every exit of one study is judged by."""

    model: Model
    instances: Sequence[Instance]
    seen: Seen
    site: str
    today: date
    standing: Standing


@dataclass(frozen=True, slots=True)
class _Exit:
    """What one exit came to. valid: its certificate, where that opens its lanes; shrunk: it is under warning."""

    decision: Decision
    valid: Certificate | None
    shrunk: bool


def _at_exit(bench: _Bench, number: int, before: _Exit | None) -> _Exit:
    """One exit, after the exit before it left the study undecided."""
    model, title = bench.model, bench.model.manifest.title
    random = model.manifest.weights == "random"
    # Of two made on one day the one that nobody took away: a new one may come on the day on which the old one went.
    certificates = () if random else sorted(model.certificates, key=lambda each: each.digest in bench.standing.revoked)
    certificate = best_certificate(certificates, site=bench.site, instance=bench.instances[0], exit_number=number)
    name = None if certificate is None else certificate.name
    outputs = bench.seen.outputs[number - 1] if len(bench.seen.outputs) >= number else None
    read = answer(model.manifest.exits[number - 1], outputs)
    checked = kinds(model.manifest.check, bench.seen.check)
    if isinstance(read, str) or isinstance(checked, str):
        odd = read if isinstance(read, str) else str(checked)
        return _Exit(_escalated([odd], model=title, certificate=name), None, False)
    measures, failed = _gated(bench, read, checked, model.reference_for(certificate, bench.site))
    scores = (Scores(title, read.logit, None, measures, number, model.manifest.weights, tuple(failed)),)
    invalid = "weights-random" if random else _why_invalid(bench, certificate, before)
    valid = certificate if invalid is None else None
    shrunk = _shrunk(bench.standing, certificate) or (before is not None and before.shrunk)
    lane = _lane(read.logit, failed, invalid, _open_ends(valid, shrunk))
    if lane != "escalated":
        priority: Priority = "urgent" if lane == "flagged" else "routine"
        reasons = in_words([f"{lane}-under-certificate"])
        return _Exit(Decision(lane, lane, reasons, scores, title, name, priority, exit=number), valid, shrunk)
    said = "escalated" if failed else _said(read.logit, _told_by(bench, certificate, invalid, number))
    codes = [*failed, *([] if invalid is None else [invalid])]
    codes += ["certificate-shrunk"] if valid is not None and said != "escalated" else []
    found = _escalated(
        codes or ["score-between"],
        would_be=None if random else said,
        scores=scores,
        model=title,
        certificate=name,
        next_exit=_next_exit(bench, number, certificate, read.logit, bool(failed)),
    )
    return _Exit(found, valid, shrunk)


def _next_exit(bench: _Bench, number: int, certificate: Certificate | None, logit: float, failed: bool) -> int | None:
    """The exit to ask next. What the plan gave to this exit, the next one was never tested on: it is not asked."""
    if number == len(bench.model.manifest.exits):
        return None
    own = NO_ENDS if certificate is None else certificate.plan.exit_1 or _open_ends(certificate, False)
    return None if not failed and _said(logit, own) != "escalated" else number + 1


def _lane(logit: float, failed: Sequence[str], invalid: str | None, ends: Ends) -> Said:
    """The one path to a lane: no gate failed, nothing is invalid, and the score lies within open ends."""
    return "escalated" if failed or invalid is not None else _said(logit, ends)


def _said(logit: float, ends: Ends) -> Said:
    """Each comparison is false for NaN, so that no such score is ever anything but escalated."""
    if ends.clear_at_or_below is not None and logit <= ends.clear_at_or_below:
        return "cleared"
    if ends.flag_at_or_above is not None and logit >= ends.flag_at_or_above:
        return "flagged"
    return "escalated"


def _gated(
    bench: _Bench, read: Answer, checked: Mapping[str, float], reference: GateReference
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Every finite measure, and the codes of the gates that the study fails."""
    if reference.projection.shape[1] != read.features.size:  # the arrays of another exit: no distance can be told
        return {}, ("gate-out-of-distribution",)
    middle = bench.seen.tensor.shape[1] // 2
    tensor = bench.seen.tensor[:, middle : middle + 1]
    measured, failed = gate(bench.seen.values, tensor, read, checked, reference)
    return {str(measure): value for measure, value in measured.items() if np.isfinite(value)}, failed


def _why_invalid(bench: _Bench, certificate: Certificate | None, before: _Exit | None) -> str | None:
    """Why the certificate opens no lane; None: it does."""
    model = bench.model
    if certificate is None:
        return "no-certificate"
    if bench.standing.clock_behind:
        return "clock-behind"
    reason = why_invalid(
        certificate,
        today=bench.today,
        model_sha256=model.sha256,
        gates_digest=model.reference_for(certificate, bench.site).digest,
        preparation_digest=model.preparation_digest,
        selection_sha256=model.selection_sha256,
        site=bench.site,
        instance=bench.instances[0],
    )
    if reason is not None:
        return reason.code
    if not all(map(certificate.group.holds, bench.instances)):  # one slice of another scanner is another group
        return "certificate-other-group"
    if certificate.digest in bench.standing.revoked:
        return "certificate-revoked"
    # One test made both: without the first one's lanes the second one's promise is of films that nobody counted.
    if before is not None and not stands_behind(before.valid, certificate):
        return "certificate-other-exit"
    return None


def _shrunk(standing: Standing, certificate: Certificate | None) -> bool:
    return certificate is not None and certificate.digest in standing.shrunk


def _open_ends(valid: Certificate | None, shrunk: bool) -> Ends:
    """Where the lanes end that are open: none without a valid certificate, half of each under a warning."""
    if valid is None:
        return NO_ENDS
    if shrunk:
        return Ends(
            clear_at_or_below=valid.clear_at_or_below_half,
            flag_at_or_above=valid.flag_at_or_above_half,
        )
    return Ends(clear_at_or_below=valid.clear_at_or_below, flag_at_or_above=valid.flag_at_or_above)


def _told_by(bench: _Bench, certificate: Certificate | None, invalid: str | None, number: int) -> Ends:
    """The ends that say what would be: of a certificate of this model, valid or not; else the manifest's nominal ones.

    The nominal ones are for the last exit's logit; at an earlier one nothing would be.
    """
    if certificate is not None and (invalid is None or invalid in SAME_MODEL):
        return _open_ends(certificate, False)
    if number < len(bench.model.manifest.exits):
        return NO_ENDS
    nominal = bench.model.manifest.nominal
    return Ends(clear_at_or_below=nominal.clear_at_or_below, flag_at_or_above=nominal.flag_at_or_above)


def _together(first: Decision, second: Decision) -> Decision:
    """Two exits that both left a study undecided: the reasons of both, and what the second would have said."""
    codes = dict.fromkeys(reason.code for reason in (*first.reasons, *second.reasons))
    if len(codes) > 1:
        codes.pop("score-between", None)
    name = second.certificate or first.certificate
    scores = (*first.scores, *second.scores)
    return _escalated(list(codes), would_be=second.would_be, scores=scores, model=second.model, certificate=name)


def _escalated(
    codes: Sequence[str],
    *,
    would_be: Said | None = None,
    scores: tuple[Scores, ...] = (),
    model: str | None = None,
    certificate: str | None = None,
    next_exit: int | None = None,
) -> Decision:
    priority: Priority = "urgent" if would_be == "flagged" else "routine"
    return Decision("escalated", would_be, in_words(codes), scores, model, certificate, priority, next_exit=next_exit)
