"""The outbox: every case on its way to the centre, how far it has come, what went from a full spool, what failed.

A case that failed, or that the centre refused, is never sent again as it is: its study is set aside, and a retry is a
release of that study, which is decided and sealed anew. What merely waits is tried again by itself and has no button.
"""

from typing import Any

from sqlalchemy import Connection, Row, select
from starlette.requests import Request
from starlette.responses import Response

from appliance.condition import condition
from appliance.core import alarms as core
from appliance.core.alarms import Queue
from appliance.core.document import URGENCIES
from appliance.errors import Unavailable
from appliance.review import blinding, words
from appliance.review.alarms import Alarm
from appliance.review.entrance import Reader, for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.review.quarantine import AFTER_DECIDING, NOTICES, SHOWN_MAX, explained, history
from appliance.world import desk, ledger
from appliance.world.ledger import studies
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
    failed: list[dict[str, Any]] = []
    with page.ledgers.wire() as (cases, link):
        rows = queue.on_the_road(cases, link) if cases is not None else []
        try:
            with page.ledgers.studies() as c:
                found = condition(page.config, page.places.root, now, c, cases, link)
                failed = _failed(c, link, page, reader)
        except Unavailable:
            found = condition(page.config, page.places.root, now, None, cases, link)
    shown = {
        "reader": reader,
        "alarms": [Alarm(each.severity, each.said) for each in core.alarms(found)],
        "queues": [(urgency, found.queues.get(urgency, Queue())) for urgency in reversed(URGENCIES)],
        "heard": _("never") if found.heard_s is None else _("%(age)s ago", age=words.span(found.heard_s)),
        "spool": _(
            "%(part)s of %(whole)s",
            part=words.byte_count(found.spool_bytes),
            whole=words.byte_count(found.spool_bytes_max),
        ),
        "rows": [_row(row, page, now) for row in rows],
        "failed": failed,
        "notice": NOTICES.get(request.query_params.get("done", ""), ""),
        "nonce": page.token(),
        "because_max": desk.BECAUSE_CHARACTERS_MAX,
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
        "fault": explained(row["code"]) if row["code"] else None,
        "attempts": row["attempts"],
        "tried": words.short_time(row["last_sent_at"], now),
    }


def _failed(c: Connection, link: Connection | None, page: Page, reader: Reader) -> list[dict[str, Any]]:
    """Studies set aside on their way to the centre, the newest first; none that its reader has yet to read first."""
    newest = select(studies).where(studies.c.state == "quarantined").order_by(studies.c.state_since.desc())
    found = list(c.execute(newest.limit(SHOWN_MAX)))
    past = history(c, [row.number for row in found])
    unread = blinding.hidden(page, reader.user, found)
    failed = [row for row in found if past[row.number][0] in AFTER_DECIDING and row.number not in unread]
    results = {row.number: ledger.result_of(c, row.number, row.revision) for row in failed}
    case_ids = {number: result.case_id for number, result in results.items() if result is not None and result.case_id}
    sent = queue.sending_of(link, list(case_ids.values()))
    with page.ledgers.eyes().begin() as own:
        pending = {row.number: desk.command_on(own, row.number, row.seq) for row in failed}
    return [
        {
            "number": row.number,
            "revision": row.revision,
            "seq": row.seq,
            "name": case_ids.get(row.number, "")[:NAME_SHOWN],
            "from": past[row.number][0],
            "times": past[row.number][1],
            "attempts": _attempts(sent.get(case_ids.get(row.number, ""))),
            "since": words.clock_time(row.state_since),
            "pending": pending[row.number],
            **explained(row.fault_code),
        }
        for row in failed
    ]


def _attempts(sending: Row[Any] | None) -> int:
    return 0 if sending is None else int(sending.attempts)
