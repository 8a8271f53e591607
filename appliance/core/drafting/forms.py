"""The sentences a draft may be made of: a closed list of forms, filled with the case's own labels and numbers.

A list of forbidden words is passed by anybody who knows another word, and a list of allowed ones by anybody who can put
them together: both were tried here and attacked (docs/red-team.md). So a draft is a choice of whole sentences. None
rules anything out, makes less of a finding, names a side, a person or a treatment, or says that somebody has looked;
a finding is named by its label as it stands and bears no number but its own. A label that itself denies is not said.

The same expression is the guard's and, as the `pattern` of the answer's schema, the decoder's.
"""

import re
from collections.abc import Collection, Iterator
from decimal import Decimal

from appliance.core.case import Case, Finding

# As parts of a label: a sentence about such a label could be read as the opposite of a finding.
DENYING = frozenset(
    ("no", "non", "not", "none", "nothing", "without", "free", "normal", "negative", "absent", "absence", "clear")
) | frozenset(("healthy", "benign", "unremarkable", "old", "other", "low", "left", "right", "bilateral"))
LABEL_PART = re.compile(r"[A-Za-z]+")
# For the instructions: NAME stands for a label or a measure of the case, NN for its own number.
TOLD = (
    "The score speaks for NAME at NN %.",
    "NAME is possible at NN %.",
    "NAME is probable.",
    "NAME is present.",
    "The assessment of NAME is uncertain.",
    "The score may be uncertain.",
    "The measure NAME is NN.",
    "The urgency should be raised.",
    "Comparison with prior studies is recommended.",
    "Other findings were not assessed.",
    "This cannot rule out other findings.",
    "This study needs review by a radiologist.",
    "A radiologist should review this study urgently.",
)
TOLD_OF_PICTURES = ("The images shown suggest NAME.", "The images shown leave NAME uncertain.")
GENERAL = (
    "The score (?:is|may be) uncertain",
    "The urgency should be raised",
    "Comparison with prior studies is recommended",
    "Other findings were not assessed",
    "This cannot rule out other findings",
    "(?:This|The) study (?:needs|requires) (?:a reader|review by a radiologist)(?: promptly| urgently)?",
    "A (?:reader|radiologist) (?:should|must) review this study(?: promptly| urgently)?",
)
FEW_PICTURES = "The images shown are few and reduced"
DECIMALS_MAX = 3


def sentences(case: Case, *, images: bool, absent: Collection[str] = ()) -> list[str]:
    """Every sentence a draft about this case may hold, as regular expressions without their full stop.

    images  the model was shown the key images
    absent  labels that the answer calls absent: of them nothing is said that speaks for them
    """
    found = [*GENERAL, *([FEW_PICTURES] if images else [])]
    for finding in case.findings:
        if not denies(finding.label):
            found += _of(finding, images=images, spoken_for=finding.label not in absent)
    for name, value in sorted(case.gates.items()):
        written = "|".join(sorted(map(_literal, _numbers(value))))
        if written and not denies(name):
            found.append(f"The measure {_literal(name)} is (?:{written})")
    return found


def denies(label: str) -> bool:
    """Whether a part of a label denies: "No_Finding", "free-air"."""
    return not DENYING.isdisjoint(part.lower() for part in LABEL_PART.findall(label))


def pattern(case: Case, count_max: int, *, images: bool) -> str:
    """A text of one to so many of the sentences (a regular expression of ECMA 262, as JSON Schema wants it)."""
    one = f"(?:{'|'.join(sentences(case, images=images))})[.]"
    return f"^{one}(?: {one}){{0,{count_max - 1}}}$"


def unlisted(text: str, case: Case, count_max: int, *, images: bool, absent: Collection[str]) -> bool:
    """Whether a text is anything else."""
    listed = re.compile("|".join(f"(?:{each})" for each in sentences(case, images=images, absent=absent)))
    parts = text.removesuffix(".").split(". ")
    return not text.endswith(".") or len(parts) > count_max or not all(map(listed.fullmatch, parts))


def told(*, images: bool) -> str:
    """The forms as the language model is told them; equal every time."""
    return " ".join((*TOLD, *(TOLD_OF_PICTURES if images else ())))


def _of(finding: Finding, *, images: bool, spoken_for: bool) -> Iterator[str]:
    label = _literal(finding.label)
    start = f"(?:{_literal(finding.label[0].upper() + finding.label[1:])}|{label})"
    shares = "|".join(sorted(map(_literal, _percents(finding.probability))))
    at = f"(?: at (?:{shares}))?" if shares else ""
    yield f"The assessment of {label} is uncertain"
    if shares:
        yield f"The probability of {label} is (?:{shares})"
    if images:
        yield f"The images shown leave {label} uncertain"
    if spoken_for:
        yield f"The score (?:speaks for|supports|suggests|indicates) {label}{at}"
        yield f"{start} is (?:possible|probable|present){at}"
        if images:
            yield f"The images shown suggest {label}"


def _percents(probability: float | None) -> Iterator[str]:
    """A probability in per cent, never rounded to nothing or to all."""
    if probability is None:
        return
    for decimals in range(DECIMALS_MAX):
        share = Decimal(repr(100 * probability)).quantize(Decimal(1).scaleb(-decimals))
        if 0 < share < 100:
            yield f"{share} %"


def _numbers(value: float) -> Iterator[str]:
    """A measure as a reader would write it, never rounded to nothing."""
    for decimals in range(DECIMALS_MAX + 1):
        number = Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals))
        if number:
            yield str(number)


def _literal(text: str) -> str:
    """A text in a regular expression of ECMA 262, which takes no needless backslash."""
    return re.sub(r"[.+]", lambda found: f"[{found[0]}]", text)
