"""The sentences a draft may be made of: a closed list of forms, filled with the case's own labels and numbers.

A list of forbidden words is passed by anybody who knows another word, and a list of allowed ones by anybody who can put
them together: both were tried here and attacked (docs/red-team.md). So a draft is a choice of whole sentences. None
rules anything out, makes less of a finding, names a side, a person or a treatment, or says that somebody has looked;
a finding is named by its label as it stands (`findings.py` says which may be) and bears no number but its own highest.

The same expression is the guard's and, as the `pattern` of the answer's schema, the decoder's. What a form may stand
beside (an opinion, an urgency, other sentences) no expression can say: that is `agreement.py`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.core.case import Case
from appliance.core.drafting.findings import Named, nameable, speaks_for
from appliance.core.drafting.numbers import written

# For the instructions: NAME stands for a label or a measure of the case, NN for its own number.
TOLD = (
    "The score speaks for NAME at NN %.",
    "The probability of NAME is NN %.",
    "NAME is possible at NN %.",
    "NAME is probable.",
    "NAME is present.",
    "The assessment of NAME is uncertain.",
    "The score may be uncertain.",
    "The measure NAME is NN.",
    "Comparison with prior studies is recommended.",
    "Only findings with a score were assessed.",
    "This cannot rule out any finding.",
    "This study needs review by a radiologist.",
    "A radiologist should review this study urgently.",
)
TOLD_OF_PICTURES = ("The images shown suggest NAME.", "The images shown leave NAME uncertain.")
# No sentence says what the urgency is or should be: the answer's own field does, and a word beside it could deny it.
# Not "other findings": beside a finding that is named it reads as if that one were ruled out, or no other scored.
GENERAL = (
    "Comparison with prior studies is recommended",
    "Only findings with a score were assessed",
    "This cannot rule out any finding",
    "(?:This|The) study (?:needs|requires) (?:a reader|review by a radiologist)",
    "A (?:reader|radiologist) (?:should|must) review this study",
)
PRESSING = (
    "(?:This|The) study (?:needs|requires) (?:a reader|review by a radiologist) (?:promptly|urgently)",
    "A (?:reader|radiologist) (?:should|must) review this study (?:promptly|urgently)",
)
DOUBT = "The score may be uncertain"
FEW_PICTURES = "The images shown are few and reduced"
# What core.gates measures of a film, as a test holds; any other name could be that of a finding, or a judgement.
MEASURES = frozenset(
    (
        *("distance", "grey_levels", "aspect", "entropy_bits", "sharpness"),
        *("clipped_dark", "clipped_bright", "as_described", "gap", "energy"),
    )
)
MEASURE_BELOW = 100_000.0  # from here on a number looks like one of a person
PERCENT_DECIMALS, MEASURE_DECIMALS = (0, 1, 2), (0, 1, 2, 3)
ANY = frozenset(("present", "uncertain", "absent"))


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of sentence, without its full stop, as a regular expression of ECMA 262.

    label     of the finding it names, if any; beside: the opinions on that label that it agrees with
    doubts    it says nothing of that finding but that it is uncertain
    pressing  it is true only of a draft above routine
    """

    expression: str
    label: str = ""
    beside: frozenset[str] = ANY
    doubts: bool = False
    pressing: bool = False


def forms(case: Case, *, images: bool) -> list[Form]:
    """Every form a draft about this case may take. images: the model was shown the key images."""
    found = [*map(Form, GENERAL), *(Form(each, pressing=True) for each in PRESSING)]
    found += [Form(FEW_PICTURES)] if images else []
    found += [Form(DOUBT)] if case.findings else []
    for named in nameable(case):
        found += _of(named, images=images, spoken_for=speaks_for(case, named))
    for name, value in sorted(case.gates.items()):
        numbers = "|".join(sorted(map(_literal, _numbers(value))))
        if numbers and name in MEASURES:
            found.append(Form(f"The measure {name} is (?:{numbers})"))
    return found


def pattern(case: Case, count_max: int, *, images: bool) -> str:
    """A text of one to so many of the sentences (a regular expression of ECMA 262, as JSON Schema wants it)."""
    one = f"(?:{'|'.join(form.expression for form in forms(case, images=images))})[.]"
    return f"^{one}(?: {one}){{0,{count_max - 1}}}$"


def split(text: str) -> list[str]:
    """The sentences of a text, without their full stops; no form holds a full stop before a space."""
    return text.removesuffix(".").split(". ")


def unlisted(text: str, case: Case, count_max: int, *, images: bool) -> bool:
    """Whether a text is anything else than one to so many of the sentences."""
    listed = re.compile("|".join(f"(?:{form.expression})" for form in forms(case, images=images)))
    parts = split(text)
    return not text.endswith(".") or len(parts) > count_max or not all(map(listed.fullmatch, parts))


def told(*, images: bool) -> str:
    """The forms as the language model is told them; equal every time."""
    return " ".join((*TOLD, *(TOLD_OF_PICTURES if images else ())))


def _of(named: Named, *, images: bool, spoken_for: bool) -> Iterator[Form]:
    label = named.label
    start = f"(?:{label[0].upper()}{label[1:]}|{label})"
    shares = "|".join(sorted(map(_literal, _percents(named.probability))))
    at = f"(?: at (?:{shares}))?" if shares else ""
    uncertain, present = frozenset(("uncertain",)), frozenset(("present",))
    yield Form(f"The assessment of {label} is uncertain", label, uncertain, doubts=True)
    if images:
        yield Form(f"The images shown leave {label} uncertain", label, uncertain, doubts=True)
    if shares:
        yield Form(f"The probability of {label} is (?:{shares})", label)
    if shares and not spoken_for:  # a high score that is only called possible would be made less of
        yield Form(f"{start} is possible at (?:{shares})", label, uncertain)
    if spoken_for:
        yield Form(f"The score (?:speaks for|supports|suggests|indicates) {label}{at}", label, present | uncertain)
        yield Form(f"{start} is probable{at}", label, present | uncertain)
        yield Form(f"{start} is present{at}", label, present)
        if images:
            yield Form(f"The images shown suggest {label}", label, present)


def _percents(probability: float | None) -> Iterator[str]:
    """A probability in per cent, never rounded to nothing or to all."""
    for decimals in PERCENT_DECIMALS if probability is not None else ():
        share = written(100 * (probability or 0.0), decimals)
        if 0 < share < 100:
            yield f"{share:.{decimals}f} %"


def _numbers(value: float) -> Iterator[str]:
    """A measure as a reader would write it, never rounded to a whole number it is not."""
    for decimals in MEASURE_DECIMALS if 0 < abs(value) < MEASURE_BELOW else ():
        number = written(value, decimals)
        if value.is_integer() or not number.is_integer():
            yield f"{number:.{decimals}f}"


def _literal(text: str) -> str:
    """A number in a regular expression of ECMA 262, which takes no needless backslash."""
    return text.replace(".", "[.]")
