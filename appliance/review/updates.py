"""What came down from the centre, as the page of the models shows it: whether it may be believed, what became of it.

It reads what triage filed and decides nothing.
"""

from typing import Any

from sqlalchemy import Connection

from appliance.core.say import say
from appliance.errors import CATALOGUE
from appliance.review import words
from appliance.world.ledger import updates

STATE_WORDS = {
    "left": ("unchecked", "not for this appliance now"),
    "awaited": ("unchecked", "on its way"),
    "begun": ("unchecked", "being looked at"),
    "refused": ("wrong", "REFUSED"),
    "held": ("holds", "verified and taken in"),
    "withdrawn": ("wrong", "WITHDRAWN"),
}
KIND_WORDS = {
    "model": "a model",
    "certificate": "a certificate",
    "policy": "a policy",
    "release": "a release, kept here",
}
SHOWN_MAX = 50


def updates_shown(c: Connection, now: float) -> dict[str, Any] | None:
    """For the panel; None where this appliance takes no updates."""
    stands = updates.stands(c)
    if stands is None:
        return None
    ended = stands.expires is not None and stands.expires < now
    code = stands.code or ("updates-expired" if ended else "")
    rows = sorted(updates.everything(c), key=lambda row: -row.at)[:SHOWN_MAX]
    return {
        "why": CATALOGUE[code].text if code in CATALOGUE else "",
        "until": "" if stands.expires is None else words.clock_time(stands.expires),
        "verified": "" if stands.verified_at is None else words.clock_time(stands.verified_at),
        "rows": [
            {
                "title": row.title or row.path,
                "kind": say(KIND_WORDS[row.kind]),
                "ring": row.ring,
                "mark": STATE_WORDS[row.state][0],
                "state": say(STATE_WORDS[row.state][1]),
                "why": CATALOGUE[row.code].text if row.code in CATALOGUE else "",
                "at": words.clock_time(row.at),
            }
            for row in rows
        ],
    }
