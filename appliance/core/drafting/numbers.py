"""Whether the numbers in a draft's words are the case's own, each said of what it was measured on.

A number belongs to a finding, to a gate, or is a count. One that belongs to a finding may be said only where that
finding's label or id stands in the same sentence (or where the case has but one); one of a gate only where the gate's
name stands. Otherwise a draft could lend a low score to the finding that has a high one.
"""

import math
import re
from collections.abc import Iterator

from appliance.core.case import Case, Finding

NUMBER = re.compile(r"(?:(?<![\w)])[-\u2212])?\d+(?:[.,]\d+)*(\s?%)?")
SENTENCE_END = re.compile(r"(?<=[.;:!?])\s+|\n")
MINUS = "\u2212"


def number_invented(case: Case, texts: list[str], *, images: bool) -> bool:
    """Whether a text says a number that is none of the case's, or says one of something else."""
    return any(
        not _given(said, case, sentence, images=images)
        for text in texts
        for sentence in SENTENCE_END.split(text)
        for said in NUMBER.finditer(_without_names(case, sentence))
    )


def _without_names(case: Case, sentence: str) -> str:
    """The sentence without the case's own names that bear a digit: quoting one invents no number."""
    names = {finding.id for finding in case.findings} | {finding.label for finding in case.findings} | set(case.gates)
    names |= {image.id for image in case.key_images}
    for name in sorted(names, key=len, reverse=True):
        if any(letter.isdigit() for letter in name):
            sentence = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", sentence)
    return sentence


def _given(said: re.Match[str], case: Case, sentence: str, *, images: bool) -> bool:
    plain = said[0].rstrip("% ").replace(",", ".").replace(MINUS, "-")
    if plain.count(".") > 1:
        return False
    value, decimals, percent = float(plain), len(plain.partition(".")[2]), said[1] is not None
    named = _named(case, sentence)
    if percent:
        shares = [100 * f.probability for f in named if f.probability is not None]
        return any(written(share, decimals) == value for share in shares)
    measured = [f.probability for f in named if f.probability is not None] + [f.logit for f in named]
    measured += [number for name, number in case.gates.items() if name in sentence]
    if any(written(number, decimals) == value for number in measured if decimals or number == int(number)):
        return True
    return decimals == 0 and value > 0 and value in set(_counts(case, images=images))


def _named(case: Case, sentence: str) -> list[Finding]:
    """The findings a sentence speaks of: those it names, or the only one there is."""
    lower = sentence.lower()
    found = [f for f in case.findings if _stands(f.id, sentence) or _stands(f.label.lower(), lower)]
    return found or (list(case.findings) if len(case.findings) == 1 else [])


def _stands(name: str, sentence: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", sentence) is not None


def _counts(case: Case, *, images: bool) -> Iterator[float]:
    yield float(case.images)
    yield float(len(case.findings))
    if images:
        yield float(len(case.key_images))


def written(number: float, decimals: int) -> float:
    """As a reader would round it. Halves may go either way in binary, so a hair is added away from zero."""
    return round(number + math.copysign(1e-9, number), decimals)
