"""The self-test: ledgers, disk, clock, certificates, models, the line and the audit trail, each green or red.

The administration page, `appliance check` and the support bundle show the same lines. It looks and mends nothing; it
opens no more than the page may open, and each look at a ledger ends in time.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import DatabaseError

from appliance.config import Config, Places
from appliance.core import page_certificate
from appliance.core.alarms import Alarm, Condition, alarms
from appliance.core.selftest import Line
from appliance.errors import CATALOGUE
from appliance.review import line, words
from appliance.review.condition import condition
from appliance.world import desk, ledger, sqlite
from appliance.world.ledger import moves, watch

LOOK_S = 10.0  # at one ledger
AHEAD_S = 120.0  # how far a row may lie ahead of the clock
ENDS_SOON_DAYS = 14
LINE_CODES = ("not-enrolled", "centre-silent", "case-refused", "part-damaged", "verdict-overdue")
SPOOL_CODES = ("spool-full", "spool-filling", "spool-shed")


def self_test(config: Config, places: Places, now: float) -> list[Line]:
    """Everything that the review service may look at, in the order in which it matters.

    now  wall clock, s since 1970
    """
    paths = {
        "clinical ledger": places.studies_db,
        "sealed cases": places.cases_db,
        "line": places.link_db,
        "review desk": places.review_db,
    }
    begun = any(path.exists() for path in paths.values())
    found = [_ledger(name, path, begun) for name, path in paths.items()]
    sound = {path for path, each in zip(paths.values(), found, strict=True) if each.ok}
    found.append(_disk(config, places))
    with ExitStack() as held:
        studies, cases, link, own = (_opened(held, path) if path in sound else None for path in paths.values())
        found.append(_clock(studies, own, now))
        found.extend(_page(config, places, now))
        if studies is not None:
            found.extend(_models(config, studies, now))
        if cases is not None:
            root = places.root if places.root.exists() else Path("/")
            found.extend(_line(condition(config, root, now, studies, cases, link)))
        if own is not None:
            found.append(_trail(own))
    return found


def _ledger(name: str, path: Path, begun: bool) -> Line:
    """Whether a database is there, opens, and its pages agree with each other (PRAGMA quick_check)."""
    if not path.exists():
        return Line(f"ledger: {name}", not begun, "not made yet", CATALOGUE["ledger-starting"].hint)
    ends = time.monotonic() + LOOK_S
    sound = sqlite.is_sound(path, lambda: time.monotonic() > ends)
    if sound is None:
        return Line(f"ledger: {name}", True, f"opens; no fault within {LOOK_S:.0f} s, not read to its end", "")
    told = "opens, and its pages agree" if sound else "damaged, or cannot be opened"
    return Line(f"ledger: {name}", sound, told, CATALOGUE["ledger-damaged"].hint)


def _opened(held: ExitStack, path: Path) -> Connection | None:
    """A connection where the writer has made the tables."""
    if not path.exists():
        return None
    engine = sqlite.open_reader(path)
    held.callback(engine.dispose)
    c = held.enter_context(engine.connect())
    return c if c.exec_driver_sql("PRAGMA user_version").scalar_one() else None


def _disk(config: Config, places: Places) -> Line:
    usage = shutil.disk_usage(places.root if places.root.exists() else Path("/"))
    ok = usage.free >= config.receive.disk_reserve_bytes
    found = f"{words.byte_count(usage.free)} free of {words.byte_count(usage.total)}"
    return Line("disk of the state", ok, found, CATALOGUE["disk-low"].hint)


def _clock(studies: Connection | None, own: Connection | None, now: float) -> Line:
    """No row may lie in the future: then the clock was set back, and every age and deadline here is wrong."""
    newest = [0.0]
    if studies is not None:
        newest.append(studies.execute(select(func.max(ledger.studies.c.last_received_at))).scalar_one() or 0.0)
        newest.append(studies.execute(select(func.max(moves.c.at))).scalar_one() or 0.0)
    if own is not None:
        newest.append(own.execute(select(func.max(desk.audit.c.at))).scalar_one() or 0.0)
    ahead = max(newest) - now
    found = (
        f"{words.clock_time(now)}; the newest row is older" if ahead <= 0 else f"a row lies {words.span(ahead)} ahead"
    )
    return Line("clock", ahead <= AHEAD_S, found, CATALOGUE["clock-behind"].hint)


def _page(config: Config, places: Places, now: float) -> Iterator[Line]:
    """The certificate behind the page's address; one made here renews itself."""
    review = config.review
    if review.tls == "off":
        yield Line("page certificate", True, "none: on loopback without TLS", "")
        return
    path = places.review_keys / "page.pem" if review.tls == "own" else review.tls_certificate_file
    if review.tls == "own" and not path.exists():
        yield Line("page certificate", True, "not made yet", "")
        return
    found = line.certificate(path)
    days = None if found is None else page_certificate.days_left(found, now)
    told = "cannot be read" if days is None else f"{days} days left"
    yield Line(
        "page certificate", days is not None and days >= ENDS_SOON_DAYS, told, CATALOGUE["page-certificate"].hint
    )


