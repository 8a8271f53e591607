"""Clean Descriptors, PS3.15 E.3.5: clinical words of a text stay, everything else goes.

An allow-list: a word stays because it is a clinical word, a quantity or a short term, never because nothing was found
against it; and not even then where it is a word of somebody's name. It refuses to keep what merely looks harmless.
"""

import re

from appliance.core.deidentify.clinical_words import BEFORE_NAMES, MODALITIES, QUANTITY, SHORT_TERM, WORDS

_TOKEN = re.compile(r"[^\W_]+")
_PLAIN_GAP = re.compile(r"[ ,;:/()+&*_.-]{1,3}")
_AFTER_TITLE = 2  # words that go with a title


def clinical_words(text: str, owned: frozenset[str]) -> str:
    """What of a description may stay; "" where nothing may.

    text   decoded
    owned  words of names and institutions of the same object, casefolded
    """
    kept: list[tuple[int, int]] = [match.span() for match in QUANTITY.finditer(text)]
    taken = [False] * len(text)
    for start, end in kept:
        taken[start:end] = [True] * (end - start)
    skip = 0
    for match in _TOKEN.finditer(text):
        word = match[0].casefold()
        if taken[match.start()]:
            continue
        if word in BEFORE_NAMES and match[0] not in MODALITIES:
            skip = _AFTER_TITLE
        elif skip:
            skip -= 1
        elif (word in WORDS or SHORT_TERM.fullmatch(word)) and word not in owned:
            kept.append(match.span())
    return _joined(text, sorted(kept))


def _joined(text: str, spans: list[tuple[int, int]]) -> str:
    """The kept pieces, with what stood between two neighbours where that is punctuation alone."""
    found, last = "", 0
    for start, end in spans:
        gap = text[last:start]
        if found:
            found += gap if _PLAIN_GAP.fullmatch(gap) else " "
        found += text[start:end]
        last = end
    return found
