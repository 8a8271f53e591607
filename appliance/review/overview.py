"""Files that belong to no study, and how the appliance stands: counts, wire, disk, audit chain. Read only."""

import shutil
from collections import Counter
from typing import Any

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.lifecycle import OWNERS, STATES, WIRE_STATES
from appliance.errors import CATALOGUE, Unavailable
from appliance.review import words
from appliance.review.alarms import everything
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, ledger

STRAYS_SHOWN = 200
DIGEST_SHOWN = 12  # hex digits: enough to find the file, and nothing of the patient


def strays(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    try:
        with page.ledgers.studies() as c:
            total = c.execute(select(func.count()).select_from(ledger.strays)).scalar_one()
            newest = select(ledger.strays).order_by(ledger.strays.c.received_at.desc(), ledger.strays.c.id.desc())
            found = list(c.execute(newest.limit(STRAYS_SHOWN)))
    except Unavailable:
        return page.render(request, "strays.html", {"reader": reader, "starting": True, "strays": [], "total": 0})
    shown = [_stray(row) for row in found]
    return page.render(request, "strays.html", {"reader": reader, "starting": False, "strays": shown, "total": total})


def status(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    try:
        with page.ledgers.studies() as c:
            studies = ledger.counts(c)
            last = c.execute(select(func.max(ledger.studies.c.last_received_at))).scalar_one()
            stray_count = c.execute(select(func.count()).select_from(ledger.strays)).scalar_one()
            alarms = everything(c, page, page.clock())
        starting = False
    except Unavailable:
        studies, last, stray_count, alarms, starting = dict.fromkeys(STATES, 0), None, 0, [], True
    wire = Counter(page.ledgers.wire_states().values())
    with page.ledgers.eyes().begin() as c:
        broken = desk.first_broken_audit_row(c)
    shown = {
        "reader": reader,
        "starting": starting,
        "alarms": alarms,
        "states": [(state, words.STATE_WORDS[state], OWNERS[state], studies[state]) for state in STATES],
        "wire": [(state, words.WIRE_WORDS[state], wire[state]) for state in WIRE_STATES],
        "last_received": words.clock_time(last) or "nothing yet",
        "strays": stray_count,
        "disk": _disk(page),
        "audit_broken": broken,
        "site": page.config.site.name,
        "device": page.config.site.device_id,
        "now": words.clock_time(page.clock()),
    }
    return page.render(request, "status.html", shown)


ROUTES = {"/strays": for_readers(strays), "/status": for_readers(status)}


def _stray(row: Any) -> dict[str, Any]:
    entry = CATALOGUE.get(row.code)
    return {
        "number": row.id,
        "code": row.code,
        "text": entry.text if entry else "this version does not know the code",
        "hint": entry.hint if entry else "Report the code.",
        "place": row.place,
        "digest": row.sha256[:DIGEST_SHOWN],
        "size": words.byte_count(row.bytes_count),
        "received": words.clock_time(row.received_at),
        "copies": row.copies,
    }


def _disk(page: Page) -> dict[str, str]:
    usage = shutil.disk_usage(page.places.root)
    low = usage.free < page.config.receive.disk_reserve_bytes
    return {
        "free": words.byte_count(usage.free),
        "total": words.byte_count(usage.total),
        "low": "yes" if low else "",
    }
