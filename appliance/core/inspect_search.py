"""What is searched for, given an identity.

From an identity come words, phrases, numbers, dates and UIDs, each with the least length at which a hit is more than
chance. Common words of the standard are not searched for when they come out of free text; words of a person's name
always are, except a few defined terms. It refuses to search for what chance would find in any honest object.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, get_args

from appliance.core.identity import REMEMBERED, REMEMBERED_BYTES_MAX, Identity, Item
from appliance.core.inspect_dates import date_needles
from appliance.core.inspect_kinds import Kind
from appliance.core.inspect_words import DEFINED_TERMS, common_words, words_of

NAME_LETTERS_MIN = 3  # of a word of a person's name, as a whole word of a text
WORD_LETTERS_MIN = 5  # of a word of any other text
ID_CHARACTERS_MIN = 4  # of an identifier, as a whole word of a text
NUMBER_DIGITS_MIN = 6  # of an identifier among numbers and in bytes
PHONE_DIGITS_MIN, PHONE_DIGITS = 6, 8  # of a telephone number; how many of its last ones are looked for
PHRASE_LETTERS_MIN = 10  # of a whole text, letters and digits only
UID_CHARACTERS_MIN = 8
BYTES_MIN = 6  # of anything searched for inside longer words and in raw bytes
ENCODINGS = (
    "utf-8",
    "latin-1",
    "iso8859_2",
    "iso8859_3",
    "iso8859_4",
    "iso8859_5",
    "iso8859_6",
    "iso8859_7",
    "iso8859_8",
    "iso8859_9",
    "cp1251",
    "koi8_r",
    "tis_620",
    "shift_jis",
    "euc_jp",
    "euc_kr",
    "gb18030",
    "big5",
    "iso2022_jp",
)
WIDE_ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# What kind of thing was found, as bits: an option may excuse some of them in some places.
BITS: dict[Kind, int] = {kind: 1 << number for number, kind in enumerate(get_args(Kind))}
WEAK = BITS["text"] | BITS["private"] | BITS["trait"]  # nobody said that these name anybody
STRONG = BITS["name"] | BITS["id"] | BITS["phone"] | BITS["date"] | BITS["uid"]  # looked for in pictures too
NOBODYS_DATE = "18991230"  # the dummy of an earlier de-identification: no date of a patient's
# Letters whose plain spelling is not the letter without its mark.
TRANSLITERATED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "œ": "oe", "ł": "l"})


class Needles(NamedTuple):
    """What one item gives to look for. Text is casefolded; numbers are without leading zeros."""

    words: frozenset[str] = frozenset()  # whole words of a text
    groups: frozenset[frozenset[str]] = frozenset()  # all words of one name, in any order
    inside: frozenset[str] = frozenset()  # anywhere among letters and digits, even inside a longer word
    numbers: frozenset[str] = frozenset()  # whole numbers
    tails: frozenset[str] = frozenset()  # last digits of a telephone number, whatever stands between them
    dates: frozenset[str] = frozenset()
    times: frozenset[str] = frozenset()
    uids: frozenset[str] = frozenset()
    raw: frozenset[bytes] = frozenset()  # in bytes, ASCII letters in lower case; wide_forms() of them too


@dataclass(frozen=True, slots=True)
class Search:
    """Everything to look for, and for each what kinds of thing it is: bits of BITS."""

    words: dict[str, int] = field(repr=False)
    groups: dict[frozenset[str], int] = field(repr=False)
    inside: dict[str, int] = field(repr=False)
    numbers: dict[str, int] = field(repr=False)
    tails: dict[str, int] = field(repr=False)
    dates: dict[str, int] = field(repr=False)
    times: dict[str, int] = field(repr=False)
    uids: dict[str, int] = field(repr=False)
    raw: dict[bytes, int] = field(repr=False)


def excused_words(products: Iterable[str]) -> frozenset[str]:
    """Words of the source's texts about equipment and codes, which an honest output keeps."""
    words = {word.casefold() for text in products for word in words_of(text)}
    return frozenset(words | {"".join(words_of(text)).casefold() for text in products})


