"""The decision in the middle: cleared, flagged or escalated, and why.

Every doubt makes a study hard. A lane other than *escalated* is reached by one path only: the model covers every header
fact, every gate passed, the outputs are finite and in range, a certificate is valid for this very model, site and
group today, and the score lies in a lane it opens. Everything else is escalated with its reason in words. What the
edge would have said is kept as `would_be`; it opens nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from appliance.core.certificate import CERTIFICATE_REASONS, Certificate, best_certificate, why_invalid
from appliance.core.gates import GateReference, gate
from appliance.core.manifest import Manifest, why_not_applicable
from appliance.core.prepare import preparation_digest
from appliance.core.study import Instance, Reason, Scores

Said = Literal["cleared", "flagged", "escalated"]
Priority = Literal["routine", "urgent", "critical"]

REASONS: dict[str, str] = {
    "no-model-installed": "No model is installed here.",
    "no-model-applies": "No model here was made for this study.",
    "several-images": "The study has more than one image; the model was made for single films.",
    "no-image": "The object holds no image.",
    "modality-not-covered": "The model was not made for this modality.",
    "sop-class-not-covered": "The model was not made for this kind of object.",
    "body-part-not-covered": "The model was not made for this body part, or the header does not name it.",
    "view-not-covered": "The model was not made for this view, or the header does not name it.",
    "age-unknown": "The header does not tell the patient's age.",
    "age-contradicted": "The patient's age and birth date in the header contradict each other.",
    "age-not-covered": "The model was not made for patients of this age.",
    "image-too-small": "The image has fewer rows or columns than the model needs.",
    "model-output-missing": "The model gave no answer.",
    "model-output-odd": "The model's answer has an unexpected form or size.",
    "score-not-finite": "The model's answer is not a number.",
    "gate-out-of-distribution": "The image does not look like the films the model was made for.",
    "gate-image-quality": "Exposure, sharpness or shape of the image is outside what the model was made for.",
    "score-between": "The score lies in no lane that the certificate opens.",
    "cleared-under-certificate": "The score lies in the cleared lane of a valid certificate.",
    "flagged-under-certificate": "The score lies in the flagged lane of a valid certificate.",
    **CERTIFICATE_REASONS,
}
# With these the certificate still speaks of the same model, so its thresholds tell best what the edge would have said.
SAME_MODEL = ("certificate-expired", "certificate-not-yet-valid", "certificate-other-site", "certificate-other-group")


@dataclass(frozen=True, slots=True)
class Model:
    """One verified package as the decision sees it; the graph itself stays with whoever runs it."""

    manifest: Manifest
    references: Mapping[str, GateReference]
    certificates: tuple[Certificate, ...]

    @property
    def sha256(self) -> str:
        return self.manifest.graphs_sha256

    def reference_for(self, certificate: Certificate | None) -> GateReference:
        """The gate reference that a certificate was made with; the default one where there is none such."""
        wanted = None if certificate is None else certificate.plan.gates_digest
        found = (each for each in self.references.values() if each.digest == wanted)
        return next(found, self.references["default"])

    @property
    def preparation_digest(self) -> str:
        return preparation_digest(self.manifest.input.spec.steps)


@dataclass(frozen=True, slots=True)
class Seen:
    """One film on its way through the network.

    values   float32 [row, column], as decoded
    tensor   float32 [1, 1, side, side], as prepared
    outputs  by name, as the graph gave them
    """

    values: NDArray[np.float32]
    tensor: NDArray[np.float32]
    outputs: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a study goes. would_be is what model and thresholds say of it, None where no model could say anything.

    model        name/version, None where none applies
    certificate  name of the certificate looked at, valid or not; None where there is none
    """

    lane: Said
    would_be: Said | None
    reasons: tuple[Reason, ...]
    scores: tuple[Scores, ...]
    model: str | None
    certificate: str | None
    priority: Priority


def chosen(instances: Sequence[Instance], models: Sequence[Model]) -> Model | Decision:
    """The first model that covers a study, or the decision to escalate it with what each model misses."""
    codes = ["no-model-applies"] if models else ["no-model-installed"]
    for model in models:
        code = why_not_applicable(instances, model.manifest)
        if code is None:
            return model
        if code not in codes:
            codes.append(code)
    return _escalated(codes)


