"""Figures of the evaluation, from scores alone: nothing here opens an image. numpy only, every draw seeded."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from films import auroc
from numpy.typing import NDArray

from appliance.core.certificate import Certificate

BOOTSTRAPS = 2000


def auroc_with_interval(
    scores: NDArray[np.float64], positive: NDArray[np.bool_], patients: Sequence[str], seed: int = 1
) -> dict[str, Any]:
    """AUROC of films with a 95 % interval: bootstrap of patients, not of films, percentiles of 2000 draws."""
    names, owner = np.unique(np.array(patients), return_inverse=True)
    films_of = [np.flatnonzero(owner == i) for i in range(len(names))]
    rng = np.random.default_rng(seed)
    drawn = []
    while len(drawn) < BOOTSTRAPS:
        films = np.concatenate([films_of[i] for i in rng.integers(0, len(names), len(names))])
        if 0 < positive[films].sum() < len(films):
            drawn.append(auroc(scores[films], positive[films]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "auroc": round(auroc(scores, positive), 4),
        "ci95": [round(float(low), 4), round(float(high), 4)],
        "films": len(scores),
        "positive": int(positive.sum()),
        "patients": len(names),
    }


def lanes(logits: NDArray[np.float64], passed: NDArray[np.bool_], certificate: Certificate) -> NDArray[np.str_]:
    """The lane of every film if the header were in order, by the certificate's thresholds."""
    clear = -np.inf if certificate.clear_at_or_below is None else certificate.clear_at_or_below
    flag = np.inf if certificate.flag_at_or_above is None else certificate.flag_at_or_above
    said = np.where(logits <= clear, "cleared", np.where(logits >= flag, "flagged", "escalated"))
    return np.where(passed, said, "escalated")
