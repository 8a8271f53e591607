"""The search itself, exact and slow: identity in a text, a number, a UID, in bytes.

This is what decides. inspect_filter only says where it need not look. It refuses to say what was found: only that
something was, and of a kind that is not excused there.
"""

import contextlib
import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

from appliance.core.inspect_dates import dates_in, short_dates_in, short_times_in
from appliance.core.inspect_search import BITS, ID_CHARACTERS_MIN, NUMBER_DIGITS_MIN, STRONG, Search
from appliance.core.inspect_words import words_of

UID = re.compile(r"(?<![\w.])[0-2](?:\.\d++){2,}+(?![\w.]*\w)")
ENCODED = re.compile(r"&#?\w+;|%[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|=[0-9A-F]{2}")
_RUN = re.compile(r"\d+")
_SPACED = re.compile(r"\d(?:[ ()./+_-]{0,3}\d)+")
_NEW_UID = "2.25."  # a UUID as a number: its digits are chance


def in_text(search: Search, text: str, excused: int = 0, *, loose: bool = True) -> bool:
    """Identity in one text value.

    excused  bits of inspect_search.BITS that may stay here
    loose    also what a version number may look like: two-digit years, identifiers of four digits
    """
    return any(_in_reading(search, reading, ~excused, loose) for reading in _meant(text))


def _meant(text: str) -> Iterator[str]:
    """The text and what it says where it was encoded once more, in letters of one width."""
    yield text if text.isascii() else unicodedata.normalize("NFKC", text)
    if ENCODED.search(text):
        yield html.unescape(text)
        yield urllib.parse.unquote(text)
        yield re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), text)
        with contextlib.suppress(ValueError):
            yield re.sub(r"=([0-9A-F]{2})", r"%\1", urllib.parse.unquote(text.replace("=", "%")))


def _in_reading(search: Search, text: str, asked: int, loose: bool) -> bool:
    if len(text) < 2:
        return False
    folded = text.casefold()
    tokens = set(words_of(folded))
    words = tokens if loose else {word for word in tokens if len(word) > ID_CHARACTERS_MIN or word.isalpha()}
    if _bits(search.words, words) & asked:
        return True
    if any(bits & asked and group <= tokens for group, bits in search.groups.items()):
        return True
    if _bits(search.uids, UID.findall(text)) & asked:
        return True
    if any(char.isdigit() for char in folded) and _in_digits(search, folded, asked, loose):
        return True
    squeezed = "".join(words_of(folded))
    return any(bits & asked and word in squeezed for word, bits in search.inside.items())


def _bits(found: Mapping[str, int], texts: Iterable[str]) -> int:
    bits = 0
    for text in texts:
        bits |= found.get(text, 0)
    return bits


def _in_digits(search: Search, text: str, asked: int, loose: bool) -> bool:
    """Dates, numbers and telephone numbers, whatever stands between their digits."""
    if _bits(search.dates, dates_in(text)) & asked:
        return True
    runs = _RUN.findall(text)
    if loose and asked & BITS["date"]:
        short = {date[2:] for date in search.dates}
        if not short.isdisjoint(short_dates_in(text)):
            return True
        if asked & BITS["time"] and not search.times.keys().isdisjoint(short_times_in(text)):
            return True
    spaced = [re.sub(r"\D", "", run) for run in _SPACED.findall(text)]
    if _bits(search.numbers, (run.lstrip("0") for run in (*runs, *spaced))) & asked:
        return True
    return any(bits & asked and tail in run for run in (*runs, *spaced) for tail, bits in search.tails.items())


def in_number(search: Search, text: str, excused: int = 0) -> bool:
    """An identifier or a date where a number stands, whatever its leading zeros and its exponent."""
    whole = text.strip().partition(".")[0].lstrip("+-")
    if "e" in text.lower():
        with contextlib.suppress(ValueError, OverflowError):
            whole = f"{float(text):.0f}".lstrip("-")
    bits = search.numbers.get(whole.lstrip("0"), 0)
    if len(whole) == 8:
        bits |= search.dates.get(whole, 0)
    return bool(bits & ~excused)


def in_uid(search: Search, text: str, excused: int = 0) -> bool:
    """A UID of the source, or a UID built around an identifier or a date."""
    bits = search.uids.get(text, 0)
    for part in text.split("."):
        if len(part) < NUMBER_DIGITS_MIN:
            continue
        bits |= search.numbers.get(part.lstrip("0"), 0) | search.dates.get(part, 0)
        if not text.startswith(_NEW_UID):
            for needles in (search.numbers, search.dates):
                for needle, bit in needles.items():
                    bits |= bit if needle in part else 0
    return bool(bits & ~excused)


def in_bytes(search: Search, data: bytes, excused: int = 0, *, pictures: bool = False) -> bool:
    """Identity spelled in bytes; `pictures` searches bulk data, where short words would be found by chance."""
    lowered = data.lower()
    asked = (STRONG if pictures else -1) & ~excused
    for needle, bits in search.raw.items():
        if bits & asked:
            at = lowered.find(needle)
            while at >= 0:
                if counts(data, at, at + len(needle), pictures=pictures):
                    return True
                at = lowered.find(needle, at + 1)
    return False


def counts(data: bytes, start: int, end: int, *, pictures: bool) -> bool:
    """Whether a needle that stands at data[start:end] is more than part of something longer, or chance."""
    digits = data[start:end].translate(None, b"\0.-/").isdigit()
    neighbours = data[max(start - 1, 0) : start] + data[end : end + 1]
    # Digits are part of a longer number, as in a UID, unless something else stands around them.
    if digits and any(byte in b"0123456789." for byte in neighbours):
        return False
    return not pictures or _one_case(data[start:end])


def _one_case(found: bytes) -> bool:
    """Noise has letters of mixed case, writing has not."""
    letters = bytes(byte for byte in found if byte < 128 and chr(byte).isalpha())
    return letters in (letters.upper(), letters.lower(), letters.title(), letters[:1] + letters[1:].lower())
