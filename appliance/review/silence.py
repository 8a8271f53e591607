"""Models that have not flagged anything for longer than is to be believed. It reads what triage counted."""

from sqlalchemy import Connection, select

from appliance.world.ledger import watch

DAY_S = 86_400.0
SILENT_DAYS = 14.0
SILENT_STUDIES_MIN = 100


def silence(c: Connection, certificate: str, now: float) -> str:
    """Words where a model has not flagged anything for long, though it has seen enough to; "" otherwise."""
    counts = watch.lane_counts(c, certificate)
    last = watch.last_in_lane(c, certificate, "flagged")
    if sum(counts.values()) < SILENT_STUDIES_MIN:
        return ""
    if last is None:
        return f"the model has not flagged one of {sum(counts.values())} studies"
    days = (now - last) / DAY_S
    return f"the model has not flagged a study for {days:.0f} days" if days >= SILENT_DAYS else ""


def silent_models(c: Connection, now: float) -> tuple[str, ...]:
    """One sentence for each certificate in force whose model is silent."""
    rows = c.execute(select(watch.monitors).where(watch.monitors.c.present)).all()
    told = ((row.facts["name"], silence(c, row.certificate, now)) for row in rows)
    return tuple(f"Certificate {name}: {words}." for name, words in told if words)
