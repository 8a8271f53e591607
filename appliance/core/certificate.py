"""The promise under which a lane is open: what was tested, on whom, and when it no longer holds.

A certificate speaks for one site and one group of films, and for the exact model, gates and preparation it was made
with. Whatever changed, aged or cannot be verified closes both lanes. It refuses nothing by guessing: a group that is
not named is not covered.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from appliance.core.learn_then_test import FILMS_MAX, Lane, open_lane, upper_bound
from appliance.core.manifest import LongText, Sha256, ShortText, Strict, age_years
from appliance.core.study import Instance, Reason

CERTIFICATE_REASONS: dict[str, str] = {
    "no-certificate": "No certificate covers this site, so nothing is decided here.",
    "certificate-damaged": "The certificate does not match its own digest.",
    "certificate-expired": "The certificate has expired.",
    "certificate-not-yet-valid": "The certificate is dated in the future: the clock or the certificate is wrong.",
    "certificate-other-model": "The certificate was made for another model, other gates or another preparation.",
    "certificate-other-site": "The certificate was made for another site.",
    "certificate-other-group": "The certificate was made for another scanner, modality, body part or age group.",
}


class Contract(Strict):
    """What must hold, each with confidence 1 - delta over the draw of calibration patients."""

    false_omission_max: Annotated[float, Field(gt=0, le=0.5, description="P(finding | cleared)")]
    miss_max: Annotated[float, Field(gt=0, le=0.5, description="P(cleared | finding)")]
    false_discovery_max: Annotated[float, Field(gt=0, le=0.5, description="P(no finding | flagged)")]


class Plan(Strict):
    """All that must be fixed before a label is seen. The j-th attempt on the same patients gets delta / (j (j + 1))."""

    contract: Contract
    delta: Annotated[float, Field(gt=0, le=0.2)]
    attempt: Annotated[int, Field(ge=1, le=100)]
    starts: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]
    film_choice: LongText
    model_sha256: Sha256
    gates_digest: Sha256
    preparation_digest: Sha256

    @property
    def delta_sequence(self) -> float:
        """What one sequence of one lane may spend."""
        return self.delta / (self.attempt * (self.attempt + 1)) / 2 / len(self.starts)

    @property
    def digest(self) -> str:
        return canonical_sha256(self.model_dump(mode="json"))


class Group(Strict):
    """The films a certificate speaks for; ages in completed years, both ends included."""

    manufacturer: ShortText
    manufacturer_model_name: ShortText
    modality: ShortText
    body_part_examined: ShortText
    patient_age_years_min: int
    patient_age_years_max: int

    def holds(self, instance: Instance) -> bool:
        age = age_years(instance.patient_age)
        return (
            instance.manufacturer == self.manufacturer
            and instance.manufacturer_model_name == self.manufacturer_model_name
            and instance.modality == self.modality
            and instance.body_part_examined == self.body_part_examined
            and age is not None
            and self.patient_age_years_min <= age <= self.patient_age_years_max
        )


class Evidence(Strict):
    """What the calibration patients showed for one open lane.

    films, errors  decided in this lane, and wrong among them
    findings       films with the finding, decided or not; errors / findings is the observed miss rate of *cleared*
    *_upper        exact one-sided upper bounds (Clopper-Pearson) at confidence 1 - the delta of one sequence
    start          how many errors the sequence that reached farthest was made to bear at its first step
    """

    films: int
    errors: int
    error_upper: float
    findings: int
    miss_upper: float | None
    start: int


class Certificate(Strict):
    """One site's permission to decide. A threshold of null is a closed lane: its films are escalated."""

    schema_version: Literal[1]
    name: ShortText
    note: LongText
    site: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    group: Group
    plan: Plan
    plan_digest: Sha256
    scores_sha256: Sha256
    patients: Annotated[int, Field(ge=0, le=FILMS_MAX)]
    findings: int
    gated_out: int
    clear_at_or_below: float | None
    flag_at_or_above: float | None
    cleared: Evidence | None
    flagged: Evidence | None
    created: date
    expires: date
    digest: Sha256

    @model_validator(mode="after")
    def _consistent(self) -> "Certificate":
        if (self.cleared is None) != (self.clear_at_or_below is None):
            raise ValueError("the cleared lane has a threshold without evidence or evidence without a threshold")
        if (self.flagged is None) != (self.flag_at_or_above is None):
            raise ValueError("the flagged lane has a threshold without evidence or evidence without a threshold")
        both = self.clear_at_or_below is not None and self.flag_at_or_above is not None
        if both and not self.clear_at_or_below < self.flag_at_or_above:  # type: ignore[operator]
            raise ValueError("the two lanes overlap")
        return self