@lru_cache(4)
def search_for(identity: Identity) -> Search:
    """What to search for, given what identifies."""
    search = Search({}, {}, {}, {}, {}, {}, {}, {}, {})
    excused = excused_words(identity.products)
    for item in identity.items:
        bit = BITS[item.kind]
        for many, into in zip(needles_of(item, excused), _fields(search), strict=True):
            for needle in many:
                into[needle] = into.get(needle, 0) | bit
    for plain, bits in list(search.raw.items()):
        for wide in wide_forms(plain):
            search.raw[wide] = search.raw.get(wide, 0) | bits
    return search


def wide_forms(plain: bytes) -> tuple[bytes, ...]:
    """ASCII with two and with four bytes a letter; in either byte order the same stands between the letters."""
    if not plain.isascii():
        return ()
    text = plain.decode("ascii")
    return text.encode("utf-16-le")[:-1], text.encode("utf-32-le")[:-3]


def _fields(search: Search) -> tuple[dict[object, int], ...]:
    return tuple(getattr(search, name) for name in Needles._fields)


def needles_of(item: Item, excused: frozenset[str]) -> Needles:
    """What one item gives to look for; its words about equipment are none where nobody said that they name anybody."""
    once = _needles if len(item.text) <= REMEMBERED_BYTES_MAX else _needles.__wrapped__
    found: Needles = once(item.kind, item.text)
    if BITS[item.kind] & WEAK and not excused.isdisjoint(found.words | found.inside):
        words, inside, numbers = found.words - excused, found.inside - excused, found.numbers - excused
        return Needles(words, inside=inside, numbers=numbers, raw=_raw(_spelled_out(words, inside, numbers), ()))
    return found


@lru_cache(REMEMBERED)
def _needles(kind: Kind, text: str) -> Needles:
    if kind == "date":
        dates = frozenset({text} - {NOBODYS_DATE})
        return Needles(dates=dates, raw=frozenset(form for date in dates for form in date_needles(date)))
    if kind == "time":
        return Needles(times=frozenset({text[:6]} if len(text) >= 6 and text[:6] != "000000" else ()))
    if kind == "uid":
        uids = frozenset({text} if len(text) >= UID_CHARACTERS_MIN else ())
        return Needles(uids=uids, raw=frozenset(uid.encode("ascii", "ignore") for uid in uids))
    words = _own_words(kind, text)
    groups = _name_groups(text) if kind == "name" else frozenset()
    inside = {word for word in words if len(word) >= BYTES_MIN and not word.isdigit()} | _phrase(kind, text, words)
    numbers = _numbers(kind, text, words)
    tails = {digits[-PHONE_DIGITS:] for digits in numbers} if kind == "phone" else set()
    return Needles(
        frozenset(words),
        frozenset(groups),
        frozenset(inside),
        frozenset(numbers),
        frozenset(tails),
        raw=_raw(_spelled_out(words, inside, numbers), tails),
    )


def _own_words(kind: Kind, text: str) -> set[str]:
    folded = text.casefold()
    words = {word for word in words_of(folded) if word.count(word[0]) < len(word)}
    if kind == "name":
        words |= _typed(text)
        return {
            word for word in words - DEFINED_TERMS if _long_enough(word, NAME_LETTERS_MIN) and not word.isdigit()
        } | {word for word in words if word.isdigit() and len(word) >= ID_CHARACTERS_MIN}
    if kind == "id":
        # Words around a number, such as those of a protocol's name, are no identifier by themselves.
        whole = "".join(words_of(folded))
        words = {word for word in (*words, whole) if _numbered(word) or word == folded.strip()}
        return {word for word in words - common_words() if len(word) >= ID_CHARACTERS_MIN}
    return {word for word in words - common_words() if _long_enough(word, WORD_LETTERS_MIN)}


