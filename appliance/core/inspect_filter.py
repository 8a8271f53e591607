"""Where the exact search need not look: one pass over all bytes for all needles at once.

A filter never says no where inspect_scan would say yes; where it says perhaps, inspect_scan decides. So a filter may
hold more than one identity asks for, and is kept for the next file of the same patient, in the memory of the process.
"""

import re
from collections import deque
from collections.abc import Iterable
from functools import cached_property, lru_cache

from ahocorasick_rs import BytesAhoCorasick, Implementation

from appliance.core.identity import Identity, Item
from appliance.core.inspect_dates import short_dates_in, short_times_in, usual_needles
from appliance.core.inspect_scan import ENCODED
from appliance.core.inspect_search import (
    BITS,
    BYTES_MIN,
    NUMBER_DIGITS_MIN,
    STRONG,
    WEAK,
    WORD_LETTERS_MIN,
    excused_words,
    needles_of,
    wide_forms,
)
from appliance.core.inspect_words import common_words

FILTERS_MAX = 32
LEFT_OVER_MAX = 48  # items that are not in a kept filter and get a small one of their own
UID_BYTES = 20  # as much of a UID as is looked for: UIDs of one machine begin alike
TABLE_BYTES_MAX = 32_000  # of needles: the table of their states is a thousand times as large
# Kinds of which only words are looked for, as many texts at once as there are.
_PLAIN_KINDS = frozenset({"text", "private", "trait", "institution", "address", "device"})
_WORD = re.compile(r"[a-z0-9]+")
_RUN = re.compile(r"\d{4,}")
_LONG_RUN = re.compile(rb"\d{6,}")
_SPACED = re.compile(r"\d(?:[ ()./+_-]{0,3}\d){5,}")
_ENCODED = re.compile(ENCODED.pattern.encode())
# Letters of two or four bytes each, as many as the shortest needle has, less the last, whose zeros may be another's.
# A space is a letter here: dates are spelled with it, and between two of them no word is that long.
WIDE = re.compile(rb"(?:[ -~]\0){5}|(?:[ -~]\0\0\0){5}")
_BETWEEN = bytes(byte for byte in range(128) if not chr(byte).isalnum())


