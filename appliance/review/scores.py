"""One result of a study as the case page shows it: lane, reasons, each score with its ends, times.

A score is a logit; a percentage is shown only where the site has calibrated the model, and of random weights nothing.
"""

from typing import Any

from sqlalchemy import Row

from appliance.review import words
from appliance.review.language import _


def decided(row: Row[Any] | None, badge: words.Badge) -> dict[str, Any] | None:
    if row is None:
        return None
    scores = row.scores if isinstance(row.scores, list) else []
    return {
        "lane": words.BADGES[row.lane],
        "suggestion": words.suggestion(badge, row.would_be),
        "reasons": words.plain(row.reasons),
        "scores": [_score(each) for each in scores if isinstance(each, dict)],
        "model": row.model or "",
        "certificate": row.certificate or "",
        "decided": words.clock_time(row.decided_at),
        "superseded": words.clock_time(row.superseded_at),
        "revision": row.revision,
        "spent": [(name, f"{value:.0f} ms") for name, value in row.timings_ms.items()],
    }


def _score(score: dict[str, Any]) -> dict[str, Any]:
    """One model's score: the raw logit with its thresholds where they are on file, a percentage only if calibrated."""
    bounds = score.get("thresholds") if isinstance(score.get("thresholds"), dict) else {}
    assert isinstance(bounds, dict)
    low, high = bounds.get("clear_at_or_below"), bounds.get("flag_at_or_above")
    logit = score.get("logit")
    return {
        "model": str(score.get("model", "")),
        "exit": score.get("exit", 1),
        "logit": _logit(logit, random=score.get("weights") == "random"),
        "clear_bound": words.figure(f"{low:+.2f}") if isinstance(low, int | float) else _("closed"),
        "flag_bound": words.figure(f"{high:+.2f}") if isinstance(high, int | float) else _("closed"),
        "bounded": bool(bounds),
        "contract": str(score.get("contract", "")),
        "calibrated": words.calibrated([score]),
        "gates": words.gate_rows(score.get("gates")),
    }


def _logit(logit: Any, *, random: bool) -> str:
    if random:
        return _("none: the weights are random and say nothing")
    return words.figure(f"{logit:+.2f}") if isinstance(logit, int | float) else _("none")
