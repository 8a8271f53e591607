"""How the appliance stands, read from its databases and its disk: what core.alarms makes its list from. Read only."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from appliance.config import Config, Places
from appliance.core.alarms import Condition, Queue, TargetAway
from appliance.core.document import URGENCIES, Urgency
from appliance.core.enrolment import ends_at
from appliance.core.volume import Silence, history_s, silence
from appliance.silence import silent_models
from appliance.world import archive, keyring, ledger, release, targets, wire
from appliance.world.keyring import CENTRE_FILE
from appliance.world.ledger import promotion
from appliance.world.wire import freight, pulses, queue

DAY_S = 86_400.0
STANDS_STILL = ("updates-expired", "updates-untrusted", "updates-root-invalid")


def condition(
    config: Config,
    root: Path,
    now: float,
    studies: Connection | None,
    cases: Connection | None,
    link: Connection | None,
    silent: Sequence[Silence] | None = None,
) -> Condition:
    """Everything at once. A database that is not there yet has nothing to say.

    silent  what silent_sources said, where the caller keeps it
    """
    told: dict[str, Any] = {"enrolled": _enrolled(config)}
    told["disk_low"] = archive.free_bytes(root) < config.receive.disk_reserve_bytes
    if cases is not None:
        told |= _wire(config, now, cases, link)
    said = pulses.line_now(link) if link is not None else None
    if said is not None:
        told["uplink_said_s"] = max(now - said.said_at, 0.0)
        told["line_gone_s"] = None if said.connected else max(now - said.since, 0.0)
    if studies is not None:
        told["silent"] = silent_sources(studies, now) if silent is None else tuple(silent)
        told["models"] = silent_models(studies, now)
        told["clock_ahead_s"] = max(_newest(studies) - now, 0.0)
        told |= _updates(studies, now)
    told |= _days_left(config, Places(root), now)
    told |= _releases(config)
    return Condition(**told, **_results(Places(root), now))


def _enrolled(config: Config) -> bool:
    """Whether enrolment left its file; where this service may not look, nothing is said against it."""
    try:
        return (config.keys.folder / CENTRE_FILE).exists()
    except PermissionError:
        return True


def _newest(c: Connection) -> float:
    """When the last move was filed, by the clock of then."""
    last = select(ledger.moves.c.at).order_by(ledger.moves.c.id.desc()).limit(1)
    return float(c.execute(last).scalar_one_or_none() or 0.0)


def _days_left(config: Config, places: Places, now: float) -> dict[str, float | None]:
    """Of the certificates that end by themselves; what this service may not read has nothing to say."""
    ends: dict[str, float | None] = {"line_days": None, "page_days": None}
    if config.network.broker_tls:
        ends["line_days"] = keyring.line_ends_at(config.keys)
    if config.review.tls != "off":
        own = config.review.tls == "own"
        with suppress(OSError):
            path = places.review_keys / "page.pem" if own else config.review.tls_certificate_file
            ends["page_days"] = ends_at(path.read_bytes())
    return {name: None if at is None else (at - now) / DAY_S for name, at in ends.items()}


def _updates(c: Connection, now: float) -> dict[str, Any]:
    models = {"models_fallen": tuple(promotion.fallen(c)), "models_offered": tuple(promotion.offered(c))}
    stands = ledger.updates.stands(c)
    if stands is None:
        return models
    ended = stands.expires is not None and stands.expires < now
    refused = sum(row.state == "refused" for row in ledger.updates.everything(c))
    # One role that is not here whole is enough: what is taken back there would never be seen.
    stand = bool(ended or stands.code in STANDS_STILL or stands.roles)
    return {**models, "updates_stand": stand, "updates_refused": refused}


def _releases(config: Config) -> dict[str, str]:
    """Nothing where this appliance does not run from the package."""
    record = release.read()
    failed = "" if record.last_failed is None else record.last_failed.version
    return {"release_failed": failed, "release_waits": record.waits if config.updates.releases == "ask" else ""}


def _results(places: Places, now: float) -> dict[str, Any]:
    count, oldest = targets.waiting(places.outbox)
    away = [
        TargetAway(each.name, each.code, None if each.since is None else max(now - each.since, 0.0))
        for each in targets.away(places.receipts)
    ]
    oldest_s = 0.0 if oldest is None else max(now - oldest, 0.0)
    return {"results_waiting": count, "results_oldest_s": oldest_s, "targets": tuple(away)}


def silent_sources(c: Connection, now: float) -> tuple[Silence, ...]:
    """The sources that say nothing although they usually would, from the arrivals of all the history looked at."""
    found = (silence(source, at, now) for source, at in arrivals(c, now).items())
    return tuple(each for each in found if each is not None)


def arrivals(c: Connection, now: float) -> Mapping[str, list[float]]:
    """When each modality's studies began to come, within the history that is looked at."""
    columns = (ledger.studies.c.modality, ledger.studies.c.first_received_at)
    found: dict[str, list[float]] = {}
    for modality, at in c.execute(select(*columns).where(ledger.studies.c.first_received_at >= now - history_s())):
        found.setdefault(modality, []).append(at)
    return found


def _wire(config: Config, now: float, cases: Connection, link: Connection | None) -> dict[str, Any]:
    arrived = freight.received_transfers(link) if link is not None else set()
    received = wire.received_case_ids(link) if link is not None else set()
    opened = queue.open_now(cases, link)
    last = queue.last_word_at(link) if link is not None else None
    return {
        "queues": {urgency: _queue(config, now, urgency, opened) for urgency in URGENCIES},
        "shed": queue.shed_cases(cases),
        "spool_bytes": queue.spooled_bytes(cases, arrived, received),
        "spool_bytes_max": config.network.spool_bytes_max,
        "refused": sum(each.state == "refused" for each in opened),
        "damaged": sum(bool(each.code) and each.state == "sending" for each in opened),
        "heard_s": None if last is None else max(now - last, 0.0),
    }


def _queue(config: Config, now: float, urgency: Urgency, opened: list[queue.Open]) -> Queue:
    own = [each for each in opened if each.urgency == urgency and each.state not in ("answered", "refused")]
    waiting = [each for each in own if each.state in ("queued", "sending")]
    deadline_s = config.triage.deadline_s(urgency)
    return Queue(
        waiting=len(waiting),
        oldest_s=max((now - each.created_at for each in waiting), default=0.0),
        unanswered=len(own) - len(waiting),
        overdue=sum(now - each.created_at > deadline_s for each in own),
    )