def _numbered(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _typed(name: str) -> set[str]:
    """How a name is typed where only plain capitals go: Müller as MUELLER or MULLER, O'Brien as OBRIEN, Li^Wu as LIWU,
    Kern^Otto as OKERN.

    PS3.5 6.2: a code string has no other letters.
    """
    parts = [part for part in ("".join(words_of(part)) for part in re.split(r"[\^ ]+", name.partition("=")[0])) if part]
    whole = {"".join(order) for order in (parts, parts[::-1], parts[:2], parts[1::-1])}
    if len(parts) > 1:
        whole |= {parts[0] + parts[1][0], parts[1][0] + parts[0], parts[0][0] + parts[1], parts[1] + parts[0][0]}
    whole = {word for word in whole if len(word) > NAME_LETTERS_MIN}
    folded = {word.casefold() for word in (*words_of(name), *parts, *whole)}
    plain = {unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode() for word in folded if _latin(word)}
    return folded | plain | {word.translate(TRANSLITERATED) for word in folded}


def _latin(word: str) -> bool:
    return max(word) < "\u0250"


def _long_enough(word: str, least: int) -> bool:
    return len(word) >= (2 if _dense(word) else least)


def _dense(word: str) -> bool:
    """Two characters of Han, Kana or Hangul say as much as a Latin word."""
    return len(word) > 1 and min(word) >= "\u2e80"


def _name_groups(text: str) -> frozenset[frozenset[str]]:
    """Names too short for a search of their own, such as Li^Wu: both words in one text are a hit."""
    groups = (frozenset(word.casefold() for word in words_of(group)) for group in text.split("="))
    return frozenset(
        group for group in groups if len(group) > 1 and not group <= DEFINED_TERMS and sum(map(len, group)) > 3
    )


def _phrase(kind: Kind, text: str, own: set[str]) -> set[str]:
    """The whole text without what stands between its letters and digits: ABC-123-456 typed as ABC123456."""
    squeezed = "".join(words_of(text)).casefold()
    short = kind in ("name", "id")
    if len(squeezed) < (BYTES_MIN if short else PHRASE_LETTERS_MIN) or squeezed in DEFINED_TERMS or squeezed.isdigit():
        return set()
    if kind == "id" and len(words_of(text)) > 1 and not _numbered(text):
        return set()
    telling = bool(own) or kind == "name" or (kind in ("institution", "address") and len(words_of(text)) > 1)
    return {squeezed} if telling and squeezed not in common_words() else set()


def _numbers(kind: Kind, text: str, words: set[str]) -> set[str]:
    found = {word for word in words if word.isdigit()}
    if kind in ("id", "phone"):
        # Whatever its prefix and its separators; a number's own letters end it.
        found |= {re.sub(r"\D", "", run) for run in re.findall(r"\d(?:[\s()./+_-]*\d)+", text)}
    return {number.lstrip("0") for number in found if len(number.lstrip("0")) >= NUMBER_DIGITS_MIN}


def _spelled_out(words: Iterable[str], inside: Iterable[str], numbers: Iterable[str]) -> set[str]:
    """Those that are long enough for bytes, in one encoding at least."""
    return {*inside, *numbers, *(word for word in words if _dense(word) or (len(word) > 3 and not word.isascii()))}


def _raw(texts: Iterable[str], tails: Iterable[str]) -> frozenset[bytes]:
    """Each text in each encoding that can spell it, no shorter than chance allows; ASCII letters in lower case."""
    found: set[bytes] = {tail.encode() for tail in tails}
    for text in texts:
        if text.isascii():
            plain = text.encode()
            if len(plain) >= BYTES_MIN:
                found.add(plain)
            continue
        for form in {text, text.upper(), text.title()}:
            for encoding in (*ENCODINGS, *WIDE_ENCODINGS):
                spelled = _spelled(form, encoding)
                if len(spelled) >= (4 if _dense(text) else BYTES_MIN):
                    found.add(spelled.lower())
    return frozenset(found)


def _spelled(text: str, encoding: str) -> bytes:
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:
        return b""
    # Escape sequences stand around a run, not around each word of it.
    return re.sub(rb"\x1b[$(]+[@BDJ]", b"", raw)