def canonical_sha256(told: object) -> str:
    """SHA-256 (hex) of sorted, compact JSON."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def open_lanes(
    logits: NDArray[np.float64], finding: NDArray[np.bool_], passed: NDArray[np.bool_], plan: Plan
) -> tuple[Lane | None, Lane | None]:
    """The cleared and the flagged lane of one group; the flagged lane's threshold is a logit again.

    Where both lanes claim a film it is flagged: the cleared lane ends before the flagged one begins.
    logits, finding, passed  [patient]: the score, the reference label, whether every gate let the film pass
    """
    delta, contract = plan.delta_sequence, plan.contract
    flag = open_lane(
        np.where(passed, -logits, np.inf),
        ~finding,
        rate_max=contract.false_discovery_max,
        miss_max=None,
        starts=plan.starts,
        delta=delta,
        short_of=np.inf,
    )
    if flag is not None:
        flag = Lane(-flag.threshold, flag.films, flag.errors, flag.start)
    clear = open_lane(
        np.where(passed, logits, np.inf),
        finding,
        rate_max=contract.false_omission_max,
        miss_max=contract.miss_max,
        starts=plan.starts,
        delta=delta,
        short_of=np.inf if flag is None else flag.threshold,
    )
    return clear, flag


def evidence(lane: Lane | None, findings: int, delta: float, *, misses: bool) -> Evidence | None:
    """The numbers of a lane as the certificate prints them."""
    if lane is None:
        return None
    return Evidence(
        films=lane.films,
        errors=lane.errors,
        error_upper=upper_bound(lane.errors, lane.films, delta),
        findings=findings,
        miss_upper=upper_bound(lane.errors, findings, delta) if misses else None,
        start=lane.start,
    )


def own_digest(certificate: Certificate) -> str:
    """What `digest` must be: SHA-256 (hex) of every other field."""
    return canonical_sha256(certificate.model_dump(mode="json", exclude={"digest"}))


def best_certificate(certificates: Sequence[Certificate], *, site: str, instance: Instance) -> Certificate | None:
    """The certificate that comes nearest to a study: of its site and group, of its site, or any; newest first."""
    ranked = sorted(certificates, key=lambda c: (c.site == site, c.group.holds(instance), c.created), reverse=True)
    return ranked[0] if ranked else None


def why_invalid(
    certificate: Certificate,
    *,
    today: date,
    model_sha256: str,
    gates_digest: str,
    preparation_digest: str,
    site: str,
    instance: Instance,
) -> Reason | None:
    """The first reason why a certificate opens no lane for a study; None: it does. The last day still counts."""
    plan = certificate.plan
    frozen = (plan.model_sha256, plan.gates_digest, plan.preparation_digest)
    checks: tuple[tuple[bool, str], ...] = (
        (certificate.digest == own_digest(certificate), "certificate-damaged"),
        (certificate.plan_digest == plan.digest, "certificate-damaged"),
        (frozen == (model_sha256, gates_digest, preparation_digest), "certificate-other-model"),
        (certificate.site == site, "certificate-other-site"),
        (certificate.group.holds(instance), "certificate-other-group"),
        (certificate.created <= today, "certificate-not-yet-valid"),
        (today <= certificate.expires, "certificate-expired"),
    )
    code = next((code for holds, code in checks if not holds), None)
    return None if code is None else Reason(code, CERTIFICATE_REASONS[code])
