"""The words a draft may be written in: a list of what is allowed, because no list of what is forbidden ends.

A language model that was told to, or that errs, finds another language, another spelling or another phrase for
*normal*; it finds sides, findings, people and treatments that nobody gave it. So every word of a draft must stand here,
or be a word of one of the case's own labels. There is no negation, no quantity in words, no organ, side, person or
drug; no word that makes less of a finding, that says somebody has looked, or that names a finding nobody measured.
Signs count too: a minus in brackets is how radiologists write *negative*. Honest disclaimers are taken out before
(guard.HONEST). It judges words one by one; sentences are other checks' business.
"""

import re
from collections.abc import Collection, Iterable

TOKEN = re.compile(r"[^\W\d_]+")
# What may stand between words: a hyphen only inside a compound, a minus only before a digit.
SIGNS = re.compile(r"(?:[\w\s.,;:()%'\"\u2018-\u201d\u00a0]|(?<=\w)[-\u2010\u2011](?=\w)|(?<![\w)])[-\u2212](?=\d))*")

LISTED = """
a abnormal an and answer are as assessment at attention be because bits but by calibrated case caution certainty
clearly clinician confidence confirm confirmation consider consistent correlate correlation could data decision
depends describe described despite draft edge elevated entropy estimate evidence exceed exceeds finding findings flag
flagged for from gate gates given high higher in indicate indicated indicates interpret interpretation is it its label
labels logit may maybe mean means measure measured measures method might model more most must need needed needs note
number numbers of on or percent point points positive possible possibly present probabilities probability
probable probably promptly quality question questions radiologist raise raised raises rate rated reader recommend
recommended recommends refer reliability report require required requires result results review risk say says score
scores should so speak speaks specialist study suggest suggested suggests support supported supports suspicion
suspicious text than that the their them then there therefore these they this those threshold to triage uncertain
uncertainty unclear urgency urgent urgently use used uses value values view warrant warrants where which while with
"""
WRITTEN_NUMBER = "[0-9]{1,3}(?:[.][0-9]{1,3})?(?: %)?"
WORDS_MIN = 3  # of a text that a server holds to the list
PLAIN = frozenset(LISTED.split())
# Names of what core.gates measures: where a case has them, they may be quoted as they stand.
MEASURES = frozenset(
    (
        *("distance", "grey_levels", "aspect", "entropy_bits", "sharpness", "clipped_dark", "clipped_bright"),
        *("as_described", "gap", "energy"),
    )
)
# What only a model that was shown pictures may say.
OF_PICTURES = frozenset(("image", "images", "picture", "pictures", "shown", "shows", "visible"))


def unlisted(text: str, labels: Iterable[str], *, images: bool) -> list[str]:
    """The words of a text that a draft may not use, in order.

    labels  of the case's findings: their words may be used
    images  the model was shown pictures
    """
    allowed = vocabulary(labels, images=images)
    return [word for word in TOKEN.findall(text) if word.lower() not in allowed]


def vocabulary(labels: Iterable[str], *, images: bool) -> Collection[str]:
    """The words a draft about these labels may use, in small letters."""
    named = {word.lower() for label in labels for word in TOKEN.findall(label)}
    return PLAIN | named | (OF_PICTURES if images else frozenset())


def pattern(labels: Iterable[str], words_max: int, *, images: bool) -> str:
    """The same list as a regular expression (ECMA 262, as JSON Schema wants it), for servers that hold to one.

    Whoever decodes by it cannot leave the list; whether it did is looked at all the same.
    """
    words = "|".join(_either_case(word) for word in sorted(vocabulary(labels, images=images)))
    said = f"(?:{words}|{WRITTEN_NUMBER})"
    return f"^(?:{said}[.,;:]? ){{{WORDS_MIN - 1},{words_max - 1}}}{said}[.]$"


def _either_case(word: str) -> str:
    return f"[{word[0].upper()}{word[0]}]{word[1:]}"


def signs_listed(text: str) -> bool:
    """Whether nothing stands between the words but plain punctuation."""
    return SIGNS.fullmatch(text) is not None


def told() -> str:
    """The list as the language model is told it; equal every time."""
    return " ".join(sorted(PLAIN))
