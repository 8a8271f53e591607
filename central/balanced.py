"""How `central balance` stands, as plain values for page, metrics, JSON and `central status`: our words and numbers."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from appliance.core.document import decode
from appliance.errors import Quarantined
from central.balance import RUNGS, Rung, Standing
from central.store import loading

STALE_S = 900.0
WHY_WORDS: Mapping[str, str] = {
    "steady": "nothing to move",
    "queue-long": "the queue here is long",
    "queue-grows": "the queue here grows",
    "calm": "the queue here is short",
    "nothing-answered": "no verdict was made of late, which poorer cases would not mend",
    "line-thin": "a line turned out thin",
    "line-well": "a line is well again",
    "held": "moved a short while ago",
}


def balance_now(c: Connection, now: float) -> tuple[dict[str, Any] | None, frozenset[str]]:
    """How it stands, None where it never ran or another version's does; and the devices whose line counts as thin."""
    row = loading.balanced(c)
    if row is None:
        return None, frozenset()
    try:
        standing = decode(Standing, row.body)
    except Quarantined:
        return None, frozenset()
    found = {
        "rung": standing.rung,
        "rungs": len(RUNGS) - 1,
        "word": RUNGS[standing.rung].word,
        "why": list(standing.why),
        "moved_s": int(max(now - standing.moved, 0.0)) if standing.moved else None,
        "looked_s": int(max(now - row.looked_at, 0.0)),
        "policy": row.policy,
        "thin": len(standing.thin),
    }
    return found, frozenset(standing.thin)


def taken_away(rung: Rung) -> str:
    """What a rung takes away, in words."""
    if rung == RUNGS[0]:
        return "nothing is taken away"
    said = [f"at most {rung.key_images} picture{'s' * (rung.key_images > 1)} a case"]
    if rung.pictures_from != "routine":
        said.append(f"pictures only from {rung.pictures_from} on")
    return ", ".join([*said, "no whole series"])


def balance_lines(found: Mapping[str, Any] | None) -> Iterator[str]:
    """For people, on a terminal."""
    if found is not None:
        why = "; ".join(WHY_WORDS[each] for each in found["why"])
        yield f"\nbalance: {taken_away(RUNGS[found['rung']])} ({why})"
        yield f"{found['thin']:>8}  thin lines; policy {found['policy'] or 'none'}"
