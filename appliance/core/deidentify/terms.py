"""Which words a code string may hold: an allow-list, since attributes with defined terms take any word that fits.

A term stays if each of its longer words is one of the standard's attribute names, of the clinical list, or of
defined_terms.txt. Words of up to four letters stay: abbreviations without end, too short to be told apart.
It refuses to keep a long word for looking technical.
"""

import re
from functools import cache

from pydicom._dicom_dict import DicomDictionary

from appliance.core.deidentify.clinical_words import WORDS, listed

SHORT_MAX = 4  # letters
DIGITS_MAX, DIGITS_TOTAL_MAX = 4, 6  # in a row and in all: more may be a number or a birthday that somebody has
STANDARDS = re.compile(r"ISO_(10918|14495|15444|13818|14496|23008)_\d{1,2}")  # Lossy Image Compression Method
_WORD = re.compile(r"[A-Z]+")
_DIGITS = re.compile(r"\d+")


@cache
def _known() -> frozenset[str]:
    named = {word.upper() for entry in DicomDictionary.values() for word in re.findall(r"[A-Za-z]+", str(entry[2]))}
    return frozenset(named | {word.upper() for word in (*WORDS, *listed("defined_terms.txt"))})


@cache
def is_word_of_terms(text: str) -> bool:
    """Whether every longer word of a code string is one that the standard or the clinic defines."""
    if STANDARDS.fullmatch(text):
        return True
    digits = _DIGITS.findall(text)
    if any(len(each) > DIGITS_MAX for each in digits) or len("".join(digits)) > DIGITS_TOTAL_MAX:
        return False
    return all(len(word) <= SHORT_MAX or word in _known() for word in _WORD.findall(text))
