"""Why a study was routed as it was, in sentences with the numbers that the ledger holds; and what nobody looked for.

A score is told as the logit it is, between the ends it was held against; no percentage is made of it. What the ledger
does not hold is not said. Whatever reads *cleared* says of what: the finding that the model looks for, and no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from appliance.core.certificate import CERTIFICATE_REASONS
from appliance.core.document import URGENCIES
from appliance.core.manifest import age_years
from appliance.core.reasons import REASONS

ADULT_YEARS = 18
LEADS = {
    "cleared": "Not flagged here",
    "flagged": "Flagged here",
    "escalated": "Sent to the centre",
}
# What each gate measured, by the name under which the ledger keeps it.
MEASURED = {
    "gate-out-of-distribution": ("distance", "distance {:.3g} from the films it was made for"),
    "gate-energy": ("energy", "energy {:.3g}"),
    "gate-flip": ("gap", "mirrored, the score moves by {:.2g}"),
    "gate-blur": ("sharpness", "sharpness {:.2g}"),
    "gate-not-as-described": ("as_described", "taken for what the header says by {:.2g} of 1"),
    "gate-adult": ("as_described", "taken for a child's by {:.2g} of 1"),
}
IMPLIED = frozenset(("score-between", "cleared-under-certificate", "flagged-under-certificate", "no-model-applies"))
OPPOSED = {("cleared", "present"), ("flagged", "absent")}


def routed(
    lane: str,
    reasons: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
    *,
    ages: Sequence[str] = (),
    models: Sequence[Mapping[str, Any]] = (),
    certificate: Mapping[str, Any] | None = None,
    scanner: str = "",
) -> str:
    """One sentence: where the study went, the score between its ends, and every reason with what is known of it.

    ages         AS values (PS3.5 6.2) of the study's images
    models       facts that triage filed of the model that was asked; of every model here where none applied
    certificate  facts of the certificate looked at
    scanner      manufacturer and model name of the study, as the header says them
    """
    clauses = [*_scored(scores, certificate is not None)]
    for reason in reasons:
        code = str(reason.get("code", ""))
        if code in IMPLIED and (clauses or len(reasons) > 1):
            continue
        clauses.append(_told(code, str(reason.get("text", "")), scores, ages, models, certificate, scanner))
    said = "; ".join(dict.fromkeys(each for each in clauses if each))
    return f"{LEADS.get(lane, 'Not decided')}: {said or 'no reason is on file'}."


def not_assessed(
    lane: str, scores: Sequence[Mapping[str, Any]], models: Sequence[Mapping[str, Any]], images: int
) -> tuple[str, ...]:
    """What no machine has looked for in this study, in sentences.

    models  facts of the model that was asked, nothing where none was
    images  of the whole study
    """
    if not scores:
        return ("No model has scored this study: nothing in it was assessed by a machine.",)
    if not models:
        return ("The model that scored this study is not on file here: take nothing in it as assessed.",)
    facts = models[0]
    label = str(facts.get("label") or "the model's finding")
    if any(score.get("weights") == "random" for score in scores):
        return (f"The model's weights are random: nothing was assessed, {label} neither.",)
    found = [f"Looked for: {label}, and nothing else. Every other finding was not assessed."]
    if lane == "cleared":
        found.append(f"Cleared concerns {label} only, and does not rule it out.")
    frames = facts.get("frames")
    if isinstance(frames, int) and facts.get("takes") != "frame" and images > frames:
        found.append(f"The model saw {frames} frames made of {images} images.")
    if any(score.get("failed") for score in scores):
        found.append("The film failed a check, so the score counts for nothing.")
    return tuple(found)


def disagreements(
    said: str | None, label: str, priority: str | None, answer: Mapping[str, Any] | None
) -> tuple[str, ...]:
    """Where edge and centre say different things, both in one sentence each; the higher urgency is named as standing.

    said    what the edge says or would have said: cleared, flagged; anything else says nothing of the finding
    answer  body of the centre's newest verdict on this revision
    """
    if answer is None:
        return ()
    found = []
    here, there = str(priority or "routine"), str(answer.get("urgency", "routine"))
    if here != there and {here, there} <= set(URGENCIES):
        stands = max(here, there, key=URGENCIES.index)
        found.append(f"Urgency: {here} here, {there} at the centre. The higher one stands: {stands}.")
    words = {"cleared": "no flagged finding here", "flagged": "flagged here"}
    for opinion in answer.get("opinions") or ():
        same = _plain(str(opinion.get("label", ""))) == _plain(label)
        if same and (said, opinion.get("assessment")) in OPPOSED:
            found.append(
                f"{label}: {words[str(said)]}, {opinion['assessment']} by the centre's draft. Neither is proof."
            )
    return tuple(found)


def _plain(label: str) -> str:
    return label.casefold().replace("-", " ").replace("_", " ").strip()


def _scored(scores: Sequence[Mapping[str, Any]], certified: bool) -> Iterator[str]:
    """The score of each exit with the ends it was held against; of random weights nothing."""
    for score in scores:
        logit = score.get("logit")
        if score.get("weights") == "random" or not isinstance(logit, int | float):
            continue
        name = f"score of exit {score.get('exit', 1)}" if len(scores) > 1 else "top score"
        ends = score.get("thresholds")
        yield f"{name} {logit:+.2f} {_placed(float(logit), ends if isinstance(ends, Mapping) else {}, certified)}"


def _placed(logit: float, ends: Mapping[str, Any], certified: bool) -> str:
    low, high = (
        value if isinstance(value := ends.get(name), int | float) else None
        for name in ("clear_at_or_below", "flag_at_or_above")
    )
    if low is None and high is None:
        return "has closed lanes beside it" if ends or certified else "has no certificate to be held against"
    if low is not None and logit <= low:
        return f"lies at or below {low:+.2f} (cleared)"
    if high is not None and logit >= high:
        return f"lies at or above {high:+.2f} (flagged)"
    if low is not None and high is not None:
        return f"lies between {low:+.2f} and {high:+.2f}"
    if low is not None:
        return f"lies above {low:+.2f} (cleared), and the flagged lane is closed"
    return f"lies below {high:+.2f} (flagged), and the cleared lane is closed"


def _told(
    code: str,
    text: str,
    scores: Sequence[Mapping[str, Any]],
    ages: Sequence[str],
    models: Sequence[Mapping[str, Any]],
    certificate: Mapping[str, Any] | None,
    scanner: str,
) -> str:
    """A reason in the middle of a sentence, with what was measured or compared where the ledger holds it."""
    plain = _inner(text or REASONS.get(code, code))
    if code == "age-not-covered":
        return _ages(ages, models) or plain
    if code in MEASURED:
        measure, worded = MEASURED[code]
        value = next((each for each in map(_measure(measure), reversed(scores)) if each is not None), None)
        return plain if value is None else f"{plain} ({worded.format(value)})"
    if code in CERTIFICATE_REASONS and certificate is not None:
        return _of_certificate(code, plain, certificate, scanner)
    return plain


def _measure(name: str) -> Any:
    def of(score: Mapping[str, Any]) -> float | None:
        gates = score.get("gates")
        value = gates.get(name) if isinstance(gates, Mapping) else None
        return value if isinstance(value, int | float) else None

    return of


def _inner(text: str) -> str:
    """A sentence as a clause of another one."""
    whole = text.strip().rstrip(".")
    return whole if whole[1:2].isupper() else whole[:1].lower() + whole[1:]


def _ages(ages: Sequence[str], models: Sequence[Mapping[str, Any]]) -> str:
    """Patient beside model: "adult (34 years), the model is paediatric (0 to 5 years)"."""
    years = sorted({found for each in ages if (found := age_years(each)) is not None})
    ranges = [covers["patient_age"] for each in models if (covers := each.get("covers")) and covers.get("patient_age")]
    if not years or not ranges:
        return ""
    patient = f"{'adult' if years[-1] >= ADULT_YEARS else 'child'} ({_span(years[0], years[-1])})"
    told = dict.fromkeys(
        f"the model is {_kind(each)} ({_span(each['years_min'], each['years_max'])})" for each in ranges
    )
    return ", ".join([patient, *told])


def _kind(ages: Mapping[str, int]) -> str:
    if ages["years_max"] <= ADULT_YEARS:
        return "paediatric"
    return "for adults" if ages["years_min"] >= ADULT_YEARS else "for other ages"


def _span(low: int, high: int) -> str:
    return f"{low} year{'s' if low != 1 else ''}" if low == high else f"{low} to {high} years"


def _of_certificate(code: str, plain: str, facts: Mapping[str, Any], scanner: str) -> str:
    group = facts.get("group") or {}
    if code == "certificate-expired":
        return f"{plain} ({facts.get('expires', '')})"
    if code == "certificate-not-yet-valid":
        return f"{plain} ({facts.get('created', '')})"
    if code == "certificate-other-site":
        return f"{plain} ({facts.get('site', '')})"
    if code == "certificate-other-group" and scanner:
        made_for = f"{group.get('manufacturer', '')} {group.get('manufacturer_model_name', '')}".strip()
        return f"{plain} (this is {scanner}, it speaks of {made_for})"
    return plain
