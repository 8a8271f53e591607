"""Models that have not flagged anything for longer than is to be believed. It reads what triage counted."""

from sqlalchemy import Connection, select

from appliance.core.say import say
from appliance.world.ledger import watch

DAY_S = 86_400.0
SILENT_DAYS = 14.0
SILENT_STUDIES_MIN = 100


def silence(c: Connection, certificate: str, now: float) -> str:
    """Words where a model has not flagged anything for long, though it has seen enough to; "" otherwise."""
    last = watch.last_in_lane(c, certificate, "flagged")
    if last is not None and (now - last) / DAY_S < SILENT_DAYS:
        return ""  # before anything is counted: pages ask this all the time, of all that the model ever saw
    counts = watch.lane_counts(c, certificate)
    if sum(counts.values()) < SILENT_STUDIES_MIN:
        return ""
    if last is None:
        return say("the model has not flagged one of %(count)s studies", count=sum(counts.values()))
    return say("the model has not flagged a study for %(days)s days", days=f"{(now - last) / DAY_S:.0f}")


def silent_models(c: Connection, now: float) -> tuple[str, ...]:
    """One sentence for each certificate in force whose model is silent."""
    rows = c.execute(select(watch.monitors).where(watch.monitors.c.present)).all()
    told = ((row.facts["name"], silence(c, row.certificate, now)) for row in rows)
    return tuple(say("Certificate %(name)s: %(words)s.", name=name, words=words) for name, words in told if words)