def decide(
    instances: Sequence[Instance],
    model: Model,
    seen: Seen | None,
    *,
    site: str,
    today: date,
) -> Decision:
    """The decision on one study of which `model` was run.

    instances  the whole study as admitted; applicability is asked again, whatever the caller asked before
    seen       None where the network gave nothing
    site       whose certificates count
    returns    cleared or flagged under a valid certificate, else escalated with every reason found
    """
    title = model.manifest.title
    code = why_not_applicable(instances, model.manifest)
    if code is not None:
        return _escalated(["no-model-applies", code], model=title)
    certificate = best_certificate(model.certificates, site=site, instance=instances[0])
    name = None if certificate is None else certificate.name
    read = _read_outputs(model.manifest, seen)
    if isinstance(read, str) or seen is None:
        odd = read if isinstance(read, str) else "model-output-missing"
        return _escalated([odd], model=title, certificate=name)
    logit, features = read
    measured, failed = gate(seen.values, seen.tensor, features, model.reference_for(certificate))
    measures = {str(measure): value for measure, value in measured.items() if np.isfinite(value)}
    scores = (Scores(title, logit, None, measures),)
    invalid = _why_invalid(model, certificate, site, today, instances[0])
    would_be = "escalated" if failed else _said(logit, *_thresholds(model.manifest, certificate, invalid))
    codes = [*failed, *([] if invalid is None else [invalid])]
    if codes:
        return _escalated(codes, would_be=would_be, scores=scores, model=title, certificate=name)
    if would_be == "escalated":
        return _escalated(["score-between"], would_be=would_be, scores=scores, model=title, certificate=name)
    priority: Priority = "urgent" if would_be == "flagged" else "routine"
    reasons = _reasons([f"{would_be}-under-certificate"])
    return Decision(would_be, would_be, reasons, scores, title, name, priority)


def _read_outputs(manifest: Manifest, seen: Seen | None) -> tuple[float, NDArray[np.float64]] | str:
    """Logit and features [f] of well-formed outputs, or the code of what is wrong with them."""
    if seen is None or not seen.outputs:
        return "model-output-missing"
    expected = manifest.exits[-1]
    logit, features = seen.outputs.get(expected.logit), seen.outputs.get(expected.features)
    if not isinstance(logit, np.ndarray) or not isinstance(features, np.ndarray):
        return "model-output-missing"
    shapes_fit = logit.shape == (1,) and features.shape == (1, expected.features_count)
    if not shapes_fit or logit.dtype.kind != "f" or features.dtype.kind != "f":
        return "model-output-odd"
    if not np.isfinite(logit).all() or not np.isfinite(features).all():
        return "score-not-finite"
    value = float(logit[0])
    if not expected.logit_low <= value <= expected.logit_high:
        return "model-output-odd"
    return value, features[0].astype(np.float64)


def _why_invalid(
    model: Model, certificate: Certificate | None, site: str, today: date, instance: Instance
) -> str | None:
    if certificate is None:
        return "no-certificate"
    reason = why_invalid(
        certificate,
        today=today,
        model_sha256=model.sha256,
        gates_digest=model.reference_for(certificate).digest,
        preparation_digest=model.preparation_digest,
        site=site,
        instance=instance,
    )
    return None if reason is None else reason.code


def _thresholds(
    manifest: Manifest, certificate: Certificate | None, invalid: str | None
) -> tuple[float | None, float | None]:
    """The certificate's where it speaks of this model, even if it opens no lane today; else the manifest's nominal."""
    if certificate is not None and (invalid is None or invalid in SAME_MODEL):
        return certificate.clear_at_or_below, certificate.flag_at_or_above
    return manifest.nominal.clear_at_or_below, manifest.nominal.flag_at_or_above


def _said(logit: float, clear_at_or_below: float | None, flag_at_or_above: float | None) -> Said:
    """Each comparison is false for NaN, so that no such score is ever anything but escalated."""
    if clear_at_or_below is not None and logit <= clear_at_or_below:
        return "cleared"
    if flag_at_or_above is not None and logit >= flag_at_or_above:
        return "flagged"
    return "escalated"


def _escalated(
    codes: Sequence[str],
    *,
    would_be: Said | None = None,
    scores: tuple[Scores, ...] = (),
    model: str | None = None,
    certificate: str | None = None,
) -> Decision:
    priority: Priority = "urgent" if would_be == "flagged" else "routine"
    return Decision("escalated", would_be, _reasons(codes), scores, model, certificate, priority)


def _reasons(codes: Sequence[str]) -> tuple[Reason, ...]:
    return tuple(Reason(code, REASONS[code]) for code in codes)
