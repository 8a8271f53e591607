"""Weeks as ISO 8601 counts them, in UTC: by them it is told what the edge missed."""

import re
from datetime import UTC, date, datetime, timedelta

WEEK = re.compile(r"([0-9]{4})-W([0-9]{2})")
FIRST_YEAR, LAST_YEAR = 1970, 9998


def week_of(at: float) -> str:
    """The week of a wall time, as `2026-W48`."""
    year, week, _ = datetime.fromtimestamp(at, UTC).isocalendar()
    return f"{year}-W{week:02d}"


def bounds(week: str) -> tuple[float, float] | None:
    """Begin and end of a week in wall seconds, the end not included; None for what names no week."""
    match = WEEK.fullmatch(week)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        return None
    try:
        monday = date.fromisocalendar(int(match[1]), int(match[2]), 1)
    except ValueError:
        return None
    begin = datetime(monday.year, monday.month, monday.day, tzinfo=UTC)
    return begin.timestamp(), (begin + timedelta(days=7)).timestamp()


def last_weeks(now: float, count: int) -> list[str]:
    """The present week and those before it, the newest first."""
    return [week_of(now - 7 * 86_400 * back) for back in range(count)]