def _models(config: Config, c: Connection, now: float) -> Iterator[Line]:
    """Each model in force and what its certificates are worth today."""
    installed = list(c.execute(select(watch.installed).where(watch.installed.c.present)))
    if not installed:
        todo = "Install a model package; until then every study is escalated."
        yield Line("models", False, "none in force", todo)
    for row in installed:
        role = row.facts.get("role", "decides")
        own = select(watch.monitors).where(watch.monitors.c.model == row.title, watch.monitors.c.present)
        certificates = list(c.execute(own))
        if role != "decides" or not certificates:  # safe as it is: a person reads everything it covers
            told = "in force as a shadow" if role == "shadow" else "in force; escalates everything: no certificate here"
            yield Line(f"model {row.title}", True, told, "")
        for each in certificates if role == "decides" else []:
            yield _certificate(config, c, row.title, each, now)


def _certificate(config: Config, c: Connection, title: str, row: Row[Any], now: float) -> Line:
    name, expires = row.facts["name"], str(row.facts["expires"])
    late = watch.overdue(c, now - config.audit.answer_days * 86_400).get(row.certificate)
    code = {"revoke": "watch-revoked", "warn": "watch-warned"}.get(row.stage, "watch-unanswered" if late else "")
    if code:
        return Line(f"model {title}", False, f"certificate {name}: {CATALOGUE[code].text}", CATALOGUE[code].hint)
    soon = words.utc_date(now + ENDS_SOON_DAYS * 86_400)
    said = f"certificate {name} in force until {expires}"
    if expires < words.utc_date(now):
        said = f"certificate {name} expired on {expires}"
    todo = "Make a new certificate (`appliance certify`); after it has expired every study it covers is escalated."
    return Line(f"model {title}", expires >= soon, said, todo)


def _line(now: Condition) -> Iterator[Line]:
    """What core.alarms finds between here and the centre, one line for the line and one for the spool."""
    standing = alarms(now)
    heard = "the centre never said a word" if now.heard_s is None else f"heard {words.span(now.heard_s)} ago"
    yield _of_alarms("centre", [each for each in standing if each.code in LINE_CODES], heard)
    share = 100 * now.spool_bytes / now.spool_bytes_max
    yield _of_alarms("spool", [each for each in standing if each.code in SPOOL_CODES], f"{share:.0f} % full")
    scanners = [each for each in standing if each.code == "scanner-silent"]
    yield _of_alarms("scanners", scanners, "none is unusually silent")


def _of_alarms(name: str, standing: list[Alarm], well: str) -> Line:
    if not standing:
        return Line(name, True, well, "")
    first = standing[0]
    return Line(name, False, first.said, CATALOGUE[first.code].hint)


def _trail(own: Connection) -> Line:
    try:
        broken = desk.first_broken_audit_row(own)
    except DatabaseError:
        broken = 0
    found = "unbroken" if broken is None else f"broken at row {broken}"
    return Line("audit trail", broken is None, found, CATALOGUE["audit-broken"].hint)
