"""Why a study was routed as it was, in sentences with the numbers that the ledger holds; and what nobody looked for.

A score is told as the logit it is, between the ends it was held against; no percentage is made of it. What the ledger
does not hold is not said. Whatever reads *cleared* says of what: the finding that the model looks for, and no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from appliance.core.certificate import CERTIFICATE_REASONS
from appliance.core.document import URGENCIES
from appliance.core.manifest import age_years
from appliance.core.reasons import REASONS
from appliance.core.say import Figure, Said, clause_of, joined, say, say_n

ADULT_YEARS = 18
LEADS = {
    "cleared": "Not flagged here",
    "flagged": "Flagged here",
    "escalated": "Sent to the centre",
}
# What each gate measured, by the name under which the ledger keeps it.
MEASURED = {
    "gate-out-of-distribution": ("distance", ".3g", "distance %(value)s from the films it was made for"),
    "gate-energy": ("energy", ".3g", "energy %(value)s"),
    "gate-flip": ("gap", ".2g", "mirrored, the score moves by %(value)s"),
    "gate-blur": ("sharpness", ".2g", "sharpness %(value)s"),
    "gate-not-as-described": ("as_described", ".2g", "taken for what the header says by %(value)s of 1"),
    "gate-adult": ("as_described", ".2g", "taken for a child's by %(value)s of 1"),
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
) -> Said:
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
    said = joined(dict.fromkeys(each for each in clauses if each)) or say("no reason is on file")
    return say("%(lead)s: %(why)s.", lead=say(LEADS.get(lane, "Not decided")), why=said)


def not_assessed(
    lane: str, scores: Sequence[Mapping[str, Any]], models: Sequence[Mapping[str, Any]], images: int
) -> tuple[Said, ...]:
    """What no machine has looked for in this study, in sentences.

    models  facts of the model that was asked, nothing where none was
    images  of the whole study
    """
    if not scores:
        return (say("No model has scored this study: nothing in it was assessed by a machine."),)
    if not models:
        return (say("The model that scored this study is not on file here: take nothing in it as assessed."),)
    facts = models[0]
    label = str(facts.get("label") or "") or say("the model's finding")
    if any(score.get("weights") == "random" for score in scores):
        return (say("The model's weights are random: nothing was assessed, %(label)s neither.", label=label),)
    found = [say("Looked for: %(label)s, and nothing else. Every other finding was not assessed.", label=label)]
    if lane == "cleared":
        found.append(say("Cleared concerns %(label)s only, and does not rule it out.", label=label))
    frames = facts.get("frames")
    if isinstance(frames, int) and facts.get("takes") != "frame" and images > frames:
        found.append(say("The model saw %(frames)s frames made of %(images)s images.", frames=frames, images=images))
    if any(score.get("failed") for score in scores):
        found.append(say("The film failed a check, so the score counts for nothing."))
    return tuple(found)


def disagreements(
    said: str | None, label: str, priority: str | None, answer: Mapping[str, Any] | None
) -> tuple[Said, ...]:
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
        urgencies = {"here": say(here), "there": say(there), "stands": say(stands)}
        found.append(
            say("Urgency: %(here)s here, %(there)s at the centre. The higher one stands: %(stands)s.", **urgencies)
        )
    for opinion in answer.get("opinions") or ():
        same = _plain(str(opinion.get("label", ""))) == _plain(label)
        if same and (said, opinion.get("assessment")) in OPPOSED:
            found.append(
                say("%(label)s: no flagged finding here, present by the centre's draft. Neither is proof.", label=label)
                if said == "cleared"
                else say("%(label)s: flagged here, absent by the centre's draft. Neither is proof.", label=label)
            )
    return tuple(found)


def _plain(label: str) -> str:
    return label.casefold().replace("-", " ").replace("_", " ").strip()


def _scored(scores: Sequence[Mapping[str, Any]], certified: bool) -> Iterator[Said]:
    """The score of each exit with the ends it was held against; of random weights nothing."""
    for score in scores:
        logit = score.get("logit")
        if score.get("weights") == "random" or not isinstance(logit, int | float):
            continue
        name = say("score of exit %(exit)s", exit=score.get("exit", 1)) if len(scores) > 1 else say("top score")
        ends = score.get("thresholds")
        placed = _placed(float(logit), ends if isinstance(ends, Mapping) else {}, certified)
        yield say("%(name)s %(logit)s %(placed)s", name=name, logit=_end(float(logit)), placed=placed)


def _placed(logit: float, ends: Mapping[str, Any], certified: bool) -> Said:
    low, high = (
        value if isinstance(value := ends.get(name), int | float) else None
        for name in ("clear_at_or_below", "flag_at_or_above")
    )
    if low is None and high is None:
        if ends or certified:
            return say("has closed lanes beside it")
        return say("has no certificate to be held against")
    if low is not None and logit <= low:
        return say("lies at or below %(low)s (cleared)", low=_end(low))
    if high is not None and logit >= high:
        return say("lies at or above %(high)s (flagged)", high=_end(high))
    if low is not None and high is not None:
        return say("lies between %(low)s and %(high)s", low=_end(low), high=_end(high))
    if low is not None:
        return say("lies above %(low)s (cleared), and the flagged lane is closed", low=_end(low))
    assert high is not None, "one of the two is there"
    return say("lies below %(high)s (flagged), and the cleared lane is closed", high=_end(high))


def _end(value: float) -> Figure:
    return Figure(f"{value:+.2f}")


def _told(
    code: str,
    text: str,
    scores: Sequence[Mapping[str, Any]],
    ages: Sequence[str],
    models: Sequence[Mapping[str, Any]],
    certificate: Mapping[str, Any] | None,
    scanner: str,
) -> Said:
    """A reason in the middle of a sentence, with what was measured or compared where the ledger holds it."""
    plain = clause_of(text or REASONS.get(code, code))
    if code == "age-not-covered":
        return _ages(ages, models) or plain
    if code in MEASURED:
        measure, digits, worded = MEASURED[code]
        value = next((each for each in map(_measure(measure), reversed(scores)) if each is not None), None)
        if value is None:
            return plain
        return _with(plain, Said(worded, values={"value": Figure(format(value, digits))}))
    if code in CERTIFICATE_REASONS and certificate is not None:
        return _of_certificate(code, plain, certificate, scanner)
    return plain


def _measure(name: str) -> Any:
    def of(score: Mapping[str, Any]) -> float | None:
        gates = score.get("gates")
        value = gates.get(name) if isinstance(gates, Mapping) else None
        return value if isinstance(value, int | float) else None

    return of


def _with(plain: Said, more: str) -> Said:
    return say("%(reason)s (%(more)s)", reason=plain, more=more)


def _ages(ages: Sequence[str], models: Sequence[Mapping[str, Any]]) -> Said | None:
    """Patient beside model: "adult (34 years), the model is paediatric (0 to 5 years)"."""
    years = sorted({found for each in ages if (found := age_years(each)) is not None})
    ranges = [covers["patient_age"] for each in models if (covers := each.get("covers")) and covers.get("patient_age")]
    if not years or not ranges:
        return None
    span = _span(years[0], years[-1])
    patient = say("adult (%(span)s)", span=span) if years[-1] >= ADULT_YEARS else say("child (%(span)s)", span=span)
    told = dict.fromkeys(_kind(each, _span(each["years_min"], each["years_max"])) for each in ranges)
    return reduce(lambda one, other: say("%(one)s, %(other)s", one=one, other=other), told, patient)


def _kind(ages: Mapping[str, int], span: Said) -> Said:
    if ages["years_max"] <= ADULT_YEARS:
        return say("the model is paediatric (%(span)s)", span=span)
    if ages["years_min"] >= ADULT_YEARS:
        return say("the model is for adults (%(span)s)", span=span)
    return say("the model is for other ages (%(span)s)", span=span)


def _span(low: int, high: int) -> Said:
    if low == high:
        return say_n("%(count)s year", "%(count)s years", low)
    return say("%(low)s to %(high)s years", low=low, high=high)


def _of_certificate(code: str, plain: Said, facts: Mapping[str, Any], scanner: str) -> Said:
    group = facts.get("group") or {}
    if code == "certificate-expired":
        return _with(plain, str(facts.get("expires", "")))
    if code == "certificate-not-yet-valid":
        return _with(plain, str(facts.get("created", "")))
    if code == "certificate-other-site":
        return _with(plain, str(facts.get("site", "")))
    if code == "certificate-other-group" and scanner:
        made_for = f"{group.get('manufacturer', '')} {group.get('manufacturer_model_name', '')}".strip()
        return _with(plain, say("this is %(scanner)s, it speaks of %(other)s", scanner=scanner, other=made_for))
    return plain
