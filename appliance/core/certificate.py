"""The promise under which a lane is open: what was tested, on whom, and when it no longer holds.

A certificate speaks for one site and one group of films, for one exit of one network, and for the exact model, gates
and preparation it was made with. Whatever changed, aged or cannot be verified closes both lanes. It refuses nothing by
guessing: a group that is not named is not covered. How one is made from scores and labels stands in core.certify.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from appliance.core import signature as signing
from appliance.core.learn_then_test import FILMS_MAX
from appliance.core.manifest import LongText, Sha256, ShortText
from appliance.core.say import Figure, Said, say
from appliance.core.strict import Strict
from appliance.core.strict import canonical as canonical
from appliance.core.strict import canonical_sha256 as canonical_sha256
from appliance.core.study import Instance, Reason, age_years

EXITS_MAX = 2
REFERENCE_MAX = 512  # calibration values kept of one measure
MEASURES_MAX = 32
SITE = r"^[a-z0-9][a-z0-9-]{0,62}$"

CERTIFICATE_REASONS: dict[str, str] = {
    "no-certificate": "No certificate covers this site, so nothing is decided here.",
    "certificate-damaged": "The certificate does not match its own digest.",
    "certificate-expired": "The certificate has expired.",
    "certificate-not-yet-valid": "The certificate is dated in the future: the clock or the certificate is wrong.",
    "certificate-other-model": "The certificate was made for another model, other gates or another preparation.",
    "certificate-other-site": "The certificate was made for another site.",
    "certificate-other-rules": "The certificate was made under other rules of which studies the model sees.",
    "certificate-other-group": "The certificate was made for another scanner, modality, body part or age group.",
}


class Contract(Strict):
    """What must hold, each with confidence 1 - delta over the draw of calibration patients."""

    false_omission_max: Annotated[float, Field(gt=0, le=0.5, description="P(finding | cleared)")]
    miss_max: Annotated[float, Field(gt=0, le=0.5, description="P(cleared | finding)")]
    false_discovery_max: Annotated[float, Field(gt=0, le=0.5, description="P(no finding | flagged)")]

    @property
    def rates(self) -> str:
        """`1 / 5 / 10 %`."""
        told = (self.false_omission_max, self.miss_max, self.false_discovery_max)
        return " / ".join(f"{100 * rate:g}" for rate in told) + " %"


PRODUCT_CONTRACT = Contract(false_omission_max=0.01, miss_max=0.05, false_discovery_max=0.10)


class Ends(Strict):
    """Where the lanes of an exit end; null is a lane that exit does not have."""

    clear_at_or_below: float | None
    flag_at_or_above: float | None

    @model_validator(mode="after")
    def _apart(self) -> "Ends":
        clear, flag = self.clear_at_or_below, self.flag_at_or_above
        if clear is not None and flag is not None and not clear < flag:
            raise ValueError("the two lanes overlap")
        return self


class Plan(Strict):
    """All that must be fixed before a label is seen. The j-th attempt on the same patients gets delta / (j (j + 1)).

    patients_sha256  of the ids of the films to be judged, where they were known to the maker
    exit_1           of a network with two exits: where the first one ends, fixed without these patients' labels
    selection_sha256 of the site's rules that choose which studies the model sees; None, and not written, without any
    """

    contract: Contract
    delta: Annotated[float, Field(gt=0, le=0.2)]
    attempt: Annotated[int, Field(ge=1, le=100)]
    starts: Annotated[tuple[int, ...], Field(min_length=1, max_length=8)]
    film_choice: LongText
    model_sha256: Sha256
    gates_digest: Sha256
    preparation_digest: Sha256
    patients_sha256: Sha256 | None = None
    exit_1: Ends | None = None
    selection_sha256: Sha256 | None = None

    @model_serializer(mode="wrap")
    def _as_before_there_were_rules(self, plain: SerializerFunctionWrapHandler) -> dict[str, object]:
        told: dict[str, object] = plain(self)
        if self.selection_sha256 is None:  # digests of plans that were made without it must stay what they are
            told.pop("selection_sha256", None)
        return told

    @property
    def delta_sequence(self) -> float:
        """What one sequence of one lane may spend; a network of two exits is one path and spends it once."""
        return self.delta / (self.attempt * (self.attempt + 1)) / 2 / len(self.starts)

    @property
    def digest(self) -> str:
        return canonical_sha256(self.model_dump(mode="json"))


class Group(Strict):
    """The films a certificate speaks for; ages in completed years, both ends included, null where age plays no part."""

    manufacturer: ShortText
    manufacturer_model_name: ShortText
    modality: ShortText
    body_part_examined: ShortText
    patient_age_years_min: int | None
    patient_age_years_max: int | None

    @model_validator(mode="after")
    def _both_ages_or_none(self) -> "Group":
        if (self.patient_age_years_min is None) != (self.patient_age_years_max is None):
            raise ValueError("one end of the age range is missing")
        return self

    def holds(self, instance: Instance) -> bool:
        return (
            instance.manufacturer == self.manufacturer
            and instance.manufacturer_model_name == self.manufacturer_model_name
            and instance.modality == self.modality
            and instance.body_part_examined == self.body_part_examined
            and self._holds_age(age_years(instance.patient_age))
        )

    def _holds_age(self, age: int | None) -> bool:
        low, high = self.patient_age_years_min, self.patient_age_years_max
        if low is None or high is None:
            return True
        return age is not None and low <= age <= high


class Evidence(Strict):
    """What the calibration patients showed for one open lane, up to and with this certificate's exit.

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


