"""Which findings of a case a draft may speak of, and what it may call each: read off labels and scores, not off words.

A label is an edge's own code and may deny what it seems to name ("No_Finding", "pneumonia_excluded", "intact"); a list
of such words is passed by whoever knows another one. So a label is understood only where each of its parts is a listed
word of radiology, none of which denies. Of any other, and of two that a reader could take for each other, nothing is
said and nothing but `uncertain` is believed. Whoever adds a word asks: can it make less of the finding beside it?
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from appliance.core.case import Case, Finding

# No score bears both words, and one between bears neither.
PRESENT_FROM = 0.5  # a probability below this speaks for nothing and supports no `present`
ABSENT_BELOW = 0.05  # one from here on contradicts `absent`
GATE_FAILED = "gate-"  # how the codes of core.gates begin

KINDS = frozenset(
    (
        *("abscess", "aneurysm", "appendicitis", "atelectasis", "bronchiolitis", "bronchitis", "calcification"),
        *("cardiomegaly", "congestion", "consolidation", "contusion", "cyst", "dislocation", "dissection"),
        *("edema", "effusion", "embolism", "emphysema", "enlargement", "fibrosis", "fracture", "haematoma"),
        *("haemorrhage", "hematoma", "hemorrhage", "hernia", "hydrocephalus", "hydronephrosis", "ileus"),
        *("infarct", "infarction", "infiltrate", "infiltration", "ischaemia", "ischemia", "lesion", "mass"),
        *("metastasis", "nodule", "obstruction", "occlusion", "oedema", "opacity", "osteomyelitis"),
        *("perforation", "pneumomediastinum", "pneumonia", "pneumoperitoneum", "pneumothorax", "scoliosis"),
        *("shift", "stenosis", "stroke", "swelling", "thickening", "thrombosis", "tuberculosis", "tumor", "tumour"),
    )
)
PLACES = frozenset(
    (
        *("acute", "aortic", "bone", "brain", "cardiac", "cerebral", "epidural", "femur", "hilar", "hip"),
        *("intracranial", "intraparenchymal", "intraventricular", "lung", "mediastinal", "midline"),
        *("pericardial", "pleural", "pulmonary", "rib", "scaphoid", "skull", "spine", "subarachnoid", "subdural"),
        *("tension", "vertebral", "vessel", "wrist"),
    )
)
WRITTEN = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z]+)*")
PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, slots=True)
class Named:
    """A label, and the highest of its scores: a lower one beside it would make less of the finding.

    probability  None where one of its scores has none
    """

    label: str
    probability: float | None
    logit: float


def understood(case: Case) -> list[Named]:
    """The labels of the case that are what they seem."""
    labels = list(dict.fromkeys(finding.label for finding in case.findings))
    alike = Counter(map(_letters, labels))
    return [_highest(label, case) for label in labels if _is_a_finding(label) and alike[_letters(label)] == 1]


def nameable(case: Case) -> list[Named]:
    """Those that words may name: none where the foremost may not be named, since the others would hide it."""
    known, highest = understood(case), foremost(case)
    return known if highest and highest <= {each.label for each in known} else []


def foremost(case: Case) -> set[str]:
    """The labels of the highest score, none where some have a probability and others not: nobody can compare those."""
    ranked = [_highest(label, case) for label in {finding.label for finding in case.findings}]
    shares = {each.label: each.probability for each in ranked if each.probability is not None}
    scores = shares or {each.label: each.logit for each in ranked}
    return {label for label in scores if scores[label] == max(scores.values())} if len(scores) == len(ranked) else set()


def absent_opposed(case: Case, label: str) -> bool:
    """Whether a score of this label is not low, or the edge may not have cleared the study because of it.

    Where a gate failed no score is low: it was taken of an image that the edge's model was not made for.
    """
    if any(reason.startswith(GATE_FAILED) for reason in case.reasons):
        return True
    low = all(f.probability is not None and f.probability < ABSENT_BELOW for f in case.findings if f.label == label)
    highest = foremost(case)
    return not low or (case.would_be != "cleared" and (not highest or label in highest))


def passed_over(case: Case, label: str, cited: Collection[str]) -> bool:
    """Whether findings are cited and the highest of this label is not among them: a lower score would stand for it."""
    own = [finding for finding in case.findings if finding.label == label]
    whole = all(finding.probability is not None for finding in own)
    scores = {f.id: f.probability if whole and f.probability is not None else f.logit for f in own}
    highest = {each for each in scores if scores[each] == max(scores.values())}
    return any(finding.id in cited for finding in case.findings) and highest.isdisjoint(cited)


def speaks_for(case: Case, scored: Finding | Named) -> bool:
    """Whether a score speaks for its finding: its probability, or without one the edge's own word.

    A logit that nobody has calibrated ranks and says no more, whatever its sign.
    """
    if scored.probability is None:
        return case.would_be == "flagged" and foremost(case) == {scored.label}
    return scored.probability >= PRESENT_FROM


def assessments(case: Case) -> list[str]:
    """What an opinion on this case may be, the weakest word first."""
    known = {each.label for each in understood(case)}
    present = any(finding.label in known and speaks_for(case, finding) for finding in case.findings)
    absent = any(not absent_opposed(case, label) for label in known)
    return ["uncertain", *(["present"] if present else []), *(["absent"] if absent else [])]


def _is_a_finding(label: str) -> bool:
    parts = {part.lower() for part in PART.findall(label)}
    return WRITTEN.fullmatch(label) is not None and parts <= KINDS | PLACES and not parts.isdisjoint(KINDS)


def _letters(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


def _highest(label: str, case: Case) -> Named:
    own = [finding for finding in case.findings if finding.label == label]
    shares = [finding.probability for finding in own if finding.probability is not None]
    whole = len(shares) == len(own)
    return Named(label, max(shares) if whole else None, max(finding.logit for finding in own))
