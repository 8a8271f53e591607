"""The search itself: identity in a text, a number, a UID, in bytes and in deflate streams inside bytes.

It refuses to say what was found: only that something was.
"""

import contextlib
import itertools
import re
import zlib
from collections.abc import Iterator

from appliance.core.inspect_search import BYTES_MIN, MONTH_NUMBERS, Search, words_of

STREAMS_MAX = 64
INFLATED_BYTES_MAX = 16 << 20
_DATE_PARTS = re.compile(r"\d+|[^\W\d_]{3,}")
_UID = re.compile(r"(?<![\w.])[0-2](?:\.\d+){2,}(?![\w.]*\w)")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_GZIP = re.compile(rb"\x1f\x8b\x08")


def in_text(search: Search, text: str) -> bool:
    """Identity in one text value."""
    if len(text) < 2:
        return False
    folded = text.casefold()
    tokens = set(words_of(folded))
    if tokens & search.words or any(group <= tokens for group in search.groups):
        return True
    if any(uid in search.uids for uid in _UID.findall(text)):
        return True
    if any(char.isdigit() for char in text) and _dated(search, folded):
        return True
    squeezed = "".join(words_of(folded))
    return any(word in squeezed for word in search.inside) or any(phrase in squeezed for phrase in search.phrases)


def _dated(search: Search, text: str) -> bool:
    return any(_bounded(form, text) for form in search.dates) or not search.dates.isdisjoint(_dates_in(text))


def _bounded(form: str, text: str) -> bool:
    at = text.find(form)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(form) : at + len(form) + 1]
        if (
            not before.isdigit()
            and not (after.isdigit() and len(form) < 8)
            and not (after.isdigit() and form.isdigit())
        ):
            return True
        at = text.find(form, at + 1)
    return False


def _dates_in(text: str) -> Iterator[str]:
    """Every reading of the text as a date, YYYYMMDD: three parts side by side in any order, months also in words."""
    parts = [part if part.isdigit() else MONTH_NUMBERS.get(part[:3], "") for part in _DATE_PARTS.findall(text)]
    for run in parts:
        if len(run) == 8:
            yield from (run[4:] + run[2:4] + run[:2], run[4:] + run[:4])
    for three in zip(parts, parts[1:], parts[2:], strict=False):
        for year, month, day in itertools.permutations(three):
            if len(year) == 4 and 0 < len(month) < 3 and 0 < len(day) < 3:
                yield f"{year}{month:0>2}{day:0>2}"


def in_number(search: Search, text: str) -> bool:
    """An identifier or a date where a number stands, whatever its leading zeros and its exponent."""
    whole = text.strip().partition(".")[0].lstrip("+-")
    if "e" in text.lower():
        with contextlib.suppress(ValueError):
            whole = f"{float(text):.0f}".lstrip("-")
    return whole.lstrip("0") in search.numbers or (len(whole) == 8 and whole in search.dates)


def in_uid(search: Search, text: str) -> bool:
    """A UID of the source, or a UID built around an identifier or a date."""
    return text in search.uids or any(in_number(search, part) for part in text.split("."))


def in_bytes(search: Search, data: bytes, pictures: bool = False) -> bool:
    """Identity spelled in bytes; `pictures` searches bulk data, where short words would be found by chance."""
    lowered = data.lower()
    return any(
        _spelled_out(needle, data, lowered, pictures) for needle in (search.pictures if pictures else search.raw)
    )


def _spelled_out(needle: bytes, data: bytes, lowered: bytes, pictures: bool) -> bool:
    at = lowered.find(needle)
    while at >= 0:
        found = data[at : at + len(needle)]
        digits = needle.replace(b"\0", b"").replace(b".", b"").isdigit()
        neighbours = lowered[max(at - 1, 0) : at] + lowered[at + len(needle) : at + len(needle) + 1]
        # Digits are part of a longer number, as in a UID, unless something else stands around them.
        if not (digits and any(byte in b"0123456789." for byte in neighbours)) and (not pictures or _one_case(found)):
            return True
        at = lowered.find(needle, at + 1)
    return False


def _one_case(found: bytes) -> bool:
    """Noise has letters of mixed case, writing has not."""
    letters = bytes(byte for byte in found if byte < 128 and chr(byte).isalpha())
    return letters in (letters.upper(), letters.lower(), letters.title(), letters[:1] + letters[1:].lower())


def inflated(data: bytes) -> Iterator[bytes]:
    """What deflate streams inside `data` hold; the first few, each cut at a limit."""
    starts = [(match.start(), 15) for match in _ZLIB.finditer(data)]
    starts += [(match.start(), 31) for match in _GZIP.finditer(data)]
    for start, window in starts[:STREAMS_MAX]:
        try:
            text = zlib.decompressobj(window).decompress(data[start:], INFLATED_BYTES_MAX)
        except zlib.error:
            continue
        if len(text) > BYTES_MIN:
            yield text