class Automaton:
    """Needles, and where they stand in bytes in lower case."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self.needles = sorted(needles)
        self._found: BytesAhoCorasick | None = None
        self._may_be_table = sum(map(len, self.needles)) <= TABLE_BYTES_MAX

    def hits(self, lowered: bytes, *, often: bool) -> list[tuple[int, int, int]]:
        """(number of the needle, start, end) of every needle in the bytes, overlapping ones too.

        often  whether it pays to make a table of all states, which is twice as fast as a tree and slower to make
        """
        if not self.needles:
            return []
        if self._found is None or (often and self._may_be_table):
            kind = Implementation.DFA if often and self._may_be_table else Implementation.ContiguousNFA
            self._found = BytesAhoCorasick(self.needles, implementation=kind)
            self._may_be_table &= not often
        found: list[tuple[int, int, int]] = self._found.find_matches_as_indexes(lowered, overlapping=True)
        return found


class Filter:
    """Needles of many items, for haystacks in lower case."""

    def __init__(self, items: frozenset[Item], excused: frozenset[str], known: "Filter | None" = None) -> None:
        """known: a filter that is asked too, so that what it looks for is not looked for twice."""
        self.items = items
        self.excused = excused
        self.often = False
        self.without = 0
        self.words: set[str] = set()
        self.groups: set[frozenset[str]] = set()
        self.numbers: set[str] = set()
        self.tails: set[str] = set()
        self.dates: set[str] = set()
        self.times: set[str] = set()
        spelled: set[bytes] = set()
        strong: set[bytes] = set()
        plain: dict[bool, list[str]] = {True: [], False: []}
        for item in items:
            if item.kind in _PLAIN_KINDS and item.text.isascii():
                plain[bool(BITS[item.kind] & WEAK)].append(item.text)
                continue
            words, groups, inside, numbers, tails, dates, times, uids, raw = needles_of(item, excused)
            if uids:
                raw = frozenset(uid[:UID_BYTES] for uid in raw)
            self.words |= words
            self.groups |= groups
            self.numbers |= numbers
            self.tails |= tails
            self.dates |= dates
            self.times |= times
            spelled |= raw
            spelled.update(word.encode() for word in inside if word.isascii())
            if BITS[item.kind] & STRONG:
                # Of all spellings of a date only the usual ones: a picture is searched for each of them.
                strong |= raw.intersection(*map(usual_needles, dates)) if dates else raw
        for weak, texts in plain.items():
            spelled |= self._of_plain_texts(texts, common_words() | excused if weak else common_words())
        self.years = {date[:4] for date in self.dates}
        self.short_dates = {date[2:] for date in self.dates}
        if known is not None:
            spelled.difference_update(known.everything.needles)
            strong.difference_update(known.one_letter_a_cell.needles)
        self.everything: Automaton = Automaton(spelled)
        self.one_letter_a_cell: Automaton = Automaton(strong)
        self.ascii_only = all(needle.isascii() for needle in strong)

    @cached_property
    def pictures(self) -> Automaton:
        """What is looked for in pictures, in letters of any width."""
        narrow = self.one_letter_a_cell.needles
        return Automaton((*narrow, *(wide for needle in narrow for wide in wide_forms(needle))))

    def _of_plain_texts(self, texts: list[str], common: frozenset[str]) -> set[bytes]:
        """All that needles_of() makes of many texts of which words are looked for, and perhaps more."""
        each = [_WORD.findall(text.lower()) for text in texts]
        words = {word for own in each for word in own if len(word) >= WORD_LETTERS_MIN} - common
        numbers = {word.lstrip("0") for word in words if word.isdigit()}
        numbers = {number for number in numbers if len(number) >= NUMBER_DIGITS_MIN}
        inside = {word for word in words if len(word) >= BYTES_MIN}
        # A whole text is found by any long word of it; one without them is looked for as it is.
        whole = {"".join(own) for own in each if inside.isdisjoint(own)}
        self.words |= words
        self.numbers |= numbers
        return {word.encode() for word in (*inside, *numbers, *(text for text in whole if len(text) >= BYTES_MIN))}

    def perhaps_in_texts(self, lowered: bytes, text: str, runs: set[str], spaced: list[str]) -> bool:
        """Whether any text of many may hold identity."""
        tokens = set(_WORD.findall(text))
        if not self.words.isdisjoint(tokens) or any(group <= tokens for group in self.groups):
            return True
        if not self.years.isdisjoint(runs) or any(self._dated(run) for run in runs if len(run) >= 6):
            return True
        if not self.short_dates.isdisjoint(short_dates_in(text)) or not self.times.isdisjoint(short_times_in(text)):
            return True
        if not self.numbers.isdisjoint(run.lstrip("0") for run in (*spaced, *runs)):
            return True
        if self.tails and any(tail in run for tail in self.tails for run in (*spaced, *runs)):
            return True
        return bool(self.everything.hits(lowered.translate(None, _BETWEEN), often=self.often))

    def _dated(self, run: str) -> bool:
        return not self.dates.isdisjoint((run[:8], run[4:8] + run[2:4] + run[:2], run[4:8] + run[:4]))

    def perhaps_in_numbers(self, runs: Iterable[bytes]) -> bool:
        """Whether any of these runs of six digits or more may be an identifier or a date."""
        for run in runs:
            number = run.decode("ascii")
            if number.lstrip("0") in self.numbers or number in self.dates:
                return True
        return False

    def perhaps_number(self, number: int) -> bool:
        return str(number) in self.numbers or str(number) in self.dates


_kept: deque[Filter] = deque(maxlen=FILTERS_MAX)


def filters_for(identity: Identity, without: int = 0) -> tuple[Filter, ...]:
    """Filters that together hold all that `identity` asks for: a kept one and what it lacks, or a new one.

    without  bits of inspect_search.BITS: kinds of things that are not asked for
    """
    items, excused = frozenset(identity.items), _excused(identity.products)
    if without:
        items = frozenset(item for item in items if BITS[item.kind] & ~without)
    for kept in reversed(_kept.copy()):  # another thread may add one meanwhile
        if kept.excused == excused and kept.without == without:
            lacking = items - kept.items
            if len(lacking) <= LEFT_OVER_MAX:
                kept.often = True
                return (kept, Filter(lacking, excused, kept)) if lacking else (kept,)
    made = Filter(items, excused)
    made.without = without
    _kept.append(made)
    return (made,)


@lru_cache(FILTERS_MAX)
def _excused(products: tuple[str, ...]) -> frozenset[str]:
    return excused_words(products)


def perhaps_in_bytes(filters: tuple[Filter, ...], data: bytes) -> bool:
    """Whether identity may be spelled in bytes, in letters of any width."""
    lowered = data.lower()
    haystacks = (lowered, lowered.translate(None, b"\0")) if WIDE.search(lowered) else (lowered,)
    return any(one.everything.hits(each, often=one.often) for one in filters for each in haystacks)


def perhaps_in_texts(filters: tuple[Filter, ...], texts: bytes) -> bool:
    """Whether any of many texts, one after the other with a line feed between, may hold identity."""
    if not texts.isascii() or b"\x1b" in texts or _ENCODED.search(texts):
        return True  # readings and encodings are the exact search's business
    lowered = texts.lower()
    text = lowered.decode("ascii")
    runs = set(_RUN.findall(text))
    spaced = ["".join(filter(str.isdigit, run)) for run in _SPACED.findall(text)]
    return any(one.perhaps_in_texts(lowered, text, runs, spaced) for one in filters)


def perhaps_in_numbers(filters: tuple[Filter, ...], numbers: bytes) -> bool:
    """Whether any of many decimal or integer strings, one after the other with a line feed between, may identify."""
    if b"e" in numbers or b"E" in numbers:
        return True
    runs = _LONG_RUN.findall(numbers)
    return bool(runs) and any(one.perhaps_in_numbers(runs) for one in filters)


assert NUMBER_DIGITS_MIN == 6, "_LONG_RUN and _SPACED count to it"
