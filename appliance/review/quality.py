"""How the edge does here: how often readers agreed, with intervals, and week by week what it missed.

What was missed comes from three sources: blinded reads that found what had been cleared, signatures that say so, and
final reports of the RIS. It judges no certificate: the watch does, by its own evidence. No page here names a patient; a
study is its number.
"""

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from appliance.core.agreement import Agreement, agreements, wilson
from appliance.core.weeks import bounds, last_weeks, week_of
from appliance.errors import Unavailable
from appliance.review import blinding, words
from appliance.review.entrance import Reader, for_readers
from appliance.review.language import _
from appliance.review.ledgers import Page, page_of
from appliance.world import desk, reading_desk
from appliance.world.ledger import final_reports, quality

DAY_S = 86_400.0
SPANS = {"30": 30, "90": 90, "all": 0}
WEEKS_SHOWN = 12
MISSED = "missed-finding"
SOURCE_WORDS = {"audit": "blinded read", "signature": "signature", "report": "final report"}


def quality_page(request: Request, reader: Reader) -> Response:
    """Agreement by model and lane."""
    page = page_of(request)
    span = request.query_params.get("days", "90")
    span = span if span in SPANS else "90"
    since = page.clock() - SPANS[span] * DAY_S if SPANS[span] else 0.0
    shown: dict[str, Any] = {"reader": reader, "span": span, "spans": list(SPANS), "starting": False, "rows": []}
    try:
        with page.ledgers.studies() as c:
            shown["rows"] = [_agreement(each) for each in agreements(quality.decisions(c, since))]
    except Unavailable:
        shown["starting"] = True
    return page.render(request, "quality.html", shown)


def missed_page(request: Request, reader: Reader) -> Response:
    """What the edge missed here in one week."""
    page = page_of(request)
    week = request.query_params.get("week", "")
    found = bounds(week)
    if found is None:
        week = week_of(page.clock())
        found = bounds(week)
    assert found is not None, "the present week is one"
    shown = {"reader": reader, "week": week, "weeks": last_weeks(page.clock(), WEEKS_SHOWN), "starting": False}
    shown |= {
        "rows": [],
        "reads": None,
        "reports": None,
        "begin": words.iso_date(words.utc_date(found[0])),
        "end": words.iso_date(words.utc_date(found[1] - 1)),
    }
    try:
        with page.ledgers.studies() as c:
            shown |= _missed(c, page, reader, *found)
    except Unavailable:
        shown["starting"] = True
    return page.render(request, "missed.html", shown)


ROUTES = {"/quality": for_readers(quality_page), "/quality/missed": for_readers(missed_page)}


def _agreement(row: Agreement) -> dict[str, Any]:
    return {
        "model": row.model,
        "badge": words.BADGES.get(row.lane, words.BADGES["undecided"]),
        "agreed": row.agreed,
        "disagreed": row.disagreed,
        "cannot_tell": row.cannot_tell,
        "share": interval(row.agreed, row.told),
    }


def interval(count: int, of: int) -> str:
    """A share with its 95 % interval, in words."""
    ends = wilson(count, of)
    if ends is None:
        return _("no count yet")
    share, low, high = (f"{100 * each:.0f}" for each in (count / of, *ends))
    return _("%(share)s %% (%(low)s to %(high)s %%)", share=share, low=low, high=high)


def _missed(c: Connection, page: Page, reader: Reader, begin: float, end: float) -> dict[str, Any]:
    """Rows of one week, and of its blinded reads how many found something."""
    audits = quality.answered_audits(c, begin, end)
    told = [row for row in audits if row.answer in ("present", "absent")]
    misses = [row for row in told if row.answer == "present"]
    rows = [_row("audit", row, row.answered_at, row.user, row.model, page) for row in misses]
    with page.ledgers.eyes().begin() as own:
        signed = desk.signatures_between(own, begin, end)
        beside = reading_desk.facts_of(own, [row.id for row in signed])
    said = [row for row in signed if row.id in beside and beside[row.id].reason == MISSED]
    by_state = quality.results_at(c, [(row.study_number, row.revision) for row in said])
    for row in said:
        result = by_state.get((row.study_number, row.revision))
        if result is not None and "cleared" in (result.lane, result.would_be):
            rows.append(_row("signature", result, row.signed_at, row.user, result.model, page))
    reported = final_reports.missed(c, begin, end)
    rows += [_row("report", row, row.received_at, row.sender, row.model, page) for row in reported]
    present = {row.number: _Present(row) for row in (*misses, *by_state.values(), *reported)}
    unread = blinding.hidden(page, reader.user, list(present.values()))
    return {
        "rows": sorted((row for row in rows if row["number"] not in unread), key=lambda row: -row["at"]),
        "reads": {
            "answered": len(told),
            "missed": len(misses),
            "share": interval(len(misses), len(told)),
            "cannot_tell": len(audits) - len(told),
        },
        "reports": final_reports.counts(c, begin, end),
    }


class _Present:
    """A study as it is now, of a row that tells an older revision."""

    def __init__(self, row: Any) -> None:
        self.number, self.state, self.revision = row.number, row.state, row.present


def _row(source: str, row: Any, at: float, user: str, model: str | None, page: Page) -> dict[str, Any]:
    return {
        "number": row.number,
        "modality": row.modality,
        "source": SOURCE_WORDS[source],
        "at": at,
        "when": words.short_time(at, page.clock()),
        "user": user,
        "model": model or quality.NO_MODEL,
    }