Values = Annotated[tuple[float, ...], Field(max_length=REFERENCE_MAX)]


class Certificate(Strict):
    """One site's permission to decide. A threshold of null is a closed lane: its films are escalated.

    exit       the exit of the network whose logit the thresholds are for, counted from 1
    *_half     where the safest half of the lane's calibration films lies: all that is left of it under a warning
    reference  what the calibration patients' logits and gate measures were, without labels: sorted, by name
    signature  over everything else, the digest included; whose signatures count is not said here
    """

    schema_version: Literal[2]
    name: ShortText
    note: LongText
    site: Annotated[str, Field(pattern=SITE)]
    group: Group
    plan: Plan
    plan_digest: Sha256
    exit: Annotated[int, Field(ge=1, le=EXITS_MAX)]
    scores_sha256: Sha256
    patients: Annotated[int, Field(ge=0, le=FILMS_MAX)]
    findings: Annotated[int, Field(ge=0, le=FILMS_MAX)]
    gated_out: Annotated[int, Field(ge=0, le=FILMS_MAX)]
    clear_at_or_below: float | None
    clear_at_or_below_half: float | None
    flag_at_or_above: float | None
    flag_at_or_above_half: float | None
    cleared: Evidence | None
    flagged: Evidence | None
    reference: Annotated[dict[ShortText, Values], Field(max_length=MEASURES_MAX)]
    created: date
    expires: date
    digest: Sha256
    signature: signing.Signature | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Certificate":
        if (self.cleared is None) != (self.clear_at_or_below is None):
            raise ValueError("the cleared lane has a threshold without evidence or evidence without a threshold")
        if (self.flagged is None) != (self.flag_at_or_above is None):
            raise ValueError("the flagged lane has a threshold without evidence or evidence without a threshold")
        clear, flag = self.clear_at_or_below, self.flag_at_or_above
        if clear is not None and flag is not None and not clear < flag:
            raise ValueError("the two lanes overlap")
        halves = ((self.clear_at_or_below_half, clear, 1), (self.flag_at_or_above_half, flag, -1))
        for half, end, sign in halves:
            if half is not None and (end is None or sign * half > sign * end):
                raise ValueError("half of a lane is wider than the lane")
        if self.exit > 1 and self.plan.exit_1 is None:
            raise ValueError("the second exit without a plan for the first")
        if any(list(values) != sorted(values) for values in self.reference.values()):
            raise ValueError("the reference is not sorted")
        if not self.created <= self.expires:
            raise ValueError("it expires before it was made")
        return self

    @property
    def opens(self) -> bool:
        """Whether it opens any lane."""
        return self.clear_at_or_below is not None or self.flag_at_or_above is not None


