"""The outbox: every case on its way to the centre, how far it has come, and what went from a full spool. Read only."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from appliance.core import alarms as core
from appliance.core.alarms import Queue
from appliance.core.document import URGENCIES
from appliance.errors import Unavailable
from appliance.review import words
from appliance.review.alarms import Alarm
from appliance.review.condition import condition
from appliance.review.entrance import Reader, for_readers
from appliance.review.ledgers import Page, page_of
from appliance.world.wire import queue

TIER_WORDS = {0: "findings", 1: "findings and key images", 2: "whole series"}
STATE_WORDS = {
    "queued": "waits here",
    "sending": "on its way",
    "shed": "taken from the full spool; made again when there is room",
    "refused": "refused by the centre: a person must read it",
}
NAME_SHOWN = 8  # hex digits of a case


def outbox(request: Request, reader: Reader) -> Response:
    page = page_of(request)
    now = page.clock()
    with page.ledgers.wire() as (cases, link):
        rows = queue.on_the_road(cases, link) if cases is not None else []
        try:
            with page.ledgers.studies() as c:
                found = condition(page.config, page.places.root, now, c, cases, link)
        except Unavailable:
            found = condition(page.config, page.places.root, now, None, cases, link)
    shown = {
        "reader": reader,
        "alarms": [Alarm(each.severity, each.said) for each in core.alarms(found)],
        "queues": [(urgency, found.queues.get(urgency, Queue())) for urgency in reversed(URGENCIES)],
        "heard": "never" if found.heard_s is None else f"{words.span(found.heard_s)} ago",
        "spool": f"{words.byte_count(found.spool_bytes)} of {words.byte_count(found.spool_bytes_max)}",
        "rows": [_row(row, page, now) for row in rows],
        "shown_max": queue.SHOWN_MAX,
        "now": words.clock_time(now),
    }
    return page.render(request, "outbox.html", shown)


ROUTES = {"/outbox": for_readers(outbox)}


def _row(row: dict[str, Any], page: Page, now: float) -> dict[str, Any]:
    return {
        "name": row["case_id"][:NAME_SHOWN],
        "urgency": row["urgency"],
        "what": TIER_WORDS[row["tier"]],
        "state": STATE_WORDS.get(row["state"], row["state"]),
        "shed": row["state"] == "shed",
        "parts": row["parts"],
        "parts_have": row["parts_have"],
        "size": words.byte_count(row["sealed_bytes"]),
        "age": words.span(max(now - row["created_at"], 0.0)),
        "late": row["tier"] < 2 and now - row["created_at"] > page.config.triage.deadline_s(row["urgency"]),
        "code": row["code"],
    }
