"""The evidence gathered about one certificate while it decides: how it starts, grows, is kept and is read back.

Answers of blinded reads go into one wager, scores and measures of every decided study into one martingale each. What
of that is a warning or an alarm, core.monitor says. State that cannot be read back is no evidence of calm: None.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from appliance.core.certificate import Certificate
from appliance.core.decide import Model
from appliance.core.monitor import (
    DriftState,
    RiskState,
    Stage,
    drift_next,
    drift_start,
    drift_value,
    e_value,
    risk_next,
    risk_start,
    stage,
)

Cause = Literal["audits", "drift"]
LARGEST = 1e300  # what a column holds of a wealth without bound
# A reader who cannot tell whether a film that was cleared shows the finding says that it should not have been cleared.
MISSES = frozenset(("present", "cannot_tell"))


@dataclass(frozen=True, slots=True)
class Monitor:
    """The evidence about one certificate.

    risk   the wager on answers: finding among cleared, against the contract's bound
    drift  one martingale a measure, on every decided study of the certificate's group
    """

    risk: RiskState
    drift: Mapping[str, DriftState]

    @property
    def worst(self) -> tuple[str, float]:
        """The measure that has moved most, and its martingale."""
        values = ((name, drift_value(each)) for name, each in self.drift.items())
        return max(values, key=lambda each: each[1], default=("none", 0.0))

    @property
    def stage(self) -> Stage:
        return stage(e_value(self.risk), self.worst[1], max(1, len(self.drift)))

    @property
    def cause(self) -> Cause:
        """What an alarm is about: the answers, if they would raise it alone."""
        return "audits" if stage(e_value(self.risk), 0.0, max(1, len(self.drift))) == self.stage else "drift"

    @property
    def because(self) -> str:
        """The numbers of an alarm in words."""
        if self.cause == "audits":
            told = f"{self.risk.misses} of {self.risk.n} blinded reads of cleared studies saw the finding or could not "
            return f"{told}exclude it; e-value {e_value(self.risk):.4g}"
        return f"{self.worst[0]} is not what it was on the certificate's films; martingale {self.worst[1]:.4g}"


def reference(certificate: Certificate) -> Mapping[str, tuple[float, ...]]:
    """The label-free sample that drift is measured by; none for a second exit, which sees chosen films only.

    What the first exit leaves over is no draw from the site's films, so a martingale on it would cry wolf. The first
    exit sees every film, and a second one stands only behind a first.
    """
    return certificate.reference if certificate.exit == 1 else {}


def started(measures: Iterable[str]) -> Monitor:
    """A monitor before any study. measures: those the certificate's reference holds."""
    return Monitor(risk_start(), {measure: drift_start() for measure in sorted(measures)})


def with_answer(monitor: Monitor, answer: str, *, rate_max: float) -> Monitor:
    """One clinician's answer to a blinded read of a cleared study; rate_max is the contract's false_omission_max."""
    return replace(monitor, risk=risk_next(monitor.risk, answer in MISSES, rate_max=rate_max))


def with_ranks(monitor: Monitor, p_values: Mapping[str, float]) -> Monitor:
    """One decided study's conformal p-values, by measure; a measure that was not taken does not move."""
    moved = {name: drift_next(monitor.drift[name], p) for name, p in p_values.items()}
    return replace(monitor, drift={**monitor.drift, **moved})


def p_value(reference: Sequence[float], before: tuple[int, int, int], value: float, dice: float) -> float:
    """The conformal p-value of a value among the reference and the studies before it: 0 lowest to 1 highest.

    The studies before join the reference. Against a fixed sample the p-values of a long stream share its sampling
    error, and the martingale would find that in the end and call it drift; against a growing one they are independent
    and uniform while nothing drifts, so that no slack has to be given away.
    reference  ascending
    before     of the earlier studies how many lie below the value, how many on it, and how many there are
    dice       in 0..1, for ties
    source     Vovk, Nouretdinov, Gammerman: Testing exchangeability on-line (ICML 2003), smoothed p-values
    """
    low, high = bisect_left(reference, value), bisect_right(reference, value)
    below, on, total = before
    return (low + below + dice * (high - low + on + 1)) / (len(reference) + total + 1)


def told(monitor: Monitor) -> dict[str, Any]:
    """A monitor as columns of the ledger: the whole state, and what people read of it."""
    return {
        "state": {"risk": asdict(monitor.risk), "drift": {name: asdict(each) for name, each in monitor.drift.items()}},
        "e_value": min(e_value(monitor.risk), LARGEST),
        "answers": monitor.risk.n,
        "misses": monitor.risk.misses,
        "drift": {name: min(drift_value(each), LARGEST) for name, each in monitor.drift.items()},
    }


def read_back(state: Any, measures: Iterable[str]) -> Monitor | None:
    """A monitor from the ledger; None where the state is not what this version writes."""
    fresh = started(measures)
    try:
        risk, drift = state["risk"], state["drift"]
        found = Monitor(
            RiskState(tuple(map(float, risk["log_wealth"])), int(risk["n"]), int(risk["misses"])),
            {name: DriftState(tuple(map(float, each["capital"])), int(each["n"])) for name, each in drift.items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    numbers = [*found.risk.log_wealth, *(value for each in found.drift.values() for value in each.capital)]
    alike = len(found.risk.log_wealth) == len(fresh.risk.log_wealth) and set(found.drift) == set(fresh.drift)
    alike = alike and all(len(found.drift[name].capital) == len(each.capital) for name, each in fresh.drift.items())
    return found if alike and not any(map(math.isnan, numbers)) else None


def beside(facts: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Digests of certificates for the same films that are not newer than one which is taken away: they go with it.

    Else one that stood by would take its place, and what was found wrong is about the films, not about the paper.
    facts   of the one that is taken away, as `certificate_facts`
    others  by digest, of the same model
    """
    same = ("site", "exit", "group")
    return [
        digest
        for digest, each in others.items()
        if all(each.get(name) == facts.get(name) for name in same) and each["created"] <= facts["created"]
    ]


def model_facts(model: Model) -> dict[str, Any]:
    """What the page says of a model."""
    manifest = model.manifest
    return {
        "name": manifest.name,
        "version": manifest.version,
        "label": manifest.label.name,
        "meaning": manifest.label.meaning,
        "intended_use": manifest.intended_use,
        "weights": manifest.weights,
        "covers": manifest.applies_to.model_dump(mode="json"),
        "takes": manifest.input.takes,
        "frames": manifest.input.frames,
    }


def certificate_facts(certificate: Certificate, label: str) -> dict[str, Any]:
    """What the page says of a certificate, what is asked about its studies, and the sample the gauges are read by."""
    plan = certificate.plan
    return {
        "name": certificate.name,
        "note": certificate.note,
        "site": certificate.site,
        "exit": certificate.exit,
        "group": certificate.group.model_dump(),
        "label": label,
        "contract": plan.contract.model_dump(),
        "delta": plan.delta,
        "clear_at_or_below": certificate.clear_at_or_below,
        "flag_at_or_above": certificate.flag_at_or_above,
        "patients": certificate.patients,
        "created": certificate.created.isoformat(),
        "expires": certificate.expires.isoformat(),
        "reference": {name: list(values) for name, values in reference(certificate).items()},
    }