def own_digest(certificate: Certificate) -> str:
    """What `digest` must be: SHA-256 (hex) of every other field but the signature."""
    return canonical_sha256(certificate.model_dump(mode="json", exclude={"digest", "signature"}))


def signed_bytes(certificate: Certificate) -> bytes:
    """What is signed: canonical JSON of every field but the signature."""
    return canonical(certificate.model_dump(mode="json", exclude={"signature"}))


def signed(certificate: Certificate, private: bytes) -> Certificate:
    """The same certificate, signed with a raw Ed25519 private key of 32 bytes (RFC 8032)."""
    return certificate.model_copy(update={"signature": signing.sign(private, signed_bytes(certificate))})


def vouched(certificate: Certificate, trusted: Mapping[str, bytes]) -> bool:
    """Whether one of the trusted public keys (by key id) signed this very certificate. An unsigned one is not."""
    return signing.verified(signed_bytes(certificate), certificate.signature, trusted)


def promise_words(contract: Contract, delta: float) -> Said:
    """What the contract promises, in a sentence."""
    rates = (contract.false_omission_max, contract.miss_max, contract.false_discovery_max, 1 - delta)
    omission, miss, discovery, confidence = (Figure(f"{100 * each:g}") for each in rates)
    return say(
        "of those cleared at most %(omission)s %% have the finding, of those with it at most %(miss)s %% are cleared, "
        "of those flagged at most %(discovery)s %% do not have it; with %(confidence)s %% confidence",
        omission=omission,
        miss=miss,
        discovery=discovery,
        confidence=confidence,
    )


def contract_words(contract: Contract, delta: float) -> str:
    """The same; one that is not the product's says so."""
    told = promise_words(contract, delta)
    if contract == PRODUCT_CONTRACT:
        return told
    return f"{told} (not the product's contract of {PRODUCT_CONTRACT.rates})"


def best_certificate(
    certificates: Sequence[Certificate], *, site: str, instance: Instance, exit_number: int = 1
) -> Certificate | None:
    """The certificate of an exit that comes nearest to a study: of its site and group, of its site, or any; newest."""
    of_exit = [certificate for certificate in certificates if certificate.exit == exit_number]
    ranked = sorted(of_exit, key=lambda c: (c.site == site, c.group.holds(instance), c.created), reverse=True)
    return ranked[0] if ranked else None


def stands_behind(first: Certificate | None, second: Certificate) -> bool:
    """Whether a second exit's certificate has the first one's at its side: one test made both, or neither counts.

    The second exit was tested on the films that the first leaves over, so it means nothing where the first is closed,
    revoked or another one; the caller asks `why_invalid` of both.
    """
    if first is None or first.exit != 1:
        return False
    told = [(c.plan_digest, c.scores_sha256, c.site, c.group) for c in (first, second)]
    return told[0] == told[1]


def why_invalid(
    certificate: Certificate,
    *,
    today: date,
    model_sha256: str,
    gates_digest: str,
    preparation_digest: str,
    selection_sha256: str | None,
    site: str,
    instance: Instance | None,
) -> Reason | None:
    """The first reason why a certificate opens no lane for a study; None: it does. The last day still counts.

    instance  of the study; None where no study is meant: then of which films it speaks is not asked
    """
    plan = certificate.plan
    frozen = (plan.model_sha256, plan.gates_digest, plan.preparation_digest)
    checks: tuple[tuple[bool, str], ...] = (
        (certificate.digest == own_digest(certificate), "certificate-damaged"),
        (certificate.plan_digest == plan.digest, "certificate-damaged"),
        (frozen == (model_sha256, gates_digest, preparation_digest), "certificate-other-model"),
        (plan.selection_sha256 == selection_sha256, "certificate-other-rules"),
        (certificate.site == site, "certificate-other-site"),
        (instance is None or certificate.group.holds(instance), "certificate-other-group"),
        (certificate.created <= today, "certificate-not-yet-valid"),
        (today <= certificate.expires, "certificate-expired"),
    )
    code = next((code for holds, code in checks if not holds), None)
    return None if code is None else Reason(code, CERTIFICATE_REASONS[code])
