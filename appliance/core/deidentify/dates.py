"""Dates under the Retain Longitudinal Temporal Information options of PS3.15 E.3.6: kept, or moved by whole weeks.

One offset a patient, keyed: intervals and days of the week stay, the calendar does not. Times of day stay. It refuses
what is not wholly in the form of PS3.5 6.2: that becomes a dummy like any other text.
"""

import datetime
import hashlib
import hmac
import re

WEEKS_MIN, WEEKS_MAX = 26, 520  # at least half a year, so that no shifted date is another date of the same illness
_DATE = re.compile(r"(\d{4})(\d\d)?(\d\d)?")
_OLD_DATE = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)")  # of ACR-NEMA, which readers still meet
# Hours, minutes and seconds that there are: in others a number could be told.
_HOUR, _SIXTY, _FRACTION = r"(?:[01]\d|2[0-3])", r"[0-5]\d", r"(?:\.\d{1,6})?"
_CLOCK = rf"{_HOUR}(?:{_SIXTY}(?:(?:{_SIXTY}|60){_FRACTION})?)?"
_TIME = re.compile(rf"{_CLOCK}|{_HOUR}:{_SIXTY}(?::(?:{_SIXTY}|60){_FRACTION})?")
_DATE_TIME = re.compile(rf"(\d{{4,8}})((?:{_CLOCK})?)([+-](?:0\d|1[0-4])[034][05])?")


def offset_days(site_key: bytes, patient: str) -> int:
    """By how many days the dates of one patient move back: whole weeks, keyed by site and patient."""
    digest = hmac.digest(site_key, f"dates|{patient}".encode(), hashlib.sha256)
    return -7 * (WEEKS_MIN + int.from_bytes(digest[:8], "big") % (WEEKS_MAX - WEEKS_MIN + 1))


def shifted(vr: str, text: str, days: int) -> str | None:
    """One DA, TM or DT value moved by `days`; days 0 keeps it. None where it is no such value."""
    if vr == "TM":
        return text if _TIME.fullmatch(text) else None
    if vr == "DA":
        match = _DATE.fullmatch(text) or _OLD_DATE.fullmatch(text)
        return None if match is None else _moved(match[1], match[2], match[3], days)
    match = _DATE_TIME.fullmatch(text)
    if match is None or len(match[1]) % 2:
        return None
    day, rest, zone = match[1], match[2], match[3] or ""
    moved = _moved(day[:4], day[4:6], day[6:8], days)
    return None if moved is None or (rest and len(day) < 8) else moved + rest + zone


def _moved(year: str, month: str | None, day: str | None, days: int) -> str | None:
    """As precise as it was: a month without a day moves as its first day does."""
    try:
        moved = datetime.date(int(year), int(month or 1), int(day or 1)) + datetime.timedelta(days)
    except (ValueError, OverflowError):
        return None
    return f"{moved:%Y%m%d}"[: 4 + 2 * bool(month) + 2 * bool(day)] if moved.year > 999 else None
