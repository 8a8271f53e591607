"""What looks like a person in words that should hold none: dates, long numbers, names with carets, addresses.

The centre's own eyes, for what comes from an edge and for what a language model says. It shares no code with the
inspector of what leaves an appliance (core.inspect), on purpose: two pairs of eyes see more than one pair twice.
"""

import re

YEAR, MONTH, DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
# No pattern may take more than linear time: a stranger chooses the text.
IDENTITY: dict[str, re.Pattern[str]] = {
    "date": re.compile(rf"(?<!\d){YEAR}[-./_]?{MONTH}[-./_]?{DAY}(?!\d)|(?<!\d){DAY}[-./_]{MONTH}[-./_]{YEAR}(?!\d)"),
    "digits": re.compile(r"\d{6,}"),
    "uid": re.compile(r"(?<![\d.])[0-2](?:\.\d+){4,}"),
    "caret": re.compile(r"\^"),
    "email": re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}\.[A-Za-z0-9-]"),
    "phone": re.compile(r"\+?\d{2,5}(?:[-/. ]\d{2,5}){2,}"),
}


def identity_in(text: str) -> str | None:
    """The name of the first pattern of IDENTITY that the text matches, None when there is none."""
    return next((name for name, pattern in IDENTITY.items() if pattern.search(text)), None)
