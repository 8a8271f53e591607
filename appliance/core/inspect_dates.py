"""Dates as people and programs write them: every reading of a text as a date, every spelling of a date as bytes.

It refuses two-digit years where a version number would be taken for one: the caller says where.
"""

import itertools
import re
from collections.abc import Iterator

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# The first three letters of months in languages of Latin script, and the number that they stand for.
MONTH_NUMBERS = {
    word: f"{number:02d}"
    for number, words in enumerate(
        (
            "jan ene gen янв",
            "feb fev fév фев",
            "mar mär mrz мар",
            "apr avr abr апр",
            "may mai mag maj май мая",
            "jun giu июн",
            "jul lug июл",
            "aug aou aoû ago авг",
            "sep set сен",
            "oct okt ott out окт",
            "nov ноя",
            "dec dez déc dic дек",
        ),
        start=1,
    )
    for word in words.split()
}
_PARTS = re.compile(r"\d+|[^\W\d_]{3,}")
_SHORT = re.compile(r"(?<![\d.])(\d{1,2})([./-])(\d{1,2})\2(\d{2})(?![\d.])")
_CLOCK = re.compile(r"(?<!\d)(\d{1,2})[:.hH](\d{2})[:.mM](\d{2})(?!\d)")
_SIX = re.compile(r"(?<!\d)\d{6}(?!\d)")


def dates_in(text: str) -> Iterator[str]:
    """Every reading of a casefolded text as a date, YYYYMMDD: months also in words, parts in any order."""
    parts = [part if part.isdigit() else MONTH_NUMBERS.get(part[:3], "") for part in _PARTS.findall(text)]
    for run in parts:
        if len(run) >= 8:
            yield from (run[:8], run[4:8] + run[2:4] + run[:2], run[4:8] + run[:4])
    for three in zip(parts, parts[1:], parts[2:], strict=False):
        for year, month, day in itertools.permutations(three):
            if len(year) == 4 and 0 < len(month) < 3 and 0 < len(day) < 3:
                yield f"{year}{month:0>2}{day:0>2}"


def short_dates_in(text: str) -> Iterator[str]:
    """Every reading with a two-digit year, YYMMDD."""
    for first, _, second, year in _SHORT.findall(text):
        yield f"{year}{second:0>2}{first:0>2}"
        yield f"{year}{first:0>2}{second:0>2}"
        yield f"{first:0>2}{second:0>2}{year}"
    for run in _SIX.findall(text):
        yield from (run, run[4:] + run[2:4] + run[:2], run[4:] + run[:4])


def short_times_in(text: str) -> Iterator[str]:
    """Every reading as a time of day, HHMMSS."""
    yield from _SIX.findall(text)
    for hour, minute, second in _CLOCK.findall(text):
        yield f"{hour:0>2}{minute}{second}"


def date_forms(date: str) -> tuple[str, ...]:
    """The ways in which people and programs write a date: YYYYMMDD first."""
    year, month, day = date[:4], date[4:6], date[6:8]
    name = MONTHS[int(month) - 1] if month.isdigit() and 1 <= int(month) <= 12 else month
    plain = day.lstrip("0")
    return (
        date,
        *(f"{year}{mark}{month}{mark}{day}" for mark in "-/."),
        *(f"{day}{mark}{month}{mark}{year}" for mark in "-/."),
        *(f"{month}{mark}{day}{mark}{year}" for mark in "-/."),
        *(f"{plain} {name} {year}", f"{day}-{name}-{year}", f"{day} {name} {year}", f"{name} {plain}, {year}"),
    )


def usual_needles(date: str) -> frozenset[bytes]:
    """20250311, 2025-03-11, 11.03.2025, 03/11/2025."""
    year, month, day = date[:4], date[4:6], date[6:8]
    return frozenset(f"{date}\n{year}-{month}-{day}\n{day}.{month}.{year}\n{month}/{day}/{year}".encode().split(b"\n"))


def date_needles(date: str) -> frozenset[bytes]:
    """A date in bytes, in each of its forms."""
    return frozenset("\n".join(date_forms(date)).encode().split(b"\n")) if date.isascii() else frozenset()
