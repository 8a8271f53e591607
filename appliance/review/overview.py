"""How the appliance stands: counts, wire, disk, audit chain. Read only."""

import shutil
from collections import Counter

from sqlalchemy import func, select
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.lifecycle import OWNERS, STATES, WIRE_STATES
from appliance.errors import Unavailable
from appliance.review import words
from appliance.review.alarms import everything
from appliance.review.entrance import Reader, for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, ledger
from appliance.world.ledger import stray_files


def status(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    try:
        with page.ledgers.studies() as c:
            studies = ledger.counts(c)
            last = c.execute(select(func.max(ledger.studies.c.last_received_at))).scalar_one()
            stray_count = stray_files.count(c)
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
        "last_received": words.clock_time(last) or _("nothing yet"),
        "strays": stray_count,
        "disk": _disk(page),
        "audit_broken": broken,
        "site": page.config.site.name,
        "device": page.config.site.device_id,
        "now": words.clock_time(page.clock()),
    }
    return page.render(request, "status.html", shown)


ROUTES = {"/status": for_readers(status)}


def _disk(page: Page) -> dict[str, str]:
    usage = shutil.disk_usage(page.places.root)
    low = usage.free < page.config.receive.disk_reserve_bytes
    return {
        "free": words.byte_count(usage.free),
        "total": words.byte_count(usage.total),
        "low": "yes" if low else "",
    }
