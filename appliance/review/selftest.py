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

from appliance.condition import books, condition
from appliance.config import Config, Places
from appliance.core import page_certificate
from appliance.core.alarms import Alarm, Condition, alarms
from appliance.core.say import say, say_n
from appliance.core.selftest import Line
from appliance.errors import CATALOGUE
from appliance.review import line, words
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
        say("ledger: clinical ledger"): places.studies_db,
        say("ledger: sealed cases"): places.cases_db,
        say("ledger: line"): places.link_db,
        say("ledger: review desk"): places.review_db,
    }
    begun = any(path.exists() for path in paths.values())
    lost = books.lost(places)
    found = [_ledger(name, path, begun, path.name in lost) for name, path in paths.items()]
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


def _ledger(name: str, path: Path, begun: bool, lost: bool) -> Line:
    """Whether a database is there, opens, and its pages agree with each other (PRAGMA quick_check)."""
    if lost:
        return Line(name, False, say("gone, or not the one that was"), CATALOGUE["ledger-damaged"].hint)
    if not path.exists():
        return Line(name, not begun, say("not made yet"), CATALOGUE["ledger-starting"].hint)
    ends = time.monotonic() + LOOK_S
    sound = sqlite.is_sound(path, lambda: time.monotonic() > ends)
    if sound is None:
        return Line(name, True, say("opens; no fault within %(most)s s, not read to its end", most=f"{LOOK_S:.0f}"), "")
    told = say("opens, and its pages agree") if sound else say("damaged, or cannot be opened")
    return Line(name, sound, told, CATALOGUE["ledger-damaged"].hint)


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
    found = say("%(free)s free of %(total)s", free=words.byte_count(usage.free), total=words.byte_count(usage.total))
    return Line(say("disk of the state"), ok, found, CATALOGUE["disk-low"].hint)


def _clock(studies: Connection | None, own: Connection | None, now: float) -> Line:
    """No row may lie in the future: then the clock was set back, and every age and deadline here is wrong."""
    newest = [0.0]
    if studies is not None:
        newest.append(studies.execute(select(func.max(ledger.studies.c.last_received_at))).scalar_one() or 0.0)
        newest.append(studies.execute(select(func.max(moves.c.at))).scalar_one() or 0.0)
    if own is not None:
        newest.append(own.execute(select(func.max(desk.audit.c.at))).scalar_one() or 0.0)
    ahead = max(newest) - now
    found = say("%(now)s; the newest row is older", now=words.clock_time(now))
    if ahead > 0:
        found = say("a row lies %(span)s ahead", span=words.span(ahead))
    return Line(say("clock"), ahead <= AHEAD_S, found, CATALOGUE["clock-behind"].hint)


def _page(config: Config, places: Places, now: float) -> Iterator[Line]:
    """The certificate behind the page's address; one made here renews itself."""
    review = config.review
    if review.tls == "off":
        yield Line(say("page certificate"), True, say("none: on loopback without TLS"), "")
        return
    path = places.review_keys / "page.pem" if review.tls == "own" else review.tls_certificate_file
    if review.tls == "own" and not path.exists():
        yield Line(say("page certificate"), True, say("not made yet"), "")
        return
    found = line.certificate(path)
    days = None if found is None else page_certificate.days_left(found, now)
    told = say("cannot be read") if days is None else say_n("%(count)s day left", "%(count)s days left", days)
    yield Line(
        say("page certificate"), days is not None and days >= ENDS_SOON_DAYS, told, CATALOGUE["page-certificate"].hint
    )


def _models(config: Config, c: Connection, now: float) -> Iterator[Line]:
    """Each model in force and what its certificates are worth today."""
    installed = list(c.execute(select(watch.installed).where(watch.installed.c.present)))
    if not installed:
        todo = say("Install a model package; until then every study is escalated.")
        yield Line(say("models"), False, say("none in force"), todo)
    for row in installed:
        role = row.facts.get("role", "decides")
        own = select(watch.monitors).where(watch.monitors.c.model == row.title, watch.monitors.c.present)
        certificates = list(c.execute(own))
        if role != "decides" or not certificates:  # safe as it is: a person reads everything it covers
            told = say("in force; escalates everything: no certificate here")
            if role == "shadow":
                told = say("in force as a shadow")
            yield Line(say("model %(title)s", title=row.title), True, told, "")
        for each in certificates if role == "decides" else []:
            yield _certificate(config, c, row.title, each, now)


def _certificate(config: Config, c: Connection, title: str, row: Row[Any], now: float) -> Line:
    name, expires = row.facts["name"], str(row.facts["expires"])
    late = watch.overdue(c, now - config.audit.answer_days * 86_400).get(row.certificate)
    code = {"revoke": "watch-revoked", "warn": "watch-warned"}.get(row.stage, "watch-unanswered" if late else "")
    if code:
        return Line(
            say("model %(title)s", title=title),
            False,
            say("certificate %(name)s: %(fault)s", name=name, fault=say(CATALOGUE[code].text)),
            CATALOGUE[code].hint,
        )
    soon = words.utc_date(now + ENDS_SOON_DAYS * 86_400)
    said = say("certificate %(name)s in force until %(day)s", name=name, day=words.iso_date(expires))
    if expires < words.utc_date(now):
        said = say("certificate %(name)s expired on %(day)s", name=name, day=words.iso_date(expires))
    todo = say("Make a new certificate (`appliance certify`); after it has expired every study it covers is escalated.")
    return Line(say("model %(title)s", title=title), expires >= soon, said, todo)


def _line(now: Condition) -> Iterator[Line]:
    """What core.alarms finds between here and the centre, one line for the line and one for the spool."""
    standing = alarms(now)
    heard = say("the centre never said a word")
    if now.heard_s is not None:
        heard = say("heard %(span)s ago", span=words.span(now.heard_s))
    yield _of_alarms(say("centre"), [each for each in standing if each.code in LINE_CODES], heard)
    share = 100 * now.spool_bytes / now.spool_bytes_max
    yield _of_alarms(
        say("spool"),
        [each for each in standing if each.code in SPOOL_CODES],
        say("%(share)s %% full", share=f"{share:.0f}"),
    )
    scanners = [each for each in standing if each.code == "scanner-silent"]
    yield _of_alarms(say("scanners"), scanners, say("none is unusually silent"))


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
    found = say("unbroken") if broken is None else say("broken at row %(row)s", row=broken)
    return Line(say("audit trail"), broken is None, found, CATALOGUE["audit-broken"].hint)
