"""The words that a description may keep under Clean Descriptors (PS3.15 E.3.5): an allow-list, chosen by hand.

Anatomy, modality, technique, contrast, direction, phase and finding, in English and in what German, French, Spanish
and Italian scanners are set to. Everyday given names are not among them, nor are joining words that are parts of
names. Nothing that is not listed stays.
"""

import re
from importlib import resources


def listed(name: str) -> frozenset[str]:
    """The words of a list beside this module; lines that begin with # are titles."""
    lines = resources.files("appliance.core.deidentify").joinpath(name).read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


WORDS: frozenset[str] = listed("clinical_words.txt")
# After one of these a name follows, whatever word it is.
_TITLES = (
    "dr prof professor doctor doktor mr mrs ms miss mister herr frau mme madame monsieur sr sra senor senora signor "
    "signora dott patient pat pt name nurse tech technologist radiologist physician operator nom nombre nome"
)
BEFORE_NAMES = frozenset(_TITLES.split())
MODALITIES = frozenset(("MR", "PT", "SR"))  # which are titles too, in small letters
# A number stays only with the unit that makes it a quantity.
QUANTITY = re.compile(
    r"(?<![\w.,/-])\d{1,3}(?:\.\d{1,3})?(?:\s?x\s?\d{1,3}(?:\.\d{1,3})?){0,2}"
    r"\s?(?:mm|cm|ml|kv|kvp|mas|ma|sec|ms|mhz|hz|mg|mci|mbq|cgy|gy|hu|deg|%)(?![\w])",
    re.IGNORECASE,
)
# Weightings, vertebrae, dimensions, diffusion weights, field strengths: letters with a digit that name nobody.
SHORT_TERM = re.compile(
    r"[1-5]?[TCLS]\d{1,2}|T[12]W?I?|[234]D|B\d{2,4}|[137](?:\.[05])?T|PHASE\d|[LRC]V\d", re.IGNORECASE
)
